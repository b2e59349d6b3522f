"""Signers: whatever holds a private key and can sign with it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from trustls.crypto.signatures import PrivateKey, schemes_of_private_key, sign
from trustls.errors import ConfigError
from trustls.wire.enums import SignatureScheme


@runtime_checkable
class Signer(Protocol):
    """A private key that need not be here: in memory, in an HSM or a TPM, or behind a network.

    `schemes` are the signature schemes it can sign with, preferred first. `sign` may be a plain method or `async`; an
    asynchronous one needs an asynchronous transport (`trustls.aio`).
    """

    @property
    def schemes(self) -> tuple[SignatureScheme, ...]: ...

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes | Awaitable[bytes]:
        """The signature of `message` (not of its hash) by `scheme`."""


class KeySigner:
    """A signer over a private key of `cryptography`, held in memory."""

    __slots__ = ("_key", "schemes")

    def __init__(self, key: PrivateKey) -> None:
        """Raises ConfigError for a kind or size of key that no TLS 1.3 signature scheme takes."""
        self._key = key
        self.schemes = schemes_of_private_key(key)
        if not self.schemes:
            raise ConfigError(
                f"{_describe(key)} has no signature scheme in TLS 1.3; ECDSA on P-256, P-384 or P-521, Ed25519, "
                "RSA of 2048 to 8192 bits and ML-DSA do"
            )

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature of `message`."""
        return sign(self._key, scheme, message)

    def __repr__(self) -> str:
        return f"<KeySigner {', '.join(scheme.iana for scheme in self.schemes)}>"


def _describe(key: PrivateKey) -> str:
    size = getattr(key, "key_size", None)
    return type(key).__name__.removesuffix("PrivateKey") + " key" + (f" of {size} bits" if size else "")
