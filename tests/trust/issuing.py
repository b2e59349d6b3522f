"""A small issuer for the trust tests: right by default, and wrong in any way that a test asks for."""

from __future__ import annotations

import datetime
import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trustls.trust.certificate import Certificate

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC).timestamp()
DAY = 86400.0
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
BOTH = (SERVER, CLIENT)

_serial_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Issued:
    x509: x509.Certificate
    key: Any

    @property
    def certificate(self) -> Certificate:
        return Certificate.from_x509(self.x509)


def dn(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text, {"emailAddress": NameOID.EMAIL_ADDRESS}) if text else x509.Name([])


def usage(*names: str) -> x509.KeyUsage:
    fields = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ]
    return x509.KeyUsage(**{field: field in names for field in fields})


def issue(
    subject: str,
    issuer: Issued | None = None,
    *,
    issuer_name: str | None = None,
    key: Any = None,
    serial_number: int | None = None,
    days: tuple[float, float] = (-10, 10),
    ca: bool | None = None,
    path_length: int | None = None,
    ca_critical: bool = True,
    key_usage: x509.KeyUsage | None = None,
    purposes: Sequence[x509.ObjectIdentifier] = (),
    names: Sequence[x509.GeneralName] = (),
    permitted: Sequence[x509.GeneralName] | None = None,
    excluded: Sequence[x509.GeneralName] | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key_identifiers: bool = True,
    digest: Any = None,
    rsa_padding: Any = None,
) -> Issued:
    """A certificate, self-signed without an issuer."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = issuer.key if issuer else key
    name = issuer.x509.subject if issuer else dn(subject)
    if issuer_name is not None:
        name = dn(issuer_name)
    at = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(subject))
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial_number or next(_serial_numbers))
        .not_valid_before(at + datetime.timedelta(days=days[0]))
        .not_valid_after(at + datetime.timedelta(days=days[1]))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), ca_critical)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
    if permitted is not None or excluded is not None:
        builder = builder.add_extension(x509.NameConstraints(permitted, excluded), critical=True)
    if key_identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if issuer:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    prehashed = isinstance(
        signer,
        ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey,
    )
    digest = None if prehashed else (digest or hashes.SHA256())
    return Issued(builder.sign(signer, digest, rsa_padding=rsa_padding), key)


def authority(subject: str = "CN=Root", issuer: Issued | None = None, **options: Any) -> Issued:
    """A CA: a root without an issuer, else an intermediate."""
    return issue(subject, issuer, **{"ca": True, "key_usage": usage("key_cert_sign", "crl_sign"), **options})


def leaf(issuer: Issued, subject: str = "CN=alice", **options: Any) -> Issued:
    """An end-entity certificate for clients and servers."""
    return issue(subject, issuer, **{"ca": False, "key_usage": usage("digital_signature"), "purposes": BOTH, **options})


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def raw(oid: str, content: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), content)


@functools.cache
def rsa_key_with_exponent_of(bits: int) -> rsa.RSAPrivateKey:
    """An RSA key whose public exponent has so many bits."""
    plain = rsa.generate_private_key(65537, 3072).private_numbers()
    p, q = plain.p, plain.q
    group = (p - 1) * (q - 1)
    e = next(e for e in itertools.count((1 << bits - 1) + 1, 2) if math.gcd(e, group) == 1)
    d = pow(e, -1, group)
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), plain.iqmp, rsa.RSAPublicNumbers(e, p * q)
    ).private_key()


def marked_for_pss(certificate: x509.Certificate) -> bytes:
    """The same certificate with the OID id-RSASSA-PSS in its SubjectPublicKeyInfo; its signature is broken by that."""
    der = certificate.public_bytes(Encoding.DER)
    encryption, pss = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d01010a")
    assert der.count(encryption + b"\x05\x00") == 1
    # Without parameters any hash may be used (RFC 4055 3.1); NULL is not allowed, so two bytes less all the way up.
    at = der.index(encryption)
    return shortened(der[:at] + pss + der[at + len(encryption) + 2 :], at, 2)


def shortened(der: bytes, at: int, by: int) -> bytes:
    """Take `by` from the length of every element that holds the byte at `at`."""
    changed = bytearray(der)
    position = 0
    while position < at:
        length_of_length = changed[position + 1] & 0x7F if changed[position + 1] & 0x80 else 0
        start = position + 2 + length_of_length
        length = int.from_bytes(changed[position + 2 : start], "big") if length_of_length else changed[position + 1]
        if position + by <= at < start + length:
            new = length - by
            if length_of_length:
                changed[position + 2 : start] = new.to_bytes(length_of_length, "big")
            else:
                changed[position + 1] = new
            position = start
        else:
            position = start + length
    return bytes(changed)
