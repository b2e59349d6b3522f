"""asyncio streams over loopback, both ends on one event loop: bulk, latency of small messages, connections a second.

Client and server share one thread, so that a figure is the cost of both ends and not of how two cores happened to be
shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import statistics
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter as clock
from typing import Any, Protocol

import trustls
from bench.peers import ssl_contexts, trustls_configs
from bench.pki import SERVER_NAME, Scenario
from bench.results import TRUSTLS, Row
from bench.timing import interleaved, spread
from trustls import aio

_CHUNK = 1 << 16
_BULK = 16 << 20
_ROUND_TRIPS = 200
_CONNECTIONS = 10
_SMALL = bytes(64)
_SECTION = "loopback, asyncio streams"

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

    def bulk(self) -> float:
        """Seconds for 16 MiB one way."""
        return self._runner.run(self._bulk())

    def round_trip(self) -> float:
        """Seconds for 64 bytes there and back."""
        return self._runner.run(self._round_trips()) / _ROUND_TRIPS

    def connection(self) -> float:
        """Seconds for connecting, handshake, 64 bytes there and back, and closing."""
        return self._runner.run(self._connections()) / _CONNECTIONS

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        self._server.close()

    async def _bulk(self) -> float:
        reader, writer = await self._tls.connect(self._port)
        writer.write(b"%d\n" % _BULK)
        await reader.readexactly(1)
        chunk = bytes(_CHUNK)
        start = clock()
        for _ in range(_BULK // _CHUNK):
            writer.write(chunk)
            await writer.drain()
        await reader.readexactly(1)
        taken = clock() - start
        await _closed(writer)
        return taken

    async def _round_trips(self) -> float:
        reader, writer = await self._tls.connect(self._port)
        writer.write(b"0\n")
        await reader.readexactly(1)
        start = clock()
        for _ in range(_ROUND_TRIPS):
            writer.write(_SMALL)
            await reader.readexactly(len(_SMALL))
        taken = clock() - start
        await _closed(writer)
        return taken

    async def _connections(self) -> float:
        start = clock()
        for _ in range(_CONNECTIONS):
            reader, writer = await self._tls.connect(self._port)
            writer.write(b"0\n" + _SMALL)
            await reader.readexactly(1 + len(_SMALL))
            await _closed(writer)
        return clock() - start


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take as many bytes as the first line says, and say so; then echo."""
    left = int(await reader.readline())
    writer.write(b"+")
    while left:
        left -= len(await reader.read(_CHUNK))
        if not left:
            writer.write(b"+")
    while data := await reader.read(_CHUNK):
        writer.write(data)
    await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _stacks(scenario: Scenario) -> list[Stack]:
    ours = OurTLS(*trustls_configs(scenario))
    theirs = LoopTLS(*ssl_contexts(ssl, scenario))
    stacks = [
        Stack(TRUSTLS, asyncio.Runner(), ours),
        Stack("asyncio + ssl", asyncio.Runner(), theirs),
    ]
    with contextlib.suppress(ImportError):
        import uvloop

        for name, tls in (("uvloop + ssl", theirs), ("uvloop + trustls", ours)):
            stacks.append(Stack(name, asyncio.Runner(loop_factory=uvloop.new_event_loop), tls))
    return stacks


def measure(seconds: float, variant: str) -> list[Row]:  # noqa: ARG001 (there is one variant)
    """Bulk, latency and connections of every stack."""
    stacks = _stacks(Scenario())
    try:
        share = seconds / 3
        bulk = {stack.name: stack.bulk for stack in stacks}
        latency = {stack.name: stack.round_trip for stack in stacks}
        connections = {stack.name: stack.connection for stack in stacks}
        return [
            _measured("loopback-bulk", "bulk, 64 KiB a write", "MB/s", bulk, share),
            _measured("loopback-latency", "64 B there and back", "us", latency, share),
            _measured("loopback-connections", "connect, 64 B each way, close", "1/s", connections, share),
        ]
    finally:
        for stack in stacks:
            stack.close()


def _measured(key: str, work: str, unit: str, cases: dict[str, Callable[[], float]], seconds: float) -> Row:
    samples = interleaved(cases, seconds, block=2)
    shown: dict[str, Callable[[float], float]] = {
        "MB/s": lambda taken: _BULK / 1e6 / taken,
        "us": lambda taken: taken * 1e6,
        "1/s": lambda taken: 1 / taken,
    }
    values = {name: shown[unit](statistics.median(found)) for name, found in samples.items()}
    detail: dict[str, object] = {
        name: {"spread": spread(found), "samples": len(found)} for name, found in samples.items()
    }
    return Row(_SECTION, key, work, unit, values=values, detail=detail)
