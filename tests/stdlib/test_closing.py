"""How connections end: unwrap and what comes in the clear afterwards, shutdown, close, detach, garbage, forks."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.stdlib.pairs import SECONDS, SIDES, beside, contexts, our_client, our_server, read_all, socket_pair, tcp_pair


@pytest.mark.parametrize("sides", SIDES)
def test_unwrap_gives_a_socket_that_goes_on_in_the_clear(sides: str) -> None:
    with socket_pair(*contexts(sides)) as (client, server):
        unwrapping = beside(client.unwrap)
        plain_server = server.unwrap()
        plain_client = unwrapping.result()
        plain_client.sendall(b"in the clear")
        assert plain_server.recv(100) == b"in the clear"
        plain_server.sendall(b"too")
        assert plain_client.recv(100) == b"too"
        assert client.version() is None
        with pytest.raises(ValueError, match="No SSL wrapper"):
            client.unwrap()


def test_bytes_that_came_with_the_close_are_not_lost() -> None:
    with tcp_pair() as (one, other):
        from_client, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer = our_client().wrap_bio(to_client, from_client, server_hostname="localhost")
        accepting = beside(our_server().wrap_socket, other, server_side=True)
        while True:
            try:
                peer.do_handshake()
                break
            except ssl.SSLWantReadError:
                one.sendall(from_client.read())
                to_client.write(one.recv(1 << 16))
        one.sendall(from_client.read())
        with accepting.result() as server:
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.unwrap()
            one.sendall(from_client.read() + b"250 plain, ")
            assert server.recv(10) == b""
            one.sendall(b"and more")
            plain = server.unwrap()
            assert plain.recv(4) == b"250 "
            buffer = bytearray(100)
            size = plain.recv_into(buffer)
            found = bytes(buffer[:size])
            while len(found) < len(b"plain, and more"):
                found += plain.recv(100)
            assert found == b"plain, and more"


def test_tls_can_be_begun_again_on_an_unwrapped_socket() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        unwrapping = beside(client.unwrap)
        plain_server = server.unwrap()
        plain_client = unwrapping.result()
        accepting = beside(our_server().wrap_socket, plain_server, server_side=True)
        with (
            our_client().wrap_socket(plain_client, server_hostname="localhost") as again,
            accepting.result() as accepted,
        ):
            again.sendall(b"second time")
            assert accepted.recv(100) == b"second time"


def test_tls_is_not_begun_beside_tls() -> None:
    """`ssl` does, on the bare socket, and nobody learns that the outer one is gone."""
    for sides in SIDES:
        with socket_pair(*contexts(sides)) as (client, _):
            with pytest.raises(ValueError, match="TLS inside of TLS"):
                our_client().wrap_socket(client, server_hostname="localhost")
            assert client.fileno() != -1


def test_unwrap_refuses_to_drop_unread_data() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.sendall(b"read, unread")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(4) == b"read"
        with pytest.raises(ssl.SSLError, match="APPLICATION_DATA_AFTER_CLOSE_NOTIFY"):
            server.unwrap()
        assert server.recv(100) == b", unread"
        server.unwrap()


def test_unwrap_waits_no_longer_than_the_timeout() -> None:
    with socket_pair(our_client(), our_server()) as (client, _):
        client.settimeout(0.05)
        with pytest.raises(TimeoutError, match="unwrap"):
            client.unwrap()


def test_unwrap_of_a_non_blocking_socket_wants_to_read_and_is_called_again() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
        server.unwrap()
        client.setblocking(True)
        assert client.unwrap() is client


def test_shutting_down_the_sending_side_tells_it_and_leaves_the_other_open() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.sendall(b"all I have")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"all I have"
        server.sendall(b"thank you")
        assert client.recv(100) == b"thank you", "still decrypted"
        with pytest.raises(ssl.SSLError):
            client.send(b"more")
        server.close()
        assert client.recv(100) == b""


@pytest.mark.parametrize("sides", SIDES)
def test_close_tells_the_peer_and_loses_nothing_that_was_sent(sides: str) -> None:
    with socket_pair(*contexts(sides)) as (client, server):
        data = os.urandom(200_000)
        client.sendall(b"unread by the server" * 1000)
        sending = beside(server.sendall, data)
        found = client.recv(1000)
        while len(found) < len(data):
            found += client.recv(1 << 16)
        sending.result()
        assert found == data
        if sides.endswith("trustls"):
            server.sendall(b"last")
            server.close()  # With unread data of the client in its buffers.
            assert client.recv(100) == b"last"
            assert client.recv(100) == b"", "it was reset, or cut off"


@pytest.mark.parametrize("suppress", [False, True])
def test_a_cut_off_stream_is_an_error_unless_that_is_suppressed(suppress: bool) -> None:
    with tcp_pair() as (one, other):
        accepting = beside(our_server().wrap_socket, other, server_side=True)
        with our_client().wrap_socket(one, server_hostname="localhost", suppress_ragged_eofs=suppress) as client:
            server = accepting.result()
            server.sendall(b"some of it")
            socket.socket(fileno=server.detach()).close()
            assert client.recv(100) == b"some of it"
            if suppress:
                assert client.recv(100) == b""
                assert client.recv_into(bytearray(10)) == 0
            else:
                with pytest.raises(ssl.SSLEOFError, match="UNEXPECTED_EOF_WHILE_READING"):
                    client.recv(100)


def test_a_reset_is_the_error_of_sockets() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        descriptor = socket.socket(fileno=server.detach())
        descriptor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        descriptor.close()
        with pytest.raises(ConnectionResetError):
            client.recv(100)


def test_an_end_during_the_handshake_is_an_eof_error() -> None:
    with tcp_pair() as (one, other):
        other.close()
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            our_client().wrap_socket(one, server_hostname="localhost")


def test_detach_gives_the_descriptor_away() -> None:
    with socket_pair(our_client(), our_server()) as (client, _):
        descriptor = client.detach()
        assert client.fileno() == -1
        client.close()
        os.fstat(descriptor)  # Still open.
        os.close(descriptor)


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts file descriptors in /proc")
def test_no_way_to_end_leaks_a_descriptor() -> None:
    def good() -> None:
        with socket_pair(our_client(), our_server()) as (client, server):
            file = client.makefile("rb")
            client.close()
            file.close()
            server.close()
            server.close()

    def refused() -> None:
        with tcp_pair() as (one, other):
            other.sendall(b"no TLS at all")
            with pytest.raises(ssl.SSLError):
                our_client().wrap_socket(one, server_hostname="localhost")

    def wrong_call() -> None:
        with tcp_pair() as (one, _):
            with pytest.raises(ValueError, match="server_side"):
                our_client().wrap_socket(one, server_side=True)
            assert one.fileno() != -1, "a wrong call takes nothing over"

    for way in (good, refused, wrong_call):
        way()
        gc.collect()
        before = _open_descriptors()
        way()
        gc.collect()
        assert _open_descriptors() == before, way.__name__


def test_a_forgotten_socket_warns_once_and_closes_its_descriptor_once() -> None:
    """A second close would hit whoever has been given the number meanwhile."""
    with tcp_pair() as (one, _), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tls: Any = our_client().wrap_socket(one, server_hostname="localhost", do_handshake_on_connect=False)
        descriptor = tls.fileno()
        tls.cycle = tls  # As an exception's traceback often makes one.
        del tls
        gc.collect()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    assert len([one for one in told if one.category is ResourceWarning]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_after_a_fork_the_close_in_one_process_does_not_end_the_others_connection() -> None:
    """What socketserver.ForkingMixIn does. Both would also seal under the same nonce."""
    with socket_pair(our_client(), our_server()) as (client, server):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads: none runs here.
            child = os.fork()
        if not child:
            status = 1
            try:
                client.close()
                server.sendall(server.recv(100).upper())
                server.unwrap()
                status = 0
            finally:
                os._exit(status)
        server.close()
        client.settimeout(SECONDS)
        client.sendall(b"to the child")
        assert client.recv(100) == b"TO THE CHILD"
        assert client.recv(100) == b""
        client.unwrap()
        assert os.waitpid(child, 0)[1] == 0
