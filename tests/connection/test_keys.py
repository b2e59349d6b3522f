"""Keys that change: on demand, on request, and before one has sealed as much as it may (RFC 9846 4.7.3, 5.5)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import client_config, server_config
from tests.support.memory import Pair, connect, feed, records, sending_secret
from tests.support.scripted import say
from trustls.connection import Connection
from trustls.crypto.aead import TLS13_SUITES, Aead, Buffer, SuiteAlgorithms
from trustls.crypto.provider import CryptoProvider
from trustls.errors import DecodeError, Misbehaviour, PeerMisbehaved
from trustls.wire.messages import KeyUpdate

pytestmark = COMPARES_BYTES

both_roles = pytest.mark.parametrize("role", ["client", "server"])


def sides(joined: Pair, role: str) -> tuple[Connection, Connection]:
    """The one that the test is about, and its peer."""
    return (joined.client, joined.server) if role == "client" else (joined.server, joined.client)


class CountingAead:
    """An AEAD that counts what each of its keys seals."""

    def __init__(self, new: Callable[[bytes], Aead], key: bytes, sealed: Counter[bytes]) -> None:
        self._aead = new(key)
        self._key = key
        self._sealed = sealed
        self.decrypt = self._aead.decrypt
        self.decrypt_into = self._aead.decrypt_into

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes:
        self._sealed[self._key] += 1
        return self._aead.encrypt(nonce, data, associated_data)

    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int:
        self._sealed[self._key] += 1
        return self._aead.encrypt_into(nonce, data, associated_data, buf)


def provider_with_limit(limit: int, sealed: Counter[bytes]) -> CryptoProvider:
    """A provider whose keys last for `limit` records, and that counts them."""

    def limited(suite: SuiteAlgorithms) -> SuiteAlgorithms:
        new = suite.new_aead
        return dataclasses.replace(suite, record_limit=limit, new_aead=lambda key: CountingAead(new, key, sealed))

    return CryptoProvider(suites=tuple(map(limited, TLS13_SUITES)))


def limited_pair(limit: int) -> tuple[Pair, Counter[bytes]]:
    """A connected pair, and how many records each key has sealed."""
    sealed: Counter[bytes] = Counter()
    provider = provider_with_limit(limit, sealed)
    return connect(server_config(provider=provider), client_config(provider=provider)), sealed


@both_roles
@pytest.mark.parametrize("request_peer", [False, True])
def test_update_changes_the_keys_and_data_goes_on(role: str, request_peer: bool) -> None:
    joined = connect()
    updater, peer = sides(joined, role)
    for _ in range(5):
        before = sending_secret(updater)
        updater.send(b"before")
        updater.update_keys(request_peer=request_peer)
        updater.send(b"after")
        assert sending_secret(updater) != before
        assert feed(peer, [updater.data_to_send()]) == b"beforeafter"
        joined.check_connected()


@both_roles
@pytest.mark.parametrize("request_peer", [False, True])
def test_update_is_answered_before_the_next_data_when_that_is_asked_for(role: str, request_peer: bool) -> None:
    """RFC 9846 4.7.3. Until there is data an answer protects nothing, and who asks and does not read costs nothing."""
    joined = connect()
    asking, asked = sides(joined, role)
    before = sending_secret(asked)
    asking.update_keys(request_peer=request_peer)
    feed(asked, [asking.data_to_send()])
    assert asked.data_to_send() == b""
    asked.send(b"data")
    answer = asked.data_to_send()
    assert len(records(answer)) == (2 if request_peer else 1)
    assert (sending_secret(asked) != before) == request_peer
    assert feed(asking, [answer]) == b"data"
    asked.send(b"more")
    assert len(records(answer := asked.data_to_send())) == 1, "it was answered already"
    assert feed(asking, [answer]) == b"more"


def test_updates_of_both_sides_may_cross() -> None:
    joined = connect()
    joined.client.update_keys(request_peer=True)
    joined.server.update_keys(request_peer=True)
    joined.client.send(b"from the client")
    joined.server.send(b"from the server")
    joined.run()
    assert joined.server_got == b"from the client"
    assert joined.client_got == b"from the server"
    joined.check_connected()


@both_roles
def test_flood_of_update_requests_is_answered_once(role: str) -> None:
    """One answer serves all requests that came before it."""
    joined = connect()
    victim, sender = sides(joined, role)
    for _ in range(30):
        sender.update_keys(request_peer=True)
    feed(victim, [sender.data_to_send()])
    assert victim.failure is None
    victim.send(b"data")
    answer = victim.data_to_send()
    assert len(records(answer)) == 2, "one KeyUpdate, and the data"
    assert feed(sender, [answer]) == b"data"
    joined.check_connected()


@both_roles
def test_update_of_ones_own_answers_the_request_of_the_other(role: str) -> None:
    joined = connect()
    asking, asked = sides(joined, role)
    asking.update_keys(request_peer=True)
    feed(asked, [asking.data_to_send()])
    asked.update_keys(request_peer=False)
    asked.send(b"data")
    answer = asked.data_to_send()
    assert len(records(answer)) == 2
    assert feed(asking, [answer]) == b"data"


@both_roles
def test_flood_of_update_requests_without_data_is_refused(role: str) -> None:
    joined = connect()
    victim, sender = sides(joined, role)
    for _ in range(100):
        sender.update_keys(request_peer=True)
        feed(victim, [sender.data_to_send()])
    failure = victim.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.TOO_MANY_POST_HANDSHAKE_MESSAGES


@both_roles
def test_update_with_another_request_is_refused(role: str) -> None:
    joined = connect()
    victim, sender = sides(joined, role)
    say(sender, b"\x18\0\0\1\2")
    feed(victim, [sender.data_to_send()])
    assert isinstance(victim.failure, PeerMisbehaved)
    assert victim.failure.reason is Misbehaviour.BAD_KEY_UPDATE


@both_roles
@pytest.mark.parametrize("raw", [b"\x18\0\0\0", b"\x18\0\0\2\0\0"], ids=["empty", "two bytes"])
def test_update_of_another_length_is_a_decode_error(role: str, raw: bytes) -> None:
    joined = connect()
    victim, sender = sides(joined, role)
    say(sender, raw)
    feed(victim, [sender.data_to_send()])
    assert isinstance(victim.failure, DecodeError)


@both_roles
def test_peer_that_goes_on_with_its_old_keys_is_refused(role: str) -> None:
    joined = connect()
    victim, sender = sides(joined, role)
    say(sender, KeyUpdate(update_requested=False))  # And then the sender forgets to change.
    sender.send(b"under the old keys")
    assert feed(victim, [sender.data_to_send()]) == b""
    assert isinstance(victim.failure, PeerMisbehaved)
    assert victim.failure.reason is Misbehaviour.BAD_RECORD_MAC


@both_roles
def test_request_that_comes_after_this_side_has_closed_is_not_answered(role: str) -> None:
    joined = connect()
    closer, peer = sides(joined, role)
    closer.close()
    closer.data_to_send()
    peer.update_keys(request_peer=True)
    peer.send(b"still here")
    assert feed(closer, [peer.data_to_send()]) == b"still here"
    assert closer.data_to_send() == b"", "something follows the close_notify"


# -- Limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [2, 3, 8, 20])
@pytest.mark.parametrize("size", [1, 2049, 16384, 16385, 65449, 150_000, 1_200_000])
def test_no_key_seals_more_records_than_its_limit(limit: int, size: int) -> None:
    joined, sealed = limited_pair(limit)
    sealed.clear()
    data = bytes(size)
    for _ in range(4):
        joined.client.send(data)
        assert feed(joined.server, [joined.client.data_to_send()]) == data
        joined.client_got += feed(joined.client, [joined.server.data_to_send()])
    assert joined.client.failure is None
    assert joined.server.failure is None
    assert max(sealed.values()) <= limit, f"a key for {limit} records sealed {max(sealed.values())}"


@both_roles
def test_keys_change_by_themselves_and_nothing_is_lost(role: str) -> None:
    joined, sealed = limited_pair(10)
    sender, receiver = sides(joined, role)
    sent = bytearray()
    got = bytearray()
    for number in range(100):
        data = bytes([number]) * (number * 97)
        sender.send(data)
        sent += data
        got += feed(receiver, [sender.data_to_send()])
        feed(sender, [receiver.data_to_send()])
    assert got == sent
    assert len(sealed) > 8, "the keys were never changed"
    joined.check_connected()


@given(sizes=st.lists(st.integers(0, 70_000), min_size=1, max_size=8), limit=st.integers(2, 12))
def test_data_arrives_whatever_the_sizes_and_the_limit(sizes: list[int], limit: int) -> None:
    joined, _ = limited_pair(limit)
    sent = [bytes([index + 1]) * size for index, size in enumerate(sizes)]
    for message in sent:
        joined.client.send(message)
        joined.server.send(message)
    joined.run()
    assert joined.server_got == joined.client_got == b"".join(sent)


def test_receiver_asks_for_new_keys_when_the_sender_does_not_change_its_own() -> None:
    """A peer that never changes its keys is asked to, once, until it has answered."""
    joined = connect(server_config(provider=provider_with_limit(5, Counter())))
    asked = 0
    for _ in range(40):
        joined.client.send(b"data")
        feed(joined.server, [joined.client.data_to_send()])
        request = joined.server.data_to_send()
        asked += len(records(request))
        feed(joined.client, [request])
    assert joined.server.failure is None
    assert 4 <= asked <= 16, f"40 records under keys for 5, and new ones were asked for {asked} times"
    joined.check_connected()


def test_receiver_asks_once_while_it_waits_for_the_answer() -> None:
    joined = connect(server_config(provider=provider_with_limit(5, Counter())))
    asked = 0
    for _ in range(40):
        joined.client.send(b"data")
        feed(joined.server, [joined.client.data_to_send()])
        asked += len(records(joined.server.data_to_send()))  # And it never arrives.
    assert asked == 1
