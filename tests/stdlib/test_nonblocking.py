"""`wrap_socket` on sockets that never wait: loops of select and poll, and calls that are made again."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stdlib.pairs import SECONDS, SIDES, beside, contexts, our_client, our_server, socket_pair, tcp_pair

LARGE = bytes(range(256)) * 8192


def _wait(*wanted: tuple[Any, int]) -> None:
    poll = select.poll()
    for tls, events in wanted:
        poll.register(tls, events)
    assert poll.poll(SECONDS * 1000), "nobody gets on"


def _shake_hands(*sides: Any) -> None:
    """Both sides in one thread."""
    waiting = dict.fromkeys(sides, select.POLLOUT)
    while waiting:
        _wait(*waiting.items())
        for one in list(waiting):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                waiting[one] = select.POLLIN
            except ssl.SSLWantWriteError:
                waiting[one] = select.POLLOUT
            else:
                del waiting[one]


@pytest.fixture(params=SIDES)
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Two non-blocking sockets, after the handshake."""
    client_context, server_context = contexts(request.param)
    with tcp_pair() as (one, other):
        for raw in (one, other):
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # So that sends have to be made again.
        with (
            client_context.wrap_socket(one, server_hostname="localhost", do_handshake_on_connect=False) as client,
            server_context.wrap_socket(other, server_side=True, do_handshake_on_connect=False) as server,
        ):
            _shake_hands(client, server)
            yield client, server


def test_large_data_crosses_in_both_directions_without_loss(both: tuple[Any, Any]) -> None:
    found = {one: bytearray() for one in both}
    left = {one: memoryview(LARGE) for one in both}
    events = dict.fromkeys(both, select.POLLIN | select.POLLOUT)
    refused = 0
    while any(len(data) < len(LARGE) for data in found.values()):
        _wait(*events.items())
        for one in both:
            events[one] = select.POLLIN
            try:
                while left[one]:
                    left[one] = left[one][one.send(left[one]) :]
            except ssl.SSLWantWriteError:
                refused += 1
                events[one] |= select.POLLOUT
            try:
                while data := one.recv(10_000):
                    found[one] += data
            except ssl.SSLWantReadError:
                pass
    assert all(data == LARGE for data in found.values()), "bytes were lost, doubled or torn"
    assert refused, "the buffers took it all: the test tests nothing"


def test_the_errors_say_what_to_wait_for() -> None:
    with socket_pair(our_client(), our_server()) as (client, _):
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError) as read:
            client.recv(10)
        assert (read.value.errno, read.value.args[0]) == (2, 2)
        with pytest.raises(ssl.SSLWantWriteError) as write:  # noqa: PT012 (which call it is, nobody knows)
            for _ in range(10_000):
                client.send(LARGE[:65536])
        assert (write.value.errno, write.value.args[0]) == (3, 3)


def test_a_send_that_would_block_is_made_again_with_the_same_data() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.setblocking(False)
        sent = bytearray()
        piece = LARGE[:50_000]
        with pytest.raises(ssl.SSLWantWriteError):  # noqa: PT012 (as above)
            while True:
                sent += piece[: client.send(piece)]
        for other in (b"y" * 50_000, piece[:100], b""):
            with pytest.raises(ssl.SSLError) as raised:
                client.send(other)
            assert raised.value.reason == "BAD_WRITE_RETRY"
            assert not isinstance(raised.value, ssl.SSLWantWriteError)
        server.settimeout(SECONDS)
        found = bytearray()
        count = 0
        while not count:
            try:
                count = client.send(bytearray(piece) + b"and more")  # Other memory, and more of it.
            except ssl.SSLWantWriteError:
                found += server.recv(1 << 16)
        sent += piece
        assert count == len(piece), "what was sealed counts, and no more"
        client.setblocking(True)
        client.shutdown(socket.SHUT_WR)
        while data := server.recv(1 << 16):
            found += data
        assert found == sent


def test_a_handshake_cannot_be_done_while_wrapping() -> None:
    with tcp_pair() as (one, _):
        one.setblocking(False)
        with pytest.raises(ValueError, match="non-blocking"):
            our_client().wrap_socket(one, server_hostname="localhost")


def test_a_blocking_handshake_can_be_asked_for() -> None:
    with tcp_pair() as (one, other):
        other.setblocking(False)
        connecting = beside(our_client().wrap_socket, one, server_hostname="localhost")
        with our_server().wrap_socket(other, server_side=True, do_handshake_on_connect=False) as server:
            server.do_handshake(block=True)
            assert server.gettimeout() == 0, "the socket is as it was"
            connecting.result().close()


@pytest.mark.parametrize("sides", SIDES)
def test_connect_ex_in_progress_goes_on_with_the_handshake(sides: str) -> None:
    client_context, server_context = contexts(sides)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        client_context.wrap_socket(
            socket.socket(), server_hostname="localhost", do_handshake_on_connect=False
        ) as client,
    ):
        client.setblocking(False)
        assert client.connect_ex(listening.getsockname()) in {0, errno.EINPROGRESS}
        accepted, _ = listening.accept()
        accepted.setblocking(False)
        with server_context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as server:
            _shake_hands(client, server)
            assert client.send(b"encrypted") == 9
            _wait((server, select.POLLIN))
            assert server.recv(100) == b"encrypted"


def test_connect_in_progress_goes_on_with_the_handshake_and_never_sends_in_the_clear() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        our_client().wrap_socket(socket.socket(), server_hostname="localhost", do_handshake_on_connect=False) as client,
    ):
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.connect(listening.getsockname())
        accepted, _ = listening.accept()
        _wait((client, select.POLLOUT))
        with pytest.raises(ssl.SSLWantReadError):
            client.send(b"secret")
        accepted.settimeout(SECONDS)
        with accepted:
            assert accepted.recv(100)[:1] == b"\x16", "data came before the handshake"


@pytest.mark.parametrize("size", [1 << 14, 1 << 15, 1 << 16])
@pytest.mark.parametrize("piece", [10, 1 << 14, 50_000])
def test_select_sees_all_that_reads_of_a_record_or_more_have_left(size: int, piece: int) -> None:
    """Loops that were written for `ssl` read once whenever select tells them to: OpenSSL reads record by record."""
    with socket_pair(our_client(), our_server()) as (client, server):
        client.setblocking(False)
        left = 200 * piece if piece < 1000 else 1_000_000
        sending = beside(lambda: [server.sendall(b"x" * piece) for _ in range(left // piece)])
        left = left // piece * piece
        while left:
            assert select.select([client], [], [], SECONDS)[0], f"{left} bytes are hidden from select"
            with contextlib.suppress(ssl.SSLWantReadError):
                left -= len(client.recv(size))
        sending.result()


def test_select_sees_data_that_came_with_the_end_of_the_handshake() -> None:
    with tcp_pair() as (one, other):
        other.setblocking(False)
        with our_server().wrap_socket(other, server_side=True, do_handshake_on_connect=False) as server:
            connecting = beside(_connect_and_send, one)
            one_flight = threading.Event()
            while True:
                try:
                    server.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    one_flight.wait(0.05)  # So that Finished and data are both there.
            with connecting.result():
                assert select.select([server], [], [], SECONDS)[0], "the request is hidden from select"
                assert server.recv(100) == b"request"


def _connect_and_send(raw: socket.socket) -> Any:
    client = our_client().wrap_socket(raw, server_hostname="localhost")
    client.sendall(b"request")
    return client


def test_what_select_cannot_see_any_more_is_told_by_pending() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        assert client.pending() == 0
        server.sendall(b"x" * 1000)
        assert client.recv(1) == b"x"
        assert select.select([client], [], [], 0)[0] == []
        assert client.pending() == 999
        assert len(client.recv(5000)) == 999
        assert client.pending() == 0
        server.sendall(b"last")
        server.shutdown(socket.SHUT_WR)
        assert client.recv(5000) == b"last"
        assert client.pending() in {0, 1}, "1 where the close came along"
        assert client.recv(5000) == b""
        assert client.pending() == 0
