"""Keys that may sign handshakes: what their certificate says they are for counts, whoever verifies that certificate."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest
from cryptography import x509

from tests.session.resuming import VERSIONS
from tests.support.identities import client_config, client_credential, server_config, server_credential
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.scripted import ScriptedClient, ScriptedServer
from tests.trust.issuing import BOTH, Issued, authority, dns, issue, leaf, marked_for_pss, usage
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.danger import AcceptAnyCertificate
from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    Misbehaviour,
    PeerMisbehaved,
)
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuth
from trustls.wire.messages import CertificateMessage
from trustls.wire.messages12 import CertificateMessage12

LONG: Final = (-3650, 36500)
ROOT: Final = authority(days=LONG)

every_version = pytest.mark.parametrize("version", VERSIONS)
both_roles = pytest.mark.parametrize("role", ["client", "server"])


def with_usage(*names: str) -> Credential:
    """A certificate for localhost and for clients, whose key may be used for these."""
    issued = leaf(ROOT, key_usage=usage(*names), names=dns("localhost"), days=LONG)
    return presenting(issued)


def without_usage() -> Credential:
    """A certificate that does not say what its key may be used for."""
    return presenting(issue("CN=alice", ROOT, ca=False, purposes=BOTH, names=dns("localhost"), days=LONG))


def presenting(issued: Issued) -> Credential:
    """One that is presented whatever is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Credential([issued.x509], issued.key, fallback=True)


def believing_all(role: str, version: str, credential: Credential | None = None) -> tuple[ServerConfig, ClientConfig]:
    """Both sides, of which one presents `credential`, and the other believes whatever it is shown."""
    server: dict[str, Any] = {"versions": [version]}
    client: dict[str, Any] = {"versions": [version], "credentials": [client_credential()]}
    if role == "server":
        client["verifier"] = AcceptAnyCertificate()
    else:
        server["client_auth"] = ClientAuth.custom(AcceptAnyCertificate())
    if credential is not None:
        (server if role == "server" else client)["credentials"] = [credential]
    return server_config(**server), client_config(**client)


def other(role: str) -> str:
    return "server" if role == "client" else "client"


# -- Key usage --------------------------------------------------------------------------------------------------------


@both_roles
@every_version
@pytest.mark.parametrize(
    "names",
    [("key_encipherment",), ("key_agreement",), ("content_commitment", "data_encipherment"), ("key_cert_sign",)],
    ids=" and ".join,
)
def test_key_that_may_not_sign_is_refused_by_whoever_believes_everything(
    names: tuple[str, ...], version: str, role: str
) -> None:
    """RFC 9846 4.5.1.2: "the digitalSignature bit MUST be set if the Key Usage extension is present"."""
    joined = pair(*believing_all(role, version, with_usage(*names))).run()
    failure = check_refused(joined, other(role), CertificateRejected, CertificateProblem.WRONG_KEY_USAGE)
    assert isinstance(failure, CertificateRejected)
    assert failure.expected == "digitalSignature"
    assert "CN=alice" in failure.remedy


@both_roles
@every_version
@pytest.mark.parametrize(
    "credential",
    [with_usage("digital_signature"), with_usage("digital_signature", "key_encipherment"), without_usage()],
    ids=["for signatures", "for these too", "not said"],
)
def test_key_that_may_sign_is_taken(credential: Credential, version: str, role: str) -> None:
    joined = connect(*believing_all(role, version, credential)).check_connected()
    peer = joined.client.peer if role == "server" else joined.server.peer
    assert peer is not None
    assert peer.certificate == credential.certificate


# -- Keys for RSASSA-PSS alone ----------------------------------------------------------------------------------------


def marked(message: Any) -> Iterable[Any]:
    """The same certificate, key and signature, but for the key's algorithm: id-RSASSA-PSS."""
    if isinstance(message, CertificateMessage):
        (entry, *others) = message.entries
        return (
            replace(
                message,
                entries=(
                    replace(entry, certificate=marked_for_pss(x509.load_der_x509_certificate(entry.certificate))),
                    *others,
                ),
            ),
        )
    if isinstance(message, CertificateMessage12):
        certificate, *rest = message.certificates
        return (replace(message, certificates=(marked_for_pss(x509.load_der_x509_certificate(certificate)), *rest)),)
    return (message,)


def unmarked(message: Any) -> Iterable[Any]:
    return (message,)


@both_roles
@pytest.mark.parametrize(
    ("version", "scheme"),
    [("1.2", "rsa_pkcs1_sha256"), ("1.2", "rsa_pss_rsae_sha256"), ("1.3", "rsa_pss_rsae_sha256")],
)
@pytest.mark.parametrize("is_marked", [True, False], ids=["RSASSA-PSS", "rsaEncryption"])
def test_key_for_pss_alone_does_not_go_with_the_schemes_of_other_rsa_keys(
    scheme: str, version: str, role: str, *, is_marked: bool
) -> None:
    """RFC 9846 4.3.3: rsa_pss_rsae and rsa_pkcs1 are for keys whose algorithm is rsaEncryption."""
    rsa = server_credential("rsa-2048") if role == "server" else client_credential("rsa-2048")
    server, client = believing_all(role, version, rsa)
    if role == "server":
        client = replace(client, signature_schemes=[scheme])
    else:
        server = replace(server, signature_schemes=[scheme, "ecdsa_secp256r1_sha256"])
    edit = marked if is_marked else unmarked
    if role == "server":
        joined = Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit)).run()
    else:
        joined = Pair(ScriptedClient(client, edit), ServerConnection(server)).run()
    if is_marked:
        failure = check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.SCHEME_NOT_FOR_KEY)
        assert failure.alert is AlertDescription.ILLEGAL_PARAMETER
        assert "marked for RSASSA-PSS" in str(failure)
    else:
        joined.check_connected()
