"""Rules on who is let in (`authorize=`), names and profiles: on both sides, and when sessions are resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.session.resuming import POLICIES, VERSIONS, OneSession, check_full, check_resumed, settled
from tests.support.identities import (
    client_config,
    client_credential,
    client_intermediate,
    client_roots,
    credential,
    server_config,
    server_root,
    server_roots,
    store,
    strange_root,
)
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.revoking import crl, crls
from trustls.cli.pki import Authority
from trustls.config import ClientConfig, ServerConfig
from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, InternalError
from trustls.identity.credential import Credential
from trustls.trust.authorize import Authorize
from trustls.trust.client_auth import ClientAuth
from trustls.trust.profile import Profile
from trustls.trust.spiffe import SpiffeBundles
from trustls.trust.verifiers import Peer, RootsServerVerifier

every_version = pytest.mark.parametrize("version", VERSIONS)
every_policy = pytest.mark.parametrize("policy", POLICIES)
every_role = pytest.mark.parametrize("role", ["client", "server"])

WEB: Final = "spiffe://example.org/web"


def workload(authority: Authority, identity: str = WEB) -> Credential:
    """A server that has a SPIFFE ID, and no DNS name."""
    issued = authority.issue_client("web", uris=[identity], usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    return credential(issued)


def ruled(role: str, rule: Authorize, version: str = "1.3", **server: Any) -> tuple[ServerConfig, ClientConfig]:
    """A server and a client of which `role` lets in whom the rule does."""
    auth = ClientAuth.required(client_roots(), authorize=rule if role == "server" else None)
    return (
        server_config(client_auth=auth, versions=[version], **server),
        client_config(credentials=[client_credential()], authorize=rule if role == "client" else None),
    )


def check_rule_refused(joined: Pair, role: str) -> CertificateRejected:
    failure = check_refused(joined, role, CertificateRejected, CertificateProblem.REFUSED)
    assert isinstance(failure, CertificateRejected)
    assert (joined.client if role == "client" else joined.server).peer is None, "it is known, though it was refused"
    return failure


# -- Rules ------------------------------------------------------------------------------------------------------------


@every_version
@every_role
def test_peer_that_the_rule_lets_in_is_let_in(role: str, version: str) -> None:
    rule = Authorize.dns("localhost") if role == "client" else Authorize.subject("CN=alice")
    connect(*ruled(role, rule, version)).check_connected()


@every_version
@every_role
def test_peer_that_the_rule_does_not_let_in_is_refused(role: str, version: str) -> None:
    """Though its certificate is good: who has one is known, and not welcome for that."""
    failure = check_rule_refused(pair(*ruled(role, Authorize.dns("db.example"), version)).run(), role)
    assert "db.example" in str(failure)
    assert failure.remedy


@every_version
@every_role
def test_rule_sees_a_peer_that_is_verified(role: str, version: str) -> None:
    seen: list[Peer] = []

    def note(peer: Peer) -> bool:
        seen.append(peer)
        return True

    joined = connect(*ruled(role, Authorize.function(note), version)).check_connected()
    assert seen == [joined.client.peer if role == "client" else joined.server.peer]
    assert seen[0].verified


@every_version
@every_role
def test_rule_is_not_asked_about_a_peer_that_is_not_verified(role: str, version: str) -> None:
    def never(peer: Peer) -> bool:
        raise AssertionError("a peer of an authority that is not trusted came to the rule")

    rule = Authorize.function(never)
    strange_server = credential(strange_root().issue_server("localhost"))
    strange_client = credential(strange_root().issue_client("mallory"))
    auth = ClientAuth.required(client_roots(), hints=(), authorize=rule if role == "server" else None)
    joined = pair(
        server_config(client_auth=auth, versions=[version], credentials=[strange_server]),
        client_config(
            roots=server_roots() if role == "client" else store(strange_root()),
            credentials=[strange_client],
            authorize=rule if role == "client" else None,
        ),
    ).run()
    check_refused(joined, role, CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)


def later(answer: Any) -> Callable[[Peer], Any]:
    async def decide(peer: Peer) -> Any:
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return decide


@every_version
@every_role
def test_rule_may_take_its_time(role: str, version: str) -> None:
    settled(pair(*ruled(role, Authorize.function(later(True)), version))).check_connected()
    failure = check_rule_refused(settled(pair(*ruled(role, Authorize.function(later("closed")), version))), role)
    assert "closed" in str(failure)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("answer", [RuntimeError("the directory is down"), None, 1, object()], ids=type)
@every_version
@every_role
def test_rule_that_breaks_lets_nobody_in(role: str, version: str, answer: Any, *, late: bool) -> None:
    def at_once(peer: Peer) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    joined = settled(pair(*ruled(role, Authorize.function(later(answer) if late else at_once), version)))
    check_refused(joined, role, InternalError)


# -- Rules and resumption ---------------------------------------------------------------------------------------------


@every_policy
@every_version
@every_role
def test_rule_is_asked_again_when_a_session_is_resumed(role: str, version: str, policy: str) -> None:
    """Who is not welcome any more does not come in on an old ticket."""
    welcome = [True]
    rule = Authorize.function(lambda peer: welcome[0])
    server, client = ruled(role, rule, version, resumption=POLICIES[policy]())
    connect(server, client)
    check_resumed(connect(server, client))
    welcome[0] = False
    check_rule_refused(pair(server, client).run(), role)


@every_version
@every_role
def test_rule_that_takes_its_time_is_asked_again_too(role: str, version: str) -> None:
    welcome = [True]

    async def decide(peer: Peer) -> bool:
        await asyncio.sleep(0)
        return welcome[0]

    server, client = ruled(role, Authorize.function(decide), version)
    settled(pair(server, client)).check_connected()
    check_resumed(settled(pair(server, client)))
    welcome[0] = False
    check_rule_refused(settled(pair(server, client)), role)


@every_policy
@every_version
def test_session_of_one_rule_is_not_resumed_under_another(version: str, policy: str) -> None:
    """Of servers that share their tickets; each goes by a full handshake, whatever the other decided."""
    resumption = POLICIES[policy]()
    kept = OneSession()
    client = client_config(credentials=[client_credential()], sessions=kept)
    alice, anybody = (
        server_config(
            client_auth=ClientAuth.required(client_roots(), authorize=rule), versions=[version], resumption=resumption
        )
        for rule in (Authorize.subject("CN=alice"), None)
    )
    connect(anybody, client)
    kept.offer()
    check_resumed(connect(anybody, client))
    check_full(connect(alice, client))


@every_version
def test_client_resumes_no_session_of_another_rule(version: str) -> None:
    server = server_config(versions=[version])
    strict = client_config(authorize=Authorize.dns("localhost"))
    loose = client_config(sessions=strict.sessions)
    connect(server, loose)
    check_full(connect(server, strict))
    check_resumed(connect(server, strict))


# -- Names ------------------------------------------------------------------------------------------------------------


@every_version
def test_rule_alone_may_say_who_the_server_must_be(version: str) -> None:
    """As SPIFFE has it: the host is where to find a workload, not who it is."""
    client = client_config(check_name=False, authorize=Authorize.spiffe_id(WEB), versions=[version])
    joined = connect(server_config(credentials=[workload(server_root())]), client, "10.0.0.7").check_connected()
    assert joined.client.peer is not None
    assert str(joined.client.peer.spiffe_id) == WEB


@every_version
def test_rule_alone_refuses_another(version: str) -> None:
    client = client_config(check_name=False, authorize=Authorize.spiffe_id(WEB), versions=[version])
    other = workload(server_root(), "spiffe://example.org/db")
    failure = check_rule_refused(pair(server_config(credentials=[other]), client).run(), "client")
    assert "spiffe://example.org/db" in str(failure)
    check_rule_refused(pair(server_config(), client).run(), "client")


@every_version
def test_name_is_checked_beside_the_rule_unless_the_client_says_otherwise(version: str) -> None:
    client = client_config(authorize=Authorize.spiffe_id(WEB), versions=[version])
    joined = pair(server_config(credentials=[workload(server_root())]), client).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.NAME_MISMATCH)


@every_version
def test_bundle_of_a_trust_domain_vouches_for_that_alone(version: str) -> None:
    here, there = Authority.create("example.org"), Authority.create("partner.example")
    bundles = SpiffeBundles({"example.org": store(here), "partner.example": store(there)})
    rule = Authorize.spiffe_trust_domain("example.org", "partner.example")
    client = client_config(roots=bundles, check_name=False, authorize=rule, versions=[version])
    for authority, identity, is_good in (
        (here, WEB, True),
        (there, "spiffe://partner.example/web", True),
        (there, WEB, False),
        (here, "spiffe://elsewhere.example/web", False),
    ):
        joined = pair(server_config(credentials=[workload(authority, identity)]), client).run()
        if is_good:
            joined.check_connected()
        else:
            check_refused(joined, "client", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)


@every_version
def test_session_made_without_a_look_at_the_name_is_not_resumed_with_one(version: str) -> None:
    rule = Authorize.everyone()
    loose = client_config(check_name=False, authorize=rule, versions=[version])
    strict = client_config(authorize=rule, versions=[version], sessions=loose.sessions)
    server = server_config()
    connect(server, loose)
    check_full(connect(server, strict))


# -- Profiles ---------------------------------------------------------------------------------------------------------


@every_version
def test_profile_of_the_client_is_that_of_its_roots_unless_it_says_otherwise(version: str) -> None:
    """A certificate without extendedKeyUsage is one that no public CA issues, and many a private one."""
    bare = credential(server_root().issue_server("localhost", usages=()))
    server = server_config(credentials=[bare], versions=[version])
    connect(server, client_config()).check_connected()
    connect(server, client_config(profile="private")).check_connected()
    joined = pair(server, client_config(profile="webpki")).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.AGAINST_PROFILE)


@every_version
def test_profile_of_a_servers_clients_is_private_unless_it_says_otherwise(version: str) -> None:
    bare = credential(client_intermediate().issue_client("alice", usages=()))
    for profile, is_good in ((None, True), ("private", True), (Profile.WEBPKI, False)):
        auth = ClientAuth.required(client_roots(), profile=profile)
        joined = pair(server_config(client_auth=auth, versions=[version]), client_config(credentials=[bare])).run()
        if is_good:
            joined.check_connected()
        else:
            check_refused(joined, "server", CertificateRejected, CertificateProblem.AGAINST_PROFILE)


# -- What does not go together ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beside",
    [
        {"profile": "webpki"},
        {"crls": crls(crl(server_root()))},
        {"authorize": Authorize.everyone()},
        {"check_name": False, "authorize": Authorize.everyone()},
        {"check_name": False},
    ],
    ids=", ".join,
)
def test_what_a_verifier_would_ignore_is_refused_beside_one(beside: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="would have no effect beside a `verifier`") as refused:
        ClientConfig(verifier=RootsServerVerifier(server_roots()), **beside)
    assert all(f"`{name}`" in str(refused.value) for name in beside)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"check_name": False}, "say with `authorize` which"),
        ({"profile": "public"}, "public"),
        ({"profile": 7}, "7"),
        ({"ocsp": "must"}, "'must'"),
        ({"ocsp": True}, "True"),
        ({"authorize": "spiffe://example.org/web"}, "`authorize` is a rule"),
        ({"authorize": lambda peer: True}, "`authorize` is a rule"),
        ({"crls": "crl.pem"}, "CrlStore"),
        ({"crls": 7}, "CrlStore"),
        ({"certificate_authorities": [7]}, "CA hint"),
        ({"certificate_authorities": "no name"}, "no name"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_done_is_refused_in_words(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        client_config(**wrong)
    assert said in str(refused.value)
    shared = {"profile", "authorize", "crls"}
    if shared.issuperset(wrong):
        for make in (ClientAuth.required, ClientAuth.optional, ClientAuth.report):
            with pytest.raises(ConfigError):
                make(client_roots(), **wrong)
