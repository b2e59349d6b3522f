"""Tickets that cannot be resumed: forged, broken, too old, of another key, server, name or identity.

For each: a full handshake that succeeds or fails on its own merits. Never an error because of the ticket, and never a
way around client authentication: a client that shows such a ticket, and has no certificate, is not let in.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.resuming import (
    POLICIES,
    VERSIONS,
    Clock,
    OneSession,
    check_full,
    check_resumed,
    demanding,
    fresh,
    knowing,
    peers,
)
from tests.support.identities import (
    client_config,
    client_credential,
    client_intermediate,
    client_root,
    client_roots,
    credential,
    optional,
    required,
    server_credential,
    server_root,
    server_roots,
    store,
    strange_root,
)
from tests.support.memory import Pair, check_refused, connect
from tests.support.scripted import ScriptedClient, on
from trustls.cli.pki import Authority, Validity
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ServerConnection
from trustls.danger import AcceptAnyCertificate
from trustls.errors import AlertReceived, CertificateProblem, CertificateRejected, Incompatibility, PeerIncompatible
from trustls.session.state import ServerSession
from trustls.session.store import MemoryClientSessions
from trustls.session.tickets import StoredSessions, TicketKey, Tickets
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import Peer, RootsClientVerifier, RootsServerVerifier
from trustls.wire.enums import CipherSuite, ProtocolVersion
from trustls.wire.messages import ClientHello
from trustls.wire.names import DistinguishedName

every_version = pytest.mark.parametrize("version", VERSIONS)
every_policy = pytest.mark.parametrize("policy", POLICIES)
Changed = Callable[[bytes], bytes]


def check_passed_over(server: ServerConfig, client: ClientConfig, *, name: str = "localhost") -> None:
    """A full handshake with the certificate; and without one, no entrance."""
    joined = connect(server, client, name).check_connected()
    assert not joined.client.info.resumed, "the client says that it resumed"
    assert not joined.server.info.resumed, "the server says that it resumed"
    assert joined.server.peer is not None, "the certificate was asked for"
    assert joined.server.peer.certificate == client_credential().certificate
    check_no_way_in(server, client, name=name)


def check_no_way_in(server: ServerConfig, client: ClientConfig, *, name: str = "localhost") -> None:
    """The same ticket in the hands of somebody without a certificate."""
    joined = fresh(server, without_certificate(client), name)
    failure = joined.server.failure
    assert isinstance(failure, CertificateRejected), f"let in without a certificate: {failure!r}"
    assert failure.reason is CertificateProblem.NONE_PRESENTED
    assert isinstance(joined.client.failure, AlertReceived)


def without_certificate(client: ClientConfig) -> ClientConfig:
    """The same client, with the same sessions on offer, but no certificate."""
    return replace(client, credentials=(), choose_credential=None)


# -- Forged and broken ------------------------------------------------------------------------------------------------


def offering(client_store: OneSession, version: str, change: Changed) -> None:
    """Offer the newest session under another ticket; or, in TLS 1.2, another session id, where that is its name."""
    session = client_store.kept[-1]
    if session.ticket:
        client_store.offer(ticket=change(session.ticket))
    else:
        client_store.offer(session_id=change(session.session_id)[:32])


FORGERIES: Final[dict[str, Changed]] = {
    "one byte": lambda ticket: b"\0",
    "random": lambda ticket: b"\x5a" * len(ticket),
    "random, short": lambda ticket: b"\x5a" * 15,
    "random, as long as a stored session's name": lambda ticket: b"\x5a" * 32,
    "random, long": lambda ticket: b"\x5a" * 30_000,
    "the key's name alone": lambda ticket: ticket[:16],
    "name and nonce": lambda ticket: ticket[:28],
    "name, nonce and tag": lambda ticket: ticket[:44],
    "cut": lambda ticket: ticket[:-1],
    "lengthened": lambda ticket: ticket + b"\0",
    "twice": lambda ticket: ticket + ticket,
    "beginning cut off": lambda ticket: ticket[1:],
    "another nonce": lambda ticket: ticket[:16] + bytes(12) + ticket[28:],
    "another tag": lambda ticket: ticket[:-16] + bytes(16),
}
ONLY_FOR_TICKETS: Final = {"name, nonce and tag", "lengthened", "twice"}


@every_version
@every_policy
@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_ticket_is_passed_over(version: str, policy: str, forgery: str) -> None:
    if policy == "stored" and forgery in ONLY_FOR_TICKETS:
        return  # The name of a stored session is 32 bytes, and would be itself again.
    server = demanding(policy, version)
    client, client_store = knowing(server)
    offering(client_store, version, FORGERIES[forgery])
    check_passed_over(server, client)


SERVERS: Final = {(policy, version): demanding(policy, version) for policy in POLICIES for version in VERSIONS}
KNOWN: Final = {key: knowing(server) for key, server in SERVERS.items()}


@every_version
@every_policy
@given(bits=st.lists(st.integers(0, 1 << 20), min_size=1, max_size=3, unique=True))
def test_ticket_with_other_bits_is_passed_over(version: str, policy: str, bits: list[int]) -> None:
    server, (client, client_store) = SERVERS[policy, version], KNOWN[policy, version]

    def flip(ticket: bytes) -> bytes:
        changed = bytearray(ticket)
        for bit in {bit % (8 * len(ticket)) for bit in bits}:
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    offering(client_store, version, flip)
    joined = check_full(connect(server, client))
    assert joined.server.peer is not None, "the certificate was asked for"


@every_version
@every_policy
@given(length=st.integers(0, 400), data=st.binary(max_size=400))
def test_ticket_cut_anywhere_or_made_up_is_passed_over(version: str, policy: str, length: int, data: bytes) -> None:
    server, (client, client_store) = SERVERS[policy, version], KNOWN[policy, version]
    for change in (lambda ticket: ticket[: length % len(ticket)] or b"\0", lambda ticket: data or b"\0"):
        offering(client_store, version, change)
        joined = check_full(connect(server, client))
        assert joined.server.peer is not None, "the certificate was asked for"


class SameKey:
    """Ticket keys that a test knows."""

    def __init__(self) -> None:
        self.key = TicketKey.generate()

    def current(self, now: float) -> TicketKey:
        return self.key

    def named(self, name: bytes, now: float) -> TicketKey | None:
        return self.key if name == self.key.name else None


@every_version
@pytest.mark.parametrize(
    "content", [b"", b"\1", b"\2" * 100, bytes(1000), b"\1\3\4" + b"\xff" * 200], ids=lambda content: content[:4].hex()
)
def test_well_sealed_nonsense_is_passed_over(version: str, content: bytes) -> None:
    """A ticket of the right key, of an older or newer release of this library for example."""
    keys = SameKey()
    server = demanding(version=version, resumption=Tickets(keys=keys))
    client, client_store = knowing(server)
    client_store.offer(ticket=keys.key.seal(content))
    check_passed_over(server, client)


@given(data=st.data())
def test_stored_nonsense_is_passed_over(data: st.DataObject) -> None:
    """What a store gives is judged like what a client shows."""

    class Store:
        def put(self, identifier: bytes, session: bytes, lifetime: int) -> None:
            self.session = session

        def get(self, identifier: bytes) -> bytes:
            good = self.session
            at = data.draw(st.integers(0, len(good) - 1))
            return data.draw(st.sampled_from([good[:at], good[at:], good + b"\0", b"\xff" + good[1:], b""]))

        take = get

    version = data.draw(st.sampled_from(VERSIONS))
    nonsense = Store()
    server = demanding(version=version, resumption=StoredSessions(store=nonsense))
    client, _ = knowing(server)
    joined = fresh(server, client)
    assert joined.connected, f"{joined.server.failure!r}"
    if joined.server.info.resumed:  # Where nothing was cut off.
        assert joined.server.peer is not None


# -- Of another server, of another key --------------------------------------------------------------------------------


@every_version
@every_policy
@pytest.mark.parametrize("other", POLICIES)
def test_session_of_another_server_is_passed_over(version: str, policy: str, other: str) -> None:
    """The same name and trust, so the client tries; but neither keys nor store are shared."""
    first, second = demanding(policy, version), demanding(other, version)
    client, _ = knowing(first)
    check_passed_over(second, client)


@every_version
def test_ticket_of_another_key_of_the_same_name_is_passed_over(version: str) -> None:
    """Names are not secret: whoever makes a key of that name still does not have this one."""
    ours, theirs = SameKey(), SameKey()
    theirs.key = TicketKey(ours.key.name, theirs.key.key)
    client, _ = knowing(demanding(version=version, resumption=Tickets(keys=theirs)))
    check_passed_over(demanding(version=version, resumption=Tickets(keys=ours)), client)


@every_version
@every_policy
def test_session_of_another_name_is_passed_over(version: str, policy: str) -> None:
    """RFC 6066 3: though the server's certificate is for both names, and the client would do it."""
    both = server_credential("ec-p256", "localhost", "other.example")
    server = demanding(policy, version, credentials=[both])
    client, _ = knowing(server)
    check_passed_over(server, client, name="other.example")


@every_version
@every_policy
def test_session_without_a_name_is_not_resumed_with_one(version: str, policy: str) -> None:
    server = demanding(policy, version)
    nameless, client_store = knowing(server, send_server_name=False)
    check_resumed(connect(server, nameless))
    client_store.offer()
    check_passed_over(server, replace(nameless, send_server_name=True))


@every_version
@every_policy
def test_client_offers_no_session_of_another_server_name(version: str, policy: str) -> None:
    both = server_credential("ec-p256", "localhost", "other.example")
    server = demanding(policy, version, credentials=[both])
    client = client_config(credentials=[client_credential()])
    connect(server, client)
    check_full(connect(server, client, "other.example"))
    check_resumed(connect(server, client))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("begun", VERSIONS)
def test_session_of_one_version_shown_in_the_other_is_passed_over(begun: str, policy: str) -> None:
    """The same keys and store serve both. The secret fits, for a client that does not mind: 48 bytes in either."""
    suites = {"1.2": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "1.3": "TLS_AES_256_GCM_SHA384"}
    [shown] = [version for version in VERSIONS if version != begun]
    shared = POLICIES[policy]()
    client, client_store = knowing(demanding(version=begun, resumption=shared, suites=[suites[begun]]))
    session = client_store.kept[-1]
    name = session.ticket or session.session_id
    client_store.offer(
        version={"1.2": ProtocolVersion.TLS1_2, "1.3": ProtocolVersion.TLS1_3}[shown],
        suite=CipherSuite.from_iana(suites[shown]),
        ticket=name,
        session_id=name[:32],
        extended_master_secret=shown == "1.2",
    )
    check_passed_over(demanding(version=shown, resumption=shared), client)


# -- The server's configuration is another ----------------------------------------------------------------------------


SECOND_ROOT: Final = Authority.create("Another Client CA")


class Verifier:
    """The application's own verifier: as the roots say."""

    hints: tuple[DistinguishedName, ...] = ()

    def __init__(self) -> None:
        self.inner = RootsClientVerifier(client_roots())
        self.asked = 0
        self.refuses = False

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer:
        self.asked += 1
        if self.refuses:
            raise CertificateRejected(CertificateProblem.REFUSED, "no longer")
        peer = self.inner.verify_client(chain, now=now)
        assert isinstance(peer, Peer)
        return peer


BINDINGS: Final[dict[str, Callable[[], tuple[ClientAuth, ClientAuth]]]] = {
    "none, then required": lambda: (ClientAuth.none(), required()),
    "optional, then required": lambda: (optional(), required()),
    "required by more roots": lambda: (ClientAuth.required(store(client_root(), SECOND_ROOT)), required()),
    "required by fewer roots": lambda: (required(), ClientAuth.required(store(client_root(), SECOND_ROOT))),
    "another verifier": lambda: (ClientAuth.custom(Verifier()), ClientAuth.custom(Verifier())),
    "a verifier, then roots": lambda: (ClientAuth.custom(Verifier()), required()),
    "roots, then a verifier": lambda: (required(), ClientAuth.custom(Verifier())),
}


@every_version
@every_policy
@pytest.mark.parametrize("binding", BINDINGS)
def test_session_is_not_resumed_under_another_client_auth(version: str, policy: str, binding: str) -> None:
    shared = POLICIES[policy]()
    first, second = BINDINGS[binding]()
    client, _ = knowing(demanding(version=version, resumption=shared, client_auth=first))
    check_passed_over(demanding(version=version, resumption=shared, client_auth=second), client)


@every_version
@every_policy
def test_client_that_came_without_certificate_where_it_was_optional_has_no_way_in_later(
    version: str, policy: str
) -> None:
    """The bypass itself: a session of nobody, shown where everybody must be known."""
    shared = POLICIES[policy]()
    for auth in (ClientAuth.none(), optional()):
        server = demanding(version=version, resumption=shared, client_auth=auth)
        nobody, _ = knowing(server, credentials=[])
        assert check_resumed(connect(server, nobody)).server.peer is None
        nobody, _ = knowing(server, credentials=[])
        check_no_way_in(demanding(version=version, resumption=shared), nobody)


@every_version
def test_session_that_names_nobody_is_not_enough_where_a_certificate_is_required(version: str) -> None:
    """Even if one were sealed for this very configuration: no chain, no entrance."""
    keys = SameKey()
    server = demanding(version=version, resumption=Tickets(keys=keys))
    client, client_store = knowing(server)
    sealed = keys.key.open(client_store.kept[-1].ticket)
    assert sealed is not None
    session = ServerSession.parse(sealed)
    assert session is not None
    assert session.client_chain
    client_store.offer(ticket=keys.key.seal(replace(session, client_chain=()).encode()))
    check_passed_over(server, client)


@every_version
@every_policy
def test_same_client_auth_made_anew_is_the_same(version: str, policy: str) -> None:
    """After a restart, or on another machine: equal roots, equal mode; hints do not matter."""
    shared = POLICIES[policy]()
    client, _ = knowing(demanding(version=version, resumption=shared))
    again = ClientAuth.required(store(client_root()), hints=())
    check_resumed(connect(demanding(version=version, resumption=shared, client_auth=again), client))


@every_version
@every_policy
def test_verifier_that_names_its_binding_is_the_same_everywhere(version: str, policy: str) -> None:
    class Named(Verifier):
        session_binding = b"our verifier, version 3"

    shared = POLICIES[policy]()
    first, second = Named(), Named()
    client, _ = knowing(demanding(version=version, resumption=shared, client_auth=ClientAuth.custom(first)))
    server = demanding(version=version, resumption=shared, client_auth=ClientAuth.custom(second))
    check_resumed(connect(server, client))
    assert second.asked == 1, "the client is verified anew"


# -- The client is no longer believed ---------------------------------------------------------------------------------


@every_version
@every_policy
@pytest.mark.parametrize("auth", [required, optional])
def test_client_whose_certificate_expired_meanwhile_must_show_a_better_one(
    version: str, policy: str, auth: Callable[[], ClientAuth]
) -> None:
    clock = Clock()
    expiring = credential(
        client_intermediate().issue_client("soon gone", validity=Validity(lifetime=datetime.timedelta(hours=1)))
    )
    server = demanding(policy, version, now=clock, client_auth=auth())
    client, client_store = knowing(server, credentials=[expiring])
    check_resumed(connect(server, client))
    client_store.offer()
    clock.forward(3700)
    joined = fresh(server, client)
    failure = joined.server.failure
    assert isinstance(failure, CertificateRejected), f"let in with an expired certificate: {failure!r}"
    assert failure.reason is CertificateProblem.EXPIRED
    renewed = replace(client, credentials=[client_credential()])
    client_store.offer()
    check_full(connect(server, renewed))


@every_version
@every_policy
def test_client_whose_root_was_removed_is_let_in_no_more(version: str, policy: str) -> None:
    shared = POLICIES[policy]()
    client, _ = knowing(demanding(version=version, resumption=shared))
    elsewhere = ClientAuth.required(store(SECOND_ROOT), hints=())
    joined = fresh(demanding(version=version, resumption=shared, client_auth=elsewhere), client)
    failure = joined.server.failure
    assert isinstance(failure, CertificateRejected), f"let in: {failure!r}"
    assert failure.reason is CertificateProblem.UNKNOWN_ISSUER


@every_version
@every_policy
def test_verifier_that_changes_its_mind_is_heard(version: str, policy: str) -> None:
    """A list of the revoked, for example: a session is no way around it."""
    verifier = Verifier()
    server = demanding(policy, version, client_auth=ClientAuth.custom(verifier))
    client, client_store = knowing(server)
    check_resumed(connect(server, client))
    assert verifier.asked == 2, "it is asked at each resumption"
    client_store.offer()
    verifier.refuses = True
    joined = fresh(server, client)
    failure = joined.server.failure
    assert isinstance(failure, CertificateRejected), f"let in: {failure!r}"
    assert failure.reason is CertificateProblem.REFUSED
    assert verifier.asked == 4, "once for the session, once for the certificate of the full handshake"


# -- The client's configuration is another: sessions in a shared store ------------------------------------------------

BOB: Final = "bob"


def strangers() -> RootCertStore:
    return store(server_root(), strange_root())


class AnyServer:
    """The application's own verifier."""

    def verify_server(
        self, chain: tuple[Certificate, ...], server_name: Any, *, now: float, ocsp_response: bytes
    ) -> Peer:
        peer = RootsServerVerifier(server_roots()).verify_server(chain, server_name, now=now)
        assert isinstance(peer, Peer)
        return peer


CLIENTS: Final[dict[str, dict[str, Any]]] = {
    "alice": {"credentials": [client_credential()]},
    "bob": {"credentials": [client_credential("ec-p256", BOB)]},
    "alice, then bob": {"credentials": [client_credential(), client_credential("ec-p256", BOB)]},
    "bob, then alice": {"credentials": [client_credential("ec-p256", BOB), client_credential()]},
    "alice's other key": {"credentials": [client_credential("ed25519")]},
    "nobody": {"credentials": []},
    "more roots": {"credentials": [client_credential()], "roots": strangers()},
    "a verifier": {"credentials": [client_credential()], "verifier": AnyServer()},
    "another verifier": {"credentials": [client_credential()], "verifier": AnyServer()},
    "no verification": {"credentials": [client_credential()], "verifier": AcceptAnyCertificate()},
    "a chooser": {
        "credentials": [client_credential(), client_credential("ec-p256", BOB)],
        "choose_credential": lambda request, credentials: credentials[0],
    },
    "another chooser": {
        "credentials": [client_credential(), client_credential("ec-p256", BOB)],
        "choose_credential": lambda request, credentials: credentials[1],
    },
}


# What has no name of its own and cannot be given one: nothing is resumed under it.
NEVER: Final = "no verification"


@every_version
@every_policy
@pytest.mark.parametrize("first", CLIENTS)
def test_session_in_a_shared_store_never_crosses_configurations(version: str, policy: str, first: str) -> None:
    server = demanding(policy, version, client_auth=optional())
    shared = MemoryClientSessions(per_server=100)
    connect(server, client_config(sessions=shared, **CLIENTS[first]))
    kept = len(shared)
    assert kept
    for second, changes in CLIENTS.items():
        joined = connect(server, client_config(sessions=shared, **changes)).check_connected()
        assert joined.client.info.resumed is (second == first and first != NEVER), f"{second} after {first}"
        if second != first:
            own = client_config(**changes)
            assert peers(joined) == peers(connect(server, own)), "it is who it is without the store"


def test_session_does_not_cross_choosers() -> None:
    """Both have the same credentials; who they are is what they choose."""
    server, shared = demanding(), MemoryClientSessions()
    seen = []
    for name in ("a chooser", "another chooser"):
        joined = connect(server, client_config(sessions=shared, **CLIENTS[name]))
        assert joined.server.peer is not None
        seen.append(joined.server.peer.certificate)
    assert seen == [client_credential().certificate, client_credential("ec-p256", BOB).certificate]


@every_version
@every_policy
def test_client_verifies_the_server_of_a_session_anew(version: str, policy: str) -> None:
    """Its certificate has expired meanwhile: a full handshake, and a refusal on its merits."""
    clock = Clock()
    expiring = credential(
        server_root().issue_server("localhost", validity=Validity(lifetime=datetime.timedelta(hours=1)))
    )
    server = demanding(policy, version, credentials=[expiring])
    client = client_config(credentials=[client_credential()], now=clock)
    connect(server, client)
    check_resumed(connect(server, client))
    clock.forward(3700)
    joined = fresh(server, client)
    failure = joined.client.failure
    assert isinstance(failure, CertificateRejected), f"believed: {failure!r}"
    assert failure.reason is CertificateProblem.EXPIRED


@every_version
def test_client_verifier_that_changes_its_mind_is_heard(version: str) -> None:
    class Moody(AnyServer):
        refuses = False

        def verify_server(self, *arguments: Any, **named: Any) -> Peer:
            if self.refuses:
                raise CertificateRejected(CertificateProblem.REFUSED, "no longer")
            return super().verify_server(*arguments, **named)

    moody = Moody()
    server = demanding(version=version)
    client = client_config(credentials=[client_credential()], verifier=moody)
    connect(server, client)
    check_resumed(connect(server, client))
    moody.refuses = True
    joined = fresh(server, client)
    assert isinstance(joined.client.failure, CertificateRejected)
    assert joined.client.failure.reason is CertificateProblem.REFUSED


def test_sessions_that_cannot_be_used_do_not_hide_one_that_can() -> None:
    clock = Clock()
    client_sessions = MemoryClientSessions(per_server=8)
    server = demanding(resumption=Tickets(count=1, lifetime=7200), now=clock)
    client = client_config(credentials=[client_credential()], sessions=client_sessions, now=clock)
    connect(server, client)
    short = demanding(resumption=Tickets(count=5, lifetime=10), now=clock)
    connect(short, client)  # (It takes the first one's ticket along, in vain.)
    connect(server, client)
    [*others] = client_sessions._sessions.values()
    others[0].insert(0, others[0].pop())
    clock.forward(60)
    check_resumed(connect(server, client))


# -- TLS 1.2: sessions without extended master secret -----------------------------------------------------------------


@pytest.mark.parametrize("bound", [True, False])
def test_session_is_resumed_with_or_without_extended_master_secret_as_it_began(bound: bool) -> None:
    """RFC 7627 5.3: a hello that differs from the session means a full handshake."""
    keys = SameKey()
    server = demanding(version="1.2", resumption=Tickets(keys=keys), require_extended_master_secret=False)
    client, client_store = knowing(server, require_extended_master_secret=False)
    sealed = keys.key.open(client_store.kept[-1].ticket)
    assert sealed is not None
    session = ServerSession.parse(sealed)
    assert session is not None
    assert session.extended_master_secret
    client_store.offer(ticket=keys.key.seal(replace(session, extended_master_secret=bound).encode()))
    (check_resumed if bound else check_full)(connect(server, client))


def test_hello_without_extended_master_secret_may_not_resume_a_session_with_it() -> None:
    """RFC 7627 5.3: the server must abort; the session was bound to its handshake, and somebody takes that away."""
    server = demanding(version="1.2", require_extended_master_secret=False)
    client, _ = knowing(server, require_extended_master_secret=False)
    edit = on(ClientHello, lambda hello: (replace(hello, extended_master_secret=None),))
    joined = Pair(ScriptedClient(client, edit), ServerConnection(server)).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_EXTENDED_MASTER_SECRET)


def test_client_does_not_offer_an_unbound_session_where_it_demands_binding() -> None:
    server = demanding(version="1.2", require_extended_master_secret=False)
    client, client_store = knowing(server)
    client_store.offer(extended_master_secret=False)
    check_passed_over(server, client)
