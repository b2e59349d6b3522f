"""Configurations, event loops, and application protocols that write down what happens to them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trustls
from tests.support.loops import SECONDS, _see_off_tasks
from tests.support.pki import PKI, Identity

T = TypeVar("T")


def run_on(loop_name: str, main: Callable[[], Awaitable[T]], *, expected_errors: tuple[str, ...] = ()) -> T:
    """`tests.support.loops.run_in_loop`, on an event loop of that name."""
    unhandled: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
        async with asyncio.timeout(SECONDS):
            result = await main()
        await _see_off_tasks()
        return result

    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop_name == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(watched())
    gc.collect()
    unexpected = [one for one in unhandled if not any(part in repr(one).lower() for part in expected_errors)]
    assert not unexpected, f"nobody took these exceptions: {unexpected}"
    return result


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server with the usual certificate."""
    return trustls.ServerConfig(**{"credentials": [pki.server.credential], **options})  # type: ignore[arg-type]


async def eventually(predicate: Callable[[], bool], what: str) -> None:
    """Wait for what no event tells of."""
    deadline = time.monotonic() + 5
    while not predicate():
        assert time.monotonic() < deadline, f"{what} did not happen within 5 s"
        await asyncio.sleep(0.01)


def port_of(server: asyncio.Server) -> int:
    """Where it listens."""
    port: int = server.sockets[0].getsockname()[1]
    return port


class Recorder:
    """What an application protocol has been told. `greeting` is written at once."""

    def __init__(self, greeting: bytes = b"", *, paused: bool = False) -> None:
        self.greeting = greeting
        self.paused = paused
        self.calls: list[str] = []
        self.received = bytearray()
        self.transport: trustls.aio.TLSTransport | None = None
        self.made = asyncio.Event()
        self.ended = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    @property
    def tls(self) -> trustls.aio.TLSTransport:
        assert self.transport is not None, "connection_made was not called"
        return self.transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, trustls.aio.TLSTransport)
        self.transport = transport
        self.calls.append("connection_made")
        self.made.set()
        if self.paused:
            transport.pause_reading()
        if self.greeting:
            transport.write(self.greeting)

    def eof_received(self) -> bool:
        self.calls.append("eof_received")
        self.ended.set()
        return True

    def pause_writing(self) -> None:
        self.calls.append("pause_writing")

    def resume_writing(self) -> None:
        self.calls.append("resume_writing")

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append("connection_lost")
        if not self.lost.done():
            self.lost.set_result(error)


class Streaming(Recorder, asyncio.Protocol):
    """With `data_received`."""

    def data_received(self, data: bytes) -> None:
        self.calls.append("data_received")
        self.received += data


class Buffered(Recorder, asyncio.BufferedProtocol):
    """With a buffer of its own, smaller than a record."""

    def __init__(self, greeting: bytes = b"", *, paused: bool = False, size: int = 1000) -> None:
        super().__init__(greeting, paused=paused)
        self.buffer = bytearray(size)

    def get_buffer(self, sizehint: int) -> bytearray:
        assert sizehint > 0
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.calls.append("buffer_updated")
        self.received += self.buffer[:nbytes]
