"""A stapled OCSP response travels from the server's credential to the client, which goes by it when it has asked."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import trustls
from tests.session.resuming import VERSIONS, Clock, check_full, check_resumed, settled
from tests.support.identities import client_config, server_config, server_identity, server_root
from tests.support.memory import Pair, check_refused, connect, feed, pair
from tests.support.revoking import REVOKED, crl, crls, must_staple, ocsp_response
from trustls.cli.pki import Issued
from trustls.errors import AlertDescription, CertificateProblem, CertificateRejected
from trustls.identity.credential import Credential, CredentialWarning

STAPLE = ocsp_response(server_identity(), server_root())

every_version = pytest.mark.parametrize("version", VERSIONS)


class Recorder:
    """A verifier that keeps what was stapled."""

    def __init__(self) -> None:
        self.stapled: list[bytes] = []

    def verify_server(
        self,
        chain: tuple[trustls.Certificate, ...],
        server_name: trustls.ServerName,
        *,
        now: float,
        ocsp_response: bytes,
    ) -> trustls.Peer:
        self.stapled.append(ocsp_response)
        return trustls.Peer(chain)


def stapled_to(version: str, *, asked: bool, staple: bytes | None) -> list[bytes]:
    issued = server_identity()
    credential = trustls.Credential(issued.chain, issued.key, ocsp_response=staple)
    verifier = Recorder()
    server = trustls.ServerConnection(trustls.ServerConfig(credentials=[credential], versions=[version]))
    config = trustls.ClientConfig(verifier=verifier, ocsp="stapled" if asked else "off", sessions=None)
    client = trustls.ClientConnection(config, "localhost")
    for _ in range(3):
        server.receive(client.data_to_send())
        client.receive(server.data_to_send())
    assert not client.handshaking, "the client's handshake did not finish"
    assert not server.handshaking, "the server's handshake did not finish"
    assert str(client.info.version) == f"TLSv{version}"
    return verifier.stapled


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_staple_reaches_the_verifier_of_a_client_that_asks(version: str) -> None:
    assert stapled_to(version, asked=True, staple=STAPLE) == [STAPLE]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_staple_is_not_sent_to_a_client_that_does_not_ask(version: str) -> None:
    assert stapled_to(version, asked=False, staple=STAPLE) == [b""]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_server_without_a_staple_is_taken_as_it_is(version: str) -> None:
    assert stapled_to(version, asked=True, staple=None) == [b""]


# -- What the client makes of it --------------------------------------------------------------------------------------


def stapling(response: Any, issued: Issued | None = None) -> Credential:
    """A credential that staples this, good or bad."""
    issued = issued or server_identity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CredentialWarning)
        return Credential(issued.chain, issued.key, ocsp_response=response)


def meeting(response: Any, version: str, issued: Issued | None = None, **client: Any) -> Pair:
    """A client that met a server which staples this."""
    server = server_config(credentials=[stapling(response, issued)], versions=[version])
    return pair(server, client_config(**client)).run()


@every_version
@pytest.mark.parametrize("policy", ["stapled", "required"])
def test_good_response_is_accepted_and_kept(policy: str, version: str) -> None:
    joined = meeting(STAPLE, version, ocsp=policy).check_connected()
    assert joined.client.peer is not None
    assert joined.client.peer.ocsp_response == STAPLE


def responses() -> dict[str, tuple[bytes, CertificateProblem]]:
    """What a server should not staple, and what it comes to."""
    root, mine = server_root(), server_identity()
    other = root.issue_server("elsewhere.example")
    return {
        "revoked": (ocsp_response(mine, root, REVOKED), CertificateProblem.REVOKED),
        "out of date": (ocsp_response(mine, root, hours=(-3, -1)), CertificateProblem.BAD_STAPLE),
        "of another certificate": (ocsp_response(other, root), CertificateProblem.BAD_STAPLE),
        "changed": (STAPLE[:-1] + bytes([STAPLE[-1] ^ 1]), CertificateProblem.BAD_STAPLE),
    }


@every_version
@pytest.mark.parametrize("policy", ["stapled", "required"])
@pytest.mark.parametrize(("response", "problem"), responses().values(), ids=responses())
def test_response_that_is_not_good_is_refused(
    response: bytes, problem: CertificateProblem, policy: str, version: str
) -> None:
    joined = meeting(response, version, ocsp=policy)
    failure = check_refused(joined, "client", CertificateRejected, problem)
    if problem is CertificateProblem.BAD_STAPLE:
        assert failure.alert is AlertDescription.BAD_CERTIFICATE_STATUS_RESPONSE


@every_version
def test_client_that_does_not_ask_goes_by_the_certificate_alone(version: str) -> None:
    joined = meeting(ocsp_response(server_identity(), server_root(), REVOKED), version, ocsp="off")
    joined.check_connected()


@every_version
def test_response_may_be_missing_unless_the_client_or_the_certificate_demands_one(version: str) -> None:
    demanding = must_staple(server_root(), "localhost")
    meeting(None, version).check_connected()
    for joined in (meeting(None, version, ocsp="required"), meeting(None, version, demanding)):
        check_refused(joined, "client", CertificateRejected, CertificateProblem.STAPLE_MISSING)
    meeting(ocsp_response(demanding, server_root()), version, demanding).check_connected()
    meeting(None, version, demanding, ocsp="off").check_connected()


@every_version
def test_crl_goes_before_a_response_that_says_good(version: str) -> None:
    """It may be newer. Where no CRL says anything about the certificate, the response does."""
    revoked = crls(crl(server_root(), server_identity()))
    joined = meeting(STAPLE, version, crls=revoked)
    check_refused(joined, "client", CertificateRejected, CertificateProblem.REVOKED)
    meeting(STAPLE, version, crls=crls(crl(server_root()))).check_connected()


# -- Where it comes from ----------------------------------------------------------------------------------------------


@every_version
def test_response_of_a_callback_is_asked_for_in_each_handshake_that_wants_one(version: str) -> None:
    asked: list[bytes] = []

    def fetch() -> bytes:
        asked.append(STAPLE)
        return STAPLE

    server = server_config(credentials=[stapling(fetch)], versions=[version])
    connect(server, client_config(ocsp="off"))
    assert asked == [], "this client wants none"
    connect(server, client_config(ocsp="required"))
    connect(server, client_config(ocsp="required"))
    assert len(asked) == 2


@every_version
def test_response_may_take_its_time(version: str) -> None:
    async def fetch() -> bytes:
        await asyncio.sleep(0)
        return STAPLE

    joined = pair(server_config(credentials=[stapling(fetch)], versions=[version]), client_config(ocsp="required"))
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.server.pending_work == "get an OCSP response to staple"
    settled(joined).check_connected()


def raising() -> bytes:
    raise OSError("the responder is down")


@every_version
@pytest.mark.parametrize(
    "fetch", [raising, lambda: None, lambda: b"", lambda: "text"], ids=["raises", "None", "b''", "text"]
)
def test_callback_that_gives_nothing_costs_the_response_and_no_handshake(
    fetch: Callable[[], Any], version: str
) -> None:
    meeting(fetch, version).check_connected()
    joined = meeting(fetch, version, ocsp="required")
    check_refused(joined, "client", CertificateRejected, CertificateProblem.STAPLE_MISSING)


# -- Resumption -------------------------------------------------------------------------------------------------------


@every_version
def test_response_is_looked_at_again_when_a_session_is_resumed(version: str) -> None:
    """The client keeps it with the session; when it has run out, the server must show a new one."""
    clock = Clock()
    fresh = [ocsp_response(server_identity(), server_root(), hours=(-1, 1))]
    server = server_config(credentials=[stapling(lambda: fresh[0])], versions=[version], now=clock)
    client = client_config(ocsp="required", now=clock)
    connect(server, client)
    resumed = check_resumed(connect(server, client))
    assert resumed.client.peer is not None
    assert resumed.client.peer.ocsp_response == fresh[0]
    clock.forward(2 * 3600)
    joined = pair(server, client).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.BAD_STAPLE)
    fresh[0] = ocsp_response(server_identity(), server_root(), hours=(1, 3))
    joined = check_full(connect(server, client))
    assert joined.client.peer is not None
    assert joined.client.peer.ocsp_response == fresh[0]
