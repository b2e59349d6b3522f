"""TLSSocket: what forks, deadlines and hang-ups make of it. Real connections: tests/interop/test_sockets.py."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import trustls
from tests.support.identities import client_config, server_config

SECONDS = 10.0
ClientSocket = trustls.TLSSocket[trustls.ClientConnection]
ServerSocket = trustls.TLSSocket[trustls.ServerConnection]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@contextlib.contextmanager
def in_thread(function: Callable[[], Any]) -> Iterator[threading.Thread]:
    """`function` in a thread, which has ended at the end of this."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    yield thread
    thread.join(SECONDS)
    assert not thread.is_alive(), "the thread did not end"


@contextlib.contextmanager
def bare_pair(**options: Any) -> Iterator[tuple[ClientSocket, ServerSocket]]:
    """Two ends of a connection, before their handshake."""
    one, other = socket.socketpair()
    for end in (one, other):
        end.settimeout(SECONDS)
    client = trustls.TLSSocket(one, trustls.ClientConnection(client_config(), "localhost"), **options)
    server = trustls.TLSSocket(other, trustls.ServerConnection(server_config()), **options)
    try:
        yield client, server
    finally:
        with in_thread(server.close):  # Each waits for the other's end.
            client.close()


@contextlib.contextmanager
def pair() -> Iterator[tuple[ClientSocket, ServerSocket]]:
    """Two ends of a connection, after it."""
    with bare_pair() as (client, server):
        with in_thread(server.handshake):
            client.handshake()
        yield client, server


def forked(work: Callable[[], None]) -> int:
    """A process that does `work` and ends; its id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads; `work` needs none of their locks.
        child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def assert_ended_well(child: int) -> None:
    """Wait for a forked process."""
    assert os.waitpid(child, 0)[1] == 0, "the child process failed"


# -- Forks ------------------------------------------------------------------------------------------------------------


@needs_fork
def test_close_after_a_fork_leaves_the_connection_to_the_process_that_goes_on_with_it() -> None:
    """Each process closes the end that it does not use: first, and without a word to the other's peer."""
    with pair() as (client, server):

        def answer() -> None:
            client.close()
            server.sendall(server.recv(100).upper())
            server.close()

        child = forked(answer)
        server.close()
        client.sendall(b"to the child")
        assert client.recv(100) == b"TO THE CHILD"
        assert client.recv(100) == b"", "the child, which used the connection, says close_notify"
        client.close()
        assert_ended_well(child)


@needs_fork
def test_forking_server_serves_in_the_child_and_closes_in_the_parent() -> None:
    with trustls.Listener(("127.0.0.1", 0), server_config(), timeout=SECONDS) as listener:
        connected: list[ClientSocket] = []

        def connect() -> None:
            tls = trustls.connect(listener.address, client_config(), server_name="localhost", timeout=SECONDS)
            connected.append(tls)

        with in_thread(connect):
            tls = listener.accept()

            def serve() -> None:
                with tls:
                    tls.sendall(tls.recv(100).upper())
                    assert tls.recv(100) == b""

            child = forked(serve)
            tls.close()
        with connected[0] as client:
            client.sendall(b"to the child")
            assert client.recv(100) == b"TO THE CHILD"
            client.close_write()
            assert client.recv(100) == b"", "a proper end"
        assert_ended_well(child)


@needs_fork
@pytest.mark.parametrize("use", ["send", "receive"])
def test_who_uses_a_connection_after_a_fork_ends_it_properly(use: str) -> None:
    """A process that forks for some other reason: its connections are its own as before."""
    with pair() as (client, server):
        assert_ended_well(forked(lambda: None))
        if use == "send":
            server.sendall(b"x")
            assert client.recv(1) == b"x"
        else:
            client.sendall(b"x")
            assert server.recv(1) == b"x"
        with in_thread(server.close):
            assert client.recv(1) == b"", "close_notify came"
            client.close()


@needs_fork
def test_close_after_a_fork_wakes_a_thread_that_receives() -> None:
    ended: list[BaseException] = []
    receiving = threading.Event()

    def receive() -> None:
        try:
            server.recv(1)
            receiving.set()
            server.recv(1)
        except (trustls.TLSError, OSError) as error:
            ended.append(error)

    with pair() as (client, server):
        client.sendall(b"x")
        with in_thread(receive):
            assert receiving.wait(SECONDS)
            while server._receiving.acquire(blocking=False):  # Until it waits again.
                server._receiving.release()
                time.sleep(0.001)
            assert_ended_well(forked(lambda: None))
            with in_thread(server.close):
                assert client.recv(1) == b"", "close_notify came"
                client.close()
    assert len(ended) == 1, "recv() is to end with the socket's end"


# -- Deadlines --------------------------------------------------------------------------------------------------------


def test_handshake_may_take_its_own_time_whatever_the_timeout_of_a_wait_is() -> None:
    with bare_pair(handshake_timeout=SECONDS) as (client, server):
        server.settimeout(0.05)
        with in_thread(server.handshake):
            time.sleep(0.2)  # Longer than a wait may take later.
            client.handshake()
        assert server.connection.info.version is trustls.ProtocolVersion.TLS1_3
        assert (server.gettimeout(), client.gettimeout()) == (0.05, SECONDS), "the handshake changes no timeout"
        with pytest.raises(TimeoutError):
            server.recv()
        server.settimeout(None)


def test_handshake_without_limit_of_its_own_is_bounded_by_the_timeout_of_each_wait() -> None:
    with bare_pair() as (_, server):
        server.settimeout(0.1)
        started = time.monotonic()
        with pytest.raises(trustls.HandshakeTimeout):
            server.handshake()
        assert 0.09 < time.monotonic() - started < 3


# -- Hang-ups ---------------------------------------------------------------------------------------------------------


def test_data_before_the_alert_that_a_sender_comes_upon_is_not_lost() -> None:
    """A server answers, refuses, and hangs up; the client is still sending."""
    with pair() as (client, server):
        server.sendall(b"no")
        server.sendall(b" more")
        connection, raw = server.connection, server._socket
        connection.abort(trustls.PeerMisbehaved(trustls.Misbehaviour.UNEXPECTED_MESSAGE))
        raw.sendall(connection.data_to_send())
        raw.close()
        with pytest.raises(trustls.AlertReceived) as caught:
            client.sendall(b"what nobody reads")
        assert caught.value.description is trustls.AlertDescription.UNEXPECTED_MESSAGE
        assert client.pending() == 7
        assert client.recv_exactly(7) == b"no more"
        with pytest.raises(trustls.AlertReceived):
            client.recv()


# -- Receiving --------------------------------------------------------------------------------------------------------


def test_failure_behind_data_is_raised_and_not_waited_for() -> None:
    """Though the peer does not hang up when it is told."""
    with pair() as (client, server):
        client.connection.send(b"good")
        good = client.connection.data_to_send()
        client.connection.send(b"bad")
        bad = bytearray(client.connection.data_to_send())
        bad[-1] ^= 1
        client._socket.sendall(good + bad)
        assert server.recv() == b"good"
        for _ in range(2):
            with pytest.raises(trustls.PeerMisbehaved):
                server.recv()


@pytest.mark.parametrize("size", [1, 7, 64, 16384, 1 << 20])
def test_receiving_in_pieces_of_one_size_gives_every_byte_in_order(size: int) -> None:
    data = os.urandom(100_000 if size > 1 else 2000)
    with pair() as (client, server), in_thread(lambda: client.sendall(data)):
        received = bytearray()
        while len(received) < len(data):
            piece = server.recv(size)
            assert 0 < len(piece) <= size
            received += piece
        assert received == data
        assert server.pending() == 0


def test_negative_size_is_refused() -> None:
    with pair() as (client, server):
        client.sendall(b"ab")
        with pytest.raises(ValueError, match="negative"):
            server.recv(-1)
        assert server.recv(2) == b"ab", "nothing was taken"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sending_every_kind_of_buffer_of_every_size(kind: Callable[[bytes], Any]) -> None:
    with pair() as (client, server):
        for size in (0, 1, 1 << 16, (1 << 16) + 1):
            data = os.urandom(size)
            with in_thread(functools.partial(client.sendall, kind(data))):
                assert server.recv_exactly(size) == data
