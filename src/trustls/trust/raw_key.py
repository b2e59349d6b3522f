"""RawPublicKey: a public key that stands for its holder by itself, without a certificate (RFC 7250)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, DecodeError, Misbehaviour
from trustls.trust.cache import BoundedCache
from trustls.trust.pem import PEMSource, pem_bytes, pem_origin
from trustls.trust.signatures import fault_of_key
from trustls.wire import der as _der

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

MAX_RAW_KEY: Final = 1 << 13
"""The most bytes of a SubjectPublicKeyInfo; the largest key that is accepted, of ML-DSA-87, takes a third of it."""


class RawPublicKey:
    """A public key as it stands in a Certificate message (RFC 7250 3): a SubjectPublicKeyInfo and nothing else.

    Make one with `from_der`, `from_pem` or `from_key`. Immutable, hashable, equal by its bytes. There is one encoding
    for each key, so that two with other bytes are other keys. It has no name, no issuer and no time at which it
    expires: whoever holds the private key is who is meant.

    Attributes:
        spki: the SubjectPublicKeyInfo, exact DER.
        spki_algorithm: the AlgorithmIdentifier of the key, exact DER.
        public_key: the same as pyca/cryptography's key object.
        sha256: the SHA-256 of `spki`: the pin of RFC 7469.
    """

    __slots__ = ("public_key", "sha256", "spki", "spki_algorithm")

    spki: bytes
    spki_algorithm: bytes
    public_key: PublicKeyTypes
    sha256: bytes

    def __init__(self) -> None:
        raise TypeError("use RawPublicKey.from_der, RawPublicKey.from_pem or RawPublicKey.from_key")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a RawPublicKey does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a RawPublicKey does not change")

    @classmethod
    def from_der(cls, spki: bytes) -> RawPublicKey:
        """The key of a SubjectPublicKeyInfo in DER (RFC 5280 4.1.2.7).

        Accepted are the keys that certificates may have: RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521 by
        name and with uncompressed points, Ed25519, ML-DSA.

        Raises:
            DecodeError: it is no SubjectPublicKeyInfo, or not in the one form that DER has for the key.
            CertificateRejected: WEAK_KEY, it is of a kind or size that is not accepted.
        """
        spki = bytes(spki)
        known = _PARSED.get(spki)
        if known is not None:
            return known
        made: RawPublicKey = object.__new__(cls)
        fill = object.__setattr__
        fill(made, "spki", spki)
        fill(made, "spki_algorithm", _algorithm(spki))
        fill(made, "sha256", hashlib.sha256(spki).digest())
        fill(made, "public_key", _loaded(made))
        fault = fault_of_key(made)
        if fault is not None:
            raise _weak(made, fault.found, fault.expected)
        _PARSED.put(spki, made, len(spki) * 4 + 1024)
        return made

    @classmethod
    def from_key(cls, key: PublicKeyTypes) -> RawPublicKey:
        """The same key as an object of `cryptography`; a private key is refused.

        Raises:
            ConfigError: it is no public key, or of a kind or size that is not accepted.
        """
        if hasattr(key, "private_bytes") or not hasattr(key, "public_bytes"):
            raise ConfigError(
                f"a raw public key is made of a public key of `cryptography`, not of {type(key).__name__}"
            )
        return cls._given(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), "the key given")

    @classmethod
    def from_pem(cls, source: PEMSource) -> tuple[RawPublicKey, ...]:
        """Every key in PEM (`-----BEGIN PUBLIC KEY-----`), in its order, as bytes or text or the path of a file.

        What else is there, is passed over: `openssl pkey -pubout` and `certtool --pubkey-info` write some words.

        Raises:
            ConfigError: there is none, or one that cannot be read or is not accepted.
            OSError: the file cannot be read.
        """
        content, origin = pem_bytes(source), pem_origin(source)
        blocks = [match[0] for match in _BLOCK.finditer(content)]
        if not blocks or len(blocks) != content.count(_BEGIN):
            raise ConfigError(f"there is no whole public key in {origin}: expected -----BEGIN PUBLIC KEY-----")
        return tuple([cls._of_block(block, f"key {number} of {origin}") for number, block in enumerate(blocks, 1)])

    @classmethod
    def _of_block(cls, block: bytes, what: str) -> RawPublicKey:
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{what} cannot be read: {error}") from None
        return cls._given(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), what)

    @classmethod
    def _given(cls, spki: bytes, what: str) -> RawPublicKey:
        """As `from_der`, of what an application gives."""
        try:
            return cls.from_der(spki)
        except (DecodeError, CertificateRejected) as error:
            raise ConfigError(f"{what} cannot be used: {error.detail}") from None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RawPublicKey):
            return self.spki == other.spki
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return RawPublicKey.from_der, (self.spki,)

    def __str__(self) -> str:
        return f"raw public key {self.fingerprint} ({self.algorithm})"

    def __repr__(self) -> str:
        return f"<RawPublicKey {self.algorithm} {self.fingerprint}>"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the SubjectPublicKeyInfo, in hex: `openssl pkey -pubin -outform DER | sha256sum`."""
        return self.sha256.hex()

    @property
    def algorithm(self) -> str:
        """The kind of key in words, with its size or curve."""
        key = self.public_key
        if isinstance(key, rsa.RSAPublicKey):
            return f"RSA {key.key_size}"
        if isinstance(key, ec.EllipticCurvePublicKey):
            return f"ECDSA {_CURVE_NAMES.get(key.curve.name, key.curve.name)}"
        return type(key).__name__.removesuffix("PublicKey")

    @property
    def title(self) -> str:
        """What messages call it, by its fingerprint."""
        return f"the raw public key {self.fingerprint}"

    @property
    def key_usage_bits(self) -> None:
        """None: nothing says what the key may not do."""
        return

    def pem(self) -> str:
        """The key as PEM text."""
        return self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _algorithm(spki: bytes) -> bytes:
    """The AlgorithmIdentifier of a well-formed SubjectPublicKeyInfo: a SEQUENCE of that and a BIT STRING."""
    if len(spki) > MAX_RAW_KEY:
        raise DecodeError(Misbehaviour.MALFORMED, f"a raw public key of more than {MAX_RAW_KEY} bytes")
    at, end = _der.whole(spki, _der.SEQUENCE)
    start, stop = _der.expect(spki, at, end, _der.SEQUENCE)
    oid_start, oid_stop = _der.expect(spki, start, stop, _der.OBJECT_IDENTIFIER)
    bits, bits_stop = _der.expect(spki, stop, end, _der.BIT_STRING)
    if not _der.is_oid(spki[oid_start:oid_stop]) or bits_stop != end or bits == end or spki[bits]:
        raise DecodeError(Misbehaviour.MALFORMED, "what stands for a raw public key is no SubjectPublicKeyInfo")
    return spki[at:stop]


def _loaded(made: RawPublicKey) -> PublicKeyTypes:
    try:
        key = load_der_public_key(made.spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _weak(made, "a key that cannot be read", "a key for RSA, ECDSA, Ed25519 or ML-DSA") from None
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != made.spki:
        # Two spellings of one key would be two identities.
        raise DecodeError(Misbehaviour.MALFORMED, "a raw public key is not in the one form that DER has for it")
    return key


def _weak(made: RawPublicKey, found: str, expected: str) -> CertificateRejected:
    return CertificateRejected(
        CertificateProblem.WEAK_KEY,
        f"{made.title} is {found}; accepted are {expected}",
        expected=expected,
        found=found,
        remedy="make a new key, such as one for ECDSA on P-256, and give its public half to whoever trusts this one",
    )


_BEGIN: Final = b"-----BEGIN PUBLIC KEY-----"
_BLOCK: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----\s.*?-----END PUBLIC KEY-----", re.DOTALL)
_CURVE_NAMES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PARSED: Final[BoundedCache[bytes, RawPublicKey]] = BoundedCache(entries=256, weight=1 << 21)
