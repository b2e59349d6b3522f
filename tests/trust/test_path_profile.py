"""The two profiles: what the public web asks of the form of certificates, and what the private one leaves open."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.trust.issuing import BOTH, CLIENT, SERVER, Issued, authority, dns, issue, leaf, usage
from tests.trust.verifying import rejection, verified
from trustls.errors import CertificateProblem, ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.path import Profile, Purpose

ANY = x509.ObjectIdentifier("2.5.29.37.0")
ROOT = authority("CN=Root")
MIDDLE = authority("CN=Middle", ROOT)
WEB: dict[str, Any] = {"purpose": Purpose.SERVER_AUTH, "profile": Profile.WEBPKI}
PRIVATE: dict[str, Any] = {"purpose": Purpose.SERVER_AUTH, "profile": Profile.PRIVATE}


def server(issuer: Issued = ROOT, subject: str = "CN=a.example", **options: Any) -> Issued:
    return leaf(issuer, subject, **{"names": dns("a.example"), **options})


def ip(text: str) -> list[x509.GeneralName]:
    return [x509.IPAddress(ipaddress.ip_address(text))]


def authority_key(of: Issued, **fields: Any) -> tuple[x509.ExtensionType, bool]:
    own = x509.SubjectKeyIdentifier.from_public_key(of.key.public_key()).digest
    given = {"key_identifier": own, "authority_cert_issuer": None, "authority_cert_serial_number": None, **fields}
    return x509.AuthorityKeyIdentifier(**given), False


def subject_key(of: Issued) -> tuple[x509.ExtensionType, bool]:
    return x509.SubjectKeyIdentifier.from_public_key(of.key.public_key()), False


def test_profiles_have_names() -> None:
    assert Profile.named("webpki") is Profile.WEBPKI
    assert Profile.named(Profile.PRIVATE) is Profile.PRIVATE
    with pytest.raises(ConfigError, match="'webpki' or 'private', not 'web'"):
        Profile.named("web")


def test_a_chain_as_public_cas_make_it_is_good_in_both_profiles() -> None:
    for profile in Profile:
        for purpose in Purpose:
            assert len(verified([ROOT], server(MIDDLE), MIDDLE, purpose=purpose, profile=profile)) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key_identifiers": False}, "does not say which key of its issuer signed it"),
        ({"purposes": ()}, "it has no extendedKeyUsage"),
        ({"purposes": [SERVER, ANY]}, "it has serverAuth, anyExtendedKeyUsage"),
        ({"purposes": (), "extra": [(x509.ExtendedKeyUsage(BOTH), True)]}, "it has a critical extendedKeyUsage"),
        ({"names": (), "extra": [(x509.SubjectAlternativeName(dns("a.example")), True)]}, "a.example is critical"),
        ({"names": ()}, "has no subjectAltName; the common name does not count"),
        ({"names": dns("a.example", "a_b.example")}, "the DNS name a_b.example, which is no host name"),
        ({"names": dns("a.example", "b*.example.com")}, "the DNS name b*.example.com"),
        ({"names": dns("a.example", "b.*.example.com")}, "the DNS name b.*.example.com"),
        ({"names": dns("a.example", "-b.example")}, "the DNS name -b.example"),
        ({"names": dns("a.example", "b.example.")}, "the DNS name b.example."),
        ({"names": dns("a.example", "192.0.2.1")}, "the DNS name 192.0.2.1"),
        ({"subject": "CN=A.example"}, "the common name A.example"),
        ({"subject": "CN=b.example"}, "the common name b.example"),
        ({"subject": "CN=a.example,CN=b.example"}, "the common name b.example"),
        ({"subject": "CN=192.0.2.1"}, "the common name 192.0.2.1"),
        ({"subject": "CN=192.0.2.01", "names": ip("192.0.2.1")}, "the common name 192.0.2.01"),
        ({"subject": "CN=0xC0000201", "names": ip("192.0.2.1")}, "the common name 0xC0000201"),
        ({"subject": "CN=2001:DB8::1", "names": ip("2001:db8::1")}, "the common name 2001:DB8::1"),
        ({"subject": "CN=müller.example", "names": dns("xn--mller-kva.example")}, "the common name müller.example"),
    ],
)
def test_the_public_web_asks_more_of_the_form_of_a_server(options: dict[str, Any], said: str) -> None:
    one = server(**options)
    assert verified([ROOT], one, **PRIVATE)
    error = rejection(CertificateProblem.AGAINST_PROFILE, [ROOT], one, **WEB)
    assert said in error.detail
    assert error.certificate == one.certificate
    assert "take the profile 'private'" in error.remedy


@pytest.mark.parametrize(
    "options",
    [
        {"subject": "CN=Example Shop"},
        {"subject": "CN=example", "names": dns("a.example")},
        {"subject": "CN=example.com", "names": dns("*.example.com")},
        {"subject": "CN=a.example", "names": ip("192.0.2.1")},
        {"subject": "CN=192.0.2.1", "names": ip("192.0.2.1")},
        {"subject": "CN=2001:db8::1", "names": ip("2001:db8::1")},
        {"subject": ""},
        {"subject": "O=Example", "names": dns("*.a.example", "xn--mller-kva.example", "A.Example")},
    ],
)
def test_a_common_name_that_misleads_nobody_is_let_pass(options: dict[str, Any]) -> None:
    assert verified([ROOT], server(**options), **WEB)


def test_the_public_web_has_no_rules_for_the_names_of_clients() -> None:
    alice = leaf(ROOT, "CN=alice.example", purposes=[CLIENT])
    assert verified([ROOT], alice, purpose=Purpose.CLIENT_AUTH, profile=Profile.WEBPKI)


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), mldsa.MLDSA65PrivateKey.generate()])
def test_only_the_private_profile_takes_keys_that_browsers_do_not(key: Any) -> None:
    top = authority("CN=Top", key=key)
    for roots, one in (([ROOT], server(key=key)), ([top], server(top))):
        assert verified(roots, one, **PRIVATE)
        error = rejection(CertificateProblem.WEAK_KEY, roots, one, **WEB)
        assert error.expected == "RSA and ECDSA on the public web"
        assert error.found == f"of the kind {type(key).__name__.removesuffix('PrivateKey')}"


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), *(ec.generate_private_key(c()) for c in (ec.SECP384R1, ec.SECP521R1))],
)
def test_the_public_web_takes_rsa_and_ecdsa(key: Any) -> None:
    digest = hashes.SHA384()
    top = authority("CN=Top", key=key, digest=digest)
    assert verified([top], server(top, key=key, digest=digest), **WEB)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key_identifiers": False, "extra": "authority"}, "the CA certificate CN=Odd has no subjectKeyIdentifier"),
        ({"key_identifiers": False, "extra": "subject"}, "CN=Odd does not say which key"),
        ({"ca_critical": False}, "the basicConstraints of the CA certificate CN=Odd are not critical"),
    ],
)
def test_the_public_web_asks_more_of_the_form_of_an_intermediate(options: dict[str, Any], said: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    extra = options.get("extra")
    if extra:
        options = options | {
            "extra": [authority_key(ROOT) if extra == "authority" else subject_key(Issued(ROOT.x509, key))]
        }
    odd = authority("CN=Odd", ROOT, key=key, **options)
    one = server(odd)
    assert verified([ROOT], one, odd, **PRIVATE)
    assert said in rejection(CertificateProblem.AGAINST_PROFILE, [ROOT], one, odd, **WEB).detail
    if said.startswith("CN=Odd does not"):
        rejection(CertificateProblem.AGAINST_PROFILE, [odd], one, **WEB)
    else:
        assert verified([odd], one, **WEB), "among the roots, what browsers' own roots lack is not asked of it"


@pytest.mark.parametrize("which", ["permitted", "excluded"])
def test_only_private_cas_constrain_dns_names_with_a_leading_period(which: str) -> None:
    bases = dns(".example") if which == "permitted" else dns(".other")
    constraints: dict[str, Any] = {which: bases}
    top, middle = authority("CN=Top", **constraints), authority("CN=Middle", ROOT, **constraints)
    for root, chain in ((top, [server(top)]), (ROOT, [server(middle), middle]), (middle, [server(middle)])):
        assert verified([root], *chain, **PRIVATE)
        error = rejection(CertificateProblem.AGAINST_PROFILE, [root], *chain, **WEB)
        assert error.found == bases[0].value
        assert "starts with a period" in error.detail
        assert f"with {bases[0].value[1:]} in nameConstraints" in error.remedy


def self_described(name: str, **fields: Any) -> Issued:
    """A root with an authorityKeyIdentifier."""
    plain = authority(name, serial_number=0x1234)
    return authority(name, key=plain.key, serial_number=0x1234, extra=[authority_key(plain, **fields)])


def test_roots_as_browsers_have_them_are_good_in_both_profiles() -> None:
    """Each of these is made as one of the roots of Mozilla's list is."""
    own_name = [x509.DirectoryName(ROOT.x509.subject)]
    for root in (
        authority("CN=Root", key_identifiers=False),  # TWCA Global Root CA
        authority("CN=Root", ca_critical=False, key_usage=None),  # Starfield Class 2, ePKI
        self_described("CN=Root"),
        self_described("CN=Root", authority_cert_issuer=own_name, authority_cert_serial_number=0x1234),  # Certigna
        authority("CN=Root", path_length=3),
    ):
        for options in (WEB, PRIVATE):
            assert verified([root], server(root), **options)


@pytest.mark.parametrize(
    "fields",
    [
        {"key_identifier": None},
        {"key_identifier": b"another key's"},
        {"authority_cert_issuer": [x509.DNSName("a.example")], "authority_cert_serial_number": 0x1234},
        {"authority_cert_issuer": [x509.DirectoryName(MIDDLE.x509.subject)], "authority_cert_serial_number": 0x1234},
        {"authority_cert_issuer": [x509.DirectoryName(ROOT.x509.subject)], "authority_cert_serial_number": 0x4321},
    ],
)
def test_a_root_that_tells_of_another_key_is_not_for_the_public_web(fields: dict[str, Any]) -> None:
    root = self_described("CN=Root", **fields)
    assert verified([root], server(root), **PRIVATE)
    error = rejection(CertificateProblem.AGAINST_PROFILE, [root], server(root), **WEB)
    assert "does not tell of its own key" in error.detail


def test_a_root_for_one_purpose_is_not_for_the_public_web_but_an_intermediate_is() -> None:
    root = authority("CN=Root", purposes=BOTH)
    assert verified([root], server(root), **PRIVATE)
    rejection(CertificateProblem.AGAINST_PROFILE, [root], server(root), **WEB)
    pinned = authority("CN=Middle", ROOT, purposes=BOTH)
    assert verified([pinned], server(pinned), **WEB)


def test_the_private_profile_is_no_less_strict_in_substance() -> None:
    for problem, chain in (
        (CertificateProblem.EXPIRED, [server(days=(-9, -1))]),
        (CertificateProblem.WRONG_PURPOSE, [server(purposes=[CLIENT])]),
        (CertificateProblem.WRONG_KEY_USAGE, [server(key_usage=usage("key_encipherment"))]),
        (CertificateProblem.NOT_A_CA, [server(odd := issue("CN=Odd", ROOT)), odd]),
        (CertificateProblem.WEAK_KEY, [server(key=rsa.generate_private_key(65537, 1024))]),
        (CertificateProblem.UNKNOWN_ISSUER, [server(authority("CN=Other"))]),
        (CertificateProblem.CA_AS_END_ENTITY, [MIDDLE]),
    ):
        for options in (WEB, PRIVATE):
            rejection(problem, [ROOT], *chain, **options)


def self_signed(**options: Any) -> Issued:
    """What `openssl req -x509 -addext subjectAltName=...` makes."""
    return issue("CN=a.example", **{"ca": True, "names": dns("a.example"), **options})


def test_a_self_signed_certificate_that_is_a_root_is_its_own_path() -> None:
    one = self_signed()
    for purpose in Purpose:
        assert verified([ROOT, one], one, purpose=purpose) == (one.certificate, one.certificate)
    with_rest = verified([one], one, ROOT, MIDDLE)
    assert with_rest == (one.certificate, one.certificate)
    for bits in (["digital_signature", "key_cert_sign"], ["digital_signature"]):
        limited = self_signed(key_usage=usage(*bits), purposes=BOTH)
        assert verified([limited], limited)


def test_a_self_signed_certificate_is_pinned_byte_for_byte() -> None:
    one = self_signed()
    again = self_signed(key=one.key)
    error = rejection(CertificateProblem.CA_AS_END_ENTITY, [one], again)
    assert error.found == "CA:TRUE"
    rejection(CertificateProblem.CA_AS_END_ENTITY, [], one)


def test_a_pinned_certificate_must_be_good_in_all_else() -> None:
    for problem, one in (
        (CertificateProblem.EXPIRED, self_signed(days=(-9, -1))),
        (CertificateProblem.WRONG_PURPOSE, self_signed(purposes=[CLIENT])),
        (CertificateProblem.WRONG_KEY_USAGE, self_signed(key_usage=usage("key_cert_sign", "crl_sign"))),
        (CertificateProblem.WEAK_KEY, self_signed(key=rsa.generate_private_key(65537, 1024))),
        (CertificateProblem.NAME_NOT_PERMITTED, self_signed(excluded=dns("example"))),
    ):
        rejection(problem, [one], one, purpose=Purpose.SERVER_AUTH)


def test_a_pinned_certificate_is_signed_by_its_own_key() -> None:
    impostor = Issued(self_signed().x509, ec.generate_private_key(ec.SECP256R1()))
    one = issue("CN=a.example", impostor, ca=True)
    rejection(CertificateProblem.BAD_SIGNATURE, [one], one)


def test_a_pinned_intermediate_is_no_leaf() -> None:
    rejection(CertificateProblem.CA_AS_END_ENTITY, [ROOT, MIDDLE], MIDDLE)


def test_the_public_web_takes_no_pinned_ca_for_a_leaf() -> None:
    one = self_signed(purposes=BOTH)
    rejection(CertificateProblem.CA_AS_END_ENTITY, [one], one, **WEB)


def test_the_caller_is_asked_about_a_pinned_certificate_as_well() -> None:
    one = self_signed()
    asked: list[tuple[Certificate, ...]] = []
    assert verified([one], one, check=asked.append)
    assert asked == [(one.certificate, one.certificate)]


def test_a_key_for_pss_alone_is_not_for_the_public_web() -> None:
    """RFC 4055 1.2; CABF BR 7.1.3.1.1 has rsaEncryption alone."""
    der = server(key=rsa.generate_private_key(65537, 2048)).x509.public_bytes(Encoding.DER)
    plain, pss = bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300d06092a864886f70d01010a3000")
    assert der.count(plain) == 1
    one = Certificate.from_der(der.replace(plain, pss))
    error = rejection(CertificateProblem.WEAK_KEY, [ROOT], one, **WEB)
    assert error.found == "of the kind RSA for PSS alone"
