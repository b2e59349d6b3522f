"""Pre-shared keys and tickets that are against the protocol: what each side refuses of the other, and with what alert.

A ticket that is no good is no error (test_resumption_passed_over.py). Here somebody misbehaves: a client whose binder
does not fit, a server that goes on after its choice as if it had not made it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.resuming import (
    VERSIONS,
    OneSession,
    check_full,
    check_resumed,
    demanding,
    knowing,
    liar,
    rebound,
    sent,
)
from tests.support.identities import client_config, client_credential, server_credential
from tests.support.memory import Pair, check_refused, connect, feed
from tests.support.scripted import Item, Record, ScriptedClient, ScriptedServer, on, say
from tests.support.tls12 import handshake
from trustls.config import ClientConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import DecodeError, Misbehaviour, PeerMisbehaved
from trustls.handshake.client_sessions import MAX_TICKET, OfferedPsk, bind, offered_psks
from trustls.session.state import MAX_LIFETIME
from trustls.session.store import MemoryClientSessions
from trustls.session.tickets import StoredSessions, Tickets
from trustls.wire.enums import CipherSuite, PskKeyExchangeMode
from trustls.wire.extensions import OfferedPsks, PskIdentity
from trustls.wire.messages import (
    CertificateEntry,
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    Finished,
    NewSessionTicket,
    ServerHello,
)
from trustls.wire.messages12 import CertificateMessage12, NewSessionTicket12

every_version = pytest.mark.parametrize("version", VERSIONS)


# -- What a server refuses of a client (TLS 1.3) ----------------------------------------------------------------------


def offered_by(client: ClientConfig, store: OneSession) -> tuple[OfferedPsk, ...]:
    """The keys of the session that the client offers."""
    assert store.give is not None
    return offered_psks(client.parameters, store.give)


def test_hello_bound_anew_is_accepted() -> None:
    """The next tests show something only because this one does not fail."""
    server = demanding()
    client, store = knowing(server)
    check_resumed(rebound(client, server, lambda hello: hello, session=store.give))


@pytest.mark.parametrize(
    "change",
    [
        lambda binder: bytes(len(binder)),
        lambda binder: bytes([binder[0] ^ 1]) + binder[1:],
        lambda binder: binder[:-1] + bytes([binder[-1] ^ 0x80]),
        lambda binder: binder[:32],
        lambda binder: binder[:12],
        lambda binder: binder[:1],
        lambda binder: binder + b"\0",
    ],
    ids=["zeros", "first bit", "last bit", "cut", "shorter than any", "one byte", "longer"],
)
def test_server_refuses_a_binder_that_does_not_verify(change: Any) -> None:
    """Somebody shows a ticket that he has seen, and does not know its secret."""
    server = demanding()
    client, _ = knowing(server)

    def edit(hello: ClientHello) -> Iterable[Item]:
        assert hello.pre_shared_key is not None
        psks = hello.pre_shared_key
        return (replace(hello, pre_shared_key=replace(psks, binders=(change(psks.binders[0]),))),)

    joined = Pair(ScriptedClient(client, on(ClientHello, edit)), ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)


@pytest.mark.parametrize(
    "change",
    [
        lambda hello: replace(hello, random=b"r" * 32),
        lambda hello: replace(hello, session_id=b"s" * 32),
        lambda hello: replace(hello, server_name=hello.server_name, alpn=(b"h3",)),
        lambda hello: replace(hello, padding=1),
        lambda hello: replace(
            hello,
            pre_shared_key=replace(
                hello.pre_shared_key, identities=(replace(hello.pre_shared_key.identities[0], obfuscated_ticket_age=0),)
            ),
        ),
    ],
    ids=["random", "session id", "alpn", "padding", "age"],
)
def test_server_refuses_a_hello_that_was_changed_after_it_was_bound(change: Any) -> None:
    server = demanding()
    client, _ = knowing(server)
    scripted = ScriptedClient(client, on(ClientHello, lambda hello: (change(hello),)))
    check_refused(Pair(scripted, ServerConnection(server)).run(), "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)


def test_server_refuses_the_wrong_secret() -> None:
    """The ticket of one session, the secret of another."""
    server = demanding()
    client, store = knowing(server)
    store.offer(secret=store.kept[0].secret, ticket=store.kept[1].ticket)
    joined = Pair(ClientConnection(client, "localhost"), ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)


def test_failed_binder_uses_up_no_more_than_its_own_session() -> None:
    """Somebody who has seen a name on the wire can waste it; the client then makes a full handshake, no more."""
    server = demanding("stored")
    client, store = knowing(server)
    thief, stolen = knowing(server)
    stolen.offer(ticket=store.kept[-1].ticket)
    joined = Pair(ClientConnection(thief, "localhost"), ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)
    check_full(connect(server, client))
    store.give = store.kept[-2]
    check_resumed(connect(server, client))


@pytest.mark.parametrize(("identities", "binders"), [(1, 0), (1, 2), (2, 1), (3, 4), (0, 1)], ids=str)
def test_server_refuses_as_many_binders_as_there_are_no_identities(identities: int, binders: int) -> None:
    server = demanding()
    client, _ = knowing(server)

    def edit(hello: ClientHello) -> Iterable[Item]:
        psks = hello.pre_shared_key
        assert psks is not None
        other = OfferedPsks(psks.identities * identities, psks.binders * binders)
        return (replace(hello, pre_shared_key=other),)

    joined = Pair(ScriptedClient(client, on(ClientHello, edit)), ServerConnection(server)).run()
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    empty = not identities or not binders
    check_refused(
        joined,
        "server",
        DecodeError if empty else PeerMisbehaved,
        Misbehaviour.BAD_LENGTH if empty else Misbehaviour.BAD_PSK_OFFER,
    )


def test_server_refuses_keys_that_are_not_the_last_extension() -> None:
    server = demanding()
    client, _ = knowing(server)

    def edit(hello: ClientHello) -> Iterable[Item]:
        another = b"\x0a\x0a\0\0"
        return (handshake(1, _with_extension_length(hello.encode(), len(another)) + another),)

    joined = Pair(ScriptedClient(client, on(ClientHello, edit)), ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.PSK_NOT_LAST)


def _with_extension_length(raw: bytes, more: int) -> bytes:
    """A ClientHello whose extension block says that it is longer."""
    at = 2 + 32
    at += 1 + raw[at]
    at += 2 + int.from_bytes(raw[at : at + 2], "big")
    at += 1 + raw[at]
    length = int.from_bytes(raw[at : at + 2], "big") + more
    return raw[:at] + length.to_bytes(2, "big") + raw[at + 2 :]


def test_server_refuses_keys_without_modes() -> None:
    """RFC 9846 4.3.9: they must come together."""
    server = demanding()
    client, store = knowing(server)
    joined = rebound(client, server, lambda hello: replace(hello, psk_key_exchange_modes=None), session=store.give)
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.MISSING_EXTENSION)


@pytest.mark.parametrize(
    ("modes", "resumed"),
    [
        ((PskKeyExchangeMode.PSK_KE,), False),
        ((PskKeyExchangeMode(0x0B),), False),
        ((PskKeyExchangeMode.PSK_KE, PskKeyExchangeMode.PSK_DHE_KE), True),
        ((PskKeyExchangeMode(0x0B), PskKeyExchangeMode.PSK_DHE_KE), True),
    ],
    ids=str,
)
def test_keys_go_with_a_key_exchange_or_not_at_all(modes: tuple[PskKeyExchangeMode, ...], resumed: bool) -> None:
    """psk_ke has no forward secrecy: a full handshake instead, and no tickets, which could not be used."""
    server = demanding()
    client, store = knowing(server)
    kept = len(store.kept)
    joined = rebound(client, server, lambda hello: replace(hello, psk_key_exchange_modes=modes), session=store.give)
    (check_resumed if resumed else check_full)(joined)
    assert len(store.kept) == kept + (2 if resumed else 0)


@pytest.mark.parametrize(("before", "resumed"), [(0, True), (1, True), (7, True), (8, False), (40, False)])
def test_server_looks_at_the_first_eight_keys(before: int, resumed: bool) -> None:
    """A client may offer as many as fit; each costs a lookup."""
    server = demanding()
    client, store = knowing(server)
    [good] = offered_by(client, store)
    junk = [replace(good, identity=PskIdentity(b"junk %02d" % number * 8, 0)) for number in range(before)]
    joined = rebound(client, server, lambda hello: hello, [*junk, good])
    if before == 0:
        check_resumed(joined)
    elif resumed:
        # The client itself knows of one key, and is told that another was taken: so it was.
        assert isinstance(joined.client.failure, PeerMisbehaved)
        assert joined.client.failure.reason is Misbehaviour.SELECTED_UNOFFERED_PSK
    else:
        check_full(joined)


@pytest.mark.parametrize("place", [0, 1, 5])
def test_server_says_which_key_it_took(place: int) -> None:
    server = demanding()
    client, store = knowing(server)
    [good] = offered_by(client, store)
    keys = [replace(good, identity=PskIdentity(b"junk" * 9, number)) for number in range(6)]
    keys[place] = good
    scripted = ScriptedServer(server)
    feed(scripted, [_first_flight(client, keys)])
    answer = sent(scripted)[0]
    assert isinstance(answer, ServerHello)
    assert answer.pre_shared_key == place


def _first_flight(client: ClientConfig, keys: list[OfferedPsk]) -> bytes:
    """The first flight of a client that offers these keys."""
    idle = ScriptedClient(client, lambda message: ())

    def edit(hello: ClientHello) -> Iterable[Item]:
        changed = replace(hello)
        bind(idle.flow, changed, tuple(keys))
        return (changed,)

    return ScriptedClient(client, on(ClientHello, edit)).data_to_send()


def test_first_key_that_can_be_used_is_the_one_whose_binder_counts() -> None:
    """RFC 9846 4.3.11: binders of keys that are not taken are not looked at."""
    server = demanding()
    client, store = knowing(server)
    [good] = offered_by(client, store)
    keys = [good, replace(good, identity=PskIdentity(b"junk" * 9, 0))]
    flight = _first_flight(client, keys)
    # The hello ends with the last byte of the second binder. What binders are over ends before the first.
    end = 5 + int.from_bytes(flight[3:5], "big")
    scripted = ScriptedServer(server)
    feed(scripted, [flight[: end - 1] + b"\x5a"])
    assert scripted.failure is None
    answer = sent(scripted)[0]
    assert isinstance(answer, ServerHello)
    assert answer.pre_shared_key == 0


def test_client_of_a_resumed_session_may_not_send_a_certificate() -> None:
    server = demanding()
    client, _ = knowing(server)
    uncalled = CertificateMessage(entries=(CertificateEntry(certificate=client_credential().certificate.der),))
    scripted = ScriptedClient(client, on(Finished, lambda message: (uncalled, message)))
    joined = Pair(scripted, ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@every_version
def test_wrong_finished_of_a_resuming_client_is_refused(version: str) -> None:
    server = demanding(version=version)
    client, _ = knowing(server)

    def wrong(message: Finished) -> Iterable[Item]:
        return (Finished(verify_data=bytes(b ^ 1 for b in message.verify_data)),)

    joined = Pair(ScriptedClient(client, on(Finished, wrong)), ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_FINISHED)
    assert joined.server.peer is None, "who only shows a ticket is nobody"


@every_version
def test_ticket_alone_does_not_get_anybody_in(version: str) -> None:
    """The ticket was seen on the wire; the secret was not."""
    server = demanding(version=version)
    client, store = knowing(server)
    store.offer(secret=bytes(len(store.kept[-1].secret)))
    joined = Pair(ClientConnection(client, "localhost"), ServerConnection(server)).run()
    assert not joined.connected
    assert joined.server.peer is None
    failure = joined.client.failure if version == "1.2" else joined.server.failure
    assert isinstance(failure, PeerMisbehaved)


# -- What a client refuses of a server (TLS 1.3) ----------------------------------------------------------------------


def changed(kind: type[Any], **fields: Any) -> Any:
    return on(kind, lambda message: (replace(message, **fields),))


@pytest.mark.parametrize("index", [1, 2, 8, 0xFFFF])
def test_client_refuses_a_key_that_it_did_not_offer(index: int) -> None:
    server = demanding()
    client, _ = knowing(server)
    joined = liar(server, changed(ServerHello, pre_shared_key=index), client)
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is Misbehaviour.SELECTED_UNOFFERED_PSK


def test_client_without_session_refuses_the_choice_of_a_key() -> None:
    client = client_config(credentials=[client_credential()])
    joined = liar(demanding(), changed(ServerHello, pre_shared_key=0), client)
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.UNSOLICITED_EXTENSION


@pytest.mark.parametrize("other", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_client_refuses_its_key_with_a_suite_of_another_hash(other: str) -> None:
    server = demanding(suites=["TLS_AES_256_GCM_SHA384"])
    client, _ = knowing(server)
    joined = liar(server, changed(ServerHello, cipher_suite=CipherSuite.from_iana(other)), client)
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.SELECTED_UNOFFERED_PSK


def test_client_refuses_its_key_without_a_key_exchange() -> None:
    """The client said psk_dhe_ke, so the answer has a key share."""
    server = demanding()
    client, _ = knowing(server)
    joined = liar(server, changed(ServerHello, key_share=None), client)
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.MISSING_EXTENSION


@pytest.mark.parametrize(
    "extra",
    [
        CertificateRequest(signature_algorithms=server_credential().signer.schemes),
        CertificateMessage(entries=(CertificateEntry(certificate=server_credential().certificate.der),)),
        CertificateVerify(scheme=server_credential().signer.schemes[0], signature=b"s"),
        EncryptedExtensions(),
        NewSessionTicket(lifetime=1, age_add=1, nonce=b"", ticket=b"t"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_client_refuses_authentication_after_its_key_was_taken(extra: Any) -> None:
    """RFC 9846 4.4.2: one or the other."""
    server = demanding()
    client, _ = knowing(server)
    joined = liar(server, on(Finished, lambda message: (extra, message)), client)
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)
    assert joined.client.peer is None


def test_client_refuses_a_server_that_denies_the_key_that_it_uses() -> None:
    """Without pre_shared_key in the ServerHello it is a full handshake, whose keys and messages are others."""
    server = demanding()
    client, _ = knowing(server)
    joined = liar(server, changed(ServerHello, pre_shared_key=None), client)
    assert isinstance(joined.client.failure, PeerMisbehaved)
    assert joined.client.failure.reason is Misbehaviour.BAD_RECORD_MAC


def test_server_that_takes_a_key_that_it_does_not_know_gets_nowhere() -> None:
    """It says that it resumes, to be spared the certificate; the secret is not its own."""
    knows_nothing = demanding()
    client, _ = knowing(demanding())
    joined = liar(knows_nothing, changed(ServerHello, pre_shared_key=0), client)
    assert isinstance(joined.client.failure, PeerMisbehaved)
    assert joined.client.failure.reason is Misbehaviour.BAD_RECORD_MAC
    assert joined.client.peer is None


@every_version
def test_wrong_finished_of_a_resuming_server_is_refused(version: str) -> None:
    server = demanding(version=version)
    client, _ = knowing(server)

    def wrong(message: Finished) -> Iterable[Item]:
        return (Finished(verify_data=bytes(b ^ 1 for b in message.verify_data)),)

    joined = liar(server, on(Finished, wrong), client)
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.BAD_FINISHED)


# -- What a client refuses of a server (TLS 1.2) ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"cipher_suite": CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
            Misbehaviour.SESSION_CHANGED,
        ),
        ({"cipher_suite": CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}, Misbehaviour.SESSION_CHANGED),
        ({"compression_method": 1}, Misbehaviour.BAD_COMPRESSION),
    ],
    ids=str,
)
def test_client_refuses_a_session_with_other_parameters(fields: dict[str, Any], reason: Misbehaviour) -> None:
    server = demanding(version="1.2", suites=["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    client, _ = knowing(server)
    joined = liar(server, changed(ServerHello, **fields), client)
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is reason


@pytest.mark.parametrize("demands", [True, False])
def test_client_refuses_to_resume_without_the_extended_master_secret_of_the_session(demands: bool) -> None:
    """RFC 7627 5.3."""
    server = demanding(version="1.2", require_extended_master_secret=False)
    client, _ = knowing(server, require_extended_master_secret=demands)
    joined = liar(server, changed(ServerHello, extended_master_secret=None), client)
    failure = joined.client.failure
    assert failure is not None, "accepted"
    if not demands:
        assert isinstance(failure, PeerMisbehaved)
        assert failure.reason is Misbehaviour.SESSION_CHANGED


@pytest.mark.parametrize("resumption", [Tickets, StoredSessions])
def test_client_refuses_a_certificate_in_an_abbreviated_handshake(resumption: Any) -> None:
    server = demanding(version="1.2", resumption=resumption())
    client, _ = knowing(server)
    extra = CertificateMessage12(certificates=(server_credential().certificate.der,))
    joined = liar(server, on(ServerHello, lambda message: (message, extra)), client)
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.UNEXPECTED_MESSAGE


def test_client_takes_a_new_ticket_with_an_abbreviated_handshake() -> None:
    """RFC 5077 3.3; trustls's server sends none then, others do."""
    server = demanding(version="1.2")
    client, store = knowing(server)
    new = NewSessionTicket12(lifetime=77, ticket=b"a new ticket")

    def renew(message: ServerHello) -> Iterable[Item]:
        return (replace(message, session_ticket=True), new)

    check_resumed(liar(server, on(ServerHello, renew), client))
    assert store.kept[-1].ticket == b"a new ticket"
    assert store.kept[-1].lifetime == 77
    assert store.kept[-1].secret == store.kept[0].secret


# -- Tickets of a hostile server --------------------------------------------------------------------------------------


def client_with_store(**changes: Any) -> tuple[ClientConfig, MemoryClientSessions]:
    store = MemoryClientSessions()
    return client_config(sessions=store, **changes), store


def ticket_of(number: int, **changes: Any) -> NewSessionTicket:
    usual = NewSessionTicket(lifetime=100, age_add=number, nonce=bytes([number % 256]), ticket=b"ticket %d" % number)
    return replace(usual, **changes)


def test_store_stays_small_however_many_tickets_come() -> None:
    client, store = client_with_store()
    joined = connect(demanding(resumption=None), with_certificate(client))
    for number in range(200):
        say(joined.server, ticket_of(number, ticket=b"x" * 30_000))
        joined.server.send(b"data")
        joined.run()
    assert joined.client.failure is None
    assert len(store) <= 4, "the newest few of each server are kept"


def with_certificate(client: ClientConfig) -> ClientConfig:
    return replace(client, credentials=[client_credential()])


def test_store_stays_small_however_many_servers_there_are() -> None:
    store = MemoryClientSessions(servers=3)
    names = [f"host{number}.example" for number in range(6)]
    server = demanding(credentials=[server_credential("ec-p256", *names)])
    client = client_config(sessions=store, credentials=[client_credential()])
    for name in names:
        connect(server, client, name)
    assert len(store) <= 6, "two tickets for each of three"
    assert not connect(server, client, names[0]).client.info.resumed, "the oldest is forgotten"
    assert connect(server, client, names[-1]).client.info.resumed


def test_flood_of_tickets_is_refused() -> None:
    client, _ = client_with_store()
    joined = connect(demanding(resumption=None), with_certificate(client))
    say(joined.server, *[ticket_of(number) for number in range(33)])
    joined.run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.TOO_MANY_POST_HANDSHAKE_MESSAGES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [MAX_TICKET, MAX_TICKET + 1, 60_000, 65_000, 65_535])
def test_ticket_that_no_hello_can_carry_is_not_kept(version: str, size: int) -> None:
    """The next ClientHello must hold it beside all else; a hostile server must not make that impossible."""
    client, store = client_with_store()
    client = with_certificate(client)
    big = b"x" * size
    if version == "1.2":
        edit = on(NewSessionTicket12, lambda message: (replace(message, ticket=big),))
        liar(demanding(version="1.2"), edit, client).check_connected()
    else:
        joined = connect(demanding(resumption=None), client)
        for number in range(4):
            say(joined.server, ticket_of(number, ticket=big))
        joined.run().check_connected()
    assert bool(len(store)) is (size <= MAX_TICKET)
    for _ in range(5):
        connect(demanding(version=version), client).check_connected()


def test_ticket_of_lifetime_zero_is_not_kept() -> None:
    """RFC 9846 4.7.1: it is to be discarded at once."""
    client, store = client_with_store()
    joined = connect(demanding(resumption=None), with_certificate(client))
    say(joined.server, ticket_of(1, lifetime=0))
    joined.run().check_connected()
    assert len(store) == 0


@pytest.mark.parametrize("lifetime", [MAX_LIFETIME + 1, 0xFFFFFFFF])
def test_lifetime_over_seven_days_counts_as_seven(lifetime: int) -> None:
    store = OneSession()
    client = client_config(sessions=store, credentials=[client_credential()])
    joined = connect(demanding(resumption=None), client)
    say(joined.server, ticket_of(1, lifetime=lifetime))
    joined.run().check_connected()
    assert [session.lifetime for session in store.kept] == [MAX_LIFETIME]


def test_unannounced_lifetime_of_tls12_is_the_clients_own() -> None:
    """RFC 5077 3.3: 0 leaves it to the client."""
    client, store = client_with_store()
    edit = on(NewSessionTicket12, lambda message: (replace(message, lifetime=0),))
    liar(demanding(version="1.2"), edit, with_certificate(client)).check_connected()
    [[session]] = store._sessions.values()
    assert session.lifetime == 2 * 3600


@given(body=st.binary(max_size=60))
def test_any_bytes_as_a_ticket_end_well(body: bytes) -> None:
    client, store = client_with_store()
    joined = connect(demanding(resumption=None), with_certificate(client))
    say(joined.server, handshake(4, body))
    joined.run()
    failure = joined.client.failure
    assert failure is None or type(failure) in {DecodeError, PeerMisbehaved}, f"{failure!r}"
    if failure is None:
        joined.check_connected()
        assert len(store) <= 1
        connect(demanding(), with_certificate(client)).check_connected()


def test_server_refuses_a_ticket() -> None:
    client, _ = client_with_store()
    joined = connect(demanding(), with_certificate(client))
    say(joined.client, ticket_of(1))
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def test_ticket_in_pieces_with_data_in_between_is_refused() -> None:
    client, _ = client_with_store()
    joined = connect(demanding(resumption=None), with_certificate(client))
    raw = handshake(4, ticket_of(1).encode())
    say(joined.server, Record(22, raw[:7]), Record(23, b"data"), Record(22, raw[7:]))
    joined.run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.INTERLEAVED_RECORD)


def test_client_without_store_reads_tickets_and_forgets_them() -> None:
    joined = connect(demanding(resumption=None), with_certificate(client_config(sessions=None)))
    say(joined.server, ticket_of(1))
    joined.run().check_connected()


def test_same_nonce_twice_makes_the_same_secret_and_harms_nobody() -> None:
    store = OneSession()
    client = client_config(sessions=store, credentials=[client_credential()])
    joined = connect(demanding(resumption=None), client)
    say(joined.server, ticket_of(1), ticket_of(1, ticket=b"another"))
    joined.run().check_connected()
    first, second = store.kept
    assert first.secret == second.secret
    assert first.ticket != second.ticket


def test_secrets_do_not_show() -> None:
    """Sessions may be logged, and shown in tracebacks."""
    _, store = knowing(demanding())
    session = store.kept[-1]
    for secret in (session.secret, session.ticket):
        assert repr(secret) not in repr(session)
        assert secret.hex() not in repr(session)
