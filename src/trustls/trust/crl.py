"""CertificateRevocationList and CrlStore: what CAs say about the certificates that they took back (RFC 5280 5).

A CRL comes from this side's own configuration, so one that cannot be used is a `ConfigError` or stands in the store's
report. It is used only whole: version 2, for all reasons, not indirect, no delta. Whether it is signed by the CA, and
what it means for a certificate, is `Revocation`'s work.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import enum
import hashlib
import os
import threading
import time
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, DecodeError
from trustls.trust import extensions as _ext
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.extensions import NameForm, extension_list, malformed, seconds
from trustls.trust.pem import PEMSource, found_instead, pem_bytes, pem_origin
from trustls.trust.roots import LeftOut
from trustls.values import dataclass
from trustls.wire import der as _der
from trustls.wire.names import DistinguishedName, brief

if TYPE_CHECKING:
    from trustls.reloading import Reloading


class RevocationReason(enum.IntEnum):
    """CRLReason, RFC 5280 5.3.1. `str()` gives the name that it has there."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    REMOVE_FROM_CRL = 8
    PRIVILEGE_WITHDRAWN = 9
    AA_COMPROMISE = 10

    def __str__(self) -> str:
        return _REASON_NAMES[self]


class RevokedCertificate(NamedTuple):
    """One entry of a CRL.

    Attributes:
        serial_number: of the certificate.
        revoked_at: since when, in seconds since 1970.
        reason: why; None when the CA does not say.
    """

    serial_number: int
    revoked_at: int
    reason: RevocationReason | None


class Scope(NamedTuple):
    """Which certificates of its issuer a CRL is for (issuingDistributionPoint, RFC 5280 5.2.5).

    Attributes:
        names: the names of its distribution point as (NameForm, content); none when it is for all of them.
        only_users: for end-entity certificates only.
        only_cas: for CA certificates only.
    """

    names: tuple[tuple[int, bytes], ...] = ()
    only_users: bool = False
    only_cas: bool = False


class CertificateRevocationList:
    """A full, direct CRL of version 2: its exact DER, and what it says.

    Make one with `from_der` or `from_pem`. Immutable, hashable, equal by DER. Reading it proves nothing about it: its
    signature is checked when it is used. The entries stay where they are in the DER, and are found through an index
    that takes some ten bytes for each.

    Attributes:
        der: the whole CRL.
        issuer: the name of the CA, exact DER inside.
        number: the CRLNumber: of two CRLs for the same certificates, the higher one is newer (RFC 5280 5.2.3).
        this_update: when it was made, in seconds since 1970.
        next_update: by when there is to be a newer one, in seconds since 1970.
        authority_key_identifier: the identifier of the CA's key; None when the CRL does not give it.
        scope: which certificates of the CA it is for.
        entries: how many certificates are revoked by it.
        signature_algorithm: the AlgorithmIdentifier of the signature, exact DER.
        signature: the CA's signature.
        sha256: the SHA-256 of the DER.
    """

    __slots__ = (
        "_buckets",
        "_tbs",
        "authority_key_identifier",
        "der",
        "entries",
        "issuer",
        "next_update",
        "number",
        "scope",
        "sha256",
        "signature",
        "signature_algorithm",
        "this_update",
    )

    der: bytes
    issuer: DistinguishedName
    number: int
    this_update: int
    next_update: int
    authority_key_identifier: bytes | None
    scope: Scope
    entries: int
    signature_algorithm: bytes
    signature: bytes
    sha256: bytes
    _tbs: tuple[int, int]
    _buckets: tuple[array[int], ...]

    def __init__(self) -> None:
        raise TypeError("use CertificateRevocationList.from_der or CertificateRevocationList.from_pem")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a CertificateRevocationList does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a CertificateRevocationList does not change")

    @classmethod
    def from_der(cls, der: bytes) -> CertificateRevocationList:
        """The CRL in `der`, of at most 64 MiB. It takes about a second for a million entries.

        Raises:
            ConfigError: it is not one well-formed CRL, or of a kind that cannot be used: version 1, without nextUpdate
                or CRLNumber, a delta CRL, an indirect one, for some reasons or attribute certificates only, or with a
                critical extension that is not known.
        """
        try:
            return _parsed(der)
        except _Unusable as unusable:
            raise ConfigError(f"{unusable.subject} cannot be used: {unusable.reason}") from None

    @classmethod
    def from_pem(cls, source: PEMSource) -> tuple[CertificateRevocationList, ...]:
        """Every CRL in a PEM file, in its order; anything else in the file is passed over. One CRL in DER is taken too.

        Args:
            source: the text as bytes or str, or the path of a file of it.

        Raises:
            ConfigError: there is no CRL in it, or one of them cannot be read or used.
            OSError: the file cannot be read.
        """
        found, unusable = _sorted_out(source)
        if unusable:
            raise ConfigError(f"{unusable[0].subject} in {pem_origin(source)} cannot be used: {unusable[0].reason}")
        return tuple(found)

    @classmethod
    def from_x509(cls, crl: x509.CertificateRevocationList) -> CertificateRevocationList:
        """The same CRL as pyca/cryptography's object holds; raises as `from_der` does."""
        return cls.from_der(crl.public_bytes(Encoding.DER))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, CertificateRevocationList):
            return self.sha256 == other.sha256
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return CertificateRevocationList.from_der, (self.der,)

    def __str__(self) -> str:
        return f"{self.title} ({self.entries} revoked, of {utc(self.this_update)}, due again {utc(self.next_update)})"

    def __repr__(self) -> str:
        return f"<CertificateRevocationList {self}>"

    @property
    def title(self) -> str:
        """Its number and its issuer as text of bounded length, for messages."""
        return f"the CRL number {self.number} of {brief(self.issuer)}"

    @property
    def tbs(self) -> memoryview:
        """The part that is signed (tbsCertList)."""
        start, stop = self._tbs
        return memoryview(self.der)[start:stop]

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the DER, in hex."""
        return self.sha256.hex()

    def entry(self, serial_number: int) -> RevokedCertificate | None:
        """The entry for the issuer's certificate of this serial number; None when it is not revoked by this CRL.

        That it is not revoked follows only from a CRL that covers the certificate, and is signed and current.
        """
        content = serial_number.to_bytes(serial_number.bit_length() // 8 + 1, "big")
        if len(content) > _MAX_SERIAL:
            return None
        wanted = bytes([_der.INTEGER, len(content)]) + content
        der = self.der
        for at in self._buckets[hash(wanted) & len(self._buckets) - 1]:
            start = at + 2 if der[at + 1] < 0x80 else _der.element(der, at, len(der))[1]
            if der.startswith(wanted, start):
                _, _, stop = _der.element(der, at, len(der))
                tag, start, time_stop = _der.element(der, start + len(wanted), stop)
                reason = _reason(der[time_stop:stop]) if time_stop != stop else None
                return RevokedCertificate(serial_number, seconds(tag, der[start:time_stop]), reason)
        return None

    def covers(self, certificate: Certificate) -> bool:
        """Whether the CRL is for this certificate: by its issuer's name, kind and distribution point (RFC 5280 6.3.3).

        A CRL that names a distribution point covers the certificates that name the same one in their
        cRLDistributionPoints, and no others.

        Raises:
            CertificateRejected: MALFORMED, the certificate's cRLDistributionPoints cannot be read.
        """
        return bool(covering((self,), certificate))

    def is_like(self, other: CertificateRevocationList) -> bool:
        """Whether the two are of the same issuer, key and scope, so that the newer one takes the place of the older."""
        return (
            self.issuer.der == other.issuer.der
            and self.authority_key_identifier == other.authority_key_identifier
            and self.scope == other.scope
        )


CrlSource: TypeAlias = CertificateRevocationList | x509.CertificateRevocationList | bytes


def covering(
    crls: Iterable[CertificateRevocationList], certificate: Certificate
) -> tuple[CertificateRevocationList, ...]:
    """Those CRLs that cover a certificate, in their order; see `CertificateRevocationList.covers`.

    A CA may have split its CRLs into hundreds, so that the certificate's distribution points are read once for all.

    Raises:
        CertificateRejected: MALFORMED, the certificate's cRLDistributionPoints are asked for, and cannot be read.
    """
    found = []
    points: frozenset[tuple[int, bytes]] | None = None
    for crl in crls:
        scope = crl.scope
        if certificate.issuer.der != crl.issuer.der or (scope.only_cas if not certificate.is_ca else scope.only_users):
            continue
        if scope.names:
            if points is None:
                points = frozenset(distribution_points(certificate))
            if points.isdisjoint(scope.names):
                continue
        found.append(crl)
    return tuple(found)


def distribution_points(certificate: Certificate) -> tuple[tuple[int, bytes], ...]:
    """Where the full CRLs for a certificate are found: the names of its cRLDistributionPoints (RFC 5280 4.2.1.13).

    A point that is for some reasons only, or of another CRL issuer, is left out. The name of the certificate's issuer
    is one as well (RFC 5280 6.3.3).

    Returns:
        Each name as (NameForm, content).

    Raises:
        CertificateRejected: MALFORMED, the extension cannot be read.
    """
    own = (int(NameForm.DIRECTORY), certificate.issuer.der)
    value = certificate.extension("2.5.29.31")
    if value is None:
        return (own,)
    names = [own]
    try:
        for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
            if tag != _der.SEQUENCE:
                raise malformed("a distribution point that is none")
            names += _point_names(value, start, stop, own)
    except DecodeError as error:
        raise CertificateRejected(
            CertificateProblem.MALFORMED,
            f"cRLDistributionPoints of {certificate.title}: {error.detail}",
            certificate=certificate,
            remedy=f"issue {certificate.title} anew with well-formed cRLDistributionPoints",
        ) from None
    return tuple(names)


@dataclass(frozen=True, slots=True)
class CrlReport:
    """What became of the CRLs given to a store.

    Attributes:
        added: how many are in the store.
        left_out: those that are not, and why (of a kind that cannot be used, there already, older than others); the
            last hundred.
        warnings: those that are in the store, but of no use at the time they were added (out of date, of the future);
            the last hundred.
    """

    added: int = 0
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.added} in the store, {len(self.left_out)} left out"]
        lines += [f"left out {one}" for one in self.left_out]
        lines += [f"warning: {one}" for one in self.warnings]
        return "\n".join(lines)


class _State(NamedTuple):
    crls: tuple[CertificateRevocationList, ...]
    by_issuer: dict[bytes, tuple[CertificateRevocationList, ...]]
    unusable: dict[bytes, str]
    report: CrlReport


class CrlStore:
    """The CRLs that certificates are looked up in.

    Safe to share between threads. A store can take newer CRLs at any time: a verification that is under way sees it as
    it was before or as it is after, never in between. Of CRLs with the same issuer, key and scope the two newest are
    kept: the newest counts, and the one before it as long as the newest is not valid yet, or turns out to be badly
    signed.

    Args:
        crls: the CRLs to begin with; raises as `add` does.

    >>> len(CrlStore())
    0
    """

    __slots__ = ("_lock", "_state")

    def __init__(self, crls: Iterable[CrlSource] = ()) -> None:
        self._lock = threading.Lock()
        self._state = _State((), {}, {}, CrlReport())
        for crl in crls:
            self.add(crl)

    @classmethod
    def from_pem(cls, source: PEMSource) -> CrlStore:
        """A store of the CRLs in a file, PEM or DER: its content, or the path of it. See `add_pem`."""
        store = cls()
        store.add_pem(source)
        return store

    @classmethod
    def from_der(cls, *crls: bytes) -> CrlStore:
        """A store of these CRLs, each one DER; raises as `add` does."""
        return cls(crls)

    @classmethod
    def reloading(cls, *paths: str | os.PathLike[str], interval: float = 5.0) -> Reloading[CrlStore]:
        """A store of the CRLs in these files, PEM or DER, that follows them: see `Reloading.from_files`.

        Args:
            paths: the files, all of which must be readable and hold a CRL.
            interval: seconds after which the files are looked at even if nothing was heard of them.

        Raises:
            ConfigError, OSError: as `add_pem`. Later, such files leave the store as it is, and are logged.
        """
        from trustls.reloading import Reloading

        files = [Path(path).absolute() for path in paths]  # Whatever the working folder is later.

        def load() -> CrlStore:
            store = cls()
            for file in files:
                store.add_pem(os.fspath(file))
            return store

        return Reloading.from_files(load, *files, interval=interval, key=lambda store: store.fingerprint)

    def add(self, crl: CrlSource) -> None:
        """Take one more CRL: a CertificateRevocationList, a cryptography one, or DER.

        One that is there already, or older than two others for the same certificates, is left out, which `report` says.

        Raises:
            ConfigError: it is no CRL, or cannot be used (see `CertificateRevocationList.from_der`).
        """
        if isinstance(crl, x509.CertificateRevocationList):
            crl = CertificateRevocationList.from_x509(crl)
        elif not isinstance(crl, CertificateRevocationList):
            if not isinstance(crl, (bytes, bytearray, memoryview)):
                raise ConfigError(f"a CRL is a CertificateRevocationList or DER bytes, not {type(crl).__name__}")
            if bytes(crl[:11]) == b"-----BEGIN ":
                raise ConfigError("these bytes are PEM: use add_pem")
            crl = CertificateRevocationList.from_der(bytes(crl))
        self._grow([crl], [])

    def add_pem(self, source: PEMSource) -> CrlReport:
        """Take every CRL in a file, PEM or a single one in DER, and say what became of each.

        One of a kind that cannot be used, such as a delta CRL, is left out; `report` has it too.

        Args:
            source: the content as bytes or str, or the path of a file of it.

        Raises:
            ConfigError: the file is damaged, or there is no CRL in it, or none that can be used. Then nothing is taken.
            OSError: the file cannot be read.
        """
        good, unusable = _sorted_out(source)
        if not good:
            first = unusable[0]
            raise ConfigError(f"no CRL in {pem_origin(source)} can be used: {first.subject}: {first.reason}")
        return self._grow(good, unusable)

    @property
    def report(self) -> CrlReport:
        """What became of the CRLs given to this store."""
        return self._state.report

    @property
    def fingerprint(self) -> bytes:
        """A SHA-256 hash over the CRLs in their order: two stores of the same CRLs have the same."""
        return hashlib.sha256(b"".join([crl.sha256 for crl in self._state.crls])).digest()

    def for_issuer(self, name: DistinguishedName) -> tuple[CertificateRevocationList, ...]:
        """The CRLs of the CA with this name, the highest number first."""
        return self._state.by_issuer.get(name.der, ())

    def unusable_of(self, name: DistinguishedName) -> str:
        """Why a CRL of the CA with this name was left out as one that cannot be used; empty when none was."""
        return self._state.unusable.get(name.der, "")

    def issuers(self) -> tuple[DistinguishedName, ...]:
        """The names of the CAs of which there are CRLs, each once."""
        return tuple(crls[0].issuer for crls in self._state.by_issuer.values())

    def __len__(self) -> int:
        return len(self._state.crls)

    def __iter__(self) -> Iterator[CertificateRevocationList]:
        return iter(self._state.crls)

    def __contains__(self, crl: object) -> bool:
        return crl in self._state.crls

    def __repr__(self) -> str:
        return f"<CrlStore of {len(self)} CRLs>"

    def __reduce__(self) -> tuple[type[CrlStore], tuple[()], tuple[object, ...]]:
        return type(self), (), tuple(self._state)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = _State(*state)

    def _grow(self, crls: list[CertificateRevocationList], unusable: list[_Unusable]) -> CrlReport:
        now = time.time()
        left_out = [LeftOut(one.subject, one.reason) for one in unusable]
        with self._lock:
            # Readers take `_state` once, without the lock: the old state stays as it is, the new one replaces it whole.
            state = self._state
            kept = list(state.crls)
            warnings = []
            new = 0
            for crl in crls:
                if crl in kept:
                    left_out.append(LeftOut(crl.title, "it is in the store already"))
                    continue
                kept.append(crl)
                new += 1
                older = sorted((one for one in kept if one.is_like(crl)), key=_newness, reverse=True)[_KEPT:]
                for one in older:
                    kept.remove(one)
                    left_out.append(LeftOut(one.title, "newer ones of the same issuer, key and scope are here"))
                    new -= one is crl
                if crl not in older and not crl.this_update <= now <= crl.next_update:
                    late = now > crl.next_update
                    warnings.append(
                        f"{crl.title} was to be replaced by {utc(crl.next_update)}"
                        if late
                        else f"{crl.title} is valid from {utc(crl.this_update)} only"
                    )
            by_issuer: dict[bytes, tuple[CertificateRevocationList, ...]] = {}
            for crl in sorted(kept, key=_newness, reverse=True):
                by_issuer[crl.issuer.der] = (*by_issuer.get(crl.issuer.der, ()), crl)
            total = CrlReport(
                len(kept),
                (*state.report.left_out, *left_out)[-_REPORTED:],
                (*state.report.warnings, *warnings)[-_REPORTED:],
            )
            all_unusable = {
                **state.unusable,
                **{one.issuer.der: one.reason for one in unusable if one.issuer is not None},
            }
            self._state = _State(tuple(kept), by_issuer, all_unusable, total)
        return CrlReport(new, tuple(left_out), tuple(warnings))


def utc(moment: int) -> str:
    """A time as text for a message."""
    return f"{_EPOCH + datetime.timedelta(seconds=moment):%Y-%m-%d %H:%M:%S} UTC"


def _newness(crl: CertificateRevocationList) -> tuple[int, int]:
    return crl.number, crl.this_update


def revoked_fault(certificate: Certificate, revoked_at: int, reason: RevocationReason | None, source: str) -> Fault:
    """That a certificate is revoked, since when and why, and who says so (`source`, in words)."""
    since = f"on {utc(revoked_at)}"
    why = "no reason given" if reason is None else str(reason)
    held = reason is RevocationReason.CERTIFICATE_HOLD
    return Fault(
        CertificateProblem.REVOKED,
        f"{certificate.title} (serial number {certificate.serial_number:x}) was revoked {since} ({why}), "
        f"as {source} says",
        expected="a certificate that is not revoked",
        found=f"revoked {since}, {why}",
        remedy=f"have the CA lift the hold on {certificate.title}, or use another certificate"
        if held
        else f"use a new certificate in place of {certificate.title}, with a new key",
    )


class _Unusable(Exception):
    """Why a CRL cannot be used; `issuer` says whose it is, as far as that could be read."""

    def __init__(self, issuer: DistinguishedName | None, reason: str) -> None:
        super().__init__(reason)
        self.issuer = issuer
        self.reason = reason

    @property
    def subject(self) -> str:
        return "this CRL" if self.issuer is None else f"the CRL of {brief(self.issuer)}"


def _parsed(der: bytes) -> CertificateRevocationList:
    crl: CertificateRevocationList = object.__new__(CertificateRevocationList)
    try:
        if len(der) > _MAX_CRL:
            raise malformed(f"it has more than {_MAX_CRL >> 20} MiB")
        _parse(crl, bytes(der))
    except DecodeError as error:
        raise _Unusable(getattr(crl, "issuer", None), error.detail) from None
    return crl


def _parse(crl: CertificateRevocationList, der: bytes) -> None:
    """Fill a new CRL from its DER (RFC 5280 5.1)."""
    element, expect = _der.element, _der.expect
    start, end = _large(der, 0, len(der), _der.SEQUENCE)
    tbs_start = start
    at, tbs_stop = _large(der, start, end, _der.SEQUENCE)
    _, algorithm_stop = expect(der, tbs_stop, end, _der.SEQUENCE)
    algorithm = der[tbs_stop:algorithm_stop]
    signature_start, signature_stop = expect(der, algorithm_stop, end, _der.BIT_STRING)
    if not signature_stop == end == len(der):
        raise malformed("bytes follow it")
    if signature_start == signature_stop or der[signature_start] != 0:
        raise malformed("the signature is not a whole number of bytes")

    tag, start, stop = element(der, at, tbs_stop)
    if tag != _der.INTEGER or der[start:stop] != b"\x01":
        raise malformed("it is not of version 2")
    _, at = expect(der, stop, tbs_stop, _der.SEQUENCE)
    # RFC 5280 5.1.1.2: both fields must be the same; only one of them is covered by the signature.
    if der[stop:at] != algorithm:
        raise malformed("the signature algorithm inside differs from the one outside")
    _, stop = expect(der, at, tbs_stop, _der.SEQUENCE)
    fill = object.__setattr__
    fill(crl, "issuer", DistinguishedName(der[at:stop]))
    if not crl.issuer:
        raise malformed("it names no issuer")
    tag, start, at = element(der, stop, tbs_stop)
    this_update = seconds(tag, der[start:at])
    if at == tbs_stop or der[at] not in (_der.UTC_TIME, _der.GENERALIZED_TIME):
        raise malformed("it has no nextUpdate")
    tag, start, at = element(der, at, tbs_stop)
    next_update = seconds(tag, der[start:at])
    if next_update < this_update:
        raise malformed("its nextUpdate is before its thisUpdate")
    entries = (at, at)
    if at < tbs_stop and der[at] == _der.SEQUENCE:
        entries = _large(der, at, tbs_stop, _der.SEQUENCE)
        at = entries[1]
    start, stop = (at, at) if at == tbs_stop else expect(der, at, tbs_stop, 0xA0)
    if stop != tbs_stop:
        raise malformed("an unknown field")
    number, key_identifier, scope = _crl_extensions(extension_list(der, start, stop) if start < stop else {})
    # A second reader: nothing is accepted that only one of the two can read. It has checked the form of every entry,
    # which the loop of the index relies on.
    try:
        x509.load_der_x509_crl(der)
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise malformed(str(error)) from None
    count, buckets = _index(der, *entries)

    fill(crl, "der", der)
    fill(crl, "sha256", hashlib.sha256(der).digest())
    fill(crl, "_tbs", (tbs_start, tbs_stop))
    fill(crl, "signature_algorithm", algorithm)
    fill(crl, "signature", der[signature_start + 1 : signature_stop])
    fill(crl, "this_update", this_update)
    fill(crl, "next_update", next_update)
    fill(crl, "number", number)
    fill(crl, "authority_key_identifier", key_identifier)
    fill(crl, "scope", scope)
    fill(crl, "entries", count)
    fill(crl, "_buckets", buckets)


def _large(der: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """The content bounds of an element that may have more than 2^24 bytes, which `expect` does not take."""
    if der[at + 1 : at + 2] != b"\x84":
        return _der.expect(der, at, end, tag)
    start = at + 6
    length = int.from_bytes(der[at + 2 : start], "big")
    if der[at] != tag or length < 1 << 24 or start + length > end:
        raise malformed("a long DER element is malformed, or runs past the end")
    return start, start + length


def _crl_extensions(extensions: dict[bytes, tuple[bool, bytes]]) -> tuple[int, bytes | None, Scope]:
    """(CRLNumber, key identifier, scope) (RFC 5280 5.2)."""
    if _DELTA_CRL_INDICATOR in extensions:
        raise malformed("it is a delta CRL: give the full one")
    for oid, (critical, _) in extensions.items():
        if critical and oid in (_CRL_NUMBER, _ext.AUTHORITY_KEY_IDENTIFIER):
            # RFC 5280 5.2.3, 4.2.1.1.
            name = "CRLNumber" if oid == _CRL_NUMBER else "authorityKeyIdentifier"
            raise malformed(f"its {name} is critical, which it may not be")
        if critical and oid != _ISSUING_DISTRIBUTION_POINT:
            raise malformed(f"it has the critical extension {_der.dotted(oid)}, which is not known")
    if _CRL_NUMBER not in extensions:
        raise malformed("it has no CRLNumber")
    value = extensions[_CRL_NUMBER][1]
    start, stop = _der.whole(value, _der.INTEGER)
    if stop - start > _MAX_SERIAL:
        raise malformed("its CRLNumber has more than 20 bytes")
    number = _der.unsigned(value, start, stop)
    key_identifier = scope = None
    if _ext.AUTHORITY_KEY_IDENTIFIER in extensions:
        key_identifier = _ext.authority_key_identifier(extensions[_ext.AUTHORITY_KEY_IDENTIFIER][1])
    if _ISSUING_DISTRIBUTION_POINT in extensions:
        scope = _scope(extensions[_ISSUING_DISTRIBUTION_POINT][1])
    return number, key_identifier, scope or Scope()


def _scope(value: bytes) -> Scope:
    """IssuingDistributionPoint, RFC 5280 5.2.5."""
    names: tuple[tuple[int, bytes], ...] = ()
    only = dict.fromkeys((_ONLY_USERS, _ONLY_CAS, _INDIRECT, _ONLY_ATTRIBUTES), False)
    last = -1
    for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
        if tag & 0x1F <= last:
            raise malformed("the fields of its issuingDistributionPoint are out of order")
        last = tag & 0x1F
        if tag == _SOME_REASONS:
            raise malformed("it is for some reasons of revocation only: give one for all reasons")
        if tag in only:
            only[tag] = _der.boolean(value, start, stop)
        elif tag == 0xA0:
            names = _full_name(value, start, stop)
            if not names:
                raise malformed(
                    "the name of its distribution point is relative to its issuer's, which is not supported"
                )
        else:
            raise malformed("its issuingDistributionPoint has an unknown field")
    if last < 0:
        raise malformed("its issuingDistributionPoint is empty")
    if only[_INDIRECT]:
        raise malformed("it is an indirect CRL, for certificates of several issuers")
    if only[_ONLY_ATTRIBUTES]:
        raise malformed("it is for attribute certificates only")
    if only[_ONLY_USERS] and only[_ONLY_CAS]:
        raise malformed("it is for user certificates only and for CA certificates only")
    return Scope(names, only[_ONLY_USERS], only[_ONLY_CAS])


def _point_names(value: bytes, at: int, stop: int, own: tuple[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    """The names of one DistributionPoint, as far as a full and direct CRL can be found there."""
    names: tuple[tuple[int, bytes], ...] = ()
    issuers: tuple[tuple[int, bytes], ...] = ()
    for_all_reasons = True
    last = -1
    while at < stop:
        tag, start, end = _der.element(value, at, stop)
        if tag & 0x1F <= last or tag not in (0xA0, 0x81, 0xA2):
            raise malformed("the fields of a distribution point are unknown, or out of order")
        last = tag & 0x1F
        if tag == 0xA0:
            names = _full_name(value, start, end)
        elif tag == 0x81:
            for_all_reasons = False
        else:
            issuers = _general_names(value, at, end)
        at = end
    if not for_all_reasons or (issuers and own not in issuers):
        return ()
    # RFC 5280 6.3.3 (b) (2) (i): without a name of its own the point has that of the CRL's issuer.
    return names or issuers


def _full_name(value: bytes, start: int, stop: int) -> tuple[tuple[int, bytes], ...]:
    """The fullName of a DistributionPointName; none when the name is relative to the CRL issuer's."""
    tag, _, end = _der.element(value, start, stop)
    if end != stop or tag not in (0xA0, 0xA1):
        raise malformed("the name of a distribution point is malformed")
    return _general_names(value, start, stop) if tag == 0xA0 else ()


def _general_names(value: bytes, at: int, stop: int) -> tuple[tuple[int, bytes], ...]:
    # Under their implicit tag GeneralNames are what a subjectAltName holds.
    return _ext.alternative_names(bytes([_der.SEQUENCE]) + value[at + 1 : stop])


def _index(der: bytes, at: int, end: int) -> tuple[int, tuple[array[int], ...]]:
    """How many entries there are, and where each one starts, in buckets by the hash of its serial number.

    A dictionary would take ten times the memory. A bucket has sixteen entries or so, whatever the serial numbers are:
    Python's hash of bytes is keyed.
    """
    buckets = tuple(array("I") for _ in range(1 << (end - at >> 10).bit_length()))
    mask = len(buckets) - 1
    checked: set[bytes] = set()
    count = 0
    while at < end:
        length = der[at + 1]
        start = at + 2
        if length < 0x80:
            stop = start + length
        else:
            _, start, stop = _der.element(der, at, end)
        serial_stop = start + 2 + der[start + 1]
        if serial_stop - start > 2 + _MAX_SERIAL:
            raise malformed("an entry has a serial number of more than 20 bytes")
        time_stop = serial_stop + 2 + der[serial_stop + 1]
        if der[serial_stop] != _der.UTC_TIME:
            # The second reader takes the year zero for one.
            seconds(der[serial_stop], der[serial_stop + 2 : time_stop])
        buckets[hash(der[start:serial_stop]) & mask].append(at)
        if time_stop != stop:
            # Nearly all entries have one of a few reasons, and nothing else.
            extensions = der[time_stop:stop]
            if extensions not in checked:
                _reason(extensions)
                if len(checked) < 64:
                    checked.add(extensions)
        at = stop
        count += 1
    return count, buckets


def _reason(value: bytes) -> RevocationReason | None:
    """The reason among the extensions of an entry (RFC 5280 5.3), all of which are checked."""
    extensions = extension_list(value, 0, len(value))
    for oid, (critical, _) in extensions.items():
        if oid == _CERTIFICATE_ISSUER:
            raise malformed("it is an indirect CRL: an entry names another issuer")
        if critical and oid not in (_REASON_CODE, _INVALIDITY_DATE):
            raise malformed(f"an entry has the critical extension {_der.dotted(oid)}, which is not known")
    if _REASON_CODE not in extensions:
        return None
    code = extensions[_REASON_CODE][1]
    start, stop = _der.whole(code, _ENUMERATED)
    reason = _der.unsigned(code, start, stop)
    if reason not in _REASON_NAMES:
        raise malformed(f"an entry has the reason code {reason}, which there is not")
    if reason == RevocationReason.REMOVE_FROM_CRL:
        # RFC 5280 5.3.1.
        raise malformed("an entry says removeFromCRL, which only a delta CRL can say")
    return RevocationReason(reason)


def _sorted_out(source: PEMSource) -> tuple[list[CertificateRevocationList], list[_Unusable]]:
    """The CRLs of a file that can be used, and why the others cannot; ConfigError when it is damaged."""
    content = pem_bytes(source)
    # A CRL is longer than 127 bytes, so its second byte is no text.
    blocks = [content] if content[:1] == b"\x30" and content[1:2] >= b"\x80" else _blocks(content)
    good: list[CertificateRevocationList] = []
    unusable: list[_Unusable] = []
    for number, block in enumerate(blocks, 1):
        if block is None:
            raise ConfigError(f"CRL {number} in {pem_origin(source)} is cut off, or no base64")
        try:
            good.append(_parsed(block))
        except _Unusable as one:
            if one.issuer is None:
                raise ConfigError(f"CRL {number} in {pem_origin(source)} cannot be read: {one.reason}") from None
            unusable.append(one)
    if not good and not unusable:
        raise ConfigError(
            f"there is no CRL in {pem_origin(source)}: expected {_BEGIN.decode()}, or DER, and {found_instead(content)}"
        )
    return good, unusable


def _blocks(content: bytes) -> Iterator[bytes | None]:
    """The DER of each X509 CRL block; None for one that is no base64, or has no end (RFC 7468 6)."""
    begin = content.find(_BEGIN)
    while begin >= 0:
        start = begin + len(_BEGIN)
        begin = content.find(_BEGIN, start)
        end = content.find(_END, start, begin if begin >= 0 else len(content))
        try:
            yield base64.b64decode(content[start:end].translate(None, b" \t\r\n"), validate=True) if end >= 0 else None
        except binascii.Error:
            yield None


_MAX_CRL: Final = 64 << 20
_MAX_SERIAL: Final = 21  # 20 bytes and a zero for the sign
_KEPT: Final = 2
_REPORTED: Final = 100
_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_END: Final = b"-----END X509 CRL-----"
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_ENUMERATED: Final = 0x0A
_CRL_NUMBER: Final = _der.undotted("2.5.29.20")
_DELTA_CRL_INDICATOR: Final = _der.undotted("2.5.29.27")
_ISSUING_DISTRIBUTION_POINT: Final = _der.undotted("2.5.29.28")
_REASON_CODE: Final = _der.undotted("2.5.29.21")
_INVALIDITY_DATE: Final = _der.undotted("2.5.29.24")
_CERTIFICATE_ISSUER: Final = _der.undotted("2.5.29.29")
# The fields of an issuingDistributionPoint.
_ONLY_USERS: Final = 0x81
_ONLY_CAS: Final = 0x82
_SOME_REASONS: Final = 0x83
_INDIRECT: Final = 0x84
_ONLY_ATTRIBUTES: Final = 0x85
_REASON_NAMES: Final[dict[int, str]] = {
    RevocationReason.UNSPECIFIED: "unspecified",
    RevocationReason.KEY_COMPROMISE: "keyCompromise",
    RevocationReason.CA_COMPROMISE: "cACompromise",
    RevocationReason.AFFILIATION_CHANGED: "affiliationChanged",
    RevocationReason.SUPERSEDED: "superseded",
    RevocationReason.CESSATION_OF_OPERATION: "cessationOfOperation",
    RevocationReason.CERTIFICATE_HOLD: "certificateHold",
    RevocationReason.REMOVE_FROM_CRL: "removeFromCRL",
    RevocationReason.PRIVILEGE_WITHDRAWN: "privilegeWithdrawn",
    RevocationReason.AA_COMPROMISE: "aACompromise",
}
