"""Whether a credential goes with what a peer asks for, and in which words it does not."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from tests.support.identities import client_identity, client_intermediate, client_root, server_root
from tests.trust.issuing import Issued, authority, leaf
from trustls.errors import ConfigError
from trustls.identity.credential import Credential
from trustls.identity.misfit import MisfitCause
from trustls.identity.request import CredentialRequest
from trustls.wire.enums import ClientCertificateType, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName

S, G, Type = SignatureScheme, NamedGroup, ClientCertificateType
TLS12, TLS13 = ProtocolVersion.TLS1_2, ProtocolVersion.TLS1_3
LONG = (-3650, 36500)
EVERYTHING = tuple(SignatureScheme)
ROOT, INTERMEDIATE = client_root().certificate, client_intermediate().certificate
STRANGE = server_root().certificate


def name(certificate: x509.Certificate) -> DistinguishedName:
    return DistinguishedName(certificate.subject.public_bytes())


def request(
    *authorities: x509.Certificate,
    version: ProtocolVersion = TLS13,
    schemes: tuple[SignatureScheme, ...] = EVERYTHING,
    in_certificates: tuple[SignatureScheme, ...] = EVERYTHING,
    types: tuple[ClientCertificateType, ...] = (),
    groups: tuple[NamedGroup, ...] = (),
    from_client: bool = False,
) -> CredentialRequest:
    return CredentialRequest(
        version=version,
        authorities=tuple(map(name, authorities)),
        signature_schemes=schemes,
        signature_schemes_cert=in_certificates,
        certificate_types=types,
        groups=groups,
        from_client=from_client,
    )


@functools.cache
def alice(key_type: str = "ec-p256", **marks: Any) -> Credential:
    identity = client_identity(key_type)
    return Credential(identity.chain, identity.key, **marks)


def check(credential: Credential, asked: CredentialRequest, cause: MisfitCause, reason: str, *, hard: bool) -> None:
    misfit = credential.misfit(asked)
    assert misfit is not None, "it fits"
    assert (misfit.cause, str(misfit), misfit.hard) == (cause, reason, hard)
    assert credential.fits(asked) == reason
    assert credential.misfits(asked)[0] == misfit


# -- Signature schemes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=str)
@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048"])
def test_credential_fits_who_accepts_everything(key_type: str, version: ProtocolVersion) -> None:
    assert alice(key_type).fits(request(version=version)) is None
    assert alice(key_type).misfits(request(version=version)) == ()


def test_scheme_of_the_key_must_be_accepted() -> None:
    reason = (
        "its key signs with ecdsa_secp384r1_sha384, and the peer accepts ed25519, ecdsa_secp256r1_sha256 in TLSv1.3"
    )
    asked = request(schemes=(S.ED25519, S.ECDSA_SECP256R1_SHA256))
    check(alice("ec-p384"), asked, MisfitCause.SIGNATURE_SCHEME, reason, hard=True)


def test_ecdsa_scheme_goes_with_any_curve_in_tls12() -> None:
    for key_type in ("ec-p256", "ec-p384", "ec-p521"):
        assert alice(key_type).fits(request(version=TLS12, schemes=(S.ECDSA_SECP256R1_SHA256,))) is None
        only = (S.ECDSA_SECP521R1_SHA512,)
        assert (alice(key_type).fits(request(schemes=only)) is None) == (key_type == "ec-p521")


def test_key_that_signs_with_nothing_in_a_version_says_so() -> None:
    reason = alice("ml-dsa-65").fits(request(version=TLS12, schemes=(S.ED25519,)))
    assert reason == "no signature scheme of TLSv1.2 is for a key like its own"
    reason = alice("rsa-2048").fits(request(schemes=(S.RSA_PKCS1_SHA256,)))
    assert reason is not None
    assert reason.endswith("rsa_pss_rsae_sha512, and the peer accepts rsa_pkcs1_sha256 in TLSv1.3")


def test_peer_that_accepts_thousands_of_schemes_gets_no_endless_sentence() -> None:
    reason = alice().fits(request(schemes=tuple(S(0xE000 + number) for number in range(4000))))
    assert reason is not None
    assert reason.endswith("0xe00e, 0xe00f and 3984 more in TLSv1.3"), reason


# -- TLS 1.2: certificate types and curves ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_type", "fitting", "other"),
    [
        ("rsa-2048", Type.RSA_SIGN, Type.ECDSA_SIGN),
        ("ec-p256", Type.ECDSA_SIGN, Type.RSA_SIGN),
        ("ed25519", Type.ECDSA_SIGN, Type.RSA_SIGN),
    ],
)
def test_certificate_type_of_tls12_is_that_of_the_key(
    key_type: str, fitting: ClientCertificateType, other: ClientCertificateType
) -> None:
    """RFC 5246 7.4.4, RFC 8422 5.5: Ed25519 counts as ecdsa_sign."""
    credential = alice(key_type)
    assert credential.fits(request(version=TLS12, types=(other, fitting))) is None
    reason = f"it is of type {fitting}, and the peer accepts {other}, {Type(66)}"
    asked = request(version=TLS12, types=(other, Type(66)))
    check(credential, asked, MisfitCause.CERTIFICATE_TYPE, reason, hard=True)


def test_curve_must_be_one_of_the_clients_groups_in_tls12() -> None:
    """RFC 8422 5.1. TLS 1.3 has the curve in the scheme, and its groups are for key exchange alone."""
    asked = request(version=TLS12, groups=(G.X25519, G.SECP384R1), from_client=True)
    reason = "its key is on the curve secp256r1, and the peer supports x25519, secp384r1 in TLSv1.2"
    check(alice("ec-p256"), asked, MisfitCause.CURVE, reason, hard=True)
    assert alice("ec-p384").fits(asked) is None
    assert alice("ed25519").fits(asked) is None, "Ed25519 goes by its scheme"
    assert alice("rsa-2048").fits(asked) is None
    assert alice("ec-p256").fits(dataclasses.replace(asked, version=TLS13)) is None
    assert alice("ec-p256").fits(dataclasses.replace(asked, groups=())) is None, "who does not say takes any"


def test_long_list_of_groups_is_cut() -> None:
    reason = alice().fits(request(version=TLS12, groups=tuple(G(0xE000 + number) for number in range(99))))
    assert reason is not None
    assert reason.endswith("0xe00f and 83 more in TLSv1.2"), reason


# -- Authorities ------------------------------------------------------------------------------------------------------

NOT_NAMED = (
    "it was issued by CN=K-Dot Issuing and CN=K-Dot Certificate Authority,O=TDE,C=US, which is not among the "
    "authorities that the peer named"
)


@pytest.mark.parametrize("named", [(), (ROOT,), (INTERMEDIATE,), (STRANGE, ROOT)], ids=["none", "root", "int.", "two"])
def test_any_issuer_of_the_chain_may_be_the_one_that_is_named(named: tuple[x509.Certificate, ...]) -> None:
    assert alice().fits(request(*named)) is None
    assert alice().matches_issuer(request(*named))


def test_names_are_compared_by_their_bytes() -> None:
    """The same text in another string type is another name (RFC 5280 would have it equal; peers compare bytes)."""
    same_text = x509.Name(
        [x509.NameAttribute(item.oid, item.value, _type=x509.name._ASN1Type.T61String) for item in INTERMEDIATE.subject]
    )
    asked = dataclasses.replace(request(), authorities=(DistinguishedName(same_text.public_bytes()),))
    assert str(asked.authorities[0]) == "CN=K-Dot Issuing"
    assert alice().fits(asked) is not None


def test_leaf_without_its_intermediate_fits_the_intermediate_alone() -> None:
    alone = Credential(client_identity().chain[:1], client_identity().key)
    assert alone.fits(request(INTERMEDIATE)) is None
    assert alone.fits(request(ROOT)) is not None, "nothing here shows that its issuer is under this root"


def test_server_that_names_other_authorities_is_not_shown_the_credential() -> None:
    check(alice(), request(STRANGE), MisfitCause.ISSUER, NOT_NAMED, hard=True)
    assert not alice().matches_issuer(request(STRANGE))


def test_client_that_names_other_authorities_only_prefers_another() -> None:
    check(alice(), request(STRANGE, from_client=True), MisfitCause.ISSUER, NOT_NAMED, hard=False)


@pytest.mark.parametrize("from_client", [False, True])
def test_fallback_fits_whatever_is_named(from_client: bool) -> None:
    credential = alice(fallback=True)
    asked = request(STRANGE, from_client=from_client)
    assert credential.fits(asked) is None
    assert not credential.matches_issuer(asked), "it fits, and does not match"
    assert credential.fits(request(schemes=(S.ED25519,))) is not None, "it cannot sign"


@pytest.mark.parametrize("from_client", [False, True])
def test_must_match_issuer_is_for_peers_that_name_one(from_client: bool) -> None:
    """BoringSSL's SSL_CREDENTIAL_set_must_match_issuer."""
    credential = alice(must_match_issuer=True)
    assert credential.fits(request(ROOT, from_client=from_client)) is None
    check(credential, request(STRANGE, from_client=from_client), MisfitCause.ISSUER, NOT_NAMED, hard=True)
    reason = "it is for peers only that name its issuer (must_match_issuer), and this one named no authorities"
    check(credential, request(from_client=from_client), MisfitCause.ISSUER_NOT_NAMED, reason, hard=True)


def test_credential_is_not_both_a_fallback_and_for_its_issuer_alone() -> None:
    identity = client_identity()
    with pytest.raises(ConfigError, match="a credential has one of the two"):
        Credential(identity.chain, identity.key, fallback=True, must_match_issuer=True)


# -- Signatures on the certificates -----------------------------------------------------------------------------------

_P256, _P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()


def pss(digest: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def signed_by(key: Any, digest: hashes.HashAlgorithm | None, *, rsa_pss: bool = False) -> Credential:
    """A credential whose leaf carries such a signature; the root is there and carries it too."""
    options: dict[str, Any] = {
        "digest": digest,
        "rsa_padding": pss(digest) if rsa_pss and digest else None,
        "days": LONG,
    }
    root = authority("CN=Root", key=key, **options)
    return made(leaf(root, **options), root)


def made(*chain: Issued) -> Credential:
    return Credential([issued.x509 for issued in chain], chain[0].key)


@pytest.mark.parametrize(
    ("key", "digest", "rsa_pss", "schemes", "text"),
    [
        (_P256, SHA256, False, [S.ECDSA_SECP256R1_SHA256], "ECDSA with SHA-256"),
        (_P384, SHA256, False, [S.ECDSA_SECP256R1_SHA256], "ECDSA with SHA-256"),
        (_P384, SHA384, False, [S.ECDSA_SECP384R1_SHA384], "ECDSA with SHA-384"),
        (_P256, SHA512, False, [S.ECDSA_SECP521R1_SHA512], "ECDSA with SHA-512"),
        (_RSA, SHA256, False, [S.RSA_PKCS1_SHA256], "RSA PKCS#1 with SHA-256"),
        (_RSA, SHA384, False, [S.RSA_PKCS1_SHA384], "RSA PKCS#1 with SHA-384"),
        (_RSA, SHA512, False, [S.RSA_PKCS1_SHA512], "RSA PKCS#1 with SHA-512"),
        (_RSA, SHA256, True, [S.RSA_PSS_RSAE_SHA256, S.RSA_PSS_PSS_SHA256], "RSA-PSS with SHA-256"),
        (_RSA, SHA384, True, [S.RSA_PSS_RSAE_SHA384, S.RSA_PSS_PSS_SHA384], "RSA-PSS with SHA-384"),
        (_RSA, SHA512, True, [S.RSA_PSS_RSAE_SHA512, S.RSA_PSS_PSS_SHA512], "RSA-PSS with SHA-512"),
        (ed25519.Ed25519PrivateKey.generate(), None, False, [S.ED25519], "Ed25519"),
        (mldsa.MLDSA44PrivateKey.generate(), None, False, [S.MLDSA44], "ML-DSA-44"),
        (mldsa.MLDSA65PrivateKey.generate(), None, False, [S.MLDSA65], "ML-DSA-65"),
        (mldsa.MLDSA87PrivateKey.generate(), None, False, [S.MLDSA87], "ML-DSA-87"),
        (_P256, hashes.SHA224(), False, [], "ECDSA with SHA-224"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_signature_of_every_certificate_sent_should_be_accepted(
    key: Any, digest: hashes.HashAlgorithm | None, rsa_pss: bool, schemes: list[SignatureScheme], text: str
) -> None:
    credential = signed_by(key, digest, rsa_pss=rsa_pss)
    for scheme in schemes:
        assert credential.fits(request(in_certificates=(scheme,))) is None
    misfit = credential.misfit(request(in_certificates=tuple(set(EVERYTHING) - set(schemes))))
    assert misfit is not None
    assert misfit.cause is MisfitCause.CERTIFICATE_SIGNATURE
    assert not misfit.hard, "RFC 9846 4.5.1.2: better a chain that the peer may not know than none"
    assert str(misfit).startswith(f"CN=alice is signed with {text}, and the peer accepts ")
    assert str(misfit).endswith(" more in certificates")


def test_sha1_in_a_certificate_is_for_who_still_accepts_it() -> None:
    """No certificate is made with SHA-1 here any more, so one gets its name."""
    issued = leaf(authority(days=LONG), days=LONG)
    ecdsa_sha256, ecdsa_sha1 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d0401")
    der = issued.certificate.der
    assert der.count(ecdsa_sha256) == 2
    old = der.replace(b"\x30\x0a" + ecdsa_sha256, b"\x30\x09" + ecdsa_sha1)
    whole, tbs = len(der) - 4 - 2, int.from_bytes(der[6:8], "big") - 1
    old = b"\x30\x82" + whole.to_bytes(2, "big") + b"\x30\x82" + tbs.to_bytes(2, "big") + old[8:]
    credential = Credential([old], issued.key)
    assert credential.fits(request(in_certificates=(S.ECDSA_SHA1,))) is None
    misfit = credential.misfit(request(in_certificates=(S.ECDSA_SECP256R1_SHA256,)))
    assert str(misfit).startswith("CN=alice is signed with ECDSA with SHA-1")


def test_signature_on_a_root_does_not_count_and_those_between_do() -> None:
    """RFC 9846 4.5.1.2: what signed itself is not validated as part of the chain."""
    root = authority("CN=Root", key=_RSA, days=LONG)
    middle = authority("CN=Middle", root, days=LONG)
    chain = (leaf(middle, days=LONG), middle, root)
    pkcs1, ecdsa = S.RSA_PKCS1_SHA256, S.ECDSA_SECP256R1_SHA256
    assert made(*chain).fits(request(in_certificates=(pkcs1, ecdsa))) is None
    reason = made(*chain).fits(request(in_certificates=(ecdsa,)))
    assert reason == (
        "CN=Middle is signed with RSA PKCS#1 with SHA-256, and the peer accepts ecdsa_secp256r1_sha256 in certificates"
    )
    assert made(*chain[:1]).fits(request(in_certificates=(ecdsa,))) is None, "the intermediate is not sent"
    assert made(root).fits(request(in_certificates=(S.ED25519,))) is None, "it signed itself"
    assert made(*chain[:1]).fits(request(in_certificates=())) is not None


# -- Several at once --------------------------------------------------------------------------------------------------


def test_all_reasons_are_given_hard_ones_first() -> None:
    asked = request(
        STRANGE,
        version=TLS12,
        schemes=(S.ED25519,),
        in_certificates=(S.ED25519,),
        types=(Type.RSA_SIGN,),
        groups=(G.X25519,),
        from_client=True,
    )
    misfits = alice().misfits(asked)
    assert [(misfit.cause, misfit.hard) for misfit in misfits] == [
        (MisfitCause.SIGNATURE_SCHEME, True),
        (MisfitCause.CERTIFICATE_TYPE, True),
        (MisfitCause.CURVE, True),
        (MisfitCause.ISSUER, False),
        (MisfitCause.CERTIFICATE_SIGNATURE, False),
    ]
    assert alice().misfit(asked) == misfits[0]


def test_changed_copy_keeps_the_rest() -> None:
    changed = dataclasses.replace(alice(), fallback=True)
    assert changed.chain == alice().chain
    assert changed.fits(request(STRANGE)) is None
    assert changed != alice()
    assert dataclasses.replace(changed, fallback=False) == alice()
    assert hash(dataclasses.replace(changed, fallback=False)) == hash(alice())
