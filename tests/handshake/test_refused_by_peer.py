"""CertificateRejectedByPeer: what a side learns whose certificate, or the lack of one, the other has refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.session.resuming import VERSIONS
from tests.support.identities import (
    client_config,
    client_credential,
    client_roots,
    credential,
    optional,
    required,
    server_config,
    strange_credential,
    strange_root,
)
from tests.support.memory import check_refused, connect, feed, pair, plain_record
from tests.support.scripted import Record, say
from trustls.cli.pki import Authority
from trustls.connection import ClientConnection
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    CertificateRejectedByPeer,
    PeerIncompatible,
    TLSError,
)
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuth
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer

# What each alert comes to, which says less than the reason that it was sent for.
REASONS: Final = {
    AlertDescription.CERTIFICATE_REQUIRED: CertificateProblem.NONE_PRESENTED,
    AlertDescription.UNKNOWN_CA: CertificateProblem.UNKNOWN_ISSUER,
    AlertDescription.CERTIFICATE_EXPIRED: CertificateProblem.EXPIRED,
    AlertDescription.CERTIFICATE_REVOKED: CertificateProblem.REVOKED,
    AlertDescription.ACCESS_DENIED: CertificateProblem.REFUSED,
    AlertDescription.BAD_CERTIFICATE: CertificateProblem.NOT_ACCEPTED,
    AlertDescription.UNSUPPORTED_CERTIFICATE: CertificateProblem.NOT_ACCEPTED,
    AlertDescription.CERTIFICATE_UNKNOWN: CertificateProblem.NOT_ACCEPTED,
    AlertDescription.BAD_CERTIFICATE_STATUS_RESPONSE: CertificateProblem.BAD_STAPLE,
}
# A server is asked for no certificate, so that it may lack none; and a client staples nothing.
OF_CLIENTS: Final = [problem for problem in CertificateProblem if "STAPLE" not in problem.name]
OF_SERVERS: Final = [problem for problem in CertificateProblem if problem is not CertificateProblem.NONE_PRESENTED]

every_version = pytest.mark.parametrize("version", VERSIONS)


class Refuses:
    """A verifier of either side that refuses everybody for one reason."""

    hints = client_roots().subjects()

    def __init__(self, problem: CertificateProblem) -> None:
        self._problem = problem

    def verify_client(self, chain: Any, *, now: float) -> Peer:
        raise CertificateRejected(self._problem, "for the other side's log alone", remedy="as well")

    def verify_server(self, chain: Any, server_name: ServerName, *, now: float, ocsp_response: bytes) -> Peer:
        raise CertificateRejected(self._problem, "for the other side's log alone", remedy="as well")


def by_peer(error: TLSError | None) -> CertificateRejectedByPeer:
    assert type(error) is CertificateRejectedByPeer, f"it is {error!r}"
    return error


def check_told(error: TLSError | None, alert: AlertDescription) -> CertificateRejectedByPeer:
    """The error is what the alert comes to, and says it in one sentence."""
    refusal = by_peer(error)
    assert refusal.description is alert
    assert refusal.code == alert
    assert refusal.reason is REASONS[alert]
    assert refusal.alert is None, "an alert is not answered with another"
    assert refusal.remedy, "it says what can be done"
    said = str(refusal)
    assert said.startswith(f"the peer sent the alert {alert.name.lower()}: "), said
    assert f"; {refusal.detail}; to mend it: {refusal.remedy}" in said
    assert "other side's log" not in said
    return refusal


# -- Clients ----------------------------------------------------------------------------------------------------------


@every_version
@pytest.mark.parametrize("problem", OF_CLIENTS, ids=lambda problem: problem.name)
def test_client_learns_why_its_certificate_was_refused_and_which_it_was(
    problem: CertificateProblem, version: str
) -> None:
    server = server_config(client_auth=ClientAuth.custom(Refuses(problem)), versions=[version])
    joined = pair(server, client_config(credentials=[client_credential()])).run()
    refusal = check_told(joined.client.failure, problem.alert)
    assert refusal.detail == "this client presented CN=alice"
    assert joined.client.data_to_send() == b"", "nothing is sent in answer"


def test_client_of_tls13_learns_of_it_when_it_reads_after_its_handshake() -> None:
    """cpython#110197: there is no other time. What it read before that came from a server that had not decided."""
    server = server_config(client_auth=ClientAuth.custom(Refuses(CertificateProblem.REVOKED)))
    joined = pair(server, client_config(credentials=[client_credential()]))
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.client.receive(joined.server.data_to_send()) == b""
    assert not joined.client.handshaking
    assert joined.client.failure is None
    joined.client.send(b"GET /")
    feed(joined.server, [joined.client.data_to_send()])
    with pytest.raises(CertificateRejectedByPeer) as caught:
        joined.client.receive(joined.server.data_to_send())
    assert caught.value is joined.client.failure
    with pytest.raises(CertificateRejected):
        joined.client.send(b"more")


@every_version
def test_client_without_any_certificate_is_told_that_it_has_none(version: str) -> None:
    joined = pair(server_config(client_auth=required(), versions=[version])).run()
    check_refused(
        joined,
        "server",
        CertificateRejected,
        CertificateProblem.NONE_PRESENTED,
        AlertDescription.CERTIFICATE_REQUIRED if version == "1.3" else AlertDescription.HANDSHAKE_FAILURE,
    )
    refusal = by_peer(joined.client.failure)
    assert refusal.reason is CertificateProblem.NONE_PRESENTED
    assert refusal.detail == "this client presented no certificate, for it has none"
    wanted = f"a certificate issued by {client_roots().subjects()[0]}"
    assert str(refusal).endswith(f"; to mend it: give this client {wanted}, and its key")


@every_version
def test_client_whose_certificates_do_not_fit_is_told_why_each_does_not(version: str) -> None:
    eve = credential(Authority.create("Others").issue_client("eve"))
    wrong_key = client_credential("ed25519", "bob")
    server = server_config(client_auth=required(), versions=[version], signature_schemes=["ecdsa_secp256r1_sha256"])
    joined = pair(server, client_config(credentials=[eve, wrong_key])).run()
    refusal = by_peer(joined.client.failure)
    assert refusal.reason is CertificateProblem.NONE_PRESENTED
    assert refusal.detail.startswith("this client presented no certificate: CN=eve: ")
    assert "CN=Others, which is not among the authorities that the peer named" in refusal.detail
    assert "; CN=bob: its key signs with ed25519, and the peer accepts ecdsa_secp256r1_sha256" in refusal.detail


@every_version
def test_client_with_very_many_certificates_is_told_about_a_few(version: str) -> None:
    authority = Authority.create("Others")
    many = [credential(authority.issue_client(f"client {number}")) for number in range(10)]
    joined = pair(server_config(client_auth=required(), versions=[version]), client_config(credentials=many)).run()
    refusal = by_peer(joined.client.failure)
    assert "client 7" in refusal.detail
    assert "client 8" not in refusal.detail
    assert refusal.detail.endswith("; and 2 more")


@every_version
def test_client_that_chose_to_present_none_is_told_that(version: str) -> None:
    client = client_config(credentials=[client_credential()], choose_credential=lambda request, credentials: None)
    joined = pair(server_config(client_auth=required(), versions=[version]), client).run()
    assert by_peer(joined.client.failure).detail == "this client presented no certificate: CN=alice: not chosen"


@every_version
def test_client_that_presented_what_the_server_did_not_name_is_told_what_it_named(version: str) -> None:
    mallory = Credential(strange_credential().chain, strange_credential().signer, fallback=True)
    joined = pair(server_config(client_auth=required(), versions=[version]), client_config(credentials=[mallory])).run()
    refusal = check_told(joined.client.failure, AlertDescription.UNKNOWN_CA)
    assert refusal.detail == (
        "this client presented CN=mallory, which is of none of the authorities that the server named: "
        "CN=K-Dot Certificate Authority,O=TDE,C=US"
    )


@every_version
def test_client_that_the_server_named_nobody_to_is_not_blamed(version: str) -> None:
    auth = ClientAuth.required(client_roots(), hints=())
    joined = pair(
        server_config(client_auth=auth, versions=[version]), client_config(credentials=[strange_credential()])
    ).run()
    refusal = check_told(joined.client.failure, AlertDescription.UNKNOWN_CA)
    assert refusal.detail == "this client presented CN=mallory"


@every_version
def test_names_in_certificates_cannot_break_the_sentence(version: str) -> None:
    """They come from whoever asked for the certificate, and end in logs."""
    issued = strange_root().issue_client("x\n[ERROR] all is lost\x1b[2J\u202e")
    joined = pair(
        server_config(client_auth=ClientAuth.required(client_roots(), hints=()), versions=[version]),
        client_config(credentials=[credential(issued)]),
    ).run()
    said = str(by_peer(joined.client.failure))
    assert said.isprintable(), said


# -- Servers ----------------------------------------------------------------------------------------------------------


@every_version
@pytest.mark.parametrize("problem", OF_SERVERS, ids=lambda problem: problem.name)
def test_server_learns_why_its_certificate_was_refused(problem: CertificateProblem, version: str) -> None:
    joined = pair(server_config(versions=[version]), client_config(verifier=Refuses(problem))).run()
    check_refused(joined, "client", CertificateRejected, problem)
    refusal = check_told(joined.server.failure, problem.alert)
    assert refusal.detail == "this is about the server's certificate"
    assert joined.server.data_to_send() == b""


@every_version
def test_server_that_asks_for_certificates_learns_it_too(version: str) -> None:
    joined = pair(
        server_config(versions=[version], client_auth=required()),
        client_config(verifier=Refuses(CertificateProblem.UNKNOWN_ISSUER), credentials=[client_credential()]),
    ).run()
    assert check_told(joined.server.failure, AlertDescription.UNKNOWN_CA).detail == (
        "this is about the server's certificate"
    )


def test_server_of_another_name_learns_no_more_than_that_it_was_refused() -> None:
    joined = pair(name="elsewhere.example").run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.NAME_MISMATCH)
    check_told(joined.server.failure, AlertDescription.BAD_CERTIFICATE)


# -- Alerts that are about something else -----------------------------------------------------------------------------


def plain_alert(alert: AlertDescription) -> bytes:
    return plain_record(21, bytes([2, alert]))


@pytest.mark.parametrize("alert", [*REASONS, AlertDescription.HANDSHAKE_FAILURE], ids=lambda alert: alert.name)
def test_alert_in_answer_to_the_first_hello_is_not_about_the_clients_certificate(alert: AlertDescription) -> None:
    """It has presented none, and was not asked for any."""
    client = ClientConnection(client_config(credentials=[client_credential()]), "localhost")
    feed(client, [plain_alert(alert)])
    assert type(client.failure) is AlertReceived
    assert client.failure.description is alert


@every_version
@pytest.mark.parametrize("alert", [*REASONS, AlertDescription.HANDSHAKE_FAILURE], ids=lambda alert: alert.name)
def test_alert_to_a_client_that_was_not_asked_is_not_about_its_certificate(
    alert: AlertDescription, version: str
) -> None:
    joined = connect(server_config(versions=[version]), client_config(credentials=[client_credential()]))
    say(joined.server, Record(21, bytes([2, alert])))
    joined.run()
    assert type(joined.client.failure) is AlertReceived


@every_version
@pytest.mark.parametrize(
    "alert",
    [AlertDescription.INTERNAL_ERROR, AlertDescription.DECRYPT_ERROR, AlertDescription.HANDSHAKE_FAILURE],
    ids=lambda alert: alert.name,
)
def test_other_alerts_to_a_client_that_presented_a_certificate_are_what_they_are(
    alert: AlertDescription, version: str
) -> None:
    joined = connect(
        server_config(client_auth=required(), versions=[version]), client_config(credentials=[client_credential()])
    )
    say(joined.server, Record(21, bytes([2, alert])))
    joined.run()
    assert type(joined.client.failure) is AlertReceived


def test_handshake_failure_in_tls13_is_not_about_certificates() -> None:
    """There is an alert of its own for one that is missing (RFC 9846 6.2)."""
    joined = connect(server_config(client_auth=optional()), client_config())
    say(joined.server, Record(21, bytes([2, AlertDescription.HANDSHAKE_FAILURE])))
    joined.run()
    assert type(joined.client.failure) is AlertReceived


@every_version
def test_alert_to_a_server_after_the_handshake_is_not_about_its_certificate(version: str) -> None:
    joined = connect(server_config(versions=[version]))
    say(joined.client, Record(21, bytes([2, AlertDescription.BAD_CERTIFICATE])))
    joined.run()
    assert type(joined.server.failure) is AlertReceived


def test_nothing_in_common_is_not_about_certificates() -> None:
    joined = pair(server_config(client_auth=required(), alpn=["h2"]), client_config(alpn=["web"], versions=["1.2"]))
    joined.run()
    assert isinstance(joined.server.failure, PeerIncompatible)
    assert type(joined.client.failure) is AlertReceived


# -- The error itself -------------------------------------------------------------------------------------------------


CODES: Final = [*REASONS, AlertDescription.HANDSHAKE_FAILURE, 200]


def test_it_is_what_callers_may_catch_it_as() -> None:
    for kind in (CertificateRejected, AlertReceived, TLSError):
        assert issubclass(CertificateRejectedByPeer, kind)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("detail", ["", "this client presented CN=alice"])
@pytest.mark.parametrize("code", CODES, ids=repr)
def test_it_can_be_copied_and_pickled(code: int, detail: str, copied: Callable[[Any], Any]) -> None:
    """For the processes of a pool, and for logs."""
    error = CertificateRejectedByPeer(code, detail)
    other = copied(error)
    assert type(other) is CertificateRejectedByPeer
    for name in ("code", "description", "reason", "detail", "remedy", "alert", "failures", "certificate", "args"):
        assert getattr(other, name) == getattr(error, name), name
    assert str(other) == str(error)
    assert repr(other) == repr(error)


@pytest.mark.parametrize("code", CODES, ids=repr)
def test_its_sentence_has_no_holes(code: int) -> None:
    for detail in ("", "this client presented CN=alice"):
        said = str(CertificateRejectedByPeer(code, detail))
        assert not said.rstrip().endswith((":", ";", "mend it")), said
        assert ": ;" not in said, said
        assert ";;" not in said, said
        assert detail in said, said
