"""A server and clients of `trustls.anyio`, on either event loop. Import it behind `need("anyio", "trio")`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute

import trustls
from tests.anyio_shell.answering import LARGE
from trustls.anyio import TLSListener, TLSStream, connect_tls

SECONDS = 15

Handler = Callable[[TLSStream], Awaitable[None]]
Failure = tuple[Exception, trustls.Connection]


def run(backend: str, main: Callable[[], Awaitable[None]]) -> None:
    """Run the test's coroutine."""

    async def limited() -> None:
        with anyio.fail_after(SECONDS):
            await main()

    anyio.run(limited, backend=backend)


async def echo(stream: ByteStream) -> None:
    """Send back what comes, then close."""
    async with stream:
        async for data in stream:
            await stream.send(data)


class Server:
    """A server, and what became of its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[trustls.Connection] = []
        self.errors: list[Exception] = []
        self.failing = anyio.Event()
        self._failures: list[Failure] = []
        self._failed = anyio.Event()

    def failed(self, error: Exception, connection: trustls.Connection) -> None:
        self._failures.append((error, connection))
        self._failed.set()

    async def failure(self) -> Failure:
        """The first handshake that failed."""
        with anyio.fail_after(5):
            await self._failed.wait()
        return self._failures[0]


@contextlib.asynccontextmanager
async def serving(config: trustls.ServerConfig, handler: Handler = echo, **options: float) -> AsyncIterator[Server]:
    """A server on a free port. What its handlers raise is in `errors`."""
    state = Server()

    async def serve(stream: TLSStream) -> None:
        state.connections.append(stream.connection)
        async with stream:
            try:
                await handler(stream)
            except Exception as error:  # noqa: BLE001 (the test looks at it)
                state.errors.append(error)
                state.failing.set()

    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    state.port = tcp.extra(SocketAttribute.local_port)
    listener = TLSListener(tcp, config, handshake_failed=state.failed, **options)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield state
        group.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def raw_server(handler: Callable[[Any], Awaitable[None]]) -> AsyncIterator[int]:
    """A server of TCP; its port. It is waited for."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    done = anyio.Event()

    async def serve(stream: ByteStream) -> None:
        async with stream:
            await handler(stream)
        done.set()

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)
        await done.wait()
        group.cancel_scope.cancel()


async def connect(server: Server, config: trustls.ClientConfig, **options: Any) -> TLSStream:
    """A client of `server`."""
    return await connect_tls("127.0.0.1", server.port, config, server_name="localhost", **options)


async def exchange(stream: ByteStream) -> None:
    """A large echo, both ways at one time."""
    data = os.urandom(LARGE)
    received = bytearray()

    async def receive() -> None:
        while len(received) < LARGE:
            received.extend(await stream.receive())

    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        await stream.send(data)
    assert received == data, "the echo differs from what was sent"
