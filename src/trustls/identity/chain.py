"""The chain of a credential: its leaf found by the key, the issuers put in order behind it (RFC 9846 4.5.1).

People keep certificates in files of every order, with the root first, with an issuer twice, with those of a neighbour
in between. What can be told for certain is mended and reported; what cannot is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trustls.crypto.signatures import PublicKey
from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, KeyMismatch
from trustls.trust.certificate import Certificate
from trustls.trust.signatures import is_verified, key_fault, signature_fault

MAX_CHAIN: Final = 10
"""What goes into one Certificate message; more is a mistake, and peers refuse it."""

# Cross-signed issuers make a chain branch. A file of one's own is no attack, so this only ends what would never end.
_MAX_STEPS: Final = 1000
_MAX_SENTENCES: Final = 8


class Arranged(NamedTuple):
    """A chain in order, and what had to be done for that, in sentences."""

    chain: tuple[Certificate, ...]
    report: tuple[str, ...]


def arranged(
    certificates: Sequence[Certificate], key: PublicKey | None, *, now: float, loose: bool = False
) -> Arranged:
    """The certificate of `key`, then its issuer, and so on as far as the certificates given reach.

    Where the chain branches, because an issuer has several certificates, one whose certificates are all valid is taken
    before others, then the longest (it leads to more roots), then the one that is valid for the longest time.

    Args:
        certificates: in any order, with duplicates and strangers.
        key: the public key that the leaf must have; None when it is not known: then the leaf is the one certificate
            that is no CA's.
        now: the time, in seconds since 1970.
        loose: whether strangers alone beside the leaf are left out, not refused, as befits a PKCS#12 bag.

    Raises:
        KeyMismatch: no certificate is for the key.
        ConfigError: there is more than one leaf, its issuer is not among several certificates given, or more than
            `MAX_CHAIN` would be sent.
    """
    pool = list(dict.fromkeys(certificates))
    leaf = _leaf_by_name(pool) if key is None else _leaf_of(pool, key)
    chain = _Search(leaf, pool, now).best
    if len(without_root(chain)) > MAX_CHAIN:
        raise ConfigError(f"the chain of {leaf.title} is longer than the {MAX_CHAIN} certificates that peers accept")
    others = [certificate for certificate in pool if certificate not in chain]
    if len(chain) == 1 and others and not loose and not signed_itself(leaf):
        raise ConfigError(_broken(leaf, others))
    return Arranged(chain, tuple(_report(certificates, pool, chain, others)))


def signed_itself(certificate: Certificate) -> bool:
    """Whether its own key made the signature on it, as far as that can be told."""
    return certificate.is_self_issued and _signed(certificate, certificate) is not False


def without_root(chain: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """What is sent of a chain.

    RFC 9846 4.5.1: the root may be left out, for who trusts it has it. A leaf that signed itself is sent.
    """
    return chain[:-1] if len(chain) > 1 and signed_itself(chain[-1]) else chain


# -- The leaf ---------------------------------------------------------------------------------------------------------


def _leaf_of(pool: list[Certificate], key: PublicKey) -> Certificate:
    wanted = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = [certificate for certificate in pool if _has_key(certificate, wanted)]
    if not found:
        others = f", nor to any of the {len(pool) - 1} beside it" if len(pool) > 1 else ""
        raise KeyMismatch(f"the private key does not belong to the certificate {pool[0].title}{others}")
    if len(found) > 1:
        # A CA that shares its key with what it issued is odd, and no reason to be in doubt.
        leaves = [certificate for certificate in found if not _is_ca(certificate)]
        if len(leaves) == 1:
            return leaves[0]
        raise ConfigError(
            f"{len(found)} certificates are for this key, and one of them can be presented: {_listed(found)}; "
            "leave out the others, or make a credential of each"
        )
    return found[0]


def _has_key(certificate: Certificate, spki: bytes) -> bool:
    if certificate.spki == spki:
        return True
    try:
        # The same key may be written down in more than one way.
        key = certificate.public_key
    except CertificateRejected:
        return False
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki


def _leaf_by_name(pool: list[Certificate]) -> Certificate:
    issuers = {certificate.issuer.der for certificate in pool if not certificate.is_self_issued}
    last = [certificate for certificate in pool if certificate.subject.der not in issuers]
    for found in ([certificate for certificate in last if not _is_ca(certificate)], last):
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise ConfigError(
        f"which of these is the signer's certificate cannot be told: {_listed(pool)}; give it alone with its issuers, "
        "or a signer that has `public_key`"
    )


def _is_ca(certificate: Certificate) -> bool:
    try:
        return certificate.is_ca
    except CertificateRejected:
        return False


# -- Its issuers ------------------------------------------------------------------------------------------------------


class _Search:
    """One search for the best chain that starts at a leaf."""

    __slots__ = ("_by_subject", "_now", "_rank", "_steps", "best")

    def __init__(self, leaf: Certificate, pool: Iterable[Certificate], now: float) -> None:
        self._by_subject: dict[bytes, list[Certificate]] = {}
        # In an order of their own, so that the order in the file changes nothing.
        for certificate in sorted(pool, key=lambda certificate: certificate.sha256):
            self._by_subject.setdefault(certificate.subject.der, []).append(certificate)
        self._now = now
        self._steps = 0
        self._rank: tuple[object, ...] = ()
        self.best: tuple[Certificate, ...] = (leaf,)
        self._extend((leaf,))

    def _extend(self, chain: tuple[Certificate, ...]) -> None:
        self._steps += 1
        issuers = () if signed_itself(chain[-1]) else self._issuers(chain)
        if not issuers or self._steps > _MAX_STEPS or len(chain) > MAX_CHAIN:
            self._consider(chain)
            return
        for issuer in issuers:
            self._extend((*chain, issuer))

    def _issuers(self, chain: tuple[Certificate, ...]) -> list[Certificate]:
        """Those that issued the last of the chain; those that may have, where no signature can be checked."""
        below = {certificate.subject.der for certificate in chain}
        sure, unsure = [], []
        for issuer in self._by_subject.get(chain[-1].issuer.der, ()):
            leads_back = not issuer.is_self_issued and issuer.issuer.der in below
            if leads_back or any(issuer.spki == one.spki and issuer.subject == one.subject for one in chain):
                continue
            signed = _signed(issuer, chain[-1])
            if signed is None:
                unsure.append(issuer)
            elif signed:
                sure.append(issuer)
        return sure or unsure

    def _consider(self, chain: tuple[Certificate, ...]) -> None:
        sent = without_root(chain)
        rank = (
            len(sent) <= MAX_CHAIN,
            all(certificate.not_before <= self._now <= certificate.not_after for certificate in sent),
            len(sent),
            [certificate.not_after for certificate in sent],
            len(chain),
            [certificate.sha256 for certificate in chain],
        )
        if not self._rank or rank > self._rank:
            self._rank = rank
            self.best = chain


def _signed(issuer: Certificate, certificate: Certificate) -> bool | None:
    """Whether this issuer's key signed the certificate; None when that is a signature nobody checks any more."""
    if is_verified(issuer, certificate):
        return True
    if key_fault(issuer) is not None:
        return None
    fault = signature_fault(issuer, certificate)
    if fault is None:
        return True
    return None if fault.problem is CertificateProblem.UNSUPPORTED_SIGNATURE else False


# -- What is said -----------------------------------------------------------------------------------------------------


def _broken(leaf: Certificate, others: list[Certificate]) -> str:
    said = f"the chain is broken: {leaf.title} was issued by {leaf.issuer}, "
    if any(certificate.subject == leaf.issuer for certificate in others):
        said += "and the certificate of that name given did not sign it: it has another key (was that CA made anew?)"
    else:
        said += f"which is not among the other certificates given: {_listed(others)}"
    return f"{said}; add the issuer's certificate, or give the leaf alone to peers that have it"


def _report(
    given: Sequence[Certificate],
    pool: list[Certificate],
    chain: tuple[Certificate, ...],
    others: list[Certificate],
) -> Iterable[str]:
    if len(given) > len(pool):
        twice = [certificate for certificate in pool if list(given).count(certificate) > 1]
        yield f"given more than once: {_listed(twice)}"
    if [certificate for certificate in pool if certificate in chain] != list(chain):
        yield "put in order: " + " <- ".join(certificate.title for certificate in chain)
    for certificate in others[:_MAX_SENTENCES]:
        yield f"left out {certificate.title}: {_why_left_out(certificate, chain)}"
    if len(others) > _MAX_SENTENCES:
        yield f"left out {len(others) - _MAX_SENTENCES} more that are not on the path of {chain[0].title}"


def _why_left_out(certificate: Certificate, chain: tuple[Certificate, ...]) -> str:
    for one in chain:
        if certificate.subject == one.subject and certificate.spki == one.spki:
            return f"another certificate of the same name and key is in its place ({one})"
        if certificate.subject == one.issuer and _signed(certificate, one) is False:
            return f"it has the name of the issuer of {one.title}, but another key"
    return f"it is not on the path of {chain[0].title}"


def _listed(certificates: Sequence[Certificate]) -> str:
    named = ", ".join(map(str, certificates[:_MAX_SENTENCES]))
    left = len(certificates) - _MAX_SENTENCES
    return f"{named} and {left} more" if left > 0 else named
