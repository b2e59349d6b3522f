"""External pre-shared keys, given to both sides beforehand, in place of certificates (RFC 9258 for imported ones)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.session.resuming import AUTHENTICATION, OneSession, check_full, liar, meet, rebound, sent
from tests.support.identities import client_config, client_credential, client_roots, required, server_config
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.scripted import Item, ScriptedClient, on
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import (
    AlertDescription,
    ConfigError,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.handshake.client_sessions import offered_psks
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.psk import ExternalPsk, import_psk
from trustls.session.tickets import StoredSessions, Tickets
from trustls.trust.client_auth import ClientAuth
from trustls.wire.enums import ProtocolVersion, PskKeyExchangeMode
from trustls.wire.extensions import PskIdentity
from trustls.wire.messages import ClientHello, HelloRetryRequest, NewSessionTicket, ServerHello

KEY: Final = bytes(range(32))
SUITES: Final = {
    "sha256": ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"],
    "sha384": ["TLS_AES_256_GCM_SHA384"],
}


def plain(hash_name: str = "sha256", key: bytes = KEY, identity: bytes = b"device 7") -> tuple[ExternalPsk, ...]:
    """One key as it is."""
    return (ExternalPsk(identity, key, hash_name),)


def imported(hash_name: str = "sha256", key: bytes = KEY, identity: bytes = b"device 7") -> tuple[ExternalPsk, ...]:
    """What RFC 9258 makes of one key."""
    return import_psk(identity, key, context=b"client to server", hash=hash_name)


FORMS: Final[dict[str, Any]] = {"plain": plain, "imported": imported}
every_form = pytest.mark.parametrize("form", FORMS)
every_hash = pytest.mark.parametrize("hash_name", SUITES)


def server_of(psks: Iterable[ExternalPsk], **changes: Any) -> ServerConfig:
    return server_config(**{"external_psks": psks, **changes})


def client_of(psks: Iterable[ExternalPsk], **changes: Any) -> ClientConfig:
    return client_config(**{"external_psks": psks, **changes})


def check_by_key(joined: Pair, identities: Iterable[bytes]) -> Pair:
    """Both sides know by which key they know each other, and no certificate was shown."""
    joined.check_connected()
    for side in (joined.client, joined.server):
        assert side.info.psk_identity in set(identities), f"by {side.info.psk_identity!r}"
        assert not side.info.resumed, "nothing was resumed: there was no session"
        assert side.info.credential is None
        assert side.info.version is ProtocolVersion.TLS1_3
        assert side.peer is None, "a key names no certificate"
    assert joined.client.info.psk_identity == joined.server.info.psk_identity
    return joined


# -- It works ---------------------------------------------------------------------------------------------------------


@every_form
@every_hash
def test_key_takes_the_place_of_certificates(form: str, hash_name: str) -> None:
    server, client = server_of(FORMS[form](hash_name)), client_of(FORMS[form](hash_name))
    joined, the_client, the_server = meet(server, client)
    check_by_key(joined, [psk.identity for psk in FORMS[form](hash_name)])
    for side in (the_client, the_server):
        assert not [message for message in sent(side) if isinstance(message, AUTHENTICATION)]


@every_form
@pytest.mark.parametrize("suite", [suite for suites in SUITES.values() for suite in suites])
def test_key_goes_with_every_suite_of_its_hash(form: str, suite: str) -> None:
    """A plain key has one hash, and its owner says which; an imported one is there for each."""
    of_hash = next(name for name, suites in SUITES.items() if suite in suites)
    psks = FORMS[form](of_hash)
    joined = connect(server_of(psks), client_of(psks, suites=[suite]))
    check_by_key(joined, [psk.identity for psk in psks])
    assert joined.client.info.suite.iana == suite


@every_hash
def test_imported_key_can_be_used_with_the_other_hash_too(hash_name: str) -> None:
    for suites in SUITES.values():
        psks = imported(hash_name)
        joined = connect(server_of(psks, suites=suites), client_of(psks))
        check_by_key(joined, [psk.identity for psk in psks])


@pytest.mark.parametrize("cookies", [None, RetryCookies()], ids=["plain", "cookie"])
@every_form
@every_hash
def test_key_survives_a_hello_retry_request(form: str, hash_name: str, cookies: RetryCookies | None) -> None:
    psks = FORMS[form](hash_name)
    server = server_of(psks, groups=["secp521r1"], retry_cookies=cookies)
    joined, _, the_server = meet(server, client_of(psks))
    check_by_key(joined, [psk.identity for psk in psks])
    assert joined.client.info.retried
    assert isinstance(sent(the_server)[0], HelloRetryRequest)


def test_keys_make_a_key_exchange_all_the_same() -> None:
    """What was said stays secret when the key becomes known later."""
    joined, _, the_server = meet(server_of(plain()), client_of(plain()))
    joined.check_connected()
    answer = sent(the_server)[0]
    assert isinstance(answer, ServerHello)
    assert answer.key_share is not None
    first, second = (connect(server_of(plain()), client_of(plain())) for _ in range(2))
    assert first.client.export("x", 32) != second.client.export("x", 32)


def test_server_takes_the_first_key_that_it_knows() -> None:
    keys = [ExternalPsk(b"key %d" % number, bytes([number]) * 32) for number in range(8)]
    joined, _, the_server = meet(server_of([keys[5], keys[3]]), client_of(keys))
    check_by_key(joined, [b"key 3"])
    answer = sent(the_server)[0]
    assert isinstance(answer, ServerHello)
    assert answer.pre_shared_key == 3


def test_key_that_only_one_of_two_clients_has_tells_them_apart() -> None:
    alice, bob = plain(identity=b"alice", key=b"a" * 32), plain(identity=b"bob", key=b"b" * 32)
    server = server_of(alice + bob)
    assert connect(server, client_of(alice)).server.info.psk_identity == b"alice"
    assert connect(server, client_of(bob)).server.info.psk_identity == b"bob"


def test_key_lets_a_client_in_without_certificate_and_nobody_else() -> None:
    """The key is its proof. Who has neither is refused as ever."""
    server = server_of(plain(), client_auth=required())
    check_by_key(connect(server, client_of(plain())), [b"device 7"])
    assert connect(server, client_config(credentials=[client_credential()])).server.peer is not None
    joined = pair(server, client_config()).run()
    assert joined.server.failure is not None, "let in with neither"


def test_server_is_asked_for_no_certificate_by_who_has_its_key() -> None:
    """The client's roots do not matter then; here they would not do."""
    check_by_key(connect(server_of(plain()), client_of(plain(), roots=client_roots())), [b"device 7"])


def test_alpn_and_server_name_are_negotiated_as_ever() -> None:
    joined = connect(server_of(plain(), alpn=["h2"]), client_of(plain(), alpn=["h2"]))
    assert joined.server.info.alpn == joined.client.info.alpn == "h2"
    assert joined.server.info.server_name == "localhost"


def test_key_log_has_the_same_lines_on_both_sides() -> None:
    logged: dict[str, list[tuple[str, bytes, bytes]]] = {"client": [], "server": []}

    class Log:
        def __init__(self, side: str) -> None:
            self.side = side

        def log(self, label: str, client_random: bytes, secret: bytes) -> None:
            logged[self.side].append((label, client_random, secret))

    connect(server_of(plain(), key_log=Log("server")), client_of(plain(), key_log=Log("client")))
    assert sorted(logged["client"]) == sorted(logged["server"])
    assert len(logged["client"]) == 5


# -- It does not ------------------------------------------------------------------------------------------------------


@every_form
@every_hash
def test_wrong_key_of_a_known_name_is_refused(form: str, hash_name: str) -> None:
    """Not passed over: somebody claims a name, and cannot prove it (RFC 9846 4.3.11)."""
    server, client = server_of(FORMS[form](hash_name)), client_of(FORMS[form](hash_name, key=b"\x5a" * 32))
    check_refused(pair(server, client).run(), "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)


@every_form
@every_hash
def test_unknown_name_means_certificates(form: str, hash_name: str) -> None:
    server = server_of(FORMS[form](hash_name), client_auth=required())
    client = client_of(FORMS[form](hash_name, identity=b"device 8"), credentials=[client_credential()])
    joined = check_full(connect(server, client))
    assert joined.client.info.psk_identity is None
    assert joined.server.info.psk_identity is None
    assert joined.client.peer is not None
    assert joined.server.peer is not None


def test_one_side_that_imports_and_one_that_does_not_do_not_understand_each_other() -> None:
    """RFC 9258: the names differ, so the key is unknown."""
    for server, client in ((plain(), imported()), (imported(), plain())):
        joined = check_full(connect(server_of(server), client_of(client)))
        assert joined.client.peer is not None, "the server showed its certificate"


def test_imported_key_under_the_plain_binder_is_refused() -> None:
    """RFC 9258 5.2: the labels of the binders keep the two apart, even where name and key are the same."""
    [psk, *_] = imported()
    unmarked = ExternalPsk(psk.identity, psk.key, psk.hash)
    assert psk.binder_label != unmarked.binder_label
    joined = pair(server_of([psk]), client_of([unmarked])).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)


@pytest.mark.parametrize(
    "other",
    [
        {"context": b"server to client"},
        {"context": b""},
        {"hash": "sha384"},
        {"identity": b"device 8"},
    ],
    ids=str,
)
def test_imported_keys_are_bound_to_all_that_they_were_imported_with(other: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"identity": b"device 7", "key": KEY, "context": b"client to server", "hash": "sha256"}
    server = server_of(import_psk(**usual))
    joined = pair(server, client_of(import_psk(**{**usual, **other}))).run()
    if "hash" in other:  # The name does not hold it; the key does.
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)
    else:
        check_full(joined)
        assert joined.server.info.psk_identity is None


def test_key_of_the_other_hash_is_not_taken_and_no_error() -> None:
    """Offered as SHA-256 by one, known as SHA-384 by the other: only one of the two can be meant."""
    joined = pair(server_of(plain("sha384")), client_of(plain("sha256"))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)
    only = pair(server_of(plain("sha384"), suites=SUITES["sha256"]), client_of(plain("sha384"))).run()
    check_full(only)


def test_tls12_has_no_external_keys() -> None:
    for versions in (["1.2"], ["1.2", "1.3"]):
        joined = check_full(connect(server_of(plain(), versions=["1.2"]), client_of(plain(), versions=versions)))
        assert joined.client.info.psk_identity is None
        assert joined.client.peer is not None


def test_client_of_tls12_alone_does_not_offer_its_key() -> None:
    client = ScriptedClient(client_of(plain(), versions=["1.2"]))
    hello = sent(client)[0]
    assert isinstance(hello, ClientHello)
    assert hello.pre_shared_key is None
    assert hello.psk_key_exchange_modes is None


@pytest.mark.parametrize("modes", [(PskKeyExchangeMode.PSK_KE,), (PskKeyExchangeMode(7),)])
def test_key_without_key_exchange_is_not_taken(modes: tuple[PskKeyExchangeMode, ...]) -> None:
    client = client_of(plain())
    joined = rebound(client, server_of(plain()), lambda hello: replace(hello, psk_key_exchange_modes=modes))
    check_full(joined)
    assert joined.client.peer is not None


def test_client_that_only_does_psks_needs_no_signature_algorithms() -> None:
    """RFC 9846 9.2: they are demanded where there is no pre_shared_key."""
    client = client_of(plain())
    server = server_of(plain())
    check_by_key(rebound(client, server, lambda hello: replace(hello, signature_algorithms=None)), [b"device 7"])


def test_client_that_only_does_psks_and_has_no_known_one_is_refused() -> None:
    client = client_of(plain(identity=b"device 8"))
    joined = rebound(client, server_of(plain()), lambda hello: replace(hello, signature_algorithms=None))
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.MISSING_EXTENSION)


@pytest.mark.parametrize("age", [0, 1, 0xFFFFFFFF])
def test_age_of_an_external_key_means_nothing(age: int) -> None:
    """RFC 9846 4.3.11: 0 should be sent, and any is to be ignored."""
    client = client_of(plain())
    [offered] = offered_psks(client.parameters, None)
    assert offered.identity.obfuscated_ticket_age == 0
    aged = replace(offered, identity=PskIdentity(offered.identity.identity, age))
    check_by_key(rebound(client, server_of(plain()), lambda hello: hello, [aged]), [b"device 7"])


# -- Servers that have keys and no certificate ------------------------------------------------------------------------


def bare(psks: Iterable[ExternalPsk], **changes: Any) -> ServerConfig:
    """A server that has nothing to show."""
    return ServerConfig(external_psks=psks, **changes)


@every_form
@every_hash
@pytest.mark.parametrize("groups", [None, ["secp521r1"]], ids=["at once", "after a retry"])
def test_server_of_keys_alone_is_met_by_who_has_one(groups: list[str] | None, form: str, hash_name: str) -> None:
    psks = FORMS[form](hash_name)
    joined = connect(bare(psks, groups=groups), client_of(psks))
    check_by_key(joined, [psk.identity for psk in psks])
    assert joined.client.info.retried == (groups is not None)


@pytest.mark.parametrize("auth", [None, required()], ids=["nobody asked", "certificates required"])
@pytest.mark.parametrize("client", [client_config(), client_of(plain(identity=b"device 8"))], ids=["none", "another"])
def test_server_of_keys_alone_has_nothing_for_others(client: ClientConfig, auth: ClientAuth | None) -> None:
    server = bare(plain()) if auth is None else bare(plain(), client_auth=auth)
    joined = pair(server, client).run()
    failure = check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_PSK)
    assert failure.alert is AlertDescription.HANDSHAKE_FAILURE


def test_server_of_keys_alone_refuses_a_key_without_key_exchange() -> None:
    """It would be taken as ever, were the mode not one that keeps nothing secret when the key becomes known."""
    modes = (PskKeyExchangeMode.PSK_KE,)
    joined = rebound(client_of(plain()), bare(plain()), lambda hello: replace(hello, psk_key_exchange_modes=modes))
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_PSK)


def test_server_of_keys_alone_refuses_the_wrong_key_of_a_known_name() -> None:
    joined = pair(bare(plain()), client_of(plain(key=b"\x5a" * 32))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)


def test_server_of_keys_alone_has_no_version_in_common_with_a_client_of_tls12() -> None:
    joined = pair(bare(plain()), client_of(plain(), versions=["1.2"])).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_VERSION)


# -- Binders that are none --------------------------------------------------------------------------------------------

SHORT: Final = (1, 12, 31)


def with_binder(client: ClientConfig, length: int) -> ScriptedClient:
    """A client whose binders are of this length."""

    def edit(hello: ClientHello) -> Iterable[Item]:
        psks = hello.pre_shared_key
        assert psks is not None
        binders = tuple([bytes(length)] * len(psks.identities))
        return (replace(hello, pre_shared_key=replace(psks, binders=binders)),)

    return ScriptedClient(client, on(ClientHello, edit))


@pytest.mark.parametrize("length", SHORT)
def test_short_binder_of_the_key_that_is_taken_is_refused(length: int) -> None:
    joined = Pair(with_binder(client_of(plain()), length), ServerConnection(server_of(plain()))).run()
    failure = check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)
    assert failure.alert is AlertDescription.DECRYPT_ERROR


@pytest.mark.parametrize("length", SHORT)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_short_binder_of_a_key_that_is_not_taken_is_passed_over(version: str, length: int) -> None:
    """Unknown in TLS 1.3; in TLS 1.2 all of it."""
    server = server_of(plain(identity=b"device 8" if version == "1.3" else b"device 7"), versions=[version])
    joined = Pair(with_binder(client_of(plain()), length), ServerConnection(server)).run()
    check_full(joined)
    assert str(joined.server.info.version) == f"TLSv{version}"


# -- With sessions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resumption", [Tickets(), StoredSessions()], ids=["tickets", "stored"])
def test_connection_by_key_gives_no_tickets(resumption: Any) -> None:
    """There is no verified certificate that a session could remember; the key is at hand anyway."""
    store = OneSession()
    server = server_of(plain(), resumption=resumption)
    for _ in range(2):
        joined, _, the_server = meet(server, client_of(plain(), sessions=store))
        check_by_key(joined, [b"device 7"])
        assert not store.kept
        assert not [message for message in sent(the_server) if isinstance(message, NewSessionTicket)]


def test_session_goes_before_external_keys() -> None:
    """The first connection is by certificate, before there was a key; the client offers both then."""
    store = OneSession()
    tickets = Tickets()
    connect(server_config(resumption=tickets), client_config(sessions=store))
    store.offer()
    joined, the_client, _ = meet(server_of(plain(), resumption=tickets), client_of(plain(), sessions=store))
    joined.check_connected()
    assert joined.client.info.resumed
    assert joined.client.info.psk_identity is None
    hello = sent(the_client)[0]
    assert isinstance(hello, ClientHello)
    assert hello.pre_shared_key is not None
    assert [psk.identity for psk in hello.pre_shared_key.identities] == [store.kept[1].ticket, b"device 7"]


def test_external_key_is_taken_where_the_session_is_not() -> None:
    store = OneSession()
    connect(server_config(), client_config(sessions=store))
    store.offer()
    joined = connect(server_of(plain()), client_of(plain(), sessions=store))
    check_by_key(joined, [b"device 7"])


# -- A server that misbehaves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [1, 2, 0xFFFF])
def test_client_refuses_a_key_that_it_did_not_offer(index: int) -> None:
    edit = on(ServerHello, lambda hello: (replace(hello, pre_shared_key=index),))
    joined = liar(server_of(plain()), edit, client_of(plain()))
    assert isinstance(joined.client.failure, PeerMisbehaved)
    assert joined.client.failure.reason is Misbehaviour.SELECTED_UNOFFERED_PSK


def test_client_refuses_an_imported_key_with_the_suite_of_the_other_hash() -> None:
    psks = imported()
    server = server_of(psks, suites=SUITES["sha256"])
    edit = on(ServerHello, lambda hello: (replace(hello, pre_shared_key=1),))
    joined = liar(server, edit, client_of(psks))
    assert isinstance(joined.client.failure, PeerMisbehaved)
    assert joined.client.failure.reason is Misbehaviour.SELECTED_UNOFFERED_PSK


def test_server_that_does_not_have_the_key_cannot_pretend_to() -> None:
    """It says that it takes the key, and does not know it: nothing that it says can be read."""
    edit = on(ServerHello, lambda hello: (replace(hello, pre_shared_key=0),))
    joined = liar(server_config(suites=SUITES["sha256"]), edit, client_of(plain()))
    assert isinstance(joined.client.failure, PeerMisbehaved)
    assert joined.client.failure.reason is Misbehaviour.BAD_RECORD_MAC


def test_binder_that_was_changed_on_the_way_is_refused() -> None:
    def spoil(hello: ClientHello) -> Iterable[Item]:
        psks = hello.pre_shared_key
        assert psks is not None
        return (replace(hello, pre_shared_key=replace(psks, binders=(bytes(32),))),)

    client = ScriptedClient(client_of(plain()), on(ClientHello, spoil))
    joined = Pair(client, ServerConnection(server_of(plain()))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_BINDER)


# -- Configuration ----------------------------------------------------------------------------------------------------


def test_more_than_eight_keys_are_refused_by_the_configuration() -> None:
    """No server looks at more; so whoever gives more would wonder why the ninth never works."""
    many = [ExternalPsk(b"key %d" % number, KEY) for number in range(9)]
    with pytest.raises(ConfigError, match="9 external PSKs"):
        client_of(many)
    client_of(many[:8])


def test_keys_do_not_show() -> None:
    server, client = server_of(plain()), client_of(plain())
    for config in (server, client, server.parameters, client.parameters):
        assert KEY.hex() not in repr(config)
        assert repr(KEY)[2:-1] not in repr(config)
    connection = ClientConnection(client, "localhost")
    assert KEY not in connection.data_to_send()
