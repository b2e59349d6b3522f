"""Bundles of CA certificates, one for each flaw that one can have, for the tests of lint and of `trustls check`."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.trust import issuing
from tests.trust.issuing import DAY, SERVER, Issued, raw, usage
from trustls.trust.hints import MAX_ENCODED
from trustls.trust.lint import Flaw
from trustls.wire import der

NOW: Final = float(int(time.time()))
"""What the certificates are dated by: the command knows no other time than that of its clock."""

_SHIFT: Final = (NOW - issuing.NOW) / DAY


def authority(
    subject: str, issuer: Issued | None = None, *, days: tuple[float, float] = (-10, 100), **options: Any
) -> Issued:
    """A CA that does not end soon, or is valid from and to so many days from now."""
    return issuing.authority(subject, issuer, days=(days[0] + _SHIFT, days[1] + _SHIFT), **options)


def leaf(
    issuer: Issued, subject: str = "CN=alice", *, days: tuple[float, float] = (-10, 100), **options: Any
) -> Issued:
    """The same for an end entity."""
    return issuing.leaf(issuer, subject, days=(days[0] + _SHIFT, days[1] + _SHIFT), **options)


def day(days: float) -> str:
    """The date so many days from now."""
    return f"{datetime.datetime.fromtimestamp(NOW + days * DAY, datetime.UTC):%Y-%m-%d}"


GOOD = authority("CN=Good CA,O=Example")
ISSUING = authority("CN=Issuing CA", GOOD)
RENEWED = authority("CN=Good CA,O=Example", key=GOOD.key, days=(-5, 300))
KEY_PEM = GOOD.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def pem(*issued: Issued) -> str:
    return "".join(one.certificate.pem() for one in issued)


def block(label: str, content: str = "AAAA") -> str:
    return f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    long = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, size] if size < 128 else [tag, 0x80 | len(long), *long]) + content


def rebuilt(issued: Issued, change: Callable[[int, bytes], bytes], algorithm: bytes) -> str:
    """The same certificate with each field of what is signed changed, or left out. The signature is left as it was."""
    certificate = issued.certificate
    at, end = der.whole(certificate.tbs, der.SEQUENCE)
    fields = []
    while at < end:
        tag, _, stop = der.element(certificate.tbs, at, end)
        fields.append(change(tag, certificate.tbs[at:stop]))
        at = stop
    whole = element(0x30, element(0x30, *fields), algorithm, element(3, b"\0", certificate.signature))
    return x509.load_der_x509_certificate(whole).public_bytes(Encoding.PEM).decode()


def version_1(issued: Issued) -> str:
    """The same certificate as one of version 1, which has no extensions."""
    algorithm = issued.certificate.signature_algorithm
    return rebuilt(issued, lambda tag, field: b"" if tag in {0xA0, 0xA3} else field, algorithm)


def forged(issued: Issued) -> str:
    """The same certificate with another signature."""
    content = bytearray(issued.certificate.der)
    content[-1] ^= 1
    return x509.load_der_x509_certificate(bytes(content)).public_bytes(Encoding.PEM).decode()


def with_sha1(issued: Issued) -> str:
    """The same certificate, said to be signed with ECDSA and SHA-1."""
    sha256, sha1 = issued.certificate.signature_algorithm, bytes.fromhex("300906072a8648ce3d0401")
    return rebuilt(issued, lambda _, field: sha1 if field == sha256 else field, sha1)


def many(size: int) -> str:
    """CAs of one key whose names take just so many bytes in a CertificateRequest, or a little less."""
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [f"OU={letter * 64}" for letter in "abcdefgh"]
    each = 2 + len(authority(",".join(["CN=CA 0001", *parts])).certificate.subject.der)
    return pem(*(authority(",".join([f"CN=CA {number:04}", *parts]), key=key) for number in range(size // each)))


@dataclasses.dataclass(frozen=True)
class Case:
    """A bundle with one flaw, and what is said of it."""

    bundle: Callable[[], str]
    says: str
    number: int | None = None
    certificate: str = ""


CASES = {
    Flaw.NO_CERTIFICATE: Case(lambda: "nothing -----BEGIN", "no certificate"),
    Flaw.NO_ROOT: Case(lambda: pem(leaf(GOOD)), "everybody would be refused"),
    Flaw.PRIVATE_KEY: Case(lambda: pem(GOOD) + KEY_PEM, "1 block PRIVATE KEY"),
    Flaw.UNREADABLE: Case(lambda: pem(GOOD) + block("CERTIFICATE"), "certificate 2 cannot be read", 2),
    Flaw.SYSTEM_BUNDLE: Case(
        lambda: pem(*(authority(f"CN=Root {number},O=DigiCert Inc,C=US") for number in range(10))),
        "of its 10 CAs, 0 are among the roots of this system and 10 carry the name of a public CA",
    ),
    Flaw.NAMES_TOO_LARGE: Case(lambda: many(MAX_ENCODED + 700), "does not start"),
    Flaw.NOT_VERSION_3: Case(lambda: version_1(GOOD), "is of version 1", 1, "CN=Good CA,O=Example"),
    Flaw.NOT_A_CA: Case(lambda: pem(GOOD, leaf(GOOD)), "the certificate of a client or a server", 2, "CN=alice"),
    Flaw.UNUSABLE: Case(
        lambda: pem(authority("CN=Odd", extra=[(raw("1.2.3.4", b"\5\0"), True)])), "1.2.3.4", 1, "CN=Odd"
    ),
    Flaw.EXPIRED: Case(lambda: pem(authority("CN=Old", days=(-9, -1))), f"ended {day(-1)}", 1, "CN=Old"),
    Flaw.WEAK_KEY: Case(
        lambda: pem(authority("CN=Weak", key=ec.generate_private_key(ec.SECP256K1()))), "secp256k1", 1, "CN=Weak"
    ),
    Flaw.NO_KEY_CERT_SIGN: Case(
        lambda: pem(authority("CN=CA", key_usage=usage("crl_sign"))), "lacks keyCertSign", 1, "CN=CA"
    ),
    Flaw.WRONG_PURPOSE: Case(lambda: pem(authority("CN=CA", purposes=[SERVER])), "rules out clientAuth", 1, "CN=CA"),
    Flaw.NOT_YET_VALID: Case(lambda: pem(authority("CN=New", days=(1, 9))), f"begins {day(1)}", 1, "CN=New"),
    Flaw.EXPIRES_SOON: Case(lambda: pem(authority("CN=CA", days=(-9, 3.5))), "in 3 days", 1, "CN=CA"),
    Flaw.DUPLICATE: Case(lambda: pem(GOOD, GOOD), "is here already, as certificate 1", 2, "CN=Good CA,O=Example"),
    Flaw.SAME_NAME: Case(
        lambda: pem(GOOD, authority("CN=Good CA,O=Example")), "another key", 2, "CN=Good CA,O=Example"
    ),
    Flaw.INTERMEDIATE: Case(
        lambda: pem(ISSUING), "issued by CN=Good CA,O=Example, which is not here", 1, "CN=Issuing CA"
    ),
    Flaw.INTERMEDIATE_BESIDE_ROOT: Case(
        lambda: pem(GOOD, ISSUING), "CN=Good CA,O=Example, which issued it, is here too", 2, "CN=Issuing CA"
    ),
    Flaw.BAD_SIGNATURE: Case(lambda: forged(GOOD), "is not signed with its own key", 1, "CN=Good CA,O=Example"),
    Flaw.PUBLIC_CA: Case(
        lambda: pem(GOOD, authority("CN=R9,O=Internet Security Research Group,C=US")),
        "judging by its name",
        2,
        "CN=R9,O=Internet Security Research Group,C=US",
    ),
    Flaw.NAMES_LARGE: Case(lambda: many(0x8000 + 700), "Java clients"),
    Flaw.UNREAD_CERTIFICATE: Case(lambda: pem(GOOD) + block("TRUSTED CERTIFICATE"), "TRUSTED CERTIFICATE is not read"),
    Flaw.UNREAD_CRL: Case(lambda: pem(GOOD) + block("X509 CRL") * 2, "2 blocks X509 CRL is not read"),
    Flaw.SAME_KEY: Case(lambda: pem(GOOD, RENEWED), "the same name and key", 2, "CN=Good CA,O=Example"),
    Flaw.UNSUPPORTED_SIGNATURE: Case(lambda: with_sha1(GOOD), "ECDSA with SHA-1", 1, "CN=Good CA,O=Example"),
    Flaw.SYSTEM_ROOT: Case(lambda: pem(GOOD), "also among the roots of this system", 1, "CN=Good CA,O=Example"),
    Flaw.OTHER_BLOCK: Case(lambda: pem(GOOD) + block("DH PARAMETERS"), "DH PARAMETERS is passed over"),
}

ALWAYS_TOGETHER = {
    Flaw.NO_ROOT: [Flaw.NOT_A_CA],
    Flaw.NOT_VERSION_3: [Flaw.NO_ROOT],
}
"""What else is found in the bundle of a flaw, because one is never without the other."""
