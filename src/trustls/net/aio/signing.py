"""Signers that block, for asyncio."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from trustls.crypto.signatures import PrivateKey
from trustls.identity.signer import Signer
from trustls.net.common import ThreadedSigner
from trustls.wire.enums import SignatureScheme


class SignerInThread(ThreadedSigner):
    """A signer that blocks (an HSM, a smart card, the client of a key service), signing in a thread for an event loop.

    Args:
        signer: the signer, which must be safe to call from any thread; or a private key in memory.
        executor: has the threads; the loop's own are taken without it.

    Raises:
        ConfigError: the signer is asynchronous itself.
    """

    def __init__(self, signer: Signer | PrivateKey, executor: Executor | None = None) -> None:
        super().__init__(signer)
        self._executor = executor

    async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature of `message`."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._sign, scheme, message)
