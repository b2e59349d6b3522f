"""CRLs and OCSP responses for the trust tests: right by default, and wrong in any way that a test asks for."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.trust.issuing import NOW, Issued
from trustls.trust.crl import CertificateRevocationList
from trustls.wire.der import undotted

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")
SHA1 = bytes.fromhex("300906052b0e03021a0500")
SHA256 = bytes.fromhex("300d06096086480165030402010500")


def at(days: float) -> datetime.datetime:
    """So many days after `NOW`."""
    return datetime.datetime.fromtimestamp(NOW, datetime.UTC) + datetime.timedelta(days=days)


def revoked(which: Issued | int, days: float = -1, *extensions: x509.ExtensionType) -> x509.RevokedCertificate:
    """An entry for a certificate, or a serial number."""
    serial_number = which if isinstance(which, int) else which.x509.serial_number
    builder = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(at(days))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.build()


def revocation_list(
    issuer: Issued,
    *entries: Issued | x509.RevokedCertificate,
    number: int | None = 1,
    days: tuple[float, float] = (-1, 1),
    scope: x509.IssuingDistributionPoint | None = None,
    key_identifier: bool = True,
    signer: Issued | None = None,
    digest: Any = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> CertificateRevocationList:
    """A CRL of the issuer, signed with the key of `signer` if that is given."""
    signer = signer or issuer
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.x509.subject)
        .last_update(at(days[0]))
        .next_update(at(days[1]))
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(revoked(entry) if isinstance(entry, Issued) else entry)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if key_identifier:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if scope is not None:
        builder = builder.add_extension(scope, critical=True)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    prehashes = isinstance(signer.key, ec.EllipticCurvePrivateKey) or hasattr(signer.key, "private_numbers")
    crl = builder.sign(signer.key, (digest or hashes.SHA256()) if prehashes else None)
    return CertificateRevocationList.from_x509(crl)


def only(
    *,
    names: Sequence[x509.GeneralName] | None = None,
    relative: x509.RelativeDistinguishedName | None = None,
    users: bool = False,
    cas: bool = False,
    attributes: bool = False,
    indirect: bool = False,
    reasons: frozenset[x509.ReasonFlags] | None = None,
) -> x509.IssuingDistributionPoint:
    """An issuingDistributionPoint."""
    return x509.IssuingDistributionPoint(
        full_name=names,
        relative_name=relative,
        only_contains_user_certs=users,
        only_contains_ca_certs=cas,
        only_some_reasons=reasons,
        indirect_crl=indirect,
        only_contains_attribute_certs=attributes,
    )


def uri(*uris: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(one) for one in uris]


def points(*uris: str) -> tuple[x509.ExtensionType, bool]:
    """cRLDistributionPoints with one point for each URI, for `issue(extra=...)`."""
    return x509.CRLDistributionPoints([x509.DistributionPoint(uri(one), None, None, None) for one in uris]), False


# -- Byte by byte, for what a builder would not make ------------------------------------------------------------------


def tlv(tag: int, *contents: bytes) -> bytes:
    """One DER element."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(dotted: str) -> bytes:
    return tlv(0x06, undotted(dotted))


def extension(dotted: str, content: bytes, critical: bool = False) -> bytes:
    return tlv(0x30, oid(dotted), b"\x01\x01\xff" if critical else b"", tlv(0x04, content))


def entry(serial_number: bytes, *extensions: bytes, date: bytes = tlv(0x17, b"260501000000Z")) -> bytes:
    return tlv(0x30, tlv(0x02, serial_number), date, tlv(0x30, *extensions) if extensions else b"")


CRL_NUMBER = extension("2.5.29.20", tlv(0x02, b"\x07"))


def raw_crl(
    issuer: Issued,
    *,
    version: bytes = tlv(0x02, b"\x01"),
    algorithm: bytes = ECDSA_SHA256,
    outer_algorithm: bytes | None = None,
    name: bytes | None = None,
    updates: bytes = tlv(0x17, b"260531000000Z") + tlv(0x17, b"260602000000Z"),
    entries: bytes | None = None,
    extensions: Sequence[bytes] | None = (CRL_NUMBER,),
    after: bytes = b"",
    signature: bytes | None = None,
) -> bytes:
    """The DER of a CRL, signed with the issuer's P-256 key."""
    tbs = tlv(
        0x30,
        version,
        algorithm,
        issuer.x509.subject.public_bytes() if name is None else name,
        updates,
        b"" if entries is None else tlv(0x30, entries),
        b"" if extensions is None else tlv(0xA0, tlv(0x30, *extensions)),
        after,
    )
    if signature is None:
        signature = b"\x00" + issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, tbs, outer_algorithm or algorithm, tlv(0x03, signature))


def key_bits(issuer: Issued) -> bytes:
    """The content of a P-256 key's subjectPublicKey."""
    return issuer.certificate.spki[-65:]


def time(days: float) -> bytes:
    return tlv(0x18, at(days).strftime("%Y%m%d%H%M%SZ").encode())


GOOD = tlv(0x80)
UNKNOWN = tlv(0x82)


def revoked_status(days: float = -1, reason: int | None = None, *, after: bytes = b"") -> bytes:
    return tlv(0xA1, time(days), b"" if reason is None else tlv(0xA0, tlv(0x0A, bytes([reason]))), after)


def answer(
    leaf: Issued,
    issuer: Issued,
    status: bytes = GOOD,
    *,
    days: tuple[float, float | None] = (-0.5, 0.5),
    hash_name: str = "sha1",
    algorithm: bytes | None = None,
    serial_number: int | None = None,
    extensions: Sequence[bytes] = (),
    after: bytes = b"",
) -> bytes:
    """A SingleResponse."""
    number = leaf.x509.serial_number if serial_number is None else serial_number
    return tlv(
        0x30,
        tlv(
            0x30,
            algorithm or {"sha1": SHA1, "sha256": SHA256}[hash_name],
            tlv(0x04, hashlib.new(hash_name, issuer.x509.subject.public_bytes()).digest()),
            tlv(0x04, hashlib.new(hash_name, key_bits(issuer)).digest()),
            tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big")),
        ),
        status,
        time(days[0]),
        b"" if days[1] is None else tlv(0xA0, time(days[1])),
        tlv(0xA1, tlv(0x30, *extensions)) if extensions else b"",
        after,
    )


def by_name(responder: Issued) -> bytes:
    return tlv(0xA1, responder.x509.subject.public_bytes())


def by_key(responder: Issued) -> bytes:
    return tlv(0xA2, tlv(0x04, hashlib.sha1(key_bits(responder)).digest()))


def response(
    signer: Issued,
    *answers: bytes,
    responder: bytes | None = None,
    certificates: Sequence[Issued | bytes] = (),
    extensions: Sequence[bytes] = (),
    algorithm: bytes = ECDSA_SHA256,
    digest: hashes.HashAlgorithm | None = None,
    version: bytes = b"",
    unused_bits: bytes = b"\x00",
    after: bytes = b"",
    after_all: bytes = b"",
) -> bytes:
    """A successful OCSPResponse, signed with the signer's P-256 key."""
    tbs = tlv(
        0x30,
        version,
        responder or by_name(signer),
        time(-0.5),
        tlv(0x30, *answers),
        tlv(0xA1, tlv(0x30, *extensions)) if extensions else b"",
    )
    signature = signer.key.sign(tbs, ec.ECDSA(digest or hashes.SHA256()))
    sent = [one if isinstance(one, bytes) else one.x509.public_bytes(Encoding.DER) for one in certificates]
    listed = tlv(0xA0, tlv(0x30, *sent)) if sent else b""
    basic = tlv(0x30, tbs, algorithm, tlv(0x03, unused_bits, signature), listed, after)
    return tlv(
        0x30,
        tlv(0x0A, b"\x00"),
        tlv(0xA0, tlv(0x30, oid("1.3.6.1.5.5.7.48.1.1"), tlv(0x04, basic), after_all)),
    )
