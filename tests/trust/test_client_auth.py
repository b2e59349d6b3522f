from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import pytest
from cryptography import x509

from tests.trust.issuing import NOW, authority, dn, dns, leaf
from trustls.danger import AcceptAnyCertificate
from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.client_auth import ClientAuth, ClientAuthMode
from trustls.trust.hints import JSSE_LIMIT, MAX_ENCODED, Hint, authorities, check_size, encoded_size
from trustls.trust.names import ServerName
from trustls.trust.path import PathLimits
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import (
    ClientVerifier,
    Peer,
    PeerNames,
    RootsClientVerifier,
    RootsServerVerifier,
    ServerVerifier,
)
from trustls.wire.names import DistinguishedName

K_DOT = authority("CN=K-Dot Certificate Authority,O=Example")
OTHER = authority("CN=Other")
STORE = RootCertStore([K_DOT.x509, OTHER.x509])


def names_of(size: int, count: int) -> tuple[DistinguishedName, ...]:
    """`count` different names of `size` bytes each."""
    text = size - 13
    assert 13 <= size <= 120
    made = tuple(
        DistinguishedName(
            bytes([0x30, size - 2, 0x31, size - 4, 0x30, size - 6, 6, 3, 0x55, 4, 3, 0x0C, text])
            + b"%0*d" % (text, number)
        )
        for number in range(count)
    )
    assert {len(name.der) for name in made} == {size}
    return made


def test_hints_are_the_subjects_of_the_roots_unless_named() -> None:
    assert ClientAuth.required(STORE).hints == STORE.subjects()
    assert ClientAuth.optional(STORE, hints=()).hints == ()
    assert [str(name) for name in ClientAuth.required(STORE, hints=["CN=Else"]).hints] == ["CN=Else"]


def test_hints_are_taken_in_every_form_in_order_and_once() -> None:
    name = K_DOT.certificate.subject
    forms: list[Hint] = [
        name,
        K_DOT.certificate,
        K_DOT.x509,
        K_DOT.x509.subject,
        K_DOT.certificate.pem(),
        K_DOT.certificate.pem().encode(),
        name.der,
        "CN=K-Dot Certificate Authority,O=Example",
    ]
    for form in forms:
        assert authorities(form) == (name,)
        assert authorities([form, OTHER.x509, form]) == (name, OTHER.certificate.subject)
    assert authorities(OTHER.certificate.pem() + K_DOT.certificate.pem()) == (OTHER.certificate.subject, name)


def test_the_text_of_a_name_can_be_read_back_as_a_hint() -> None:
    name = DistinguishedName(dn("CN=A\\, B,OU=x+O=y,C=DE").public_bytes())
    assert authorities(str(name)) == (name,)
    with_mail = authorities("emailAddress=ca@example.org,CN=CA")
    assert str(with_mail[0]) == "emailAddress=ca@example.org,CN=CA"


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        ("no name", "RFC 4514"),
        ("XYZ=1", "RFC 4514"),
        ("", "empty name"),
        (b"garbage", "neither PEM nor the DER"),
        (b"-----BEGIN PRIVATE KEY-----", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "cannot be parsed"),
        ([7], "not int"),
        ([Path("ca.pem")], "pass the bytes"),
        (b"0\0", "empty name"),
    ],
)
def test_what_is_no_hint_is_a_config_error(hint: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        authorities(hint)  # type: ignore[arg-type]


def test_hints_that_do_not_fit_say_how_many_would() -> None:
    fitting = MAX_ENCODED // 102
    with pytest.raises(ConfigError, match=f"the first {fitting} fit"):
        authorities(names_of(100, fitting + 1))
    with pytest.warns(UserWarning, match="Java clients"):
        assert len(authorities(names_of(100, fitting))) == fitting


def test_hints_near_32_kib_warn() -> None:
    """Java counts the whole message, of which the names are not all."""
    sizes = [encoded_size(names_of(100, length)) for length in range(300, 330)]
    over = 300 + next(index for index, size in enumerate(sizes) if size > JSSE_LIMIT)
    assert sizes[over - 300] < 0x8000, "the limit is that of the message, not that of the names"
    with pytest.warns(UserWarning, match=rf"{sizes[over - 300]} bytes.*hints=\(\)"):
        check_size(names_of(100, over))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_size(names_of(100, over - 1))


def test_client_auth_modes() -> None:
    required, optional, none = ClientAuth.required(STORE), ClientAuth.optional(STORE), ClientAuth.none()
    assert (required.mode, optional.mode, none.mode) == (
        ClientAuthMode.REQUIRED,
        ClientAuthMode.OPTIONAL,
        ClientAuthMode.NONE,
    )
    assert isinstance(required.verifier, RootsClientVerifier)
    assert none.verifier is None
    assert none.hints == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        required.mode = ClientAuthMode.NONE  # type: ignore[misc]


def test_client_auth_without_roots_fails_closed() -> None:
    for make in (ClientAuth.required, ClientAuth.optional):
        with pytest.raises(ConfigError, match="no roots"):
            make(RootCertStore())
    with pytest.raises(ConfigError, match="RootCertStore"):
        ClientAuth.required("roots.pem")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="verifier"):
        ClientAuth(ClientAuthMode.REQUIRED, None)
    with pytest.raises(ConfigError, match="verifier"):
        ClientAuth(ClientAuthMode.NONE, AcceptAnyCertificate())


def test_a_custom_verifier_names_its_hints() -> None:
    name = K_DOT.certificate.subject
    verifier = AcceptAnyCertificate(hints=(name, name))
    assert ClientAuth.custom(verifier) == ClientAuth(ClientAuthMode.REQUIRED, verifier)
    assert ClientAuth.custom(verifier).hints == (name,)
    assert ClientAuth.custom(verifier, required=False).mode is ClientAuthMode.OPTIONAL
    with pytest.raises(ConfigError, match="no ClientVerifier"):
        ClientAuth.custom(STORE)  # type: ignore[arg-type]


def test_a_verified_client_is_a_peer_with_its_path() -> None:
    alice = leaf(K_DOT, "CN=alice", names=dns("alice.example"))
    verifier = RootsClientVerifier(STORE)
    peer = verifier.verify_client((alice.certificate,), now=NOW)
    assert peer == Peer((alice.certificate,), (alice.certificate, K_DOT.certificate))
    assert peer.certificate == alice.certificate
    assert peer.names == PeerNames(dns=("alice.example",))
    assert peer.subject == "CN=alice"
    assert str(peer) == "CN=alice (issued by CN=K-Dot Certificate Authority,O=Example, expires 2026-06-11)"
    assert repr(verifier) == "RootsClientVerifier(<RootCertStore of 2>, 2 hints)"


def test_a_client_of_another_ca_is_refused() -> None:
    stranger = leaf(authority("CN=Stranger"))
    with pytest.raises(CertificateRejected, match="roots here: CN=K-Dot Certificate Authority,O=Example, CN=Other"):
        RootsClientVerifier(STORE).verify_client((stranger.certificate,), now=NOW)


def test_limits_reach_the_path() -> None:
    middle = authority("CN=Middle", K_DOT)
    chain = (leaf(middle, names=dns("a.example")).certificate, middle.certificate)
    limits = PathLimits(intermediates=0)
    with pytest.raises(CertificateRejected):
        RootsClientVerifier(STORE, limits=limits).verify_client(chain, now=NOW)
    with pytest.raises(CertificateRejected):
        RootsServerVerifier(STORE, limits=limits).verify_server(chain, ServerName("a.example"), now=NOW)


def test_a_server_must_have_the_name_asked_for() -> None:
    server = leaf(K_DOT, "CN=web", names=dns(*[f"{number}.example" for number in range(10)])).certificate
    verifier = RootsServerVerifier(STORE)
    peer = verifier.verify_server((server,), ServerName("3.example"), now=NOW)
    assert isinstance(peer, Peer)
    assert peer.verified == (server, K_DOT.certificate)
    with pytest.raises(CertificateRejected) as caught:
        verifier.verify_server((server,), ServerName("other.example"), now=NOW)
    assert caught.value.reason is CertificateProblem.NAME_MISMATCH
    assert "CN=web is not valid for other.example; it is valid only for 0.example, 1.example" in str(caught.value)
    assert caught.value.detail.endswith("7.example and 2 more")
    assert len(caught.value.failures) == 1
    assert "RootsServerVerifier" in repr(verifier)


def test_a_server_with_only_a_common_name_is_told_that_it_does_not_count() -> None:
    server = leaf(K_DOT, "CN=web.example").certificate
    with pytest.raises(CertificateRejected, match="the common name does not count"):
        RootsServerVerifier(STORE).verify_server((server,), ServerName("web.example"), now=NOW)


def test_the_names_of_a_peer_come_by_form() -> None:
    presented = [
        *dns("a.example"),
        x509.UniformResourceIdentifier("spiffe://example/a"),
        x509.RFC822Name("a@example.org"),
    ]
    peer = Peer((leaf(K_DOT, names=presented).certificate,))
    assert peer.names == PeerNames(("a.example",), (), ("spiffe://example/a",), ("a@example.org",))


def test_danger_accepts_anything_and_verifies_nothing() -> None:
    stranger = leaf(authority("CN=Stranger"), days=(-10, -1)).certificate
    verifier = AcceptAnyCertificate()
    assert isinstance(verifier, ServerVerifier)
    assert isinstance(verifier, ClientVerifier)
    assert verifier.hints == ()
    for peer in (
        verifier.verify_client((stranger,), now=NOW),
        verifier.verify_server((stranger,), ServerName("any.example"), now=NOW),
    ):
        assert peer.presented == (stranger,)
        assert peer.verified == ()
        assert str(peer).endswith(", not verified")


def test_the_default_verifiers_fit_their_protocols() -> None:
    assert isinstance(RootsServerVerifier(STORE), ServerVerifier)
    assert isinstance(RootsClientVerifier(STORE), ClientVerifier)


def test_a_peer_without_a_certificate_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Peer(())
