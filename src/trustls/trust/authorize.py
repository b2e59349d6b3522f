"""Authorize: who is let in, of those whose certificate is good.

A verified certificate says who a peer is. A rule says whether that one may come in: by a name, a SPIFFE ID, a key, an
issuer, or whatever a function decides, combined with `|`, `&` and `~`. A rule never verifies anything, and lets nobody
in who was not verified, however it is combined.
"""

from __future__ import annotations

import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, TypeAlias, TypeVar, cast

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust import criteria
from trustls.trust.criteria import AddressLike, CertificateLike, Criterion, NameLike, listed
from trustls.trust.spiffe import SpiffeId
from trustls.values import dataclass
from trustls.wire.names import shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from trustls.trust.raw_key import RawPublicKey
    from trustls.trust.verifiers import Peer

T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rule does not let a peer in.

    Attributes:
        detail: the whole of it in one sentence.
        expected: whom the rule lets in, in a few words.
        found: who came instead, in a few words.
        remedy: what would mend it.
    """

    detail: str
    expected: str = ""
    found: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return self.detail


Answer: TypeAlias = Refusal | Awaitable[Refusal | None] | None
Decision: TypeAlias = bool | str | Awaitable[bool | str]


class Authorize(ABC):
    """A rule on who is let in. Make one with a method below; combine rules with `|` (or), `&` (and) and `~` (not).

    A method that takes several names lets in who has one of them. Rules are immutable, hashable and equal by content;
    what they say is checked when they are made. A rule has no truth value: `a and b` is a TypeError, meant is `a & b`.

    A peer that was not verified is let in by no rule, its negation neither. Of a peer with a raw public key (RFC 7250)
    nothing is known but the key: `public_key`, `function`, `everyone` and `nobody` judge it, all others refuse it, and
    so do their negations.

    >>> Authorize.dns("db.internal", "*.svc.example") & ~Authorize.dns("test.svc.example")
    Authorize.dns('db.internal', '*.svc.example') & ~Authorize.dns('test.svc.example')
    """

    __slots__ = ()

    # -- By name ------------------------------------------------------------------------------------------------------

    @staticmethod
    def dns(*names: str) -> Authorize:
        """Certificates with one of these DNS names in the subjectAltName.

        Args:
            names: DNS names, in any case; `*.svc.example` stands for the names of exactly one label more.

        A wildcard in a certificate is no host's name, and counts only where the rule has the same wildcard.

        Raises:
            ConfigError: there is none, or one is no DNS name; a wildcard is its whole left-most label.
        """
        return _listing(criteria.Dns, names)

    @staticmethod
    def ip(*addresses: AddressLike) -> Authorize:
        """Certificates with one of these addresses in the subjectAltName, or one in these networks (`10.0.0.0/8`).

        It is the certificate's address that counts, not the one that the peer connects from.

        Raises:
            ConfigError: there is none, or one is no address and no network.
        """
        return _listing(criteria.Address, addresses)

    @staticmethod
    def email(*addresses: str) -> Authorize:
        """Certificates with one of these email addresses in the subjectAltName; see `trust.patterns.Mailbox`.

        Raises:
            ConfigError: there is none, or one is no email address.
        """
        return _listing(criteria.Email, addresses)

    @staticmethod
    def uri(*uris: str) -> Authorize:
        """Certificates with one of these URIs in the subjectAltName, compared whole; see `trust.patterns.Uri`.

        Raises:
            ConfigError: there is none, or one is no absolute URI, or a SPIFFE ID, which has a rule of its own.
        """
        return _listing(criteria.PlainUri, uris)

    @staticmethod
    def subject(*names: NameLike) -> Authorize:
        """Certificates with one of these subjects: the whole name, not a part of it.

        Args:
            names: RFC 4514 text, such as "CN=alice,O=Example", or a DistinguishedName or cryptography Name.

        The attributes have to be the same ones with exactly the same text, upper and lower case apart. How the CA
        encoded a text (UTF8String, PrintableString) does not matter, nor how attributes of different types are ordered,
        for tools disagree on which end comes first; attributes of one type, such as several DC, keep their order.

        Raises:
            ConfigError: there is none, or one is no name, or empty.
        """
        return _listing(criteria.Subject, names)

    @staticmethod
    def legacy_common_name(*names: str) -> Authorize:
        """Client certificates of the old kind: no subjectAltName at all, and one of these as their only common name.

        A common name says nothing of what kind of name it is, and no name constraint of a CA holds for it, so any CA
        that you trust can give any. Prefer certificates with a subjectAltName, and the rules for those.

        Raises:
            ConfigError: there is none, or one is empty.
        """
        return _listing(criteria.CommonName, names)

    # -- By SPIFFE identity -------------------------------------------------------------------------------------------

    @staticmethod
    def spiffe_id(*identities: str | SpiffeId) -> Authorize:
        """X509-SVIDs with one of these SPIFFE IDs, such as "spiffe://example.org/db".

        With roots for more than one trust domain, verify with `SpiffeBundles`: else a CA of one domain can give
        IDs of another. This holds for all three rules on SPIFFE IDs.

        Raises:
            ConfigError: there is none, or one is no SPIFFE ID, or that of a trust domain, which no workload has.
        """
        return _listing(criteria.Workload, identities)

    @staticmethod
    def spiffe_trust_domain(*trust_domains: str) -> Authorize:
        """X509-SVIDs of these trust domains, such as "example.org"; see `spiffe_id`.

        Raises:
            ConfigError: there is none, or one is no name of a trust domain.
        """
        return _listing(criteria.TrustDomain, trust_domains)

    @staticmethod
    def spiffe_path(*prefixes: str | SpiffeId) -> Authorize:
        """X509-SVIDs whose SPIFFE ID is one of these or goes on from it; see `spiffe_id`.

        "spiffe://example.org/ns/prod" takes that ID and spiffe://example.org/ns/prod/db in, but not
        spiffe://example.org/ns/production, and nothing of another trust domain.

        Raises:
            ConfigError: there is none, or one is no SPIFFE ID, or has no path: that is `spiffe_trust_domain`.
        """
        return _listing(criteria.WorkloadPath, prefixes)

    # -- By key or certificate ----------------------------------------------------------------------------------------

    @staticmethod
    def fingerprint(*fingerprints: str | CertificateLike) -> Authorize:
        """These very certificates, which ends with their renewal.

        Args:
            fingerprints: SHA-256 of the DER in hex, with or without colons, as `openssl x509 -fingerprint -sha256`
                shows it; or the certificate itself.

        Raises:
            ConfigError: there is none, or one is no SHA-256 in hex.
        """
        return _listing(criteria.Fingerprint, fingerprints)

    @staticmethod
    def public_key(*keys: str | CertificateLike | PublicKeyTypes | RawPublicKey) -> Authorize:
        """Certificates for one of these keys, through every renewal that keeps the key; and these as raw public keys.

        Args:
            keys: SHA-256 of the SubjectPublicKeyInfo, in hex or as a base64 pin (RFC 7469), with or without `sha256/`
                before it; or a cryptography public key, a RawPublicKey, or a certificate that has the key.

        Raises:
            ConfigError: there is none, or one is none of these.
        """
        return _listing(criteria.PublicKey, keys)

    @staticmethod
    def issuer(*authorities: NameLike | CertificateLike) -> Authorize:
        """Certificates that one of these CAs issued, itself or through CAs below it.

        Args:
            authorities: the name of a CA, compared as `subject` does; or its certificate: then it has to be its key as
                well. Any CA of the verified path counts, the root too.

        A name is as trustworthy as the least of your CAs: one that may make CAs can give them any name, unless its
        name constraints forbid it. A certificate says which CA is meant.

        Raises:
            ConfigError: there is none, or one is no name, or empty, or no CA's certificate.
        """
        return _listing(criteria.Issuer, authorities)

    # -- By anything else ---------------------------------------------------------------------------------------------

    @staticmethod
    def function(decide: Callable[[Peer], Decision], *, name: str = "") -> Authorize:
        """Whoever a function lets in. It is asked with a verified peer only.

        Args:
            decide: gives True to let the peer in, False to refuse it, or a str that says why it is refused; or an
                awaitable of one of these (for transports that are asynchronous). Anything else, None too, is a
                TypeError, so that a forgotten return lets nobody in. What it raises ends the connection.
            name: what messages call it; else its own name.

        Sessions are resumed under this very rule only, not under another one with the same function.

        Raises:
            ConfigError: it cannot be called.
        """
        if not callable(decide):
            raise ConfigError(f"a function that decides is callable, unlike {type(decide).__name__}")
        return _Function(decide, name or getattr(decide, "__qualname__", "") or type(decide).__name__)

    @staticmethod
    def everyone() -> Authorize:
        """Every peer that was verified."""
        return _Always(True)

    @staticmethod
    def nobody() -> Authorize:
        """No peer at all."""
        return _Always(False)

    # -- Combined -----------------------------------------------------------------------------------------------------

    @staticmethod
    def any_of(*rules: Authorize) -> Authorize:
        """Whom one of these rules lets in. They are asked in order, up to the first that does.

        Raises:
            ConfigError: there is none, or one is no rule.
        """
        return _combined(_Any, rules)

    @staticmethod
    def all_of(*rules: Authorize) -> Authorize:
        """Whom all of these rules let in. They are asked in order, up to the first that does not.

        Raises:
            ConfigError: there is none, or one is no rule.
        """
        return _combined(_All, rules)

    def __or__(self, other: Authorize) -> Authorize:
        return _combined(_Any, (self, other)) if isinstance(other, Authorize) else NotImplemented

    def __and__(self, other: Authorize) -> Authorize:
        return _combined(_All, (self, other)) if isinstance(other, Authorize) else NotImplemented

    def __invert__(self) -> Authorize:
        return _Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a rule is neither true nor false: combine rules with |, & and ~, and ask whether it `is None`")

    # -- Asked --------------------------------------------------------------------------------------------------------

    def refusal(self, peer: Peer | None) -> Answer:
        """Why this peer is not let in; None when it is. An awaitable of that, when a function has to be awaited.

        A peer that was not verified, or for which something was found wrong, is always refused.

        Raises:
            TypeError: a function gave no answer that can be understood. What a function raises goes through.
        """
        if peer is None:
            return _unverified("a peer without a certificate")
        if peer.error is not None:
            what = "a certificate" if peer.presented else "a raw public key"
            return _unverified(f"{what} that is not good ({_cut(str(peer.error))})")
        if not peer.presented and peer.raw_key is not None:
            return self._judge(peer)
        if not peer.verified or peer.verified[0] != peer.presented[0]:
            return _unverified("a certificate that nobody verified")
        return self._judge(peer)

    @property
    @abstractmethod
    def expected(self) -> str:
        """Whom this lets in, as a phrase for messages: "DNS name db.internal or *.svc.example"."""

    @property
    @abstractmethod
    def session_binding(self) -> bytes:
        """What a session is bound to that is not to be resumed under another rule: 32 bytes.

        It is a SHA-256 over all that the rule says, the same in every process. Where a function has a say, which cannot
        be read, it is that of this very rule alone.
        """

    @abstractmethod
    def _judge(self, peer: Peer) -> Answer:
        """`refusal`, of a peer that was verified."""

    @abstractmethod
    def _found(self, peer: Peer) -> str:
        """What this rule looks at in a peer, as a phrase."""

    @property
    def judges_raw_keys(self) -> bool:
        """Whether all that this rule looks at is there in a peer with a raw public key, which has no certificate."""
        return True

    def _refused(self, found: str, remedy: str) -> Refusal:
        return Refusal(f"expected {self.expected}; found {found}", self.expected, found, remedy)


def authorized(rule: Authorize, peer: Peer) -> Peer | Awaitable[Peer]:
    """The same peer, when the rule lets it in; an awaitable of it, when a function has to be awaited.

    Raises:
        CertificateRejected: REFUSED, the rule does not let it in; when awaited, if there is an awaitable.
    """
    answer = rule.refusal(peer)
    if isinstance(answer, Awaitable):
        return _Later(answer, partial(_admitted, peer))
    return _admitted(peer, answer)


def _admitted(peer: Peer, refusal: Refusal | None) -> Peer:
    if refusal is None:
        return peer
    raise CertificateRejected(
        CertificateProblem.REFUSED,
        f"{peer.title} is not authorised: {refusal.detail}",
        certificate=peer.presented[0] if peer.presented else None,
        expected=refusal.expected,
        found=refusal.found,
        remedy=refusal.remedy,
    )


def _unverified(found: str) -> Refusal:
    """Why a peer is not even judged: no rule says this, so none can turn it into a welcome, `~` neither."""
    expected = "a peer with a verified certificate"
    remedy = "verify the peer: a rule says which of the verified peers are let in, and no more"
    return Refusal(f"expected {expected}; found {found}", expected, found, remedy)


# -- The rules ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _Listed(Authorize):
    """Certificates that meet a criterion with one of the entries listed. `texts` says all of the entries."""

    criterion: type[Criterion]
    texts: tuple[str, ...]
    entries: frozenset[Any] = field(compare=False)

    def __repr__(self) -> str:
        return f"Authorize.{self.criterion.method}({', '.join(map(repr, self.texts))})"

    @property
    def expected(self) -> str:
        return f"{self.criterion.label} {listed(self.texts, 'or')}"

    @property
    def session_binding(self) -> bytes:
        return _digest(self.criterion.method, [text.encode("utf-8", "surrogatepass") for text in self.texts])

    @property
    def judges_raw_keys(self) -> bool:
        return self.criterion is criteria.PublicKey

    def _judge(self, peer: Peer) -> Refusal | None:
        if peer.raw_key is not None:
            return self._judge_raw_key(peer, peer.raw_key)
        if self.criterion.met(peer.verified, self.entries):
            return None
        return self._refused(self._found(peer), self.criterion.remedy(peer.verified, self.texts))

    def _judge_raw_key(self, peer: Peer, key: RawPublicKey) -> Refusal | None:
        if self.judges_raw_keys and criteria.PublicKey.has(key.sha256, self.entries):
            return None
        return self._refused(self._found(peer), f"name its key with Authorize.public_key({key.fingerprint!r})")

    def _found(self, peer: Peer) -> str:
        return self.criterion.found(peer.verified) if peer.raw_key is None else _bare(peer)


def _listing(criterion: type[Criterion], given: tuple[object, ...]) -> Authorize:
    if not given:
        raise ConfigError(f"Authorize.{criterion.method}() names nobody: give at least one {criterion.label}")
    entries = dict(map(criterion.entry, given))
    return _Listed(criterion, tuple(entries), frozenset(entries.values()))


@dataclass(frozen=True, slots=True, repr=False)
class _Always(Authorize):
    """Everyone, or nobody."""

    welcome: bool

    def __repr__(self) -> str:
        return f"Authorize.{'everyone' if self.welcome else 'nobody'}()"

    @property
    def expected(self) -> str:
        return "anyone who is verified" if self.welcome else "nobody"

    @property
    def session_binding(self) -> bytes:
        return _digest(self.expected, [])

    def _judge(self, peer: Peer) -> Refusal | None:
        return None if self.welcome else self._refused(self._found(peer), "let somebody in with another rule")

    def _found(self, peer: Peer) -> str:
        return peer.title


@dataclass(frozen=True, slots=True, repr=False)
class _Function(Authorize):
    decide: Callable[[Peer], Decision]
    name: str
    token: bytes = field(default_factory=partial(secrets.token_bytes, 32), compare=False)

    def __repr__(self) -> str:
        return f"Authorize.function({self.name})"

    @property
    def expected(self) -> str:
        return f"whoever {self.name} lets in"

    @property
    def session_binding(self) -> bytes:
        return _digest("function", [self.token])

    def _judge(self, peer: Peer) -> Answer:
        decision = self.decide(peer)
        if isinstance(decision, Awaitable):
            return _Later(decision, partial(self._heard, peer))
        return self._heard(peer, decision)

    def _heard(self, peer: Peer, decision: object) -> Refusal | None:
        if decision is True:
            return None
        remedy = f"ask who runs this service why {self.name} refuses the peer"
        if decision is False:
            return self._refused(self._found(peer), remedy)
        if isinstance(decision, str):
            reason = _cut(shown(decision)) or "no reason given"
            return Refusal(f"{self.name} refuses it: {reason}", self.expected, reason, remedy)
        raise TypeError(
            f"{self.name} decides with True, False or a str that says why the peer is refused, "
            f"not with {type(decision).__name__}"
        )

    def _found(self, peer: Peer) -> str:
        return peer.title


@dataclass(frozen=True, slots=True, repr=False)
class _Not(Authorize):
    rule: Authorize

    def __repr__(self) -> str:
        return f"~{_inner(self.rule)}"

    @property
    def expected(self) -> str:
        return _cut(f"anyone but ({self.rule.expected})")

    @property
    def session_binding(self) -> bytes:
        return _digest("not", [self.rule.session_binding])

    def __invert__(self) -> Authorize:
        return self.rule

    @property
    def judges_raw_keys(self) -> bool:
        return self.rule.judges_raw_keys

    def _judge(self, peer: Peer) -> Answer:
        if peer.raw_key is not None and not self.judges_raw_keys:
            # That a name is missing, where there can be none, is no reason to let anybody in.
            return self._refused(_bare(peer), "shut raw public keys out by key, with ~Authorize.public_key")
        answer = self.rule._judge(peer)
        if isinstance(answer, Awaitable):
            return _Later(answer, partial(self._turned, peer))
        return self._turned(peer, answer)

    def _turned(self, peer: Peer, refusal: Refusal | None) -> Refusal | None:
        if refusal is not None:
            return None
        return self._refused(self._found(peer), "the rule shuts this peer out: take it out of what is negated there")

    def _found(self, peer: Peer) -> str:
        return self.rule._found(peer)


@dataclass(frozen=True, slots=True, repr=False)
class _Several(Authorize):
    """At least two rules, asked in order."""

    rules: tuple[Authorize, ...]

    kind: ClassVar[str]
    sign: ClassVar[str]
    word: ClassVar[str]

    def __repr__(self) -> str:
        return f" {self.sign} ".join(map(_inner, self.rules))

    @property
    def expected(self) -> str:
        phrases = [f"({rule.expected})" if isinstance(rule, _Several) else rule.expected for rule in self.rules]
        return _cut(f" {self.word} ".join(phrases))

    @property
    def session_binding(self) -> bytes:
        return _digest(self.kind, [rule.session_binding for rule in self.rules])

    @property
    def judges_raw_keys(self) -> bool:
        return all(rule.judges_raw_keys for rule in self.rules)

    def _found(self, peer: Peer) -> str:
        return _joined([rule._found(peer) for rule in self.rules], "; ")


class _Any(_Several):
    __slots__ = ()
    kind = "any"
    sign = "|"
    word = "or"

    def _judge(self, peer: Peer) -> Answer:
        return self._ask(peer, iter(self.rules), [])

    def _ask(self, peer: Peer, rest: Iterator[Authorize], refusals: list[Refusal]) -> Answer:
        for rule in rest:
            answer = rule._judge(peer)
            if answer is None:
                return None
            if isinstance(answer, Awaitable):
                return _Later(answer, partial(self._heard, peer, rest, refusals))
            refusals.append(answer)
        found = _joined([refusal.found for refusal in refusals], "; ")
        return self._refused(found, _joined([refusal.remedy for refusal in refusals], "; or "))

    def _heard(self, peer: Peer, rest: Iterator[Authorize], refusals: list[Refusal], refusal: Refusal | None) -> Answer:
        return None if refusal is None else self._ask(peer, rest, [*refusals, refusal])


class _All(_Several):
    __slots__ = ()
    kind = "all"
    sign = "&"
    word = "and"

    def _judge(self, peer: Peer) -> Answer:
        return self._ask(peer, iter(self.rules))

    def _ask(self, peer: Peer, rest: Iterator[Authorize]) -> Answer:
        for rule in rest:
            answer = rule._judge(peer)
            if isinstance(answer, Awaitable):
                return _Later(answer, partial(self._heard, peer, rest))
            if answer is not None:
                return answer
        return None

    def _heard(self, peer: Peer, rest: Iterator[Authorize], refusal: Refusal | None) -> Answer:
        return self._ask(peer, rest) if refusal is None else refusal


def _combined(kind: type[_Several], rules: tuple[Authorize, ...]) -> Authorize:
    flat: list[Authorize] = []
    for rule in rules:
        if not isinstance(rule, Authorize):
            raise ConfigError(
                f"a rule is made with a method of Authorize, such as dns, and is no {type(rule).__name__}"
            )
        flat += rule.rules if type(rule) is kind else (rule,)
    if not flat:
        raise ConfigError(f"Authorize.{kind.kind}_of() has no rules: say Authorize.everyone() or Authorize.nobody()")
    return kind(tuple(flat)) if len(flat) > 1 else flat[0]


class _Later(Awaitable[A], Generic[T, A]):
    """An answer to come, made from another one. When that leads to a further one, it is awaited as well.

    It can be closed before it is awaited, as a coroutine can, so that nothing inside is left without notice.
    """

    __slots__ = ("_awaited", "_then")

    def __init__(self, awaited: Awaitable[T], then: Callable[[T], A | Awaitable[A]]) -> None:
        self._awaited = awaited
        self._then = then

    def __await__(self) -> Generator[Any, Any, A]:
        later: _Later[T, A] = self
        while True:
            answer = later._then((yield from later._awaited.__await__()))
            if not isinstance(answer, _Later):
                return cast("A", answer)
            later = answer

    def close(self) -> None:
        """Give up what was never awaited."""
        end = getattr(self._awaited, "close", None) or getattr(self._awaited, "cancel", None)
        if end is not None:
            end()


# -- What is said ------------------------------------------------------------------------------------------------------


def _inner(rule: Authorize) -> str:
    return f"({rule!r})" if isinstance(rule, _Several) else repr(rule)


def _bare(peer: Peer) -> str:
    return f"{peer.title}, which has no certificate"


def _joined(phrases: list[str], separator: str) -> str:
    return _cut(separator.join(list(dict.fromkeys(phrases))[:_MAX_JOINED]))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_PHRASE else f"{text[: _MAX_PHRASE - 3]}..."


def _digest(kind: str, parts: list[bytes]) -> bytes:
    digest = hashlib.sha256(f"trustls authorize {kind}\0".encode())
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


_MAX_JOINED: Final = 8
_MAX_PHRASE: Final = 512
