"""How a connection ends: close_notify from either side, half-closed, and without one (RFC 9846 6.1)."""

from __future__ import annotations

import pytest

from tests.support.identities import client_config, client_credential, required, server_config
from tests.support.memory import Pair, connect, feed, pair, records
from tests.support.scripted import Record, say
from trustls.connection import Connection
from trustls.errors import ConnectionClosed, HandshakePending, PeerMisbehaved, UnexpectedEOF

both_roles = pytest.mark.parametrize("role", ["client", "server"])


def sides(joined: Pair, role: str) -> tuple[Connection, Connection]:
    """The one that the test is about, and its peer."""
    return (joined.client, joined.server) if role == "client" else (joined.server, joined.client)


@both_roles
def test_close_says_that_no_more_is_sent_once(role: str) -> None:
    joined = connect()
    closer, peer = sides(joined, role)
    closer.close()
    closer.close()
    assert len(records(said := closer.data_to_send())) == 1
    assert not peer.peer_closed
    assert peer.receive(said) == b""
    assert peer.peer_closed
    assert peer.failure is None
    assert not closer.peer_closed, "the other side may still send"


@both_roles
def test_side_that_closed_may_still_receive(role: str) -> None:
    joined = connect()
    closer, peer = sides(joined, role)
    closer.close()
    peer.receive(closer.data_to_send())
    peer.send(b"still here")
    assert closer.receive(peer.data_to_send()) == b"still here"
    peer.close()
    closer.receive(peer.data_to_send())
    assert closer.peer_closed
    closer.receive_eof()
    peer.receive_eof()
    assert closer.failure is None
    assert peer.failure is None


@both_roles
def test_side_that_closed_may_not_send(role: str) -> None:
    closer, _ = sides(connect(), role)
    closer.close()
    closer.data_to_send()
    with pytest.raises(ConnectionClosed, match="this side has sent its close_notify"):
        closer.send(b"more")
    with pytest.raises(ConnectionClosed):
        closer.update_keys()
    assert closer.data_to_send() == b""
    assert closer.failure is None, "the connection itself goes on"


@both_roles
def test_data_before_the_close_notify_is_given_and_after_it_ignored(role: str) -> None:
    """RFC 9846 6.1: "Any data received after a closure alert has been received MUST be ignored"."""
    joined = connect()
    receiver, closer = sides(joined, role)
    closer.send(b"before")
    say(closer, Record(21, b"\1\0"), Record(23, b"after"), Record(22, b"\0\0\0\0"))
    rest = closer.data_to_send()
    assert receiver.receive(rest) == b"before"
    assert receiver.receive(b"anything at all") == b""
    assert receiver.failure is None
    receiver.receive_eof()
    receiver.send(b"half-closed")
    assert len(records(receiver.data_to_send())) == 1


@both_roles
def test_level_of_a_close_notify_does_not_matter(role: str) -> None:
    joined = connect()
    receiver, closer = sides(joined, role)
    say(closer, Record(21, b"\2\0"))
    receiver.receive(closer.data_to_send())
    assert receiver.peer_closed


@both_roles
def test_end_without_a_close_notify_is_an_error(role: str) -> None:
    """What came may have been cut short by an attacker."""
    joined = connect()
    receiver, sender = sides(joined, role)
    sender.send(b"some of it")
    assert receiver.receive(sender.data_to_send()) == b"some of it"
    for _ in range(2):
        with pytest.raises(UnexpectedEOF, match="without a close_notify") as raised:
            receiver.receive_eof()
        assert raised.value is receiver.failure
    assert isinstance(receiver.failure, EOFError)
    assert receiver.data_to_send() == b"", "nobody is left to read an alert"


@both_roles
def test_end_inside_a_record_is_an_error_although_data_came(role: str) -> None:
    joined = connect()
    receiver, sender = sides(joined, role)
    sender.send(b"one")
    sender.send(b"two")
    assert receiver.receive(sender.data_to_send()[:-1]) == b"one"
    with pytest.raises(UnexpectedEOF):
        receiver.receive_eof()


@pytest.mark.parametrize("steps", [0, 1])
@both_roles
def test_end_during_the_handshake_is_an_error(role: str, steps: int) -> None:
    joined = pair()
    for _ in range(steps):
        feed(joined.server, [joined.client.data_to_send()])
    connection, _ = sides(joined, role)
    with pytest.raises(UnexpectedEOF, match="during the handshake"):
        connection.receive_eof()
    assert not connection.handshaking
    assert connection.peer is None


def test_end_after_a_failure_raises_the_failure() -> None:
    joined = connect()
    feed(joined.client, [b"\x16\3\3\0\1\0"])
    with pytest.raises(PeerMisbehaved):
        joined.client.receive_eof()


@both_roles
def test_nothing_but_the_close_notify_follows_a_close_during_the_handshake(role: str) -> None:
    """Whatever the peer says afterwards: who closed has said that it sends no more."""
    joined = pair(server_config(client_auth=required()), client_config(credentials=[client_credential()]))
    if role == "client":
        hello = joined.client.data_to_send()
        joined.client.close()
        assert len(records(joined.client.data_to_send())) == 1
        feed(joined.server, [hello])
        feed(joined.client, [joined.server.data_to_send()])
        assert joined.client.data_to_send() == b"", "a handshake flight follows the close_notify"
    else:
        joined.server.close()
        assert len(records(joined.server.data_to_send())) == 1
        feed(joined.server, [joined.client.data_to_send()])
        assert joined.server.data_to_send() == b"", "a handshake flight follows the close_notify"


@both_roles
def test_peer_is_told_of_a_close_during_the_handshake(role: str) -> None:
    joined = pair()
    if role == "server":
        joined.step()
    closer, peer = sides(joined, role)
    feed(closer, [peer.data_to_send()])
    closer.close()
    feed(peer, [closer.data_to_send()])
    assert peer.failure is None or isinstance(peer.failure, UnexpectedEOF)
    assert peer.peer_closed


@both_roles
def test_before_the_handshake_is_done_nothing_can_be_sent_or_asked(role: str) -> None:
    connection, _ = sides(pair(), role)
    connection.data_to_send()
    for call in (
        lambda: connection.send(b"x"),
        lambda: connection.info,
        lambda: connection.export("EXPORTER-test", 32),
        connection.update_keys,
    ):
        with pytest.raises(HandshakePending):
            call()
    assert connection.handshaking
    assert connection.peer is None
    assert not connection.peer_closed
    assert connection.data_to_send() == b"", "a call that was refused left something to send"


@both_roles
def test_facts_stay_after_the_end(role: str) -> None:
    joined = connect()
    connection, _ = sides(joined, role)
    info, exported = connection.info, connection.export("EXPORTER-test", 32)
    with pytest.raises(UnexpectedEOF):
        connection.receive_eof()
    assert connection.info is info
    assert connection.export("EXPORTER-test", 32) == exported
