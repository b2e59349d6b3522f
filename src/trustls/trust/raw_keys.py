"""RawPublicKeys: whom to trust by their keys alone, without certificates (RFC 7250), and the verifier that does.

A raw public key is accepted only where an application names the keys, or has a verifier that says it takes them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast, runtime_checkable

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, DecodeError
from trustls.trust.certificate import Certificate
from trustls.trust.names import ServerName
from trustls.trust.pem import PEMSource
from trustls.trust.raw_key import RawPublicKey
from trustls.trust.sources import Roots
from trustls.trust.verifiers import Peer, authorized_peer
from trustls.wire.enums import CertificateType
from trustls.wire.names import DistinguishedName

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from trustls.trust.authorize import Authorize
    from trustls.trust.verifiers import RootsClientVerifier, RootsServerVerifier

RawKeySource: TypeAlias = "RawPublicKey | PublicKeyTypes | bytes"
"""What names one key: a RawPublicKey, a public key of `cryptography`, or a SubjectPublicKeyInfo in DER."""

_MAX_LISTED: Final = 4


class RawPublicKeys:
    """The raw public keys that are trusted: exactly these. It is given where roots are, on either side.

    Who has the private key of one of them is believed, as long as it is here: a raw key has no name that is compared
    with the one asked for, never expires, and no CRL lists it. To drop a key is to make another RawPublicKeys without
    it; `Reloading.from_files` gives one that follows a file.

    Args:
        keys: each a RawPublicKey, a public key of `cryptography`, or the SubjectPublicKeyInfo in DER.

    Raises:
        ConfigError: there is none, or one is no key, or of a kind or size that is not accepted.
    """

    __slots__ = ("_known", "fingerprint", "keys")

    def __init__(self, keys: Iterable[RawKeySource]) -> None:
        if isinstance(keys, str | bytes | RawPublicKey):
            raise ConfigError("RawPublicKeys takes a list of keys, even of one alone; for PEM there is from_pem")
        self.keys = tuple(dict.fromkeys(map(_key, keys)))
        if not self.keys:
            raise ConfigError("there are no keys in RawPublicKeys: nobody could ever be accepted")
        self._known = frozenset([key.spki for key in self.keys])
        self.fingerprint = hashlib.sha256(b"".join(sorted(key.sha256 for key in self.keys))).digest()

    @classmethod
    def from_pem(cls, *sources: PEMSource) -> RawPublicKeys:
        """Every key of these PEM files or texts (`-----BEGIN PUBLIC KEY-----`).

        Raises:
            ConfigError: there is none, or one that cannot be read or is not accepted.
            OSError: a file cannot be read.
        """
        return cls([key for source in sources for key in RawPublicKey.from_pem(source)])

    def __contains__(self, key: RawPublicKey) -> bool:
        return key.spki in self._known

    def __iter__(self) -> Iterator[RawPublicKey]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"RawPublicKeys({listed(self.keys)})"


def listed(keys: Sequence[RawPublicKey]) -> str:
    """The fingerprints of keys, the first few of them."""
    named = ", ".join([key.fingerprint for key in keys[:_MAX_LISTED]])
    return f"{named} and {len(keys) - _MAX_LISTED} more" if len(keys) > _MAX_LISTED else named


def _key(given: Any) -> RawPublicKey:
    if isinstance(given, RawPublicKey):
        return given
    if not isinstance(given, bytes):
        return RawPublicKey.from_key(given)
    if given.startswith(b"-----BEGIN "):
        raise ConfigError("the keys hold PEM: use RawPublicKeys.from_pem")
    try:
        return RawPublicKey.from_der(given)
    except (DecodeError, CertificateRejected) as error:
        raise ConfigError(f"what is given as a raw public key cannot be used: {error.detail}") from None


# -- Verifiers ---------------------------------------------------------------------------------------------------------


@runtime_checkable
class RawKeyVerifier(Protocol):
    """What a ServerVerifier or ClientVerifier is besides when it takes raw public keys.

    `certificate_types` says which types are believed, preferred first, `CertificateType.RAW_PUBLIC_KEY` among them. It
    is read once, when a configuration is made. `verify_server` or `verify_client` is asked about certificates only
    where `CertificateType.X509` is there as well.
    """

    @property
    def certificate_types(self) -> tuple[CertificateType, ...]: ...

    def verify_raw_key(
        self, key: RawPublicKey, server_name: ServerName | None, *, now: float
    ) -> Peer | Awaitable[Peer]:
        """The peer with this key, `Peer((), raw_key=key)`.

        Args:
            key: what the peer sent, parsed, of a kind and size that is accepted. That it holds the private key is
                checked elsewhere.
            server_name: whom a client asked for; None on a server.
            now: the time, in seconds since 1970.

        Raises:
            CertificateRejected: it is not believed.
        """
        ...


class KeysVerifier:
    """Believes the keys of `RawPublicKeys`; besides, where there is `certificates`, what that one believes.

    It is both a ServerVerifier and a ClientVerifier.

    Args:
        sources: the keys: RawPublicKeys, or objects whose `current` gives them.
        certificates: decides about certificates; None when none are taken.
        types: the types that are taken, preferred first.
        authorize: what else must be true of who has a key.
    """

    __slots__ = ("_sources", "_token", "authorize", "certificate_types", "certificates")

    def __init__(
        self,
        sources: Sequence[object],
        certificates: RootsServerVerifier | RootsClientVerifier | None,
        types: tuple[CertificateType, ...],
        authorize: Authorize | None,
    ) -> None:
        self._sources = tuple(sources)
        self.certificates = certificates
        self.certificate_types = types
        self.authorize = authorize
        self._token = secrets.token_bytes(16)

    def __repr__(self) -> str:
        others = "" if self.certificates is None else f", {self.certificates!r}"
        return f"KeysVerifier({listed(self.keys)}{others})"

    @property
    def keys(self) -> tuple[RawPublicKey, ...]:
        """The keys of now."""
        return tuple([key for source in self._sources for key in _current(source)])

    @property
    def hints(self) -> tuple[DistinguishedName, ...]:
        """The CA names for clients that are asked for a certificate; none for those asked for a raw key."""
        return () if self.certificates is None else getattr(self.certificates, "hints", ())

    @property
    def session_binding(self) -> bytes:
        """Names whom this verifier believes: a session is resumed under the same only."""
        rule = b"" if self.authorize is None else self.authorize.session_binding or self._token
        others = b"" if self.certificates is None else self.certificates.session_binding
        parts = [
            *[_current(source).fingerprint for source in self._sources],
            rule,
            others,
            bytes(self.certificate_types),
        ]
        return hashlib.sha256(
            b"".join([len(part).to_bytes(2, "big") + part for part in (b"raw keys", *parts)])
        ).digest()

    def verify_raw_key(
        self,
        key: RawPublicKey,
        server_name: ServerName | None,  # noqa: ARG002 (a key has no name)
        *,
        now: float,  # noqa: ARG002 (nor does it expire)
    ) -> Peer | Awaitable[Peer]:
        """See `RawKeyVerifier`: it must be one of the keys of now."""
        if not any(key in _current(source) for source in self._sources):
            trusted = self.keys
            raise CertificateRejected(
                CertificateProblem.UNKNOWN_RAW_KEY,
                f"{key.title} ({key.algorithm}) is not among those trusted here: {listed(trusted)}",
                expected=f"one of {listed(trusted)}" if len(trusted) > 1 else listed(trusted),
                found=key.fingerprint,
                remedy="if this key is the peer's own, add it to the RawPublicKeys; if not, have the peer use the key "
                "that is there",
            )
        return authorized_peer(self.authorize, Peer((), raw_key=key))

    def verify_server(
        self, chain: tuple[Certificate, ...], server_name: ServerName, *, now: float, ocsp_response: bytes = b""
    ) -> Peer | Awaitable[Peer]:
        """See `ServerVerifier`: as `certificates` says."""
        verifier = cast("RootsServerVerifier", self._for_certificates(chain))
        return verifier.verify_server(chain, server_name, now=now, ocsp_response=ocsp_response)

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer | Awaitable[Peer]:
        """See `ClientVerifier`: as `certificates` says."""
        verifier = cast("RootsClientVerifier", self._for_certificates(chain))
        return verifier.verify_client(chain, now=now)

    def _for_certificates(self, chain: tuple[Certificate, ...]) -> object:
        if self.certificates is None:
            raise CertificateRejected(
                CertificateProblem.UNKNOWN_ISSUER,
                f"{chain[0].title} is a certificate, and only raw public keys are trusted here",
                certificate=chain[0],
                expected=f"one of {listed(self.keys)}",
                found="a certificate",
                remedy="have the peer present its raw public key, or give roots beside the keys",
            )
        return self.certificates


def certificate_types(verifier: object) -> tuple[CertificateType, ...]:
    """The types that a verifier takes, preferred first; X.509 alone unless it says that it takes raw public keys.

    Raises:
        ConfigError: it says what cannot be.
    """
    types = getattr(verifier, "certificate_types", None)
    if types is None:
        return (CertificateType.X509,)
    known = (CertificateType.X509, CertificateType.RAW_PUBLIC_KEY)
    if not isinstance(types, tuple) or not types or len(set(types)) != len(types) or not set(types) <= set(known):
        raise ConfigError(
            f"`certificate_types` of {type(verifier).__name__} is {types!r}: expected a tuple of CertificateType.X509 "
            "and CertificateType.RAW_PUBLIC_KEY, or of one of them"
        )
    if CertificateType.RAW_PUBLIC_KEY in types and not isinstance(verifier, RawKeyVerifier):
        raise ConfigError(f"{type(verifier).__name__} says that it takes raw public keys, and has no `verify_raw_key`")
    return tuple([CertificateType(kind) for kind in types])


def divided(roots: Any) -> tuple[tuple[object, ...], Roots | None, tuple[CertificateType, ...]]:
    """What `Roots` names: the sources of raw keys, the roots for certificates or None, and the types in their order."""
    given = tuple(roots) if isinstance(roots, Sequence) else (roots,)
    keys = tuple([one for one in given if holds_keys(one)])
    others = tuple([one for one in given if not holds_keys(one)])
    kinds = [CertificateType.RAW_PUBLIC_KEY if holds_keys(one) else CertificateType.X509 for one in given]
    rest: Any = (others[0] if len(others) == 1 else others) if others else None
    return keys, rest, tuple(dict.fromkeys(kinds))


def holds_keys(source: object) -> bool:
    """Whether this is RawPublicKeys, or something whose `current` gives them."""
    return isinstance(source, RawPublicKeys) or isinstance(getattr(source, "current", None), RawPublicKeys)


def _current(source: object) -> RawPublicKeys:
    keys = source if isinstance(source, RawPublicKeys) else getattr(source, "current", None)
    if not isinstance(keys, RawPublicKeys):
        raise ConfigError(f"the raw public keys are gone: `current` gives {type(keys).__name__}")
    return keys
