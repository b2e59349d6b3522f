"""ClientAuth.report: every client that holds its key is let through, and `peer.error` says what is wrong with it."""

from __future__ import annotations

import asyncio
import datetime
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.session.resuming import POLICIES, VERSIONS, Clock, OneSession, check_full, check_resumed, settled
from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    client_intermediate,
    client_root,
    client_roots,
    optional,
    required,
    server_config,
    store,
    strange_credential,
    strange_root,
)
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.revoking import crl, crls
from tests.support.scripted import ScriptedClient, on
from tests.support.signers import HiddenKey
from trustls.cli.pki import Issued, Validity
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ServerConnection
from trustls.errors import CertificateProblem, CertificateRejected, InternalError, Misbehaviour, PeerMisbehaved
from trustls.identity.credential import Credential
from trustls.trust.authorize import Authorize
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth, ClientAuthMode
from trustls.trust.verifiers import Peer
from trustls.wire.messages import CertificateEntry, CertificateMessage, CertificateVerify
from trustls.wire.messages12 import CertificateMessage12

DAY: Final = datetime.timedelta(days=1)
NOW: Final = datetime.datetime.now(datetime.UTC).replace(microsecond=0)

every_version = pytest.mark.parametrize("version", VERSIONS)
every_policy = pytest.mark.parametrize("policy", POLICIES)


def presenting(issued: Issued) -> Credential:
    """One that is presented whatever the server asks for, and whatever is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Credential(issued.chain, issued.key, fallback=True)


def reporting(version: str = "1.3", auth: ClientAuth | None = None, **changes: Any) -> ServerConfig:
    """A server that lets every client through."""
    auth = auth or ClientAuth.report(client_roots())
    return server_config(**{"client_auth": auth, "versions": [version], **changes})


def client_with(*credentials: Credential, **changes: Any) -> ClientConfig:
    return client_config(**{"credentials": credentials, **changes})


@dataclass(frozen=True)
class Case:
    """A client that is not good, and why."""

    issued: Issued
    problem: CertificateProblem
    auth: ClientAuth | None = None


def revoked() -> Case:
    issued = client_intermediate().issue_client("carol")
    lists = crls(crl(client_root()), crl(client_intermediate(), issued))
    return Case(issued, CertificateProblem.REVOKED, ClientAuth.report(client_roots(), crls=lists))


CASES: Final = {
    "expired": Case(
        client_intermediate().issue_client("alice", validity=Validity(not_before=NOW - 9 * DAY, not_after=NOW - DAY)),
        CertificateProblem.EXPIRED,
    ),
    "not valid yet": Case(
        client_intermediate().issue_client("alice", validity=Validity(not_before=NOW + DAY, not_after=NOW + 9 * DAY)),
        CertificateProblem.NOT_YET_VALID,
    ),
    "unknown CA": Case(strange_root().issue_client("mallory"), CertificateProblem.UNKNOWN_ISSUER),
    "intermediate left out": Case(
        Issued(client_identity().certificate, client_identity().key), CertificateProblem.UNKNOWN_ISSUER
    ),
    "for servers only": Case(
        client_intermediate().issue_client("alice", usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
        CertificateProblem.WRONG_PURPOSE,
    ),
    "not authorised": Case(
        client_identity(),
        CertificateProblem.REFUSED,
        ClientAuth.report(client_roots(), authorize=Authorize.dns("alice.example")),
    ),
    "revoked": revoked(),
}
every_case = pytest.mark.parametrize("name", CASES)


@every_version
@every_case
def test_client_that_is_not_good_is_let_through_with_the_reason(name: str, version: str) -> None:
    case = CASES[name]
    joined = connect(reporting(version, case.auth), client_with(presenting(case.issued))).check_connected()
    peer = joined.server.peer
    assert peer is not None
    assert peer.certificate == Certificate.from_x509(case.issued.certificate), "what it presented can be looked at"
    assert peer.verified == (), "nothing in it is true for certain"
    assert peer.spiffe_id is None
    assert peer.error is not None
    assert peer.error.reason is case.problem
    assert peer.error.__traceback__ is None, "a connection that stays does not keep the frames of its handshake"
    assert "not accepted" in str(peer)
    assert str(peer.error) in str(peer)
    assert joined.client.failure is None, "the client hears nothing of it"


@every_version
@every_case
def test_the_same_client_is_refused_where_certificates_are_required(name: str, version: str) -> None:
    """So that the test above is about this mode, and not about certificates that are good."""
    case = CASES[name]
    verifier = case.auth.verifier if case.auth is not None else required().verifier
    for mode in (ClientAuthMode.REQUIRED, ClientAuthMode.OPTIONAL):
        joined = pair(reporting(version, ClientAuth(mode, verifier)), client_with(presenting(case.issued))).run()
        check_refused(joined, "server", CertificateRejected, case.problem)


@every_version
def test_client_that_is_good_has_no_error(version: str) -> None:
    joined = connect(reporting(version), client_with(client_credential())).check_connected()
    peer = joined.server.peer
    assert peer is not None
    assert peer.error is None
    assert peer.verified[0] == client_credential().certificate


@every_version
@pytest.mark.parametrize("credentials", [[], [strange_credential()]], ids=["none", "none that fits"])
def test_client_without_a_certificate_is_nobody_and_no_error(credentials: list[Credential], version: str) -> None:
    joined = connect(reporting(version), client_with(*credentials)).check_connected()
    assert joined.server.peer is None
    assert joined.client.requested is not None, "it was asked"
    assert joined.client.requested.authorities == client_roots().subjects(), "and told by whom"


# -- What is refused all the same -------------------------------------------------------------------------------------


@every_version
@pytest.mark.parametrize("good", [True, False], ids=["good certificate", "strange certificate"])
def test_client_that_does_not_hold_the_key_is_refused(version: str, *, good: bool) -> None:
    """Else anybody could come with anybody's certificate, which is public."""
    theirs = client_identity() if good else strange_root().issue_client("mallory")
    mine = client_intermediate().issue_client("eve")
    impostor = Credential(theirs.chain, HiddenKey(mine.key), fallback=True)
    joined = pair(reporting(version), client_with(impostor)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_SIGNATURE)
    assert joined.server.peer is None


@every_version
def test_certificate_without_its_proof_is_refused(version: str) -> None:
    edit = on(CertificateVerify, lambda message: ())
    client = ScriptedClient(client_with(presenting(strange_root().issue_client("mallory"))), edit)
    joined = Pair(client, ServerConnection(reporting(version))).run()
    assert isinstance(joined.server.failure, PeerMisbehaved)
    assert joined.server.peer is None


@every_version
@pytest.mark.parametrize("certificate", [b"no certificate", b"\x30\0", bytes(1000)], ids=len)
def test_certificate_that_cannot_be_parsed_is_refused(certificate: bytes, version: str) -> None:
    """There is no key in it to be held by anybody."""

    def edit(message: Any) -> Iterable[Any]:
        if isinstance(message, CertificateMessage):
            return (replace(message, entries=(CertificateEntry(certificate=certificate),)),)
        if isinstance(message, CertificateMessage12):
            return (CertificateMessage12(certificates=(certificate,)),)
        return (message,)

    joined = Pair(ScriptedClient(client_with(client_credential()), edit), ServerConnection(reporting(version))).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.MALFORMED)


def repeating_itself(count: int, version: str) -> Pair:
    """A client that presents its certificate so many times."""
    der = client_credential().certificate.der

    def edit(message: Any) -> Iterable[Any]:
        if isinstance(message, CertificateMessage):
            return (replace(message, entries=(CertificateEntry(certificate=der),) * count),)
        if isinstance(message, CertificateMessage12):
            return (CertificateMessage12(certificates=(der,) * count),)
        return (message,)

    return Pair(ScriptedClient(client_with(client_credential()), edit), ServerConnection(reporting(version))).run()


@every_version
def test_chain_longer_than_any_is_refused(version: str) -> None:
    """More than is parsed, whoever verifies it."""
    joined = repeating_itself(65, version)
    check_refused(joined, "server", CertificateRejected, CertificateProblem.CHAIN_TOO_LONG)


@every_version
@pytest.mark.parametrize("count", [17, 64])
def test_chain_longer_than_is_verified_is_reported(count: int, version: str) -> None:
    peer = repeating_itself(count, version).check_connected().server.peer
    assert peer is not None
    assert peer.error is not None
    assert peer.error.reason is CertificateProblem.CHAIN_TOO_LONG
    assert len(peer.presented) == count
    assert peer.verified == ()


@every_version
def test_rule_that_breaks_is_no_report(version: str) -> None:
    """It has not said no, and not yes: the server does not know what it was to report."""

    def broken(peer: Peer) -> bool:
        raise RuntimeError("the directory is down")

    auth = ClientAuth.report(client_roots(), authorize=Authorize.function(broken))
    joined = pair(reporting(version, auth), client_with(client_credential())).run()
    check_refused(joined, "server", InternalError)
    assert joined.server.peer is None


@every_version
def test_rule_that_refuses_later_is_reported(version: str) -> None:
    async def no(peer: Peer) -> bool:
        await asyncio.sleep(0)
        return False

    auth = ClientAuth.report(client_roots(), authorize=Authorize.function(no))
    joined = settled(pair(reporting(version, auth), client_with(client_credential()))).check_connected()
    assert joined.server.peer is not None
    assert joined.server.peer.error is not None
    assert joined.server.peer.error.reason is CertificateProblem.REFUSED
    assert joined.server.peer.verified == ()


# -- Resumption -------------------------------------------------------------------------------------------------------


def resumed(server: ServerConfig, *credentials: Credential, then: ServerConfig | None = None, **changes: Any) -> Pair:
    """A client that comes back, perhaps to another server, and offers what it was given."""
    kept = OneSession()
    client = client_with(*credentials, sessions=kept, **changes)
    connect(server, client)
    kept.offer()
    return pair(then or server, client).run()


@every_policy
@every_version
def test_error_is_reported_of_a_resumed_client_too(version: str, policy: str) -> None:
    joined = resumed(reporting(version, resumption=POLICIES[policy]()), presenting(CASES["unknown CA"].issued))
    check_resumed(joined)
    assert joined.server.peer is not None
    assert joined.server.peer.error is not None
    assert joined.server.peer.error.reason is CertificateProblem.UNKNOWN_ISSUER
    assert joined.server.peer.verified == ()


@every_policy
@every_version
def test_client_without_a_certificate_stays_nobody_when_it_comes_back(version: str, policy: str) -> None:
    joined = check_resumed(resumed(reporting(version, resumption=POLICIES[policy]())))
    assert joined.server.peer is None


@every_policy
@every_version
@pytest.mark.parametrize("good_first", [True, False], ids=["expires", "becomes valid"])
def test_client_is_judged_anew_when_it_comes_back(version: str, policy: str, *, good_first: bool) -> None:
    clock = Clock()
    start, end = NOW + datetime.timedelta(hours=-1 if good_first else 0.5), NOW + datetime.timedelta(hours=0.5 + 24)
    if good_first:
        end = NOW + datetime.timedelta(hours=0.5)
    mine = presenting(client_intermediate().issue_client("alice", validity=Validity(not_before=start, not_after=end)))
    server = reporting(version, resumption=POLICIES[policy](), now=clock)
    kept = OneSession()
    client = client_with(mine, sessions=kept)
    for is_good, is_resumed in ((good_first, False), (not good_first, True)):
        joined = connect(server, client).check_connected()
        assert joined.server.info.resumed is is_resumed
        peer = joined.server.peer
        assert peer is not None
        assert (peer.error is None) == is_good
        assert bool(peer.verified) == is_good
        kept.offer()
        clock.forward(3600)


@every_policy
@every_version
@pytest.mark.parametrize("auth", [required(), optional()], ids=["required", "optional"])
def test_client_that_was_let_through_is_not_let_in_elsewhere(auth: ClientAuth, version: str, policy: str) -> None:
    """A session of this mode is no way around the others, though tickets and roots are the same."""
    resumption = POLICIES[policy]()
    joined = resumed(
        reporting(version, resumption=resumption),
        presenting(CASES["unknown CA"].issued),
        then=reporting(version, auth, resumption=resumption),
    )
    check_refused(joined, "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)


@every_policy
@every_version
def test_session_of_other_roots_is_not_resumed(version: str, policy: str) -> None:
    """What was reported by those is another thing than what these say: a full handshake tells."""
    resumption = POLICIES[policy]()
    joined = resumed(
        reporting(version, resumption=resumption),
        presenting(CASES["unknown CA"].issued),
        then=reporting(version, ClientAuth.report(store(strange_root())), resumption=resumption),
    )
    check_full(joined)
    assert joined.server.peer is not None
    assert joined.server.peer.error is None
