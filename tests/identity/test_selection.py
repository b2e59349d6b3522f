from __future__ import annotations

import pytest

from tests.support.identities import client_credential, client_root, server_credential, strange_credential
from trustls.errors import AlertDescription, Incompatibility, PeerIncompatible
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.identity.selection import OfferedHello, first_that_fits, for_server_name
from trustls.trust.certificate import Certificate
from trustls.wire.enums import ProtocolVersion, SignatureScheme

S = SignatureScheme


def request(*schemes: SignatureScheme) -> CredentialRequest:
    root = Certificate.from_x509(client_root().certificate)
    return CredentialRequest(
        version=ProtocolVersion.TLS1_3,
        authorities=(root.subject,),
        signature_schemes=schemes,
        signature_schemes_cert=schemes,
    )


ALICE, BOB = client_credential("ec-p256", "alice"), client_credential("ed25519", "bob")
ECDSA, ED25519 = S.ECDSA_SECP256R1_SHA256, S.ED25519


@pytest.mark.parametrize(
    ("held", "schemes", "chosen"),
    [
        ((ALICE, BOB), (ECDSA, ED25519), ALICE),
        ((BOB, ALICE), (ECDSA, ED25519), BOB),
        ((ALICE, BOB), (ED25519,), BOB),
        ((strange_credential(), BOB), (ECDSA, ED25519), BOB),
        ((strange_credential(),), (ECDSA, ED25519), None),
        ((ALICE,), (S.RSA_PSS_RSAE_SHA256,), None),
        ((), (ECDSA,), None),
    ],
    ids=["first", "our order counts", "by scheme", "by authority", "none by authority", "none by scheme", "none held"],
)
def test_client_chooses_the_first_credential_that_fits(
    held: tuple[Credential, ...], schemes: tuple[SignatureScheme, ...], chosen: Credential | None
) -> None:
    assert first_that_fits(request(*schemes), held) is chosen


LOCALHOST, WWW, WILD = (
    server_credential("ec-p256", "localhost"),
    server_credential("ec-p256", "www.example.com"),
    server_credential("ed25519", "*.example.com"),
)
SERVER = (LOCALHOST, WWW, WILD)


@pytest.mark.parametrize("version", [ProtocolVersion.TLS1_3, ProtocolVersion.TLS1_2], ids=str)
@pytest.mark.parametrize(
    ("name", "schemes", "chosen"),
    [
        ("localhost", (ECDSA, ED25519), LOCALHOST),
        ("www.example.com", (ECDSA, ED25519), WWW),
        ("WWW.EXAMPLE.COM", (ECDSA, ED25519), WWW),
        ("www.example.com", (ED25519,), WILD),
        ("api.example.com", (ECDSA, ED25519), WILD),
        ("api.example.com", (ECDSA,), LOCALHOST),
        ("nobody.example", (ECDSA, ED25519), LOCALHOST),
        (None, (ECDSA, ED25519), LOCALHOST),
        (None, (ED25519,), WILD),
        ("not a name\0", (ECDSA, ED25519), LOCALHOST),
        ("192.0.2.1", (ECDSA,), LOCALHOST),
    ],
)
def test_server_chooses_by_scheme_and_name_and_has_a_default(
    version: ProtocolVersion, name: str | None, schemes: tuple[SignatureScheme, ...], chosen: Credential
) -> None:
    assert for_server_name(OfferedHello(version, name, schemes), SERVER) is chosen


def test_server_that_cannot_sign_for_a_client_says_what_that_verifies() -> None:
    hello = OfferedHello(ProtocolVersion.TLS1_3, "localhost", (S.RSA_PSS_RSAE_SHA256, S(0x0A0A)))
    with pytest.raises(PeerIncompatible, match="the client verifies rsa_pss_rsae_sha256, 0x0a0a") as refused:
        for_server_name(hello, SERVER)
    assert refused.value.reason is Incompatibility.NO_COMMON_SCHEME
    assert refused.value.alert is AlertDescription.HANDSHAKE_FAILURE


def test_server_signs_with_pkcs1_in_tls12_alone() -> None:
    held = (server_credential("rsa-2048"),)
    schemes = (S.RSA_PKCS1_SHA256,)
    assert for_server_name(OfferedHello(ProtocolVersion.TLS1_2, "localhost", schemes), held) is held[0]
    with pytest.raises(PeerIncompatible, match="the client verifies rsa_pkcs1_sha256"):
        for_server_name(OfferedHello(ProtocolVersion.TLS1_3, "localhost", schemes), held)
