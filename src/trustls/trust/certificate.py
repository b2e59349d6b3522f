"""Certificate: an X.509 certificate as path validation and people need it (RFC 5280 4).

The DER is read here, by position, and only as deep as is asked for: names, key and signature are exact slices of it.
pyca/cryptography parses every certificate as well, so that nothing is accepted that only one of the two can read.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import ipaddress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, NoReturn, TypeAlias, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from trustls.errors import CertificateProblem, CertificateRejected, DecodeError, Misbehaviour
from trustls.trust import extensions as _ext
from trustls.trust.cache import BoundedCache
from trustls.trust.extensions import KeyUsage, NameConstraints, NameForm, malformed
from trustls.trust.pem import PEMSource, no_certificate, pem_blocks, pem_origin
from trustls.wire import der as _der
from trustls.wire.names import DistinguishedName, brief, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_T = TypeVar("_T")


class Fault(NamedTuple):
    """What is wrong with a certificate, as a value.

    Attributes:
        problem: the name of it.
        detail: one sentence with the particulars.
        expected: what the check asks for, in a few words.
        found: what was there instead, in a few words.
        remedy: what the operator does about it.
    """

    problem: CertificateProblem
    detail: str
    expected: str = ""
    found: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, error: CertificateRejected) -> Fault:
        """The fault that a rejection tells of."""
        return cls(error.reason, error.detail, error.expected, error.found, error.remedy)

    def rejection(self, certificate: Certificate | None, failures: tuple[object, ...] = ()) -> CertificateRejected:
        """The rejection that tells of this fault of a certificate."""
        return CertificateRejected(
            self.problem,
            self.detail,
            failures,
            certificate=certificate,
            expected=self.expected,
            found=self.found,
            remedy=self.remedy,
        )


_EMAIL_ADDRESS: Final = _der.undotted("1.2.840.113549.1.9.1")
_MAX_CERTIFICATE: Final = 1 << 16
_MAX_LOOKED_AT: Final = 64


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
        version: 1 or 3; `fault` refuses all but 3.
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
        "_key_fault",
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
    _key_fault: Fault | None
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
            raise CertificateRejected(
                CertificateProblem.MALFORMED,
                error.detail,
                expected="one certificate in DER (RFC 5280 4.1)",
                found=error.detail,
                remedy="put a whole and unchanged certificate in its place; if it is as the CA made it, issue it anew",
            ) from None
        # What is read later costs memory as well: about four times the DER, and far more for a crowd of short names.
        read = sum([len(content) for oid, (_, content) in certificate._extensions.items() if oid in _READERS])
        _PARSED.put(der, certificate, len(der) * 5 + read * 24 + 2048)
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
                    CertificateProblem.MALFORMED,
                    f"certificate {number} of {pem_origin(source)} is cut off, or no base64",
                    expected="base64 up to -----END CERTIFICATE-----",
                    remedy="copy the PEM text anew, whole",
                )
            try:
                found.append(cls.from_der(block))
            except CertificateRejected as error:
                fault = Fault.of(error)._replace(detail=f"certificate {number} of {pem_origin(source)}: {error.detail}")
                raise fault.rejection(None) from None
        if not found:
            raise no_certificate(source)
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
            # It is asked for once for each path that is tried: of a crowd of names, some are enough.
            names = dict(reversed(self.alternative_names[:_MAX_LOOKED_AT]))
        except CertificateRejected:
            names = {}
        for form in (NameForm.DNS, NameForm.URI, NameForm.EMAIL):
            if form in names:
                return shown(names[form].decode("ascii"))
        if NameForm.IP in names:
            return str(ipaddress.ip_address(names[NameForm.IP]))
        return self._plain_title

    @property
    def x509(self) -> x509.Certificate:
        """pyca/cryptography's object for the same certificate.

        It warns (`CryptographyDeprecationWarning`) about the serial number zero of a few old roots.

        Raises:
            CertificateRejected: MALFORMED, it is well-formed as far as TLS needs it, but not for that library.
        """
        found = self._x509
        if found is None:
            try:
                found = x509.load_der_x509_certificate(self.der)
            except ValueError as error:
                raise CertificateRejected(
                    CertificateProblem.MALFORMED,
                    f"{self.title} cannot be read by pyca/cryptography: {error}",
                    certificate=self,
                    expected="a certificate in DER",
                    remedy=f"issue {self.title} anew",
                ) from None
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
                CertificateProblem.WEAK_KEY,
                f"the key of {self.title} is malformed, or of a kind that is not supported",
                certificate=self,
                expected="a key for RSA, ECDSA, Ed25519 or ML-DSA",
                found="a key that cannot be read",
                remedy=f"issue {self.title} anew for a key for RSA, ECDSA (P-256, P-384, P-521), Ed25519 or ML-DSA",
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
            return self._read("_key_usage", _ext.KEY_USAGE, _ext.key_usage, None)

    @property
    def extended_key_usage(self) -> tuple[str, ...] | None:
        """The purposes of the key as dotted OIDs; None when they are not limited (RFC 5280 4.2.1.12)."""
        try:
            return self._extended_key_usage
        except AttributeError:
            return self._read("_extended_key_usage", _ext.EXTENDED_KEY_USAGE, _ext.extended_key_usage, None)

    @property
    def alternative_names(self) -> tuple[tuple[int, bytes], ...]:
        """Every name of the subjectAltName as (NameForm, content of the GeneralName) (RFC 5280 4.2.1.6)."""
        try:
            return self._names
        except AttributeError:
            return self._read("_names", _ext.SUBJECT_ALT_NAME, _ext.alternative_names, ())

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
            return self._read("_name_constraints", _ext.NAME_CONSTRAINTS, _ext.name_constraints, None)

    @property
    def subject_key_identifier(self) -> bytes | None:
        """The identifier of the subject's key (RFC 5280 4.2.1.2): a hint, not a proof."""
        return self._read(None, _ext.SUBJECT_KEY_IDENTIFIER, _ext.subject_key_identifier, None)

    @property
    def authority_key_identifier(self) -> bytes | None:
        """The identifier of the issuer's key (RFC 5280 4.2.1.1): a hint, not a proof."""
        return self._read(None, _ext.AUTHORITY_KEY_IDENTIFIER, _ext.authority_key_identifier, None)

    @property
    def extensions(self) -> tuple[str, ...]:
        """The dotted OID of every extension, in their order."""
        return tuple(map(_der.dotted, self._extensions))

    @property
    def unknown_critical_extensions(self) -> tuple[str, ...]:
        """The dotted OIDs of the critical extensions that are not honoured, or may never be critical."""
        return tuple(
            _der.dotted(oid) for oid, (critical, _) in self._extensions.items() if critical and oid not in _ext.HONOURED
        )

    def extension(self, oid: str) -> bytes | None:
        """The content (DER) of the extension with this dotted OID, or None."""
        found = self._extensions.get(_der.undotted(oid))
        return None if found is None else found[1]

    def is_critical(self, oid: str) -> bool:
        """Whether the extension with this dotted OID is there, and critical."""
        return self._extensions.get(_der.undotted(oid), (False, b""))[0]

    @property
    def fault(self) -> Fault | None:
        """What makes this certificate unusable in any path, whatever its place there; None when nothing does.

        All its extensions are read for this: version 3, no unknown critical extension, no malformed known extension.
        """
        return self.remembered("_fault", _fault_of)

    def remembered(
        self, slot: Literal["_fault", "_key_fault"], find: Callable[[Certificate], Fault | None]
    ) -> Fault | None:
        """What `find` finds wrong with this certificate, whatever the time and the place: found once, as it stays."""
        try:
            found: Fault | None = getattr(self, slot)
        except AttributeError:
            found = find(self)
            object.__setattr__(self, slot, found)
        return found

    def _basic_constraints(self) -> tuple[bool, int | None]:
        try:
            return self._basic
        except AttributeError:
            return self._read("_basic", _ext.BASIC_CONSTRAINTS, _ext.basic_constraints, _NO_CA)

    def _read(self, slot: str | None, oid: bytes, read: Callable[[bytes], _T], absent: _T) -> _T:
        found = self._extensions.get(oid)
        value = absent
        if found is not None:
            try:
                value = read(found[1])
            except DecodeError as error:
                raise _malformed_extension(_READERS[oid][0], self._plain_title, error).rejection(self) from None
        if slot is not None:
            object.__setattr__(self, slot, value)
        return value

    @property
    def _plain_title(self) -> str:
        return brief(self.subject) or f"serial number {self.serial_number:x}"


def _malformed_extension(label: str, title: str, error: DecodeError) -> Fault:
    return Fault(
        CertificateProblem.MALFORMED,
        f"{label} of {title}: {error.detail}",
        expected=f"{label} as RFC 5280 4.2 has it",
        found=error.detail,
        remedy=f"issue {title} anew with a well-formed {label}",
    )


def _parse(certificate: Certificate, der: bytes) -> None:
    """Fill a new certificate from its DER (RFC 5280 4.1)."""
    if len(der) > _MAX_CERTIFICATE:
        raise malformed(f"a certificate of more than {_MAX_CERTIFICATE} bytes")
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
        raise malformed("the signature is not a whole number of bytes")

    version = 1
    tag, start, stop = element(der, at, tbs_end)
    if tag == 0xA0:
        start, version_stop = expect(der, start, stop, _der.INTEGER)
        version = _der.unsigned(der, start, version_stop) + 1
        # Version 2 was never used, and pyca does not read it.
        if version_stop != stop or version != 3:
            raise malformed(f"it is of version {version}, not of version 3")
        tag, start, stop = element(der, stop, tbs_end)
    if tag != _der.INTEGER:
        raise malformed("no serial number")
    serial_number = _der.unsigned(der, start, stop)
    if serial_number.bit_length() > 160:
        raise malformed("a serial number of more than 20 bytes")
    algorithm_at = stop
    _, algorithm_end = expect(der, algorithm_at, tbs_end, _der.SEQUENCE)
    signature_algorithm = der[outer_at:outer_end]
    # RFC 5280 4.1.1.2: both fields must be the same; only one of them is covered by the signature.
    if der[algorithm_at:algorithm_end] != signature_algorithm:
        raise malformed("the signature algorithm inside differs from the one outside")
    _, issuer_end = expect(der, algorithm_end, tbs_end, _der.SEQUENCE)
    at, validity_end = expect(der, issuer_end, tbs_end, _der.SEQUENCE)
    tag, start, at = element(der, at, validity_end)
    not_before = _ext.seconds(tag, der[start:at])
    tag, start, at = element(der, at, validity_end)
    not_after = _ext.seconds(tag, der[start:at])
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
            extensions = _ext.extension_list(der, start, stop)
            if version != 3:
                raise malformed("extensions in a certificate that is not version 3")
        elif tag not in (0x81, 0x82) or version == 1:
            raise malformed("an unknown field")
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
        except (ValueError, TypeError, x509.InvalidVersion) as error:
            raise malformed(str(error)) from None
    fill(certificate, "_x509", second)


def _known_name(der: bytes) -> DistinguishedName:
    # A name is met again and again, as issuer here and subject there; a huge one is not worth remembering.
    return _small_name(der) if len(der) <= 512 else DistinguishedName(der)


_small_name: Final = functools.lru_cache(maxsize=256)(DistinguishedName)


def _fault_of(certificate: Certificate) -> Fault | None:
    if certificate.version != 3:
        return Fault(
            CertificateProblem.MALFORMED,
            f"{certificate.title} is of version {certificate.version}, not of version 3",
            expected="version 3",
            found=f"version {certificate.version}",
            remedy=f"issue {certificate.title} anew with extensions (openssl x509 -req: -copy_extensions copy)",
        )
    unknown = certificate.unknown_critical_extensions
    if unknown:
        listed = ", ".join(unknown[:4])
        return Fault(
            CertificateProblem.UNKNOWN_CRITICAL_EXTENSION,
            f"{certificate.title} has {listed}, critical",
            expected="no critical extension that is not honoured here",
            found=listed,
            remedy=f"issue {certificate.title} anew without it, or with it not critical",
        )
    extensions = certificate._extensions
    try:
        for oid, (_, read) in _READERS.items():
            if oid in extensions:
                read(certificate)
        access = extensions.get(_ext.AUTHORITY_INFORMATION_ACCESS)
        if access is not None:
            _ext.check_authority_information_access(access[1])
    except CertificateRejected as error:
        return Fault.of(error)
    except DecodeError as error:
        return _malformed_extension("authorityInfoAccess", certificate.title, error)
    if _ext.POLICY_CONSTRAINTS in extensions:
        # Critical, it is refused above. RFC 5280 4.2.1.11: it must be critical.
        return Fault(
            CertificateProblem.MALFORMED,
            f"{certificate.title} has policyConstraints that are not critical",
            expected="no policyConstraints",
            found="policyConstraints",
            remedy=f"issue {certificate.title} anew without policyConstraints",
        )
    if not certificate.issuer:
        return Fault(
            CertificateProblem.MALFORMED,
            f"{certificate.title} names no issuer",
            expected="the issuer's name",
            found="an empty name",
            remedy=f"give the CA a name, and issue {certificate.title} anew",
        )
    if certificate.subject:
        return None
    # RFC 5280 4.1.2.6, 4.2.1.6: then the subjectAltName is the only name, and critical; and a CA has a name.
    if certificate.is_ca:
        return Fault(
            CertificateProblem.MALFORMED,
            "a CA without a name",
            expected="a subject",
            found="an empty name",
            remedy="issue the CA certificate anew with a subject",
        )
    critical = extensions.get(_ext.SUBJECT_ALT_NAME, (None, b""))[0]
    if critical:
        return None
    return Fault(
        CertificateProblem.MALFORMED,
        f"{certificate.title} has an empty subject, and its subjectAltName is missing or not critical",
        expected="a critical subjectAltName where the subject is empty",
        found="no subjectAltName" if critical is None else "not critical",
        remedy=f"issue {certificate.title} anew with a subject, or with a critical subjectAltName",
    )


_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_READERS: Final[dict[bytes, tuple[str, Callable[[Certificate], object]]]] = {
    _ext.BASIC_CONSTRAINTS: ("basicConstraints", lambda certificate: certificate.is_ca),
    _ext.KEY_USAGE: ("keyUsage", lambda certificate: certificate.key_usage_bits),
    _ext.EXTENDED_KEY_USAGE: ("extKeyUsage", lambda certificate: certificate.extended_key_usage),
    _ext.SUBJECT_ALT_NAME: ("subjectAltName", lambda certificate: certificate.alternative_names),
    _ext.NAME_CONSTRAINTS: ("nameConstraints", lambda certificate: certificate.name_constraints),
    _ext.SUBJECT_KEY_IDENTIFIER: ("subjectKeyIdentifier", lambda certificate: certificate.subject_key_identifier),
    _ext.AUTHORITY_KEY_IDENTIFIER: ("authorityKeyIdentifier", lambda certificate: certificate.authority_key_identifier),
}
_NO_CA: Final[tuple[bool, int | None]] = (False, None)
_PARSED: Final[BoundedCache[bytes, Certificate]] = BoundedCache(entries=512, weight=1 << 23)
