"""Kinds of keys on tokens, their public halves, and how each signature scheme is signed with PKCS#11's mechanisms."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, PKCS11Error

from trustls.crypto.signatures import MAX_RSA_BITS, MIN_RSA_BITS, PublicKey
from trustls.errors import ConfigError, SigningFailed
from trustls.wire.enums import SignatureScheme

_S = SignatureScheme

# What an attribute that a module does not have, or keeps to itself, is answered with.
_NO_ATTRIBUTE: Final = (
    pkcs11.AttributeTypeInvalid,
    pkcs11.AttributeSensitive,
    pkcs11.FunctionFailed,
    ValueError,
    struct.error,
)


class Way(NamedTuple):
    """One way to have a scheme's signature made: the mechanism, and what is hashed here before."""

    mechanism: Mechanism
    parameter: tuple[Mechanism, MGF, int] | None = None
    digest: str | None = None
    prefix: bytes = b""

    def prepared(self, message: bytes, width: int) -> bytes:
        """What the mechanism is given to sign, for a curve of `width` bytes; 0 for other keys."""
        if self.digest is None:
            return message
        digest = hashlib.new(self.digest, message).digest()
        # FIPS 186-5 6.4.1: ECDSA signs no more of a digest than the curve is wide. Not all modules cut it themselves.
        return self.prefix + digest[: width or None]


# RFC 8017 9.2, note 1: what stands before the digest in a PKCS#1 v1.5 signature.
_DIGEST_INFO: Final = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
# RFC 9846 4.3.3: the salt of PSS is as long as the digest.
_PSS: Final = {
    "sha256": (Mechanism.SHA256, MGF.SHA256, 32),
    "sha384": (Mechanism.SHA384, MGF.SHA384, 48),
    "sha512": (Mechanism.SHA512, MGF.SHA512, 64),
}


def _pss(digest: str, whole: Mechanism) -> tuple[Way, ...]:
    return (Way(Mechanism.RSA_PKCS_PSS, _PSS[digest], digest), Way(whole, _PSS[digest]))


def _pkcs1(digest: str, whole: Mechanism) -> tuple[Way, ...]:
    return (Way(Mechanism.RSA_PKCS, None, digest, _DIGEST_INFO[digest]), Way(whole))


def _ecdsa(digest: str, whole: Mechanism) -> tuple[Way, ...]:
    return (Way(Mechanism.ECDSA, None, digest), Way(whole))


# Hashing here comes first: messages need not go to the device, and nearly every device has the plain mechanisms.
WAYS: Final[Mapping[SignatureScheme, tuple[Way, ...]]] = {
    _S.RSA_PSS_RSAE_SHA256: _pss("sha256", Mechanism.SHA256_RSA_PKCS_PSS),
    _S.RSA_PSS_RSAE_SHA384: _pss("sha384", Mechanism.SHA384_RSA_PKCS_PSS),
    _S.RSA_PSS_RSAE_SHA512: _pss("sha512", Mechanism.SHA512_RSA_PKCS_PSS),
    _S.RSA_PKCS1_SHA256: _pkcs1("sha256", Mechanism.SHA256_RSA_PKCS),
    _S.RSA_PKCS1_SHA384: _pkcs1("sha384", Mechanism.SHA384_RSA_PKCS),
    _S.RSA_PKCS1_SHA512: _pkcs1("sha512", Mechanism.SHA512_RSA_PKCS),
    _S.ECDSA_SECP256R1_SHA256: _ecdsa("sha256", Mechanism.ECDSA_SHA256),
    _S.ECDSA_SECP384R1_SHA384: _ecdsa("sha384", Mechanism.ECDSA_SHA384),
    _S.ECDSA_SECP521R1_SHA512: _ecdsa("sha512", Mechanism.ECDSA_SHA512),
    _S.ED25519: (Way(Mechanism.EDDSA),),
}


def ways_on(slot: pkcs11.Slot, kind: KeyKind) -> dict[SignatureScheme, Way]:
    """For each scheme of this kind of key, in order, the first way that the token's mechanisms allow."""
    listed = slot.get_mechanisms()
    ways: dict[SignatureScheme, Way] = {}
    for scheme in (*kind.schemes, *kind.other_hashes):
        way = next((way for way in WAYS[scheme] if way.mechanism in listed and _signs(slot, way.mechanism)), None)
        if way is not None:
            ways[scheme] = way
    return ways


def _signs(slot: pkcs11.Slot, mechanism: Mechanism) -> bool:
    try:
        return bool(slot.get_mechanism_info(mechanism).flags & MechanismFlag.SIGN)
    except PKCS11Error:
        return False


class KeyKind(NamedTuple):
    """A kind of key: the schemes that it is for, and its curve if it is one for ECDSA.

    `other_hashes` are the ECDSA schemes that it signs with in TLS 1.2 besides.
    """

    name: str
    schemes: tuple[SignatureScheme, ...]
    public_type: type[Any]
    curve: ec.EllipticCurve | None = None
    other_hashes: tuple[SignatureScheme, ...] = ()

    @property
    def coordinate(self) -> int:
        """The length in bytes of a coordinate and of each number of an ECDSA signature; 0 without a curve."""
        return 0 if self.curve is None else (self.curve.key_size + 7) // 8

    def encoded(self, raw: bytes) -> bytes:
        """A signature as TLS has it: PKCS#11 puts the two numbers of ECDSA side by side, TLS into DER."""
        if self.curve is None:
            return raw
        size = self.coordinate
        if len(raw) != 2 * size:
            raise SigningFailed(f"the token gave {len(raw)} bytes as an ECDSA signature on {self.name}, not {2 * size}")
        return encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))

    def is_of(self, key: PublicKey) -> bool:
        """Whether a public key is of this kind."""
        if isinstance(key, ec.EllipticCurvePublicKey):
            return self.curve is not None and key.curve.name == self.curve.name
        return isinstance(key, self.public_type)

    def public_key(self, item: pkcs11.Object) -> PublicKey | None:
        """The public key that the attributes of an object tell of; None when they do not, or it is of another kind."""
        try:
            if self.public_type is rsa.RSAPublicKey:
                modulus, exponent = attribute_of(item, Attribute.MODULUS), attribute_of(item, Attribute.PUBLIC_EXPONENT)
                if not modulus or not exponent:
                    return None
                numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
                return numbers.public_key()
            point = attribute_of(item, Attribute.EC_POINT)
            if not point:
                return None
            if self.curve is None:
                return ed25519.Ed25519PublicKey.from_public_bytes(_bare(point, 32))
            return ec.EllipticCurvePublicKey.from_encoded_point(self.curve, _bare(point, 1 + 2 * self.coordinate))
        except ValueError:
            return None


def _bare(point: bytes, length: int) -> bytes:
    """The point without the OCTET STRING around it, which some modules leave out and the standard asks for."""
    return point if len(point) == length else point[-length:]


_RSA: Final = KeyKind(
    "RSA",
    (
        *(_S.RSA_PSS_RSAE_SHA256, _S.RSA_PSS_RSAE_SHA384, _S.RSA_PSS_RSAE_SHA512),
        *(_S.RSA_PKCS1_SHA256, _S.RSA_PKCS1_SHA384, _S.RSA_PKCS1_SHA512),
    ),
    rsa.RSAPublicKey,
)
_ED25519: Final = KeyKind("Ed25519", (_S.ED25519,), ed25519.Ed25519PublicKey)


def _on_curve(name: str, curve: ec.EllipticCurve, scheme: SignatureScheme) -> KeyKind:
    # The stronger hashes first.
    hashes = (_S.ECDSA_SECP521R1_SHA512, _S.ECDSA_SECP384R1_SHA384, _S.ECDSA_SECP256R1_SHA256)
    others = tuple([other for other in hashes if other is not scheme])
    return KeyKind(name, (scheme,), ec.EllipticCurvePublicKey, curve, others)


_P256: Final = _on_curve("P-256", ec.SECP256R1(), _S.ECDSA_SECP256R1_SHA256)
_P384: Final = _on_curve("P-384", ec.SECP384R1(), _S.ECDSA_SECP384R1_SHA384)
_P521: Final = _on_curve("P-521", ec.SECP521R1(), _S.ECDSA_SECP521R1_SHA512)

# By CKA_KEY_TYPE and CKA_EC_PARAMS, in DER.
_CURVES: Final[Mapping[tuple[KeyType, bytes], KeyKind]] = {
    (KeyType.EC, bytes.fromhex("06082a8648ce3d030107")): _P256,
    (KeyType.EC, bytes.fromhex("06052b81040022")): _P384,
    (KeyType.EC, bytes.fromhex("06052b81040023")): _P521,
    (KeyType.EC_EDWARDS, bytes.fromhex("06032b6570")): _ED25519,  # RFC 8410 3.
    (KeyType.EC_EDWARDS, b"\x13\x0cedwards25519"): _ED25519,  # Its name as PrintableString, which is allowed as well.
    (KeyType.EC_EDWARDS, bytes.fromhex("06092b06010401da470f01")): _ED25519,  # What it had before RFC 8410.
}


def kind_of(key: pkcs11.Object, name: str) -> KeyKind:
    """What kind of key it is.

    Raises:
        ConfigError: one that cannot be used here.
    """
    key_type = attribute_of(key, Attribute.KEY_TYPE)
    if key_type == KeyType.RSA:
        bits = int.from_bytes(attribute_of(key, Attribute.MODULUS) or b"", "big").bit_length()
        if MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
            return _RSA
        raise ConfigError(f"{name} is an RSA key of {bits} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")
    parameters = attribute_of(key, Attribute.EC_PARAMS) or b""
    kind = _CURVES.get((key_type, parameters))
    if kind is None:
        of = f"{key_type!r}" + (f" with the parameters {parameters.hex()}" if parameters else "")
        raise ConfigError(
            f"{name} is of a kind that does not sign here ({of}): RSA, ECDSA on P-256, P-384 or P-521, and Ed25519 do"
        )
    return kind


def attribute_of(item: pkcs11.Object, attribute: Attribute) -> Any:
    """An attribute of an object; None when the module does not give it."""
    try:
        return item[attribute]
    except _NO_ATTRIBUTE:
        return None
