"""`quiet`: whether a loop that has called `receive` has anything to see to but the data."""

from __future__ import annotations

import pytest

from tests.support.identities import server_config, server_identity
from tests.support.memory import connect, pair
from tests.support.signers import LateSigner
from trustls import Connection, Credential, Tickets
from trustls.errors import ConnectionClosed, PeerMisbehaved, UnexpectedEOF


def test_data_leaves_a_connection_quiet() -> None:
    joined = connect()
    joined.client.send(b"some data")
    assert not joined.client.quiet, "it waits to be sent"
    data = joined.client.data_to_send()
    assert joined.client.quiet
    assert joined.server.receive(data[:10]) == b""
    assert joined.server.quiet, "a part of a record is nothing to see to"
    assert joined.server.receive(data[10:]) == b"some data"
    assert joined.server.quiet


def test_what_the_handshake_says_is_something_to_send() -> None:
    joined = pair(server=server_config(resumption=Tickets(count=1)))
    assert not joined.client.quiet
    joined.server.receive(joined.client.data_to_send())
    assert not joined.server.quiet
    joined.client.receive(joined.server.data_to_send())
    joined.server.receive(joined.client.data_to_send())
    assert not joined.server.quiet, "the ticket waits"
    joined.client.receive(joined.server.data_to_send())
    assert joined.client.quiet
    assert joined.server.quiet


def close(peer: Connection) -> bytes:
    peer.close()
    return peer.data_to_send()


@pytest.mark.parametrize("behind_data", [b"", b"data"])
def test_end_is_something_to_see_to(behind_data: bytes) -> None:
    joined = connect()
    joined.server.send(behind_data)
    assert joined.client.receive(joined.server.data_to_send() + close(joined.server)) == behind_data
    assert not joined.client.quiet


@pytest.mark.parametrize("behind_data", [b"", b"data"])
def test_failure_is_something_to_see_to(behind_data: bytes) -> None:
    joined = connect()
    joined.server.send(behind_data)
    received = joined.server.data_to_send() + b"\x17\x03\x03\x00\x20" + bytes(32)
    if behind_data:
        assert joined.client.receive(received) == behind_data
    else:
        with pytest.raises(PeerMisbehaved):
            joined.client.receive(received)
    joined.client.data_to_send()
    assert not joined.client.quiet


def test_lost_transport_is_something_to_see_to() -> None:
    client = connect().client
    with pytest.raises(UnexpectedEOF):
        client.receive_eof()
    assert not client.quiet


def test_work_of_the_application_is_something_to_see_to() -> None:
    identity = server_identity()
    late = Credential(identity.chain, LateSigner(identity.key))
    joined = pair(server=server_config(credentials=[late]))
    joined.server.receive(joined.client.data_to_send())
    joined.server.data_to_send()
    assert joined.server.pending_work == "sign"
    assert not joined.server.quiet
    joined.server.abort(ConnectionClosed("nobody awaits it"))
