"""The server that is soaked: trustls.aio with an echo, and a tally of what became of its clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import trustls
from tests.support.pki import PKI

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Tally:
    """What the server has seen."""

    port: int = 0
    connected: int = 0
    open: int = 0
    # By class: an error itself keeps, by its causes and their tracebacks, what it happened to.
    failures: Counter[str] = field(default_factory=Counter)
    server: asyncio.Server | None = None

    @property
    def attached(self) -> int:
        """How many transports there are, whatever state their connections are in."""
        server = cast("Any", self.server)
        clients = getattr(server, "_clients", None)  # Python 3.13
        return server._active_count if clients is None else len(clients)


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server that requires client certificates."""
    settings: dict[str, object] = {"credentials": [pki.server.credential], "client_auth": pki.required(), **options}
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def client_config(pki: PKI, **options: object) -> trustls.ClientConfig:
    """A client that has one, and resumes nothing: each handshake is a whole one."""
    settings: dict[str, object] = {"roots": pki.server_roots, "credentials": [pki.alice.credential], "sessions": None}
    return trustls.ClientConfig(**{**settings, **options})  # type: ignore[arg-type]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the client closes its side."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def serving(
    config: trustls.ServerConfig,
    handler: Handler = echo,
    *,
    handshake_timeout: float = 20.0,
    shutdown_timeout: float = 5.0,
    send_buffer: int = 0,
) -> AsyncIterator[Tally]:
    """A server on a free port of loopback. `send_buffer`, when not 0, is how many bytes the system takes to send."""
    tally = Tally()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tally.connected += 1
        tally.open += 1
        try:
            with contextlib.suppress(trustls.TLSError, OSError):
                await handler(reader, writer)
        finally:
            tally.open -= 1
            writer.close()

    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    if send_buffer:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    server = await trustls.aio.start_server(
        connected,
        None,
        None,
        config,
        sock=listening,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        handshake_failed=lambda error, _connection: tally.failures.update([type(error).__name__]),
    )
    tally.server = server
    tally.port = listening.getsockname()[1]
    async with server:
        yield tally
