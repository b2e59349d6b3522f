"""Which credential a client presents, and which a server does."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import (
    client_credential,
    client_identity,
    client_root,
    server_credential,
    server_root,
    strange_credential,
    strange_root,
)
from tests.trust.issuing import authority, dns, leaf, raw
from trustls.errors import AlertDescription, ConfigError, Incompatibility, PeerIncompatible
from trustls.identity.credential import Credential, CredentialWarning
from trustls.identity.request import CredentialRequest
from trustls.identity.selection import (
    OfferedHello,
    chosen_for_server,
    current_credentials,
    explain,
    first_that_fits,
)
from trustls.trust.certificate import Certificate
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName

S = SignatureScheme
ECDSA, ED25519 = S.ECDSA_SECP256R1_SHA256, S.ED25519
EVERYTHING = tuple(SignatureScheme)
TLS12, TLS13 = ProtocolVersion.TLS1_2, ProtocolVersion.TLS1_3
ROOT = Certificate.from_x509(client_root().certificate)
STRANGE_ROOT = Certificate.from_x509(strange_root().certificate)
SERVER_ROOT = Certificate.from_x509(server_root().certificate)
LONG = (-3650, 36500)


def request(
    *schemes: SignatureScheme,
    authorities: tuple[DistinguishedName, ...] = (ROOT.subject,),
    in_certificates: tuple[SignatureScheme, ...] | None = None,
) -> CredentialRequest:
    return CredentialRequest(
        version=TLS13,
        authorities=authorities,
        signature_schemes=schemes or EVERYTHING,
        signature_schemes_cert=in_certificates or schemes or EVERYTHING,
    )


def changed(credential: Credential, **marks: Any) -> Credential:
    return dataclasses.replace(credential, **marks)


@functools.cache
def expired(name: str = "localhost") -> Credential:
    """For a server, expired three weeks before the time that the issuer of the tests goes by."""
    issued = leaf(authority("CN=Root", days=LONG), f"CN={name}", names=dns(name), days=(-30, -20))
    with pytest.warns(CredentialWarning):
        return Credential([issued.x509], issued.key)


# -- Clients ----------------------------------------------------------------------------------------------------------

ALICE, BOB, MALLORY = client_credential("ec-p256", "alice"), client_credential("ed25519", "bob"), strange_credential()


@pytest.mark.parametrize(
    ("held", "schemes", "chosen"),
    [
        ((ALICE, BOB), (ECDSA, ED25519), ALICE),
        ((BOB, ALICE), (ECDSA, ED25519), BOB),
        ((ALICE, BOB), (ED25519, ECDSA), ALICE),
        ((MALLORY, BOB), (ECDSA, ED25519), BOB),
        ((MALLORY,), (ECDSA, ED25519), None),
        ((ALICE,), (S.RSA_PSS_RSAE_SHA256,), None),
        ((), (ECDSA,), None),
    ],
    ids=["first", "our order counts", "not the peer's", "by authority", "none by authority", "none by scheme", "none"],
)
def test_client_chooses_the_first_credential_that_fits(
    held: tuple[Credential, ...], schemes: tuple[SignatureScheme, ...], chosen: Credential | None
) -> None:
    assert first_that_fits(request(*schemes), held) is chosen


def test_client_chooses_by_scheme() -> None:
    assert first_that_fits(request(ED25519, in_certificates=EVERYTHING), (ALICE, BOB)) is BOB


def test_client_takes_a_fallback_only_where_nothing_matches() -> None:
    fallback = changed(MALLORY, fallback=True)
    for held in ((fallback, ALICE), (ALICE, fallback)):
        assert first_that_fits(request(), held) is ALICE, "one that matches the authorities goes first"
        assert first_that_fits(request(authorities=(SERVER_ROOT.subject,)), held) is fallback
        assert first_that_fits(request(authorities=()), held) is held[0], "whoever names none takes any"


def test_client_keeps_what_must_match_for_servers_that_name_its_issuer() -> None:
    reserved = changed(ALICE, must_match_issuer=True)
    assert first_that_fits(request(), (reserved, BOB)) is reserved
    assert first_that_fits(request(authorities=()), (reserved, BOB)) is BOB
    assert first_that_fits(request(authorities=(STRANGE_ROOT.subject,)), (reserved, MALLORY)) is MALLORY
    assert first_that_fits(request(authorities=()), (reserved,)) is None


def test_client_prefers_a_chain_whose_signatures_the_server_accepts_but_does_not_insist() -> None:
    """RFC 9846 4.5.1.3 with 4.3.3: what else it would present is nothing."""
    root = authority("CN=Root", key=client_identity("rsa-2048").key, days=LONG)
    rsa_signed = leaf(root, "CN=carol", days=LONG)
    carol = Credential([rsa_signed.x509], rsa_signed.key)
    asked = request(authorities=(), in_certificates=(ECDSA,))
    assert first_that_fits(asked, (carol, ALICE)) is ALICE
    assert first_that_fits(asked, (carol,)) is carol
    assert explain(asked, (carol, ALICE))[0][0] is carol


def test_client_prefers_a_matching_issuer_to_acceptable_signatures() -> None:
    fallback = changed(client_credential("rsa-2048", "carol"), fallback=True)
    asked = request(authorities=(STRANGE_ROOT.subject,), in_certificates=(ED25519,))
    assert first_that_fits(asked, (fallback, MALLORY)) is MALLORY


def test_client_prefers_a_credential_that_is_valid() -> None:
    valid = server_credential()
    old = expired()
    asked = request(authorities=())
    now = float(valid.certificate.not_before + 1)
    assert first_that_fits(asked, (old, valid), now=now) is valid
    assert first_that_fits(asked, (old,), now=now) is old, "the server says what it thinks of it"
    assert first_that_fits(asked, (old, valid)) is old, "without the time nobody looks"
    assert first_that_fits(asked, (old, valid), now=float(old.certificate.not_after)) is old, "both sides of a renewal"


def test_client_can_say_why_it_passed_over_each() -> None:
    asked = request(ED25519, in_certificates=EVERYTHING)
    assert first_that_fits(asked, (MALLORY, ALICE, BOB)) is BOB
    (mallory, mallorys), (alice, alices) = explain(asked, (MALLORY, ALICE, BOB))
    assert mallory is MALLORY
    assert mallorys.startswith("its key signs with ecdsa_secp256r1_sha256"), mallorys
    assert alice is ALICE
    assert alices.startswith("its key signs with ecdsa_secp256r1_sha256"), alices
    assert explain(request(), (ALICE, BOB)) == ()


# -- Servers ----------------------------------------------------------------------------------------------------------

LOCALHOST, WWW, WILD = (
    server_credential("ec-p256", "localhost"),
    server_credential("ec-p256", "www.example.com"),
    server_credential("ed25519", "*.example.com"),
)
SERVER = (LOCALHOST, WWW, WILD)


def hello(name: str | None = "localhost", **changes: Any) -> OfferedHello:
    return OfferedHello(**{"version": TLS13, "server_name": name, "signature_schemes": EVERYTHING, **changes})


def chosen(hello: OfferedHello, *credentials: Credential, now: float | None = None) -> Credential:
    return chosen_for_server(hello.request, hello.server_name, credentials, now=now)


@pytest.mark.parametrize("version", [TLS13, TLS12], ids=str)
@pytest.mark.parametrize(
    ("name", "schemes", "expected"),
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
    version: ProtocolVersion, name: str | None, schemes: tuple[SignatureScheme, ...], expected: Credential
) -> None:
    offered = hello(name, version=version, signature_schemes=schemes)
    assert chosen(offered, *SERVER) is expected


def of(root: Any, *names: str, **marks: Any) -> Credential:
    issued = root.issue_server(*names)
    return Credential(issued.chain, issued.key, **marks)


PUBLIC, OURS = server_root(), client_root()
PUBLIC_WWW, OURS_WWW = of(PUBLIC, "www.example.com"), of(OURS, "www.example.com")
OURS_NAME = (ROOT.subject,)


def test_server_presents_what_an_authority_of_the_client_issued() -> None:
    for held in itertools.permutations([PUBLIC_WWW, OURS_WWW]):
        assert chosen(hello("www.example.com", authorities=OURS_NAME), *held) is OURS_WWW
        assert chosen(hello(None, authorities=OURS_NAME), *held) is OURS_WWW
        assert chosen(hello("www.example.com"), *held) is held[0], "who names none gets the first"
        unknown = hello("www.example.com", authorities=(STRANGE_ROOT.subject,))
        assert chosen(unknown, *held) is held[0], "a preference is no condition (RFC 9846 4.3.4)"


def test_name_outweighs_the_issuer() -> None:
    for held in itertools.permutations([WWW, of(OURS, "api.example.com")]):
        assert chosen(hello("www.example.com", authorities=OURS_NAME), *held) is WWW


def test_credential_that_must_match_is_for_clients_that_name_its_issuer() -> None:
    reserved = of(OURS, "www.example.com", must_match_issuer=True)
    held = (reserved, PUBLIC_WWW)
    assert chosen(hello("www.example.com", authorities=OURS_NAME), *held) is reserved
    assert chosen(hello("www.example.com"), *held) is PUBLIC_WWW
    assert chosen(hello("www.example.com", authorities=(STRANGE_ROOT.subject,)), *held) is PUBLIC_WWW
    assert chosen(hello("www.example.com"), reserved, LOCALHOST) is LOCALHOST, "rather another name than that one"


def test_expired_credential_loses_against_a_valid_one_of_the_same_name() -> None:
    now = float(LOCALHOST.certificate.not_before + 1)
    old = expired("localhost")
    for held in itertools.permutations([old, LOCALHOST, WWW]):
        assert chosen(hello("localhost"), *held, now=now) is LOCALHOST
    assert chosen(hello("localhost"), old, WWW, now=now) is old, "the name outweighs the time"
    assert chosen(hello("localhost"), old, LOCALHOST) is old, "without the time nobody looks"
    by_issuer = hello("localhost", authorities=(old.certificate.issuer,))
    assert chosen(by_issuer, old, LOCALHOST, now=now) is LOCALHOST, "the time outweighs the issuer"


def test_chain_whose_signatures_the_client_accepts_is_preferred() -> None:
    root = authority("CN=Root", key=client_identity("rsa-2048").key, days=LONG)
    issued = leaf(root, "CN=localhost", names=dns("localhost"), days=LONG)
    rsa_signed = Credential([issued.x509], issued.key)
    modern = hello("localhost", signature_schemes_cert=(ECDSA,))
    for held in itertools.permutations([rsa_signed, LOCALHOST]):
        assert chosen(modern, *held) is LOCALHOST
        assert chosen(hello("localhost"), *held) is held[0]
    assert chosen(modern, rsa_signed) is rsa_signed, "RFC 9846 4.5.1.2: better than none"
    by_issuer = hello("localhost", signature_schemes_cert=(ECDSA,), authorities=(rsa_signed.certificate.issuer,))
    assert chosen(by_issuer, LOCALHOST, rsa_signed) is rsa_signed, "the issuer outweighs the signatures"


def test_curve_of_the_certificate_is_one_that_a_tls12_client_supports() -> None:
    """RFC 8422 5.1."""
    p384 = server_credential("ec-p384", "localhost")
    groups = (NamedGroup.X25519, NamedGroup.SECP384R1)
    assert chosen(hello(version=TLS12, groups=groups), LOCALHOST, p384) is p384
    assert chosen(hello(version=TLS13, groups=groups), LOCALHOST, p384) is LOCALHOST


@COMPARES_BYTES
@given(
    st.lists(st.sampled_from([LOCALHOST, WWW, WILD, PUBLIC_WWW, OURS_WWW, expired()]), min_size=1, max_size=6),
    st.sampled_from([None, "localhost", "www.example.com", "api.example.com", "other.example"]),
    st.sampled_from([(), OURS_NAME, (STRANGE_ROOT.subject,)]),
)
def test_nothing_better_is_ever_passed_over(
    held: list[Credential], name: str | None, authorities: tuple[DistinguishedName, ...]
) -> None:
    now = float(LOCALHOST.certificate.not_before + 1)
    offered = hello(name, authorities=authorities)
    best = chosen(offered, *held, now=now)
    assert best in held
    for other in held:
        assert chosen(offered, best, other, now=now) is best or best == other, "one alone beats what was chosen"


# -- Servers without anything that fits -------------------------------------------------------------------------------


def refused(offered: OfferedHello, *held: Credential) -> PeerIncompatible:
    with pytest.raises(PeerIncompatible) as failure:
        chosen(offered, *held)
    assert failure.value.alert is AlertDescription.HANDSHAKE_FAILURE
    return failure.value


def test_server_that_cannot_sign_for_a_client_says_what_that_verifies() -> None:
    error = refused(hello(signature_schemes=(S.RSA_PSS_RSAE_SHA256, S(0x0A0A))), *SERVER)
    assert error.reason is Incompatibility.NO_COMMON_SCHEME
    assert error.detail.startswith("the client verifies rsa_pss_rsae_sha256, 0x0a0a; CN=localhost: its key signs with ")
    assert "CN=*.example.com: its key signs with ed25519, and the peer accepts" in error.detail
    assert refused(hello(signature_schemes=()), LOCALHOST).detail.startswith("the client verifies nothing")
    assert refused(hello()).reason is Incompatibility.NO_COMMON_SCHEME, "a server without credentials"


def test_server_says_of_each_credential_why_it_is_not_for_this_client() -> None:
    reserved = changed(WWW, must_match_issuer=True)
    error = refused(hello(signature_schemes=(ECDSA,)), WILD, reserved)
    assert error.reason is Incompatibility.NO_FITTING_CREDENTIAL
    assert error.detail == (
        "CN=*.example.com: its key signs with ed25519, and the peer accepts ecdsa_secp256r1_sha256 in TLSv1.3; "
        "CN=www.example.com: it is for peers only that name its issuer (must_match_issuer), and this one named no "
        "authorities"
    )
    curve = refused(hello(version=TLS12, groups=(NamedGroup.X25519,)), LOCALHOST)
    assert curve.reason is Incompatibility.NO_FITTING_CREDENTIAL
    assert "its key is on the curve secp256r1" in curve.detail


def test_server_with_many_credentials_does_not_list_them_all() -> None:
    error = refused(hello(signature_schemes=(S.RSA_PSS_RSAE_SHA256,)), *[LOCALHOST] * 50)
    assert error.detail.endswith("; and 42 more")


def test_server_signs_with_pkcs1_in_tls12_alone() -> None:
    held = server_credential("rsa-2048")
    assert chosen(hello(version=TLS12, signature_schemes=(S.RSA_PKCS1_SHA256,)), held) is held
    assert "the client verifies rsa_pkcs1_sha256" in str(refused(hello(signature_schemes=(S.RSA_PKCS1_SHA256,)), held))


def test_request_that_does_not_say_so_is_a_clients_here() -> None:
    plain = dataclasses.replace(hello(authorities=OURS_NAME).request, from_client=False)
    assert chosen_for_server(plain, None, [WWW]) is WWW, "a client's authorities are a preference"


def test_subject_alternative_name_that_cannot_be_read_matches_nothing() -> None:
    broken = raw("2.5.29.17", bytes.fromhex("300382055a"))
    issued = leaf(authority(days=LONG), "CN=odd", extra=[(broken, False)], days=LONG)
    odd = Credential([issued.x509], issued.key)
    assert chosen(hello("localhost"), odd, LOCALHOST) is LOCALHOST
    assert chosen(hello("localhost"), odd) is odd


# -- What a server shows a callback, and sources ----------------------------------------------------------------------


def test_offered_hello_tells_all_that_a_choice_may_go_by() -> None:
    offered = OfferedHello(
        TLS12,
        "localhost",
        (ECDSA,),
        (S.RSA_PKCS1_SHA256,),
        (NamedGroup.SECP256R1,),
        OURS_NAME,
        (CipherSuite.TLS_AES_128_GCM_SHA256,),
        ("h2",),
    )
    assert offered.request == CredentialRequest(
        version=TLS12,
        authorities=OURS_NAME,
        signature_schemes=(ECDSA,),
        signature_schemes_cert=(S.RSA_PKCS1_SHA256,),
        groups=(NamedGroup.SECP256R1,),
        from_client=True,
    )
    short = OfferedHello(TLS13, None, (ECDSA,))
    assert short.request.signature_schemes_cert == (ECDSA,), "the same unless the client said otherwise"


class Source:
    """Like `Reloading`: what it has may be another tomorrow."""

    def __init__(self, current: Any) -> None:
        self.current = current


def test_sources_give_their_credentials_of_the_moment() -> None:
    source = Source(ALICE)
    assert current_credentials([BOB, source]) == (BOB, ALICE)
    source.current = MALLORY
    assert current_credentials([BOB, source]) == (BOB, MALLORY)
    assert current_credentials(()) == ()
    unfit: tuple[Any, ...] = (Source("alice.pem"), "alice.pem")
    for bad in unfit:
        with pytest.raises(ConfigError, match=r"`credentials` takes Credentials, or objects whose .*, not str"):
            current_credentials([ALICE, bad])
