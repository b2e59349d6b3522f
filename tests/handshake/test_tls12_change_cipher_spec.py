"""TLS 1.2: keys change where the handshake says, and nowhere else (CVE-2014-0224 and its kin).

A change_cipher_spec is no handshake message, so no transcript covers it: only its place protects it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.support.identities import client_credential, required
from tests.support.memory import Pair, check_refused, connect, feed, pair, plain_record, records
from tests.support.scripted import Edit, Item, Record, ScriptedClient, ScriptedServer, honest, on, say
from tests.support.tls12 import client12, cut, handshake, instead_of_change_cipher_spec, server12
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import Misbehaviour, PeerMisbehaved, TLSError
from trustls.wire.enums import ContentType
from trustls.wire.messages import CertificateVerify, ClientHello, Finished, ServerHello, encode_message
from trustls.wire.messages12 import (
    CertificateMessage12,
    CertificateRequest12,
    ClientKeyExchange,
    NewSessionTicket12,
    ServerHelloDone,
    ServerKeyExchange,
)

CCS: Final = Record(ContentType.CHANGE_CIPHER_SPEC, b"\1")
every_way = pytest.mark.parametrize("resumed", [False, True], ids=["full", "abbreviated"])
every_role = pytest.mark.parametrize("role", ["client", "server"])


def configs(*, resumed: bool) -> tuple[ClientConfig, ServerConfig]:
    """A client and a server that authenticate each other, and, for `resumed`, have met before."""
    client, server = client12(credentials=[client_credential()]), server12(client_auth=required())
    if resumed:
        connect(server, client)
    return client, server


def scripted(role: str, edit: Edit = honest, *, resumed: bool = False) -> Pair:
    """A pair of which `role` follows a script; it has not spoken yet, but for a client's hello."""
    client, server = configs(resumed=resumed)
    if role == "client":
        return Pair(ScriptedClient(client, edit), ServerConnection(server))
    return Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit))


def script(joined: Pair, role: str) -> ScriptedClient | ScriptedServer:
    """The side that follows it."""
    side = joined.client if role == "client" else joined.server
    assert isinstance(side, ScriptedClient | ScriptedServer)
    return side


def victim(joined: Pair, role: str) -> Connection:
    """The other side."""
    return joined.server if role == "client" else joined.client


def other(role: str) -> str:
    return "server" if role == "client" else "client"


def check_failed(joined: Pair, role: str, *reasons: Misbehaviour) -> None:
    """The victim of `role` refused for one of the reasons, and gave out nothing."""
    side = victim(joined, role)
    failure = side.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason in reasons, f"{failure!r}"
    assert not joined.client_got, "data was given out"
    assert not joined.server_got, "data was given out"
    with pytest.raises(TLSError):
        side.send(b"data")


@every_way
@every_role
def test_script_that_changes_nothing_connects(role: str, resumed: bool) -> None:
    """The other tests here show something only because this one does not fail."""
    joined = scripted(role, resumed=resumed)
    instead_of_change_cipher_spec(script(joined, role), CCS)
    joined.run().check_connected()
    assert joined.client.info.resumed is resumed


# -- Too early: keys that an attacker knows (CVE-2014-0224) -----------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [CertificateMessage12, ServerKeyExchange, CertificateRequest12, ServerHelloDone, NewSessionTicket12],
    ids=lambda kind: kind.__name__,
)
def test_client_refuses_a_change_cipher_spec_before_its_place(before: type[Any]) -> None:
    joined = scripted("server", on(before, lambda message: (CCS, message))).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)


def test_client_refuses_a_change_cipher_spec_before_its_place_in_an_abbreviated_handshake() -> None:
    """With a new ticket on its way, the keys change behind that."""
    edit = on(ServerHello, lambda message: (replace(message, session_ticket=True),))
    joined = scripted("server", edit, resumed=True).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)


def test_change_cipher_spec_before_the_server_hello_changes_no_keys() -> None:
    """A client does not know the version yet, and TLS 1.3 drops it; what matters is that it means nothing."""
    client, server = configs(resumed=False)
    joined = Pair(ClientConnection(client, "localhost"), ScriptedServer(server))
    script(joined, "server").flow._edit = on(ServerHello, lambda message: (CCS, message))
    joined.run()
    if joined.client.failure is None:
        joined.check_connected()
    else:
        check_refused(joined, "client", PeerMisbehaved, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)


@pytest.mark.parametrize(
    "before",
    [ClientHello, CertificateMessage12, ClientKeyExchange, CertificateVerify],
    ids=lambda kind: kind.__name__,
)
def test_server_refuses_a_change_cipher_spec_before_its_place(before: type[Any]) -> None:
    joined = scripted("client", on(before, lambda message: (CCS, message))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)


def test_man_in_the_middle_who_injects_change_cipher_spec_to_both_sides_gets_nowhere() -> None:
    """The attack itself: after the hellos, before any secret is agreed on."""
    client, server = configs(resumed=False)
    joined = pair(server, client)
    injected = plain_record(20, b"\1")
    seen = [0, 0]

    def to_client(data: bytes) -> bytes:
        seen[0] += 1
        hello, *rest = [record.raw for record in records(data)]
        return hello + (injected if seen[0] == 1 else b"") + b"".join(rest)

    def to_server(data: bytes) -> bytes:
        seen[1] += 1
        return data + (injected if seen[1] == 1 else b"")

    joined.to_client, joined.to_server = to_client, to_server
    joined.run()
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.failure.reason is Misbehaviour.BAD_CHANGE_CIPHER_SPEC
    assert joined.client.failure is not None


# -- Missing ----------------------------------------------------------------------------------------------------------


@every_way
@every_role
def test_finished_in_the_clear_without_a_change_cipher_spec_is_refused(role: str, resumed: bool) -> None:
    """The right Finished, in its place, but nothing protects it."""
    joined = scripted(role, resumed=resumed)
    instead_of_change_cipher_spec(script(joined, role), keys_change=False)
    joined.run()
    check_failed(joined, role, Misbehaviour.UNEXPECTED_MESSAGE)
    assert "while waiting for change_cipher_spec" in str(victim(joined, role).failure)


@every_way
@every_role
def test_encrypted_finished_without_a_change_cipher_spec_is_refused(role: str, resumed: bool) -> None:
    """Its ciphertext is read as if it were a handshake message, which it is not."""
    joined = scripted(role, resumed=resumed)
    instead_of_change_cipher_spec(script(joined, role))
    joined.run()
    side = victim(joined, role)
    if side.failure is None:  # Random bytes may say that they are a long message.
        assert side.handshaking, "nothing may come of it"
    else:
        assert isinstance(side.failure, PeerMisbehaved), f"{side.failure!r}"


@every_way
@every_role
def test_finished_before_the_change_cipher_spec_is_refused(role: str, resumed: bool) -> None:
    """The two change places: the Finished in the clear, then the change of keys."""
    joined = scripted(role, resumed=resumed)
    side = script(joined, role)
    instead_of_change_cipher_spec(side, keys_change=False)
    side.flow._edit = on(Finished, lambda message: (message, CCS))
    joined.run()
    check_failed(joined, role, Misbehaviour.UNEXPECTED_MESSAGE)


@every_way
@every_role
def test_finished_in_the_clear_behind_the_change_cipher_spec_is_refused(role: str, resumed: bool) -> None:
    """It says that the keys have changed, and they have not."""
    joined = scripted(role, resumed=resumed)
    instead_of_change_cipher_spec(script(joined, role), CCS, keys_change=False)
    joined.run()
    check_failed(joined, role, Misbehaviour.BAD_RECORD_MAC)


# -- Twice, wrong, in pieces ------------------------------------------------------------------------------------------


@every_way
@every_role
def test_second_change_cipher_spec_is_refused(role: str, resumed: bool) -> None:
    """In the clear, behind the first: a record that should be encrypted."""
    joined = scripted(role, resumed=resumed)
    instead_of_change_cipher_spec(script(joined, role), CCS, CCS)
    joined.run()
    check_failed(joined, role, Misbehaviour.BAD_RECORD_MAC)


@every_way
@every_role
def test_second_change_cipher_spec_under_the_new_keys_is_refused(role: str, resumed: bool) -> None:
    joined = scripted(role, resumed=resumed)
    script(joined, role).flow._edit = on(Finished, lambda message: (CCS, message))
    joined.run()
    check_failed(joined, role, Misbehaviour.UNEXPECTED_RECORD)
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)


@pytest.mark.parametrize("content", [b"", b"\0", b"\2", b"\1\1", b"\1\0", b"\xff", b"\1" * 100])
@every_role
def test_change_cipher_spec_of_other_content_is_refused(role: str, content: bytes) -> None:
    joined = scripted(role)
    instead_of_change_cipher_spec(script(joined, role), Record(ContentType.CHANGE_CIPHER_SPEC, content))
    joined.run()
    check_failed(joined, role, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)


@pytest.mark.parametrize("kind", [ContentType.APPLICATION_DATA, ContentType.HEARTBEAT, ContentType.ALERT])
@every_role
def test_another_record_in_place_of_the_change_cipher_spec_is_refused(role: str, kind: ContentType) -> None:
    joined = scripted(role)
    instead_of_change_cipher_spec(script(joined, role), Record(kind, b"\1"))
    joined.run()
    check_failed(joined, role, Misbehaviour.UNEXPECTED_RECORD, Misbehaviour.BAD_ALERT)


@every_way
@pytest.mark.parametrize("length", [1, 3, 4, 15])
@every_role
def test_handshake_message_that_straddles_the_change_of_keys_is_refused(role: str, length: int, resumed: bool) -> None:
    """Begun in the clear, ended under the keys: what protects the second part says nothing of the first."""
    joined = scripted(role, resumed=resumed)
    side = script(joined, role)
    begun: list[bytes] = []

    def split(message: Finished) -> Iterable[Item]:
        raw = encode_message(message)
        begun.append(raw)
        side.flow.transcript.add(raw)
        return (Record(ContentType.HANDSHAKE, raw[length:]),)

    side.flow._edit = on(Finished, split)
    # The header of the Finished, and zeros for what is not known yet.
    partial = (handshake(20, bytes(12))[:length],)
    instead_of_change_cipher_spec(side, Record(ContentType.HANDSHAKE, partial[0]), CCS)
    joined.run()
    check_failed(joined, role, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)
    assert begun, "the script ran to its end"


@every_role
def test_change_cipher_spec_in_the_middle_of_a_message_is_refused(role: str) -> None:
    """In a message before, which then goes on."""
    kind: Any = ClientKeyExchange if role == "client" else ServerKeyExchange
    joined = scripted(role)
    side = script(joined, role)

    def interrupted(message: Any) -> Iterable[Item]:
        raw = encode_message(message)
        side.flow.transcript.add(raw)
        first, second = cut(raw, 20)
        return (Record(ContentType.HANDSHAKE, first), CCS, Record(ContentType.HANDSHAKE, second))

    side.flow._edit = on(kind, interrupted)
    joined.run()
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)


@pytest.mark.parametrize("kind", [ContentType.APPLICATION_DATA, ContentType.ALERT])
@every_role
def test_other_records_in_the_middle_of_a_message_are_refused(role: str, kind: ContentType) -> None:
    message_class: Any = ClientKeyExchange if role == "client" else ServerKeyExchange
    joined = scripted(role)
    side = script(joined, role)

    def interrupted(message: Any) -> Iterable[Item]:
        first, second = cut(encode_message(message), 20)
        return (Record(ContentType.HANDSHAKE, first), Record(kind, b"\1\x5a"), Record(ContentType.HANDSHAKE, second))

    side.flow._edit = on(message_class, interrupted)
    joined.run()
    in_the_clear = kind is ContentType.APPLICATION_DATA  # Which is refused wherever it stands.
    reason = Misbehaviour.UNEXPECTED_RECORD if in_the_clear else Misbehaviour.INTERLEAVED_RECORD
    check_refused(joined, other(role), PeerMisbehaved, reason)


# -- Data before the end ----------------------------------------------------------------------------------------------


@every_way
@every_role
def test_data_before_the_finished_is_refused(role: str, resumed: bool) -> None:
    """Under the right keys, but of somebody who has not confirmed the handshake yet."""
    joined = scripted(role, resumed=resumed)
    data = Record(ContentType.APPLICATION_DATA, b"too early")
    script(joined, role).flow._edit = on(Finished, lambda message: (data, message))
    joined.run()
    check_failed(joined, role, Misbehaviour.UNEXPECTED_RECORD)


@every_role
def test_data_in_the_clear_is_refused(role: str) -> None:
    kind: Any = ClientKeyExchange if role == "client" else ServerHelloDone
    data = Record(ContentType.APPLICATION_DATA, b"in the clear")
    joined = scripted(role, on(kind, lambda message: (data, message))).run()
    check_failed(joined, role, Misbehaviour.UNEXPECTED_RECORD)


@every_way
@every_role
def test_wrong_finished_is_refused(role: str, resumed: bool) -> None:
    def wrong(message: Finished) -> Iterable[Item]:
        return (Finished(verify_data=bytes(b ^ 1 for b in message.verify_data)),)

    joined = scripted(role, on(Finished, wrong), resumed=resumed).run()
    check_failed(joined, role, Misbehaviour.BAD_FINISHED)
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.BAD_FINISHED)


# -- After the handshake ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"\1", b"\0", b""])
@every_role
def test_change_cipher_spec_after_the_handshake_is_refused(role: str, content: bytes) -> None:
    joined = connect(server12(), client12())
    sender = joined.client if role == "client" else joined.server
    say(sender, Record(ContentType.CHANGE_CIPHER_SPEC, content))
    joined.run()
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)


@every_role
def test_change_cipher_spec_in_the_clear_after_the_handshake_is_refused(role: str) -> None:
    joined = connect(server12(), client12())
    side = joined.server if role == "client" else joined.client
    feed(side, [plain_record(20, b"\1")])
    assert isinstance(side.failure, PeerMisbehaved)
    assert side.failure.reason is Misbehaviour.BAD_RECORD_MAC


@every_role
def test_man_in_the_middle_who_drops_the_change_cipher_spec_breaks_the_connection(role: str) -> None:
    client, server = configs(resumed=False)
    joined = pair(server, client)

    def drop(data: bytes) -> bytes:
        return b"".join(item.raw for item in records(data) if item.content_type != ContentType.CHANGE_CIPHER_SPEC)

    if role == "client":
        joined.to_server = drop
    else:
        joined.to_client = drop
    joined.run()
    assert not joined.connected
    assert victim(joined, role).handshaking or victim(joined, role).failure is not None
