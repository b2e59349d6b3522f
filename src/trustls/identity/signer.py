"""Signers: whatever holds a private key and can sign with it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Final, Protocol, runtime_checkable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from trustls.crypto.signatures import (
    MAX_RSA_BITS,
    MIN_RSA_BITS,
    PKCS1_SCHEMES,
    PrivateKey,
    PublicKey,
    is_ec_key,
    schemes_of_private_key,
    sign,
)
from trustls.errors import CertificateRejected, ConfigError, SigningFailed
from trustls.trust.signatures import KeyHolder
from trustls.wire.der import undotted
from trustls.wire.enums import NamedGroup, SignatureScheme

_S = SignatureScheme


@runtime_checkable
class Signer(Protocol):
    """A private key that need not be here: in memory, in an HSM or a TPM, or behind a network.

    `schemes` are the signature schemes it can sign with, preferred first; they are read once, when a `Credential` is
    made. `sign` may be a plain method or `async`; an asynchronous one needs an asynchronous transport (`trustls.aio`).

    Two more attributes are looked for, and may be missing:

    - `public_key`, a key object of `cryptography` (or a method without arguments that gives one, or None): the
      certificate must be for it;
    - `schemes_tls12`, the schemes for TLS 1.2, where an ECDSA scheme means its hash with whatever curve the key has
      (RFC 8422 5.1.1): a P-384 key that can sign with SHA-256 too has ecdsa_secp256r1_sha256 there, not in TLS 1.3.
    """

    @property
    def schemes(self) -> tuple[SignatureScheme, ...]: ...

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes | Awaitable[bytes]:
        """The signature of `message` (not of its hash) by `scheme`."""


class KeySigner:
    """A signer over a private key of `cryptography`, held in memory.

    Attributes:
        schemes: what it signs with in TLS 1.3, where a scheme fixes the curve, and in TLS 1.2.
        schemes_tls12: the same with the other ECDSA schemes behind it, which name a hash alone there.
    """

    __slots__ = ("_key", "schemes", "schemes_tls12")

    def __init__(self, key: PrivateKey) -> None:
        """Raises ConfigError for a kind or size of key that no TLS 1.3 signature scheme takes."""
        if not hasattr(key, "public_key"):
            raise ConfigError(
                f"{type(key).__name__} is no signer: give a private key of `cryptography`, or an object that has "
                "`schemes` and `sign`; for a file there is Credential.from_pem"
            )
        self._key = key
        self.schemes = schemes_of_private_key(key)
        if not self.schemes:
            raise ConfigError(
                f"{_describe(key)} has no signature scheme in TLS 1.3; ECDSA on P-256, P-384 or P-521, Ed25519, "
                "RSA of 2048 to 8192 bits and ML-DSA do"
            )
        self.schemes_tls12 = self.schemes
        if isinstance(key, ec.EllipticCurvePrivateKey):
            # The stronger hashes first; a longer one than the curve is cut to its size.
            self.schemes_tls12 += tuple([scheme for scheme in reversed(_ECDSA_HASHES) if scheme not in self.schemes])

    @property
    def public_key(self) -> PublicKey:
        """The key that its signatures verify with."""
        return self._key.public_key()

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature of `message`."""
        if scheme in _ECDSA_HASHES and scheme not in self.schemes and isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(message, ec.ECDSA(_ECDSA_HASHES[scheme]))
        return sign(self._key, scheme, message)

    def __repr__(self) -> str:
        return f"<KeySigner {', '.join(scheme.iana for scheme in self.schemes)}>"


def public_key_of(signer: Signer) -> PublicKey | None:
    """The public key that a signer shows; None when it shows none.

    Raises:
        ConfigError: what it shows is no public key of `cryptography`.
    """
    shown = getattr(signer, "public_key", None)
    if callable(shown):
        shown = shown()
    if shown is not None and not hasattr(shown, "public_bytes"):
        raise ConfigError(
            f"`public_key` of the signer is {type(shown).__name__}; it must be a public key of `cryptography`"
        )
    found: PublicKey | None = shown
    return found


def signature_from(given: object) -> bytes:
    """What a signer gave as a signature, when that is one by its looks.

    Raises:
        SigningFailed: it is not bytes, or more of them than a message holds.
    """
    if not isinstance(given, (bytes, bytearray, memoryview)):
        raise SigningFailed(f"the signer of this credential gave {type(given).__name__}, not the bytes of a signature")
    signature = bytes(given)
    if not 0 < len(signature) <= _MAX_SIGNATURE:
        raise SigningFailed(f"the signer of this credential gave a signature of {len(signature)} bytes")
    return signature


def schemes_for(signer: Signer, leaf: KeyHolder) -> tuple[tuple[SignatureScheme, ...], tuple[SignatureScheme, ...]]:
    """What the signer can sign with for `leaf`: in TLS 1.3, where a scheme names the curve, and in TLS 1.2.

    Raises:
        ConfigError: it offers a scheme that the certificate's key cannot verify, or none.
    """
    native, verifiable = schemes_of_leaf(leaf)
    offered = _schemes_of(signer, "schemes")
    offered12 = _schemes_of(signer, "schemes_tls12") if hasattr(signer, "schemes_tls12") else offered
    if not offered:
        raise ConfigError(f"the signer of {leaf.title} has no signature scheme")
    strange = [scheme for scheme in (*offered, *offered12) if scheme not in verifiable]
    if strange and isinstance(signer, KeySigner) and verifiable == _RSA_PSS_ONLY:
        raise ConfigError(
            f"{leaf.title} says that its RSA key is for RSASSA-PSS alone, and a key in memory does not sign with what "
            f"goes with that ({listed(verifiable)}): issue it anew for an ordinary RSA key (rsaEncryption)"
        )
    if strange:
        raise ConfigError(
            f"the signer offers {listed(dict.fromkeys(strange))}, which the key of {leaf.title} cannot verify: it is "
            f"for {listed(verifiable)}"
        )
    # RFC 9846 4.3.3: TLS 1.3 handshakes are not signed with PKCS#1. ML-DSA is for TLS 1.3 alone.
    return (
        tuple([scheme for scheme in offered if scheme in native and scheme not in PKCS1_SCHEMES]),
        tuple([scheme for scheme in offered12 if scheme not in _MLDSA]),
    )


def _schemes_of(signer: Signer, name: str) -> tuple[SignatureScheme, ...]:
    given = getattr(signer, name)
    found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    strange = [scheme for scheme in found if not isinstance(scheme, SignatureScheme)]
    if strange:
        raise ConfigError(
            f"`{name}` of the signer takes SignatureSchemes, such as SignatureScheme.ED25519, not {strange[0]!r:.40}"
        )
    return found


def curve_of(leaf: KeyHolder) -> NamedGroup | None:
    """The curve of an ECDSA key; None for another kind of key, or a curve that is not supported."""
    key = leaf.public_key
    known = _CURVES.get(type(key.curve)) if is_ec_key(key) else None
    return None if known is None else known[0]


def listed(schemes: Iterable[SignatureScheme]) -> str:
    """Signature schemes by name, the first sixteen of them: a peer may offer thousands."""
    names = [scheme.iana for scheme in schemes]
    return ", ".join(names[:16]) + (f" and {len(names) - 16} more" if len(names) > 16 else "")


def schemes_of_leaf(leaf: KeyHolder) -> tuple[tuple[SignatureScheme, ...], tuple[SignatureScheme, ...]]:
    """What the key of a certificate verifies in TLS 1.3, where a scheme names the curve, and in any version.

    Raises:
        ConfigError: it is of a kind or size that no signature scheme takes.
    """
    try:
        key = leaf.public_key
    except CertificateRejected as error:
        raise ConfigError(error.detail) from None
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise ConfigError(
                f"the key of {leaf.title} is RSA of {key.key_size} bits; TLS takes {MIN_RSA_BITS} to {MAX_RSA_BITS}"
            )
        # RFC 9846 4.3.3: the schemes go by what the certificate says of its key, and RFC 4055 1.2 allows it one use.
        schemes = _RSA_PSS_ONLY if _RSASSA_PSS in leaf.spki_algorithm[:16] else _RSA
        return schemes, schemes
    curve = curve_of(leaf)
    if curve is not None:
        return tuple([native for group, native in _CURVES.values() if group == curve]), tuple(_ECDSA_HASHES)
    schemes = tuple([scheme for kind, scheme in _OTHER_KEYS if isinstance(key, kind)])
    if not schemes:
        raise ConfigError(
            f"the key of {leaf.title} is of a kind ({type(key).__name__}) that no signature scheme of TLS 1.3 takes"
        )
    return schemes, schemes


def _describe(key: PrivateKey) -> str:
    size = getattr(key, "key_size", None)
    return type(key).__name__.removesuffix("PrivateKey") + " key" + (f" of {size} bits" if size else "")


# RFC 9846 4.5.2.
_MAX_SIGNATURE: Final = 0xFFFF
_ECDSA_HASHES: Final[dict[SignatureScheme, hashes.HashAlgorithm]] = {
    _S.ECDSA_SECP256R1_SHA256: hashes.SHA256(),
    _S.ECDSA_SECP384R1_SHA384: hashes.SHA384(),
    _S.ECDSA_SECP521R1_SHA512: hashes.SHA512(),
}
_CURVES: Final[dict[type[ec.EllipticCurve], tuple[NamedGroup, SignatureScheme]]] = {
    ec.SECP256R1: (NamedGroup.SECP256R1, _S.ECDSA_SECP256R1_SHA256),
    ec.SECP384R1: (NamedGroup.SECP384R1, _S.ECDSA_SECP384R1_SHA384),
    ec.SECP521R1: (NamedGroup.SECP521R1, _S.ECDSA_SECP521R1_SHA512),
}
_RSA: Final = (_S.RSA_PSS_RSAE_SHA256, _S.RSA_PSS_RSAE_SHA384, _S.RSA_PSS_RSAE_SHA512, *PKCS1_SCHEMES)
_RSA_PSS_ONLY: Final = (_S.RSA_PSS_PSS_SHA256, _S.RSA_PSS_PSS_SHA384, _S.RSA_PSS_PSS_SHA512)
_RSASSA_PSS: Final = undotted("1.2.840.113549.1.1.10")
_MLDSA: Final = (_S.MLDSA44, _S.MLDSA65, _S.MLDSA87)
_OTHER_KEYS: Final[tuple[tuple[type[object], SignatureScheme], ...]] = (
    (ed25519.Ed25519PublicKey, _S.ED25519),
    (mldsa.MLDSA44PublicKey, _S.MLDSA44),
    (mldsa.MLDSA65PublicKey, _S.MLDSA65),
    (mldsa.MLDSA87PublicKey, _S.MLDSA87),
)
