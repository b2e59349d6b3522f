from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trust.issuing import DAY, NOW, Issued, authority, dns, issue, leaf, raw, usage
from tests.trust.revoking import (
    ECDSA_SHA1,
    UNKNOWN,
    answer,
    at,
    by_key,
    by_name,
    extension,
    oid,
    response,
    revocation_list,
    revoked_status,
    tlv,
)
from trustls.errors import AlertDescription, CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.names import ServerName
from trustls.trust.ocsp import MAX_SKEW, check_own_staple, requires_staple, staple_fault, stapled_answer
from trustls.trust.revocation import Revocation
from trustls.trust.roots import RootCertStore
from trustls.trust.signatures import data_fault
from trustls.trust.verifiers import RootsServerVerifier

HOUR = 3600.0


@dataclass(frozen=True)
class Issuers:
    """A root, the CA under it that issued alice, and a responder of that CA."""

    root: Issued
    ca: Issued
    alice: Issued
    responder: Issued

    @property
    def path(self) -> tuple[Certificate, ...]:
        return self.alice.certificate, self.ca.certificate, self.root.certificate

    @property
    def good(self) -> bytes:
        return response(self.ca, answer(self.alice, self.ca))


def delegate(ca: Issued, **options: Any) -> Issued:
    given = {"purposes": [ExtendedKeyUsageOID.OCSP_SIGNING], "key_usage": usage("digital_signature"), **options}
    return issue("CN=Responder", ca, **given)


@pytest.fixture(scope="module")
def pki() -> Issuers:
    root = authority("CN=Root")
    ca = authority("CN=CA", root)
    return Issuers(root, ca, leaf(ca), delegate(ca))


def fault(path: tuple[Certificate, ...], der: bytes, now: float = NOW, **options: Any) -> Fault:
    told = staple_fault(der, path, now=now, **options)
    assert told is not None, "the response was taken for good"
    assert told.remedy, "every fault says what to do"
    assert told.expected, "every fault says what was expected"
    assert told.found, "every fault says what was found"
    return told


def bad(path: tuple[Certificate, ...], der: bytes, now: float = NOW, **options: Any) -> str:
    told = fault(path, der, now, **options)
    assert told.problem is CertificateProblem.BAD_STAPLE, told
    assert told.problem.alert is AlertDescription.BAD_CERTIFICATE_STATUS_RESPONSE
    return told.detail


# -- Good, revoked, unknown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
@pytest.mark.parametrize("responder", [by_name, by_key])
def test_a_good_answer_of_the_issuer_is_good(
    pki: Issuers, hash_name: str, responder: Callable[[Issued], bytes]
) -> None:
    one = answer(pki.alice, pki.ca, hash_name=hash_name)
    assert staple_fault(response(pki.ca, one, responder=responder(pki.ca)), pki.path, now=NOW) is None


@pytest.mark.parametrize("responder", [by_name, by_key])
def test_a_good_answer_of_a_responder_of_the_issuer_is_good(pki: Issuers, responder: Callable[[Issued], bytes]) -> None:
    der = response(
        pki.responder,
        answer(pki.alice, pki.ca),
        responder=responder(pki.responder),
        certificates=[pki.ca, pki.responder],
    )
    assert staple_fault(der, pki.path, now=NOW) is None


def test_responses_made_by_cryptography_are_read(pki: Issuers) -> None:
    assert staple_fault(built(pki, pki.ca), pki.path, now=NOW) is None


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_responses_may_be_signed_with_any_key_of_a_ca(key: Any) -> None:
    ca = authority("CN=CA", key=key)
    alice = leaf(ca)
    pki = Issuers(ca, ca, alice, ca)
    path = (alice.certificate, ca.certificate)
    assert staple_fault(built(pki, ca), path, now=NOW) is None
    assert staple_fault(built(pki, ca, revoked_at=-1), path, now=NOW) is not None


def built(pki: Issuers, signer: Issued, revoked_at: float | None = None) -> bytes:
    """A response of cryptography's own making."""
    gone = revoked_at is not None
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=pki.alice.x509,
            issuer=pki.ca.x509,
            algorithm=hashes.SHA256(),
            cert_status=ocsp.OCSPCertStatus.REVOKED if gone else ocsp.OCSPCertStatus.GOOD,
            this_update=at(-0.5),
            next_update=at(0.5),
            revocation_time=at(revoked_at) if revoked_at is not None else None,
            revocation_reason=x509.ReasonFlags.key_compromise if gone else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, signer.x509)
    )
    digest = None if isinstance(signer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer.key, digest).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (revoked_status(-2, 1), "revoked on 2026-05-30 00:00:00 UTC, keyCompromise"),
        (revoked_status(-2), "revoked on 2026-05-30 00:00:00 UTC, no reason given"),
    ],
)
def test_a_revoked_answer_is_told_with_the_particulars(pki: Issuers, status: bytes, found: str) -> None:
    told = fault(pki.path, response(pki.ca, answer(pki.alice, pki.ca, status)))
    assert told.problem is CertificateProblem.REVOKED
    assert told.detail.startswith("CN=alice (serial number ")
    assert told.detail.endswith("as the OCSP response for CN=alice says")
    assert told.found == found


def test_a_revoked_answer_out_of_date_is_revoked_all_the_same(pki: Issuers) -> None:
    der = response(pki.ca, answer(pki.alice, pki.ca, revoked_status(), days=(-9, -8)))
    assert fault(pki.path, der).problem is CertificateProblem.REVOKED


def test_an_unknown_certificate_is_refused(pki: Issuers) -> None:
    told = fault(pki.path, response(pki.ca, answer(pki.alice, pki.ca, UNKNOWN)))
    assert told.problem is CertificateProblem.REVOCATION_UNKNOWN


def test_of_several_answers_those_for_the_leaf_count(pki: Issuers) -> None:
    mine, other = answer(pki.alice, pki.ca), answer(pki.responder, pki.ca, revoked_status())
    assert staple_fault(response(pki.ca, other, mine), pki.path, now=NOW) is None
    stale = answer(pki.alice, pki.ca, days=(-9, -8))
    assert staple_fault(response(pki.ca, stale, mine), pki.path, now=NOW) is None
    gone = answer(pki.alice, pki.ca, revoked_status())
    assert fault(pki.path, response(pki.ca, mine, gone)).problem is CertificateProblem.REVOKED


# -- About whom --------------------------------------------------------------------------------------------------------


def test_an_answer_about_another_certificate_is_refused(pki: Issuers) -> None:
    other = leaf(pki.ca, "CN=bob")
    assert "is not about CN=alice of CN=CA" in bad(pki.path, response(pki.ca, answer(other, pki.ca)))
    assert "is not about" in bad(pki.path, response(pki.ca))


def test_an_answer_about_the_same_number_of_another_issuer_is_refused(pki: Issuers) -> None:
    namesake = authority("CN=CA", pki.root)
    stranger = authority("CN=Other", key=pki.ca.key)
    for issuer in (namesake, stranger):
        assert "is not about" in bad(pki.path, response(pki.ca, answer(pki.alice, issuer)))


def test_an_answer_by_an_unknown_hash_is_refused(pki: Issuers) -> None:
    for algorithm in (tlv(0x30, tlv(0x06, b"\x2a\x03")), bytes.fromhex("300d06096086480165030402020500")):
        assert "is not about" in bad(pki.path, response(pki.ca, answer(pki.alice, pki.ca, algorithm=algorithm)))


# -- By whom -----------------------------------------------------------------------------------------------------------


def test_a_response_with_a_bad_signature_is_refused(pki: Issuers) -> None:
    der = bytearray(pki.good)
    der[-1] ^= 1
    assert "does not carry the signature of CN=CA" in bad(pki.path, bytes(der))


def test_a_response_in_the_issuers_name_by_another_key_is_refused(pki: Issuers) -> None:
    der = response(pki.root, answer(pki.alice, pki.ca), responder=by_name(pki.ca))
    assert "does not carry the signature of CN=CA" in bad(pki.path, der)


def test_a_response_of_nobody_here_is_refused(pki: Issuers) -> None:
    one = answer(pki.alice, pki.ca)
    assert "is by CN=Root, which is neither CN=CA nor among the certificates" in bad(pki.path, response(pki.root, one))
    assert "is by a responder with the key" in bad(pki.path, response(pki.root, one, responder=by_key(pki.root)))
    assert "is by CN=Responder" in bad(pki.path, response(pki.responder, one)), "its certificate was not sent"


def test_the_root_does_not_answer_for_what_another_ca_issued(pki: Issuers) -> None:
    der = response(pki.root, answer(pki.alice, pki.ca), certificates=[pki.root])
    assert "CN=Root certified and not CN=CA itself" in bad(pki.path, der)


def test_a_response_signed_with_sha1_is_refused(pki: Issuers) -> None:
    der = response(pki.ca, answer(pki.alice, pki.ca), algorithm=ECDSA_SHA1, digest=hashes.SHA1())
    assert "signed with ECDSA with SHA-1" in bad(pki.path, der)


@pytest.mark.parametrize(
    ("says", "options"),
    [
        ("lacks OCSPSigning", {"purposes": ()}),
        ("lacks OCSPSigning", {"purposes": [ExtendedKeyUsageOID.SERVER_AUTH]}),
        ("lacks OCSPSigning", {"purposes": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}),
        ("lacks digitalSignature", {"key_usage": usage("key_cert_sign")}),
        ("valid from", {"days": (-10, -1)}),
        ("valid from", {"days": (1, 10)}),
        ("1.2.3", {"extra": [(raw("1.2.3", b""), True)]}),
        ("the key of CN=Responder", {"key": ec.generate_private_key(ec.SECP256K1())}),
    ],
)
def test_a_responder_must_be_certified_for_it(pki: Issuers, says: str, options: dict[str, Any]) -> None:
    responder = delegate(pki.ca, **options)
    der = response(responder, answer(pki.alice, pki.ca), responder=by_name(responder), certificates=[responder])
    assert says in bad(pki.path, der)


def test_a_responder_may_have_no_key_usage_and_more_purposes(pki: Issuers) -> None:
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.OCSP_SIGNING]
    responder = delegate(pki.ca, key_usage=None, purposes=purposes, extra=[(x509.OCSPNoCheck(), False)])
    der = response(responder, answer(pki.alice, pki.ca), certificates=[responder])
    assert staple_fault(der, pki.path, now=NOW) is None


def test_a_responder_of_another_ca_is_refused(pki: Issuers) -> None:
    for other in (pki.root, authority("CN=CA", pki.root)):
        responder = delegate(other)
        der = response(responder, answer(pki.alice, pki.ca), certificates=[responder])
        assert "CN=Responder" in bad(pki.path, der)


def test_a_responder_below_another_responder_is_refused(pki: Issuers) -> None:
    below = issue("CN=Below", pki.responder, purposes=[ExtendedKeyUsageOID.OCSP_SIGNING])
    der = response(below, answer(pki.alice, pki.ca), certificates=[below, pki.responder])
    assert "which CN=Responder certified and not CN=CA itself" in bad(pki.path, der)


@pytest.mark.parametrize("no_check", [True, False])
def test_a_responder_that_a_crl_lists_is_refused(pki: Issuers, no_check: bool) -> None:
    """id-pkix-ocsp-nocheck says that it need not be looked up, not that a CRL at hand is to be forgotten."""
    responder = delegate(pki.ca, extra=[(x509.OCSPNoCheck(), False)] if no_check else [])
    der = response(responder, answer(pki.alice, pki.ca), certificates=[responder])
    others = revocation_list(pki.ca, leaf(pki.ca))
    for crls in ([], [others], [others, revocation_list(pki.root)]):
        assert staple_fault(der, pki.path, now=NOW, revocation=Revocation(crls=crls)) is None
    lists = revocation_list(pki.ca, responder)
    for depth in ("chain", "end-entity"):
        revocation = Revocation(crls=[lists], depth=depth, unknown="allow")
        said = bad(pki.path, der, revocation=revocation)
        assert "signed by CN=Responder, and CN=Responder (serial number" in said
        assert "was revoked" in said
    told, known = stapled_answer(der, pki.path, policy="stapled", now=NOW, revocation=Revocation(crls=[lists]))
    assert told is not None
    assert not known


def test_of_several_responders_of_one_name_the_one_that_signed_counts(pki: Issuers) -> None:
    others = [delegate(pki.ca), delegate(pki.root)]
    der = response(pki.responder, answer(pki.alice, pki.ca), certificates=[*others, pki.responder])
    assert staple_fault(der, pki.path, now=NOW) is None


def test_certificates_that_cannot_be_read_are_passed_over(pki: Issuers) -> None:
    # What cryptography reads, and is no certificate here: one without an AlgorithmIdentifier of its own inside.
    odd = bytearray(pki.root.x509.public_bytes(Encoding.DER))
    where = odd.rindex(bytes.fromhex("2a8648ce3d040302"))
    odd[where + 7] = 3
    der = response(pki.responder, answer(pki.alice, pki.ca), certificates=[bytes(odd), pki.responder])
    assert staple_fault(der, pki.path, now=NOW) is None


def test_only_the_first_few_certificates_are_looked_at(pki: Issuers, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*given: Any) -> Fault | None:
        calls.append(given)
        return data_fault(*given)

    monkeypatch.setattr("trustls.trust.ocsp.data_fault", counted)
    others = [delegate(pki.ca) for _ in range(20)]
    bad(pki.path, response(pki.responder, answer(pki.alice, pki.ca), certificates=others))
    assert len(calls) == 4


def test_a_response_is_verified_once(pki: Issuers, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*given: Any) -> Fault | None:
        calls.append(given)
        return data_fault(*given)

    monkeypatch.setattr("trustls.trust.ocsp.data_fault", counted)
    der = pki.good
    for _ in range(3):
        assert staple_fault(der, pki.path, now=NOW) is None
    assert len(calls) == 1


# -- When --------------------------------------------------------------------------------------------------------------


def test_a_response_is_good_from_its_this_update_to_its_next_update(pki: Issuers) -> None:
    der = pki.good
    for now in (NOW - DAY / 2 - MAX_SKEW, NOW, NOW + DAY / 2 + MAX_SKEW + 0.9):
        assert staple_fault(der, pki.path, now=now) is None
    assert "is valid from 2026-05-31 12:00:00 UTC only" in bad(pki.path, der, NOW - DAY / 2 - MAX_SKEW - 1)
    assert "until 2026-06-01 12:00:00 UTC" in bad(pki.path, der, NOW + DAY / 2 + MAX_SKEW + 1)


def test_a_response_without_next_update_is_good_for_a_while(pki: Issuers) -> None:
    der = response(pki.ca, answer(pki.alice, pki.ca, days=(-0.5, None)))
    assert staple_fault(der, pki.path, now=NOW) is None
    assert staple_fault(der, pki.path, now=NOW + DAY / 2) is None
    assert "names no end" in bad(pki.path, der, NOW + DAY)
    assert "names no end" in bad(pki.path, der, NOW, max_age=HOUR)
    assert staple_fault(der, pki.path, now=NOW + DAY, max_age=9 * DAY) is None


def test_a_response_that_ends_before_it_begins_is_refused(pki: Issuers) -> None:
    bad(pki.path, response(pki.ca, answer(pki.alice, pki.ca, days=(0, -0.001))))


# -- What cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"), [(1, "malformedRequest"), (2, "internalError"), (3, "tryLater"), (6, "unauthorized"), (9, "9")]
)
def test_an_error_in_place_of_an_answer_is_refused(pki: Issuers, status: int, name: str) -> None:
    detail = bad(pki.path, tlv(0x30, tlv(0x0A, bytes([status]))))
    assert f"an error in place of an answer: {name}" in detail


def test_critical_extensions_are_refused(pki: Issuers) -> None:
    for critical in (False, True):
        one = extension("1.2.3", b"\x05\x00", critical)
        nonce = extension("1.3.6.1.5.5.7.48.1.2", tlv(0x04, b"n" * 16))
        ders = (
            response(pki.ca, answer(pki.alice, pki.ca), extensions=[nonce, one]),
            response(pki.ca, answer(pki.alice, pki.ca, extensions=[one])),
        )
        for der in ders:
            if critical:
                assert "critical extension 1.2.3" in bad(pki.path, der)
            else:
                assert staple_fault(der, pki.path, now=NOW) is None


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x00",
        tlv(0x30),
        tlv(0x30, tlv(0x0A, b"\x00")),
        tlv(0x30, tlv(0x0A, b"\x00"), tlv(0xA0)),
        tlv(0x30, tlv(0x0A, b"\x00"), tlv(0xA0, tlv(0x30, tlv(0x06, b"\x2a\x03"), tlv(0x04)))),
        tlv(
            0x30,
            tlv(0x0A, b"\x00"),
            tlv(0xA0, tlv(0x30, oid("1.3.6.1.5.5.7.48.1.1"), tlv(0x04))),
        ),
        tlv(0x04, bytes(1 << 16)),
    ],
)
def test_what_is_no_response_is_refused(pki: Issuers, der: bytes) -> None:
    assert "cannot be used" in bad(pki.path, der)


def test_other_forms_are_refused(pki: Issuers) -> None:
    one = answer(pki.alice, pki.ca)
    for der in (
        pki.good + b"\x00",
        response(pki.ca, one, after_all=b"\x05\x00"),
        response(pki.ca, one, certificates=[pki.ca], after=b"\x05\x00"),
        response(pki.ca, one, unused_bits=b"\x01"),
        response(pki.ca, one, version=tlv(0xA0, tlv(0x02, b"\x01"))),
        response(pki.ca, one, version=tlv(0xA0, tlv(0x02, b"\x00"), b"\x05\x00")),
        response(pki.ca, one, responder=tlv(0xA3, b"")),
        response(pki.ca, one, responder=tlv(0xA2, tlv(0x04, b"x"), b"\x05\x00")),
        response(pki.ca, *[one] * 65),
        response(pki.ca, answer(pki.alice, pki.ca, tlv(0x83))),
        response(pki.ca, answer(pki.alice, pki.ca, tlv(0x80, b"x"))),
        response(pki.ca, answer(pki.alice, pki.ca, extensions=[extension("1.2.3", b"")], after=b"\x05\x00")),
        response(pki.ca, answer(pki.alice, pki.ca, revoked_status(-1, 1, after=b"\x05\x00"))),
        response(pki.ca, answer(pki.alice, pki.ca, revoked_status(-1, 7))),
        response(pki.ca, answer(pki.alice, pki.ca, revoked_status(-1, 250))),
    ):
        assert "cannot be used" in bad(pki.path, der)


_ROOT = authority("CN=Root")
_CA = authority("CN=CA", _ROOT)
_PKI = Issuers(_ROOT, _CA, leaf(_CA), delegate(_CA))
_SAMPLES = (
    _PKI.good,
    response(
        _PKI.responder,
        answer(_PKI.alice, _CA, revoked_status(-1, 1), extensions=[extension("1.2.3", b"")]),
        answer(_PKI.responder, _CA),
        certificates=[_PKI.responder],
        extensions=[extension("1.3.6.1.5.5.7.48.1.2", tlv(0x04, b"nonce"))],
        responder=by_key(_PKI.responder),
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_mutated_response_is_a_fault_and_never_an_error(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from(_SAMPLES))
    der = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(der) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert", "drop"]))
        if kind == "change":
            der[where] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del der[where:]
        elif kind == "insert":
            der[where:where] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            del der[where]
        if not der:
            break
    told = staple_fault(bytes(der), _PKI.path, now=NOW)
    check_own_staple(bytes(der), _PKI.alice.certificate, None, NOW)
    # Certificates in the response are not covered by its signature, and need not be needed.
    if told is None:
        assert original is _SAMPLES[0]
        assert bytes(der[-100:]) == original[-100:] or der == original


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_a_fault_and_never_an_error(der: bytes) -> None:
    assert staple_fault(der, _PKI.path, now=NOW) is not None


# -- Policy and must-staple --------------------------------------------------------------------------------------------

_MUST_STAPLE = (x509.TLSFeature([x509.TLSFeatureType.status_request]), False)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ([], False),
        ([_MUST_STAPLE], True),
        ([(x509.TLSFeature([x509.TLSFeatureType.status_request_v2]), False)], False),
        (
            [
                (
                    x509.TLSFeature([x509.TLSFeatureType.status_request_v2, x509.TLSFeatureType.status_request]),
                    False,
                )
            ],
            True,
        ),
        ([(raw("1.3.6.1.5.5.7.1.24", b"x"), False)], True),
        ([(raw("1.3.6.1.5.5.7.1.24", tlv(0x30, tlv(0x04, b"\x05"))), False)], True),
        ([(raw("1.3.6.1.5.5.7.1.24", tlv(0x30)), False)], False),
    ],
)
def test_must_staple_is_the_tls_feature_5(
    pki: Issuers, extra: Sequence[tuple[x509.ExtensionType, bool]], expected: bool
) -> None:
    assert requires_staple(leaf(pki.ca, extra=extra).certificate) is expected


@pytest.mark.parametrize("place", [1, 2])
def test_a_ca_demands_a_staple_for_all_below_it(place: int) -> None:
    """RFC 7633 4.2.2: what it issues ought to say so itself, and is held to it if it does not."""
    root = authority("CN=Root", extra=[_MUST_STAPLE] if place == 2 else [])
    ca = authority("CN=CA", root, extra=[_MUST_STAPLE] if place == 1 else [])
    alice = leaf(ca)
    path = alice.certificate, ca.certificate, root.certificate
    told, known = stapled_answer(b"", path, policy="stapled", now=NOW)
    assert told is not None
    assert told.problem is CertificateProblem.STAPLE_MISSING
    assert f"what the CA {path[place].title} issues" in told.detail
    assert not known
    assert stapled_answer(response(ca, answer(alice, ca)), path, policy="stapled", now=NOW) == (None, True)
    assert stapled_answer(b"", path, policy="off", now=NOW) == (None, False)


def test_a_response_decides_under_every_policy_but_off(pki: Issuers) -> None:
    gone = response(pki.ca, answer(pki.alice, pki.ca, revoked_status()))
    for policy in ("stapled", "required"):
        assert stapled_answer(pki.good, pki.path, policy=policy, now=NOW) == (None, True)
        told, known = stapled_answer(gone, pki.path, policy=policy, now=NOW)
        assert told is not None
        assert told.problem is CertificateProblem.REVOKED
        assert not known
        told, known = stapled_answer(b"junk", pki.path, policy=policy, now=NOW)
        assert told is not None
        assert told.problem is CertificateProblem.BAD_STAPLE
        assert not known
    assert stapled_answer(gone, pki.path, policy="off", now=NOW) == (None, False)


def test_without_a_response_the_policy_and_the_certificate_decide(pki: Issuers) -> None:
    above = pki.path[1:]
    strict = (leaf(pki.ca, extra=[_MUST_STAPLE]).certificate, *above)
    assert stapled_answer(b"", pki.path, policy="stapled", now=NOW) == (None, False)
    assert stapled_answer(b"", strict, policy="off", now=NOW) == (None, False)
    for path, policy in ((pki.path, "required"), (strict, "stapled"), (strict, "required")):
        told, known = stapled_answer(b"", path, policy=policy, now=NOW)
        assert told is not None
        assert told.problem is CertificateProblem.STAPLE_MISSING
        assert told.problem.alert is AlertDescription.BAD_CERTIFICATE_STATUS_RESPONSE
        assert told.remedy
        assert ("must-staple" in told.detail) == (path is strict)
        assert not known


def test_a_client_goes_by_its_crls_and_by_the_cas_of_the_path(pki: Issuers) -> None:
    def taken(verifier: RootsServerVerifier, der: bytes, *chain: Issued) -> str:
        sent = tuple(one.certificate for one in chain)
        try:
            verifier.verify_server(sent, ServerName("a.example"), now=NOW, ocsp_response=der)
        except CertificateRejected as error:
            return error.reason.name
        return "taken"

    strict = authority("CN=Strict", pki.root, extra=[_MUST_STAPLE])
    plain = RootsServerVerifier(RootCertStore([pki.root.x509]), ocsp="stapled")
    bob = leaf(strict, names=dns("a.example"))
    assert taken(plain, b"", bob, strict) == "STAPLE_MISSING"
    assert taken(plain, response(strict, answer(bob, strict)), bob, strict) == "taken"

    alice = leaf(pki.ca, names=dns("a.example"))
    der = response(pki.responder, answer(alice, pki.ca), certificates=[pki.responder])
    assert taken(plain, der, alice, pki.ca) == "taken"
    crls = Revocation(crls=[revocation_list(pki.ca, pki.responder)], unknown="allow")
    knowing = RootsServerVerifier(RootCertStore([pki.root.x509]), ocsp="stapled", crls=crls)
    assert taken(knowing, der, alice, pki.ca) == "BAD_STAPLE"


def test_an_unknown_policy_is_refused(pki: Issuers) -> None:
    with pytest.raises(ConfigError, match="'off', 'stapled' or 'required', not 'on'"):
        stapled_answer(b"", pki.path, policy="on", now=NOW)


# -- One's own staple --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer_known", [True, False])
def test_ones_own_staple_is_checked(pki: Issuers, issuer_known: bool) -> None:
    issuer = pki.ca.certificate if issuer_known else None

    def said(der: bytes, now: float = NOW) -> str:
        return " / ".join(check_own_staple(der, pki.alice.certificate, issuer, now))

    assert said(pki.good) == ""
    assert "is not about CN=alice" in said(response(pki.ca, answer(leaf(pki.ca), pki.ca)))
    assert "cannot be used" in said(b"junk")
    assert "was revoked on" in said(response(pki.ca, answer(pki.alice, pki.ca, revoked_status())))
    assert "does not know the certificate" in said(response(pki.ca, answer(pki.alice, pki.ca, UNKNOWN)))
    assert "until 2026-06-01 12:00:00 UTC" in said(pki.good, NOW + DAY)
    assert (
        "signature" in said(response(pki.root, answer(pki.alice, pki.ca), responder=by_name(pki.ca)))
    ) == issuer_known


# -- OpenSSL as a second opinion ---------------------------------------------------------------------------------------


def write(folder: Path, name: str, *pems: bytes) -> Path:
    path = folder / name
    path.write_bytes(b"".join(pems))
    return path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("delegated", [False, True])
def test_responses_made_by_openssl_are_understood(
    tmp_path: Path, require_peer: Callable[[str], str], delegated: bool
) -> None:
    openssl = require_peer("openssl")
    now = time.time()
    days = ((now - NOW) / DAY - 1, (now - NOW) / DAY + 30)
    ca = authority("CN=CA", days=days)
    responder = delegate(ca, days=days) if delegated else ca
    names = ("alice", "bob", "carol")
    leaves = {name: leaf(ca, f"CN={name}", days=days) for name in names}
    write(tmp_path, "ca.pem", ca.x509.public_bytes(Encoding.PEM))
    write(tmp_path, "responder.pem", responder.x509.public_bytes(Encoding.PEM))
    write(tmp_path, "responder.key", responder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    index = ""
    for name, state in (("alice", "V\t300101000000Z\t"), ("bob", "R\t300101000000Z\t260501000000Z,keyCompromise")):
        serial = f"{leaves[name].x509.serial_number:X}"
        index += f"{state}\t{serial.zfill(len(serial) + len(serial) % 2)}\tunknown\t/CN={name}\n"
    write(tmp_path, "index.txt", index.encode())

    problems: dict[str, CertificateProblem | None] = {}
    for name, one in leaves.items():
        write(tmp_path, "leaf.pem", one.x509.public_bytes(Encoding.PEM))
        run(tmp_path, openssl, "ocsp", "-sha256", "-issuer", "ca.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "q")
        run(
            tmp_path,
            *(openssl, "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem"),
            *("-rkey", "responder.key", "-rmd", "sha256", "-ndays", "1", "-reqin", "q", "-respout", "a"),
        )
        der = (tmp_path / "a").read_bytes()
        told = staple_fault(der, (one.certificate, ca.certificate), now=now)
        problems[name] = None if told is None else told.problem
        if name == "bob":
            assert told is not None
            assert told.found == "revoked on 2026-05-01 00:00:00 UTC, keyCompromise"
        assert bad((leaves["carol" if name == "alice" else "alice"].certificate, ca.certificate), der, now)
    assert problems == {
        "alice": None,
        "bob": CertificateProblem.REVOKED,
        "carol": CertificateProblem.REVOCATION_UNKNOWN,
    }


# `openssl ocsp` compares the times of an answer with the clock, so all this is of today.
_DAYS = (time.time() - NOW) / DAY
_AROUND = (_DAYS - 1, _DAYS + 30)


def of_today() -> Issuers:
    root = authority("CN=Root", days=_AROUND)
    ca = authority("CN=CA", root, days=_AROUND)
    return Issuers(root, ca, leaf(ca, days=_AROUND), delegate(ca, days=_AROUND))


def responses(pki: Issuers) -> dict[str, tuple[bytes, bool]]:
    def about(one: Issued, *status: bytes, days: tuple[float, float] = (-0.5, 0.5)) -> bytes:
        return answer(one, pki.ca, *status, days=(_DAYS + days[0], _DAYS + days[1]))

    one = about(pki.alice)
    unfit = issue("CN=Unfit", pki.ca, days=_AROUND)
    late = delegate(pki.ca, days=(_DAYS - 9, _DAYS - 1))
    return {
        "of the issuer": (response(pki.ca, one), True),
        "of the issuer, by key": (response(pki.ca, one, responder=by_key(pki.ca)), True),
        "of its responder": (response(pki.responder, one, certificates=[pki.responder]), True),
        "of no responder": (response(unfit, one, certificates=[unfit]), False),
        "of a responder out of date": (response(late, one, certificates=[late]), False),
        "of another key": (response(pki.root, one, responder=by_name(pki.ca)), False),
        "out of date": (response(pki.ca, about(pki.alice, days=(-9, -8))), False),
        "of the future": (response(pki.ca, about(pki.alice, days=(8, 9))), False),
        "revoked": (response(pki.ca, about(pki.alice, revoked_status())), False),
        "unknown": (response(pki.ca, about(pki.alice, UNKNOWN)), False),
        "about another": (response(pki.ca, about(unfit)), False),
    }


_TODAY = of_today()
_RESPONSES = responses(_TODAY)


@pytest.mark.parametrize("name", _RESPONSES)
def test_openssl_agrees(name: str, tmp_path: Path, require_peer: Callable[[str], str]) -> None:
    der, good = _RESPONSES[name]
    assert (staple_fault(der, _TODAY.path, now=time.time()) is None) == good
    for file, one in (("root.pem", _TODAY.root), ("ca.pem", _TODAY.ca), ("leaf.pem", _TODAY.alice)):
        write(tmp_path, file, one.x509.public_bytes(Encoding.PEM))
    write(tmp_path, "response.der", der)
    done = subprocess.run(
        [
            *(require_peer("openssl"), "ocsp", "-respin", "response.der", "-no_nonce"),
            *("-CAfile", "root.pem", "-issuer", "ca.pem", "-cert", "leaf.pem"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    accepted = "Response verify OK" in said and "leaf.pem: good" in said and "Status times invalid" not in said
    assert accepted == good, said
