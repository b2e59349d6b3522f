from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.support.identities import (
    client_identity,
    client_intermediate,
    client_root,
    server_identity,
    server_root,
    strange_root,
)
from trustls.cli.pki import Issued
from trustls.errors import ConfigError
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.identity.signer import KeySigner
from trustls.trust.certificate import Certificate
from trustls.wire.enums import ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName

ALICE = client_identity()
assert isinstance(ALICE.key, ec.EllipticCurvePrivateKey)
ALICE_KEY = ALICE.key
INTERMEDIATE = client_intermediate().certificate
ROOT = client_root().certificate
OTHER_KEY = server_identity().key


PKCS8 = serialization.PrivateFormat.PKCS8


def pem_key(issued: Issued, password: bytes | None = None, *, form: serialization.PrivateFormat = PKCS8) -> bytes:
    return issued.key.private_bytes(
        serialization.Encoding.PEM,
        form,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


def subjects(credential: Credential) -> list[str]:
    return [str(certificate.subject) for certificate in credential.chain]


# -- Reading one ------------------------------------------------------------------------------------------------------


def test_credential_is_read_from_pem_in_bytes_files_and_one_file(tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(ALICE.pem_chain)
    (tmp_path / "key.pem").write_bytes(ALICE.pem_key)
    (tmp_path / "both.pem").write_bytes(ALICE.pem_key + ALICE.pem_chain)
    for chain, key in (
        (ALICE.pem_chain, ALICE.pem_key),
        (str(tmp_path / "chain.pem"), str(tmp_path / "key.pem")),
        (tmp_path / "chain.pem", tmp_path / "key.pem"),
        (tmp_path / "both.pem", tmp_path / "both.pem"),
    ):
        credential = Credential.from_pem(chain, key)
        assert subjects(credential) == ["CN=alice", "CN=K-Dot Issuing"]
        assert credential.signer.schemes == (SignatureScheme.ECDSA_SECP256R1_SHA256,)
        assert credential.certificate == Certificate.from_x509(ALICE.certificate)


@pytest.mark.parametrize("form", [PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_key_is_read_in_its_older_form_too(form: serialization.PrivateFormat) -> None:
    assert subjects(Credential.from_pem(ALICE.pem_chain, pem_key(ALICE, form=form)))[0] == "CN=alice"


def test_key_is_read_from_der() -> None:
    der = ALICE.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert Credential.from_pem(ALICE.pem_chain, der).certificate.subject


@pytest.mark.parametrize("password", ["secret", b"secret"])
def test_encrypted_key_opens_with_its_password(password: str | bytes) -> None:
    credential = Credential.from_pem(ALICE.pem_chain, pem_key(ALICE, b"secret"), password=password)
    assert subjects(credential)[0] == "CN=alice"


def test_password_that_is_missing_wrong_or_in_vain_is_said_in_words(tmp_path: Path) -> None:
    encrypted = pem_key(ALICE, b"secret")
    with pytest.raises(ConfigError, match="the private key in the bytes given is encrypted: give its password"):
        Credential.from_pem(ALICE.pem_chain, encrypted)
    with pytest.raises(ConfigError, match="the password is wrong"):
        Credential.from_pem(ALICE.pem_chain, encrypted, password="wrong")
    with pytest.raises(ConfigError, match="is not encrypted, but a password was given"):
        Credential.from_pem(ALICE.pem_chain, ALICE.pem_key, password="in vain")
    (tmp_path / "key.pem").write_bytes(encrypted)
    with pytest.raises(ConfigError, match=r"key\.pem is encrypted"):
        Credential.from_pem(ALICE.pem_chain, tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("chain", "key", "said"),
    [
        (b"", b"", "no certificate in"),
        (b"garbage", b"", "no certificate in"),
        (ALICE.pem_key, ALICE.pem_key, "no certificate in"),
        (ALICE.pem_chain, b"garbage", "no private key can be read from the bytes given"),
        (ALICE.pem_chain, ALICE.pem_chain, "no private key can be read from the bytes given"),
    ],
    ids=["nothing", "garbage", "key only", "garbage key", "certificate as key"],
)
def test_what_is_not_there_is_said_in_words(chain: bytes, key: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Credential.from_pem(chain, key)


def test_file_without_what_belongs_in_it_is_named(tmp_path: Path) -> None:
    """Whoever swapped --cert and --key looks for the file to blame."""
    (tmp_path / "chain.pem").write_bytes(ALICE.pem_chain)
    (tmp_path / "key.pem").write_bytes(ALICE.pem_key)
    with pytest.raises(ConfigError, match=r"no certificate.*key\.pem|key\.pem.*no certificate"):
        Credential.from_pem(tmp_path / "key.pem", tmp_path / "key.pem")
    with pytest.raises(ConfigError, match=r"chain\.pem"):
        Credential.from_pem(tmp_path / "chain.pem", tmp_path / "chain.pem")


def test_certificate_that_cannot_be_parsed_is_a_configuration_error() -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(ConfigError, match="certificate"):
        Credential.from_pem(broken, ALICE.pem_key)


def test_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Credential.from_pem(tmp_path / "missing.pem", ALICE.pem_key)


@pytest.mark.parametrize("password", [None, "secret"])
def test_credential_is_read_from_pkcs12_whatever_the_order_in_it(tmp_path: Path, password: str | None) -> None:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    for extra in ([INTERMEDIATE, ROOT], [ROOT, INTERMEDIATE], [strange_root().certificate, ROOT, INTERMEDIATE]):
        data = pkcs12.serialize_key_and_certificates(b"alice", ALICE_KEY, ALICE.certificate, extra, encryption)
        (tmp_path / "alice.p12").write_bytes(data)
        for source in (data, tmp_path / "alice.p12"):
            credential = Credential.from_pkcs12(source, password=password)
            assert subjects(credential)[:2] == ["CN=alice", "CN=K-Dot Issuing"]
            assert "CN=A Root Nobody Trusts" not in subjects(credential)


def test_pkcs12_that_cannot_be_opened_is_said_in_words() -> None:
    data = pkcs12.serialize_key_and_certificates(
        b"alice",
        ALICE_KEY,
        ALICE.certificate,
        [],
        serialization.BestAvailableEncryption(b"secret"),
    )
    for wrong in (None, "wrong"):
        with pytest.raises(ConfigError, match="cannot be opened as PKCS#12"):
            Credential.from_pkcs12(data, password=wrong)
    with pytest.raises(ConfigError, match="cannot be opened as PKCS#12"):
        Credential.from_pkcs12(b"garbage")
    without_key = pkcs12.serialize_key_and_certificates(b"ca", None, None, [INTERMEDIATE], serialization.NoEncryption())
    with pytest.raises(ConfigError, match="holds no private key with its certificate"):
        Credential.from_pkcs12(without_key)


# -- Checks when it is made -------------------------------------------------------------------------------------------


def test_chain_may_be_given_in_any_kind_of_certificate() -> None:
    der = ALICE.certificate.public_bytes(serialization.Encoding.DER)
    made = [
        Credential([ALICE.certificate], ALICE.key),
        Credential([der], ALICE.key),
        Credential([Certificate.from_der(der)], ALICE.key),
        Credential(iter([der]), KeySigner(ALICE.key)),
    ]
    assert len({credential.chain for credential in made}) == 1


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ([], "at least one certificate"),
        ([ALICE.certificate, ROOT], "the chain is broken: CN=alice was issued by CN=K-Dot Issuing, but the next"),
        ([ALICE.certificate, ROOT, INTERMEDIATE], "put the leaf first and each issuer after what it issued"),
        ([ALICE.certificate] * 11, "longer than the 10"),
        ([b"\x30\0"], "the chain holds what is no certificate"),
    ],
    ids=["empty", "broken", "out of order", "too long", "no certificate"],
)
def test_chain_that_does_not_fit_together_is_refused(chain: list[x509.Certificate], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Credential(chain, ALICE.key)
    assert said in str(refused.value)


def test_key_of_another_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="the private key does not belong to the certificate CN=alice"):
        Credential(ALICE.chain, OTHER_KEY)
    with pytest.raises(ConfigError, match="does not belong"):
        Credential.from_pem(ALICE.pem_chain, server_identity().pem_key)


@pytest.mark.parametrize(
    "key",
    [
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
    ],
    ids=["Ed448", "RSA-1024"],
)
def test_key_that_no_scheme_takes_is_refused(key: ed448.Ed448PrivateKey | rsa.RSAPrivateKey) -> None:
    with pytest.raises(ConfigError, match=r"no signature scheme in TLS 1\.3"):
        Credential(ALICE.chain, key)


def test_credential_is_frozen_and_prints_no_key() -> None:
    credential = Credential(ALICE.chain, ALICE.key)
    with pytest.raises(dataclasses.FrozenInstanceError):
        credential.fallback = True  # type: ignore[misc]
    assert repr(credential).startswith("<Credential CN=alice (issued by CN=K-Dot Issuing")


# -- Whether it fits --------------------------------------------------------------------------------------------------


def request(*authorities: x509.Certificate, schemes: tuple[SignatureScheme, ...] | None = None) -> CredentialRequest:
    schemes = schemes or (SignatureScheme.ED25519, SignatureScheme.ECDSA_SECP256R1_SHA256)
    names = tuple(DistinguishedName(authority.subject.public_bytes()) for authority in authorities)
    return CredentialRequest(
        version=ProtocolVersion.TLS1_3, authorities=names, signature_schemes=schemes, signature_schemes_cert=schemes
    )


CREDENTIAL = Credential(ALICE.chain, ALICE.key)
ROOT_ONLY = server_root().certificate


@pytest.mark.parametrize(
    "asked",
    [request(), request(ROOT), request(INTERMEDIATE), request(ROOT_ONLY, ROOT)],
    ids=["no hints", "its root", "its intermediate", "one of two"],
)
def test_credential_fits_when_an_authority_of_its_chain_is_named(asked: CredentialRequest) -> None:
    assert CREDENTIAL.fits(asked) is None


def test_credential_of_another_authority_does_not_fit_and_says_so() -> None:
    reason = CREDENTIAL.fits(request(ROOT_ONLY))
    assert reason == (
        "it was issued by CN=K-Dot Issuing and CN=K-Dot Certificate Authority,O=TDE,C=US, which is not among the "
        "authorities that the peer named"
    )


def test_names_are_compared_by_their_bytes() -> None:
    """The same text in another string type is another name (RFC 5280 would have it equal; peers compare bytes)."""
    same_text = x509.Name(
        [x509.NameAttribute(item.oid, item.value, _type=x509.name._ASN1Type.T61String) for item in INTERMEDIATE.subject]
    )
    asked = dataclasses.replace(request(), authorities=(DistinguishedName(same_text.public_bytes()),))
    assert str(asked.authorities[0]) == "CN=K-Dot Issuing"
    assert CREDENTIAL.fits(asked) is not None


def test_leaf_without_its_intermediate_fits_the_intermediate_alone() -> None:
    alone = Credential(ALICE.chain[:1], ALICE.key)
    assert alone.fits(request(INTERMEDIATE)) is None
    assert alone.fits(request(ROOT)) is not None, "nothing here shows that its issuer is under this root"


def test_fallback_fits_whatever_is_named_but_not_whatever_can_be_verified() -> None:
    fallback = Credential(ALICE.chain, ALICE.key, fallback=True)
    assert fallback.fits(request(ROOT_ONLY)) is None
    reason = fallback.fits(request(schemes=(SignatureScheme.ED25519,)))
    assert reason == "its key signs with ecdsa_secp256r1_sha256, and the peer accepts ed25519 in TLSv1.3"


def test_scheme_is_the_signers_first_that_the_peer_accepts() -> None:
    rsa_credential = Credential(client_identity("rsa-2048").chain, client_identity("rsa-2048").key)
    schemes = SignatureScheme
    accepted = (schemes.RSA_PSS_RSAE_SHA512, schemes.RSA_PSS_RSAE_SHA384, schemes.ED25519)
    for version in (ProtocolVersion.TLS1_3, ProtocolVersion.TLS1_2):
        assert rsa_credential.scheme_for(accepted, version) is schemes.RSA_PSS_RSAE_SHA384
        assert rsa_credential.scheme_for(iter(accepted), version) is schemes.RSA_PSS_RSAE_SHA384
        assert rsa_credential.scheme_for((schemes.ED25519,), version) is None


def test_pkcs1_is_for_tls12_alone_and_there_the_last_resort() -> None:
    """RFC 9846 4.3.3."""
    rsa_credential = Credential(client_identity("rsa-2048").chain, client_identity("rsa-2048").key)
    pkcs1, pss = SignatureScheme.RSA_PKCS1_SHA256, SignatureScheme.RSA_PSS_RSAE_SHA512
    assert rsa_credential.scheme_for((pkcs1, SignatureScheme.ED25519), ProtocolVersion.TLS1_3) is None
    assert rsa_credential.scheme_for((pkcs1, SignatureScheme.ED25519), ProtocolVersion.TLS1_2) is pkcs1
    for version in (ProtocolVersion.TLS1_3, ProtocolVersion.TLS1_2):
        assert rsa_credential.scheme_for((pkcs1, pss), version) is pss


def test_mldsa_is_for_tls13_alone() -> None:
    credential = Credential(client_identity("ml-dsa-65").chain, client_identity("ml-dsa-65").key)
    assert credential.scheme_for((SignatureScheme.MLDSA65,), ProtocolVersion.TLS1_3) is SignatureScheme.MLDSA65
    assert credential.scheme_for((SignatureScheme.MLDSA65,), ProtocolVersion.TLS1_2) is None
