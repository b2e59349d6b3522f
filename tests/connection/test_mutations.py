"""Bad input, driven by hypothesis: any message of either role, changed in any way before it is encrypted.

What is changed passes the record protection, and the sender's transcript is kept in step, so the victim judges it by
what it says. Every story must end: both sides connected, or one has refused with a specific TLSError whose alert the
other read; never another exception, never a hang, never more memory than the limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES, fewer, more
from tests.support.identities import client_config, client_credential, required, server_config, server_credential
from tests.support.memory import Pair, connect, feed, pair, plain_record, record_by_record, split_at
from tests.support.scripted import Edit, Item, NewRecord, Record, ScriptedClient, ScriptedServer, say
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import (
    AlertReceived,
    CertificateRejected,
    CertificateRejectedByPeer,
    DecodeError,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.store import MemoryClientSessions
from trustls.wire.messages import (
    ClientHello,
    HandshakeMessage,
    HelloRetryRequest,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
    encode_message,
)

pytestmark = COMPARES_BYTES

# One scenario with every message there is (a retry with a cookie, client certificates), and one without the retry.
# Without sessions: a story is the same each time it is told, and nothing comes behind Finished that a change on the
# wire could take away before anybody looks. Both versions are allowed, so that a change may lead into the other.
PLAIN: Final[dict[str, Any]] = {"client_auth": required(), "alpn": ["h2"], "resumption": None}
SERVERS: Final = {
    "retried": server_config(groups=["secp256r1"], retry_cookies=RetryCookies(), **PLAIN),
    "direct": server_config(groups=["x25519"], **PLAIN),
}
CLIENT: Final = client_config(
    credentials=[client_credential()], groups=["x25519", "secp256r1"], alpn=["h2"], sessions=None
)

HELLOS: Final = (ClientHello, ServerHello, HelloRetryRequest)


def scripted(role: str, scenario: str, edit: Edit) -> Pair:
    """A pair in which `role` says what `edit` makes of its messages."""
    if role == "client":
        return Pair(ScriptedClient(CLIENT, edit), ServerConnection(SERVERS[scenario]))
    return Pair(ClientConnection(CLIENT, "localhost"), ScriptedServer(SERVERS[scenario], edit))


# What each side says, in order.
SAID: Final = {
    ("retried", "client"): ("ClientHello", "ClientHello", "CertificateMessage", "CertificateVerify", "Finished"),
    ("retried", "server"): (
        *("HelloRetryRequest", "ServerHello", "EncryptedExtensions", "CertificateRequest"),
        *("CertificateMessage", "CertificateVerify", "Finished"),
    ),
    ("direct", "client"): ("ClientHello", "CertificateMessage", "CertificateVerify", "Finished"),
    ("direct", "server"): (
        *("ServerHello", "EncryptedExtensions", "CertificateRequest"),
        *("CertificateMessage", "CertificateVerify", "Finished"),
    ),
}
POSITIONS: Final = [
    pytest.param(scenario, role, number, id=f"{scenario}-{role}-{number}-{name}")
    for (scenario, role), names in SAID.items()
    for number, name in enumerate(names)
]
every_position = pytest.mark.parametrize(("scenario", "role", "number"), POSITIONS)


@pytest.mark.parametrize(("scenario", "role"), SAID)
def test_positions_are_all_the_messages_of_a_handshake(scenario: str, role: str) -> None:
    """Guards the tests below: a message that is not listed would go unchanged."""
    said: list[str] = []

    def note(message: HandshakeMessage) -> Iterable[Item]:
        said.append(type(message).__name__)
        return (message,)

    scripted(role, scenario, note).run().check_connected()
    assert tuple(said) == SAID[scenario, role]


# -- How a story may end ----------------------------------------------------------------------------------------------

JUDGEMENTS: Final = (PeerMisbehaved, DecodeError, PeerIncompatible, CertificateRejected)
ENDS: Final = (*JUDGEMENTS, AlertReceived, CertificateRejectedByPeer, UnexpectedEOF)


def judged(connection: Connection) -> bool:
    """Whether a side has refused the other, by its own judgement."""
    failure = connection.failure
    return isinstance(failure, JUDGEMENTS) and not isinstance(failure, AlertReceived)


def check_end(joined: Pair, *, keys_may_differ: bool) -> None:
    """The one check of this module: see its docstring.

    `keys_may_differ` where a hello was changed: then the alert of one side may be unreadable to the other. So it may be
    for the scripted side, which by then has failed to keep step with what it said.
    """
    joined.run()
    for side in (joined.client, joined.server):
        if side.handshaking:
            with pytest.raises(UnexpectedEOF):
                side.receive_eof()
    for side in (joined.client, joined.server):
        failure = side.failure
        assert failure is None or type(failure) in ENDS, f"{type(failure).__name__}: {failure}"
    if joined.connected:
        joined.check_connected()
        check_identities(joined)
        return
    assert not joined.client_got, "data was given out on a connection that failed"
    assert not joined.server_got, "data was given out on a connection that failed"
    for side in (joined.client, joined.server):
        if judged(side):
            scripted_side = isinstance(side, ScriptedClient | ScriptedServer)
            check_told(side, joined.other(side), keys_may_differ=keys_may_differ or scripted_side)


def check_told(side: Connection, other: Connection, *, keys_may_differ: bool) -> None:
    """Who refuses says so; the other reads it, unless it has refused by itself before."""
    assert side.failure is not None
    assert side.failure.alert is not None, f"no alert is sent for {side.failure!r}"
    if isinstance(other.failure, AlertReceived):
        assert other.failure.description is side.failure.alert
        return
    assert judged(other), f"{side.failure!r} was not told to the other side, which has {other.failure!r}"
    unreadable = isinstance(other.failure, PeerMisbehaved) and other.failure.reason is Misbehaviour.BAD_RECORD_MAC
    assert keys_may_differ or not unreadable, f"the alert for {side.failure!r} could not be read"


def check_identities(joined: Pair) -> None:
    """A handshake that got through authenticated whom it should."""
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == server_credential().certificate
    assert joined.server.peer is not None, "a client got in that proved nothing"
    assert joined.server.peer.certificate == client_credential().certificate


# -- What may be done to a message ------------------------------------------------------------------------------------
#
# A change is drawn before the message is there, as a function of its bytes: lengths of signatures differ from run to
# run, and what hypothesis draws may not depend on them.

Change = Callable[[bytes], "list[Item]"]

_ANYWHERE: Final = st.integers(0, 1 << 20)  # Taken modulo the length.


def with_length(kind: int, body: bytes) -> bytes:
    """A handshake message of this type and body."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def flipped(raw: bytes, bits: list[int]) -> bytes:
    """Some bits are others, in the header too."""
    changed = bytearray(raw)
    for bit in bits:
        changed[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(changed)


def with_byte(raw: bytes, at: int, value: int) -> bytes:
    """One byte is another, the length still right: most often a length field inside."""
    at = 4 + at % max(len(raw) - 4, 1)
    return with_length(raw[0], raw[4:at] + bytes([value]) + raw[at + 1 :]) if len(raw) > 4 else raw


def of_version(raw: bytes, version: bytes) -> bytes:
    """Another version where the message has one, another type where it has none."""
    return raw[:4] + version + raw[6:] if raw[0] in (1, 2) else version[:1] + raw[1:]


def cut_to(raw: bytes, at: int) -> bytes:
    """Cut short, the length in the header as it was."""
    return raw[: at % len(raw)]


def shortened(raw: bytes, at: int) -> bytes:
    """Cut short, the length in the header as it is."""
    return with_length(raw[0], raw[4 : 4 + at % max(len(raw) - 4, 1)])


_STRANGERS: Final = st.one_of(
    st.builds(Record, st.integers(0, 255), st.binary(max_size=40)),
    st.builds(with_length, st.integers(0, 255), st.binary(max_size=40)),
    st.sampled_from([Record(21, b"\1\x5a"), Record(20, b"\1"), Record(23, b"data"), Record(22, b"")]),
)

MUTATIONS: Final[dict[str, st.SearchStrategy[Change]]] = {
    "truncated": _ANYWHERE.map(lambda at: lambda raw: [cut_to(raw, at)]),
    "shortened": _ANYWHERE.map(lambda at: lambda raw: [shortened(raw, at)]),
    "lengthened": st.sampled_from([1, 300, 17_000, 70_000, 140_000]).map(
        lambda size: lambda raw: [with_length(raw[0], raw[4:] + bytes(size))]
    ),
    "multiplied": st.integers(2, 40).map(lambda times: lambda raw: [with_length(raw[0], raw[4:] * times)]),
    "said to be longer": st.integers(0, 2**24 - 1).map(
        lambda length: lambda raw: [raw[:1] + length.to_bytes(3, "big") + raw[4:]]
    ),
    "trailing byte": st.binary(min_size=1, max_size=5).map(
        lambda tail: lambda raw: [with_length(raw[0], raw[4:] + tail)]
    ),
    "bytes behind": st.binary(min_size=1, max_size=5).map(lambda tail: lambda raw: [raw + tail]),
    "bit flips": st.lists(_ANYWHERE, min_size=1, max_size=4).map(lambda bits: lambda raw: [flipped(raw, bits)]),
    "another byte": st.tuples(_ANYWHERE, st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF])).map(
        lambda change: lambda raw: [with_byte(raw, *change)]
    ),
    "another version": st.binary(min_size=2, max_size=2).map(lambda version: lambda raw: [of_version(raw, version)]),
    "random body": st.binary(max_size=300).map(lambda body: lambda raw: [with_length(raw[0], body)]),
    "stranger before": _STRANGERS.map(lambda other: lambda raw: [other, raw]),
    "stranger behind": _STRANGERS.map(lambda other: lambda raw: [raw, other]),
    "repeated": st.integers(2, 6).map(lambda times: lambda raw: [raw] * times),
    "repeated in records": st.integers(2, 6).map(lambda times: lambda raw: [raw, NewRecord()] * times),
    "fragmented": _ANYWHERE.map(
        lambda at: lambda raw: [raw[: at % len(raw)] or raw, NewRecord(), raw[at % len(raw) or len(raw) :]]
    ),
    "left out": st.just(lambda raw: []),
}

CHANGES: Final = st.one_of(*MUTATIONS.values())


# -- The stories ------------------------------------------------------------------------------------------------------


def check_story(scenario: str, role: str, changes: dict[int, Change], sizes: list[int]) -> None:
    """A handshake in which `role` says something else in place of its messages of these numbers."""
    number = -1
    hello = False

    def edit(message: HandshakeMessage) -> Iterable[Item]:
        nonlocal number, hello
        number += 1
        if number not in changes:
            return (message,)
        hello = hello or isinstance(message, HELLOS)
        return changes[number](encode_message(message))

    joined = scripted(role, scenario, edit)
    joined.split = split_at(sizes)
    joined.run()  # Then it is known whether a hello was changed.
    check_end(joined, keys_may_differ=hello)


# Not too small: a byte at a time is for tests/connection/test_delivery.py, and takes long where messages are large.
_PIECES: Final = st.lists(st.integers(300, 6000), max_size=3)


@pytest.mark.parametrize("mutation", MUTATIONS)
@fewer(6)
@given(data=st.data())
def test_any_message_changed_in_any_way_ends_well(mutation: str, data: st.DataObject) -> None:
    for (scenario, role), names in SAID.items():
        for number in range(len(names)):
            check_story(scenario, role, {number: data.draw(MUTATIONS[mutation])}, [])


@every_position
@more(2)
@given(change=CHANGES, sizes=_PIECES)
def test_changed_message_ends_well_however_it_is_delivered(
    scenario: str, role: str, number: int, change: Change, sizes: list[int]
) -> None:
    check_story(scenario, role, {number: change}, sizes)


@more(4)
@given(
    role=st.sampled_from(["client", "server"]),
    scenario=st.sampled_from(sorted(SERVERS)),
    changes=st.dictionaries(st.integers(0, 7), CHANGES, min_size=2, max_size=4),
    sizes=_PIECES,
)
def test_many_changed_messages_end_well(role: str, scenario: str, changes: dict[int, Change], sizes: list[int]) -> None:
    check_story(scenario, role, changes, sizes)


@every_position
def test_message_that_changes_places_with_the_next_ends_well(scenario: str, role: str, number: int) -> None:
    seen = -1
    held: list[Item] = []

    def edit(message: HandshakeMessage) -> Iterable[Item]:
        nonlocal seen
        seen += 1
        if seen == number:
            held.append(message)
            return ()
        return (message, held.pop()) if held else (message,)

    check_end(scripted(role, scenario, edit), keys_may_differ=True)


def changed_records(found: list[bytes], how: str, index: int, at: int, other: bytes) -> list[bytes]:
    """The records of a flight after something happened to them on their way."""
    index %= len(found)
    record = found[index]
    at %= len(record)
    match how:
        case "flip":
            found[index] = record[:at] + bytes([record[at] ^ 1 << at % 8]) + record[at + 1 :]
        case "drop":
            del found[index]
        case "repeat":
            found.insert(index, record)
        case "reverse":
            found.reverse()
        case "cut":
            found[index] = record[:at]
        case "insert":
            found.insert(index, other)
    return found


@pytest.mark.parametrize("how", ["flip", "drop", "repeat", "reverse", "cut", "insert"])
@given(
    role=st.sampled_from(["client", "server"]),
    scenario=st.sampled_from(sorted(SERVERS)),
    flight=st.integers(0, 2),
    index=st.integers(0, 3),
    at=_ANYWHERE,
    other=st.builds(plain_record, st.integers(0, 255), st.binary(max_size=50)),
)
def test_changes_on_the_wire_end_well(
    how: str, role: str, scenario: str, flight: int, index: int, at: int, other: bytes
) -> None:
    """Here the record protection must notice: nothing that was changed may be believed."""
    joined = pair(SERVERS[scenario], CLIENT)
    seen = -1

    def change(stream: bytes) -> bytes:
        nonlocal seen
        seen += 1
        if seen != flight:
            return stream
        return b"".join(changed_records(list(record_by_record(stream)), how, index, at, other))

    if role == "client":
        joined.to_server = change
    else:
        joined.to_client = change
    check_end(joined, keys_may_differ=True)


every_role = pytest.mark.parametrize("role", ["client", "server"])


_ANY_RECORDS: Final = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.builds(plain_record, st.integers(18, 26), st.binary(max_size=60), st.sampled_from([b"\3\1", b"\3\3"])),
        st.builds(
            lambda kind, body: plain_record(22, with_length(kind, body)), st.integers(0, 25), st.binary(max_size=100)
        ),
    ),
    max_size=6,
)


@every_role
@more(5)
@given(parts=_ANY_RECORDS, sizes=st.lists(st.integers(1, 60), max_size=4))
def test_any_bytes_to_a_fresh_connection_end_well(role: str, parts: list[bytes], sizes: list[int]) -> None:
    connection: Connection = (
        ServerConnection(SERVERS["retried"]) if role == "server" else ClientConnection(CLIENT, "localhost")
    )
    connection.data_to_send()
    got = feed(connection, split_at(sizes)(b"".join(parts)))
    assert got == b"", "application data came out of bytes that no key protects"
    failure = connection.failure
    assert failure is None or type(failure) in {
        PeerMisbehaved,
        DecodeError,
        PeerIncompatible,
        AlertReceived,
        UnexpectedEOF,
    }
    answer = connection.data_to_send()
    if failure is not None and failure.alert is not None:
        assert answer.endswith(plain_record(21, bytes([2, failure.alert]))), "the alert is not sent"
    if failure is None:
        with pytest.raises(TLSError):
            connection.receive_eof()


POST_HANDSHAKE: Final[list[Any]] = [
    KeyUpdate(update_requested=True),
    KeyUpdate(update_requested=False),
    NewSessionTicket(lifetime=1, age_add=2, nonce=b"n", ticket=b"t", early_data=5),
]


_AFTERWARDS: Final = st.lists(
    st.builds(lambda message, change: change(encode_message(message)), st.sampled_from(POST_HANDSHAKE), CHANGES)
    | st.builds(lambda kind, content: [Record(kind, content)], st.integers(18, 26), st.binary(max_size=60)),
    min_size=1,
    max_size=5,
)


@every_role
@more(5)
@given(stories=_AFTERWARDS, sizes=st.lists(st.integers(1, 60), max_size=4))
def test_any_records_after_the_handshake_end_well(role: str, stories: list[list[Item]], sizes: list[int]) -> None:
    # A client that keeps sessions, and none from one story to the next: tickets are read and stored.
    joined = connect(SERVERS["direct"], replace(CLIENT, sessions=MemoryClientSessions()))
    victim, sender = (joined.client, joined.server) if role == "client" else (joined.server, joined.client)
    for items in stories:
        say(sender, *items)
    feed(victim, split_at(sizes)(sender.data_to_send()))
    feed(sender, [victim.data_to_send()])
    failure = victim.failure
    assert failure is None or type(failure) in {PeerMisbehaved, DecodeError, AlertReceived}
    if failure is not None and failure.alert is not None:
        assert isinstance(sender.failure, AlertReceived), f"{failure!r} was not told: {sender.failure!r}"
        assert sender.failure.description is failure.alert


# -- Bounded memory ---------------------------------------------------------------------------------------------------


@every_role
def test_message_in_thousands_of_tiny_records_costs_no_more_than_its_length(role: str) -> None:
    """`feed` checks the bounds after each record."""
    connection: Connection = (
        ServerConnection(SERVERS["direct"]) if role == "server" else ClientConnection(CLIENT, "localhost")
    )
    kind = 1 if role == "server" else 2
    stream = with_length(kind, bytes(60_000))
    feed(connection, (plain_record(22, stream[start : start + 20]) for start in range(0, 60_000, 20)))
    assert connection.failure is None, "it is still incomplete"
    feed(connection, [plain_record(22, stream[60_000:])])
    assert isinstance(connection.failure, PeerMisbehaved)


@every_role
def test_message_that_claims_sixteen_megabytes_is_refused_by_its_header(role: str) -> None:
    connection: Connection = (
        ServerConnection(SERVERS["direct"]) if role == "server" else ClientConnection(CLIENT, "localhost")
    )
    feed(connection, [plain_record(22, b"\1\xff\xff\xff")])
    assert isinstance(connection.failure, DecodeError)
    assert connection.failure.reason is Misbehaviour.MESSAGE_TOO_LARGE


def test_certificate_list_of_the_largest_size_is_taken() -> None:
    """A server that names very many CAs is honest: the limits are above what the protocol lets it say."""
    from tests.support.identities import client_roots
    from trustls.trust.client_auth import ClientAuth

    with pytest.warns(UserWarning, match="Java"):
        auth = ClientAuth.required(client_roots(), hints=[f"CN={number:060}" for number in range(850)])
    joined = pair(server_config(client_auth=auth), CLIENT).run()
    assert joined.client.requested is not None
    assert len(joined.client.requested.authorities) == 850
