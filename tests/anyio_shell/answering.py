"""Configurations, and verifiers, signers and choosers that have to be awaited, on whatever event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trustls
from tests.support.pki import PKI, Identity

Pause = Callable[[], Awaitable[None]]

LARGE = 2 << 20


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server with the usual certificate."""
    return trustls.ServerConfig(**{"credentials": [pki.server.credential], **options})  # type: ignore[arg-type]


class SlowSigner:
    """A signer that has to be awaited."""

    def __init__(self, identity: Identity, pause: Pause) -> None:
        self._signer = identity.credential.signer
        self._pause = pause
        self.used = 0

    @property
    def schemes(self) -> tuple[trustls.SignatureScheme, ...]:
        return self._signer.schemes

    async def sign(self, scheme: trustls.SignatureScheme, message: bytes) -> bytes:
        await self._pause()
        self.used += 1
        signature = self._signer.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature


class SlowVerifier:
    """A verifier of both kinds that has to be awaited, and may raise."""

    def __init__(
        self, pause: Pause, hints: tuple[trustls.DistinguishedName, ...] = (), error: Exception | None = None
    ) -> None:
        self.hints = hints
        self.error = error
        self.used = 0
        self._pause = pause

    async def verify_server(
        self,
        chain: tuple[trustls.Certificate, ...],
        server_name: trustls.ServerName,
        *,
        now: float,
        ocsp_response: bytes,
    ) -> trustls.Peer:
        return await self._judge(chain)

    async def verify_client(self, chain: tuple[trustls.Certificate, ...], *, now: float) -> trustls.Peer:
        return await self._judge(chain)

    async def _judge(self, chain: tuple[trustls.Certificate, ...]) -> trustls.Peer:
        self.used += 1
        await self._pause()
        if self.error is not None:
            raise self.error
        return trustls.Peer(chain)
