"""Peers that take their time, on purpose: each is cut off when its time is up, and holds up nobody meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import pytest

import trustls
from tests.soak.conftest import Report
from tests.soak.cutting import cut_client
from tests.soak.holdings import counted_buffers, gone, happens, held
from tests.soak.scale import LONG
from tests.soak.serving import client_config, server_config, serving
from tests.support.pki import PKI

HANDSHAKE_TIMEOUT: Final = 1.0
SHUTDOWN_TIMEOUT: Final = 0.5
# What a peer may take beyond the two on a machine that has other things to do.
_GRACE: Final = 3.0
_PEERS: Final = 100 if LONG else 12
_SMALL: Final = 4608
_MOST_BUFFERS: Final = 8

Peer = Callable[[socket.socket, trustls.ClientConnection], Awaitable[None]]


def slowly(data: bytes) -> Iterator[bytes]:
    """A byte at a time, and nothing but zeros when there are no more."""
    return (bytes([byte]) for byte in itertools.chain(data, itertools.repeat(0)))


async def drip(sock: socket.socket, data: bytes) -> None:
    """A byte every tenth of a second, for ever."""
    loop = asyncio.get_running_loop()
    for byte in slowly(data):
        await loop.sock_sendall(sock, byte)
        await asyncio.sleep(0.1)


async def silent(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Says nothing at all."""
    await asyncio.get_running_loop().sock_recv(sock, 1)


async def hello_byte_by_byte(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Takes minutes for its ClientHello."""
    await drip(sock, client.data_to_send())


async def hello_then_silence(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Lets the server do its work, and goes to sleep."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, client.data_to_send())
    while await loop.sock_recv(sock, 1 << 16):
        pass


async def answer_byte_by_byte(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Says hello like everybody, and takes minutes for its own flight."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, client.data_to_send())
    while not (flight := client.data_to_send()):
        client.receive(await loop.sock_recv(sock, 1 << 16))
    await drip(sock, flight)


async def half_a_record(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Announces a record of 16 KiB, and sends half of it."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"\x16\x03\x01\x40\x00" + bytes([1, 0, 0x3F, 0xFC]) + bytes(8000))
    await loop.sock_recv(sock, 1)


async def drips_on_after_its_alert(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Is refused at once, and goes on sending as if it were not."""
    await asyncio.get_running_loop().sock_sendall(sock, b"GET / HTTP/1.1\r\n")
    await drip(sock, b"")


async def reads_nothing(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Says hello, and lets the server's flight pile up."""
    await asyncio.get_running_loop().sock_sendall(sock, client.data_to_send())
    await asyncio.sleep(60)


async def reads_nothing_and_drips(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """The same, and pretends to be busy."""
    await asyncio.get_running_loop().sock_sendall(sock, client.data_to_send())
    await drip(sock, b"")


async def reads_byte_by_byte(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Takes minutes to read the server's flight."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, client.data_to_send())
    while True:
        await asyncio.sleep(0.1)
        if not await loop.sock_recv(sock, 1):
            return


PEERS: tuple[Peer, ...] = (
    silent,
    hello_byte_by_byte,
    hello_then_silence,
    answer_byte_by_byte,
    half_a_record,
    drips_on_after_its_alert,
    reads_nothing,
    reads_nothing_and_drips,
    reads_byte_by_byte,
)


@contextlib.asynccontextmanager
async def connections(port: int, config: trustls.ClientConfig, peer: Peer, count: int) -> AsyncIterator[None]:
    """So many of `peer` at the server, until they are left."""
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    playing: list[asyncio.Task[None]] = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        sockets.append(sock)
        playing.append(loop.create_task(_playing(peer, sock, config)))
    try:
        yield
    finally:
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
        for sock in sockets:
            sock.close()


async def _playing(peer: Peer, sock: socket.socket, config: trustls.ClientConfig) -> None:
    with contextlib.suppress(OSError, trustls.TLSError):
        await peer(sock, trustls.ClientConnection(config, "localhost"))


def many_hints() -> list[str]:
    """Names of authorities that fill a CertificateRequest, as much as a server can be made to say."""
    return [f"CN=Authority {number} of very many,O=An Organization With A Rather Long Name" for number in range(300)]


async def cut_off(peer: Peer, version: str, pki: PKI) -> str:
    """What is wrong with how a server deals with `peer`; empty when nothing is."""
    hints: list[str | trustls.DistinguishedName] = [*many_hints(), *pki.client_ca_names]
    config = server_config(pki, client_auth=pki.required(hints=hints), versions=[version], resumption=None)
    honest = client_config(pki, versions=[version])
    async with serving(
        config, handshake_timeout=HANDSHAKE_TIMEOUT, shutdown_timeout=SHUTDOWN_TIMEOUT, send_buffer=_SMALL
    ) as server:
        async with connections(server.port, honest, peer, _PEERS):
            started = time.monotonic()
            visitor = await cut_client(server.port, honest, None)
            if not visitor.finished or time.monotonic() - started > HANDSHAKE_TIMEOUT:
                return f"an honest client has to wait: {server.failures}"
            limit = HANDSHAKE_TIMEOUT + SHUTDOWN_TIMEOUT + _GRACE
            if not await happens(lambda: not server.attached, within=limit):
                return f"{limit:g} s later {server.attached} of {_PEERS} are still connected; told: {server.failures}"
        if server.failures.total() != _PEERS:
            return f"of {_PEERS} that were cut off the server told {server.failures}"
    return ""


def test_slow_clients_are_cut_off_by_the_handshake_timeout(pki: PKI, report: Report) -> None:
    async def main() -> None:
        before = held()
        kinds = [(peer, version) for peer in PEERS for version in ("1.3", "1.2")]
        wrong = await asyncio.gather(*(cut_off(peer, version, pki) for peer, version in kinds))
        told = [
            f"{peer.__name__}, TLS {version}: {what}"
            for (peer, version), what in zip(kinds, wrong, strict=True)
            if what
        ]
        assert not told, "\n".join(told)
        left = await gone(before)
        assert not left, f"of clients that were cut off there is still {left}"
        report(f"{_PEERS} slow clients of each of {len(kinds)} kinds: all cut off in time, nothing left")

    asyncio.run(main())


# -- After the handshake ----------------------------------------------------------------------------------------------


async def says_goodbye(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Sends close_notify, and does not read what comes."""
    client.close()
    await asyncio.get_running_loop().sock_sendall(sock, client.data_to_send())


async def ends_its_half(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Ends its half of the stream without a word, and does not read what comes."""
    sock.shutdown(socket.SHUT_WR)


async def just_sits(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Does not read what comes."""


async def talks_on(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Does not read what comes, and goes on talking itself."""
    loop = asyncio.get_running_loop()
    while True:
        client.send(b"and another thing")
        await loop.sock_sendall(sock, client.data_to_send())
        await asyncio.sleep(0.1)


async def breaks_a_record(sock: socket.socket, client: trustls.ClientConnection) -> None:
    """Sends what is no record, over and over, and does not read what comes."""
    await drip(sock, b"no record at all")


NEVER_READING: tuple[Peer, ...] = (says_goodbye, ends_its_half, just_sits, talks_on, breaks_a_record)


def after_the_handshake(then: Peer) -> Peer:
    """A peer that first makes an honest handshake."""

    async def play(sock: socket.socket, client: trustls.ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        while client.handshaking:
            await loop.sock_sendall(sock, client.data_to_send())
            client.receive(await loop.sock_recv(sock, 2000))
        await loop.sock_sendall(sock, client.data_to_send())
        await then(sock, client)
        await asyncio.sleep(60)

    return play


async def let_go(peer: Peer, pki: PKI) -> str:
    """What is wrong with how a server that has said all lets go of `peer`; empty when nothing is."""

    async def say_much(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1 << 20))
        await asyncio.sleep(0.3)

    async with (
        serving(server_config(pki), say_much, shutdown_timeout=SHUTDOWN_TIMEOUT, send_buffer=_SMALL) as server,
        connections(server.port, client_config(pki), after_the_handshake(peer), _PEERS),
    ):
        if not await happens(lambda: server.connected == _PEERS):
            return f"{server.connected} of {_PEERS} connect: {server.failures}"
        limit = 2 * SHUTDOWN_TIMEOUT + 0.3 + _GRACE
        if not await happens(lambda: not server.attached, within=limit):
            return f"{limit:g} s later {server.attached} of {_PEERS} are still connected"
    return ""


def test_clients_that_never_read_are_let_go_when_the_server_closes(pki: PKI, report: Report) -> None:
    async def main() -> None:
        before = held()
        wrong = await asyncio.gather(*(let_go(peer, pki) for peer in NEVER_READING))
        told = [f"{peer.__name__}: {what}" for peer, what in zip(NEVER_READING, wrong, strict=True) if what]
        assert not told, "\n".join(told)
        left = await gone(before)
        assert not left, f"of clients that never read there is still {left}"
        report(f"{_PEERS} clients that never read, of each of {len(NEVER_READING)} kinds: all let go, nothing left")

    asyncio.run(main())


def test_half_closed_connections_keep_no_buffers(pki: PKI) -> None:
    async def main() -> None:
        over = asyncio.Event()
        ended = 0

        async def wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            nonlocal ended
            await reader.read()
            ended += 1
            await over.wait()

        async def end_half(sock: socket.socket, client: trustls.ClientConnection) -> None:
            await says_goodbye(sock, client)
            await ends_its_half(sock, client)

        count = 3 * _MOST_BUFFERS
        async with serving(server_config(pki), wait) as server:
            with counted_buffers() as buffers:
                async with connections(server.port, client_config(pki), after_the_handshake(end_half), count):
                    assert await happens(lambda: ended == count), f"{ended} have ended their half: {server.failures}"
                    await asyncio.sleep(0.1)
                    kept = buffers()
                    over.set()
                assert kept <= _MOST_BUFFERS, f"{count} half-closed connections keep {kept} buffers of 64 KiB"
                assert await happens(lambda: not server.attached), f"{server.attached} connections are still there"

    asyncio.run(main())


# -- Blocking sockets -------------------------------------------------------------------------------------------------

ServerSocket = trustls.TLSSocket[trustls.ServerConnection]


@contextlib.contextmanager
def accepted(config: trustls.ServerConfig, client: trustls.ClientConnection, *, reads: int) -> Iterator[ServerSocket]:
    """A server's end, with small buffers. The client sends what it has, and then reads so many times a second."""
    with trustls.Listener(("127.0.0.1", 0), config, handshake_timeout=HANDSHAKE_TIMEOUT) as listener:
        with socket.socket(fileno=os.dup(listener.fileno())) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
            sock.connect(listener.address)
            sock.sendall(client.data_to_send())
            over = threading.Event()

            def read() -> None:
                sock.settimeout(0.1)
                while reads and not over.wait(1 / reads):
                    with contextlib.suppress(OSError):
                        sock.recv(1000)

            reader = threading.Thread(target=read)
            reader.start()
            try:
                yield listener.accept()
            finally:
                over.set()
                reader.join()


@pytest.mark.parametrize("reads", [0, 4], ids=["never", "now and then"])
def test_handshake_on_a_socket_keeps_to_its_time_whether_the_client_reads(reads: int, pki: PKI) -> None:
    config = server_config(pki, client_auth=pki.required(hints=many_hints()))
    with accepted(config, trustls.ClientConnection(client_config(pki), "localhost"), reads=reads) as tls:
        started = time.monotonic()
        with pytest.raises(trustls.HandshakeTimeout):
            tls.handshake()
        took = time.monotonic() - started
    assert took < HANDSHAKE_TIMEOUT + 1, f"the handshake may take {HANDSHAKE_TIMEOUT} s, it gave up after {took:.1f} s"


def test_close_of_a_socket_does_not_wait_for_a_client_that_never_reads(
    pki: PKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trustls.net.sockets._LINGER_SECONDS", 0.5)
    with accepted(server_config(pki), trustls.ClientConnection(client_config(pki), "localhost"), reads=0) as tls:
        raw = tls._socket
        raw.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while raw.send(bytes(1 << 16)):
                pass
        raw.setblocking(True)
        closing = threading.Thread(target=tls.close, daemon=True)
        closing.start()
        closing.join(3)
        hangs = closing.is_alive()
    closing.join(3)
    assert not hangs, "close() waits for ever for room to say goodbye"
