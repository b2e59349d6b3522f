"""Resumption that works, in both versions, by tickets and by stores: what is kept, what is new, how often."""

from __future__ import annotations

from typing import Any

import pytest

from tests.session.resuming import (
    AUTHENTICATION,
    POLICIES,
    VERSIONS,
    Clock,
    OneSession,
    check_full,
    check_resumed,
    demanding,
    fresh,
    knowing,
    meet,
    peers,
    sent,
)
from tests.support.identities import (
    client_config,
    client_credential,
    optional,
    required,
    server_config,
    server_credential,
)
from tests.support.memory import byte_by_byte, connect, pair, record_by_record
from tests.support.scripted import ScriptedClient, ScriptedServer
from trustls.config import ClientConfig
from trustls.errors import Incompatibility, PeerIncompatible
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.state import MAX_LIFETIME
from trustls.session.store import MemoryClientSessions, MemorySessions
from trustls.session.tickets import RotatingTicketKeys, StoredSessions, Tickets
from trustls.trust.client_auth import ClientAuth
from trustls.wire.messages import ClientHello, HelloRetryRequest, NewSessionTicket, ServerHello

every_version = pytest.mark.parametrize("version", VERSIONS)
every_policy = pytest.mark.parametrize("policy", POLICIES)
AUTH: dict[str, ClientAuth] = {"none": ClientAuth.none(), "optional": optional(), "required": required()}


def known(**changes: Any) -> ClientConfig:
    """A client with a certificate and a store of its own."""
    return client_config(**{"credentials": [client_credential()], **changes})


def authentication(side: ScriptedClient | ScriptedServer) -> list[str]:
    """The messages it sent that prove who it is."""
    return [type(message).__name__ for message in sent(side) if isinstance(message, AUTHENTICATION)]


# -- The same two sides again -----------------------------------------------------------------------------------------


@every_version
@every_policy
@pytest.mark.parametrize("auth", AUTH)
def test_second_connection_resumes_the_first(version: str, policy: str, auth: str) -> None:
    server, client = demanding(policy, version, client_auth=AUTH[auth]), known(versions=[version])
    first = check_full(connect(server, client))
    for _ in range(4):
        again, the_client, the_server = meet(server, client)
        check_resumed(again)
        assert peers(again) == peers(first), "the identities are those of the first connection"
        assert authentication(the_client) == authentication(the_server) == [], "no certificate was exchanged"
        for side, before in ((again.client, first.client), (again.server, first.server)):
            assert side.info.suite is before.info.suite
            assert side.info.server_name == "localhost"
            assert side.export("EXPORTER-x", 32) != before.export("EXPORTER-x", 32), "keys are new each time"
            if before.peer is not None:
                assert side.peer is not None
                assert side.peer.verified == before.peer.verified, "the verified path is known too"
        assert again.client.info.credential == first.client.info.credential
        assert (again.server.peer is None) == (auth == "none")


@every_version
@every_policy
@pytest.mark.parametrize("split", [byte_by_byte, record_by_record])
def test_resumption_does_not_depend_on_how_it_is_delivered(version: str, policy: str, split: Any) -> None:
    server, client = demanding(policy, version), known()
    for resumed in (False, True):
        joined = pair(server, client)
        joined.split = split
        joined.run().check_connected()
        assert joined.client.info.resumed is resumed


@every_version
@every_policy
def test_servers_that_share_keys_or_store_resume_each_others_sessions(version: str, policy: str) -> None:
    keys, store = RotatingTicketKeys(), MemorySessions()
    shared = [Tickets(keys=keys) if policy == "tickets" else StoredSessions(store=store) for _ in range(2)]
    client = known()
    check_full(connect(demanding(version=version, resumption=shared[0]), client))
    check_resumed(connect(demanding(version=version, resumption=shared[1]), client))


@every_policy
def test_session_of_one_version_is_not_resumed_in_the_other(policy: str) -> None:
    shared = POLICIES[policy]()
    for first, second in (VERSIONS, VERSIONS[::-1]):
        client = known()
        check_full(connect(demanding(version=first, resumption=shared), client))
        again = check_full(connect(demanding(version=second, resumption=shared), client))
        assert again.server.peer is not None, "the certificate was shown again"


@every_version
@every_policy
def test_client_that_no_longer_speaks_the_sessions_version_does_not_offer_it(version: str, policy: str) -> None:
    sessions = MemoryClientSessions()
    server = demanding(policy, versions=VERSIONS)
    connect(server, known(versions=[version], sessions=sessions))
    other = known(versions=[item for item in VERSIONS if item != version], sessions=sessions)
    check_full(connect(server, other))


@every_version
def test_no_session_is_kept_where_one_side_wants_none(version: str) -> None:
    for server, client in (
        (demanding(version=version, resumption=None), known()),
        (demanding(version=version), known(sessions=None)),
    ):
        for _ in range(2):
            check_full(connect(server, client))


def test_client_without_store_asks_for_no_ticket() -> None:
    _, client, server = meet(server_config(), client_config(sessions=None))
    [hello] = [message for message in sent(client) if isinstance(message, ClientHello)]
    assert hello.psk_key_exchange_modes is None
    assert hello.session_ticket is None
    assert not [message for message in sent(server) if isinstance(message, NewSessionTicket)]


@every_version
@every_policy
def test_server_that_stops_resuming_makes_a_full_handshake(version: str, policy: str) -> None:
    client = known()
    connect(demanding(policy, version), client)
    check_full(connect(demanding(version=version, resumption=None), client))


# -- What may change --------------------------------------------------------------------------------------------------


@every_version
@every_policy
@pytest.mark.parametrize(
    ("first", "second", "agreed"), [(["h2"], ["http/1.1"], "http/1.1"), ([], ["h2"], "h2"), (["h2"], [], None)]
)
def test_alpn_is_negotiated_anew(
    version: str, policy: str, first: list[str], second: list[str], agreed: str | None
) -> None:
    """RFC 9846 4.3.11, RFC 7301 3.1: the application protocol is not part of a session."""
    sessions = MemoryClientSessions()
    server = demanding(policy, version, alpn=["http/1.1", "h2"])
    connect(server, known(sessions=sessions, alpn=first))
    again = check_resumed(connect(server, known(sessions=sessions, alpn=second)))
    assert again.client.info.alpn == agreed
    assert again.server.info.alpn == agreed


@every_version
def test_alpn_with_nothing_in_common_is_refused_when_resuming_too(version: str) -> None:
    sessions = MemoryClientSessions()
    server = demanding(version=version, alpn=["h2"])
    connect(server, known(sessions=sessions, alpn=["h2"]))
    again = fresh(server, known(sessions=sessions, alpn=["http/1.1"]))
    assert isinstance(again.server.failure, PeerIncompatible)
    assert again.server.failure.reason is Incompatibility.NO_COMMON_ALPN


def test_group_is_negotiated_anew_and_the_keys_are_ephemeral() -> None:
    """psk_dhe_ke: who learns the session's secret later cannot read what was said."""
    sessions = MemoryClientSessions()
    shared = Tickets()
    connect(demanding(resumption=shared, groups=["x25519"]), known(sessions=sessions, groups=["x25519", "secp256r1"]))
    client = known(sessions=sessions, groups=["secp256r1", "x25519"])
    joined, _, server = meet(demanding(resumption=shared, groups=["secp256r1"]), client)
    check_resumed(joined)
    assert joined.client.info.group.iana == "secp256r1"
    [hello] = [message for message in sent(server) if isinstance(message, ServerHello)]
    assert hello.key_share is not None
    assert hello.pre_shared_key == 0


def test_session_goes_on_with_its_own_suite_only() -> None:
    """RFC 9846 4.3.11 allows another of the same hash; whose client has come to prefer that one begins anew."""
    sessions = MemoryClientSessions()
    shared = Tickets()
    aes, chacha = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
    connect(demanding(resumption=shared, suites=[aes]), known(sessions=sessions))
    own = check_resumed(connect(demanding(resumption=shared, suites=[chacha, aes]), known(sessions=sessions)))
    assert own.client.info.suite.iana == aes
    other = connect(demanding(resumption=shared, suites=[chacha]), known(sessions=sessions)).check_connected()
    assert not other.client.info.resumed
    assert not other.server.info.resumed
    assert other.client.info.suite.iana == chacha


@every_policy
@pytest.mark.parametrize(
    ("version", "first", "second"),
    [
        ("1.3", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"),
        ("1.3", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
        ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_suite_that_the_server_no_longer_has_means_a_full_handshake(
    version: str, policy: str, first: str, second: str
) -> None:
    shared, client = POLICIES[policy](), known()
    connect(demanding(version=version, resumption=shared, suites=[first]), client)
    again = check_full(connect(demanding(version=version, resumption=shared, suites=[second]), client))
    assert again.client.info.suite.iana == second


@every_policy
@pytest.mark.parametrize("cookies", [None, RetryCookies()], ids=["plain", "cookie"])
def test_session_is_resumed_after_a_hello_retry_request(policy: str, cookies: RetryCookies | None) -> None:
    """The binders of the second ClientHello are over the first, the retry, and itself."""
    server = demanding(policy, groups=["secp384r1"], retry_cookies=cookies)
    client = known(key_shares=["x25519"])  # Otherwise it would remember what was asked for.
    for resumed in (False, True, True):
        joined, _, the_server = meet(server, client)
        joined.check_connected()
        assert joined.client.info.retried
        assert joined.client.info.resumed is joined.server.info.resumed is resumed
        assert isinstance(sent(the_server)[0], HelloRetryRequest)


def test_session_of_another_hash_than_the_retrys_suite_is_dropped() -> None:
    shared, client = Tickets(), known()
    connect(demanding(resumption=shared, suites=["TLS_AES_128_GCM_SHA256"]), client)
    server = demanding(resumption=shared, suites=["TLS_AES_256_GCM_SHA384"], groups=["secp521r1"])
    joined, the_client, _ = meet(server, client)
    check_full(joined)
    hellos = [message for message in sent(the_client) if isinstance(message, ClientHello)]
    assert [hello.pre_shared_key is not None for hello in hellos] == [True, False]


@every_version
@every_policy
def test_server_that_has_a_new_certificate_goes_on_with_its_sessions(version: str, policy: str) -> None:
    """A renewal must not cost a fleet all its sessions: the client verified the old one, and verifies it anew."""
    shared, client = POLICIES[policy](), known()
    old = connect(demanding(version=version, resumption=shared), client)
    renewed = demanding(version=version, resumption=shared, credentials=[server_credential("ec-p384")])
    again = check_resumed(connect(renewed, client))
    assert peers(again) == peers(old)


# -- How often --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 5, 16])
@every_policy
def test_server_gives_as_many_tickets_as_configured(policy: str, count: int) -> None:
    store = OneSession()
    joined, _, server = meet(demanding(resumption=POLICIES[policy](count=count)), known(sessions=store))
    joined.check_connected()
    assert len(store.kept) == count
    assert len({session.ticket for session in store.kept}) == count, "no two are the same"
    assert len({session.secret for session in store.kept}) == count, "each has a secret of its own"
    assert len({session.age_add for session in store.kept}) == count, "and a mask of its own"
    assert not [message for message in sent(server) if isinstance(message, NewSessionTicket)], "(not in the transcript)"


@every_policy
def test_client_shows_each_ticket_of_tls13_once(policy: str) -> None:
    """RFC 9846 C.4: who sees the same ticket twice knows that both are from one client."""
    server, client = demanding(policy), known()
    shown: list[bytes] = []
    connect(server, client)
    for _ in range(8):
        joined, the_client, _ = meet(server, client)
        check_resumed(joined)
        hello = sent(the_client)[0]
        assert isinstance(hello, ClientHello)
        assert hello.pre_shared_key is not None
        shown += [psk.identity for psk in hello.pre_shared_key.identities]
    assert len(shown) == len(set(shown)) == 8


def test_connections_at_once_use_different_tickets_and_then_none() -> None:
    server, client = demanding(), known()
    connect(server, client)
    waiting = [pair(server, client) for _ in range(3)]
    resumed = [joined.run().check_connected().client.info.resumed for joined in waiting]
    assert resumed == [True, True, False], "two tickets were there"


def test_stored_session_of_tls13_is_resumed_once_and_a_ticket_again_and_again() -> None:
    """Somebody who shows the same name twice: the second time it is gone."""
    for policy, second in (("stored", check_full), ("tickets", check_resumed)):
        server = demanding(policy)
        client, _ = knowing(server)
        check_resumed(connect(server, client))
        second(connect(server, client))


@every_policy
def test_session_of_tls12_is_resumed_again_and_again(policy: str) -> None:
    """RFC 5246 F.1.4: that is how session ids are meant."""
    server = demanding(policy, "1.2")
    client, _ = knowing(server)
    for _ in range(3):
        check_resumed(connect(server, client))


def test_stored_session_is_used_up_by_two_connections_at_once() -> None:
    server = demanding("stored")
    client, _ = knowing(server)
    waiting = [pair(server, client) for _ in range(2)]
    for joined in waiting:
        joined.step()
    resumed = [joined.run().check_connected().client.info.resumed for joined in waiting]
    assert sorted(resumed) == [False, True]


# -- How long ---------------------------------------------------------------------------------------------------------


@every_version
@every_policy
def test_client_offers_a_session_until_its_lifetime_is_over(version: str, policy: str) -> None:
    clock = Clock()
    client = known(now=clock)
    server = demanding(policy, version, resumption=POLICIES[policy](lifetime=100), now=clock)
    connect(server, client)
    clock.forward(99)
    check_resumed(connect(server, client))
    clock.forward(200)
    joined, the_client, _ = meet(server, client)
    check_full(joined)
    hello = sent(the_client)[0]
    assert isinstance(hello, ClientHello)
    assert hello.pre_shared_key is None, "it knows that there is no use"
    assert not hello.session_ticket


@every_version
@every_policy
def test_server_refuses_what_is_too_old_by_its_own_clock(version: str, policy: str) -> None:
    """The client's clock stands still: it thinks that the session is fresh."""
    servers, clients = Clock(), Clock()
    server = demanding(policy, version, resumption=POLICIES[policy](lifetime=100), now=servers)
    client, _ = knowing(server, now=clients)
    servers.forward(99)
    check_resumed(connect(server, client))
    client, _ = knowing(server, now=clients)
    servers.forward(102)
    check_full(connect(server, client))


@every_version
def test_session_from_the_future_is_refused_but_for_a_little_skew(version: str) -> None:
    servers = Clock()
    server = demanding(version=version, now=servers)
    client, _ = knowing(server)
    servers.forward(-50)
    check_resumed(connect(server, client))
    servers.forward(-3000)  # (The certificates are an hour old.)
    check_full(connect(server, client))


@every_version
def test_resumption_does_not_prolong_a_session_of_tls12(version: str) -> None:
    """What was authenticated long ago must be authenticated again, however often it was resumed since."""
    clock = Clock()
    server = demanding(version=version, resumption=Tickets(lifetime=100), now=clock)
    client = known(now=clock)
    connect(server, client)
    for _ in range(3):
        clock.forward(30)
        check_resumed(connect(server, client))
    clock.forward(30)
    joined = connect(server, client).check_connected()
    # In TLS 1.3 each resumption gives new tickets, with a client that is verified anew each time.
    assert joined.client.info.resumed is (version == "1.3")


@every_version
def test_lifetime_of_the_configuration_is_announced(version: str) -> None:
    store = OneSession()
    connect(demanding(version=version, resumption=Tickets(lifetime=4321)), known(sessions=store))
    assert {session.lifetime for session in store.kept} == {4321}


def test_client_keeps_nothing_longer_than_seven_days() -> None:
    clock = Clock()
    server = demanding(resumption=Tickets(lifetime=MAX_LIFETIME, keys=RotatingTicketKeys(10**7)), now=clock)
    client = known(now=clock)
    connect(server, client)
    clock.forward(MAX_LIFETIME + 1)
    check_full(connect(server, client))


@every_version
def test_key_before_the_last_rotation_still_opens_and_one_older_does_not(version: str) -> None:
    clock = Clock()
    tickets = Tickets(keys=RotatingTicketKeys(rotate_every=1000), lifetime=MAX_LIFETIME)
    server = demanding(version=version, resumption=tickets, now=clock)
    for passed, check in ((0, check_resumed), (1001, check_resumed), (2500, check_full)):
        client, _ = knowing(server, now=clock)
        clock.forward(passed)
        check(connect(server, client))


# -- TLS 1.2's own rules ----------------------------------------------------------------------------------------------


def test_resumed_server_hello_of_tls12_has_no_server_name() -> None:
    """RFC 6066 3."""
    server, client = demanding(version="1.2"), known()
    for expected in (True, None):
        joined, _, the_server = meet(server, client)
        joined.check_connected()
        answer = sent(the_server)[0]
        assert isinstance(answer, ServerHello)
        assert answer.server_name is expected


@every_policy
def test_session_id_is_echoed_when_a_session_of_tls12_is_resumed(policy: str) -> None:
    server, client = demanding(policy, "1.2"), known(versions=["1.2"])
    connect(server, client)
    joined, the_client, the_server = meet(server, client)
    check_resumed(joined)
    hello, answer = sent(the_client)[0], sent(the_server)[0]
    assert isinstance(hello, ClientHello)
    assert isinstance(answer, ServerHello)
    assert hello.session_id
    assert answer.session_id == hello.session_id
    assert bool(hello.session_ticket) == (policy == "tickets")


def test_ticket_without_a_session_id_is_resumed_too() -> None:
    """RFC 5077 3.4: then the answer has none either; only a client that waits for either message understands it."""
    server = demanding(version="1.2")
    client, store = knowing(server)
    assert store.give is not None
    assert store.give.session_id == b"", "a server with tickets gives no id"
    check_resumed(connect(server, client))


@every_version
@every_policy
def test_both_sides_log_the_keys_of_a_resumed_connection(version: str, policy: str) -> None:
    logged: dict[str, list[tuple[str, bytes, bytes]]] = {"client": [], "server": []}

    class Log:
        def __init__(self, side: str) -> None:
            self.side = side

        def log(self, label: str, client_random: bytes, secret: bytes) -> None:
            logged[self.side].append((label, client_random, secret))

    server, client = demanding(policy, version, key_log=Log("server")), known(key_log=Log("client"))
    connect(server, client)
    for lines in logged.values():
        lines.clear()
    check_resumed(connect(server, client))
    assert sorted(logged["client"]) == sorted(logged["server"]), "both log the same"
    labels = sorted(label for label, _, _ in logged["client"])
    assert labels == (
        ["CLIENT_RANDOM"]
        if version == "1.2"
        else [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "EXPORTER_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_TRAFFIC_SECRET_0",
        ]
    )


def test_a_resumed_session_remembers_its_master_secret_in_tls12() -> None:
    seen: list[bytes] = []

    class Log:
        def log(self, label: str, client_random: bytes, secret: bytes) -> None:
            seen.append(secret)

    server, client = demanding(version="1.2"), known(key_log=Log())
    connect(server, client)
    check_resumed(connect(server, client))
    assert len(seen) == 2
    assert seen[0] == seen[1], "RFC 5246 8.1: record keys are new, the master secret is the session's"
