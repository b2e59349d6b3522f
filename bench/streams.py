"""asyncio streams over loopback, with a TLS implementation on an event loop: what `bench.loopback` times.

Client and server share one thread, so that a figure is the cost of both ends and not of how two cores happened to be
shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import trustls
from bench.pki import SERVER_NAME
from bench.timing import Spent, Stopwatch
from trustls import aio

CHUNK = 1 << 16
BULK = 16 << 20
SMALL = bytes(64)
ROUND_TRIPS = 200
CONNECTIONS = 10

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class TLS(Protocol):
    """How an implementation opens and serves streams."""

    async def connect(self, port: int) -> Streams: ...
    async def serve(self, handler: Handler) -> asyncio.Server: ...


@dataclass(frozen=True)
class OurTLS:
    """`trustls.aio`."""

    client: trustls.ClientConfig
    server: trustls.ServerConfig

    async def connect(self, port: int) -> Streams:
        return await aio.open_connection("127.0.0.1", port, self.client, server_name=SERVER_NAME)

    async def serve(self, handler: Handler) -> asyncio.Server:
        return await aio.start_server(handler, "127.0.0.1", 0, self.server)


@dataclass(frozen=True)
class LoopTLS:
    """The event loop's own TLS over `ssl`."""

    client: ssl.SSLContext
    server: ssl.SSLContext

    async def connect(self, port: int) -> Streams:
        return await asyncio.open_connection("127.0.0.1", port, ssl=self.client, server_hostname=SERVER_NAME)

    async def serve(self, handler: Handler) -> asyncio.Server:
        return await asyncio.start_server(handler, "127.0.0.1", 0, ssl=self.server)


class Stack:
    """An event loop with a TLS implementation on it, and a server that runs whenever the loop does."""

    def __init__(self, name: str, runner: asyncio.Runner, tls: TLS) -> None:
        self.name = name
        self._runner = runner
        self._tls = tls
        self._server = runner.run(tls.serve(_serve))
        self._port: int = self._server.sockets[0].getsockname()[1]

    def bulk(self) -> Spent:
        """The time of 16 MiB one way."""
        return self._runner.run(self._bulk())

    def round_trip(self) -> Spent:
        """The time of 64 bytes there and back."""
        return self._runner.run(self._round_trips())

    def connection(self) -> Spent:
        """The time of connecting, handshake, 64 bytes there and back, and closing."""
        return self._runner.run(self._connections())

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        self._server.close()

    async def _bulk(self) -> Spent:
        reader, writer = await self._tls.connect(self._port)
        writer.write(b"%d\n" % BULK)
        await reader.readexactly(1)
        chunk = bytes(CHUNK)
        watch = Stopwatch()
        for _ in range(BULK // CHUNK):
            writer.write(chunk)
            await writer.drain()
        await reader.readexactly(1)
        taken = watch.spent()
        await _closed(writer)
        return taken

    async def _round_trips(self) -> Spent:
        reader, writer = await self._tls.connect(self._port)
        writer.write(b"0\n")
        await reader.readexactly(1)
        watch = Stopwatch()
        for _ in range(ROUND_TRIPS):
            writer.write(SMALL)
            await reader.readexactly(len(SMALL))
        taken = watch.spent(ROUND_TRIPS)
        await _closed(writer)
        return taken

    async def _connections(self) -> Spent:
        watch = Stopwatch()
        for _ in range(CONNECTIONS):
            reader, writer = await self._tls.connect(self._port)
            writer.write(b"0\n" + SMALL)
            await reader.readexactly(1 + len(SMALL))
            await _closed(writer)
        return watch.spent(CONNECTIONS)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take as many bytes as the first line says, and say so; then echo."""
    left = int(await reader.readline())
    writer.write(b"+")
    while left:
        left -= len(await reader.read(CHUNK))
        if not left:
            writer.write(b"+")
    while data := await reader.read(CHUNK):
        writer.write(data)
    await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
