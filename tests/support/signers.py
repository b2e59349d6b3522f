"""Signers that are not just a key in memory: one that keeps its public key to itself, and one that takes its time."""

from __future__ import annotations

import asyncio

from trustls.crypto.signatures import PrivateKey
from trustls.identity.signer import KeySigner
from trustls.wire.enums import SignatureScheme


class HiddenKey:
    """Signs with a key, and does not show which: so that it can be put beside the certificate of another."""

    def __init__(self, key: PrivateKey) -> None:
        self._signer = KeySigner(key)
        self.schemes = self._signer.schemes

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        return self._signer.sign(scheme, message)


class LateSigner:
    """Signs when the event loop has turned a few times, as what is behind a network does."""

    def __init__(self, key: PrivateKey) -> None:
        self._signer = KeySigner(key)
        self.schemes = self._signer.schemes
        self.schemes_tls12 = self._signer.schemes_tls12
        self.public_key = self._signer.public_key

    async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        for _ in range(3):
            await asyncio.sleep(0)
        return self._signer.sign(scheme, message)
