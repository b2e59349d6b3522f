"""What a refusal says beside its reason: what was expected, what came, and what would mend it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.identities import (
    client_config,
    client_credential,
    client_root,
    client_roots,
    credential,
    required,
    server_config,
    server_credential,
    store,
    strange_credential,
)
from tests.support.memory import pair
from trustls.cli.pki import Authority
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    CertificateRejectedByPeer,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
)
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuth


def test_every_error_has_the_fields_that_the_guide_names() -> None:
    for error in (TLSError(), PeerMisbehaved(Misbehaviour.TRUNCATED), AlertReceived(80)):
        assert [getattr(error, name) for name in ("expected", "found")] == ["", ""]
        assert isinstance(error.remedy, str)


@pytest.mark.parametrize("reason", Incompatibility, ids=lambda reason: reason.name)
def test_incompatibility_says_what_mends_it(reason: Incompatibility) -> None:
    error = PeerIncompatible(reason, "this and that", expected="this", found="that")
    assert error.remedy, "nobody says what mends it"
    assert str(error) == f"{reason.sentence}: this and that; to mend it: {error.remedy}"
    again = pickle.loads(pickle.dumps(error))
    assert [again.expected, again.found, again.remedy] == ["this", "that", error.remedy]


@pytest.mark.parametrize(
    ("server", "client", "reason", "expected", "found"),
    [
        pytest.param(
            {"versions": ["1.2"]},
            {"versions": ["1.3"]},
            Incompatibility.NO_COMMON_VERSION,
            "TLSv1.2",
            "TLSv1.3",
            id="version",
        ),
        pytest.param(
            {"suites": ["TLS_AES_128_GCM_SHA256"], "versions": ["1.3"]},
            {"suites": ["TLS_AES_256_GCM_SHA384"], "versions": ["1.3"]},
            Incompatibility.NO_COMMON_SUITE,
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            id="suite",
        ),
        pytest.param(
            {"groups": ["x25519"]},
            {"groups": ["secp256r1", "secp384r1"]},
            Incompatibility.NO_COMMON_GROUP,
            "x25519",
            "secp256r1, secp384r1",
            id="group",
        ),
        pytest.param(
            {"groups": ["x25519"], "versions": ["1.2"]},
            {"groups": ["secp256r1"], "versions": ["1.2"]},
            Incompatibility.NO_COMMON_GROUP,
            "x25519",
            "secp256r1",
            id="group in TLS 1.2",
        ),
        pytest.param(
            {"alpn": ["http/1.1"]},
            {"alpn": ["h2", "spdy/3"]},
            Incompatibility.NO_COMMON_ALPN,
            "http/1.1",
            "h2, spdy/3",
            id="application protocol",
        ),
    ],
)
def test_nothing_in_common_names_what_both_sides_have(
    server: dict[str, Any], client: dict[str, Any], reason: Incompatibility, expected: str, found: str
) -> None:
    joined = pair(server_config(**server), client_config(**client)).run()
    error, told = joined.server.failure, joined.client.failure
    assert isinstance(error, PeerIncompatible), f"it is {error!r}"
    assert (error.reason, error.expected, error.found) == (reason, expected, found)
    for side in (expected, found):
        assert side in str(error)
    assert isinstance(told, AlertReceived)
    assert told.remedy, f"the client is not told what to do: {told}"


def test_tls12_suites_for_a_key_that_the_server_has_not_ask_for_that_key() -> None:
    rsa = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
    ours = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    server = server_config(credentials=[server_credential()], versions=["1.2"], suites=[*rsa, ours])
    error = pair(server, client_config(versions=["1.2"], suites=rsa)).run().server.failure
    assert isinstance(error, PeerIncompatible)
    assert (error.found, error.expected) == (rsa[0], ours), "what is no suite, and what needs RSA, is not listed"
    assert error.remedy == "give this server a certificate with an RSA key as well"


def test_root_that_is_used_for_a_client_is_not_told_to_be_issued_anew() -> None:
    """The certificate of the very CA in the roots, presented for a client; it may not sign handshakes."""
    root = client_root()
    own = Credential([root.certificate.public_bytes(Encoding.DER)], root.key, fallback=True)
    error = pair(server_config(client_auth=required()), client_config(credentials=[own])).run().server.failure
    assert isinstance(error, CertificateRejected)
    assert error.reason is CertificateProblem.WRONG_KEY_USAGE
    assert error.remedy.startswith("use a certificate that"), error.remedy
    assert "is that of a CA" in error.detail


def refused(**options: Any) -> CertificateRejectedByPeer:
    """What a client learns that presented nothing to a server which requires a certificate."""
    error = pair(server_config(client_auth=required()), client_config(**options)).run().client.failure
    assert type(error) is CertificateRejectedByPeer, f"it is {error!r}"
    return error


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_client_without_a_certificate_is_told_whose_to_get(version: str) -> None:
    error = refused(versions=[version])
    assert error.remedy == f"give this client a certificate issued by {client_roots().subjects()[0]}, and its key"
    assert pickle.loads(pickle.dumps(error)).remedy == error.remedy


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_client_of_another_ca_is_told_of_the_ca_in_between(version: str) -> None:
    error = refused(credentials=[strange_credential()], versions=[version])
    assert str(client_roots().subjects()[0]) in error.remedy
    assert "put that CA into the chain" in error.remedy


def test_client_with_a_key_that_the_server_does_not_verify_is_told_that() -> None:
    own = credential(client_root().issue_client("ml", key_type="ml-dsa-44"))
    error = refused(credentials=[own], versions=["1.2"])
    assert "no signature scheme of TLSv1.2 is for a key like its own" in error.detail
    assert error.remedy == "give this client a certificate whose key signs as the server accepts it"


def test_client_whose_callback_chose_nothing_is_told_that() -> None:
    error = refused(credentials=[client_credential()], choose_credential=lambda _request, _credentials: None)
    assert "choose_credential" in error.remedy


def test_client_that_presented_a_certificate_is_told_what_the_alert_means() -> None:
    elsewhere = store(Authority.create("Another Root"))
    server = server_config(client_auth=ClientAuth.required(elsewhere, hints=()))
    error = pair(server, client_config(credentials=[client_credential()])).run().client.failure
    assert isinstance(error, CertificateRejectedByPeer)
    assert error.code == AlertDescription.UNKNOWN_CA
    assert error.remedy.startswith("send the intermediates along")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_end_in_the_middle_of_a_handshake_says_what_had_not_come(version: str) -> None:
    joined = pair(client=client_config(versions=[version]))
    with pytest.raises(TLSError, match=r"^the transport ended during the handshake, before the ClientHello of the"):
        joined.server.receive_eof()
    joined.client.data_to_send()
    with pytest.raises(TLSError, match="before the ServerHello"):
        joined.client.receive_eof()
