"""TLSSocket: a client that is asked for its certificate after the handshake, and the wait for its answer.

What the answer may be, and what not: tests/handshake/test_post_handshake_auth.py.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import trustls
from tests.support.identities import (
    client_config,
    client_credential,
    client_roots,
    required,
    server_config,
    strange_credential,
)

SECONDS = 10.0
ClientSocket = trustls.TLSSocket[trustls.ClientConnection]
ServerSocket = trustls.TLSSocket[trustls.ServerConnection]


@contextlib.contextmanager
def pair(
    auth: trustls.ClientAuth | None = None, credential: trustls.Credential | None = None
) -> Iterator[tuple[ClientSocket, ServerSocket]]:
    """Two ends of a connection, after a handshake in which the client remained unknown."""
    one, other = socket.socketpair()
    for end in (one, other):
        end.settimeout(SECONDS)
    server_side = server_config(post_handshake_auth=auth or required())
    credentials = [credential] if credential else []
    client_side = client_config(credentials=credentials, post_handshake_auth=True)
    client = trustls.TLSSocket(one, trustls.ClientConnection(client_side, "localhost"))
    server = trustls.TLSSocket(other, trustls.ServerConnection(server_side))
    with both(client.handshake, server.handshake):
        pass
    try:
        yield client, server
    finally:
        with both(client.close, server.close):  # Each waits for the other's end.
            pass


@contextlib.contextmanager
def both(here: Callable[[], Any], there: Callable[[], Any]) -> Iterator[None]:
    """One function in this thread, another in its own, which has ended at the end of this."""
    with in_thread(there):
        here()
        yield


@contextlib.contextmanager
def in_thread(function: Callable[[], Any]) -> Iterator[None]:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(SECONDS)
        assert not thread.is_alive(), "the thread did not end"


def test_answer_is_waited_for_and_no_data_is_needed() -> None:
    """A client that has asked for a page says nothing before it has that: the answer comes alone."""
    with pair(credential=client_credential()) as (client, server):
        client.sendall(b"GET /private")
        assert server.recv() == b"GET /private"
        server.request_client_certificate()
        with in_thread(lambda: server.sendall(client_name(server.wait_for_client_certificate()))):
            assert client.recv() == b"CN=alice"
        assert server.wait_for_client_certificate() is server.connection.peer, "there is nothing to wait for any more"


def client_name(peer: trustls.Peer | None) -> bytes:
    return b"nobody" if peer is None else peer.subject.encode()


def test_client_may_be_asked_twice() -> None:
    with pair(credential=client_credential()) as (client, server):
        for _ in range(2):
            server.request_client_certificate()
            with in_thread(lambda: server.sendall(client_name(server.wait_for_client_certificate()))):
                assert client.recv() == b"CN=alice"


def test_data_before_the_answer_is_kept_in_order() -> None:
    with pair(credential=client_credential()) as (client, server):
        client.sendall(b"abcdef")
        assert server.recv(2) == b"ab"
        server.request_client_certificate()
        for letter in b"ghi":
            client.sendall(bytes([letter]))
        with in_thread(client.recv):
            peer = server.wait_for_client_certificate()
            server.sendall(b"done")
        assert client_name(peer) == b"CN=alice"
        assert server.recv_exactly(7) == b"cdefghi"


def test_client_without_a_certificate_stays_nobody_where_it_may() -> None:
    with pair(trustls.ClientAuth.optional(client_roots())) as (client, server):
        server.request_client_certificate()
        with in_thread(client.recv):
            assert server.wait_for_client_certificate() is None
            server.sendall(b"done")


@pytest.mark.parametrize("credential", [None, strange_credential()], ids=["no certificate", "a strange one"])
def test_answer_that_is_not_accepted_is_raised_and_told(credential: trustls.Credential | None) -> None:
    refusals: list[trustls.TLSError] = []

    def listen(client: ClientSocket) -> None:
        with pytest.raises(trustls.CertificateRejectedByPeer) as refused:
            client.recv()
        refusals.append(refused.value)

    # No names, so that the client shows what it has.
    auth = trustls.ClientAuth.required(client_roots(), hints=())
    with pair(auth, credential) as (client, server):
        client.sendall(b"before")
        server.request_client_certificate()
        with in_thread(lambda: listen(client)), pytest.raises(trustls.CertificateRejected):
            server.wait_for_client_certificate()
        assert server.connection.peer is None
        assert refusals, "the client was not told"
        assert server.recv() == b"before", "what came before is the application's still"
        with pytest.raises(trustls.CertificateRejected):
            server.recv()


def test_client_that_closes_its_side_instead_is_not_waited_for() -> None:
    with pair(credential=client_credential()) as (client, server):
        client.close_write()
        server.request_client_certificate()
        with pytest.raises(trustls.ConnectionClosed, match="not answered the request for its certificate"):
            server.wait_for_client_certificate()


def test_client_that_hangs_up_is_not_waited_for() -> None:
    with pair(credential=client_credential()) as (client, server):
        server.request_client_certificate()
        client._socket.close()
        with pytest.raises((trustls.UnexpectedEOF, ConnectionResetError)):
            server.wait_for_client_certificate()


def test_wait_ends_with_the_timeout_and_can_be_taken_up_again() -> None:
    with pair(credential=client_credential()) as (client, server):
        server.request_client_certificate()
        server.settimeout(0.02)
        with pytest.raises(TimeoutError):
            server.wait_for_client_certificate()
        server.settimeout(SECONDS)
        with in_thread(client.recv):
            assert client_name(server.wait_for_client_certificate()) == b"CN=alice"
            server.sendall(b"done")


def test_client_that_sends_and_sends_in_place_of_an_answer_is_given_up() -> None:
    def pour(client: ClientSocket) -> None:
        with contextlib.suppress(OSError, trustls.AlertReceived):
            client.sendall(bytes(4 << 20))
        with pytest.raises(trustls.AlertReceived, match="unexpected_message"):
            client.recv()
        client.close()

    with pair(credential=client_credential()) as (client, server):
        server.request_client_certificate()
        with in_thread(lambda: pour(client)):
            with pytest.raises(trustls.PeerMisbehaved) as given_up:
                server.wait_for_client_certificate()
            assert given_up.value.reason is trustls.Misbehaviour.TOO_MUCH_DATA_BEFORE_ANSWER
            server.close()


def test_client_has_nothing_to_wait_for() -> None:
    with pair() as (client, _), pytest.raises(trustls.ConfigError, match="a client has nobody's certificate"):
        client.wait_for_client_certificate()
