"""Roots, CRLs and credentials that change while the server runs, behind an object whose `current` is another one.

New connections and resumptions follow at once; connections that are up stay as they are. What makes such an object
from files or a callback is in tests/reloading.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import pytest

from tests.session.resuming import POLICIES, VERSIONS, check_full, check_resumed
from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    client_intermediate,
    client_root,
    client_roots,
    credential,
    server_config,
    server_credential,
    server_root,
    server_roots,
    store,
    strange_credential,
    strange_root,
)
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.revoking import crl, crls
from trustls.cli.pki import Authority, Validity
from trustls.config import ClientConfig, ServerConfig
from trustls.errors import AlertDescription, CertificateProblem, CertificateRejected, ConfigError, TLSError
from trustls.session.store import MemoryClientSessions
from trustls.trust.client_auth import ClientAuth
from trustls.trust.crl import CrlStore
from trustls.trust.revocation import Revocation
from trustls.trust.roots import RootCertStore
from trustls.trust.spiffe import SpiffeBundles

T = TypeVar("T")

every_version = pytest.mark.parametrize("version", VERSIONS)
every_policy = pytest.mark.parametrize("policy", POLICIES)


class Source(Generic[T]):
    """Whatever is another one tomorrow."""

    def __init__(self, value: T) -> None:
        self.value = value

    @property
    def current(self) -> T:
        return self.value


def live_on(joined: Pair) -> None:
    """A connection from before the change goes on, with whom it was made."""
    before = joined.server.peer
    joined.check_connected()
    if str(joined.server.info.version) == "TLSv1.3":
        joined.client.update_keys()
        joined.server.update_keys()
    joined.run().check_connected()
    assert joined.server.peer == before


def client_of(version: str, **changes: Any) -> ClientConfig:
    """A client with two certificates, which presents the first whatever the server names."""
    return client_config(**{"credentials": [client_credential()], "versions": [version], **changes})


def no_hints(roots: Any, **changes: Any) -> ClientAuth:
    """Clients are not told which CAs are trusted, so that they present what they have."""
    return ClientAuth.required(roots, hints=(), **changes)


# -- The roots of a server's clients ----------------------------------------------------------------------------------


@every_policy
@every_version
def test_session_is_resumed_while_nothing_changes(version: str, policy: str) -> None:
    """The next tests show something only because this one does not fail."""
    server = server_config(client_auth=no_hints(Source(client_roots())), resumption=POLICIES[policy]())
    client = client_of(version)
    connect(server, client)
    check_resumed(connect(server, client))


@every_policy
@every_version
def test_client_of_a_root_that_is_gone_is_let_in_no_more(version: str, policy: str) -> None:
    source = Source(client_roots())
    server = server_config(client_auth=no_hints(source), resumption=POLICIES[policy]())
    client = client_of(version)
    live = connect(server, client)
    source.value = store(strange_root())
    joined = pair(server, client).run()  # It offers the session that it was given.
    check_refused(joined, "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    check_refused(
        pair(server, client_of(version)).run(), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER
    )
    live_on(live)


@every_version
def test_client_of_a_root_that_is_new_is_let_in_at_once(version: str) -> None:
    source = Source(client_roots())
    server = server_config(client_auth=no_hints(source))
    mallory = client_of(version, credentials=[strange_credential()])
    check_refused(pair(server, mallory).run(), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    source.value = store(client_root(), strange_root())
    connect(server, mallory).check_connected()


@every_policy
@every_version
def test_overlap_of_two_roots_lets_both_in_through_a_rotation(version: str, policy: str) -> None:
    """Old, old and new, new: clients that come back are verified anew, and none is turned away before its time."""
    source = Source(client_roots())
    server = server_config(client_auth=ClientAuth.required(source), resumption=POLICIES[policy]())
    both = client_of(version, credentials=[client_credential(), strange_credential()])
    for roots, expected in (
        (client_roots(), client_credential()),
        (store(client_root(), strange_root()), client_credential()),
        (store(strange_root()), strange_credential()),
    ):
        source.value = roots
        joined = check_full(connect(server, both))
        assert joined.server.peer is not None
        assert joined.server.peer.certificate == expected.certificate
        check_resumed(connect(server, both))


@every_policy
@every_version
def test_session_comes_back_with_the_roots_that_it_was_made_under(version: str, policy: str) -> None:
    """A change that is taken back: trust is a matter of what the roots are, not of when they were read."""
    source = Source(client_roots())
    server = server_config(client_auth=no_hints(source), resumption=POLICIES[policy]())
    client = client_of(version)
    connect(server, client)
    source.value = RootCertStore([one.der for one in client_roots()])
    check_resumed(connect(server, client))


@every_version
def test_several_sources_count_as_one(version: str) -> None:
    source = Source(store(server_root()))
    server = server_config(client_auth=no_hints([client_roots(), source]))
    alice, mallory = client_of(version), client_of(version, credentials=[strange_credential()])
    connect(server, alice)
    check_refused(pair(server, mallory).run(), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    source.value = store(strange_root())
    connect(server, alice).check_connected()
    connect(server, mallory).check_connected()


@every_version
def test_bundle_of_one_trust_domain_changes_alone(version: str) -> None:
    here, there = Authority.create("example.org"), Authority.create("partner.example")
    old = Authority.create("partner.example of old")
    source = Source(store(old))
    server = server_config(client_auth=no_hints(SpiffeBundles({"example.org": store(here), "partner.example": source})))

    def workload(authority: Authority, trust_domain: str) -> ClientConfig:
        issued = authority.issue_client("web", uris=[f"spiffe://{trust_domain}/web"])
        return client_of(version, credentials=[credential(issued)])

    ours, theirs = workload(here, "example.org"), workload(there, "partner.example")
    connect(server, ours)
    check_refused(pair(server, theirs).run(), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    source.value = store(there)
    for client, identity in ((ours, "spiffe://example.org/web"), (theirs, "spiffe://partner.example/web")):
        peer = connect(server, client).check_connected().server.peer
        assert peer is not None
        assert str(peer.spiffe_id) == identity


@every_version
def test_roots_that_are_all_gone_let_nobody_in(version: str) -> None:
    source = Source(client_roots())
    server = server_config(client_auth=ClientAuth.required(source))
    client = client_of(version)
    connect(server, client)
    source.value = RootCertStore()
    joined = pair(server, client).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)


def test_request_of_after_the_handshake_goes_by_the_roots_of_then() -> None:
    source = Source(client_roots())
    server = server_config(post_handshake_auth=ClientAuth.required(source))
    both = [client_credential(), strange_credential()]
    joined = connect(server, client_of("1.3", credentials=both, post_handshake_auth=True))
    for roots, expected in ((client_roots(), client_credential()), (store(strange_root()), strange_credential())):
        source.value = roots
        joined.server.request_client_certificate()
        joined.run().check_connected()
        assert joined.server.peer is not None
        assert joined.server.peer.certificate == expected.certificate


# -- The roots of a client's servers ----------------------------------------------------------------------------------


@every_policy
@every_version
def test_server_of_a_root_that_is_gone_is_believed_no_more(version: str, policy: str) -> None:
    source = Source(server_roots())
    server = server_config(resumption=POLICIES[policy]())
    client = client_config(roots=source, versions=[version])
    live = connect(server, client)
    check_resumed(connect(server, client))
    source.value = store(strange_root())
    joined = pair(server, client).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    live_on(live)


@every_version
def test_server_of_a_root_that_is_new_is_believed_at_once(version: str) -> None:
    source = Source(store(strange_root()))
    client = client_config(roots=source, versions=[version])
    check_refused(pair(server_config(), client).run(), "client", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    source.value = server_roots()
    connect(server_config(), client).check_connected()


@every_version
def test_client_starts_anew_when_its_roots_have_changed(version: str) -> None:
    """Even where the server would be believed under both: a session goes with the trust that made it."""
    source = Source(server_roots())
    client = client_config(roots=source, versions=[version])
    server = server_config()
    connect(server, client)
    source.value = store(server_root(), strange_root())
    check_full(connect(server, client))


# -- CRLs -------------------------------------------------------------------------------------------------------------


def lists(*revoked: Any) -> CrlStore:
    """Of the authorities of the clients here."""
    return crls(crl(client_root()), crl(client_intermediate(), *revoked))


WRAPPED: Final[dict[str, Callable[[Source[CrlStore]], Any]]] = {
    "source": lambda source: source,
    "Revocation": lambda source: Revocation(crls=source),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@every_policy
@every_version
def test_client_that_is_revoked_is_let_in_no_more(version: str, policy: str, wrapped: str) -> None:
    source = Source(lists())
    server = server_config(
        client_auth=ClientAuth.required(client_roots(), crls=WRAPPED[wrapped](source)), resumption=POLICIES[policy]()
    )
    alice = client_of(version)
    bob = client_of(version, credentials=[client_credential("ec-p256", "bob")])
    live = connect(server, alice)
    check_resumed(connect(server, alice))
    connect(server, bob)

    source.value = lists(client_identity("ec-p256", "alice"))
    joined = pair(server, alice).run()  # It offers the session that it was given.
    check_refused(joined, "server", CertificateRejected, CertificateProblem.REVOKED)
    check_refused(pair(server, client_of(version)).run(), "server", CertificateRejected, CertificateProblem.REVOKED)
    check_resumed(connect(server, bob))
    live_on(live)

    source.value = lists()
    connect(server, alice).check_connected()


@every_version
def test_server_that_is_revoked_is_believed_no_more(version: str) -> None:
    issued = server_root().issue_server("localhost")
    source = Source(crls(crl(server_root())))
    server = server_config(credentials=[credential(issued)])
    client = client_config(crls=source, versions=[version])
    live = connect(server, client)
    check_resumed(connect(server, client))
    source.value = crls(crl(server_root(), issued))
    joined = pair(server, client).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.REVOKED)
    live_on(live)


# -- Credentials ------------------------------------------------------------------------------------------------------


@every_policy
@every_version
def test_renewed_certificate_of_a_server_is_shown_from_the_next_handshake_on(version: str, policy: str) -> None:
    source = Source(server_credential())
    server = server_config(credentials=[source], resumption=POLICIES[policy]())
    live = connect(server, client_config(versions=[version]))
    renewed = credential(server_root().issue_server("localhost"))
    source.value = renewed
    joined = connect(server, client_config(versions=[version])).check_connected()
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == renewed.certificate
    assert live.client.peer is not None
    assert live.client.peer.certificate == server_credential().certificate
    live_on(live)


@every_version
def test_session_of_a_certificate_that_has_expired_since_is_not_resumed(version: str) -> None:
    """The client looks again: what the server had renewed by then, it must show."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    hour = datetime.timedelta(hours=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = credential(
            server_root().issue_server("localhost", validity=Validity(not_before=now - hour, not_after=now + hour))
        )
    time = now.timestamp()
    source = Source(old)
    server = server_config(credentials=[source], now=lambda: time)
    client = client_config(versions=[version], now=lambda: time)
    connect(server, client)
    source.value = server_credential()
    check_resumed(connect(server, client))
    time += 3601
    joined = check_full(connect(server, client))
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == server_credential().certificate


@every_policy
@every_version
def test_client_that_becomes_another_resumes_no_session_of_the_one_before(version: str, policy: str) -> None:
    source = Source(client_credential())
    server = server_config(client_auth=ClientAuth.required(client_roots()), resumption=POLICIES[policy]())
    client = client_of(version, credentials=[source])
    live = connect(server, client)
    check_resumed(connect(server, client))
    source.value = client_credential("ec-p256", "bob")
    joined = check_full(connect(server, client))
    assert joined.server.peer is not None
    assert joined.server.peer.certificate == source.value.certificate
    live_on(live)


# -- Sources that break -----------------------------------------------------------------------------------------------


@dataclass
class Breaking:
    """Good when the configuration is made, and then no more."""

    first: Any
    then: Any
    broken: bool = False

    @property
    def current(self) -> Any:
        if not self.broken:
            return self.first
        if isinstance(self.then, Exception):
            raise self.then
        return self.then


BROKEN: Final = {"raises": RuntimeError("the disk is gone"), "gives None": None, "gives a path": "/etc/ssl/ca.pem"}


def breaking(what: str, how: str, version: str) -> tuple[ServerConfig, ClientConfig, Breaking]:
    """A server and a client of which one has a source that will break."""
    goods: dict[str, Any] = {
        "client roots": client_roots(),
        "client CRLs": lists(),
        "server credential": server_credential(),
        "server roots": server_roots(),
        "server CRLs": crls(crl(server_root())),
        "client credential": client_credential(),
    }
    source = Breaking(goods[what], BROKEN[how])
    auth = ClientAuth.required(
        source if what == "client roots" else client_roots(), crls=source if what == "client CRLs" else None
    )
    server = server_config(
        client_auth=auth,
        credentials=[source if what == "server credential" else server_credential()],
        versions=[version],
    )
    client = client_config(
        roots=source if what == "server roots" else server_roots(),
        crls=source if what == "server CRLs" else None,
        credentials=[source if what == "client credential" else client_credential()],
        # A session that is resumed needs no credential of the server's.
        sessions=None if what == "server credential" else MemoryClientSessions(),
    )
    return server, client, source


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize(
    "what", ["client roots", "client CRLs", "server credential", "server roots", "server CRLs", "client credential"]
)
@every_version
def test_source_that_breaks_fails_closed_and_says_so(version: str, what: str, how: str) -> None:
    server, client, source = breaking(what, how, version)
    live = connect(server, client)
    source.broken = True
    for attempt in (client, client_config(roots=server_roots(), credentials=[client_credential()])):
        if attempt is not client and what in {"server roots", "server CRLs", "client credential"}:
            continue  # Another client has nothing to do with that source.
        joined = pair(server, attempt).run()
        assert not joined.connected, "it connected by what is not there"
        failures = [side.failure for side in (joined.server, joined.client) if side.failure is not None]
        assert any(failure.alert is AlertDescription.INTERNAL_ERROR for failure in failures), f"{failures!r}"
        assert all(isinstance(failure, TLSError) for failure in failures)
    live_on(live)
    source.broken = False
    connect(server, client).check_connected()


@pytest.mark.parametrize("how", BROKEN)
def test_source_that_is_broken_from_the_start_is_no_configuration(how: str) -> None:
    source = Breaking(None, BROKEN[how], broken=True)
    for make in (
        lambda: ClientAuth.required(source),
        lambda: ClientAuth.required(client_roots(), crls=source),
        lambda: client_config(roots=source),
        lambda: client_config(crls=source),
        lambda: server_config(credentials=[source]),
    ):
        with pytest.raises((ConfigError, RuntimeError)):
            make()


def test_current_may_be_a_plain_attribute() -> None:
    @dataclass
    class Plain:
        current: Any

    roots, servers, lists_ = Plain(client_roots()), Plain(server_roots()), Plain(lists())
    server = server_config(
        client_auth=ClientAuth.required(roots, crls=lists_), credentials=[Plain(server_credential())]
    )
    client = client_config(roots=servers, credentials=[Plain(client_credential())])
    connect(server, client).check_connected()
