"""No byte is lost, taken out of its order, or taken for another layer's: before TLS, after it, and at its end."""

from __future__ import annotations

import pickle
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.stdlib.pairs import SECONDS, BIOPair, beside, our_client, our_server, socket_pair, tcp_pair
from trustls import TLSError
from trustls.errors import AlertDescription
from trustls.stdlib.errors import bad_write_retry, data_after_close
from trustls.wire.enums import ContentType


@contextmanager
def unwrapped_with_bytes_behind() -> Iterator[Any]:
    """A client after `unwrap`, whose server went on in the clear: "three" was read together with TLS's last bytes."""
    with socket_pair(our_client(), our_server()) as (client, server):
        server.sendall(b"first")
        assert client.recv(5) == b"first", "and with it the tickets"
        sealer = server.connection._writer.sealer
        assert sealer is not None
        # Behind a record of that length the next one's header is read, which is not one here.
        close = sealer.seal(ContentType.ALERT, bytes((1, AlertDescription.CLOSE_NOTIFY)), padding=5000)
        together = close + b"three, two"
        bare = socket.socket(fileno=server.detach())
        with bare:
            bare.settimeout(SECONDS)
            bare.sendall(together)
            client.settimeout(None)
            there = socket.socket.recv(client, len(together), socket.MSG_PEEK | socket.MSG_WAITALL)
            assert there == together
            client.settimeout(SECONDS)
            assert client.recv(100) == b""
            assert client.unwrap() is client
            assert socket.socket.recv(client, 100, socket.MSG_PEEK) == b", two", "this test reads another way by now"
            yield client


def read_to(client: Any, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        piece = client.recv(100)
        assert piece, f"the stream ended after {found!r}"
        found += piece
    return found


@pytest.mark.parametrize("how", ["recvfrom", "recvfrom_into"])
def test_what_came_behind_the_close_comes_first_whatever_reads_it(how: str) -> None:
    with unwrapped_with_bytes_behind() as client:
        buffer = bytearray(5)
        if how == "recvfrom":
            found, _ = client.recvfrom(5)
        else:
            size, _ = client.recvfrom_into(buffer)
            found = bytes(buffer[:size])
        assert found == b"three", f"{how} passed over what was read already"
        found, _ = client.recvfrom(100)
        assert found == b", two", "the socket's own bytes come after that"


def test_peeking_at_what_came_behind_the_close_takes_nothing() -> None:
    with unwrapped_with_bytes_behind() as client:
        assert client.recv(2, socket.MSG_PEEK) == b"th", "peeked past what was read already"
        with pytest.raises(ValueError, match="negative"):
            client.recv(-1)
        assert read_to(client, b"two") == b"three, two"


def test_a_descriptor_is_not_given_away_while_bytes_wait_above_it() -> None:
    with unwrapped_with_bytes_behind() as client:
        with pytest.raises(ValueError, match="would be lost"):
            client.detach()
        assert read_to(client, b"two") == b"three, two"
        with socket.socket(fileno=client.detach()) as bare:
            assert bare.fileno() != -1


def test_bytes_behind_the_close_are_kept_when_the_bio_has_ended() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.unwrap()
    pair.to_client.write(pair.from_server.read() + b"in the clear")
    pair.to_client.write_eof()
    pair.client.unwrap()
    assert pair.client.connection.take_unread() == b"in the clear"


@pytest.mark.parametrize("over", ["a BIO", "a socket"])
def test_unwrap_of_a_failed_connection_fails_although_the_peer_has_closed(over: str) -> None:
    why = TLSError("given up")
    if over == "a BIO":
        pair = BIOPair.of(our_client(), our_server()).handshake()
        with pytest.raises(ssl.SSLWantReadError):
            pair.server.unwrap()
        pair.carry()
        assert pair.client.read(10) == b""
        pair.client.connection.abort(why)
        with pytest.raises(TLSError, match="given up"):
            pair.client.unwrap()
        return
    with socket_pair(our_client(), our_server()) as (client, server):
        server.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
        client.connection.abort(why)
        with pytest.raises(ssl.SSLError, match="given up"):
            client.unwrap()
        with pytest.raises(TLSError, match="given up"):
            client.send(b"not in the clear")


def test_bytes_from_before_the_handshake_are_refused() -> None:
    with tcp_pair() as (one, other):
        one.sendall(b"injected")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        select.select([other], [], [], SECONDS)
        assert other.recv(1, socket.MSG_PEEK) == b"i"
        # A socket that is half-open in the other direction is connected: its bytes are read as TLS, and are none.
        with pytest.raises(TLSError) as raised:
            our_server().wrap_socket(other, server_side=True)
        assert isinstance(raised.value, ssl.SSLError)


@pytest.mark.parametrize("make", [data_after_close, bad_write_retry])
def test_errors_of_wrong_calls_are_of_both_kinds_and_can_be_pickled(make: Any) -> None:
    error = make()
    assert isinstance(error, TLSError)
    assert isinstance(error, ssl.SSLError)
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, str(again), type(again)) == (error.reason, str(error), type(error))


def test_the_first_use_waits_for_a_change_that_is_for_everybody() -> None:
    context = our_client()
    began, done = threading.Event(), threading.Event()

    def use() -> None:
        began.set()
        context.connection("localhost", None)
        done.set()

    with context._lock:  # As while `set_alpn_protocols` is under way.
        using = beside(use)
        assert began.wait(SECONDS)
        assert not done.wait(0.05), "a connection was made of a configuration that was about to change"
    using.result()
