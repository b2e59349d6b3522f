"""record_size_limit (RFC 8449) and max_fragment_size: no record is longer than either side wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import client_config, client_credential, required, server_config
from tests.support.memory import Pair, check_refused, connect, feed, pair, records
from tests.support.scripted import Edit, Record, ScriptedClient, ScriptedServer, on
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import ConnectionClosed, Misbehaviour, PeerMisbehaved
from trustls.protocol.record import MAX_PLAINTEXT
from trustls.session.store import MemoryClientSessions
from trustls.session.tickets import StoredSessions
from trustls.wire.enums import ContentType, MaxFragmentLength
from trustls.wire.messages import (
    ClientHello,
    EncryptedExtensions,
    Finished,
    HandshakeMessage,
    ServerHello,
)

pytestmark = COMPARES_BYTES

DATA = bytes(range(256)) * 150
# What a protected record has around what it holds: the tag, and in TLS 1.2 with AES-GCM the explicit nonce.
AROUND = {"1.2": 8 + 16, "1.3": 16}
SUITES = {"1.2": ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"], "1.3": ["TLS_AES_128_GCM_SHA256"]}

versions = pytest.mark.parametrize("version", ["1.2", "1.3"])
roles = pytest.mark.parametrize("role", ["client", "server"])
limits = pytest.mark.parametrize("limit", [64, 65, 512, 16384])


class Wiretap:
    """What passes in one direction, as it passes."""

    def __init__(self) -> None:
        self.seen = b""

    def __call__(self, data: bytes) -> bytes:
        self.seen += data
        return data

    def lengths(self, version: str) -> tuple[list[int], list[int]]:
        """How much each record holds: of those in the clear, and of those that are protected."""
        clear, protected = [], []
        changed = False
        for record in records(self.seen):
            if changed or (version == "1.3" and record.content_type == ContentType.APPLICATION_DATA):
                protected.append(record.length - AROUND[version])
            elif record.content_type == ContentType.CHANGE_CIPHER_SPEC:
                changed = version == "1.2"
            else:
                clear.append(record.length)
        return clear, protected


def joined(version: str, client: dict[str, Any], server: dict[str, Any]) -> tuple[Pair, Wiretap, Wiretap]:
    """Two after a mutual handshake that have sent each other `DATA`; what went to the client, and to the server."""
    both = {"versions": [version], "suites": SUITES[version]}
    made = pair(
        server_config(client_auth=required(), **both, **server),
        client_config(credentials=[client_credential()], **both, **client),
    )
    made.to_client, made.to_server = Wiretap(), Wiretap()
    made.run()
    made.client.send(DATA)
    made.server.send(DATA)
    made.run()
    assert bytes(made.client_got) == DATA, f"{made.client.failure!r}"
    assert bytes(made.server_got) == DATA, f"{made.server.failure!r}"
    return made, made.to_client, made.to_server


# -- The peer's limit -------------------------------------------------------------------------------------------------


@versions
@limits
def test_records_to_a_client_keep_to_its_limit(limit: int, version: str) -> None:
    made, to_client, to_server = joined(version, {"record_size_limit": limit}, {})
    _, protected = to_client.lengths(version)
    assert max(protected) == limit, "records are longer than they may be, or shorter than they could be"
    assert made.server.info.record_size_limit == limit
    _, other_way = to_server.lengths(version)
    assert max(other_way) == MAX_PLAINTEXT + (version == "1.3"), "the limit of one side is none of the other's"


@versions
@limits
def test_records_to_a_server_keep_to_its_limit(limit: int, version: str) -> None:
    made, to_client, to_server = joined(version, {"record_size_limit": 16384}, {"record_size_limit": limit})
    _, protected = to_server.lengths(version)
    assert max(protected) == limit, "records are longer than they may be, or shorter than they could be"
    assert made.client.info.record_size_limit == limit
    assert max(to_client.lengths(version)[1]) == 16384


def test_what_is_sent_in_the_clear_has_no_limit() -> None:
    """RFC 8449 4: "Unprotected messages are not subject to this limit"."""
    _, to_client, _ = joined("1.3", {"record_size_limit": 64}, {})
    clear, _ = to_client.lengths("1.3")
    assert max(clear) > 64


def test_what_follows_the_hellos_of_tls12_in_the_clear_keeps_to_the_limit_all_the_same() -> None:
    """GnuTLS holds such records to it: a ticket, or the client's certificate."""
    _, to_client, to_server = joined("1.2", {"record_size_limit": 300}, {"record_size_limit": 200})
    assert max(to_client.lengths("1.2")[0]) == 300
    assert max(to_server.lengths("1.2")[0]) == 200


@versions
def test_who_names_no_limit_has_the_versions_own(version: str) -> None:
    made, _, _ = joined(version, {"record_size_limit": 300}, {})
    assert made.client.info.record_size_limit == MAX_PLAINTEXT + (version == "1.3")
    made, _, _ = joined(version, {}, {"record_size_limit": 300})
    assert (made.client.info.record_size_limit, made.server.info.record_size_limit) == (None, None)


@versions
@pytest.mark.parametrize("limit", [MAX_PLAINTEXT + 1, 65535])
def test_more_than_the_version_has_is_no_fault_of_a_clients(limit: int, version: str) -> None:
    """RFC 8449 4: a server must not mind, for the client may know of an extension that allows it."""
    client = ScriptedClient(client_config(versions=[version], record_size_limit=16384), hello(record_size_limit=limit))
    made = Pair(client, ServerConnection(server_config())).run().check_connected()
    assert made.server.info.record_size_limit == limit
    assert made.server.max_fragment_size == MAX_PLAINTEXT


def test_hello_of_tls12_alone_says_no_more_than_that_has() -> None:
    made = connect(client=client_config(versions=["1.2"], record_size_limit=MAX_PLAINTEXT + 1))
    assert made.server.info.record_size_limit == MAX_PLAINTEXT


@pytest.mark.parametrize("pad_to", [50, 100, 16384])
def test_padding_counts(pad_to: int) -> None:
    _, to_client, _ = joined("1.3", {"record_size_limit": 101}, {"pad_records_to": pad_to})
    assert max(to_client.lengths("1.3")[1]) == 101


def test_limits_are_settled_anew_in_a_resumed_session() -> None:
    """RFC 8449 4: the records of a session that is resumed may have other limits, or none."""
    sessions = MemoryClientSessions()
    server = server_config(record_size_limit=500)
    for limit in (100, None, 200):
        made = connect(server, client_config(record_size_limit=limit, sessions=sessions)).run()
        assert made.server.info.resumed == (limit != 100)
        assert made.server.info.record_size_limit == limit
        assert made.client.info.record_size_limit == (None if limit is None else 500)


def test_early_data_comes_before_the_servers_limit_is_known() -> None:
    client = client_config(record_size_limit=400, early_data=True)
    server = server_config(record_size_limit=64, resumption=StoredSessions(max_early_data=20_000))
    connect(server, client).run()
    made = pair(server, client)
    made.client.write_early(DATA[:5000])
    made.run()
    assert made.server.read_early() == DATA[:5000], f"{made.server.failure!r}"
    made.check_connected()
    made.client.send(DATA)
    assert max(record.length for record in records(made.client.data_to_send())) == 64 + AROUND["1.3"]


@versions
def test_key_lasts_for_as_many_records_as_there_are(version: str) -> None:
    """Short records use a key up sooner, which is counted by records."""
    made, _, _ = joined(version, {"record_size_limit": 64}, {})
    sealer = made.server._sealer()
    room = 63 if version == "1.3" else 64
    sealer.limit = sealer.sequence + 20
    made.server.send(bytes(18 * room))
    assert made.server._sealer() is sealer, "the key was changed before it had to be"
    if version == "1.2":
        with pytest.raises(ConnectionClosed, match="the key is used up"):
            made.server.send(bytes(2 * room))
        return
    before = len(made.client_got)
    made.server.send(bytes(50 * room))
    made.run()
    assert sealer.sequence == sealer.limit, "the key sealed more than it may, or less"
    assert len(made.client_got) - before == 68 * room, f"{made.client.failure!r}"


# -- One's own --------------------------------------------------------------------------------------------------------


@versions
@roles
@pytest.mark.parametrize("size", [64, 100, 5000])
def test_no_record_holds_more_than_configured(size: int, role: str, version: str) -> None:
    """max_fragment_size needs nobody's consent, and so holds for every record, those in the clear included."""
    settings = {role: {"max_fragment_size": size}}
    made, to_client, to_server = joined(version, settings.get("client", {}), settings.get("server", {}))
    clear, protected = (to_server if role == "client" else to_client).lengths(version)
    assert max(protected) == size + (version == "1.3")
    assert max(clear) <= size
    side = made.client if role == "client" else made.server
    assert side.max_fragment_size == size
    assert made.other(side).max_fragment_size == MAX_PLAINTEXT


@pytest.mark.parametrize(("own", "limit", "both"), [(100, 200, 100), (200, 101, 100), (64, 65, 64)])
def test_the_lower_of_both_holds(own: int, limit: int, both: int) -> None:
    made, to_client, _ = joined("1.3", {"record_size_limit": limit}, {"max_fragment_size": own})
    assert max(to_client.lengths("1.3")[1]) == both + 1
    assert made.server.max_fragment_size == both


def test_configuration_that_is_chosen_brings_its_own_size() -> None:
    chosen = server_config(max_fragment_size=77)
    made = connect(server_config(choose_config=lambda hello: chosen, max_fragment_size=5000))
    assert made.server.max_fragment_size == 77


# -- Peers that do not keep to it -------------------------------------------------------------------------------------


def sealed(side: Connection, size: int, padding: int = 0) -> bytes:
    """A record of so many bytes of data, whatever its receiver wants."""
    return side._sealer().seal(ContentType.APPLICATION_DATA, bytes(size), padding)


@roles
@pytest.mark.parametrize(
    ("version", "update"), [("1.2", False), ("1.3", False), ("1.3", True)], ids=["1.2", "1.3", "1.3 after a KeyUpdate"]
)
@pytest.mark.parametrize("company", [0, 1], ids=["alone", "behind another"])
def test_longer_record_than_was_asked_for_is_an_overflow(company: int, update: bool, role: str, version: str) -> None:
    made, _, _ = joined(version, {"record_size_limit": 200}, {"record_size_limit": 200})
    victim: Connection = made.client if role == "client" else made.server
    sender = made.other(victim)
    if update:
        sender.update_keys(request_peer=False)
        made.run()
    room = 199 if version == "1.3" else 200
    assert feed(victim, [sealed(sender, room)]) == bytes(room)
    sender.send(bytes(company))
    assert feed(victim, [sender.data_to_send() + sealed(sender, room + 1)]) == bytes(company)
    made.run()
    check_refused(made, role, PeerMisbehaved, Misbehaviour.RECORD_OVERFLOW)


@roles
def test_padding_over_the_limit_is_an_overflow(role: str) -> None:
    made, _, _ = joined("1.3", {"record_size_limit": 200}, {"record_size_limit": 200})
    victim: Connection = made.client if role == "client" else made.server
    sender = made.other(victim)
    assert feed(victim, [sealed(sender, 100, padding=99)]) == bytes(100)
    feed(victim, [sealed(sender, 100, padding=100)])
    made.run()
    check_refused(made, role, PeerMisbehaved, Misbehaviour.RECORD_OVERFLOW)


def test_handshake_record_of_a_server_over_the_limit_it_agreed_to_is_an_overflow() -> None:
    server = ScriptedServer(server_config(max_fragment_size=1000))
    server.flow.fragment_at_most = lambda size: None  # type: ignore[method-assign]
    made = Pair(ClientConnection(client_config(record_size_limit=100), "localhost"), server).run()
    check_refused(made, "client", PeerMisbehaved, Misbehaviour.RECORD_OVERFLOW)


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, False)])
def test_handshake_record_of_a_client_over_the_limit_it_was_told_is_an_overflow(size: int, fits: bool) -> None:
    """The server has said 100, before it has read anything that is protected."""
    edit = on(Finished, lambda message: [Record(ContentType.HANDSHAKE, bytes(size))])
    client = ScriptedClient(client_config(record_size_limit=16384), edit)
    made = Pair(client, ServerConnection(server_config(record_size_limit=100))).run()
    reason = made.server.failure.reason if isinstance(made.server.failure, PeerMisbehaved) else None
    assert (reason is Misbehaviour.RECORD_OVERFLOW) == (not fits), f"{made.server.failure!r}"


def test_server_that_does_not_answer_may_send_what_the_version_allows() -> None:
    edit = on(EncryptedExtensions, lambda message: [replace(message, record_size_limit=None)])
    server = ScriptedServer(server_config(), edit)
    made = Pair(ClientConnection(client_config(record_size_limit=64), "localhost"), server).run().check_connected()
    assert made.client.info.record_size_limit is None
    assert feed(made.client, [sealed(server, MAX_PLAINTEXT)]) == bytes(MAX_PLAINTEXT)


# -- Limits that cannot be --------------------------------------------------------------------------------------------


def hello(**fields: Any) -> Edit:
    return on(ClientHello, lambda message: [replace(message, **fields)])


def answer(version: str, **fields: Any) -> Edit:
    kind: type[HandshakeMessage] = EncryptedExtensions if version == "1.3" else ServerHello
    change: Callable[[Any], Iterable[Any]] = lambda message: [replace(message, **fields)]  # noqa: E731 (for its type)
    return on(kind, change)


@versions
@pytest.mark.parametrize("limit", [0, 1, 63])
def test_server_refuses_a_limit_below_64(limit: int, version: str) -> None:
    client = ScriptedClient(client_config(versions=[version]), hello(record_size_limit=limit))
    made = Pair(client, ServerConnection(server_config())).run()
    check_refused(made, "server", PeerMisbehaved, Misbehaviour.BAD_RECORD_SIZE_LIMIT)


@pytest.mark.parametrize(
    ("version", "limit"), [("1.2", 0), ("1.2", 63), ("1.2", 16385), ("1.3", 63), ("1.3", 16386), ("1.3", 65535)]
)
def test_client_refuses_a_limit_that_the_version_does_not_have(version: str, limit: int) -> None:
    server = ScriptedServer(server_config(versions=[version]), answer(version, record_size_limit=limit))
    made = Pair(ClientConnection(client_config(record_size_limit=500), "localhost"), server).run()
    check_refused(made, "client", PeerMisbehaved, Misbehaviour.BAD_RECORD_SIZE_LIMIT)


@versions
def test_client_refuses_a_limit_that_it_did_not_ask_for(version: str) -> None:
    server = ScriptedServer(server_config(versions=[version]), answer(version, record_size_limit=500))
    made = Pair(ClientConnection(client_config(), "localhost"), server).run()
    check_refused(made, "client", PeerMisbehaved, Misbehaviour.UNSOLICITED_EXTENSION)


@versions
def test_server_passes_over_max_fragment_length_beside_it(version: str) -> None:
    """RFC 8449 5: a server that knows both ignores the older."""
    asks = hello(max_fragment_length=MaxFragmentLength.TWO_TO_9)
    client = ScriptedClient(client_config(versions=[version], record_size_limit=5000), asks)
    made = Pair(client, ServerConnection(server_config())).run().check_connected()
    assert made.server.max_fragment_size == 5000 - (version == "1.3")


@versions
def test_client_refuses_max_fragment_length_beside_it(version: str) -> None:
    """RFC 8449 5: both in one answer is fatal; here it is one that nobody asked for, besides."""
    server = ScriptedServer(
        server_config(versions=[version]), answer(version, max_fragment_length=MaxFragmentLength.TWO_TO_9)
    )
    made = Pair(ClientConnection(client_config(record_size_limit=500), "localhost"), server).run()
    check_refused(made, "client", PeerMisbehaved, Misbehaviour.UNSOLICITED_EXTENSION)
