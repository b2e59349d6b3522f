"""TLS 1.2 and bad input, driven by hypothesis: any message of either role, in a full and in an abbreviated handshake.

As tests/connection/test_mutations.py does for TLS 1.3, whose changes are used here: what is changed passes the record
protection, and the sender's transcript is kept in step. Every story must end: both sides connected, or one has refused
with a specific TLSError whose alert the other read; never another exception, never a hang.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connection.test_mutations import CHANGES, ENDS, MUTATIONS, Change, changed_records, check_told, judged
from tests.support.examples import fewer, more
from tests.support.identities import client_credential, required, server_credential
from tests.support.memory import Pair, connect, feed, pair, plain_record, record_by_record, split_at
from tests.support.scripted import Edit, Item, Record, ScriptedClient, ScriptedServer, say
from tests.support.tls12 import client12, instead_of_change_cipher_spec, server12
from trustls.config import ClientConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import AlertReceived, DecodeError, PeerMisbehaved, UnexpectedEOF
from trustls.session.state import ClientSession
from trustls.session.tickets import StoredSessions, Tickets
from trustls.wire.messages import HandshakeMessage, encode_message
from trustls.wire.messages12 import HelloRequest

SERVERS: Final = {
    "tickets": server12(client_auth=required(), alpn=["h2"], resumption=Tickets()),
    "stored": server12(client_auth=required(), alpn=["h2"], resumption=StoredSessions()),
}
SCENARIOS: Final = [(name, resumed) for name in SERVERS for resumed in (False, True)]


class OneSession:
    """A client's store that gives the same session each time, and keeps nothing."""

    def __init__(self, session: ClientSession | None) -> None:
        self.session = session

    def put(self, key: bytes, session: ClientSession) -> None:
        self.kept = session

    def take(self, key: bytes) -> ClientSession | None:
        return self.session


def client_of(scenario: tuple[str, bool]) -> ClientConfig:
    """A client without a session, or with one of the scenario's server."""
    name, resumed = scenario
    store = OneSession(None)
    client = client12(credentials=[client_credential()], alpn=["h2"], sessions=store)
    if resumed:
        connect(SERVERS[name], client)
        store.session = replace(store.kept)
    return client


CLIENTS: Final = {scenario: client_of(scenario) for scenario in SCENARIOS}


def scripted(role: str, scenario: tuple[str, bool], edit: Edit) -> Pair:
    """A pair in which `role` says what `edit` makes of its messages."""
    client, server = CLIENTS[scenario], SERVERS[scenario[0]]
    if role == "client":
        return Pair(ScriptedClient(client, edit), ServerConnection(server))
    return Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit))


def positions() -> list[tuple[tuple[str, bool], str, int, str]]:
    """Every message of every scenario: scenario, role, number, name."""
    found = []
    for scenario in SCENARIOS:
        for role in ("client", "server"):
            said: list[str] = []

            def note(message: HandshakeMessage, said: list[str] = said) -> Iterable[Item]:
                said.append(type(message).__name__)
                return (message,)

            joined = scripted(role, scenario, note).run().check_connected()
            assert joined.client.info.resumed is scenario[1]
            found += [(scenario, role, number, name) for number, name in enumerate(said)]
    return found


POSITIONS: Final = positions()
every_position = pytest.mark.parametrize(
    ("scenario", "role", "number"),
    [position[:3] for position in POSITIONS],
    ids=[f"{scenario[0]}-{'short' if scenario[1] else 'full'}-{role}-{name}" for scenario, role, _, name in POSITIONS],
)
every_role = pytest.mark.parametrize("role", ["client", "server"])


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        (
            ("tickets", False),
            [
                *("ClientHello", "CertificateMessage12", "ClientKeyExchange", "CertificateVerify", "Finished"),
                *("ServerHello", "CertificateMessage12", "ServerKeyExchange", "CertificateRequest12"),
                *("ServerHelloDone", "NewSessionTicket12", "Finished"),
            ],
        ),
        (("tickets", True), ["ClientHello", "Finished", "ServerHello", "Finished"]),
        (("stored", True), ["ClientHello", "Finished", "ServerHello", "Finished"]),
    ],
)
def test_positions_are_all_the_messages_of_a_handshake(scenario: tuple[str, bool], names: list[str]) -> None:
    assert [name for found, _, _, name in POSITIONS if found == scenario] == names


def check_end(joined: Pair) -> None:
    """The one check of this module: see its docstring."""
    joined.run()
    for side in (joined.client, joined.server):
        if side.handshaking:
            with pytest.raises(UnexpectedEOF):
                side.receive_eof()
    for side in (joined.client, joined.server):
        failure = side.failure
        assert failure is None or type(failure) in ENDS, f"{type(failure).__name__}: {failure}"
    if joined.connected:
        check_identities(joined)
        if all(not side._joiner.waiting for side in (joined.client, joined.server)):
            joined.check_connected()
        # Else a message has begun behind the Finished, as that of a renegotiation would: the rest may come.
        return
    assert not joined.client_got, "data was given out on a connection that failed"
    assert not joined.server_got, "data was given out on a connection that failed"
    for side in (joined.client, joined.server):
        if judged(side):
            # What is changed in a hello or a key exchange changes the keys, and the alert may not be readable; nor may
            # it be to the scripted side, which has failed to keep step with what it said.
            check_told(side, joined.other(side), keys_may_differ=True)


def check_identities(joined: Pair) -> None:
    """Whoever got through is whom the certificates say, in this handshake or in the one that it resumes."""
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == server_credential().certificate
    assert joined.server.peer is not None, "a client got in that proved nothing"
    assert joined.server.peer.certificate == client_credential().certificate
    assert joined.client.info.resumed == joined.server.info.resumed


def check_story(scenario: tuple[str, bool], role: str, changes: dict[int, Change], sizes: list[int]) -> None:
    """A handshake in which `role` says something else in place of its messages of these numbers."""
    number = -1

    def edit(message: HandshakeMessage) -> Iterable[Item]:
        nonlocal number
        number += 1
        return changes[number](encode_message(message)) if number in changes else (message,)

    joined = scripted(role, scenario, edit)
    joined.split = split_at(sizes)
    check_end(joined)


_PIECES: Final = st.lists(st.integers(50, 3000), max_size=3)
_SCENARIO: Final = st.sampled_from(SCENARIOS)
_ROLE: Final = st.sampled_from(["client", "server"])


@pytest.mark.parametrize("mutation", MUTATIONS)
@fewer(10)
@given(data=st.data())
def test_any_message_changed_in_any_way_ends_well(mutation: str, data: st.DataObject) -> None:
    for scenario, role, number, _ in POSITIONS:
        check_story(scenario, role, {number: data.draw(MUTATIONS[mutation])}, [])


@every_position
@given(change=CHANGES, sizes=_PIECES)
def test_changed_message_ends_well_however_it_is_delivered(
    scenario: tuple[str, bool], role: str, number: int, change: Change, sizes: list[int]
) -> None:
    check_story(scenario, role, {number: change}, sizes)


@more(4)
@given(role=_ROLE, scenario=_SCENARIO, changes=st.dictionaries(st.integers(0, 6), CHANGES, min_size=2, max_size=4))
def test_many_changed_messages_end_well(role: str, scenario: tuple[str, bool], changes: dict[int, Change]) -> None:
    check_story(scenario, role, changes, [])


@every_position
@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 37, 38, -2, -1])
def test_message_that_is_cut_short_ends_well(scenario: tuple[str, bool], role: str, number: int, length: int) -> None:
    """The header says the length that is left: what is missing is missing inside."""
    check_story(
        scenario,
        role,
        {number: lambda raw: [raw[:1] + len(raw[4:][:length]).to_bytes(3, "big") + raw[4:][:length]]},
        [],
    )


@every_position
def test_message_that_changes_places_with_the_next_ends_well(
    scenario: tuple[str, bool], role: str, number: int
) -> None:
    seen = -1
    held: list[Item] = []

    def edit(message: HandshakeMessage) -> Iterable[Item]:
        nonlocal seen
        seen += 1
        if seen == number:
            held.append(message)
            return ()
        return (message, held.pop()) if held else (message,)

    check_end(scripted(role, scenario, edit))


_RECORDS: Final = st.lists(
    st.builds(Record, st.sampled_from([20, 21, 22, 23, 24, 99]), st.binary(max_size=20)), max_size=3
)


@more(4)
@given(role=_ROLE, scenario=_SCENARIO, items=_RECORDS, keys_change=st.booleans(), also=st.booleans())
def test_anything_in_place_of_the_change_cipher_spec_ends_well(
    role: str, scenario: tuple[str, bool], items: list[Record], keys_change: bool, also: bool
) -> None:
    joined = scripted(role, scenario, lambda message: (message,))
    side = joined.client if role == "client" else joined.server
    assert isinstance(side, ScriptedClient | ScriptedServer)
    places: list[Item] = [*items, Record(20, b"\1")] if also else [*items]
    instead_of_change_cipher_spec(side, *places, keys_change=keys_change)
    joined.run()
    check_end(joined)
    if joined.connected:
        assert keys_change, "a Finished in the clear was believed"


@pytest.mark.parametrize("how", ["flip", "drop", "repeat", "reverse", "cut", "insert"])
@given(
    role=_ROLE,
    scenario=_SCENARIO,
    flight=st.integers(0, 2),
    index=st.integers(0, 3),
    at=st.integers(0, 1 << 20),
    other=st.builds(plain_record, st.integers(0, 255), st.binary(max_size=50)),
)
def test_changes_on_the_wire_end_well(
    how: str, role: str, scenario: tuple[str, bool], flight: int, index: int, at: int, other: bytes
) -> None:
    """Here the Finished and the record protection must notice: nothing that was changed may be believed."""
    joined = pair(SERVERS[scenario[0]], CLIENTS[scenario])
    seen = -1

    def change(stream: bytes) -> bytes:
        nonlocal seen
        seen += 1
        return (
            stream if seen != flight else b"".join(changed_records([*record_by_record(stream)], how, index, at, other))
        )

    if role == "client":
        joined.to_server = change
    else:
        joined.to_client = change
    check_end(joined)


_AFTER: Final = st.lists(
    st.one_of(
        st.builds(Record, st.integers(0, 255), st.binary(max_size=30)),
        st.builds(Record, st.sampled_from([20, 21, 22, 23]), st.binary(max_size=5)),
        st.just(HelloRequest()),
        st.builds(
            lambda kind, body: bytes([kind]) + len(body).to_bytes(3, "big") + body,
            st.integers(0, 25),
            st.binary(max_size=30),
        ),
    ),
    max_size=8,
)


@every_role
@more(5)
@given(items=_AFTER)
def test_anything_after_the_handshake_ends_well(role: str, items: list[Any]) -> None:
    joined = connect(SERVERS["tickets"], CLIENTS["tickets", False])
    sender: Connection = joined.client if role == "client" else joined.server
    receiver = joined.other(sender)
    expected = b"".join(item.content for item in items if isinstance(item, Record) and item.kind == 23)
    say(sender, *items)
    got = feed(receiver, [sender.data_to_send()])
    assert expected.startswith(got), "what was not sent as data was given out as data"
    failure = receiver.failure
    assert failure is None or type(failure) in {PeerMisbehaved, DecodeError, AlertReceived}, f"{failure!r}"
    joined.run()
    if isinstance(failure, PeerMisbehaved):
        assert isinstance(sender.failure, AlertReceived), f"no alert was read: {sender.failure!r}"
        assert sender.failure.description is failure.alert
