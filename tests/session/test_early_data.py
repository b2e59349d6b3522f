"""Early data (0-RTT): off unless both want it, apart from other data, bounded, taken once, given back when refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.resuming import (
    Clock,
    LateSessions,
    OneSession,
    check_full,
    check_resumed,
    demanding,
    liar,
    meet,
    sent,
    settled,
)
from tests.support.identities import client_config, client_credential, server_config
from tests.support.memory import (
    Pair,
    byte_by_byte,
    check_refused,
    connect,
    feed,
    pair,
    plain_record,
    record_by_record,
    records,
    split_at,
)
from tests.support.scripted import Item, NewRecord, Record, ScriptedClient, ScriptedServer, on, say
from tests.support.tls12 import handshake
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import (
    AlertReceived,
    ConnectionClosed,
    EarlyDataUnavailable,
    HandshakePending,
    Misbehaviour,
    PeerMisbehaved,
    UnexpectedEOF,
)
from trustls.handshake.client_sessions import bind, offered_psks
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.psk import ExternalPsk
from trustls.session.store import MemorySessions
from trustls.session.tickets import StoredSessions, Tickets
from trustls.wire.enums import CipherSuite, ContentType
from trustls.wire.extensions import PskIdentity
from trustls.wire.messages import (
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    NewSessionTicket,
    ServerHello,
)

LIMIT: Final = 1000
DATA: Final = b"GET / HTTP/1.1\r\n\r\n"


def taking(limit: int = LIMIT, *, policy: dict[str, Any] | None = None, **changes: Any) -> ServerConfig:
    """A server that requires certificates, and takes early data."""
    return demanding(resumption=StoredSessions(max_early_data=limit, **(policy or {})), **changes)


def eager(**changes: Any) -> ClientConfig:
    """A client with a certificate that may send early data."""
    return client_config(**{"credentials": [client_credential()], "early_data": True, **changes})


def met(server: ServerConfig, **changes: Any) -> ClientConfig:
    """A client that has sessions of this server."""
    client = eager(**changes)
    connect(server, client)
    return client


def early(server: ServerConfig, client: ClientConfig, data: bytes = DATA) -> Pair:
    """A pair in which the client has written early data; nothing was carried yet."""
    joined = pair(server, client)
    joined.client.write_early(data)
    return joined


def check_taken(joined: Pair, data: bytes = DATA) -> Pair:
    """The server took it, and gives it apart from all other data."""
    check_resumed(joined)
    assert joined.client.early_data_accepted is True
    assert joined.server.early_data_accepted is True
    assert bytes(joined.server_got) == b"", "early data came out of receive()"
    assert joined.server.read_early() == data
    assert joined.server.read_early() == b"", "it is given once"
    assert joined.client.take_rejected_early_data() == b"", "there is nothing to be sent again"
    return joined


def check_passed_over(joined: Pair, data: bytes = DATA) -> Pair:
    """The server did not take it, the handshake went on, and the client can send it again."""
    joined.check_connected()
    assert joined.client.early_data_accepted is False
    assert joined.server.early_data_accepted is False
    assert joined.server.read_early() == b"", "what was refused was given out"
    assert bytes(joined.server_got) == b""
    again = joined.client.take_rejected_early_data()
    assert again == data, "the client gets back what it sent"
    assert joined.client.take_rejected_early_data() == b"", "once"
    joined.client.send(again)
    joined.run()
    assert bytes(joined.server_got) == data, "sent again, as ordinary data"
    return joined


# -- Off by default ---------------------------------------------------------------------------------------------------


def test_early_data_is_off_by_default_on_both_sides() -> None:
    assert not client_config().early_data
    assert StoredSessions().max_early_data == 0
    for server, client in (
        (taking(), eager(early_data=False)),
        (demanding("stored"), eager()),
        (demanding("tickets"), eager()),
    ):
        connect(server, client)
        joined = pair(server, client)
        assert joined.client.early_data_limit == 0
        with pytest.raises(EarlyDataUnavailable):
            joined.client.write_early(DATA)
        joined.run()
        check_resumed(joined)
        assert joined.client.early_data_accepted is None
        assert joined.server.early_data_accepted is None
        assert joined.server.read_early() == b""


def test_first_connection_has_no_early_data() -> None:
    joined = pair(taking(), eager())
    assert joined.client.early_data_limit == 0
    with pytest.raises(EarlyDataUnavailable, match="0 can"):
        joined.client.write_early(b"x")
    check_full(joined.run())


def test_ticket_says_how_much_early_data_is_allowed() -> None:
    for limit in (0, 1, 5000):
        store = OneSession()
        connect(taking(limit), eager(sessions=store))
        assert [session.max_early_data for session in store.kept] == [limit, limit]


@pytest.mark.parametrize("versions", [["1.2"], ["1.2", "1.3"]])
def test_tls12_has_no_early_data(versions: list[str]) -> None:
    server = taking(versions=["1.2"])
    client = met(server, versions=versions)
    joined = pair(server, client)
    assert joined.client.early_data_limit == 0
    with pytest.raises(EarlyDataUnavailable):
        joined.client.write_early(DATA)
    check_resumed(joined.run())


# -- Taken ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 100, LIMIT])
def test_early_data_is_taken(size: int) -> None:
    server = taking()
    client = met(server)
    data = bytes(index % 251 for index in range(size))
    check_taken(early(server, client, data).run(), data)


def test_early_data_goes_out_with_the_hello_and_is_there_before_the_handshake_is_over() -> None:
    server = taking()
    joined = early(server, met(server))
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.server.handshaking
    assert joined.server.read_early() == DATA
    joined.run()
    check_resumed(joined)


def test_early_data_is_encrypted() -> None:
    server = taking()
    flight = early(server, met(server)).client.data_to_send()
    assert DATA not in flight
    kinds = [record.content_type for record in records(flight)]
    assert kinds == [ContentType.HANDSHAKE, ContentType.CHANGE_CIPHER_SPEC, ContentType.APPLICATION_DATA]


@pytest.mark.parametrize("split", [byte_by_byte, record_by_record, split_at([7, 100])])
def test_early_data_does_not_depend_on_how_it_is_delivered(split: Any) -> None:
    server = taking()
    joined = early(server, met(server))
    joined.split = split
    check_taken(joined.run())


def test_early_and_ordinary_data_never_mix() -> None:
    """Two ways in, two ways out; ordinary data waits for the handshake."""
    server = taking()
    joined = early(server, met(server), b"early 1 ")
    with pytest.raises(HandshakePending):
        joined.client.send(b"ordinary")
    joined.client.write_early(b"early 2")
    joined.run()
    joined.client.send(b"ordinary")
    joined.run()
    assert bytes(joined.server_got) == b"ordinary"
    assert joined.server.read_early() == b"early 1 early 2"


def test_early_data_may_be_read_in_pieces_as_it_comes() -> None:
    server = taking()
    joined = pair(server, met(server))
    got = []
    for number in range(3):
        joined.client.write_early(b"piece %d" % number)
        feed(joined.server, [joined.client.data_to_send()])
        got.append(joined.server.read_early())
    assert got == [b"piece 0", b"piece 1", b"piece 2"]
    check_resumed(joined.run())


def test_identity_of_the_first_connection_comes_with_early_data() -> None:
    """Who sent it is known: the client of the session, though no certificate was shown again."""
    server = taking()
    joined = check_taken(early(server, met(server)).run())
    assert joined.server.peer is not None
    assert joined.server.peer.certificate == client_credential().certificate


def test_early_data_can_be_sent_on_each_connection_with_a_new_session() -> None:
    server = taking()
    client = met(server)
    for number in range(5):
        data = b"request %d" % number
        check_taken(early(server, client, data).run(), data)


def test_key_log_has_the_early_secret_on_both_sides() -> None:
    logged: dict[str, list[tuple[str, bytes, bytes]]] = {"client": [], "server": []}

    class Log:
        def __init__(self, side: str) -> None:
            self.side = side

        def log(self, label: str, client_random: bytes, secret: bytes) -> None:
            logged[self.side].append((label, client_random, secret))

    server = taking(key_log=Log("server"))
    client = met(server, key_log=Log("client"))
    for lines in logged.values():
        lines.clear()
    check_taken(early(server, client).run())
    assert sorted(logged["client"]) == sorted(logged["server"])
    assert "CLIENT_EARLY_TRAFFIC_SECRET" in {label for label, _, _ in logged["client"]}


# -- Answered before the client's Finished ----------------------------------------------------------------------------


def half_way(server: ServerConfig | None = None, client: ClientConfig | None = None) -> Pair:
    """A server that has the client's first flight with its early data, and its own flight ready."""
    server = server or taking()
    joined = early(server, client or met(server))
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.server.handshaking
    return joined


@pytest.mark.parametrize("answer", [b"answer", b"", bytes(100_000)], ids=len)
def test_server_that_took_early_data_may_answer_at_once(answer: bytes) -> None:
    """RFC 9846 2.3, 4.5.3: behind its Finished; it knows the client by the session. That saves the round trip."""
    joined = half_way()
    assert joined.server.early_data_accepted
    joined.server.send(answer)
    flight = joined.server.data_to_send()
    assert answer[:20] not in flight or not answer, "it goes out in the clear"
    assert feed(joined.client, [flight]) == answer
    assert joined.server.handshaking, "nothing of the client's has come since"
    joined.server.send(b" and more")
    joined.run()
    assert bytes(joined.client_got) == b" and more"
    check_taken(joined)


@pytest.mark.parametrize("split", [byte_by_byte, record_by_record, split_at([7, 100])])
def test_early_answer_does_not_depend_on_how_it_is_delivered(split: Any) -> None:
    joined = half_way()
    joined.server.send(b"answer")
    joined.split = split
    joined.run()
    assert bytes(joined.client_got) == b"answer"
    check_taken(joined)


def test_more_early_data_may_come_between_the_answers() -> None:
    server = taking()
    joined = pair(server, met(server))
    for number in range(3):
        joined.client.write_early(b"question %d" % number)
        feed(joined.server, [joined.client.data_to_send()])
        assert joined.server.read_early() == b"question %d" % number
        joined.server.send(b"answer %d " % number)
    joined.run()
    assert bytes(joined.client_got) == b"answer 0 answer 1 answer 2 "
    check_resumed(joined)


def first_connection() -> Pair:
    return pair(taking(), eager())


def resumed_without_early_data() -> Pair:
    server = taking()
    return pair(server, met(server, early_data=False))


def refused_early_data() -> Pair:
    store = MemorySessions()
    client = met(taking(policy={"store": store}))
    return early(taking(0, policy={"store": store}), client)


def replayed_early_data() -> Pair:
    server = taking()
    joined = early(server, met(server))
    flight = joined.client.data_to_send()
    feed(ServerConnection(server), [flight])
    feed(joined.server, [flight])
    return joined


@pytest.mark.parametrize(
    "begin",
    [first_connection, resumed_without_early_data, refused_early_data, replayed_early_data],
    ids=lambda begin: begin.__name__,
)
def test_server_that_took_no_early_data_waits_for_the_clients_finished(begin: Any) -> None:
    """Who is on the other side is not known, or not for certain, before that."""
    joined = begin()
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.server.handshaking
    with pytest.raises(HandshakePending):
        joined.server.send(b"too early")
    joined.run().check_connected()
    assert bytes(joined.client_got) == b""


def test_nothing_is_sent_before_a_hello_has_come() -> None:
    with pytest.raises(HandshakePending):
        ServerConnection(taking()).send(b"too early")


def test_client_waits_for_the_servers_finished_whatever_it_wrote_early() -> None:
    server = taking()
    joined = early(server, met(server))
    with pytest.raises(HandshakePending):
        joined.client.send(b"too early")


def test_all_else_waits_for_the_clients_finished() -> None:
    """RFC 9846 4.7.3: no KeyUpdate before it. And nobody may think that the handshake is done."""
    joined = half_way()
    server = joined.server
    calls: list[Any] = [
        server.update_keys,
        lambda: server.update_keys(request_peer=False),
        lambda: server.info,
        lambda: server.export("EXPORTER-test", 32),
    ]
    for call in calls:
        with pytest.raises(HandshakePending):
            call()
    assert server.failure is None
    check_taken(joined.run())


def test_server_that_closed_or_failed_half_way_sends_no_more() -> None:
    joined = half_way()
    joined.server.close()
    with pytest.raises(ConnectionClosed):
        joined.server.send(b"behind the end")
    joined = half_way()
    feed(joined.server, [plain_record(23, bytes(50))])
    assert isinstance(joined.server.failure, PeerMisbehaved)
    with pytest.raises(PeerMisbehaved):
        joined.server.send(b"behind the end")


def test_answer_that_went_out_early_is_not_taken_back_by_a_bad_finished() -> None:
    """The client that had the session could read it; the connection ends all the same."""
    server = taking()
    scripted = ScriptedClient(met(server), on(Finished, lambda message: (replace(message, verify_data=bytes(48)),)))
    scripted.write_early(DATA)
    joined = Pair(scripted, ServerConnection(server))
    feed(joined.server, [scripted.data_to_send()])
    joined.server.send(b"answer")
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_FINISHED)
    assert bytes(joined.client_got) == b"answer"


# -- The limit --------------------------------------------------------------------------------------------------------


def test_client_keeps_to_the_limit_of_its_ticket() -> None:
    server = taking(10)
    joined = pair(server, met(server))
    assert joined.client.early_data_limit == 10
    with pytest.raises(EarlyDataUnavailable, match="11 bytes of early data cannot be sent, 10 can"):
        joined.client.write_early(b"12345678901")
    joined.client.write_early(b"123456")
    assert joined.client.early_data_limit == 4
    with pytest.raises(EarlyDataUnavailable):
        joined.client.write_early(b"12345")
    joined.client.write_early(b"7890")
    assert joined.client.early_data_limit == 0
    check_taken(joined.run(), b"1234567890")


@pytest.mark.parametrize("pieces", [[11], [10, 1], [1] * 11, [5, 6], [0, 11], [16_000]])
def test_server_enforces_the_limit(pieces: list[int]) -> None:
    """A client that believes in a larger one: its ticket's limit is changed in its store."""
    server = taking(10)
    store = OneSession()
    client = met(server, sessions=store)
    store.offer(max_early_data=1 << 20)
    joined = pair(server, client)
    for size in pieces:
        joined.client.write_early(bytes(size))
    joined.run()
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"taken: {failure!r}"
    assert failure.reason is Misbehaviour.TOO_MUCH_EARLY_DATA
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.TOO_MUCH_EARLY_DATA)
    assert len(joined.server.read_early()) <= 10


def test_server_whose_limit_was_lowered_takes_no_more_than_that() -> None:
    store = MemorySessions()
    client = met(taking(policy={"store": store}))
    joined = early(taking(5, policy={"store": store}), client, b"123456").run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.TOO_MUCH_EARLY_DATA)


def test_server_that_takes_none_any_more_passes_it_over() -> None:
    store = MemorySessions()
    client = met(taking(policy={"store": store}))
    joined = early(taking(0, policy={"store": store}), client).run()
    check_resumed(joined)
    check_passed_over(joined)


def test_padding_does_not_count() -> None:
    """RFC 9846 4.7.1: only the data does."""
    server = taking(10)
    client = met(server, pad_records_to=500)
    check_taken(early(server, client, b"1234567890").run(), b"1234567890")


def test_empty_writes_are_nothing() -> None:
    server = taking()
    client = met(server)
    joined = pair(server, client)
    before = joined.client.data_to_send()
    joined.client.write_early(b"")
    assert joined.client.data_to_send() == b""
    feed(joined.server, [before])
    joined.run()
    joined.client.write_early(b"")
    assert joined.client.data_to_send() == b"", "not even after the handshake"


def test_flood_of_empty_early_records_is_refused() -> None:
    server = taking()
    joined = pair(server, met(server))
    say(joined.client, *[Record(ContentType.APPLICATION_DATA, b"")] * 33)
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.TOO_MANY_EMPTY_RECORDS)


def test_much_early_data_costs_no_more_than_its_length() -> None:
    """Kept by both sides until it is known what becomes of it: in one buffer, not in copies of copies."""
    server = taking(1 << 22)
    joined = pair(server, met(server))
    for _ in range(20_000):
        joined.client.write_early(bytes(200))
    joined.run()
    assert joined.client.early_data_accepted
    assert len(joined.server.read_early()) == 4_000_000


# -- offer_early ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10, 11, 5000])
def test_offer_early_sends_what_fits_and_gives_back_the_rest(size: int) -> None:
    server = taking(10)
    data = bytes(index % 251 for index in range(size))
    joined = pair(server, met(server))
    joined.client.offer_early(data)
    joined.run().check_connected()
    assert joined.server.read_early() == data[:10]
    assert joined.client.take_rejected_early_data() == data[10:]


def test_offer_early_without_a_session_gives_back_everything() -> None:
    joined = pair(taking(), eager())
    joined.client.offer_early(DATA)
    joined.run().check_connected()
    assert joined.server.read_early() == b""
    assert joined.client.take_rejected_early_data() == DATA


def test_offer_early_that_is_refused_gives_back_everything_in_order() -> None:
    store = MemorySessions()
    server = taking(10, policy={"store": store})
    client = met(server)
    store._sessions.clear()
    joined = pair(server, client)
    joined.client.offer_early(b"0123456")
    joined.client.offer_early(b"789abc")
    joined.client.offer_early(b"def")
    joined.run().check_connected()
    assert joined.client.early_data_accepted is False
    assert joined.client.take_rejected_early_data() == b"0123456789abcdef"


def test_offer_early_twice_loses_nothing_when_it_is_taken() -> None:
    server = taking(3)
    joined = pair(server, met(server))
    joined.client.offer_early(b"abcdef")
    joined.client.offer_early(b"ghi")
    joined.run().check_connected()
    assert joined.server.read_early() + joined.client.take_rejected_early_data() == b"abcdefghi"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_early_data_of_any_bytes_like_type(kind: Any) -> None:
    server = taking(10)
    joined = pair(server, met(server))
    joined.client.offer_early(kind(b"0123456789abc"))
    joined.run().check_connected()
    assert joined.server.read_early() == b"0123456789"
    assert joined.client.take_rejected_early_data() == b"abc"


def test_what_was_refused_is_not_lost_by_asking_too_early() -> None:
    store = MemorySessions()
    server = taking(policy={"store": store})
    client = met(server)
    store._sessions.clear()
    joined = early(server, client)
    assert joined.client.early_data_accepted is None
    assert joined.client.take_rejected_early_data() == b"", "not known yet"
    joined.run()
    assert joined.client.take_rejected_early_data() == DATA


def test_early_data_after_its_time_is_refused() -> None:
    server = taking()
    joined = early(server, met(server)).run()
    for _ in range(2):
        assert joined.client.early_data_limit == 0
        with pytest.raises(EarlyDataUnavailable):
            joined.client.write_early(b"x")
    check_taken(joined)


def test_early_data_on_a_connection_that_failed() -> None:
    server = taking()
    joined = early(server, met(server))
    joined.client.close()
    assert joined.client.early_data_limit == 0
    with pytest.raises(ConnectionClosed):
        joined.client.write_early(b"x")


# -- Refused, and the handshake goes on -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, LIMIT, 200_000])
def test_early_data_of_a_session_that_is_gone_is_passed_over(size: int) -> None:
    store = MemorySessions()
    server = taking(size, policy={"store": store})
    client = met(server)
    store._sessions.clear()
    joined = early(server, client, bytes(size)).run()
    check_full(joined)
    check_passed_over(joined, bytes(size))
    assert joined.server.peer is not None, "the certificate was asked for"


def test_early_data_in_many_small_records_is_passed_over() -> None:
    store = MemorySessions()
    server = taking(5000, policy={"store": store})
    client = met(server)
    store._sessions.clear()
    joined = pair(server, client)
    for _ in range(5000):
        joined.client.write_early(b"x")
    check_passed_over(joined.run(), b"x" * 5000)


def test_replayed_first_flight_is_taken_once() -> None:
    """An attacker sends again what it saw: the data must not happen twice."""
    server = taking()
    joined = early(server, met(server))
    flight = joined.client.data_to_send()
    first, replays = ServerConnection(server), [ServerConnection(server) for _ in range(5)]
    feed(first, [flight])
    assert first.read_early() == DATA
    for replay in replays:
        feed(replay, [flight])
        assert replay.read_early() == b"", "the same request was given out twice"
        assert replay.early_data_accepted is False
        assert replay.handshaking, "it waits for a Finished that the attacker cannot make"
    answer = first.data_to_send()
    feed(joined.client, [answer])
    feed(first, [joined.client.data_to_send()])
    assert not first.handshaking, "the real client gets through"


def test_replay_at_another_server_of_the_same_store_is_taken_once() -> None:
    store = MemorySessions()
    servers = [taking(policy={"store": store}) for _ in range(3)]
    joined = early(servers[0], met(servers[0]))
    flight = joined.client.data_to_send()
    taken = []
    for server in (servers[1], servers[2], servers[0]):
        connection = ServerConnection(server)
        feed(connection, [flight])
        taken.append(connection.read_early())
    assert taken == [DATA, b"", b""]


def test_replay_by_whoever_lost_the_race_costs_the_client_no_data() -> None:
    """The attacker is first: the client's own flight is refused, and what it sent is given back."""
    server = taking()
    joined = early(server, met(server))
    flight = joined.client.data_to_send()
    attacker = ServerConnection(server)
    feed(attacker, [flight])
    assert attacker.read_early() == DATA
    feed(joined.server, [flight])
    check_passed_over(joined.run())


@pytest.mark.parametrize(
    ("late", "taken"), [(0, True), (9, True), (11, False), (3600, False), (-9, True), (-11, False)]
)
def test_early_data_is_taken_within_the_freshness_window_only(late: float, taken: bool) -> None:
    """RFC 9846 8.3: a flight that was held back is old by the server's clock, and not by what it says."""
    servers, clients = Clock(), Clock()
    server = taking(now=servers)
    client = met(server, now=clients)
    for clock in (servers, clients):
        clock.forward(60)
    joined = early(server, client)
    servers.forward(late)
    joined.run()
    (check_taken if taken else check_passed_over)(joined)
    assert joined.server.info.resumed, "the session is good in any case"


def test_window_can_be_configured() -> None:
    servers = Clock()
    server = taking(now=servers, policy={"early_data_window": 100.0})
    joined = early(server, met(server))
    servers.forward(90)
    check_taken(joined.run())


@pytest.mark.parametrize("wrong", [-2000, -61, 61, 86400 * 8])
def test_client_whose_clock_is_always_wrong_can_send_early_data(wrong: float) -> None:
    """It counts from when it got the session: ages do not depend on what the time is."""
    clients = Clock()
    clients.forward(wrong)
    server = taking()
    check_taken(early(server, met(server, now=clients)).run())


def test_early_data_under_another_application_protocol_is_passed_over() -> None:
    """RFC 9846 4.3.10: what the data means depends on it."""
    store = MemorySessions()
    client = met(taking(policy={"store": store}, alpn=["h2"]), alpn=["h2", "http/1.1"])
    other = taking(policy={"store": store}, alpn=["http/1.1"])
    joined = early(other, client).run()
    assert joined.client.info.alpn == "http/1.1"
    check_passed_over(joined)


def test_client_does_not_offer_early_data_for_a_protocol_that_it_no_longer_offers() -> None:
    server = taking(alpn=["h2", "http/1.1"])
    store = OneSession()
    met(server, sessions=store, alpn=["h2"])
    store.offer()
    joined = pair(server, eager(sessions=store, alpn=["http/1.1"]))
    assert joined.client.early_data_limit == 0
    check_resumed(joined.run())


def test_early_data_with_another_suite_is_passed_over() -> None:
    store = MemorySessions()
    aes, chacha = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
    client = met(taking(policy={"store": store}, suites=[aes]))
    joined = early(taking(policy={"store": store}, suites=[chacha]), client).run()
    assert joined.client.info.suite.iana == chacha
    assert not joined.client.info.resumed, "a session goes on with its own suite only"
    check_passed_over(joined)


@pytest.mark.parametrize("size", [1, LIMIT, 100_000])
@pytest.mark.parametrize("cookies", [None, RetryCookies()], ids=["plain", "cookie"])
def test_early_data_after_a_hello_retry_request_is_passed_over(size: int, cookies: RetryCookies | None) -> None:
    """RFC 9846 4.2.2: it cannot be taken then; what was sent before the retry comes in the clear's place."""
    store = MemorySessions()
    client = met(taking(size, policy={"store": store}))
    server = taking(size, policy={"store": store}, groups=["secp521r1"], retry_cookies=cookies)
    joined = early(server, client, bytes(size)).run()
    assert joined.client.info.retried
    assert joined.client.info.resumed
    check_passed_over(joined, bytes(size))


def test_second_hello_has_no_early_data() -> None:
    store = MemorySessions()
    client = met(taking(policy={"store": store}))
    server = taking(policy={"store": store}, groups=["secp521r1"])
    scripted = ScriptedClient(client)
    scripted.write_early(DATA)
    Pair(scripted, ServerConnection(server)).run().check_connected()
    hellos = [message for message in sent(scripted) if isinstance(message, ClientHello)]
    assert [bool(hello.early_data) for hello in hellos] == [True, False]
    assert scripted.early_data_limit == 0


def test_server_refuses_early_data_offered_in_the_second_hello() -> None:
    store = MemorySessions()
    client = met(taking(policy={"store": store}))
    server = taking(policy={"store": store}, groups=["secp521r1"])
    edit = on(ClientHello, lambda hello: (replace(hello, early_data=True),), nth=1)
    joined = Pair(ScriptedClient(client, edit), ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.CLIENT_HELLO_CHANGED)


@pytest.mark.parametrize("policy", [Tickets(), None, StoredSessions()], ids=["tickets", "none", "stored, none allowed"])
def test_server_without_early_data_passes_over_that_of_others_sessions(policy: Any) -> None:
    client = met(taking())
    check_passed_over(early(demanding(resumption=policy), client).run())


def test_more_than_could_have_been_offered_is_not_passed_over() -> None:
    """The bound of what is skipped: a peer may not keep a server busy with records that nobody can read."""
    store = MemorySessions()
    server = taking(policy={"store": store})
    sessions = OneSession()
    client = met(server, sessions=sessions)
    sessions.offer(max_early_data=1 << 20)
    store._sessions.clear()
    joined = early(server, client, bytes(1 << 18)).run()
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.failure.reason is Misbehaviour.BAD_RECORD_MAC
    assert isinstance(joined.client.failure, AlertReceived)


def test_records_that_do_not_decrypt_are_not_passed_over_where_no_early_data_was_offered() -> None:
    server = taking()
    joined = pair(server, eager())
    feed(joined.server, [joined.client.data_to_send() + plain_record(23, bytes(50))])
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.failure.reason is Misbehaviour.BAD_RECORD_MAC


def test_nothing_is_passed_over_once_the_client_is_heard() -> None:
    """The first record that decrypts ends the skipping: after it, what does not decrypt is an attack."""
    store = MemorySessions()
    server = taking(policy={"store": store})
    client = met(server)
    store._sessions.clear()
    joined = early(server, client)
    feed(joined.server, [joined.client.data_to_send()])
    feed(joined.client, [joined.server.data_to_send()])
    feed(joined.server, [joined.client.data_to_send()])
    assert not joined.server.handshaking
    feed(joined.server, [plain_record(23, bytes(50))])
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.failure.reason is Misbehaviour.BAD_RECORD_MAC


@given(data=st.binary(max_size=200), retried=st.booleans(), count=st.integers(1, 5))
def test_garbage_in_place_of_refused_early_data_ends_well(data: bytes, retried: bool, count: int) -> None:
    """It cannot be told from early data under keys that the server does not have."""
    store = MemorySessions()
    client = met(taking(policy={"store": store}))
    store._sessions.clear()
    server = taking(policy={"store": store}, groups=["secp521r1"] if retried else None)
    joined = pair(server, client)
    feed(joined.server, [joined.client.data_to_send() + plain_record(23, data) * count])
    joined.run().check_connected()
    assert joined.server.read_early() == b""


@given(data=st.binary(max_size=100))
def test_garbage_in_place_of_accepted_early_data_is_refused(data: bytes) -> None:
    server = taking()
    joined = pair(server, met(server))
    feed(joined.server, [joined.client.data_to_send() + plain_record(23, data)])
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"{failure!r}"
    assert failure.reason is Misbehaviour.BAD_RECORD_MAC
    assert joined.server.read_early() == b""


def test_early_data_goes_with_the_first_key_on_offer_or_not_at_all() -> None:
    """RFC 9846 4.3.10: the server takes the second key, with which early data cannot have been meant."""
    server = taking()
    store = OneSession()
    client = met(server, sessions=store)
    session = store.offer()
    [good] = offered_psks(client.parameters, session)
    keys = (replace(good, identity=PskIdentity(b"a key that nobody knows", 0)), good)
    unbound = ScriptedClient(client, lambda message: ())

    def behind_another(hello: ClientHello) -> Iterable[Item]:
        changed = replace(hello)
        bind(unbound.flow, changed, keys)
        return (changed,)

    scripted = ScriptedClient(client, on(ClientHello, behind_another))
    scripted.write_early(DATA)
    the_server = ScriptedServer(server)
    feed(the_server, [scripted.data_to_send()])
    assert the_server.failure is None
    answer = sent(the_server)[0]
    assert isinstance(answer, ServerHello)
    assert answer.pre_shared_key == 1, "the session is resumed"
    assert the_server.early_data_accepted is False
    assert the_server.read_early() == b""


# -- EndOfEarlyData ---------------------------------------------------------------------------------------------------


def test_finished_without_end_of_early_data_is_refused() -> None:
    server = taking()
    client = met(server)
    scripted = ScriptedClient(client, on(EndOfEarlyData, lambda message: ()))
    scripted.write_early(DATA)
    joined = Pair(scripted, ServerConnection(server)).run()
    # The keys change behind it: the Finished does not decrypt under those of early data.
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.failure.reason is Misbehaviour.BAD_RECORD_MAC


def test_finished_in_place_of_end_of_early_data_is_refused() -> None:
    server = taking()
    client = met(server)
    scripted = ScriptedClient(client, on(EndOfEarlyData, lambda message: (Finished(verify_data=bytes(48)),)))
    joined = Pair(scripted, ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ((EndOfEarlyData(), EndOfEarlyData()), Misbehaviour.KEY_CHANGE_INSIDE_RECORD),
        ((EndOfEarlyData(), NewRecord(), EndOfEarlyData()), Misbehaviour.BAD_RECORD_MAC),
        ((handshake(5, b"\0"),), Misbehaviour.MESSAGE_TOO_LARGE),
        ((EndOfEarlyData(), b"\x14"), Misbehaviour.KEY_CHANGE_INSIDE_RECORD),
        ((EndOfEarlyData(), Record(23, b"behind the end")), Misbehaviour.BAD_RECORD_MAC),
    ],
    ids=["in one record", "in two", "with a body", "and more", "and data"],
)
def test_end_of_early_data_that_is_none_is_refused(items: tuple[Item, ...], reason: Misbehaviour) -> None:
    server = taking()
    client = met(server)
    scripted = ScriptedClient(client, on(EndOfEarlyData, lambda message: items))
    scripted.write_early(DATA)
    joined = Pair(scripted, ServerConnection(server)).run()
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is reason
    assert bytes(joined.server_got) == b""
    assert joined.server.read_early() in {DATA, b""}


@pytest.mark.parametrize("resumed", [True, False])
def test_end_of_early_data_where_there_is_none_is_refused(resumed: bool) -> None:
    server = taking()
    client = met(server, early_data=False) if resumed else eager()
    scripted = ScriptedClient(client, on(Finished, lambda message: (EndOfEarlyData(), message)))
    joined = Pair(scripted, ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def test_end_of_early_data_after_a_refusal_is_refused() -> None:
    store = MemorySessions()
    server = taking(policy={"store": store})
    client = met(server)
    store._sessions.clear()
    scripted = ScriptedClient(client, on(Finished, lambda message: (EndOfEarlyData(), message)))
    joined = Pair(scripted, ServerConnection(server)).run()
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.failure.reason is Misbehaviour.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("role", ["client", "server"])
def test_end_of_early_data_after_the_handshake_is_refused(role: str) -> None:
    server = taking()
    joined = connect(server, met(server))
    say(joined.client if role == "client" else joined.server, EndOfEarlyData())
    joined.run()
    check_refused(joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def test_handshake_messages_among_early_data_are_refused() -> None:
    server = taking()
    joined = early(server, met(server))
    say(joined.client, NewSessionTicket(lifetime=1, age_add=1, nonce=b"", ticket=b"t"))
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def test_half_a_message_among_early_data_is_refused() -> None:
    server = taking()
    joined = pair(server, met(server))
    say(joined.client, Record(22, b"\5\0"), Record(23, b"data"))
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.INTERLEAVED_RECORD)
    assert joined.server.read_early() == b""


def test_end_of_the_transport_during_early_data_is_a_truncation() -> None:
    """What came is there, and the failure says that the rest is not known."""
    server = taking()
    joined = early(server, met(server))
    feed(joined.server, [joined.client.data_to_send()])
    with pytest.raises(UnexpectedEOF):
        joined.server.receive_eof()
    assert joined.server.read_early() == DATA


def test_alert_of_a_client_during_early_data_is_read() -> None:
    server = taking()
    joined = early(server, met(server))
    joined.client.close()
    joined.run()
    assert isinstance(joined.server.failure, UnexpectedEOF)
    assert joined.server.read_early() == DATA


# -- What a client refuses of a server --------------------------------------------------------------------------------


def claims(message: EncryptedExtensions) -> Iterable[Item]:
    return (replace(message, early_data=True),)


def test_client_refuses_early_data_that_it_did_not_offer() -> None:
    for client in (eager(), eager(early_data=False)):
        joined = liar(taking(), on(EncryptedExtensions, claims), client)
        check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNSOLICITED_EXTENSION)


def test_client_refuses_early_data_without_its_key() -> None:
    """The server passed over the session, and says that it read what only the session's keys open."""
    store = MemorySessions()
    server = taking(policy={"store": store})
    client = met(server)
    store._sessions.clear()
    joined = liar(server, on(EncryptedExtensions, claims), client)
    check_client_refused(joined, Misbehaviour.EARLY_DATA_NOT_POSSIBLE)


def check_client_refused(joined: Pair, reason: Misbehaviour) -> None:
    """The client refused; its alert is under keys that the server may not expect."""
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is reason
    assert joined.client.early_data_accepted is not True


def test_client_refuses_early_data_with_another_suite() -> None:
    store = MemorySessions()
    aes, chacha = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
    client = met(taking(policy={"store": store}, suites=[aes]))
    server = taking(policy={"store": store}, suites=[chacha])
    check_client_refused(liar(server, on(EncryptedExtensions, claims), client), Misbehaviour.EARLY_DATA_NOT_POSSIBLE)


@pytest.mark.parametrize("chosen", ["http/1.1", None])
def test_client_refuses_early_data_with_another_application_protocol(chosen: str | None) -> None:
    store = MemorySessions()
    client = met(taking(policy={"store": store}, alpn=["h2"]), alpn=["h2", "http/1.1"])
    server = taking(policy={"store": store}, alpn=[] if chosen is None else [chosen])
    check_client_refused(liar(server, on(EncryptedExtensions, claims), client), Misbehaviour.EARLY_DATA_NOT_POSSIBLE)


def test_client_refuses_early_data_after_a_retry() -> None:
    store = MemorySessions()
    client = met(taking(policy={"store": store}))
    server = taking(policy={"store": store}, groups=["secp521r1"])
    check_client_refused(liar(server, on(EncryptedExtensions, claims), client), Misbehaviour.UNSOLICITED_EXTENSION)


def test_client_refuses_early_data_with_an_external_key_in_place_of_its_session() -> None:
    """The session is the first key; early data goes with that one."""
    key = ExternalPsk(b"shared", b"k" * 32, "sha384")
    store = MemorySessions()
    client = met(taking(policy={"store": store}), external_psks=[key])
    store._sessions.clear()
    server = taking(policy={"store": store}, external_psks=[key])
    joined = liar(server, on(EncryptedExtensions, claims), client)
    check_client_refused(joined, Misbehaviour.EARLY_DATA_NOT_POSSIBLE)


def test_early_data_is_passed_over_where_the_external_key_is_taken() -> None:
    key = ExternalPsk(b"shared", b"k" * 32, "sha384")
    store = MemorySessions()
    client = met(taking(policy={"store": store}), external_psks=[key])
    store._sessions.clear()
    joined = early(taking(policy={"store": store}, external_psks=[key]), client).run()
    assert joined.client.info.psk_identity == b"shared"
    check_passed_over(joined)


def test_early_data_met_by_a_tls12_server_ends_the_connection() -> None:
    """RFC 9846 4.3.10: the server was known to speak TLS 1.3; and it reads the early data as it can."""
    client = met(taking())
    joined = early(server_config(versions=["1.2"]), client).run()
    assert joined.client.failure is not None
    assert not joined.connected
    assert joined.server.read_early() == b""
    assert bytes(joined.server_got) == b""
    check_full(connect(taking(), eager()))


def test_client_that_offers_early_data_refuses_the_answer_of_a_tls12_server() -> None:
    client = met(taking())
    server = ServerConnection(server_config(versions=["1.2"]))
    connection = ClientConnection(client, "localhost")
    hello, *_ = record_by_record(connection.data_to_send())
    feed(server, [hello])
    assert server.failure is None
    feed(connection, [server.data_to_send()])
    failure = connection.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.VERSION_NOT_OFFERED
    assert connection.take_rejected_early_data() == b"", "it is not known what became of it"


def test_server_that_claims_to_resume_under_another_hash_is_refused_before_early_data() -> None:
    server = taking(suites=["TLS_AES_256_GCM_SHA384"])
    client = met(server)
    edit = on(ServerHello, lambda hello: (replace(hello, cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256),))
    check_client_refused(liar(server, edit, client), Misbehaviour.SELECTED_UNOFFERED_PSK)


# -- Shells -----------------------------------------------------------------------------------------------------------


def test_early_data_waits_for_a_store_that_answers_later() -> None:
    server = demanding(resumption=StoredSessions(store=LateSessions(), max_early_data=LIMIT))
    client = eager()
    settled(pair(server, client))
    joined = early(server, client)
    joined.step()
    assert joined.server.pending_work == "look up a session"
    assert joined.server.read_early() == b""
    check_taken(settled(joined))


def test_scripts_that_change_nothing_take_early_data() -> None:
    """The scripted tests here show something only because this one does not fail."""
    server = taking()
    client = met(server)
    scripted = ScriptedClient(client)
    scripted.write_early(DATA)
    check_taken(Pair(scripted, ScriptedServer(server)).run())
    joined, _, _ = meet(server, client)
    check_resumed(joined)


@pytest.mark.parametrize("content", [b"x", b""])
def test_data_in_the_clear_is_no_early_data(content: bytes) -> None:
    server = taking()
    joined = pair(server, eager())
    hello = joined.client.data_to_send()
    feed(joined.server, [plain_record(23, content) + hello])
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.read_early() == b""
