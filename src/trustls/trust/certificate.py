"""Certificate: an X.509 certificate as path validation and people need it (RFC 5280 4).

The DER is read here, by position, and only as deep as is asked for: names, key and signature are exact slices of it.
pyca/cryptography parses every certificate as well, so that nothing is accepted that only one of the two can read.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import datetime
import enum
import functools
import hashlib
import ipaddress
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, TypeAlias, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, DecodeError, Misbehaviour
from trustls.trust.cache import BoundedCache
from trustls.wire import der as _der
from trustls.wire.names import DistinguishedName, brief, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_T = TypeVar("_T")
PEMSource: TypeAlias = bytes | str | os.PathLike[str]


class KeyUsage(enum.IntFlag):
    """KeyUsage, RFC 5280 4.2.1.3."""

    DIGITAL_SIGNATURE = 1 << 0
    CONTENT_COMMITMENT = 1 << 1
    KEY_ENCIPHERMENT = 1 << 2
    DATA_ENCIPHERMENT = 1 << 3
    KEY_AGREEMENT = 1 << 4
    KEY_CERT_SIGN = 1 << 5
    CRL_SIGN = 1 << 6
    ENCIPHER_ONLY = 1 << 7
    DECIPHER_ONLY = 1 << 8


class NameForm(enum.IntEnum):
    """The forms of a GeneralName, by tag number (RFC 5280 4.2.1.6)."""

    OTHER = 0
    EMAIL = 1
    DNS = 2
    X400 = 3
    DIRECTORY = 4
    EDI_PARTY = 5
    URI = 6
    IP = 7
    REGISTERED_ID = 8


class NameConstraints(NamedTuple):
    """NameConstraints, RFC 5280 4.2.1.10: (form, content of the GeneralName) for each subtree."""

    permitted: tuple[tuple[int, bytes], ...]
    excluded: tuple[tuple[int, bytes], ...]


class Fault(NamedTuple):
    """What is wrong with a certificate, as a value."""

    problem: CertificateProblem
    detail: str


_BASIC_CONSTRAINTS: Final = _der.undotted("2.5.29.19")
_KEY_USAGE: Final = _der.undotted("2.5.29.15")
_EXTENDED_KEY_USAGE: Final = _der.undotted("2.5.29.37")
_SUBJECT_ALT_NAME: Final = _der.undotted("2.5.29.17")
_NAME_CONSTRAINTS: Final = _der.undotted("2.5.29.30")
_SUBJECT_KEY_IDENTIFIER: Final = _der.undotted("2.5.29.14")
_AUTHORITY_KEY_IDENTIFIER: Final = _der.undotted("2.5.29.35")
_POLICY_CONSTRAINTS: Final = _der.undotted("2.5.29.36")
_AUTHORITY_INFORMATION_ACCESS: Final = _der.undotted("1.3.6.1.5.5.7.1.1")
_EMAIL_ADDRESS: Final = _der.undotted("1.2.840.113549.1.9.1")

# The extensions that may be critical, because they are honoured. The last three are honoured by having no effect: every
# policy is acceptable here and no explicit one is ever required (RFC 5280 6.1.5 (g); a policyConstraints that would
# require one is refused). Key identifiers and AIA are missing: RFC 5280 says that they are never critical.
_HONOURED: Final = frozenset(
    {
        _BASIC_CONSTRAINTS,
        _KEY_USAGE,
        _EXTENDED_KEY_USAGE,
        _SUBJECT_ALT_NAME,
        _NAME_CONSTRAINTS,
        _der.undotted("2.5.29.32"),  # certificatePolicies
        _der.undotted("2.5.29.33"),  # policyMappings
        _der.undotted("2.5.29.54"),  # inhibitAnyPolicy
    }
)

_MAX_CERTIFICATE: Final = 1 << 16
_MAX_EXTENSIONS: Final = 64
_PEM_BLOCK: Final = re.compile(
    rb"-----BEGIN (?:X509 )?CERTIFICATE-----\s(.*?)-----END (?:X509 )?CERTIFICATE-----", re.DOTALL
)


class Certificate:
    """An X.509 version 3 certificate: its exact DER, and what it says.

    Make one with `from_der` or `from_pem`. Immutable, hashable, equal by DER. Reading a certificate proves nothing
    about it: that is `verify_path`'s work. An extension is read when it is first asked for, and `fault` reads them all,
    so the properties of an extension raise `CertificateRejected` when its content is malformed.

    Attributes:
        der: the whole certificate.
        tbs: the part that is signed (tbsCertificate).
        signature_algorithm: the AlgorithmIdentifier of the signature, exact DER.
        signature: the issuer's signature.
        version: 1, 2 or 3; `fault` refuses all but 3.
        serial_number: zero or above; at most 160 bits.
        issuer: the issuer's name, exact DER inside.
        subject: the subject's name, exact DER inside.
        not_before: the first second of validity, in seconds since 1970.
        not_after: the last second of validity, in seconds since 1970.
        spki: the SubjectPublicKeyInfo, exact DER.
        spki_algorithm: the AlgorithmIdentifier of the key, exact DER.
    """

    __slots__ = (
        "_basic",
        "_extended_key_usage",
        "_extensions",
        "_fault",
        "_hash",
        "_key_usage",
        "_name_constraints",
        "_names",
        "_public_key",
        "_sha256",
        "_spki_sha256",
        "_x509",
        "der",
        "issuer",
        "not_after",
        "not_before",
        "serial_number",
        "signature",
        "signature_algorithm",
        "spki",
        "spki_algorithm",
        "subject",
        "tbs",
        "version",
    )

    der: bytes
    tbs: bytes
    signature_algorithm: bytes
    signature: bytes
    version: int
    serial_number: int
    issuer: DistinguishedName
    subject: DistinguishedName
    not_before: int
    not_after: int
    spki: bytes
    spki_algorithm: bytes
    _extensions: dict[bytes, tuple[bool, bytes]]
    _x509: x509.Certificate | None
    _public_key: PublicKeyTypes
    _sha256: bytes
    _spki_sha256: bytes
    _hash: int
    _fault: Fault | None
    _basic: tuple[bool, int | None]
    _key_usage: int | None
    _extended_key_usage: tuple[str, ...] | None
    _names: tuple[tuple[int, bytes], ...]
    _name_constraints: NameConstraints | None

    def __init__(self) -> None:
        raise TypeError("use Certificate.from_der or Certificate.from_pem")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Certificate does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Certificate does not change")

    @classmethod
    def from_der(cls, der: bytes) -> Certificate:
        """The certificate in `der`.

        The last few hundred certificates are remembered, because a peer sends the same chain again and again: the same
        bytes give the same object.

        Raises:
            CertificateRejected: MALFORMED, it is not one well-formed certificate.
        """
        der = bytes(der)
        known = _PARSED.get(der)
        if known is not None:
            return known
        certificate: Certificate = object.__new__(cls)
        try:
            _parse(certificate, der)
        except DecodeError as error:
            raise CertificateRejected(CertificateProblem.MALFORMED, error.detail) from None
        # What is read later costs memory as well: about four times the DER.
        _PARSED.put(der, certificate, len(der) * 5 + 2048)
        return certificate

    @classmethod
    def from_pem(cls, source: PEMSource) -> tuple[Certificate, ...]:
        """Every certificate in a PEM file, in its order; anything else in the file is passed over.

        Args:
            source: the PEM text as bytes or str, or the path of a file of it.

        Raises:
            ConfigError: there is no certificate in it.
            CertificateRejected: MALFORMED, one of them is not well-formed.
            OSError: the file cannot be read.
        """
        found = []
        for number, block in enumerate(pem_blocks(source), 1):
            if block is None:
                raise CertificateRejected(
                    CertificateProblem.MALFORMED, f"certificate {number} of {pem_origin(source)} is no base64"
                )
            try:
                found.append(cls.from_der(block))
            except CertificateRejected as error:
                raise CertificateRejected(
                    CertificateProblem.MALFORMED, f"certificate {number} of {pem_origin(source)}: {error.detail}"
                ) from None
        if not found:
            raise ConfigError(f"there is no certificate in {pem_origin(source)}: expected -----BEGIN CERTIFICATE-----")
        return tuple(found)

    @classmethod
    def from_x509(cls, certificate: x509.Certificate) -> Certificate:
        """The same certificate as pyca/cryptography's object holds; raises as `from_der` does."""
        return cls.from_der(certificate.public_bytes(Encoding.DER))

    def pem(self) -> str:
        """The certificate as PEM text (RFC 7468)."""
        text = base64.b64encode(self.der).decode()
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, Certificate):
            return self.der == other.der
        return NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return Certificate.from_der, (self.der,)

    def __str__(self) -> str:
        return f"{self.title} (issued by {brief(self.issuer) or 'nobody'}, expires {self.not_after_utc:%Y-%m-%d})"

    def __repr__(self) -> str:
        return f"<Certificate {self}>"

    @property
    def title(self) -> str:
        """The subject as text of bounded length, for messages.

        For an empty subject it is the first name of the subjectAltName, and at worst the serial number.
        """
        if self.subject:
            return brief(self.subject)
        try:
            names = (*self.dns_names, *self.uris, *self.emails, *map(str, self.ip_addresses))
        except CertificateRejected:
            names = ()
        return shown(names[0]) if names else f"serial number {self.serial_number:x}"

    @property
    def x509(self) -> x509.Certificate:
        """pyca/cryptography's object for the same certificate.

        It warns (`CryptographyDeprecationWarning`) about the serial number zero of a few old roots.
        """
        found = self._x509
        if found is None:
            found = x509.load_der_x509_certificate(self.der)
            object.__setattr__(self, "_x509", found)
        return found

    @property
    def public_key(self) -> PublicKeyTypes:
        """The subject's public key, as pyca/cryptography's key object.

        Raises:
            CertificateRejected: WEAK_KEY, it is of a kind that is not supported, or no valid key.
        """
        try:
            return self._public_key
        except AttributeError:
            pass
        try:
            key = load_der_public_key(self.spki)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CertificateRejected(
                CertificateProblem.WEAK_KEY, f"the key of {self.title} is malformed, or of a kind that is not supported"
            ) from None
        object.__setattr__(self, "_public_key", key)
        return key

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of the DER."""
        try:
            return self._sha256
        except AttributeError:
            digest = hashlib.sha256(self.der).digest()
            object.__setattr__(self, "_sha256", digest)
            return digest

    @property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the SubjectPublicKeyInfo: the pin of RFC 7469."""
        try:
            return self._spki_sha256
        except AttributeError:
            digest = hashlib.sha256(self.spki).digest()
            object.__setattr__(self, "_spki_sha256", digest)
            return digest

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the DER, in hex."""
        return self.sha256.hex()

    @property
    def not_before_utc(self) -> datetime.datetime:
        """The first second of validity."""
        return _EPOCH + datetime.timedelta(seconds=self.not_before)

    @property
    def not_after_utc(self) -> datetime.datetime:
        """The last second of validity."""
        return _EPOCH + datetime.timedelta(seconds=self.not_after)

    @property
    def is_self_issued(self) -> bool:
        """Whether subject and issuer are the same name (RFC 5280 3.2); it may be signed by another key all the same."""
        return self.subject.der == self.issuer.der

    @property
    def is_ca(self) -> bool:
        """Whether basicConstraints says that it is a CA (RFC 5280 4.2.1.9)."""
        return self._basic_constraints()[0]

    @property
    def path_length(self) -> int | None:
        """How many intermediate CAs may stand below this CA; None when that is not limited (RFC 5280 4.2.1.9)."""
        return self._basic_constraints()[1]

    @property
    def key_usage(self) -> KeyUsage | None:
        """What the key may do; None when that is not limited (RFC 5280 4.2.1.3)."""
        bits = self.key_usage_bits
        return None if bits is None else KeyUsage(bits)

    @property
    def key_usage_bits(self) -> int | None:
        """`key_usage` as a plain int."""
        try:
            return self._key_usage
        except AttributeError:
            return self._read("_key_usage", _KEY_USAGE, _read_key_usage, None)

    @property
    def extended_key_usage(self) -> tuple[str, ...] | None:
        """The purposes of the key as dotted OIDs; None when they are not limited (RFC 5280 4.2.1.12)."""
        try:
            return self._extended_key_usage
        except AttributeError:
            return self._read("_extended_key_usage", _EXTENDED_KEY_USAGE, _read_extended_key_usage, None)

    @property
    def alternative_names(self) -> tuple[tuple[int, bytes], ...]:
        """Every name of the subjectAltName as (NameForm, content of the GeneralName) (RFC 5280 4.2.1.6)."""
        try:
            return self._names
        except AttributeError:
            return self._read("_names", _SUBJECT_ALT_NAME, _read_alternative_names, ())

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The dNSNames of the subjectAltName, as they stand there."""
        return tuple(content.decode("ascii") for form, content in self.alternative_names if form == NameForm.DNS)

    @property
    def ip_addresses(self) -> tuple[IPAddress, ...]:
        """The iPAddresses of the subjectAltName."""
        return tuple(ipaddress.ip_address(content) for form, content in self.alternative_names if form == NameForm.IP)

    @property
    def uris(self) -> tuple[str, ...]:
        """The uniformResourceIdentifiers of the subjectAltName (a SPIFFE ID is one), as they stand there."""
        return tuple(content.decode("ascii") for form, content in self.alternative_names if form == NameForm.URI)

    @property
    def emails(self) -> tuple[str, ...]:
        """The rfc822Names of the subjectAltName, as they stand there."""
        return tuple(content.decode("ascii") for form, content in self.alternative_names if form == NameForm.EMAIL)

    @property
    def constrained_emails(self) -> tuple[bytes, ...]:
        """The subject's emailAddress attributes: names that rfc822Name constraints apply to (RFC 5280 4.2.1.10)."""
        return tuple(value for rdn in self.subject.relative_names() for oid, _, value in rdn if oid == _EMAIL_ADDRESS)

    @property
    def name_constraints(self) -> NameConstraints | None:
        """The names that a CA may certify; None when they are not limited (RFC 5280 4.2.1.10)."""
        try:
            return self._name_constraints
        except AttributeError:
            return self._read("_name_constraints", _NAME_CONSTRAINTS, _read_name_constraints, None)

    @property
    def subject_key_identifier(self) -> bytes | None:
        """The identifier of the subject's key (RFC 5280 4.2.1.2): a hint, not a proof."""
        return self._read(None, _SUBJECT_KEY_IDENTIFIER, _read_subject_key_identifier, None)

    @property
    def authority_key_identifier(self) -> bytes | None:
        """The identifier of the issuer's key (RFC 5280 4.2.1.1): a hint, not a proof."""
        return self._read(None, _AUTHORITY_KEY_IDENTIFIER, _read_authority_key_identifier, None)

    @property
    def extensions(self) -> tuple[str, ...]:
        """The dotted OID of every extension, in their order."""
        return tuple(map(_der.dotted, self._extensions))

    @property
    def unknown_critical_extensions(self) -> tuple[str, ...]:
        """The dotted OIDs of the critical extensions that are not honoured, or may never be critical."""
        return tuple(
            _der.dotted(oid) for oid, (critical, _) in self._extensions.items() if critical and oid not in _HONOURED
        )

    def extension(self, oid: str) -> bytes | None:
        """The content (DER) of the extension with this dotted OID, or None."""
        found = self._extensions.get(_der.undotted(oid))
        return None if found is None else found[1]

    @property
    def fault(self) -> Fault | None:
        """What makes this certificate unusable in any path, whatever its place there; None when nothing does.

        All its extensions are read for this: version 3, no unknown critical extension, no malformed known extension.
        """
        try:
            return self._fault
        except AttributeError:
            fault = _fault_of(self)
            object.__setattr__(self, "_fault", fault)
            return fault

    def _basic_constraints(self) -> tuple[bool, int | None]:
        try:
            return self._basic
        except AttributeError:
            return self._read("_basic", _BASIC_CONSTRAINTS, _read_basic_constraints, _NO_CA)

    def _read(self, slot: str | None, oid: bytes, read: Callable[[bytes], _T], absent: _T) -> _T:
        found = self._extensions.get(oid)
        value = absent
        if found is not None:
            try:
                value = read(found[1])
            except DecodeError as error:
                raise CertificateRejected(
                    CertificateProblem.MALFORMED, f"{_READERS[oid][0]} of {self._plain_title}: {error.detail}"
                ) from None
        if slot is not None:
            object.__setattr__(self, slot, value)
        return value

    @property
    def _plain_title(self) -> str:
        return brief(self.subject) or f"serial number {self.serial_number:x}"


def _malformed(detail: str) -> DecodeError:
    return DecodeError(Misbehaviour.MALFORMED, detail)


def _parse(certificate: Certificate, der: bytes) -> None:
    """Fill a new certificate from its DER (RFC 5280 4.1)."""
    if len(der) > _MAX_CERTIFICATE:
        raise _malformed(f"a certificate of more than {_MAX_CERTIFICATE} bytes")
    element, expect = _der.element, _der.expect
    at, end = _der.whole(der, _der.SEQUENCE)
    tbs_at = at
    at, tbs_end = expect(der, at, end, _der.SEQUENCE)
    outer_at = tbs_end
    _, outer_end = expect(der, outer_at, end, _der.SEQUENCE)
    signature_start, signature_stop = expect(der, outer_end, end, _der.BIT_STRING)
    if signature_stop != end:
        raise DecodeError(Misbehaviour.TRAILING_BYTES, "bytes follow the signature")
    if signature_start == signature_stop or der[signature_start] != 0:
        raise _malformed("the signature is not a whole number of bytes")

    version = 1
    tag, start, stop = element(der, at, tbs_end)
    if tag == 0xA0:
        start, version_stop = expect(der, start, stop, _der.INTEGER)
        version = _der.unsigned(der, start, version_stop) + 1
        if version_stop != stop or version not in (2, 3):
            raise _malformed("a version that there is not")
        tag, start, stop = element(der, stop, tbs_end)
    if tag != _der.INTEGER:
        raise _malformed("no serial number")
    serial_number = _der.unsigned(der, start, stop)
    if serial_number.bit_length() > 160:
        raise _malformed("a serial number of more than 20 bytes")
    algorithm_at = stop
    _, algorithm_end = expect(der, algorithm_at, tbs_end, _der.SEQUENCE)
    signature_algorithm = der[outer_at:outer_end]
    # RFC 5280 4.1.1.2: both fields must be the same; only one of them is covered by the signature.
    if der[algorithm_at:algorithm_end] != signature_algorithm:
        raise _malformed("the signature algorithm inside differs from the one outside")
    _, issuer_end = expect(der, algorithm_end, tbs_end, _der.SEQUENCE)
    at, validity_end = expect(der, issuer_end, tbs_end, _der.SEQUENCE)
    tag, start, at = element(der, at, validity_end)
    not_before = _time(tag, der[start:at])
    tag, start, at = element(der, at, validity_end)
    not_after = _time(tag, der[start:at])
    if at != validity_end:
        raise DecodeError(Misbehaviour.TRAILING_BYTES, "a validity of more than two times")
    _, subject_end = expect(der, validity_end, tbs_end, _der.SEQUENCE)
    at, spki_end = expect(der, subject_end, tbs_end, _der.SEQUENCE)
    _, spki_algorithm_end = expect(der, at, spki_end, _der.SEQUENCE)
    spki_algorithm = der[at:spki_algorithm_end]

    extensions: dict[bytes, tuple[bool, bytes]] = {}
    at = spki_end
    while at < tbs_end:
        # issuerUniqueID [1] and subjectUniqueID [2] are passed over, in their order, each once.
        tag, start, stop = element(der, at, tbs_end)
        if tag == 0xA3:
            if stop != tbs_end:
                raise DecodeError(Misbehaviour.TRAILING_BYTES, "bytes follow the extensions")
            extensions = _extensions(der, start, stop)
            if version != 3:
                raise _malformed("extensions in a certificate that is not version 3")
        elif tag not in (0x81, 0x82) or version == 1:
            raise _malformed("an unknown field")
        at = stop

    fill = object.__setattr__
    fill(certificate, "der", der)
    fill(certificate, "_hash", hash(der))
    fill(certificate, "tbs", der[tbs_at:tbs_end])
    fill(certificate, "signature_algorithm", signature_algorithm)
    fill(certificate, "signature", der[signature_start + 1 : signature_stop])
    fill(certificate, "version", version)
    fill(certificate, "serial_number", serial_number)
    fill(certificate, "issuer", _known_name(der[algorithm_end:issuer_end]))
    fill(certificate, "subject", _known_name(der[validity_end:subject_end]))
    fill(certificate, "not_before", not_before)
    fill(certificate, "not_after", not_after)
    fill(certificate, "spki", der[subject_end:spki_end])
    fill(certificate, "spki_algorithm", spki_algorithm)
    fill(certificate, "_extensions", extensions)
    second = None
    # pyca warns about the serial number zero, which nine roots of the common bundle have, and will refuse it one day.
    if serial_number:
        try:
            second = x509.load_der_x509_certificate(der)
        except (ValueError, TypeError) as error:
            raise _malformed(str(error)) from None
    fill(certificate, "_x509", second)


def _known_name(der: bytes) -> DistinguishedName:
    # A name is met again and again, as issuer here and subject there; a huge one is not worth remembering.
    return _small_name(der) if len(der) <= 512 else DistinguishedName(der)


_small_name: Final = functools.lru_cache(maxsize=256)(DistinguishedName)


def _extensions(der: bytes, at: int, end: int) -> dict[bytes, tuple[bool, bytes]]:
    element = _der.element
    at, stop = _der.expect(der, at, end, _der.SEQUENCE)
    if stop != end or at == end:
        raise _malformed("the extensions are no list, or an empty one")
    found: dict[bytes, tuple[bool, bytes]] = {}
    while at < end:
        start, stop = _der.expect(der, at, end, _der.SEQUENCE)
        at = stop
        start, oid_end = _der.expect(der, start, stop, _der.OBJECT_IDENTIFIER)
        oid = der[start:oid_end]
        tag, start, value_end = element(der, oid_end, stop)
        critical = False
        if tag == _der.BOOLEAN:
            critical = _der.boolean(der, start, value_end)
            tag, start, value_end = element(der, value_end, stop)
        if tag != _der.OCTET_STRING or value_end != stop or not _der.is_oid(oid):
            raise _malformed("an extension is malformed")
        if oid in found:
            raise _malformed(f"the extension {_der.dotted(oid)} appears twice")
        if len(found) == _MAX_EXTENSIONS:
            raise _malformed(f"more than {_MAX_EXTENSIONS} extensions")
        found[oid] = critical, der[start:value_end]
    return found


def _time(tag: int, content: bytes) -> int:
    """Seconds since 1970 (RFC 5280 4.1.2.5)."""
    if content[-1:] != b"Z" or not content[:-1].isdigit():
        raise _malformed("a time that is not in UTC, or is no time")
    if tag == _der.UTC_TIME and len(content) == 13:
        year = int(content[:2])
        year += 1900 if year >= 50 else 2000
        rest = content[2:]
    elif tag == _der.GENERALIZED_TIME and len(content) == 15:
        year = int(content[:4])
        rest = content[4:]
    else:
        raise _malformed("a validity holds what is no time")
    month, day, hour, minute, second = (int(rest[at : at + 2]) for at in (0, 2, 4, 6, 8))
    try:
        datetime.date(year, month, day)
    except ValueError:
        raise _malformed("a day that there is not") from None
    if hour > 23 or minute > 59 or second > 59:
        raise _malformed("a time of day that there is not")
    return calendar.timegm((year, month, day, hour, minute, second))


def _read_basic_constraints(value: bytes) -> tuple[bool, int | None]:
    at, end = _der.whole(value, _der.SEQUENCE)
    is_ca = False
    path_length = None
    if at < end and value[at] == _der.BOOLEAN:
        start, at = _der.expect(value, at, end, _der.BOOLEAN)
        is_ca = _der.boolean(value, start, at)
    if at < end:
        start, at = _der.expect(value, at, end, _der.INTEGER)
        path_length = _der.unsigned(value, start, at)
    if at != end:
        raise DecodeError(Misbehaviour.TRAILING_BYTES)
    return is_ca, path_length


def _read_key_usage(value: bytes) -> int:
    start, stop = _der.whole(value, _der.BIT_STRING)
    content = value[start:stop]
    if not 2 <= len(content) <= 3 or content[0] > 7:
        raise _malformed("a key usage of no bits, or of too many")
    bits = 0
    for index, byte in enumerate(content[1:]):
        bits |= int(f"{byte:08b}"[::-1], 2) << 8 * index
    # RFC 5280 4.2.1.3: at least one bit must be set.
    if not bits or content[-1] & ((1 << content[0]) - 1):
        raise _malformed("a key usage without a use")
    return bits & 0x1FF


def _read_extended_key_usage(value: bytes) -> tuple[str, ...]:
    purposes = []
    for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
        if tag != _der.OBJECT_IDENTIFIER:
            raise _malformed("a purpose that is no OBJECT IDENTIFIER")
        purposes.append(_der.dotted(value[start:stop]))
    if not purposes:
        raise _malformed("an extended key usage without a purpose")
    return tuple(purposes)


def _general_name(value: bytes, tag: int, start: int, stop: int) -> tuple[int, bytes]:
    """(NameForm, content) of a GeneralName (RFC 5280 4.2.1.6), with the content checked as far as its form goes."""
    form = tag & 0x1F
    content = value[start:stop]
    expected = 0xA0 if form in _CONSTRUCTED_FORMS else 0x80
    if tag & 0xE0 != expected or form > NameForm.REGISTERED_ID:
        raise _malformed("a GeneralName of an unknown form")
    if form in _IA5_FORMS:
        if not content.isascii():
            raise _malformed("a name that is not ASCII: international names are given as A-labels")
    elif form == NameForm.DIRECTORY:
        content = DistinguishedName(content).der
    elif form == NameForm.REGISTERED_ID and not _der.is_oid(content):
        raise _malformed("a registered ID that is no OBJECT IDENTIFIER")
    return form, content


def _read_alternative_names(value: bytes) -> tuple[tuple[int, bytes], ...]:
    names = [_general_name(value, *one) for one in _der.children(value, *_der.whole(value, _der.SEQUENCE))]
    for form, content in names:
        if form == NameForm.IP and len(content) not in (4, 16):
            raise _malformed("an iPAddress that is neither 4 nor 16 bytes long")
        if form in _IA5_FORMS and not content:
            raise _malformed("an empty name")
    if not names:
        raise _malformed("a list of no names")
    return tuple(names)


def _read_name_constraints(value: bytes) -> NameConstraints:
    subtrees: dict[int, tuple[tuple[int, bytes], ...]] = {0xA0: (), 0xA1: ()}
    last = 0
    for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
        if tag not in subtrees or tag <= last or start == stop:
            raise _malformed("subtrees that are out of order, unknown or empty")
        last = tag
        bases = []
        for subtree, at, end in _der.children(value, start, stop):
            if subtree != _der.SEQUENCE:
                raise _malformed("a subtree that is none")
            base = _der.element(value, at, end)
            # RFC 5280 4.2.1.10: minimum is always zero, which DER leaves out, and maximum is always absent.
            if base[2] != end:
                raise _malformed("a subtree with a minimum or a maximum")
            bases.append(_checked_base(*_general_name(value, *base)))
        subtrees[tag] = tuple(bases)
    if not last:
        raise _malformed("name constraints that constrain nothing")
    return NameConstraints(subtrees[0xA0], subtrees[0xA1])


def _checked_base(form: int, content: bytes) -> tuple[int, bytes]:
    if form == NameForm.IP:
        half = len(content) // 2
        mask = int.from_bytes(content[half:], "big")
        inverse = mask ^ ((1 << 8 * half) - 1)
        if len(content) not in (8, 32) or inverse & (inverse + 1):
            raise _malformed("an iPAddress constraint that is no address and mask")
    elif form == NameForm.DNS:
        content = content.lower()
        # RFC 5280 4.2.1.10 lets URI and email constraints start with a period, but not those for DNS names.
        if content and not is_dns_name(content):
            raise _malformed(f"the dNSName constraint {shown(content.decode())} is no DNS name")
    elif form == NameForm.EMAIL:
        local, at, host = content.rpartition(b"@")
        if (at and (not local or b"@" in local)) or not is_dns_name(host.lower() if at else host.lower().lstrip(b".")):
            raise _malformed(f"the rfc822Name constraint {shown(content.decode())} is no mailbox and no host")
        content = local + at + host.lower()
    elif form == NameForm.URI:
        content = content.lower()
        if not is_dns_name(content.removeprefix(b".")):
            raise _malformed(f"the URI constraint {shown(content.decode())} is no host")
    return form, content


def is_dns_name(name: bytes) -> bool:
    """Whether this is a DNS name in lower case: labels of letters, digits, `-` and `_`, and no trailing period.

    RFC 1034 3.5 has no underscore, but hosts are named so (and rustls takes them as well).
    """
    return len(name) <= 253 and _DNS_NAME.fullmatch(name) is not None


def _read_subject_key_identifier(value: bytes) -> bytes:
    start, stop = _der.whole(value, _der.OCTET_STRING)
    return value[start:stop]


def _read_authority_key_identifier(value: bytes) -> bytes | None:
    for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
        if tag == 0x80:
            return value[start:stop]
    return None


def _check_authority_information_access(value: bytes) -> None:
    descriptions = _der.children(value, *_der.whole(value, _der.SEQUENCE))
    for tag, start, stop in descriptions:
        if tag != _der.SEQUENCE:
            raise _malformed("an access description that is none")
        _, oid_end = _der.expect(value, start, stop, _der.OBJECT_IDENTIFIER)
        location = _der.element(value, oid_end, stop)
        if location[2] != stop:
            raise DecodeError(Misbehaviour.TRAILING_BYTES)
        _general_name(value, *location)
    if not descriptions:
        raise _malformed("a list of no access descriptions")


def _fault_of(certificate: Certificate) -> Fault | None:
    if certificate.version != 3:
        return Fault(
            CertificateProblem.MALFORMED, f"{certificate.title} is of version {certificate.version}, not of version 3"
        )
    unknown = certificate.unknown_critical_extensions
    if unknown:
        return Fault(
            CertificateProblem.UNKNOWN_CRITICAL_EXTENSION, f"{certificate.title} has {', '.join(unknown[:4])}, critical"
        )
    extensions = certificate._extensions
    try:
        for oid, (_, read) in _READERS.items():
            if oid in extensions:
                read(certificate)
        access = extensions.get(_AUTHORITY_INFORMATION_ACCESS)
        if access is not None:
            _check_authority_information_access(access[1])
    except CertificateRejected as error:
        return Fault(error.reason, error.detail)
    except DecodeError as error:
        return Fault(CertificateProblem.MALFORMED, f"authorityInfoAccess of {certificate.title}: {error.detail}")
    if _POLICY_CONSTRAINTS in extensions:
        # Critical, it is refused above. RFC 5280 4.2.1.11: it must be critical.
        return Fault(CertificateProblem.MALFORMED, f"{certificate.title} has policyConstraints that are not critical")
    if not certificate.issuer:
        return Fault(CertificateProblem.MALFORMED, f"{certificate.title} names no issuer")
    if not certificate.subject:
        # RFC 5280 4.1.2.6, 4.2.1.6: then the subjectAltName is the only name, and critical; and a CA has a name.
        if certificate.is_ca:
            return Fault(CertificateProblem.MALFORMED, "a CA without a name")
        if not extensions.get(_SUBJECT_ALT_NAME, (False, b""))[0]:
            return Fault(
                CertificateProblem.MALFORMED,
                f"{certificate.title} has an empty subject, and its subjectAltName is missing or not critical",
            )
    return None


_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_CONSTRUCTED_FORMS: Final = frozenset({NameForm.OTHER, NameForm.X400, NameForm.DIRECTORY, NameForm.EDI_PARTY})
_IA5_FORMS: Final = frozenset({NameForm.EMAIL, NameForm.DNS, NameForm.URI})
_DNS_LABEL: Final = rb"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_DNS_NAME: Final = re.compile(_DNS_LABEL + rb"(?:\." + _DNS_LABEL + rb")*")
_READERS: Final[dict[bytes, tuple[str, Callable[[Certificate], object]]]] = {
    _BASIC_CONSTRAINTS: ("basicConstraints", lambda certificate: certificate.is_ca),
    _KEY_USAGE: ("keyUsage", lambda certificate: certificate.key_usage_bits),
    _EXTENDED_KEY_USAGE: ("extKeyUsage", lambda certificate: certificate.extended_key_usage),
    _SUBJECT_ALT_NAME: ("subjectAltName", lambda certificate: certificate.alternative_names),
    _NAME_CONSTRAINTS: ("nameConstraints", lambda certificate: certificate.name_constraints),
    _SUBJECT_KEY_IDENTIFIER: ("subjectKeyIdentifier", lambda certificate: certificate.subject_key_identifier),
    _AUTHORITY_KEY_IDENTIFIER: ("authorityKeyIdentifier", lambda certificate: certificate.authority_key_identifier),
}
_NO_CA: Final[tuple[bool, int | None]] = (False, None)
_PARSED: Final[BoundedCache[bytes, Certificate]] = BoundedCache(entries=512, weight=1 << 23)


def pem_bytes(source: PEMSource) -> bytes:
    """The PEM text itself, read from its file when `source` is a path; raises OSError as `open` does."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, str) and "-----BEGIN" in source:
        return source.encode("utf-8", "replace")
    return Path(source).read_bytes()


def pem_origin(source: PEMSource) -> str:
    """Where PEM text comes from, for a message."""
    if isinstance(source, (bytes, bytearray, memoryview)) or (isinstance(source, str) and "-----BEGIN" in source):
        return "the PEM text"
    return os.fspath(source)


def pem_blocks(source: PEMSource) -> Iterator[bytes | None]:
    """The DER of each CERTIFICATE block; None for one that is no base64 (RFC 7468)."""
    for match in _PEM_BLOCK.finditer(pem_bytes(source)):
        try:
            yield base64.b64decode(b"".join(match[1].split()), validate=True)
        except binascii.Error:
            yield None
