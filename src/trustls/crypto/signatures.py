"""Handshake signatures: which schemes a key can make, making them, checking them (RFC 9846 4.3.3, 4.5.2).

In TLS 1.3 a scheme fixes curve, padding and hash together; PKCS#1 v1.5 serves TLS 1.2 and certificates only.
"""

from __future__ import annotations

import functools
from typing import TypeGuard

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from trustls.wire.enums import SignatureScheme

PublicKey = PublicKeyTypes
PrivateKey = PrivateKeyTypes

_S = SignatureScheme

_ECDSA: dict[SignatureScheme, tuple[type[ec.EllipticCurve], ec.ECDSA]] = {
    _S.ECDSA_SECP256R1_SHA256: (ec.SECP256R1, ec.ECDSA(hashes.SHA256())),
    _S.ECDSA_SECP384R1_SHA384: (ec.SECP384R1, ec.ECDSA(hashes.SHA384())),
    _S.ECDSA_SECP521R1_SHA512: (ec.SECP521R1, ec.ECDSA(hashes.SHA512())),
}
_RSA_PSS: dict[SignatureScheme, tuple[padding.PSS, hashes.HashAlgorithm]] = {
    # RFC 9846 4.3.3: the salt is as long as the digest.
    scheme: (padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
    for scheme, algorithm in (
        (_S.RSA_PSS_RSAE_SHA256, hashes.SHA256()),
        (_S.RSA_PSS_RSAE_SHA384, hashes.SHA384()),
        (_S.RSA_PSS_RSAE_SHA512, hashes.SHA512()),
    )
}
_RSA_PKCS1: dict[SignatureScheme, hashes.HashAlgorithm] = {
    _S.RSA_PKCS1_SHA256: hashes.SHA256(),
    _S.RSA_PKCS1_SHA384: hashes.SHA384(),
    _S.RSA_PKCS1_SHA512: hashes.SHA512(),
}
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_MLDSA_PUBLIC = {
    _S.MLDSA44: mldsa.MLDSA44PublicKey,
    _S.MLDSA65: mldsa.MLDSA65PublicKey,
    _S.MLDSA87: mldsa.MLDSA87PublicKey,
}
_MLDSA_PRIVATE = {
    _S.MLDSA44: mldsa.MLDSA44PrivateKey,
    _S.MLDSA65: mldsa.MLDSA65PrivateKey,
    _S.MLDSA87: mldsa.MLDSA87PrivateKey,
}
_MLDSA_PUBLIC_KINDS = (mldsa.MLDSA44PublicKey, mldsa.MLDSA65PublicKey, mldsa.MLDSA87PublicKey)
_MLDSA_PRIVATE_KINDS = (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey)

TLS13_SCHEMES: tuple[SignatureScheme, ...] = (
    _S.ECDSA_SECP256R1_SHA256,
    _S.ED25519,
    _S.RSA_PSS_RSAE_SHA256,
    _S.ECDSA_SECP384R1_SHA384,
    _S.RSA_PSS_RSAE_SHA384,
    _S.ECDSA_SECP521R1_SHA512,
    _S.RSA_PSS_RSAE_SHA512,
    _S.MLDSA65,
    _S.MLDSA87,
    _S.MLDSA44,
)

PKCS1_SCHEMES: tuple[SignatureScheme, ...] = tuple(_RSA_PKCS1)
"""For TLS 1.2, and for certificates in both versions: TLS 1.3 handshakes are not signed so (RFC 9846 4.3.3)."""

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT_BITS = 33
"""A verification takes as long as the exponent is, up to a hundred times what it takes with the usual one."""


class BadSignature(ValueError):
    """The signature does not verify."""


class WrongKey(ValueError):
    """The key is of another kind than the scheme signs with, or of a size that is not accepted."""


@functools.lru_cache(maxsize=64)
def _is_subclass(kind: type[object], of: type[object]) -> bool:
    return issubclass(kind, of)


# The kinds of keys are abstract classes: `isinstance` asks them in Python, which takes a microsecond each time.


def _is_ec_private(key: PrivateKey) -> TypeGuard[ec.EllipticCurvePrivateKey]:
    return _is_subclass(type(key), ec.EllipticCurvePrivateKey)


def is_ec_key(key: PublicKey) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Whether `key` is one for ECDSA."""
    return _is_subclass(type(key), ec.EllipticCurvePublicKey)


def _is_rsa_private(key: PrivateKey) -> TypeGuard[rsa.RSAPrivateKey]:
    return _is_subclass(type(key), rsa.RSAPrivateKey)


def _is_rsa_public(key: PublicKey) -> TypeGuard[rsa.RSAPublicKey]:
    return _is_subclass(type(key), rsa.RSAPublicKey)


def schemes_of_private_key(key: PrivateKey) -> tuple[SignatureScheme, ...]:
    """The schemes that `key` can sign with, preferred first; none for a kind of key that has no scheme in TLS 1.3."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return tuple(scheme for scheme, (curve, _) in _ECDSA.items() if isinstance(key.curve, curve))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return (_S.ED25519,)
    if isinstance(key, rsa.RSAPrivateKey):
        return (*_RSA_PSS, *_RSA_PKCS1) if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS else ()
    return tuple(scheme for scheme, kind in _MLDSA_PRIVATE.items() if isinstance(key, kind))


def has_usual_exponent(key: rsa.RSAPublicKey) -> bool:
    """Whether the public exponent is odd, and of no more than `MAX_RSA_EXPONENT_BITS`."""
    exponent = key.public_numbers().e
    return bool(exponent & 1) and exponent.bit_length() <= MAX_RSA_EXPONENT_BITS


def is_rsa_key(key: PublicKey) -> bool:
    """Whether `key` is an RSA key."""
    return _is_rsa_public(key)


def sign(key: PrivateKey, scheme: SignatureScheme, message: bytes) -> bytes:
    """The signature of `message`; WrongKey when the key cannot make one of this scheme."""
    if scheme in _ECDSA:
        curve, algorithm = _ECDSA[scheme]
        if _is_ec_private(key) and isinstance(key.curve, curve):
            return key.sign(message, algorithm)
    elif scheme in _RSA_PSS:
        if _is_rsa_private(key):
            pss, algorithm_hash = _RSA_PSS[scheme]
            return key.sign(message, pss, algorithm_hash)
    elif scheme in _RSA_PKCS1:
        if _is_rsa_private(key):
            return key.sign(message, padding.PKCS1v15(), _RSA_PKCS1[scheme])
    elif scheme is _S.ED25519:
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(message)
    elif isinstance(key, _MLDSA_PRIVATE_KINDS) and isinstance(key, _MLDSA_PRIVATE.get(scheme, ())):
        return key.sign(message)
    raise WrongKey(f"{type(key).__name__} cannot sign with {scheme}")


def verify(
    key: PublicKey, scheme: SignatureScheme, signature: bytes, message: bytes, *, any_curve: bool = False
) -> None:
    """Check a handshake signature: WrongKey when the scheme is not the key's, BadSignature when it does not verify.

    `any_curve` is TLS 1.2's reading of the ECDSA schemes, which names a hash alone (RFC 8422 5.1.1).
    """
    try:
        if scheme in _ECDSA:
            curve, algorithm = _ECDSA[scheme]
            curves = _CURVES if any_curve else curve
            if is_ec_key(key) and isinstance(key.curve, curves):
                key.verify(signature, message, algorithm)
                return
        elif scheme in _RSA_PSS:
            if _is_rsa_public(key) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and has_usual_exponent(key):
                pss, algorithm_hash = _RSA_PSS[scheme]
                key.verify(signature, message, pss, algorithm_hash)
                return
        elif scheme in _RSA_PKCS1:
            if _is_rsa_public(key) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and has_usual_exponent(key):
                key.verify(signature, message, padding.PKCS1v15(), _RSA_PKCS1[scheme])
                return
        elif scheme is _S.ED25519:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
                return
        elif isinstance(key, _MLDSA_PUBLIC_KINDS) and isinstance(key, _MLDSA_PUBLIC.get(scheme, ())):
            key.verify(signature, message)
            return
    except InvalidSignature:
        raise BadSignature(f"{scheme} signature does not verify") from None
    raise WrongKey(f"{scheme} is not for a key of this kind ({type(key).__name__})")
