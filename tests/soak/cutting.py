"""Peers that play the honest side of a handshake up to a certain byte, and then are gone."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import AsyncIterator, Callable

import trustls

_RESET = struct.pack("ii", 1, 0)


class End(enum.Enum):
    """How a peer goes."""

    CLOSE = "closes its socket"
    RESET = "resets the connection"
    HALF = "ends its half of the stream, and waits for the other"


class Cut:
    """A connection in memory behind a real socket, of whose bytes at most `most` go out."""

    def __init__(self, connection: trustls.Connection, sock: socket.socket, most: int | None, end: End) -> None:
        self._connection = connection
        self._socket = sock
        self._left = most
        self._end = end
        self._got = b""
        self._loop = asyncio.get_running_loop()
        self.sent = 0
        """Bytes that went out until the handshake was done, on both sides."""
        self.finished = False
        """Whether both sides had their handshake and their say."""

    async def play(self) -> None:
        """The handshake; then a byte each way, which shows that the other side is done as well."""
        connection = self._connection
        with contextlib.suppress(OSError, trustls.TLSError):
            while connection.handshaking and await self._send():
                self._got += connection.receive(await self._received())
            await self._send()
            if self._left is None:
                await self._say_hello()
                self.finished = True
        await self._go()

    async def _say_hello(self) -> None:
        connection = self._connection
        if connection.is_client:
            connection.send(b"?")
            await self._loop.sock_sendall(self._socket, connection.data_to_send())
        while not self._got:
            self._got += connection.receive(await self._received())
        if not connection.is_client:
            connection.send(b"!")
            await self._loop.sock_sendall(self._socket, connection.data_to_send())

    async def _received(self) -> bytes:
        data = await self._loop.sock_recv(self._socket, 1 << 16)
        if not data:
            raise ConnectionResetError("the other side is gone")
        return data

    async def _send(self) -> bool:
        """Let out what may go; whether more may."""
        data = self._connection.data_to_send()
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self.sent += len(data)
        if data:
            await self._loop.sock_sendall(self._socket, data)
        return self._left is None or self._left > 0

    async def _go(self) -> None:
        if self._end is End.RESET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif self._end is End.HALF:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                while await self._loop.sock_recv(self._socket, 1 << 16):
                    pass
        self._socket.close()


async def cut_client(port: int, config: trustls.ClientConfig, most: int | None, end: End = End.CLOSE) -> Cut:
    """A client that sends at most `most` bytes to the server on `port`."""
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    cut = Cut(trustls.ClientConnection(config, "localhost"), sock, most, end)
    await cut.play()
    return cut


@contextlib.asynccontextmanager
async def cut_server(
    config: trustls.ServerConfig, make: Callable[[trustls.ServerConnection, socket.socket], Cut]
) -> AsyncIterator[int]:
    """The port of a server that plays what `make` gives with each client."""
    loop = asyncio.get_running_loop()
    playing: set[asyncio.Task[None]] = set()

    async def accept() -> None:
        while True:
            sock, _ = await loop.sock_accept(listening)
            sock.setblocking(False)
            task = loop.create_task(make(trustls.ServerConnection(config), sock).play())
            playing.add(task)
            task.add_done_callback(playing.discard)

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        listening.setblocking(False)
        accepting = loop.create_task(accept())
        try:
            yield listening.getsockname()[1]
        finally:
            accepting.cancel()
            await asyncio.gather(accepting, *playing, return_exceptions=True)
