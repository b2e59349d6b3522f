"""The record layer of TLS 1.2 on a connection: nonces, order, limits, floods, the end; and no renegotiation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pytest

from tests.support.memory import Pair, byte_by_byte, check_refused, connect, feed, plain_record, records
from tests.support.scripted import Item, Record, say, sealed
from tests.support.tls12 import client12, handshake, server12
from trustls.connection import Connection
from trustls.errors import (
    AlertDescription,
    ConfigError,
    ConnectionClosed,
    Misbehaviour,
    PeerMisbehaved,
    UnexpectedEOF,
)
from trustls.protocol.record import MAX_CIPHERTEXT, MAX_PLAINTEXT
from trustls.wire.enums import CipherSuite, ContentType, SignatureScheme
from trustls.wire.messages import CertificateVerify, ClientHello, Finished, KeyUpdate, NewSessionTicket, encode_message
from trustls.wire.messages12 import HelloRequest, NewSessionTicket12, ServerHelloDone

GCM: Final = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
CHACHA: Final = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
DATA: Final = ContentType.APPLICATION_DATA
every_suite = pytest.mark.parametrize("suite", [GCM, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CHACHA])
every_role = pytest.mark.parametrize("role", ["client", "server"])


def joined12(suite: str = GCM) -> Pair:
    """A connected pair."""
    return connect(server12(), client12(suites=[suite]))


def sides(joined: Pair, role: str) -> tuple[Connection, Connection]:
    """Who sends and who gets."""
    return (joined.client, joined.server) if role == "client" else (joined.server, joined.client)


def sent_by(connection: Connection, content: bytes) -> bytes:
    """The record of `content`."""
    connection.send(content)
    return connection.data_to_send()


def check_reason(connection: Connection, reason: Misbehaviour) -> None:
    failure = connection.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is reason, f"{failure!r}"


# -- Form -------------------------------------------------------------------------------------------------------------


def test_explicit_nonce_of_aes_gcm_is_the_sequence_number() -> None:
    """RFC 5288 3: never the same twice under one key; the Finished was number 0."""
    joined = joined12(GCM)
    explicit = [sent_by(joined.client, b"same content")[5:13] for _ in range(5)]
    assert explicit == [number.to_bytes(8, "big") for number in range(1, 6)]


def test_chacha20_poly1305_sends_no_nonce() -> None:
    """RFC 7905 2: header, content, tag."""
    joined = joined12(CHACHA)
    assert len(sent_by(joined.client, b"12345678")) == 5 + 8 + 16
    assert len(sent_by(joined12(GCM).client, b"12345678")) == 5 + 8 + 8 + 16


@every_suite
def test_same_content_is_never_the_same_on_the_wire(suite: str) -> None:
    joined = joined12(suite)
    seen = {sent_by(joined.client, b"content") for _ in range(20)}
    seen |= {sent_by(joined.server, b"content") for _ in range(20)}
    assert len(seen) == 40


def test_any_explicit_nonce_of_a_peer_is_taken() -> None:
    """RFC 5246 6.2.3.3 leaves its choice to the sender: GnuTLS for example begins elsewhere."""
    joined = joined12(GCM)
    sealer: Any = joined.client._writer.sealer
    sequence = sealer.sequence

    def with_nonce(content: bytes, explicit: bytes, number: int) -> bytes:
        additional = number.to_bytes(8, "big") + b"\x17\3\3" + len(content).to_bytes(2, "big")
        ciphertext = sealer._encrypt(sealer._iv + explicit, content, additional)
        body = explicit + bytes(ciphertext)
        return b"\x17\3\3" + len(body).to_bytes(2, "big") + body

    data = with_nonce(b"one", b"\xff" * 8, sequence) + with_nonce(b"two", bytes(8), sequence + 1)
    assert feed(joined.server, [data]) == b"onetwo"


@every_suite
@pytest.mark.parametrize("split", [byte_by_byte, lambda data: (data,)], ids=["byte by byte", "at once"])
def test_content_of_any_length_arrives(suite: str, split: Any) -> None:
    joined = joined12(suite)
    for length in (0, 1, 255, MAX_PLAINTEXT, MAX_PLAINTEXT + 1):
        if length > 1000 and split is byte_by_byte:
            continue
        data = sent_by(joined.client, bytes(length))
        assert feed(joined.server, split(data)) == bytes(length)
        assert all(record.length <= MAX_CIPHERTEXT for record in records(data))


# -- Order and integrity ----------------------------------------------------------------------------------------------


@every_suite
@every_role
@pytest.mark.parametrize("how", ["replayed", "reordered", "dropped", "reflected"])
def test_records_out_of_order_are_refused(suite: str, role: str, how: str) -> None:
    joined = joined12(suite)
    sender, receiver = sides(joined, role)
    first, second = sent_by(sender, b"first"), sent_by(sender, b"second")
    attack = {
        "replayed": (first, first),
        "reordered": (second,),
        "dropped": (second,),
        "reflected": (sent_by(receiver, b"its own"),),
    }[how]
    got = feed(receiver, attack)
    assert got == (b"first" if how == "replayed" else b""), "nothing of the attack is given out"
    check_reason(receiver, Misbehaviour.BAD_RECORD_MAC)


@every_suite
def test_every_changed_byte_of_a_record_is_noticed(suite: str) -> None:
    """Header, nonce, ciphertext and tag. A longer length only makes the receiver wait; it is left out."""
    record = sent_by(joined12(suite).client, b"content")
    for place in [0, 1, 2, *range(5, len(record))]:
        joined = joined12(suite)
        changed = bytearray(sent_by(joined.client, b"content"))
        changed[place] ^= 1
        assert feed(joined.server, [bytes(changed)]) == b"", f"byte {place} was changed, and the content given out"
        assert joined.server.failure is not None, f"byte {place} was changed, and nobody noticed"


@every_suite
@pytest.mark.parametrize("size", [0, 1, 8, 15, 16, 23])
def test_record_shorter_than_its_overhead_is_refused(suite: str, size: int) -> None:
    joined = joined12(suite)
    feed(joined.server, [plain_record(DATA, bytes(size))])
    check_reason(joined.server, Misbehaviour.BAD_RECORD_MAC)


@every_suite
@every_role
def test_plaintext_over_the_limit_is_refused(suite: str, role: str) -> None:
    joined = joined12(suite)
    sender, receiver = sides(joined, role)
    feed(receiver, [sealed(sender, DATA, bytes(MAX_PLAINTEXT))])
    assert receiver.failure is None
    say(sender, Record(DATA, bytes(MAX_PLAINTEXT + 1)))
    joined.run()
    check_refused(joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.RECORD_OVERFLOW)


def test_ciphertext_over_the_limit_is_refused_by_its_header() -> None:
    joined = joined12()
    feed(joined.server, [b"\x17\3\3" + (MAX_CIPHERTEXT + 1).to_bytes(2, "big")])
    check_reason(joined.server, Misbehaviour.RECORD_OVERFLOW)


@pytest.mark.parametrize("kind", [0, 19, 25, 99, 255])
def test_unknown_content_type_is_refused(kind: int) -> None:
    joined = joined12()
    say(joined.client, Record(kind, b"x"))
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNKNOWN_CONTENT_TYPE)


def test_heartbeat_is_refused() -> None:
    joined = joined12()
    say(joined.client, Record(ContentType.HEARTBEAT, b"\1\xff\xff" + bytes(16)))
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)


# -- Floods -----------------------------------------------------------------------------------------------------------


@every_role
def test_a_few_empty_records_are_harmless_and_a_flood_is_refused(role: str) -> None:
    joined = joined12()
    sender, receiver = sides(joined, role)
    for _ in range(3):  # OpenSSL once sent one before each record of CBC suites.
        say(sender, *[Record(DATA, b"")] * 32)
        feed(receiver, [sender.data_to_send() + sent_by(sender, b"data")])
        assert receiver.failure is None, "data in between starts the count anew"
    say(sender, *[Record(DATA, b"")] * 33)
    joined.run()
    check_refused(
        joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.TOO_MANY_EMPTY_RECORDS
    )


@every_role
@pytest.mark.parametrize("kind", [ContentType.HANDSHAKE, ContentType.ALERT])
def test_empty_handshake_and_alert_records_are_refused(role: str, kind: ContentType) -> None:
    joined = joined12()
    sender, receiver = sides(joined, role)
    say(sender, Record(kind, b""))
    joined.run()
    handshake_record = kind is ContentType.HANDSHAKE
    check_reason(receiver, Misbehaviour.EMPTY_FRAGMENT if handshake_record else Misbehaviour.BAD_ALERT)


@every_role
def test_a_few_warnings_are_harmless_and_a_flood_is_refused(role: str) -> None:
    joined = joined12()
    sender, _ = sides(joined, role)
    warning = Record(ContentType.ALERT, bytes([1, AlertDescription.USER_CANCELED]))
    say(sender, *[warning] * 4)
    joined.run().check_connected()
    say(sender, warning)
    joined.run()
    check_refused(joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.TOO_MANY_WARNINGS)


@pytest.mark.parametrize("description", [10, 40, 41, 46, 90, 100, 112, 199])
def test_warnings_of_tls12_do_not_end_the_connection(description: int) -> None:
    """RFC 5246 7.2.2: only fatal ones do. (TLS 1.3 takes all alerts as fatal.)"""
    joined = joined12()
    say(joined.server, Record(ContentType.ALERT, bytes([1, description])))
    joined.run().check_connected()


@pytest.mark.parametrize("content", [b"\2", b"\2\x28\0", b"\2\x28\2\x28"])
def test_alert_that_is_none_is_refused(content: bytes) -> None:
    joined = joined12()
    say(joined.client, Record(ContentType.ALERT, content))
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_ALERT)


@every_role
@pytest.mark.parametrize("level", [0, 3, 255])
def test_alert_of_an_unknown_level_is_refused(role: str, level: int) -> None:
    joined = joined12()
    sender, _ = sides(joined, role)
    say(sender, Record(ContentType.ALERT, bytes([level, AlertDescription.USER_CANCELED])))
    joined.run()
    check_refused(joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.UNKNOWN_ALERT_LEVEL)


# -- The end ----------------------------------------------------------------------------------------------------------


@every_role
def test_close_notify_ends_one_direction(role: str) -> None:
    joined = joined12()
    sender, receiver = sides(joined, role)
    sender.send(b"last words")
    sender.close()
    joined.run()
    assert receiver.peer_closed
    assert bytes(joined.server_got if role == "client" else joined.client_got) == b"last words"
    receiver.send(b"an answer")
    joined.run()
    assert bytes(joined.client_got if role == "client" else joined.server_got) == b"an answer"
    receiver.receive_eof()
    with pytest.raises(ConnectionClosed):
        sender.send(b"more")


def test_data_behind_close_notify_is_not_given_out() -> None:
    joined = joined12()
    joined.client.close()
    closing = joined.client.data_to_send()
    assert feed(joined.server, [closing + sealed(joined.client, DATA, b"after the end")]) == b""
    assert joined.server.failure is None


@every_role
def test_end_of_the_transport_without_close_notify_is_a_truncation(role: str) -> None:
    joined = joined12()
    _, receiver = sides(joined, role)
    with pytest.raises(UnexpectedEOF):
        receiver.receive_eof()


def test_close_notify_in_the_clear_is_no_end() -> None:
    """Anybody could send it."""
    joined = joined12()
    feed(joined.server, [plain_record(21, b"\1\0")])
    assert not joined.server.peer_closed
    check_reason(joined.server, Misbehaviour.BAD_RECORD_MAC)


# -- Keys are for so many records, and there are no others ------------------------------------------------------------


@every_role
def test_key_that_is_used_up_seals_no_more_data(role: str) -> None:
    joined = joined12()
    sender, receiver = sides(joined, role)
    sealer: Any = sender._writer.sealer
    sealer.limit = sealer.sequence + 4
    assert feed(receiver, [sent_by(sender, bytes(3 * MAX_PLAINTEXT))]) == bytes(3 * MAX_PLAINTEXT)
    for _ in range(2):
        with pytest.raises(ConnectionClosed, match="used up"):
            sender.send(b"one too many")
    assert sender.data_to_send() == b"", "nothing of it was sealed"
    sender.close()  # There is room left to say goodbye.
    joined.run()
    assert receiver.peer_closed
    assert receiver.failure is None


def test_keys_cannot_be_updated() -> None:
    joined = joined12()
    with pytest.raises(ConfigError, match="no key update"):
        joined.client.update_keys()
    joined.check_connected()


# -- No renegotiation -------------------------------------------------------------------------------------------------


def hello_again() -> ClientHello:
    return ClientHello(random=b"r" * 32, cipher_suites=(CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,))


def alerts(sender: Connection, receiver: Connection) -> list[bytes]:
    """What `sender` answers, opened as its peer does."""
    found = []
    for record in records(sender.data_to_send()):
        assert record.content_type == ContentType.ALERT, "nothing but alerts is answered"
        opener: Any = receiver._opener
        out = memoryview(bytearray(100))
        _, stop = opener.open(record.raw[:5], memoryview(record.raw)[5:], out, 0)
        found.append(bytes(out[:stop]))
    return found


@every_role
def test_renegotiation_is_declined_with_a_warning_and_data_goes_on(role: str) -> None:
    """RFC 5746 4.5; `role` asks: a client with a ClientHello, a server with a HelloRequest."""
    joined = joined12()
    sender, receiver = sides(joined, role)
    asks: Item = hello_again() if role == "client" else HelloRequest()
    for number in range(4):
        say(sender, asks)
        assert feed(receiver, [sender.data_to_send()]) == b""
        assert alerts(receiver, sender) == [bytes([1, AlertDescription.NO_RENEGOTIATION_RESERVED])]
        data = f"data {number}".encode()
        assert feed(receiver, [sent_by(sender, data)]) == data, "the connection goes on under its keys"
        assert feed(sender, [sent_by(receiver, data)]) == data
    say(sender, asks)
    joined.run()
    check_refused(
        joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.RENEGOTIATION_REPEATED
    )


def test_renegotiation_changes_nothing_of_what_is_known() -> None:
    """CVE-2009-3555: whoever comes after the handshake speaks for the peer of the handshake, or not at all."""
    joined = joined12()
    before = (joined.client.info, joined.client.peer, joined.client.export("x", 32))
    say(joined.server, HelloRequest())
    joined.run().check_connected()
    assert (joined.client.info, joined.client.peer, joined.client.export("x", 32)) == before


def test_renegotiation_is_not_answered_after_close() -> None:
    joined = joined12()
    joined.client.close()
    joined.client.data_to_send()
    say(joined.server, HelloRequest())
    feed(joined.client, [joined.server.data_to_send()])
    assert joined.client.failure is None
    assert joined.client.data_to_send() == b"", "this side has said that it sends no more"


STRANGERS: Final = [
    KeyUpdate(update_requested=True),
    NewSessionTicket(lifetime=1, age_add=1, nonce=b"", ticket=b"t"),
    NewSessionTicket12(lifetime=1, ticket=b"t"),
    Finished(verify_data=bytes(12)),
    ServerHelloDone(),
    CertificateVerify(scheme=SignatureScheme.ED25519, signature=b"s"),
    handshake(99, b"abc"),
]


@every_role
@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda item: type(item).__name__)
def test_other_messages_after_the_handshake_are_refused(role: str, stranger: Any) -> None:
    joined = joined12()
    sender, _ = sides(joined, role)
    say(sender, stranger)
    joined.run()
    check_refused(joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize(("role", "item"), [("client", HelloRequest()), ("server", hello_again())])
def test_the_other_sides_request_is_refused(role: str, item: Any) -> None:
    joined = joined12()
    sender, _ = sides(joined, role)
    say(sender, item)
    joined.run()
    check_refused(joined, "server" if role == "client" else "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def test_data_in_the_middle_of_a_message_after_the_handshake_is_refused() -> None:
    joined = joined12()
    raw = encode_message(hello_again())
    pieces: Iterable[Item] = (Record(22, raw[:10]), Record(DATA, b"data"), Record(22, raw[10:]))
    say(joined.client, *pieces)
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.INTERLEAVED_RECORD)
    assert not joined.server_got
