"""`wrap_socket` in loops that poll the socket and ask nobody else: nothing that is to be told hides from them."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.stdlib.pairs import SECONDS, beside, our_client, our_server

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


class _Server:
    """A server whose bytes are sent when the test says so."""

    def __init__(self, raw: socket.socket, version: str) -> None:
        self.raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = our_server(versions=[version], resumption=None)
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                return
            except ssl.SSLWantReadError:
                self.flush()
                self._incoming.write(self.raw.recv(65536))

    def end(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):  # The client's close_notify is not there.
            self.tls.unwrap()

    def fail(self) -> None:
        self._incoming.write(b"no record at all")
        with pytest.raises(ssl.SSLError):
            self.tls.read(1)

    def flush(self) -> None:
        self.raw.sendall(self._outgoing.read())


@contextmanager
def connected(version: str) -> Iterator[tuple[Any, _Server]]:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(SECONDS)
        other.settimeout(SECONDS)
        server = _Server(other, version)
        handshake = beside(server.handshake)
        with our_client(versions=[version]).wrap_socket(one, server_hostname="localhost") as client:
            handshake.result()
            yield client, server


@VERSIONS
@pytest.mark.parametrize("size", [1, 100, 20_000, 100_000])
def test_end_that_came_along_with_data_can_be_polled(version: str, size: int) -> None:
    with connected(version) as (client, server):
        server.tls.write(b"x" * size)
        server.end()
        beside(server.flush).result()
        left = size
        while left:
            assert select.select([client], [], [], SECONDS)[0], f"{left} bytes are hidden from select"
            left -= len(client.recv(65536))
        assert select.select([client], [], [], 0)[0], "the end is hidden from select"
        assert client.recv(65536) == b""


@VERSIONS
def test_failure_that_came_along_with_data_can_be_polled(version: str) -> None:
    with connected(version) as (client, server):
        server.tls.write(b"data")
        server.fail()
        server.flush()
        assert client.recv(65536) == b"data"
        assert select.select([client], [], [], 0)[0], "the alert is hidden from select"
        with pytest.raises(ssl.SSLError, match="alert"):
            client.recv(65536)


def test_record_that_comes_byte_by_byte_is_waited_for() -> None:
    with connected("1.3") as (client, server):
        client.setblocking(False)
        server.tls.write(b"data")
        record = server._outgoing.read()
        for at in range(len(record) - 1):
            server.raw.sendall(record[at : at + 1])
            with pytest.raises(ssl.SSLWantReadError):
                client.recv(100)
        server.raw.sendall(record[-1:])
        assert client.recv(100) == b"data"


@VERSIONS
@pytest.mark.parametrize("ahead", [1, 3, 5, 6])
def test_record_behind_a_long_one_may_come_in_pieces(version: str, ahead: int) -> None:
    with connected(version) as (client, server):
        client.setblocking(False)
        server.tls.write(b"x" * 16_384)
        first = server._outgoing.read()
        server.tls.write(b"y" * 16_384)
        server.end()
        second = server._outgoing.read()
        beside(server.raw.sendall, first + second[:ahead]).result()
        assert client.recv(16_384) == b"x" * 16_384
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(16_384)
        beside(server.raw.sendall, second[ahead:]).result()
        assert select.select([client], [], [], SECONDS)[0], "data is hidden from select"
        assert client.recv(16_384) == b"y" * 16_384
        assert select.select([client], [], [], SECONDS)[0], "the end is hidden from select"
        assert client.recv(16_384) == b""


def test_stream_that_ends_behind_the_next_record_s_header_is_cut_off() -> None:
    with connected("1.3") as (client, server):
        server.tls.write(b"x" * 16_384)
        server.tls.write(b"y")
        beside(server.raw.sendall, server._outgoing.read()[:-18]).result()
        server.raw.shutdown(socket.SHUT_WR)
        assert client.recv(16_384) == b"x" * 16_384
        with pytest.raises(ssl.SSLEOFError):
            client.recv(16_384)
