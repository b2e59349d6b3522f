from __future__ import annotations

import functools
import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa, x25519

from tests.trust.issuing import rsa_key_with_exponent_of
from trustls.crypto.signatures import (
    PKCS1_SCHEMES,
    TLS13_SCHEMES,
    BadSignature,
    PrivateKey,
    WrongKey,
    schemes_of_private_key,
    sign,
    verify,
)
from trustls.errors import ConfigError
from trustls.identity.signer import KeySigner
from trustls.wire.enums import SignatureScheme

MESSAGE = b"what was said"
S = SignatureScheme

PKCS1 = (S.RSA_PKCS1_SHA256, S.RSA_PKCS1_SHA384, S.RSA_PKCS1_SHA512)
# PSS first: PKCS#1 v1.5 is for TLS 1.2, and there for peers that know nothing better.
RSA_SCHEMES = (S.RSA_PSS_RSAE_SHA256, S.RSA_PSS_RSAE_SHA384, S.RSA_PSS_RSAE_SHA512, *PKCS1)
SCHEMES_OF = {
    "P-256": (S.ECDSA_SECP256R1_SHA256,),
    "P-384": (S.ECDSA_SECP384R1_SHA384,),
    "P-521": (S.ECDSA_SECP521R1_SHA512,),
    "Ed25519": (S.ED25519,),
    "RSA-2048": RSA_SCHEMES,
    "ML-DSA-44": (S.MLDSA44,),
    "ML-DSA-65": (S.MLDSA65,),
    "ML-DSA-87": (S.MLDSA87,),
}
EVERY_SCHEME = [(key, scheme) for key, schemes in SCHEMES_OF.items() for scheme in schemes]


@functools.cache
def key(name: str) -> PrivateKey:
    match name:
        case "P-256" | "P-384" | "P-521":
            return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}.get(name, ec.SECP521R1()))
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "RSA-2048":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ML-DSA-44":
            return mldsa.MLDSA44PrivateKey.generate()
        case "ML-DSA-65":
            return mldsa.MLDSA65PrivateKey.generate()
        case "ML-DSA-87":
            return mldsa.MLDSA87PrivateKey.generate()
        case "RSA-1024":
            return rsa.generate_private_key(public_exponent=65537, key_size=1024)
        case "secp256k1":
            return ec.generate_private_key(ec.SECP256K1())
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
        case "X25519":
            return x25519.X25519PrivateKey.generate()
        case "DSA":
            return dsa.generate_private_key(2048)
    raise AssertionError(name)


@pytest.mark.parametrize(("name", "scheme"), EVERY_SCHEME, ids=repr)
def test_signature_verifies_for_its_message_alone(name: str, scheme: SignatureScheme) -> None:
    signature = sign(key(name), scheme, MESSAGE)
    public = key(name).public_key()
    verify(public, scheme, signature, MESSAGE)
    with pytest.raises(BadSignature, match=scheme.iana):
        verify(public, scheme, signature, MESSAGE + b"!")
    for wrong in (signature[:-1] + bytes([signature[-1] ^ 1]), signature[:-1], signature + b"\0", b""):
        with pytest.raises(BadSignature):
            verify(public, scheme, wrong, MESSAGE)


def test_every_scheme_that_is_offered_can_be_made_and_checked() -> None:
    assert {scheme for _, scheme in EVERY_SCHEME} == {*TLS13_SCHEMES, *PKCS1_SCHEMES}
    assert PKCS1_SCHEMES == PKCS1
    assert not set(TLS13_SCHEMES) & set(PKCS1), "RFC 9846 4.3.3: no TLS 1.3 handshake is signed with PKCS#1 v1.5"


@pytest.mark.parametrize(
    ("name", "scheme"),
    [pair for pair in itertools.product(SCHEMES_OF, TLS13_SCHEMES + PKCS1) if pair[1] not in SCHEMES_OF[pair[0]]],
    ids=repr,
)
def test_scheme_is_for_one_kind_of_key(name: str, scheme: SignatureScheme) -> None:
    """RFC 9846 4.3.3: in TLS 1.3 a scheme fixes the curve too, so ecdsa_secp384r1 is not for a P-256 key."""
    with pytest.raises(WrongKey, match=scheme.iana):
        sign(key(name), scheme, MESSAGE)
    with pytest.raises(WrongKey, match=scheme.iana):
        verify(key(name).public_key(), scheme, b"signature", MESSAGE)


@pytest.mark.parametrize(
    "scheme",
    [S.RSA_PKCS1_SHA1, S.ECDSA_SHA1, S.RSA_PSS_PSS_SHA256, S.ED448, S(0x0A0A)],
    ids=repr,
)
def test_scheme_that_neither_version_signs_with_is_for_no_key(scheme: SignatureScheme) -> None:
    for name in SCHEMES_OF:
        with pytest.raises(WrongKey):
            sign(key(name), scheme, MESSAGE)
        with pytest.raises(WrongKey):
            verify(key(name).public_key(), scheme, b"signature", MESSAGE)


@pytest.mark.parametrize(("name", "schemes"), SCHEMES_OF.items())
def test_key_knows_its_schemes(name: str, schemes: tuple[SignatureScheme, ...]) -> None:
    assert schemes_of_private_key(key(name)) == schemes
    signer = KeySigner(key(name))
    assert signer.schemes == schemes
    verify(key(name).public_key(), schemes[0], signer.sign(schemes[0], MESSAGE), MESSAGE)


@pytest.mark.parametrize("name", ["RSA-1024", "secp256k1", "Ed448", "X25519", "DSA"])
def test_key_without_a_scheme_makes_no_signer(name: str) -> None:
    assert schemes_of_private_key(key(name)) == ()
    with pytest.raises(ConfigError, match=r"has no signature scheme in TLS 1\.3; ECDSA on P-256"):
        KeySigner(key(name))


def test_signature_of_a_short_rsa_key_is_not_believed() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    short = key("RSA-1024")
    assert isinstance(short, rsa.RSAPrivateKey)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    with pytest.raises(WrongKey):
        verify(short.public_key(), S.RSA_PSS_RSAE_SHA256, short.sign(MESSAGE, pss, hashes.SHA256()), MESSAGE)
    pkcs1 = short.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(WrongKey):
        verify(short.public_key(), S.RSA_PKCS1_SHA256, pkcs1, MESSAGE)


@pytest.mark.parametrize("scheme", RSA_SCHEMES)
def test_signature_of_an_rsa_key_with_a_long_exponent_is_not_verified(scheme: SignatureScheme) -> None:
    """It would take up to a hundred times as long, which a client that need not be verified could make a server do."""
    slow = rsa_key_with_exponent_of(34)
    with pytest.raises(WrongKey):
        verify(slow.public_key(), scheme, sign(slow, scheme, MESSAGE), MESSAGE)
    usual = rsa_key_with_exponent_of(33)
    verify(usual.public_key(), scheme, sign(usual, scheme, MESSAGE), MESSAGE)


def test_tls12_reads_an_ecdsa_scheme_as_its_hash_alone() -> None:
    """RFC 8422 5.1.1. Only for who asks for that reading, and only on curves that are supported."""
    from cryptography.hazmat.primitives import hashes

    private = key("P-256")
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = private.sign(MESSAGE, ec.ECDSA(hashes.SHA384()))
    verify(private.public_key(), S.ECDSA_SECP384R1_SHA384, signature, MESSAGE, any_curve=True)
    with pytest.raises(WrongKey):
        verify(private.public_key(), S.ECDSA_SECP384R1_SHA384, signature, MESSAGE)
    with pytest.raises(BadSignature):
        verify(private.public_key(), S.ECDSA_SECP256R1_SHA256, signature, MESSAGE, any_curve=True)
    strange = key("secp256k1")
    assert isinstance(strange, ec.EllipticCurvePrivateKey)
    signature = strange.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(WrongKey):
        verify(strange.public_key(), S.ECDSA_SECP256R1_SHA256, signature, MESSAGE, any_curve=True)
    with pytest.raises(WrongKey):
        verify(key("RSA-2048").public_key(), S.ECDSA_SECP256R1_SHA256, signature, MESSAGE, any_curve=True)


def test_salt_of_rsa_pss_is_as_long_as_the_digest() -> None:
    """RFC 9846 4.3.3. A signature with another salt is well made, and not one of TLS 1.3."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    private = key("RSA-2048")
    assert isinstance(private, rsa.RSAPrivateKey)
    other = private.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), 20), hashes.SHA256())
    with pytest.raises(BadSignature):
        verify(private.public_key(), S.RSA_PSS_RSAE_SHA256, other, MESSAGE)


def test_signer_does_not_print_its_key() -> None:
    assert repr(KeySigner(key("P-256"))) == "<KeySigner ecdsa_secp256r1_sha256>"
