"""`connect`, and listening sockets that give TLS connections from `accept`."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

import pytest

from tests.stdlib.pairs import SECONDS, SIDES, beside, contexts, our_client, our_server
from trustls.stdlib import SSLSocket


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_socket_that_connects_by_itself_and_one_that_accepts(sides: str, method: str) -> None:
    client_context, server_context = contexts(sides)
    with (
        server_context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listening,
        client_context.wrap_socket(socket.socket(), server_hostname="localhost") as client,
    ):
        listening.settimeout(SECONDS)
        client.settimeout(SECONDS)
        accepting = beside(listening.accept)
        assert not getattr(client, method)(listening.getsockname())
        server, address = accepting.result()
        with server:
            assert address == client.getsockname()
            client.sendall(b"hello")
            assert server.recv(100) == b"hello"
            with pytest.raises(ValueError, match="already-connected"):
                client.connect(listening.getsockname())
            with pytest.raises(ValueError, match="server-side"):
                listening.connect(("127.0.0.1", 9))


def test_accepted_sockets_inherit_what_the_listening_one_was_told() -> None:
    with our_server().wrap_socket(
        socket.create_server(("127.0.0.1", 0)),
        server_side=True,
        do_handshake_on_connect=False,
        suppress_ragged_eofs=True,
    ) as listening:
        with socket.create_connection(listening.getsockname()):
            server, _ = listening.accept()
        with server:
            assert server.version() is None, "the handshake was not to be done"
            assert isinstance(server, SSLSocket)
            assert server.suppress_ragged_eofs


def test_one_bad_client_does_not_end_the_listening_socket() -> None:
    with our_server().wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listening:
        for _ in range(2):
            with socket.create_connection(listening.getsockname()) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with pytest.raises(ssl.SSLError):
                    listening.accept()
        accepting = beside(listening.accept)
        raw = socket.create_connection(listening.getsockname(), timeout=SECONDS)
        with our_client().wrap_socket(raw, server_hostname="localhost"), accepting.result()[0]:
            pass


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_connecting_to_nobody_fails_as_for_sockets_and_may_be_tried_again(method: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with our_client().wrap_socket(socket.socket(), server_hostname="localhost") as client:
        for _ in range(2):
            if method == "connect":
                with pytest.raises(ConnectionRefusedError):
                    client.connect(address)
            else:
                assert client.connect_ex(address) != 0


def test_nothing_is_sent_or_read_in_the_clear_before_tls() -> None:
    with our_client().wrap_socket(socket.socket(), server_hostname="localhost") as client:
        calls: list[Any] = [
            lambda: client.send(b"secret"),
            lambda: client.sendall(b"secret"),
            lambda: client.write(b"secret"),
            lambda: client.recv(10),
            lambda: client.read(10),
            lambda: client.recv_into(bytearray(10)),
            lambda: client.sendto(b"secret", ("127.0.0.1", 9)),
            lambda: client.recvfrom(10),
            client.do_handshake,
        ]
        for call in calls:
            with pytest.raises((OSError, ValueError)):
                call()
        assert client.version() is None
        assert client.pending() == 0


def test_a_socket_that_was_connected_behind_its_back_sends_nothing_in_the_clear() -> None:
    """As the kernel does after `connect` has given up waiting."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        our_client().wrap_socket(socket.socket(), server_hostname="localhost") as client,
        socket.socket(fileno=os.dup(client.fileno())) as same,
    ):
        same.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            for call in (
                client.send,
                client.sendall,
                client.write,
                lambda data: client.sendto(data, accepted.getsockname()),
            ):
                with pytest.raises((OSError, ValueError)):
                    call(b"secret")
            accepted.sendall(b"DELETE / HTTP/1.1")
            with pytest.raises(OSError, match="not connected by TLS"):
                client.recv(100)
            same.shutdown(socket.SHUT_WR)
            assert accepted.recv(100) == b""


def test_a_peer_that_left_bytes_and_hung_up_before_tls_is_refused() -> None:
    """What it left must not be taken for decrypted data (CVE-2023-40217)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        raw = socket.create_connection(listening.getsockname())
        raw.sendall(b"DELETE / HTTP/1.1\r\n\r\n")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted, _ = listening.accept()
        accepted.settimeout(SECONDS)
        raw.close()
        with accepted, pytest.raises((ssl.SSLError, ConnectionResetError)):
            our_server().wrap_socket(accepted, server_side=True).recv(100)


def test_unix_sockets_and_ipv6_work_too() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(SECONDS)
        other.settimeout(SECONDS)
        accepting = beside(our_server().wrap_socket, other, server_side=True)
        with our_client().wrap_socket(one, server_hostname="localhost") as client, accepting.result() as server:
            client.sendall(b"x")
            assert server.recv(1) == b"x"
            assert client.family == socket.AF_UNIX
