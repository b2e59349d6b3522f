"""What a signer may offer for a certificate, and what is made of it in each version."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.identities import client_identity
from tests.support.ids import stable
from tests.trust.issuing import authority, leaf, marked_for_pss
from trustls.crypto.signatures import BadSignature, WrongKey, verify
from trustls.errors import ConfigError
from trustls.identity.credential import Credential
from trustls.identity.signer import KeySigner, schemes_for, schemes_of_leaf
from trustls.trust.certificate import Certificate
from trustls.wire.enums import ProtocolVersion, SignatureScheme

S = SignatureScheme
TLS12, TLS13 = ProtocolVersion.TLS1_2, ProtocolVersion.TLS1_3
ECDSA = (S.ECDSA_SECP256R1_SHA256, S.ECDSA_SECP384R1_SHA384, S.ECDSA_SECP521R1_SHA512)
PSS = (S.RSA_PSS_RSAE_SHA256, S.RSA_PSS_RSAE_SHA384, S.RSA_PSS_RSAE_SHA512)
PKCS1 = (S.RSA_PKCS1_SHA256, S.RSA_PKCS1_SHA384, S.RSA_PKCS1_SHA512)
MESSAGE = b"what is signed"


class Offers:
    """A signer that offers what it is told to."""

    def __init__(self, *schemes: SignatureScheme, tls12: tuple[SignatureScheme, ...] | None = None) -> None:
        self.schemes = schemes
        if tls12 is not None:
            self.schemes_tls12 = tls12

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        raise AssertionError("nobody asks for a signature here")


def certificate(key_type: str) -> Certificate:
    return Certificate.from_x509(client_identity(key_type).certificate)


# -- Keys in memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_type", "in_tls13", "in_tls12"),
    [
        ("ec-p256", ECDSA[:1], (ECDSA[0], ECDSA[2], ECDSA[1])),
        ("ec-p384", ECDSA[1:2], (ECDSA[1], ECDSA[2], ECDSA[0])),
        ("ec-p521", ECDSA[2:], (ECDSA[2], ECDSA[1], ECDSA[0])),
        ("ed25519", (S.ED25519,), (S.ED25519,)),
        ("rsa-2048", PSS, PSS + PKCS1),
        ("ml-dsa-44", (S.MLDSA44,), ()),
        ("ml-dsa-65", (S.MLDSA65,), ()),
        ("ml-dsa-87", (S.MLDSA87,), ()),
    ],
)
def test_key_signs_with_what_its_kind_allows_in_each_version(
    key_type: str, in_tls13: tuple[SignatureScheme, ...], in_tls12: tuple[SignatureScheme, ...]
) -> None:
    """RFC 9846 4.3.3 fixes the curve; RFC 8422 5.1.1 names a hash alone."""
    identity = client_identity(key_type)
    credential = Credential(identity.chain, identity.key)
    for version, schemes in ((TLS13, in_tls13), (TLS12, in_tls12)):
        left = list(SignatureScheme)
        found = []
        while (scheme := credential.scheme_for(left, version)) is not None:
            found.append(scheme)
            left.remove(scheme)
            signature = credential.signer.sign(scheme, MESSAGE)
            assert isinstance(signature, bytes)
            verify(credential.certificate.public_key, scheme, signature, MESSAGE, any_curve=version == TLS12)
        assert tuple(found) == schemes, f"in {version}"


def test_scheme_is_the_signers_first_that_the_peer_accepts() -> None:
    rsa_credential = Credential(client_identity("rsa-2048").chain, client_identity("rsa-2048").key)
    accepted = (S.RSA_PSS_RSAE_SHA512, S.RSA_PSS_RSAE_SHA384, S.ED25519)
    for version in (TLS13, TLS12):
        assert rsa_credential.scheme_for(accepted, version) is S.RSA_PSS_RSAE_SHA384
        assert rsa_credential.scheme_for(iter(accepted), version) is S.RSA_PSS_RSAE_SHA384
        assert rsa_credential.scheme_for((S.ED25519,), version) is None


def test_pkcs1_is_for_tls12_alone_and_there_the_last_resort() -> None:
    """RFC 9846 4.3.3."""
    rsa_credential = Credential(client_identity("rsa-2048").chain, client_identity("rsa-2048").key)
    pkcs1, pss = S.RSA_PKCS1_SHA256, S.RSA_PSS_RSAE_SHA512
    assert rsa_credential.scheme_for((pkcs1, S.ED25519), TLS13) is None
    assert rsa_credential.scheme_for((pkcs1, S.ED25519), TLS12) is pkcs1
    for version in (TLS13, TLS12):
        assert rsa_credential.scheme_for((pkcs1, pss), version) is pss


def test_ecdsa_with_another_hash_than_the_curves_is_for_tls12_alone() -> None:
    signer = KeySigner(client_identity("ec-p384").key)
    signature = signer.sign(S.ECDSA_SECP256R1_SHA256, MESSAGE)
    with pytest.raises(WrongKey):
        verify(signer.public_key, S.ECDSA_SECP256R1_SHA256, signature, MESSAGE)
    with pytest.raises(BadSignature):
        verify(signer.public_key, S.ECDSA_SECP384R1_SHA384, signature, MESSAGE)
    assert signer.schemes == (S.ECDSA_SECP384R1_SHA384,)


@pytest.mark.parametrize("scheme", [S.ED25519, S.RSA_PSS_RSAE_SHA256, S.ECDSA_SHA1, S(0x0A0A)])
def test_key_does_not_sign_with_the_scheme_of_another_kind(scheme: SignatureScheme) -> None:
    with pytest.raises(WrongKey):
        KeySigner(client_identity("ec-p256").key).sign(scheme, MESSAGE)
    with pytest.raises(WrongKey):
        KeySigner(client_identity("rsa-2048").key).sign(S.ECDSA_SECP256R1_SHA256, MESSAGE)


@pytest.mark.parametrize("thing", ["key.pem", b"-----BEGIN", None, 7, object()], ids=lambda thing: type(thing).__name__)
def test_what_is_no_signer_is_said_in_words(thing: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{type(thing).__name__} is no signer: give a private key .*from_pem"):
        Credential([certificate("ec-p256")], thing)


@pytest.mark.parametrize("key", [x25519.X25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()], ids=stable)
def test_key_that_cannot_sign_a_handshake_is_refused(key: Any) -> None:
    with pytest.raises(ConfigError, match=r"has no signature scheme in TLS 1\.3"):
        Credential([certificate("ec-p256")], key)


# -- Signers elsewhere ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_type", "scheme"),
    [
        ("ec-p256", S.ED25519),
        ("ec-p256", S.RSA_PSS_RSAE_SHA256),
        ("ec-p256", S.ECDSA_SHA1),
        ("ec-p256", S(0x0A0A)),
        ("ed25519", S.ECDSA_SECP256R1_SHA256),
        ("ed25519", S.ED448),
        ("rsa-2048", S.RSA_PKCS1_SHA1),
        ("rsa-2048", S.RSA_PSS_PSS_SHA256),
        ("ml-dsa-65", S.MLDSA44),
    ],
)
@pytest.mark.parametrize("where", ["schemes", "schemes_tls12"])
def test_signer_that_offers_what_the_certificate_cannot_verify_is_refused(
    key_type: str, scheme: SignatureScheme, where: str
) -> None:
    native = schemes_of_leaf(certificate(key_type))[0]
    signer = Offers(*native, scheme) if where == "schemes" else Offers(*native, tls12=(*native, scheme))
    with pytest.raises(ConfigError) as refused:
        Credential([certificate(key_type)], signer)
    assert f"the signer offers {scheme}, which the key of CN=alice cannot verify: it is for " in str(refused.value)


@pytest.mark.parametrize("name", ["schemes", "schemes_tls12"])
@pytest.mark.parametrize(
    "schemes", [("ecdsa_secp256r1_sha256",), "ecdsa_secp256r1_sha256", (0x0403,), None, lambda: ECDSA[:1]], ids=type
)
def test_signer_whose_schemes_are_none_is_told_so(schemes: Any, name: str) -> None:
    signer = Offers(*ECDSA[:1])
    setattr(signer, name, schemes)
    with pytest.raises(ConfigError, match=f"`{name}` of the signer takes SignatureSchemes"):
        Credential([certificate("ec-p256")], signer)


def test_signer_that_offers_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="the signer of CN=alice has no signature scheme"):
        Credential([certificate("ec-p256")], Offers())


def test_order_of_a_signer_is_its_preference_in_each_version() -> None:
    leaf_certificate = certificate("rsa-2048")
    assert schemes_for(Offers(PKCS1[2], PSS[1], PKCS1[0], PSS[0]), leaf_certificate) == (
        (PSS[1], PSS[0]),
        (PKCS1[2], PSS[1], PKCS1[0], PSS[0]),
    )


def test_ecdsa_scheme_of_another_curve_is_used_in_tls12_alone() -> None:
    p384 = certificate("ec-p384")
    in_one_list = Offers(S.ECDSA_SECP256R1_SHA256, S.ECDSA_SECP384R1_SHA384)
    assert schemes_for(in_one_list, p384) == ((S.ECDSA_SECP384R1_SHA384,), in_one_list.schemes)
    apart = Offers(S.ECDSA_SECP384R1_SHA384, tls12=(S.ECDSA_SECP256R1_SHA256,))
    assert schemes_for(apart, p384) == ((S.ECDSA_SECP384R1_SHA384,), (S.ECDSA_SECP256R1_SHA256,))


def test_schemes_of_a_signer_are_read_once() -> None:
    signer = Offers(PSS[0])
    credential = Credential([certificate("rsa-2048")], signer)
    signer.schemes = (PSS[1],)
    assert credential.scheme_for(PSS, TLS13) is PSS[0]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024), "is RSA of 1024 bits; TLS takes 2048"),
        (ed448.Ed448PrivateKey.generate, "is of a kind .Ed448PublicKey. that no signature scheme of TLS 1.3 takes"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "that no signature scheme of TLS 1.3 takes"),
        (lambda: dsa.generate_private_key(key_size=1024), "that no signature scheme of TLS 1.3 takes"),
    ],
    ids=["RSA-1024", "Ed448", "secp256k1", "DSA"],
)
def test_certificate_for_a_key_that_no_scheme_takes_is_refused(key: Any, said: str) -> None:
    """Also where the key itself is out of sight."""
    issued = leaf(authority(days=(-1, 36500)), key=key(), days=(-1, 36500))
    with pytest.raises(ConfigError, match=said):
        Credential([issued.certificate], Offers(S.RSA_PSS_RSAE_SHA256))


def test_certificate_marked_for_rsa_pss_alone_takes_the_schemes_made_for_it() -> None:
    """RFC 9846 4.3.3: rsa_pss_pss goes with id-RSASSA-PSS, and rsa_pss_rsae with rsaEncryption."""
    issued = client_identity("rsa-2048")
    marked = Certificate.from_der(marked_for_pss(issued.certificate))
    pss_only = (S.RSA_PSS_PSS_SHA256, S.RSA_PSS_PSS_SHA384, S.RSA_PSS_PSS_SHA512)
    assert schemes_of_leaf(marked) == (pss_only, pss_only)
    assert Credential([marked], Offers(S.RSA_PSS_PSS_SHA256)).signs_with_rsa
    with pytest.raises(ConfigError, match="it is for rsa_pss_pss_sha256, rsa_pss_pss_sha384"):
        Credential([marked], Offers(*PSS))
    with pytest.raises(ConfigError, match=r"CN=alice says that its RSA key is for RSASSA-PSS alone.*: issue it anew"):
        Credential([marked], issued.key)


def test_certificate_whose_key_cannot_be_read_is_refused() -> None:
    der = client_identity("rsa-2048").certificate.public_bytes(Encoding.DER)
    unknown = der.replace(bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d010163"))
    with pytest.raises(ConfigError, match="the key of CN=alice is malformed, or of a kind that is not supported"):
        Credential([unknown], Offers(S.RSA_PSS_RSAE_SHA256))
