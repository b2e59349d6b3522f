"""However bytes are delivered - one by one, all at once, in any pieces - the result is the same."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import client_config, client_credential, required, server_config
from tests.support.memory import Pair, Split, byte_by_byte, check_refused, feed, pair, record_by_record, split_at, whole
from trustls.errors import CertificateProblem, CertificateRejected
from trustls.handshake.retry_cookie import RetryCookies

pytestmark = COMPARES_BYTES

# With a retry, a cookie, client certificates and classical groups: every message there is, and as small as they are.
SERVER = server_config(client_auth=required(), groups=["secp256r1"], retry_cookies=RetryCookies(), alpn=["h2"])
# Without sessions, since all connections are to be the same: what is resumed has no retry and no certificates.
CLIENT = client_config(credentials=[client_credential()], groups=["x25519", "secp256r1"], alpn=["h2"], sessions=None)

DATA = [b"one", b"", b"two" * 10_000, b"three"]


def talk(joined: Pair) -> dict[str, object]:
    """A whole connection: handshake, data and KeyUpdates both ways, close; and what is known at the end."""
    joined.run()
    for sender in (joined.client, joined.server):
        for data in DATA:
            sender.send(data)
        sender.update_keys()
        sender.send(b"after the update")
        sender.close()
    joined.run()
    assert joined.client.export("EXPORTER-test", 32) == joined.server.export("EXPORTER-test", 32)
    return {
        "client": (joined.client.failure, joined.client.peer_closed, joined.client.info, joined.client.peer),
        "server": (joined.server.failure, joined.server.peer_closed, joined.server.info, joined.server.peer),
        "requested": joined.client.requested,
        "received": (bytes(joined.client_got), bytes(joined.server_got)),
    }


@functools.cache
def expected() -> dict[str, object]:
    """What comes of it when everything is delivered at once."""
    return talk(pair(SERVER, CLIENT))


def check_delivery(split: Split) -> None:
    joined = pair(SERVER, CLIENT)
    joined.split = split
    assert talk(joined) == expected()


def test_expectation_is_a_connection_that_worked() -> None:
    """Guards the comparison: two connections that fail the same way would compare equal too."""
    received = b"".join(DATA) + b"after the update"
    assert expected()["received"] == (received, received)
    for side in ("client", "server"):
        failure, peer_closed, info, peer = expected()[side]  # type: ignore[misc]
        assert (failure, peer_closed, info.retried, info.alpn) == (None, True, True, "h2")  # type: ignore[has-type]
        assert peer is not None  # type: ignore[has-type]


@pytest.mark.parametrize(
    "split", [whole, byte_by_byte, record_by_record], ids=["coalesced", "byte by byte", "by record"]
)
def test_result_does_not_depend_on_delivery(split: Split) -> None:
    check_delivery(split)


@given(sizes=st.lists(st.integers(1, 40_000) | st.integers(1, 30), min_size=1, max_size=20))
def test_result_does_not_depend_on_pieces_of_any_size(sizes: list[int]) -> None:
    check_delivery(split_at(sizes))


@given(limits=st.lists(st.integers(1, 3000), min_size=1, max_size=10))
def test_result_does_not_depend_on_how_much_is_taken_at_a_time(limits: list[int]) -> None:
    joined = pair(SERVER, CLIENT)
    turn = 0
    for _ in range(10_000):
        moved = False
        for side, got in ((joined.client, joined.server_got), (joined.server, joined.client_got)):
            limit = limits[turn % len(limits)]
            turn += 1
            piece = side.data_to_send(limit)
            assert len(piece) <= limit
            if piece:
                moved = True
                got.extend(feed(joined.other(side), [piece]))
        if not moved:
            break
    joined.check_connected()


@pytest.mark.parametrize("split", [whole, byte_by_byte], ids=["coalesced", "byte by byte"])
def test_refusal_does_not_depend_on_delivery(split: Split) -> None:
    joined = pair(SERVER, client_config(groups=["x25519", "secp256r1"], alpn=["h2"]))
    joined.split = split
    joined.run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)


def test_large_delivery_gives_all_its_data_at_once() -> None:
    joined = pair(SERVER, CLIENT).run()
    joined.client.send(bytes(3_000_000))
    stream = joined.client.data_to_send()
    assert len(joined.server.receive(stream)) == 3_000_000


def test_what_was_received_does_not_change_when_more_comes() -> None:
    """Buffers are shared between connections: what was given away must be a copy."""
    joined = pair(SERVER, CLIENT).run()
    joined.client.send(b"a" * 30_000)
    first = joined.server.receive(joined.client.data_to_send())
    joined.client.send(b"b" * 30_000)
    joined.server.receive(joined.client.data_to_send())
    assert first == b"a" * 30_000
