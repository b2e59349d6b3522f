"""The rules of the record layer, on both sides: what may come when, how large, how often (RFC 9846 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.identities import client_config, client_credential, required, server_config
from tests.support.memory import (
    Pair,
    check_bounds,
    check_refused,
    connect,
    feed,
    pair,
    plain_record,
    records,
    sending_secret,
)
from tests.support.scripted import NewRecord, Record, ScriptedClient, ScriptedServer, Wire, on, say, sealed
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.crypto.aead import TAG_LENGTH
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    DecodeError,
    Misbehaviour,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.protocol.record import MAX_CIPHERTEXT, MAX_PLAINTEXT, Sealer
from trustls.wire.enums import ContentType
from trustls.wire.messages import (
    CertificateMessage,
    ClientHello,
    EncryptedExtensions,
    Finished,
    KeyUpdate,
    NewSessionTicket,
    encode_message,
)

CCS = plain_record(20, b"\1")


def fresh(role: str) -> Connection:
    """A connection that waits for its peer's first message."""
    if role == "server":
        return ServerConnection(server_config())
    client = ClientConnection(client_config(), "localhost")
    client.data_to_send()
    return client


both_roles = pytest.mark.parametrize("role", ["client", "server"])


def reason_of(connection: Connection, data: bytes) -> Misbehaviour:
    """Why a connection refuses these bytes."""
    feed(connection, [data])
    failure = connection.failure
    assert isinstance(failure, PeerMisbehaved), f"not refused: {failure!r}"
    return failure.reason


# -- The first bytes --------------------------------------------------------------------------------------------------


@both_roles
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
        b"\0" * 20,
        b"\xff" * 20,
        b"\x16\2\0\0\5\1\0\0\0\0",
    ],
    ids=["HTTP request", "HTTP response", "SSH", "SSL 2 hello", "zeros", "ones", "version 2"],
)
def test_what_is_no_tls_is_refused_by_its_first_bytes(role: str, data: bytes) -> None:
    connection = fresh(role)
    reason = reason_of(connection, data)
    assert reason is Misbehaviour.NOT_TLS
    assert connection.data_to_send() == plain_record(21, b"\2\x46"), "protocol_version"


@both_roles
def test_sentence_shows_what_came_instead_of_tls(role: str) -> None:
    connection = fresh(role)
    with pytest.raises(PeerMisbehaved, match=r"does not look like TLS.*GET"):
        connection.receive(b"GET / HTTP/1.1\r\n")


@both_roles
def test_fewer_bytes_than_a_header_wait(role: str) -> None:
    connection = fresh(role)
    assert connection.receive(b"\x16\3\3\0") == b""
    assert connection.failure is None


@both_roles
@pytest.mark.parametrize("kind", [0, 19, 25, 128, 255])
def test_unknown_content_type_in_the_clear_is_refused(role: str, kind: int) -> None:
    assert reason_of(fresh(role), plain_record(kind, b"x")) is Misbehaviour.UNKNOWN_CONTENT_TYPE


@both_roles
@pytest.mark.parametrize("kind", [ContentType.APPLICATION_DATA, ContentType.HEARTBEAT])
def test_data_and_heartbeat_may_not_come_in_the_clear(role: str, kind: int) -> None:
    assert reason_of(fresh(role), plain_record(kind, b"x")) is Misbehaviour.UNEXPECTED_RECORD


@both_roles
def test_empty_handshake_record_is_refused(role: str) -> None:
    assert reason_of(fresh(role), plain_record(22, b"")) is Misbehaviour.EMPTY_FRAGMENT


@both_roles
def test_plain_record_over_its_limit_is_refused_by_its_header(role: str) -> None:
    connection = fresh(role)
    header = plain_record(22, bytes(MAX_PLAINTEXT + 1))[:5]
    assert reason_of(connection, header) is Misbehaviour.RECORD_OVERFLOW
    assert connection.data_to_send() == plain_record(21, b"\2\x16"), "record_overflow, before any of it was kept"


@pytest.mark.parametrize("version", [b"\3\1", b"\3\3", b"\3\4", b"\3\xff"], ids=lambda version: version.hex())
def test_version_in_the_header_of_the_hello_does_not_matter(version: bytes) -> None:
    """RFC 9846 5.1: legacy_record_version is ignored."""
    joined = pair()
    first = joined.client.data_to_send()
    feed(joined.server, [first[:1] + version + first[3:]])
    joined.run().check_connected()


@pytest.mark.parametrize("versions", [["1.3"], ["1.2"], ["1.3", "1.2"]], ids=" and ".join)
def test_first_flight_says_tls10_in_its_header_and_nothing_else_does(versions: list[str]) -> None:
    """RFC 9846 5.1 allows it for the first ClientHello alone, and there are old servers that look for it."""
    seen: dict[str, list[bytes]] = {"client": [], "server": []}

    def watched(role: str) -> Callable[[bytes], bytes]:
        def note(data: bytes) -> bytes:
            seen[role] += [record.raw[1:3] for record in records(data)]
            return data

        return note

    joined = pair(server_config(groups=["secp256r1"]), client_config(versions=versions))
    joined.to_server, joined.to_client = watched("client"), watched("server")
    joined.run().check_connected()
    assert joined.client.info.retried == ("1.3" in versions), "there should have been a second ClientHello"
    assert seen["client"][0] == b"\3\1"
    assert set(seen["client"][1:]) == set(seen["server"]) == {b"\3\3"}


# -- change_cipher_spec -----------------------------------------------------------------------------------------------


def test_change_cipher_spec_before_the_client_hello_is_refused() -> None:
    assert reason_of(fresh("server"), CCS) is Misbehaviour.BAD_CHANGE_CIPHER_SPEC


@pytest.mark.parametrize("count", [1, 2])
def test_change_cipher_spec_may_come_while_the_handshake_lasts(count: int) -> None:
    joined = pair()
    feed(joined.client, [CCS] * (count - 1))
    joined.step()  # The server sends its own.
    assert joined.client.failure is None
    joined.run().check_connected()


@both_roles
def test_too_many_change_cipher_specs_are_refused(role: str) -> None:
    joined = pair()
    feed(joined.server, [joined.client.data_to_send()])
    connection = joined.client if role == "client" else joined.server
    assert reason_of(connection, CCS * 100) is Misbehaviour.BAD_CHANGE_CIPHER_SPEC


@both_roles
@pytest.mark.parametrize("content", [b"", b"\0", b"\2", b"\1\1", b"\1" * 1000], ids=len)
def test_change_cipher_spec_of_another_content_is_refused(role: str, content: bytes) -> None:
    joined = pair()
    feed(joined.server, [joined.client.data_to_send()])
    connection = joined.client if role == "client" else joined.server
    assert reason_of(connection, plain_record(20, content)) is Misbehaviour.BAD_CHANGE_CIPHER_SPEC


@both_roles
def test_change_cipher_spec_after_the_handshake_is_refused(role: str) -> None:
    joined = connect()
    connection = joined.client if role == "client" else joined.server
    assert reason_of(connection, CCS) is Misbehaviour.BAD_CHANGE_CIPHER_SPEC


@both_roles
def test_change_cipher_spec_inside_a_handshake_message_is_refused(role: str) -> None:
    joined = pair()
    if role == "server":
        hello = joined.client.data_to_send()[5:]
        joined.server.receive(plain_record(22, hello[:50]))
        assert reason_of(joined.server, CCS) is Misbehaviour.BAD_CHANGE_CIPHER_SPEC
    else:
        feed(joined.server, [joined.client.data_to_send()])
        hello = records(joined.server.data_to_send())[0].raw[5:]
        joined.client.receive(plain_record(22, hello[:50]))
        assert reason_of(joined.client, CCS) is Misbehaviour.BAD_CHANGE_CIPHER_SPEC


def test_encrypted_change_cipher_spec_is_refused() -> None:
    """RFC 9846 5: it is allowed in the clear, with one content, and nowhere else."""
    edit = on(EncryptedExtensions, lambda message: (Record(20, b"\1"), message))
    joined = Pair(ClientConnection(client_config(), "localhost"), ScriptedServer(server_config(), edit)).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)


@both_roles
@pytest.mark.parametrize("kind", [20, 24, 0, 25, 99, 255])
def test_protected_record_of_another_type_is_refused(role: str, kind: int) -> None:
    joined = connect()
    victim, sender = side_of(joined, role)
    if kind == 0:
        feed(victim, [sealed(sender, 0, b"\0\0")])
    else:
        feed(victim, [sealed(sender, kind, b"\1")])
    failure = victim.failure
    assert isinstance(failure, PeerMisbehaved)
    expected = {
        0: Misbehaviour.NO_INNER_CONTENT_TYPE,
        20: Misbehaviour.UNEXPECTED_RECORD,
        24: Misbehaviour.UNEXPECTED_RECORD,
    }
    assert failure.reason is expected.get(kind, Misbehaviour.UNKNOWN_CONTENT_TYPE)
    assert failure.alert is AlertDescription.UNEXPECTED_MESSAGE


def side_of(joined: Pair, role: str) -> tuple[Connection, Connection]:
    """The victim, and who sends to it."""
    return (joined.client, joined.server) if role == "client" else (joined.server, joined.client)


# -- After the handshake ----------------------------------------------------------------------------------------------


@both_roles
@pytest.mark.parametrize("kind", [0, 21, 22, 23, 24, 99])
def test_nothing_may_come_in_the_clear_after_the_handshake(role: str, kind: int) -> None:
    """All but an alert is decrypted, whatever it says that it is (RFC 9846 5.2)."""
    victim, _ = side_of(connect(), role)
    expected = Misbehaviour.UNEXPECTED_RECORD if kind == 21 else Misbehaviour.BAD_RECORD_MAC
    assert reason_of(victim, plain_record(kind, b"\2\x28" + bytes(20))) is expected


@both_roles
@pytest.mark.parametrize("kind", [22, 23, 24, 99])
def test_nothing_may_come_in_the_clear_once_there_are_keys(role: str, kind: int) -> None:
    """In the middle of the handshake: the server waits for the client's Finished, the client for the server's."""
    joined = pair()
    feed(joined.server, [joined.client.data_to_send()])
    hello, *_ = records(joined.server.data_to_send())
    feed(joined.client, [hello.raw])
    victim, _ = side_of(joined, role)
    assert reason_of(victim, plain_record(kind, bytes(30))) is Misbehaviour.BAD_RECORD_MAC


def sealed_as(connection: Connection, outer: int, inner: int, content: bytes) -> bytes:
    """A record that decrypts, and that does not look like application data on the outside."""
    sealer = connection._sealer()
    assert isinstance(sealer, Sealer)
    plaintext = content + bytes([inner])
    header = bytes([outer, 3, 3]) + (len(plaintext) + TAG_LENGTH).to_bytes(2, "big")
    nonce = (sealer._iv ^ sealer.sequence).to_bytes(12, "big")
    return header + sealer._aead.encrypt(nonce, plaintext, header)


@both_roles
@pytest.mark.parametrize("inner", [22, 23])
@pytest.mark.parametrize("outer", [0, 22, 24, 99])
def test_encrypted_record_looks_like_application_data_or_is_refused(role: str, outer: int, inner: int) -> None:
    """RFC 9846 5.2: "opaque_type: always 23"; though what is inside is authentic."""
    victim, sender = side_of(connect(), role)
    assert feed(victim, [sealed_as(sender, 23, 23, b"")]) == b"", "the record is made wrong in more than its type"
    assert victim.failure is None
    sender._sealer().sequence += 1
    assert reason_of(victim, sealed_as(sender, outer, inner, b"data")) is Misbehaviour.UNEXPECTED_RECORD


@both_roles
def test_data_that_came_before_a_failure_is_given_before_it_is_raised(role: str) -> None:
    victim, sender = side_of(connect(), role)
    sender.send(b"before")
    stream = sender.data_to_send() + plain_record(22, b"\0\0\0\0")
    assert victim.receive(stream) == b"before"
    assert isinstance(victim.failure, PeerMisbehaved)
    for _ in range(2):
        with pytest.raises(PeerMisbehaved) as raised:
            victim.receive(b"more")
        assert raised.value is victim.failure, "the first failure stays"


@both_roles
def test_record_that_was_changed_on_its_way_ends_the_connection(role: str) -> None:
    joined = connect()
    victim, sender = side_of(joined, role)
    sender.send(b"data")
    record = bytearray(sender.data_to_send())
    record[-1] ^= 1
    feed(victim, [bytes(record)])
    joined.run()
    check_refused(joined, role, PeerMisbehaved, Misbehaviour.BAD_RECORD_MAC)


@both_roles
def test_record_that_comes_twice_ends_the_connection(role: str) -> None:
    victim, sender = side_of(connect(), role)
    sender.send(b"data")
    record = sender.data_to_send()
    assert victim.receive(record) == b"data"
    assert reason_of(victim, record) is Misbehaviour.BAD_RECORD_MAC


@both_roles
@pytest.mark.parametrize("size", [0, 1, 15])
def test_protected_record_shorter_than_its_tag_is_refused(role: str, size: int) -> None:
    victim, _ = side_of(connect(), role)
    assert reason_of(victim, plain_record(23, bytes(size))) is Misbehaviour.BAD_RECORD_MAC


@both_roles
def test_protected_record_over_its_limit_is_refused_by_its_header(role: str) -> None:
    joined = connect()
    victim, _ = side_of(joined, role)
    assert reason_of(victim, b"\x17\3\3" + (MAX_CIPHERTEXT + 1).to_bytes(2, "big")) is Misbehaviour.RECORD_OVERFLOW
    joined.run()
    check_refused(joined, role, PeerMisbehaved, Misbehaviour.RECORD_OVERFLOW)


@both_roles
@pytest.mark.parametrize(
    ("content", "padding", "fits"),
    [
        (MAX_PLAINTEXT, 0, True),
        (MAX_PLAINTEXT - 1, 1, True),
        (100, MAX_PLAINTEXT - 100, True),
        (0, MAX_PLAINTEXT, True),
        (MAX_PLAINTEXT + 1, 0, False),
        (MAX_PLAINTEXT, 1, False),
        (100, MAX_PLAINTEXT - 99, False),
        (0, MAX_PLAINTEXT + 1, False),
        (100, MAX_PLAINTEXT + 100, False),
    ],
)
def test_content_and_padding_together_keep_to_the_limit(role: str, content: int, padding: int, fits: bool) -> None:
    """RFC 9846 5.4: "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets", padding included."""
    victim, sender = side_of(connect(), role)
    record = sealed(sender, ContentType.APPLICATION_DATA, b"x" * content, padding=padding)
    got = feed(victim, [record])
    if fits:
        assert victim.failure is None
        assert len(got) == content
    else:
        failure = victim.failure
        assert isinstance(failure, PeerMisbehaved), f"{content} bytes and {padding} of padding were accepted"
        assert failure.reason is Misbehaviour.RECORD_OVERFLOW


@both_roles
def test_empty_records_are_allowed_in_small_number(role: str) -> None:
    """RFC 9846 5.1: zero-length application data hides traffic; thousands of it cost the receiver only."""
    victim, sender = side_of(connect(), role)
    for _ in range(5):
        feed(victim, [sealed(sender, 23, b"") for _ in range(20)])
        assert feed(victim, [sealed(sender, 23, b"data")]) == b"data", "data in between starts the count anew"
    assert victim.failure is None
    feed(victim, [sealed(sender, 23, b"", padding=100) for _ in range(200)])
    failure = victim.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.TOO_MANY_EMPTY_RECORDS


@both_roles
@pytest.mark.parametrize("kind", [21, 22])
def test_empty_handshake_and_alert_records_are_refused(role: str, kind: int) -> None:
    """RFC 9846 5.1: an empty fragment of these types MUST NOT be sent."""
    victim, sender = side_of(connect(), role)
    feed(victim, [sealed(sender, kind, b"")])
    assert isinstance(victim.failure, PeerMisbehaved)


@both_roles
@pytest.mark.parametrize("between", [23, 21], ids=["data", "alert"])
def test_record_between_the_parts_of_a_handshake_message_is_refused(role: str, between: int) -> None:
    """RFC 9846 5.1: handshake messages MUST NOT be interleaved with other record types."""
    victim, sender = side_of(connect(), role)
    say(sender, Record(22, b"\x18\0\0"), Record(between, b"\1\x5a"), Record(22, b"\1\0"))
    assert reason_of(victim, sender.data_to_send()) is Misbehaviour.INTERLEAVED_RECORD


def test_alert_between_the_parts_of_a_server_hello_is_refused() -> None:
    client = fresh("client")
    client.receive(plain_record(22, b"\2\0\0\x50\3\3"))
    assert reason_of(client, plain_record(21, b"\1\x5a")) is Misbehaviour.INTERLEAVED_RECORD


def test_empty_data_between_the_parts_of_a_handshake_message_is_refused() -> None:
    joined = connect()
    say(joined.server, Record(22, b"\x18\0\0"), Record(23, b""), Record(22, b"\1\0"))
    assert reason_of(joined.client, joined.server.data_to_send()) is Misbehaviour.INTERLEAVED_RECORD


# -- Data before its time ---------------------------------------------------------------------------------------------


def test_client_refuses_data_in_the_middle_of_the_handshake() -> None:
    edit = on(EncryptedExtensions, lambda message: (message, Record(23, b"too early")))
    joined = Pair(ClientConnection(client_config(), "localhost"), ScriptedServer(server_config(), edit)).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)
    assert joined.client_got == b"", "data from before the server's Finished was given to the application"


def test_not_even_empty_data_may_come_in_the_middle_of_the_handshake() -> None:
    from_server = on(EncryptedExtensions, lambda message: (message, Record(23, b"")))
    joined = Pair(ClientConnection(client_config(), "localhost"), ScriptedServer(server_config(), from_server)).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)
    from_client = on(Finished, lambda message: (Record(23, b""), message))
    joined = Pair(ScriptedClient(client_config(), from_client), ServerConnection(server_config())).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)


def test_server_refuses_data_before_the_finished_of_the_client() -> None:
    edit = on(Finished, lambda message: (Record(23, b"too early"), message))
    joined = Pair(ScriptedClient(client_config(), edit), ServerConnection(server_config())).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)
    assert joined.server_got == b"", "data from before the client's Finished was given to the application"


# -- Alerts -----------------------------------------------------------------------------------------------------------


@both_roles
@pytest.mark.parametrize("content", [b"\2", b"\2\x28\0", b"\2\x28\2\x28"], ids=len)
def test_alert_of_another_length_is_a_decode_error(role: str, content: bytes) -> None:
    assert reason_of(fresh(role), plain_record(21, content)) is Misbehaviour.BAD_ALERT


@both_roles
def test_fatal_alert_ends_the_connection_and_is_not_answered(role: str) -> None:
    joined = connect()
    victim, sender = side_of(joined, role)
    say(sender, Record(21, bytes([2, AlertDescription.HANDSHAKE_FAILURE])))
    feed(victim, [sender.data_to_send()])
    failure = victim.failure
    assert isinstance(failure, AlertReceived)
    assert failure.description is AlertDescription.HANDSHAKE_FAILURE
    assert "found no parameters in common" in str(failure)
    assert victim.data_to_send() == b"", "an alert is not answered with an alert"


@both_roles
@pytest.mark.parametrize("description", [0, 40, 90], ids=lambda number: AlertDescription(number).name.lower())
@pytest.mark.parametrize("level", [0, 3, 0x42, 255])
def test_alert_that_is_neither_a_warning_nor_fatal_is_refused(role: str, level: int, description: int) -> None:
    """RFC 9846 6: there are two levels. Not even a close_notify is one then, nor a user_canceled."""
    joined = connect()
    victim, sender = side_of(joined, role)
    say(sender, Record(21, bytes([level, description])))
    joined.run()
    failure = check_refused(joined, role, PeerMisbehaved, Misbehaviour.UNKNOWN_ALERT_LEVEL)
    assert failure.alert is AlertDescription.ILLEGAL_PARAMETER
    assert not victim.peer_closed


@both_roles
@pytest.mark.parametrize("description", [10, 40, 41, 46, 100, 112, 199])
def test_warning_that_tls13_does_not_have_is_refused(role: str, description: int) -> None:
    """RFC 9846 6: it has close_notify and user_canceled, and all else is sent as fatal."""
    joined = connect()
    _, sender = side_of(joined, role)
    say(sender, Record(21, bytes([1, description])))
    joined.run()
    failure = check_refused(joined, role, PeerMisbehaved, Misbehaviour.BAD_ALERT)
    assert failure.alert is AlertDescription.DECODE_ERROR
    assert "as a warning" in str(failure), "the sentence does not say what is wrong with it"


@both_roles
@pytest.mark.parametrize("level", [1, 2])
def test_level_of_an_alert_does_not_matter_before_the_version_is_known(role: str, level: int) -> None:
    """It may be TLS 1.2's or 1.3's; a client's handshake is over in any case."""
    connection = fresh(role)
    feed(connection, [plain_record(21, bytes([level, AlertDescription.HANDSHAKE_FAILURE]))])
    if (role, level) == ("server", 1):
        assert connection.failure is None, "a warning before the ClientHello says nothing yet"
        return
    assert isinstance(connection.failure, AlertReceived)
    assert connection.failure.description is AlertDescription.HANDSHAKE_FAILURE


def test_warnings_before_the_client_hello_are_few() -> None:
    server = fresh("server")
    warning = plain_record(21, bytes([1, AlertDescription.NO_RENEGOTIATION_RESERVED]))
    feed(server, [warning] * 4)
    assert server.failure is None
    feed(server, [warning])
    assert isinstance(server.failure, PeerMisbehaved)
    assert server.failure.reason is Misbehaviour.TOO_MANY_WARNINGS


@both_roles
@pytest.mark.parametrize("level", [1, 2])
def test_level_of_a_close_notify_does_not_matter(role: str, level: int) -> None:
    joined = connect()
    victim, sender = side_of(joined, role)
    say(sender, Record(21, bytes([level, AlertDescription.CLOSE_NOTIFY])))
    feed(victim, [sender.data_to_send()])
    assert victim.peer_closed
    assert victim.failure is None


@both_roles
def test_alert_of_an_unknown_number_is_fatal_too(role: str) -> None:
    connection = fresh(role)
    feed(connection, [plain_record(21, b"\2\xc8")])
    failure = connection.failure
    assert isinstance(failure, AlertReceived)
    assert (failure.description, failure.code) == (None, 200)
    assert "unknown alert 200" in str(failure)


@both_roles
def test_user_canceled_alone_means_nothing(role: str) -> None:
    joined = connect()
    victim, sender = side_of(joined, role)
    say(sender, Record(21, b"\1\x5a"))
    feed(victim, [sender.data_to_send()])
    joined.check_connected()


@both_roles
def test_flood_of_user_canceled_is_refused(role: str) -> None:
    victim, sender = side_of(connect(), role)
    say(sender, *[Record(21, b"\1\x5a")] * 50)
    assert reason_of(victim, sender.data_to_send()) is Misbehaviour.TOO_MANY_WARNINGS


@pytest.mark.parametrize("alert", [AlertDescription.HANDSHAKE_FAILURE, AlertDescription.PROTOCOL_VERSION])
def test_plain_alert_instead_of_a_server_hello_is_read(alert: AlertDescription) -> None:
    client = fresh("client")
    feed(client, [plain_record(21, bytes([2, alert]))])
    assert isinstance(client.failure, AlertReceived)
    assert client.failure.description is alert


def test_plain_alert_of_a_client_that_could_not_read_the_server_hello_is_read() -> None:
    joined = pair()
    feed(joined.server, [joined.client.data_to_send()])
    feed(joined.server, [plain_record(21, b"\2\x2f")])
    assert isinstance(joined.server.failure, AlertReceived)
    assert joined.server.failure.description is AlertDescription.ILLEGAL_PARAMETER


def test_plain_alert_after_the_first_protected_record_is_refused() -> None:
    """Whoever has keys encrypts its alerts; one in the clear could be anybody's on the way."""
    # The client's Certificate comes in a record of its own, and after it an alert in the clear.
    edit = on(CertificateMessage, lambda message: (message, NewRecord(), Wire(plain_record(21, b"\2\x28"))))
    client = ScriptedClient(client_config(credentials=[client_credential()]), edit)
    joined = Pair(client, ServerConnection(server_config(client_auth=required()))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)


@both_roles
def test_close_notify_during_the_handshake_is_an_unexpected_end(role: str) -> None:
    connection = fresh(role)
    with pytest.raises(UnexpectedEOF, match="during the handshake"):
        connection.receive(plain_record(21, b"\1\0"))
    assert connection.data_to_send() == b""


# -- Messages after the handshake -------------------------------------------------------------------------------------

TICKET = NewSessionTicket(lifetime=7200, age_add=1, nonce=b"\0", ticket=b"ticket", unknown_extensions=((0x0A0A, b""),))


def test_client_passes_over_session_tickets() -> None:
    joined = connect()
    say(joined.server, TICKET, TICKET)
    joined.run().check_connected()


def test_server_refuses_a_session_ticket() -> None:
    joined = connect()
    say(joined.client, TICKET)
    joined.run()
    failure = check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)
    assert "new_session_ticket after the handshake" in str(failure)


def test_client_refuses_a_session_ticket_that_cannot_be_read() -> None:
    joined = connect()
    say(joined.server, b"\4\0\0\2\0\0")
    joined.run()
    check_refused(joined, "client", DecodeError, Misbehaviour.TRUNCATED)


@both_roles
@pytest.mark.parametrize("kind", [0, 1, 2, 8, 11, 13, 15, 20, 25, 99])
def test_other_messages_after_the_handshake_are_refused(role: str, kind: int) -> None:
    """A renegotiation, a late CertificateRequest: neither was ever offered."""
    joined = connect()
    _, sender = side_of(joined, role)
    say(sender, bytes([kind]) + b"\0\0\0")
    joined.run()
    check_refused(joined, role, PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@both_roles
def test_flood_of_messages_without_data_is_refused(role: str) -> None:
    joined = connect()
    victim, sender = side_of(joined, role)
    message = TICKET if role == "client" else KeyUpdate(update_requested=False)
    for _ in range(200):
        say(sender, message)
        if role == "server":
            sender._writer.use(Sealer(sending_secret(sender).next()))
        feed(victim, [sender.data_to_send()])
        check_bounds(victim)
        if victim.failure is not None:
            break
    failure = victim.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.TOO_MANY_POST_HANDSHAKE_MESSAGES


def test_messages_with_data_between_them_are_no_flood() -> None:
    joined = connect()
    for _ in range(200):
        say(joined.server, TICKET)
        joined.server.send(b".")
        joined.run()
    assert joined.client.failure is None
    assert joined.client_got == b"." * 200


def test_session_ticket_over_many_records_is_read() -> None:
    joined = connect()
    raw = encode_message(NewSessionTicket(lifetime=1, age_add=1, nonce=b"", ticket=bytes(60_000)))
    say(joined.server, *[Record(22, raw[start : start + 1000]) for start in range(0, len(raw), 1000)])
    joined.run().check_connected()


# -- Early data that nobody asked for ---------------------------------------------------------------------------------


def offering_early_data() -> tuple[bytes, ScriptedClient]:
    """A first hello with early_data, and the client that sent it."""
    client = ScriptedClient(client_config(), on(ClientHello, lambda hello: (replace(hello, early_data=True),)))
    return client.data_to_send(), client


# What a server without tickets of its own passes over, in records of one size: content type and tag do not count.
SKIPPED = 1 << 14


@pytest.mark.parametrize(
    "sizes", [[], [17], [100] * 50, [SKIPPED + 17], [1024 + 17] * 16], ids=["none", "empty", "small", "one", "all"]
)
@pytest.mark.parametrize("group", ["x25519", "secp256r1"], ids=["at once", "after a retry"])
def test_early_data_is_passed_over(group: str, sizes: list[int]) -> None:
    """RFC 9846 4.3.10: the server drops the records that its key does not open, and after a retry all that are data."""
    hello, client = offering_early_data()
    server = ServerConnection(server_config(groups=[group]))
    feed(server, [hello])
    assert feed(server, [plain_record(23, b"\xee" * size) for size in sizes]) == b""
    assert server.failure is None, f"early data ended the connection: {server.failure!r}"
    Pair(client, server).run().check_connected()


@pytest.mark.parametrize("group", ["x25519", "secp256r1"], ids=["at once", "after a retry"])
def test_early_data_over_the_bound_ends_the_connection(group: str) -> None:
    hello, _ = offering_early_data()
    server = ServerConnection(server_config(groups=[group]))
    feed(server, [hello])
    count = 0
    while server.failure is None and count < 20:
        feed(server, [plain_record(23, b"\xee" * 16_000)])
        count += 1
    assert isinstance(server.failure, PeerMisbehaved)
    assert server.failure.reason is Misbehaviour.BAD_RECORD_MAC
    assert count == 2, f"{count} records of 16,000 bytes were passed over"


@pytest.mark.parametrize("group", ["x25519", "secp256r1"], ids=["at once", "after a retry"])
def test_early_data_may_not_go_over_the_bound_by_a_byte(group: str) -> None:
    hello, _ = offering_early_data()
    server = ServerConnection(server_config(groups=[group]))
    feed(server, [hello])
    feed(server, [plain_record(23, bytes(SKIPPED - 1 + 17))])
    assert server.failure is None, f"less than 16 KiB are not passed over: {server.failure!r}"
    assert reason_of(server, plain_record(23, bytes(2 + 17))) is Misbehaviour.BAD_RECORD_MAC


@pytest.mark.parametrize("group", ["x25519", "secp256r1"], ids=["at once", "after a retry"])
def test_early_data_does_not_lift_the_limit_of_a_record(group: str) -> None:
    hello, _ = offering_early_data()
    server = ServerConnection(server_config(groups=[group]))
    feed(server, [hello])
    header = b"\x17\3\3" + (MAX_CIPHERTEXT + 1).to_bytes(2, "big")
    feed(server, [header])
    assert isinstance(server.failure, PeerMisbehaved), "a record over 2^14 + 256 bytes is waited for"
    assert server.failure.reason is Misbehaviour.RECORD_OVERFLOW


def test_records_that_do_not_open_are_not_passed_over_without_early_data() -> None:
    joined = pair()
    feed(joined.server, [joined.client.data_to_send()])
    assert reason_of(joined.server, plain_record(23, bytes(100))) is Misbehaviour.BAD_RECORD_MAC


def test_early_data_is_over_once_a_record_has_opened() -> None:
    hello, client = offering_early_data()
    server = ServerConnection(server_config())
    feed(server, [hello])
    joined = Pair(client, server).run()
    joined.check_connected()
    assert reason_of(server, plain_record(23, bytes(100))) is Misbehaviour.BAD_RECORD_MAC


# -- Failures ---------------------------------------------------------------------------------------------------------


@both_roles
def test_after_a_failure_nothing_is_taken_and_nothing_more_is_sent(role: str) -> None:
    joined = connect()
    victim, sender = side_of(joined, role)
    sender.send(b"good")
    late = sender.data_to_send()
    feed(victim, [CCS])
    alert = victim.data_to_send()
    assert len(records(alert)) == 1, "one alert is sent"
    calls: list[Callable[[], object]] = [
        lambda: victim.receive(late),
        lambda: victim.receive(b""),
        victim.receive_eof,
        lambda: victim.send(b"x"),
        victim.update_keys,
    ]
    for call in calls:
        with pytest.raises(TLSError) as raised:
            call()
        assert raised.value is victim.failure
    victim.close()
    assert victim.data_to_send() == b""


@both_roles
def test_abort_sends_the_alert_of_the_callers_reason(role: str) -> None:
    joined = connect()
    victim, _ = side_of(joined, role)
    victim.abort(CertificateRejected(CertificateProblem.REFUSED, "not on the list"))
    victim.abort(CertificateRejected(CertificateProblem.REVOKED))
    joined.run()
    failure = check_refused(joined, role, CertificateRejected, CertificateProblem.REFUSED)
    assert failure.alert is AlertDescription.ACCESS_DENIED


def test_wire_helper_sends_what_it_is_given() -> None:
    """Guards the tests above that send raw bytes."""
    joined = connect()
    say(joined.client, Wire(b"\x17\3\3\0\0"))
    assert joined.client.data_to_send() == b"\x17\3\3\0\0"
