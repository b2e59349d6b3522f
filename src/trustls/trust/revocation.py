"""Revocation: what CRLs decide about a verified path, and what happens where they decide nothing (RFC 5280 6.3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.cache import BoundedCache
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.crl import CertificateRevocationList, CrlSource, CrlStore, covering, revoked_fault, utc
from trustls.trust.extensions import KeyUsage
from trustls.trust.signatures import data_fault
from trustls.values import dataclass
from trustls.wire.names import brief


class CurrentCrls(Protocol):
    """Where the CRLs of now are found, such as a source that reloads them from files."""

    @property
    def current(self) -> CrlStore:
        """The CRLs of now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Certificates are looked up in CRLs, and this is what follows.

    A certificate is good when a CRL that covers it, signed by the CA above it in the path and not out of date, does not
    list it. One that such a CRL lists is refused, whatever else is set, and even if the CRL is out of date by now. Of a
    CA with a new key, which certified the other one in the path, a CRL by either key counts.

    Attributes:
        crls: a `CrlStore`; or something whose `current` is one, which is asked anew each time (`Reloading`); or CRLs,
            of which a store is made.
        depth: "chain" looks up every certificate of the path but the root, "end-entity" the peer's own only.
        unknown: what becomes of a certificate that no CRL covers. "refuse" is safe; "allow" is for when some of the CAs
            issue no CRLs. Where the CA's CRL is there, but cannot be used, the certificate is refused in either case.
        expired: what becomes of a certificate that is not listed by a CRL whose nextUpdate is past: "refuse", since a
            newer one may list it, or "allow".

    Raises:
        ConfigError: `crls` is none of these, or another field holds an unknown word.
    """

    crls: CrlStore | CurrentCrls | Iterable[CrlSource]
    depth: Literal["chain", "end-entity"] = "chain"
    unknown: Literal["refuse", "allow"] = "refuse"
    expired: Literal["refuse", "allow"] = "refuse"

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            value = getattr(self, name)
            if value not in words:
                raise ConfigError(f"`{name}` is {' or '.join(map(repr, words))}, not {value!r}")
        crls = self.crls
        if not isinstance(crls, CrlStore) and not hasattr(crls, "current"):
            if not isinstance(crls, Iterable) or isinstance(crls, (str, bytes)):
                raise ConfigError(f"`crls` is a CrlStore, not {type(crls).__name__}: see CrlStore.from_pem")
            object.__setattr__(self, "crls", CrlStore(crls))
        _ = self.store

    @property
    def store(self) -> CrlStore:
        """The CRLs of now.

        Raises:
            ConfigError: `crls.current` is something else.
        """
        store = getattr(self.crls, "current", self.crls)
        if not isinstance(store, CrlStore):
            raise ConfigError(f"`crls` gave a {type(store).__name__} where a CrlStore belongs")
        return store

    def fault(
        self, path: tuple[Certificate, ...], *, now: float, leaf_known: bool = False
    ) -> tuple[Certificate, Fault] | None:
        """The certificate of a verified path that may not be believed, and why; None when all of them may.

        Args:
            path: from the leaf to the root, both included, with every signature verified.
            now: the time, in seconds since 1970.
            leaf_known: whether the leaf is known to be good from elsewhere: a stapled OCSP response. Then only a CRL
                that lists it counts against it.
        """
        store = self.store
        second = math.floor(now)
        found: tuple[Certificate, Fault] | None = None
        # From the root downwards: what a CA says counts only if the CA itself has not been revoked.
        for index in range(len(path) - 2 if self.depth == "chain" else 0, -1, -1):
            certificate = path[index]
            if certificate == path[-1]:
                continue
            # RFC 5280 6.3.3 (f): a CA has one name and may have several keys, which vouch for one another.
            issuers = [one for one in path[index + 1 :] if one.subject.der == certificate.issuer.der]
            fault = self._fault_of(certificate, issuers, store, second)
            if fault is None:
                continue
            if fault.problem is CertificateProblem.REVOKED:
                return certificate, fault
            if found is None and not (leaf_known and index == 0 and fault.problem in _NOT_KNOWN):
                found = certificate, fault
        return found

    def _fault_of(
        self, certificate: Certificate, issuers: Sequence[Certificate], store: CrlStore, second: int
    ) -> Fault | None:
        crls = store.for_issuer(certificate.issuer)
        faults: list[Fault] = []
        answered = False
        settled: list[CertificateRevocationList] = []
        try:
            crls = covering(crls, certificate)
        except CertificateRejected as error:
            return Fault.of(error)
        for crl in crls:
            # The newest come first, and an older one of the same kind has no say after them.
            if any(crl.is_like(one) for one in settled):
                continue
            unsigned = [fault for fault in [_issuer_fault(issuer, crl) for issuer in issuers] if fault is not None]
            if len(unsigned) == len(issuers):
                if not all(_is_of_other_key(issuer, crl) for issuer in issuers):
                    faults.append(unsigned[0])
                continue
            entry = crl.entry(certificate.serial_number)
            if entry is not None:
                return revoked_fault(certificate, entry.revoked_at, entry.reason, crl.title)
            if second < crl.this_update:
                faults.append(_not_yet_valid(crl))
                continue
            settled.append(crl)
            if second <= crl.next_update or self.expired == "allow":
                answered = True
            else:
                faults.append(_expired(crl, certificate))
        if answered:
            return None
        if faults:
            return faults[0]
        if self.unknown == "allow" and not store.unusable_of(certificate.issuer):
            return None
        return _unknown(certificate, store)


RevocationLists: TypeAlias = Revocation | CrlStore | CurrentCrls | Iterable[CrlSource]
"""CRLs, and what they decide: a `Revocation`, or anything that its `crls` takes, with everything else as it is."""


def _issuer_fault(issuer: Certificate, crl: CertificateRevocationList) -> Fault | None:
    """Why a CRL is not from this CA (RFC 5280 6.3.3 (f), (g)); remembered, as a large CRL takes long to hash."""
    usage = issuer.key_usage_bits
    if usage is not None and not usage & KeyUsage.CRL_SIGN:
        return Fault(
            CertificateProblem.REVOCATION_UNKNOWN,
            f"{crl.title} does not count, because the keyUsage of {issuer.title} lacks cRLSign",
            expected="cRLSign",
            found="a keyUsage without it",
            remedy=f"issue {issuer.title} anew with cRLSign in keyUsage",
        )
    key = issuer.spki_sha256, crl.sha256
    known = _CHECKED.get(key)
    if known is None:
        fault = data_fault(issuer, crl.signature_algorithm, crl.signature, crl.tbs, crl.title)
        known = (None if fault is None else fault._replace(problem=CertificateProblem.REVOCATION_UNKNOWN),)
        _CHECKED.put(key, known)
    return known[0]


def _is_of_other_key(issuer: Certificate, crl: CertificateRevocationList) -> bool:
    """Whether a CRL says itself that it was signed by another key of the issuer's name."""
    return (
        issuer.subject_key_identifier is not None
        and crl.authority_key_identifier is not None
        and issuer.subject_key_identifier != crl.authority_key_identifier
    )


def _not_yet_valid(crl: CertificateRevocationList) -> Fault:
    return Fault(
        CertificateProblem.REVOCATION_UNKNOWN,
        f"{crl.title} is valid from {utc(crl.this_update)} only",
        expected="a CRL whose thisUpdate is past",
        found=f"thisUpdate {utc(crl.this_update)}",
        remedy="correct the clock here, or that of the CA",
    )


def _expired(crl: CertificateRevocationList, certificate: Certificate) -> Fault:
    return Fault(
        CertificateProblem.CRL_EXPIRED,
        f"{crl.title}, which covers {certificate.title}, was to be replaced by {utc(crl.next_update)}",
        expected="a CRL whose nextUpdate is to come",
        found=f"nextUpdate {utc(crl.next_update)}",
        remedy=f"fetch the newest CRL of {brief(crl.issuer)}",
    )


def _unknown(certificate: Certificate, store: CrlStore) -> Fault:
    issuer = brief(certificate.issuer)
    crls = store.for_issuer(certificate.issuer)
    unusable = store.unusable_of(certificate.issuer)
    remedy = f"fetch the newest CRL of {issuer}"
    if crls:
        why = f"those of its issuer {issuer} are for other certificates, or by another key"
        found = ", ".join(crl.title for crl in crls[:_MAX_LISTED])
        remedy = f"add the CRL of {issuer} that covers it: each key and each distribution point of a CA has its own"
    elif unusable:
        why = f"that of its issuer {issuer} was left out: {unusable}"
        found = "one that cannot be used"
        remedy = f"have {issuer} issue a CRL without that fault"
    else:
        names = [brief(name) for name in store.issuers()[:_MAX_LISTED]]
        found = f"CRLs of {', '.join(names)}" if names else "no CRLs at all"
        why = f"there is none of its issuer {issuer}"
    return Fault(
        CertificateProblem.REVOCATION_UNKNOWN,
        f"no CRL here covers {certificate.title}: {why}",
        expected=f"a CRL of {issuer} that covers it",
        found=found,
        remedy=remedy if unusable else f"{remedy}; or allow what no CRL covers, with Revocation(unknown='allow')",
    )


_WORDS: Final = {
    "depth": ("chain", "end-entity"),
    "unknown": ("refuse", "allow"),
    "expired": ("refuse", "allow"),
}
_NOT_KNOWN: Final = frozenset({CertificateProblem.REVOCATION_UNKNOWN, CertificateProblem.CRL_EXPIRED})
_MAX_LISTED: Final = 8
# Whether a key signed a CRL does not change, and CRLs come from the configuration, so failures may be remembered too.
_CHECKED: Final[BoundedCache[tuple[bytes, bytes], tuple[Fault | None]]] = BoundedCache(entries=1024, weight=1024)
