"""What a refusal says: which certificate, what was expected, what came, and what mends it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from tests.trust.issuing import CLIENT, NOW, SERVER, Issued, authority, dn, dns, issue, leaf, raw, usage
from tests.trust.verifying import rejection
from trustls.errors import CertificateProblem, CertificateRejected
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.path import PathLimits, Profile, Purpose, verify_path
from trustls.trust.roots import RootCertStore
from trustls.wire.der import element

Problem = CertificateProblem
ROOT = authority("CN=Root")
MIDDLE = authority("CN=Middle", ROOT)
EMPTY = issue("CN=bob", ROOT, key_identifiers=False)
IMPOSTOR = Issued(ROOT.x509, ec.generate_private_key(ec.SECP256R1()))
DERS = [
    one.x509.public_bytes(Encoding.DER)
    for one in (
        leaf(MIDDLE, "CN=a.example,O=Example", names=[*dns("a.example"), x509.DirectoryName(dn("O=x"))]),
        MIDDLE,
    )
]
UNKNOWN = [(raw("1.2.3.4", b"\x05\x00"), True)]


def with_serial_number_zero() -> Certificate:
    der = leaf(ROOT, serial_number=0x77).x509.public_bytes(Encoding.DER)
    return Certificate.from_der(der.replace(b"\x02\x01\x77", b"\x02\x01\x00", 1))


def version_1() -> Certificate:
    """A version 1 certificate is one without the field that says so."""
    _, tbs_at, _ = element(EMPTY.certificate.der, 0, len(EMPTY.certificate.der))
    tbs = EMPTY.certificate.tbs
    _, start, _ = element(tbs, 0, len(tbs))
    rest = EMPTY.certificate.der[tbs_at + len(tbs) :]
    return Certificate.from_der(sequence(sequence(tbs[start:].removeprefix(b"\xa0\x03\x02\x01\x02")) + rest))


def sequence(content: bytes) -> bytes:
    length = len(content)
    short = bytes([length]) if length < 128 else bytes([0x81, length]) if length < 256 else b"\x82" + length.to_bytes(2)
    return b"\x30" + short + content


# (problem, the chain, the title of the certificate at fault, expected, found, a piece of the remedy)
Case: TypeAlias = tuple[Problem, list[Issued | Certificate], str | None, str, str, str]
CASES: dict[str, Callable[[], Case]] = {
    "expired leaf": lambda: (
        Problem.EXPIRED, [leaf(ROOT, days=(-9, -1))], "CN=alice",
        "a time up to 2026-05-31 00:00:00 UTC", "2026-06-01 00:00:00 UTC", "renew CN=alice; or correct the clock",
    ),
    "expired intermediate": lambda: (
        Problem.EXPIRED, [leaf(m := authority("CN=Middle", ROOT, days=(-9, -1))), m], "CN=Middle",
        "a time up to 2026-05-31 00:00:00 UTC", "2026-06-01 00:00:00 UTC", "let the peer send it along",
    ),
    "not valid yet": lambda: (
        Problem.NOT_YET_VALID, [leaf(ROOT, days=(1, 9))], "CN=alice",
        "a time from 2026-06-02 00:00:00 UTC on", "2026-06-01 00:00:00 UTC", "correct the clock here, or that of",
    ),
    "unknown issuer": lambda: (
        Problem.UNKNOWN_ISSUER, [leaf(authority("CN=Other"))], "CN=alice",
        "a path to a root here", "issued by CN=Other", "put CN=Other into the roots here, if it is to be trusted; if",
    ),
    "self-signed leaf": lambda: (
        Problem.UNKNOWN_ISSUER, [issue("CN=me")], "CN=me",
        "a path to a root here", "issued by CN=me", "or use a certificate that a root here issued",
    ),
    "CA as leaf": lambda: (
        Problem.CA_AS_END_ENTITY, [MIDDLE], "CN=Middle",
        "a certificate without CA:TRUE", "CA:TRUE", "use a certificate that the CA issued",
    ),
    "leaf without digitalSignature": lambda: (
        Problem.WRONG_KEY_USAGE, [leaf(ROOT, key_usage=usage("key_encipherment", "key_agreement"))], "CN=alice",
        "digitalSignature", "keyEncipherment, keyAgreement", "issue CN=alice anew with digitalSignature in keyUsage",
    ),
    "leaf with keyCertSign": lambda: (
        Problem.WRONG_KEY_USAGE, [leaf(ROOT, key_usage=usage("digital_signature", "key_cert_sign"))], "CN=alice",
        "no keyCertSign", "digitalSignature, keyCertSign", "with digitalSignature alone in keyUsage",
    ),
    "leaf for another purpose": lambda: (
        Problem.WRONG_PURPOSE, [leaf(ROOT, purposes=[SERVER])], "CN=alice",
        "clientAuth", "serverAuth", "issue CN=alice anew with clientAuth in extendedKeyUsage",
    ),
    "leaf with name constraints": lambda: (
        Problem.MALFORMED, [leaf(ROOT, permitted=dns("a.example"))], "CN=alice",
        "nameConstraints in certificates of CAs alone", "nameConstraints", "anew without nameConstraints",
    ),
    "serial number zero": lambda: (
        Problem.MALFORMED, [with_serial_number_zero()], "CN=alice",
        "a serial number above zero", "0", "with a serial number of its own",
    ),
    "weak key": lambda: (
        Problem.WEAK_KEY, [leaf(ROOT, key=rsa.generate_private_key(65537, 1024))], "CN=alice",
        "2048 to 8192, in steps of 8", "1024 bits of RSA", "make a new key, such as one for ECDSA on P-256",
    ),
    "not a CA": lambda: (
        Problem.NOT_A_CA, [leaf(EMPTY), EMPTY], "CN=bob",
        "CA:TRUE", "no basicConstraints", "issue CN=bob anew with basicConstraints CA:TRUE, critical",
    ),
    "CA:FALSE": lambda: (
        Problem.NOT_A_CA, [leaf(b := leaf(ROOT, "CN=bob")), b], "CN=bob",
        "CA:TRUE", "CA:FALSE", "issue CN=bob anew",
    ),
    "CA without keyCertSign": lambda: (
        Problem.WRONG_KEY_USAGE, [leaf(m := authority("CN=M", ROOT, key_usage=usage("crl_sign"))), m], "CN=M",
        "keyCertSign", "cRLSign", "issue CN=M anew with keyCertSign in keyUsage",
    ),
    "CA for another purpose": lambda: (
        Problem.WRONG_PURPOSE, [leaf(m := authority("CN=M", ROOT, purposes=[SERVER])), m], "CN=M",
        "clientAuth, or no extendedKeyUsage", "serverAuth", "issue CN=M anew with clientAuth",
    ),
    "path length": lambda: (
        Problem.PATH_TOO_LONG,
        [leaf(n := authority("CN=N", m := authority("CN=M", ROOT, path_length=0))), n, m], "CN=M",
        "at most 0 intermediate CAs below it", "1", "a pathLenConstraint of 1 or more",
    ),
    "bad signature": lambda: (
        Problem.BAD_SIGNATURE, [leaf(IMPOSTOR, key_identifiers=False)], "CN=alice",
        "a signature by the key of CN=Root", "a signature that does not verify", "put CN=alice in place as it was",
    ),
    "signed by another key": lambda: (
        Problem.BAD_SIGNATURE, [leaf(IMPOSTOR)], "CN=alice",
        "a signature by the key of CN=Root", "a signature by another key of that name",
        "use the certificate of the CN=Root that signed it",
    ),
    "signed by a key of another kind": lambda: (
        Problem.BAD_SIGNATURE, [leaf(Issued(ROOT.x509, rsa.generate_private_key(65537, 2048)))], "CN=alice",
        "a signature by the key of CN=Root", "RSA PKCS#1 with SHA-256", "have CN=alice issued anew",
    ),
    "unknown critical extension": lambda: (
        Problem.UNKNOWN_CRITICAL_EXTENSION, [leaf(ROOT, extra=UNKNOWN)], "CN=alice",
        "no critical extension that is not honoured here", "1.2.3.4", "with it not critical",
    ),
    "malformed extension": lambda: (
        Problem.MALFORMED, [issue("CN=alice", ROOT, extra=[(raw("2.5.29.37", b"\x30\x00"), False)])], "CN=alice",
        "extKeyUsage as RFC 5280 4.2 has it", "an extended key usage without a purpose", "a well-formed extKeyUsage",
    ),
    "version 1": lambda: (
        Problem.MALFORMED, [version_1()], "CN=bob", "version 3", "version 1", "-copy_extensions",
    ),
    "no alternative name": lambda: (
        Problem.MALFORMED, [leaf(ROOT, "")], None,
        "a critical subjectAltName where the subject is empty", "no subjectAltName", "with a subject",
    ),
    "policy constraints": lambda: (
        Problem.MALFORMED, [leaf(ROOT, extra=[(x509.PolicyConstraints(0, None), False)])], "CN=alice",
        "no policyConstraints", "policyConstraints", "anew without policyConstraints",
    ),
    "name constraints": lambda: (
        Problem.NAME_NOT_PERMITTED,
        [leaf(m := authority("CN=M", ROOT, permitted=dns("a.example")), names=dns("b.example")), m], "CN=alice",
        "names within a.example", "the name b.example", "issue CN=alice anew without that name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_what_was_expected_and_what_came_and_what_mends_it(name: str) -> None:
    problem, chain, title, expected, found, remedy = CASES[name]()
    error = rejection(problem, [ROOT], *chain)
    assert isinstance(error.certificate, Certificate)
    assert title in {None, error.certificate.title}
    assert (error.expected, error.found) == (expected, found)
    assert remedy in error.remedy
    assert error.remedy not in error.detail, "the message would say it twice"
    assert str(error) == f"{problem.sentence}: {error.detail}; to mend it: {error.remedy}"
    failure = max(error.failures, key=lambda one: one.detail == error.detail)
    assert failure.fault == Fault.of(error)
    assert failure.certificate == error.certificate


def test_an_expired_root_is_renewed_in_the_roots() -> None:
    root = authority("CN=Old", days=(-9, -1))
    error = rejection(Problem.EXPIRED, [root], leaf(root))
    assert error.certificate == root.certificate
    assert error.remedy.startswith("renew CN=Old, and put it into the roots here")


def test_too_many_certificates_are_the_fault_of_none() -> None:
    error = rejection(Problem.CHAIN_TOO_LONG, [ROOT], *[leaf(ROOT)] * 17)
    assert (error.certificate, error.expected, error.found) == (None, "at most 16 certificates", "17")
    assert "each once" in error.remedy
    error = rejection(Problem.PATH_TOO_LONG, [ROOT], leaf(MIDDLE), MIDDLE, limits=PathLimits(intermediates=0))
    assert error.certificate == MIDDLE.certificate
    assert "put one of the intermediate CAs into the roots here" in error.remedy


def test_no_certificate_has_a_remedy() -> None:
    with pytest.raises(CertificateRejected) as caught:
        verify_path([], RootCertStore(), purpose=Purpose.SERVER_AUTH, now=NOW)
    assert str(caught.value) == "no certificate was presented; to mend it: send a certificate"


def test_a_certificate_that_cannot_be_parsed_has_a_remedy() -> None:
    for make in (lambda: Certificate.from_der(b"0"), lambda: Certificate.from_pem(b"-----BEGIN CERTIFICATE-----\n")):
        with pytest.raises(CertificateRejected) as caught:
            make()
        assert caught.value.certificate is None
        assert caught.value.expected
        assert caught.value.remedy
    garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(CertificateRejected, match=r"certificate 1 of the PEM text: .*; to mend it: put a whole"):
        Certificate.from_pem(garbage)


def test_a_key_that_cannot_be_read_has_a_remedy() -> None:
    one = leaf(ROOT).certificate
    error = rejection(Problem.WEAK_KEY, [ROOT], Certificate.from_der(one.der.replace(one.spki[-64:], bytes(64))))
    assert error.expected == "a key for RSA, ECDSA, Ed25519 or ML-DSA"
    assert "issue CN=alice anew for a key" in error.remedy


@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_a_rejection_keeps_its_particulars_when_it_is_copied(duplicate: Callable[[Any], Any]) -> None:
    error = rejection(Problem.WRONG_PURPOSE, [ROOT], leaf(ROOT, purposes=[SERVER]))
    again = duplicate(error)
    for attribute in ("reason", "alert", "detail", "failures", "certificate", "expected", "found", "remedy"):
        assert getattr(again, attribute) == getattr(error, attribute), attribute
    assert str(again) == str(error)


def test_a_rejection_of_a_few_words_is_still_made() -> None:
    error = CertificateRejected(Problem.REFUSED, "not on the list")
    assert str(error) == "the application refused the certificate: not on the list"
    assert (error.certificate, error.expected, error.found, error.remedy, error.failures) == (None, "", "", "", ())


def test_a_failure_reads_as_the_path_and_what_ended_it() -> None:
    error = rejection(Problem.WRONG_PURPOSE, [ROOT], leaf(m := authority("CN=M", ROOT, purposes=[SERVER])), m)
    assert str(error.failures[0]) == (
        "CN=alice <- CN=M: the certificate's extended key usage does not allow this use: the CA CN=M may not issue for "
        "clientAuth, only for serverAuth"
    )


def test_the_profile_of_the_public_web_says_how_to_do_without_it() -> None:
    one = leaf(ROOT, purposes=[CLIENT], key_identifiers=False)
    error = rejection(Problem.AGAINST_PROFILE, [ROOT], one, profile=Profile.WEBPKI)
    assert (error.expected, error.found) == ("an authorityKeyIdentifier with a keyIdentifier", "none")
    assert error.remedy == (
        "issue CN=alice anew with authorityKeyIdentifier; or take the profile 'private' for CAs of one's own"
    )


def test_nothing_misleading_comes_into_a_message_from_a_name() -> None:
    evil = "CN=\u202eevil\x1b[2J\n"
    top = authority("CN=Root", permitted=dns("a.example"))
    error = rejection(Problem.NAME_NOT_PERMITTED, [top], leaf(top, evil, names=dns("b.\x1b[2Jexample")))
    for text in (str(error), error.expected, error.found, error.remedy):
        assert text.isprintable(), ascii(text)
        assert "\u202e" not in text


@given(st.integers(0, 3000), st.integers(1, 255), st.sampled_from(Profile), st.sampled_from(Purpose))
def test_a_damaged_chain_is_refused_and_nothing_else_is_raised(
    at: int, flip: int, profile: Profile, purpose: Purpose
) -> None:
    damaged = bytearray(b"".join(DERS))
    damaged[at % len(damaged)] ^= flip
    cut = len(DERS[0])
    try:
        chain = [Certificate.from_der(bytes(der)) for der in (damaged[:cut], damaged[cut:])]
        path = verify_path(chain, RootCertStore([ROOT.x509]), purpose=purpose, now=NOW, profile=profile)
    except CertificateRejected as error:
        assert error.remedy
    else:
        pytest.fail(f"believed: {path}")
