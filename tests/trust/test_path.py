from __future__ import annotations

import datetime
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification

from tests.trust.issuing import (
    CLIENT,
    DAY,
    NOW,
    SERVER,
    Issued,
    authority,
    dn,
    dns,
    issue,
    leaf,
    raw,
    rsa_key_with_exponent_of,
    usage,
)
from tests.trust.verifying import rejection, verified
from trustls.errors import AlertDescription, CertificateProblem, CertificateRejected
from trustls.trust import signatures
from trustls.trust.certificate import Certificate
from trustls.trust.path import PathFailure, PathLimits, Purpose, verify_path
from trustls.trust.roots import RootCertStore


@pytest.fixture(scope="module")
def root() -> Issued:
    return authority("CN=Root")


@pytest.fixture(scope="module")
def middle(root: Issued) -> Issued:
    return authority("CN=Middle", root)


def test_path_runs_from_the_leaf_to_the_root(root: Issued, middle: Issued) -> None:
    alice = leaf(middle)
    assert verified([root], alice, middle) == (alice.certificate, middle.certificate, root.certificate)


def test_a_leaf_directly_under_a_root_needs_no_intermediate(root: Issued) -> None:
    alice = leaf(root)
    assert verified([root], alice) == (alice.certificate, root.certificate)


def test_order_repetition_and_superfluous_certificates_do_not_matter(root: Issued, middle: Issued) -> None:
    lower = authority("CN=Lower", middle)
    alice = leaf(lower)
    stranger = authority("CN=Stranger")
    path = verified([root], alice, root, stranger, middle, lower, lower, stranger)
    assert [one.title for one in path] == ["CN=alice", "CN=Lower", "CN=Middle", "CN=Root"]


def test_an_intermediate_may_be_the_root(root: Issued, middle: Issued) -> None:
    assert verified([middle], leaf(middle), middle, root)[-1] == middle.certificate


def test_unknown_issuer_is_told_in_one_sentence(root: Issued) -> None:
    other = authority("CN=K-Dot")
    error = rejection(CertificateProblem.UNKNOWN_ISSUER, [root], leaf(other, "CN=x"))
    assert error.alert is AlertDescription.UNKNOWN_CA
    assert error.detail == (
        "the client's certificate CN=x was issued by CN=K-Dot, which is neither a root here nor among the certificates "
        "it sent; roots here: CN=Root"
    )
    [failure] = error.failures
    assert isinstance(failure, PathFailure)
    assert failure.certificate.title == "CN=x"


def test_a_message_lists_the_first_eight_roots() -> None:
    roots = [authority(f"CN=Root {number}", key_identifiers=False) for number in range(11)]
    error = rejection(CertificateProblem.UNKNOWN_ISSUER, roots, leaf(authority("CN=Other")))
    assert error.detail.endswith("CN=Root 6, CN=Root 7 and 3 more")


def test_a_sent_root_that_is_not_trusted_is_named(root: Issued) -> None:
    other = authority("CN=Other")
    error = rejection(CertificateProblem.UNKNOWN_ISSUER, [root], leaf(other), other)
    assert "CN=Other, in the chain of the client's certificate CN=alice, is self-issued, and is not a root" in str(
        error
    )


def test_no_roots_at_all_is_said(root: Issued) -> None:
    assert "there are no roots here" in str(rejection(CertificateProblem.UNKNOWN_ISSUER, [], leaf(root)))


def test_nothing_presented_is_a_rejection(root: Issued) -> None:
    error = rejection(CertificateProblem.NONE_PRESENTED, [root])
    assert error.alert is AlertDescription.CERTIFICATE_REQUIRED


@pytest.mark.parametrize("which", ["leaf", "intermediate", "root"])
@pytest.mark.parametrize(
    ("days", "problem"),
    [((-10, -1), CertificateProblem.EXPIRED), ((1, 10), CertificateProblem.NOT_YET_VALID)],
)
def test_every_certificate_of_a_path_must_be_valid_now(
    which: str, days: tuple[float, float], problem: CertificateProblem
) -> None:
    top = authority("CN=Root", days=days if which == "root" else (-20, 20))
    middle = authority("CN=Middle", top, days=days if which == "intermediate" else (-20, 20))
    alice = leaf(middle, days=days if which == "leaf" else (-20, 20))
    error = rejection(problem, [top], alice, middle)
    assert {"leaf": "CN=alice", "intermediate": "CN=Middle", "root": "CN=Root"}[which] in error.detail


def test_validity_includes_its_first_and_its_last_second(root: Issued) -> None:
    alice = leaf(root, days=(-1, 1))
    assert verified([root], alice, now=NOW - DAY)
    assert verified([root], alice, now=NOW + DAY + 0.9)
    rejection(CertificateProblem.NOT_YET_VALID, [root], alice, now=NOW - DAY - 0.1)
    rejection(CertificateProblem.EXPIRED, [root], alice, now=NOW + DAY + 1)


def test_an_expired_intermediate_tells_more_than_an_unknown_issuer(root: Issued) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    expired = authority("CN=Middle", root, key=key, days=(-10, -1))
    elsewhere = authority("CN=Middle", authority("CN=Elsewhere"), key=key)
    error = rejection(CertificateProblem.EXPIRED, [root], leaf(expired), elsewhere, expired)
    assert {failure.problem for failure in error.failures} == {
        CertificateProblem.EXPIRED,
        CertificateProblem.UNKNOWN_ISSUER,
    }


def test_an_expired_cross_certificate_is_passed_by(root: Issued) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    expired = authority("CN=Middle", root, key=key, days=(-10, -1))
    valid = authority("CN=Middle", root, key=key)
    assert verified([root], leaf(valid), expired, valid)[1] == valid.certificate


def test_a_root_made_anew_under_its_old_name_is_explained() -> None:
    old, new = authority("CN=Root"), authority("CN=Root")
    error = rejection(CertificateProblem.BAD_SIGNATURE, [new], leaf(old))
    assert "another key than that of CN=Root here" in error.detail
    assert error.alert is AlertDescription.BAD_CERTIFICATE
    assert verified([new, old], leaf(old))[-1] == old.certificate


def test_a_forged_signature_is_refused(root: Issued) -> None:
    alice = leaf(root).x509.public_bytes(Encoding.DER)
    forged = Certificate.from_der(alice[:-1] + bytes([alice[-1] ^ 1]))
    with pytest.raises(CertificateRejected) as caught:
        verify_path([forged], RootCertStore([root.x509]), purpose=Purpose.CLIENT_AUTH, now=NOW)
    assert caught.value.reason is CertificateProblem.BAD_SIGNATURE
    assert "CN=alice does not carry the signature of CN=Root" in str(caught.value)


def test_a_failed_signature_is_not_remembered_as_good(root: Issued) -> None:
    impostor = Issued(root.x509, ec.generate_private_key(ec.SECP256R1()))
    alice = leaf(impostor, key_identifiers=False)
    for _ in range(2):
        rejection(CertificateProblem.BAD_SIGNATURE, [root], alice)


def test_a_good_signature_is_verified_once(root: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = leaf(root)
    verified([root], alice)
    monkeypatch.setattr("trustls.trust.path.signature_fault", None)
    assert verified([root], alice)


def test_intermediates_must_be_cas(root: Issued) -> None:
    for options in ({"ca": False}, {"ca": None}):
        middle = authority("CN=Middle", root, **options)
        rejection(CertificateProblem.NOT_A_CA, [root], leaf(middle), middle)


def test_a_ca_needs_key_cert_sign_when_its_key_usage_is_limited(root: Issued) -> None:
    middle = authority("CN=Middle", root, key_usage=usage("digital_signature"))
    rejection(CertificateProblem.WRONG_KEY_USAGE, [root], leaf(middle), middle)
    free = authority("CN=Free", root, key_usage=None)
    assert verified([root], leaf(free), free)


def test_a_ca_is_no_end_entity(root: Issued, middle: Issued) -> None:
    error = rejection(CertificateProblem.CA_AS_END_ENTITY, [root], middle)
    assert "use a certificate that the CA issued" in error.remedy


def test_a_leaf_needs_digital_signature_when_its_key_usage_is_limited(root: Issued) -> None:
    rejection(CertificateProblem.WRONG_KEY_USAGE, [root], leaf(root, key_usage=usage("key_encipherment")))
    rejection(
        CertificateProblem.WRONG_KEY_USAGE, [root], leaf(root, key_usage=usage("digital_signature", "key_cert_sign"))
    )
    assert verified([root], leaf(root, key_usage=None, purposes=()))


@pytest.mark.parametrize(("purpose", "wrong"), [(Purpose.CLIENT_AUTH, SERVER), (Purpose.SERVER_AUTH, CLIENT)])
def test_purpose_binds_the_leaf_and_its_cas(root: Issued, purpose: Purpose, wrong: x509.ObjectIdentifier) -> None:
    error = rejection(CertificateProblem.WRONG_PURPOSE, [root], leaf(root, purposes=[wrong]), purpose=purpose)
    assert f"lacks {purpose.label}" in error.detail
    middle = authority("CN=Middle", root, purposes=[wrong])
    rejection(CertificateProblem.WRONG_PURPOSE, [root], leaf(middle), middle, purpose=purpose)
    top = authority("CN=Root", purposes=[wrong])
    rejection(CertificateProblem.WRONG_PURPOSE, [top], leaf(top), purpose=purpose)


def test_any_purpose_frees_a_ca_but_not_a_leaf(root: Issued) -> None:
    every = x509.ObjectIdentifier("2.5.29.37.0")
    middle = authority("CN=Middle", root, purposes=[every])
    assert verified([root], leaf(middle), middle)
    rejection(CertificateProblem.WRONG_PURPOSE, [root], leaf(root, purposes=[every]))


def test_path_length_counts_intermediates_that_are_not_self_issued() -> None:
    top = authority("CN=Root", path_length=1)
    first = authority("CN=First", top)
    renewed = authority("CN=First", first)
    second = authority("CN=Second", first)
    assert verified([top], leaf(first), first)
    assert verified([top], leaf(renewed), renewed, first)
    error = rejection(CertificateProblem.PATH_TOO_LONG, [top], leaf(second), second, first)
    assert "allows 1 intermediate CAs below it, here are 2" in error.detail


def test_limits_bound_the_chain_and_the_intermediates(root: Issued, middle: Issued) -> None:
    alice = leaf(middle)
    error = rejection(CertificateProblem.CHAIN_TOO_LONG, [root], *[alice] * 17)
    assert "17 certificates, of which 16 are accepted" in error.detail
    rejection(CertificateProblem.PATH_TOO_LONG, [root], alice, middle, limits=PathLimits(intermediates=0))


def test_unknown_critical_extensions_are_refused(root: Issued) -> None:
    unknown = [(raw("1.3.6.1.4.1.55738.666.1", b"\x05\x00"), True)]
    error = rejection(CertificateProblem.UNKNOWN_CRITICAL_EXTENSION, [root], leaf(root, extra=unknown))
    assert "1.3.6.1.4.1.55738.666.1" in error.detail
    middle = authority("CN=Middle", root, extra=unknown)
    rejection(CertificateProblem.UNKNOWN_CRITICAL_EXTENSION, [root], leaf(middle), middle)
    top = authority("CN=Root", extra=unknown)
    rejection(CertificateProblem.UNKNOWN_CRITICAL_EXTENSION, [top], leaf(top))
    assert verified([root], leaf(root, extra=[(unknown[0][0], False)]))


def test_policy_constraints_are_refused_critical_or_not(root: Issued) -> None:
    for critical, problem in (
        (True, CertificateProblem.UNKNOWN_CRITICAL_EXTENSION),
        (False, CertificateProblem.MALFORMED),
    ):
        middle = authority("CN=Middle", root, extra=[(x509.PolicyConstraints(0, None), critical)])
        rejection(problem, [root], leaf(middle), middle)


def test_critical_policies_are_accepted_for_no_policy_is_required(root: Issued) -> None:
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
    assert verified([root], leaf(root, extra=[(policies, True)]))


@pytest.mark.parametrize(
    "oid", ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.35", "2.5.29.37", "2.5.29.14", "1.3.6.1.5.5.7.1.1"]
)
def test_malformed_known_extensions_are_refused(root: Issued, oid: str) -> None:
    alice = issue("CN=alice", root, extra=[(raw(oid, b"\x30\x03\x02\x01"), False)], key_identifiers=False)
    rejection(CertificateProblem.MALFORMED, [root], alice)


def test_an_empty_subject_needs_a_critical_alternative_name(root: Issued) -> None:
    spiffe = [x509.UniformResourceIdentifier("spiffe://example.org/web")]
    nameless = leaf(root, "", names=spiffe)
    assert verified([root], nameless)
    assert nameless.certificate.title == "spiffe://example.org/web"
    not_critical = leaf(root, "", extra=[(x509.SubjectAlternativeName(spiffe), False)])
    rejection(CertificateProblem.MALFORMED, [root], not_critical)


@pytest.mark.parametrize(
    ("constraints", "names", "permitted"),
    [
        ({"permitted": dns("example.com")}, dns("a.example.com", "example.com", "*.example.com"), True),
        ({"permitted": dns("example.com")}, dns("a.example.com", "badexample.com"), False),
        ({"permitted": dns("EXAMPLE.com")}, dns("A.Example.COM"), True),
        ({"excluded": dns("bar.example.com")}, dns("*.example.com"), False),
        ({"excluded": dns("bar.example.com")}, dns("foo.example.com"), True),
        ({"excluded": dns("example.com")}, dns("spaced name"), False),
        ({"permitted": dns(".example.com")}, dns("a.b.EXAMPLE.com"), True),
        ({"permitted": dns(".Example.com")}, dns("*.example.com"), True),
        ({"permitted": dns(".example.com")}, dns("example.com"), False),
        ({"permitted": dns(".example.com")}, dns("*.com"), False),
        ({"permitted": dns(".example.com")}, dns("badexample.com"), False),
        ({"excluded": dns(".example.com")}, dns("a.example.com"), False),
        ({"excluded": dns(".example.com")}, dns("*.example.com"), False),
        ({"excluded": dns(".example.com")}, dns("example.com"), True),
        ({"excluded": dns(".a.example.com")}, dns("*.example.com"), True),
        (
            {"permitted": [x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))]},
            [x509.IPAddress(ipaddress.ip_address("10.1.2.3"))],
            True,
        ),
        (
            {"permitted": [x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))]},
            [x509.IPAddress(ipaddress.ip_address("::1"))],
            False,
        ),
        (
            {"excluded": [x509.IPAddress(ipaddress.ip_network("2001:db8::/32"))]},
            [x509.IPAddress(ipaddress.ip_address("2001:db8::1"))],
            False,
        ),
        ({"permitted": [x509.RFC822Name("example.com")]}, [x509.RFC822Name("a@EXAMPLE.com")], True),
        ({"permitted": [x509.RFC822Name("example.com")]}, [x509.RFC822Name("a@sub.example.com")], False),
        ({"permitted": [x509.RFC822Name(".example.com")]}, [x509.RFC822Name("a@sub.example.com")], True),
        ({"permitted": [x509.RFC822Name("a@example.com")]}, [x509.RFC822Name("A@example.com")], False),
        (
            {"permitted": [x509.UniformResourceIdentifier("example.org")]},
            [x509.UniformResourceIdentifier("spiffe://example.org/web")],
            True,
        ),
        (
            {"excluded": [x509.UniformResourceIdentifier(".example.org")]},
            [x509.UniformResourceIdentifier("https://a.example.org:8443/x")],
            False,
        ),
        (
            {"excluded": [x509.UniformResourceIdentifier("example.org")]},
            [x509.UniformResourceIdentifier("urn:no:authority")],
            False,
        ),
        ({"permitted": [x509.DirectoryName(dn("O=Example"))]}, (), False),
        ({"permitted": [x509.DirectoryName(dn("CN=ALICE"))]}, (), True),
        ({"excluded": [x509.DirectoryName(dn("CN=Alice"))]}, (), False),
        ({"excluded": [x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]}, dns("a.example"), True),
        (
            {"excluded": [x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]},
            [x509.RegisteredID(x509.ObjectIdentifier("1.2.4"))],
            False,
        ),
    ],
)
def test_name_constraints(constraints: dict[str, Any], names: list[x509.GeneralName], permitted: bool) -> None:
    for constrained_root in (True, False):
        top = authority("CN=Root", **(constraints if constrained_root else {}))
        chain = [] if constrained_root else [authority("CN=alice", top, **constraints)]
        alice = leaf((chain or [top])[0], names=names)
        if permitted:
            assert verified([top], alice, *chain)
        else:
            rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], alice, *chain)


def test_an_email_address_in_the_subject_is_constrained_where_there_is_no_other() -> None:
    top = authority("CN=Root", permitted=[x509.RFC822Name("example.com")])
    assert verified([top], leaf(top, "CN=a,emailAddress=a@example.com"))
    rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(top, "CN=a,emailAddress=a@example.org"))


def test_name_constraints_belong_to_cas(root: Issued) -> None:
    rejection(CertificateProblem.MALFORMED, [root], leaf(root, permitted=dns("example.com")))


@pytest.mark.parametrize(
    ("key", "options"),
    [
        (rsa.generate_private_key(65537, 2048), {"digest": hashes.SHA256()}),
        (rsa.generate_private_key(65537, 2048), {"digest": hashes.SHA512()}),
        (
            rsa.generate_private_key(65537, 2048),
            {"digest": hashes.SHA256(), "rsa_padding": padding.PSS(padding.MGF1(hashes.SHA256()), 32)},
        ),
        (
            rsa.generate_private_key(65537, 2048),
            {"digest": hashes.SHA384(), "rsa_padding": padding.PSS(padding.MGF1(hashes.SHA384()), 48)},
        ),
        (ec.generate_private_key(ec.SECP256R1()), {"digest": hashes.SHA256()}),
        (ec.generate_private_key(ec.SECP384R1()), {"digest": hashes.SHA384()}),
        (ec.generate_private_key(ec.SECP521R1()), {"digest": hashes.SHA512()}),
        (ed25519.Ed25519PrivateKey.generate(), {}),
        (mldsa.MLDSA44PrivateKey.generate(), {}),
        (mldsa.MLDSA65PrivateKey.generate(), {}),
        (mldsa.MLDSA87PrivateKey.generate(), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_accepted_signatures(key: Any, options: dict[str, Any]) -> None:
    top = authority("CN=Root", key=key, **options)
    assert verified([top], leaf(top, **options))
    assert verified([top], leaf(top, key=key, **options))


@pytest.mark.parametrize(
    ("key", "digest", "name"),
    [
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA224(), "ECDSA with SHA-224"),
        (rsa.generate_private_key(65537, 2048), hashes.SHA3_256(), "the algorithm 2.16.840.1.101.3.4.3.14"),
    ],
    ids=["ecdsa-sha224", "rsa-sha3"],
)
def test_refused_signatures_are_named(key: Any, digest: hashes.HashAlgorithm, name: str) -> None:
    top = authority("CN=Root", key=key)
    error = rejection(CertificateProblem.UNSUPPORTED_SIGNATURE, [top], leaf(top, digest=digest))
    assert name in error.detail
    assert error.alert is AlertDescription.UNSUPPORTED_CERTIFICATE


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(65537, 2052),
        ec.generate_private_key(ec.SECP192R1()),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2048),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_weak_keys_are_refused_in_leaf_and_root(root: Issued, key: Any) -> None:
    error = rejection(CertificateProblem.WEAK_KEY, [root], leaf(root, key=key))
    assert "accepted are" in error.detail


def test_an_rsa_key_that_takes_long_to_verify_is_refused(root: Issued) -> None:
    """With the usual exponent a signature takes 50 us, with one of 3072 bits 8 ms."""
    for bits in (33, 34, 3000):
        alice = leaf(root, key=rsa_key_with_exponent_of(bits))
        if bits == 33:
            assert verified([root], alice)
            continue
        error = rejection(CertificateProblem.WEAK_KEY, [root], alice)
        assert error.found == f"RSA with an odd exponent of {bits} bits"
        assert error.expected == "odd exponents of at most 33 bits, such as 65537"


def test_a_key_for_pss_alone_verifies_pss_alone() -> None:
    key = rsa.generate_private_key(65537, 2048)
    der = authority("CN=Root", key=key).x509.public_bytes(Encoding.DER)
    # A root's own signature is not checked, so its key's algorithm may be changed: rsaEncryption to id-RSASSA-PSS.
    at = der.rindex(bytes.fromhex("300d06092a864886f70d010101"), 0, len(der) - 300)
    length = len(der) - 4 - 2
    patched = der[:at] + bytes.fromhex("300b06092a864886f70d01010a") + der[at + 15 :]
    tbs_length = int.from_bytes(der[6:8], "big") - 2
    spki_length = int.from_bytes(der[at - 2 : at], "big") - 2
    patched = (
        der[:2] + length.to_bytes(2, "big") + der[4:6] + tbs_length.to_bytes(2, "big") + patched[8 : at - 2]
        + spki_length.to_bytes(2, "big") + patched[at:]
    )  # fmt: skip
    store = RootCertStore.from_der(patched)
    signer = Issued(store.named(Certificate.from_der(der).subject)[0].x509, key)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    good, bad = leaf(signer, rsa_padding=pss).certificate, leaf(signer).certificate
    assert verify_path([good], store, purpose=Purpose.CLIENT_AUTH, now=NOW)
    with pytest.raises(CertificateRejected, match="not for the key of its issuer"):
        verify_path([bad], store, purpose=Purpose.CLIENT_AUTH, now=NOW)


def test_every_supported_algorithm_identifier_is_known_exactly() -> None:
    names = [algorithm.name for algorithm in signatures._ALGORITHMS.values()]
    assert len(names) == 3 + 2 * 3 + 2 * 3 + 1 + 3
    assert not any("SHA-1" in name or "MD5" in name for name in names)


def with_serial_number_zero(one: Issued) -> Certificate:
    """Its signature does not fit any more, but that is looked at last."""
    der = one.x509.public_bytes(Encoding.DER)
    changed = der.replace(b"\x02\x01\x77", b"\x02\x01\x00", 1)
    assert changed != der
    return Certificate.from_der(changed)


def test_a_serial_number_of_zero_is_only_for_roots(root: Issued) -> None:
    alice = with_serial_number_zero(leaf(root, serial_number=0x77))
    with pytest.raises(CertificateRejected, match="serial number zero"):
        verify_path([alice], RootCertStore([root.x509]), purpose=Purpose.CLIENT_AUTH, now=NOW)
    middle = authority("CN=Middle", root, serial_number=0x77)
    chain = [leaf(middle).certificate, with_serial_number_zero(middle)]
    with pytest.raises(CertificateRejected, match="serial number zero"):
        verify_path(chain, RootCertStore([root.x509]), purpose=Purpose.CLIENT_AUTH, now=NOW)
    old = authority("CN=Old", serial_number=0x77)
    store = RootCertStore([with_serial_number_zero(old)])
    assert verify_path([leaf(old).certificate], store, purpose=Purpose.CLIENT_AUTH, now=NOW)


def test_a_huge_or_misleading_name_stays_out_of_the_message(root: Issued) -> None:
    assert "a name of" in str(
        rejection(CertificateProblem.UNKNOWN_ISSUER, [], leaf(root, "CN=" + "x" * 60 + ",O=a" * 900))
    )
    error = rejection(CertificateProblem.UNKNOWN_ISSUER, [], leaf(root, "CN=\u202eevil\x1b[2J"))
    assert "\x1b" not in str(error)
    assert "\u202e" not in str(error)


def test_pyca_agrees_on_common_paths(root: Issued, middle: Issued) -> None:
    store = verification.Store([root.x509])
    for chain, good in (([middle], True), ([], False)):
        one = leaf(middle, names=dns("a.example"))
        verifier = (
            verification.PolicyBuilder()
            .store(store)
            .time(datetime.datetime.fromtimestamp(NOW, datetime.UTC))
            .build_client_verifier()
        )
        if good:
            theirs = verifier.verify(one.x509, [issued.x509 for issued in chain]).chain
            ours = verified([root], one, *chain)
            assert [Certificate.from_x509(certificate) for certificate in theirs] == list(ours)
        else:
            with pytest.raises(verification.VerificationError):
                verifier.verify(one.x509, [issued.x509 for issued in chain])
            rejection(CertificateProblem.UNKNOWN_ISSUER, [root], one, *chain)
