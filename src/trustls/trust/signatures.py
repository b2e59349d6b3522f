"""Signatures on certificates, by exact AlgorithmIdentifier (RFC 5280 4.1.1.2), and which keys are accepted.

An algorithm is known by all the bytes of its identifier, parameters included, so that there is nothing to interpret.
There is no SHA-1, no MD5, no RSA below 2048 bits and no curve outside P-256, P-384, P-521 and Ed25519.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from trustls.crypto.signatures import MAX_RSA_EXPONENT_BITS, has_usual_exponent
from trustls.errors import CertificateProblem, CertificateRejected, DecodeError
from trustls.trust.cache import BoundedCache
from trustls.trust.certificate import Certificate, Fault
from trustls.wire import der as _der

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192


class SignatureAlgorithm(NamedTuple):
    """How one AlgorithmIdentifier is verified: the key it needs, and the rest of `verify`'s arguments."""

    name: str
    key_type: type[Any]
    arguments: tuple[Any, ...]


class KeyHolder(Protocol):
    """What has a public key: a Certificate, or a RawPublicKey."""

    @property
    def title(self) -> str: ...
    @property
    def public_key(self) -> PublicKeyTypes: ...
    @property
    def spki_algorithm(self) -> bytes: ...


def key_fault(certificate: Certificate) -> Fault | None:
    """Why the certificate's key is not accepted, for whatever purpose; None when it is. The certificate keeps that."""
    return certificate.remembered("_key_fault", fault_of_key)


def fault_of_key(certificate: KeyHolder) -> Fault | None:
    """As `key_fault`, found anew."""
    try:
        key = certificate.public_key
    except CertificateRejected as error:
        return Fault.of(error)
    if isinstance(key, rsa.RSAPublicKey):
        bits = key.key_size
        if not (MIN_RSA_BITS <= bits <= MAX_RSA_BITS and bits % 8 == 0):
            found, expected = f"{bits} bits of RSA", f"{MIN_RSA_BITS} to {MAX_RSA_BITS}, in steps of 8"
        elif has_usual_exponent(key):
            return None
        else:
            exponent = key.public_numbers().e
            found = f"RSA with an {'odd' if exponent & 1 else 'even'} exponent of {exponent.bit_length()} bits"
            expected = f"odd exponents of at most {MAX_RSA_EXPONENT_BITS} bits, such as 65537"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        # A curve is named. One that is spelled out may differ from that name in one number (CVE-2020-0601).
        if certificate.spki_algorithm in _CURVES:
            return None
        found, expected = f"on the curve {key.curve.name}", "P-256, P-384 and P-521, by name"
    elif isinstance(key, _OTHER_KEYS):
        return None
    else:
        found, expected = f"of the kind {type(key).__name__}", "RSA, ECDSA, Ed25519 and ML-DSA"
    return _weak_key(certificate, found, expected, "ECDSA on P-256")


def public_web_key_fault(certificate: Certificate) -> Fault | None:
    """As `key_fault`, with the keys of the public web alone: RSA and ECDSA (CABF BR 6.1.5, 7.1.3.1)."""
    fault = key_fault(certificate)
    if fault is not None:
        return fault
    key = certificate.public_key
    if isinstance(key, _OTHER_KEYS):
        kind = type(key).__name__.removesuffix("PublicKey")
    elif _RSASSA_PSS in certificate.spki_algorithm[:16]:
        kind = "RSA for PSS alone"
    else:
        return None
    return _weak_key(certificate, f"of the kind {kind}", "RSA and ECDSA on the public web", "RSA or ECDSA")


def _weak_key(certificate: KeyHolder, found: str, expected: str, better: str) -> Fault:
    return Fault(
        CertificateProblem.WEAK_KEY,
        f"the key of {certificate.title} is {found}; accepted are {expected}",
        expected=expected,
        found=found,
        remedy=f"make a new key, such as one for {better}, and have {certificate.title} issued anew for it",
    )


def is_pss_key(certificate: KeyHolder) -> bool:
    """Whether the key is marked for RSASSA-PSS, and may do nothing else (RFC 4055 1.2)."""
    return _RSASSA_PSS in certificate.spki_algorithm[:16]


def is_verified(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether `signature_fault` has lately found that this issuer's key signed this certificate: costs no signature."""
    return _VERIFIED.get((issuer.spki_sha256, certificate.sha256)) is not None


def signature_fault(issuer: Certificate, certificate: Certificate) -> Fault | None:
    """Verify that the issuer's key signed the certificate; None when it did, else what is wrong.

    A success is remembered. The issuer's key must have passed `key_fault`.
    """
    problem = _signature_problem(issuer, certificate.signature_algorithm, certificate.signature, certificate.tbs)
    if problem is None:
        _VERIFIED.put((issuer.spki_sha256, certificate.sha256), True)
        return None
    fault = _signature_fault(issuer, certificate.title, certificate.signature_algorithm, problem)
    wanted = certificate.authority_key_identifier
    if problem is not _Problem.NOT_VERIFIED or wanted is None or issuer.subject_key_identifier in (None, wanted):
        return fault
    return fault._replace(
        detail=f"{certificate.title} was signed by another key than that of {issuer.title} here: the issuer's name is "
        "the same, the key is not (was that CA made anew?)",
        found="a signature by another key of that name",
        remedy=f"have {certificate.title} issued anew by the {issuer.title} that is used here, or use the certificate "
        f"of the {issuer.title} that signed it",
    )


def data_fault(
    signer: Certificate, algorithm: bytes, signature: bytes, data: bytes | memoryview, what: str
) -> Fault | None:
    """Verify that the signer's key signed the data of a CRL or an OCSP response; None when it did, else what is wrong.

    Args:
        signer: whose key it must be; it must have passed `key_fault`.
        algorithm: the AlgorithmIdentifier, exact DER.
        signature: the signature.
        data: what is signed.
        what: what it is, for messages, such as "the CRL of CN=Root".
    """
    problem = _signature_problem(signer, algorithm, signature, data)
    return None if problem is None else _signature_fault(signer, what, algorithm, problem)


class _Problem(enum.Enum):
    UNSUPPORTED = enum.auto()
    OTHER_KEY_TYPE = enum.auto()
    NOT_VERIFIED = enum.auto()


def _signature_problem(
    signer: Certificate, identifier: bytes, signature: bytes, data: bytes | memoryview
) -> _Problem | None:
    algorithm = _ALGORITHMS.get(identifier)
    if algorithm is None:
        return _Problem.UNSUPPORTED
    key = signer.public_key
    # A key that is marked for RSASSA-PSS may do nothing else (RFC 4055 1.2).
    if not isinstance(key, algorithm.key_type) or (
        _RSASSA_PSS in signer.spki_algorithm[:16] and algorithm.name.startswith("RSA PKCS#1")
    ):
        return _Problem.OTHER_KEY_TYPE
    verify: Callable[..., None] = key.verify
    try:
        verify(signature, data, *algorithm.arguments)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return _Problem.NOT_VERIFIED
    return None


def _signature_fault(signer: Certificate, what: str, identifier: bytes, problem: _Problem) -> Fault:
    name = algorithm_name(identifier)
    if problem is _Problem.UNSUPPORTED:
        return Fault(
            CertificateProblem.UNSUPPORTED_SIGNATURE,
            f"{what} is signed with {name}",
            expected="RSA (PKCS#1 or PSS) or ECDSA with SHA-256, SHA-384 or SHA-512, Ed25519, or ML-DSA",
            found=name,
            remedy=f"let {signer.title} sign with SHA-256 or better, and issue {what} anew",
        )
    expected = f"a signature by the key of {signer.title}"
    if problem is _Problem.OTHER_KEY_TYPE:
        return Fault(
            CertificateProblem.BAD_SIGNATURE,
            f"{what} claims {name}, which is not for the key of its issuer {signer.title}",
            expected=expected,
            found=name,
            remedy=f"have {what} issued anew by the {signer.title} that is used here, or use the certificate of the "
            f"{signer.title} that signed it",
        )
    return Fault(
        CertificateProblem.BAD_SIGNATURE,
        f"{what} does not carry the signature of {signer.title}",
        expected=expected,
        found="a signature that does not verify",
        remedy=f"put {what} in place as it was issued: it was changed, or signed by another key; if {signer.title} was "
        f"made anew, have {what} issued anew",
    )


def algorithm_name(identifier: bytes) -> str:
    """The name of an AlgorithmIdentifier for a message; its OID when it is not supported."""
    algorithm = _ALGORITHMS.get(identifier)
    if algorithm is not None:
        return algorithm.name
    try:
        start, stop = _der.whole(identifier, _der.SEQUENCE)
        start, stop = _der.expect(identifier, start, stop, _der.OBJECT_IDENTIFIER)
        dotted = _der.dotted(identifier[start:stop])
    except DecodeError:
        return "a malformed algorithm identifier"
    return _REFUSED_NAMES.get(dotted, f"the algorithm {dotted}")


def _sequence(*parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes([0x30, len(content)]) + content


def _oid(dotted: str) -> bytes:
    content = _der.undotted(dotted)
    return bytes([_der.OBJECT_IDENTIFIER, len(content)]) + content


def _algorithms() -> dict[bytes, SignatureAlgorithm]:
    null = bytes([_der.NULL, 0])
    table: dict[bytes, SignatureAlgorithm] = {}
    hash_oids: list[tuple[hashes.HashAlgorithm, str]] = [
        (hashes.SHA256(), "2.16.840.1.101.3.4.2.1"),
        (hashes.SHA384(), "2.16.840.1.101.3.4.2.2"),
        (hashes.SHA512(), "2.16.840.1.101.3.4.2.3"),
    ]
    for index, (digest, hash_oid) in enumerate(hash_oids):
        name = f"SHA-{digest.digest_size * 8}"
        ecdsa = SignatureAlgorithm(f"ECDSA with {name}", ec.EllipticCurvePublicKey, (ec.ECDSA(digest),))
        table[_sequence(_oid(f"1.2.840.10045.4.3.{2 + index}"))] = ecdsa
        pkcs1 = SignatureAlgorithm(f"RSA PKCS#1 with {name}", rsa.RSAPublicKey, (padding.PKCS1v15(), digest))
        pkcs1_oid = _oid(f"1.2.840.113549.1.1.{11 + index}")
        table[_sequence(pkcs1_oid, null)] = pkcs1
        # RFC 4055 5 wants the NULL, but some signers leave it out.
        table[_sequence(pkcs1_oid)] = pkcs1
        pss = SignatureAlgorithm(
            f"RSA-PSS with {name}", rsa.RSAPublicKey, (padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        )
        # RFC 4055 3.1: hash, MGF1 with the same hash, and a salt of the hash's length; the hash with or without NULL.
        for hash_identifier in (_sequence(_oid(hash_oid), null), _sequence(_oid(hash_oid))):
            mask = _sequence(_oid("1.2.840.113549.1.1.8"), hash_identifier)
            parameters = b"".join(
                bytes([0xA0 + number, len(value)]) + value
                for number, value in enumerate((hash_identifier, mask, bytes([_der.INTEGER, 1, digest.digest_size])))
            )
            table[_sequence(_oid("1.2.840.113549.1.1.10"), _sequence(parameters))] = pss
    table[_sequence(_oid("1.3.101.112"))] = SignatureAlgorithm("Ed25519", ed25519.Ed25519PublicKey, ())
    for index, (name, key_type) in enumerate(
        (("44", mldsa.MLDSA44PublicKey), ("65", mldsa.MLDSA65PublicKey), ("87", mldsa.MLDSA87PublicKey))
    ):
        # RFC 9881 2.
        table[_sequence(_oid(f"2.16.840.1.101.3.4.3.{17 + index}"))] = SignatureAlgorithm(
            f"ML-DSA-{name}", key_type, ()
        )
    return table


_RSASSA_PSS: Final = _oid("1.2.840.113549.1.1.10")
_CURVES: Final = frozenset(
    _sequence(_oid("1.2.840.10045.2.1"), _oid(curve))
    for curve in ("1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35")
)
_OTHER_KEYS: Final = (
    ed25519.Ed25519PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)
_ALGORITHMS: Final = _algorithms()
_REFUSED_NAMES: Final = {
    "1.2.840.113549.1.1.4": "RSA with MD5",
    "1.2.840.113549.1.1.5": "RSA with SHA-1",
    "1.2.840.113549.1.1.14": "RSA with SHA-224",
    "1.2.840.113549.1.1.10": "RSA-PSS with unusual parameters",
    "1.2.840.10045.4.1": "ECDSA with SHA-1",
    "1.2.840.10045.4.3.1": "ECDSA with SHA-224",
    "1.2.840.10040.4.3": "DSA with SHA-1",
    "2.16.840.1.101.3.4.3.2": "DSA with SHA-256",
    "1.3.101.113": "Ed448",
}
# Only successes: a failure is looked at anew each time, so a fault in here can only cost time.
_VERIFIED: Final[BoundedCache[tuple[bytes, bytes], bool]] = BoundedCache(entries=2048, weight=2048)
