from __future__ import annotations

import datetime
import functools
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.trust.issuing import DAY, NOW, Issued, authority, leaf, raw, usage
from tests.trust.revoking import (
    ECDSA_SHA1,
    extension,
    only,
    points,
    raw_crl,
    revocation_list,
    revoked,
    uri,
)
from trustls.errors import AlertDescription, CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.crl import CertificateRevocationList, CrlStore, distribution_points
from trustls.trust.path import Purpose, verify_path
from trustls.trust.revocation import Revocation
from trustls.trust.roots import RootCertStore
from trustls.trust.signatures import data_fault

LIMBO = Path(__file__).parents[3] / "shared" / "limbo" / "limbo.json"


@dataclass(frozen=True)
class Chain:
    """Root, intermediate CA and leaf."""

    root: Issued
    middle: Issued
    alice: Issued

    @property
    def path(self) -> tuple[Certificate, ...]:
        return self.alice.certificate, self.middle.certificate, self.root.certificate


@pytest.fixture(scope="module")
def chain() -> Chain:
    root = authority("CN=Root")
    middle = authority("CN=Middle", root)
    return Chain(root, middle, leaf(middle))


def found(path: tuple[Certificate, ...], *crls: CertificateRevocationList, now: float = NOW, **options: Any) -> Any:
    """(title of the certificate at fault, problem), or None."""
    leaf_known = options.pop("leaf_known", False)
    answer = Revocation(crls=crls, **options).fault(path, now=now, leaf_known=leaf_known)
    return None if answer is None else (answer[0].title, answer[1].problem)


def fault(path: tuple[Certificate, ...], *crls: CertificateRevocationList, now: float = NOW, **options: Any) -> Fault:
    answer = Revocation(crls=crls, **options).fault(path, now=now)
    assert answer is not None
    assert answer[1].remedy, "every fault says what to do"
    assert answer[1].expected, "every fault says what was expected"
    assert answer[1].found, "every fault says what was found"
    return answer[1]


# -- What CRLs decide --------------------------------------------------------------------------------------------------


def test_a_path_that_no_crl_lists_is_good(chain: Chain) -> None:
    assert found(chain.path, revocation_list(chain.root), revocation_list(chain.middle, revoked(0x1234))) is None


def test_a_revoked_leaf_is_refused_with_the_particulars(chain: Chain) -> None:
    crl = revocation_list(
        chain.middle, revoked(chain.alice, -3, x509.CRLReason(x509.ReasonFlags.key_compromise)), number=9
    )
    told = fault(chain.path, revocation_list(chain.root), crl)
    assert told.problem is CertificateProblem.REVOKED
    assert told.problem.alert is AlertDescription.CERTIFICATE_REVOKED
    assert told.detail == (
        f"CN=alice (serial number {chain.alice.x509.serial_number:x}) was revoked on 2026-05-29 00:00:00 UTC "
        "(keyCompromise), as the CRL number 9 of CN=Middle says"
    )
    assert told.found == "revoked on 2026-05-29 00:00:00 UTC, keyCompromise"
    assert told.remedy == "use a new certificate in place of CN=alice, with a new key"


def test_a_hold_is_a_revocation_with_another_remedy(chain: Chain) -> None:
    held = revoked(chain.alice, -1, x509.CRLReason(x509.ReasonFlags.certificate_hold))
    told = fault(chain.path, revocation_list(chain.root), revocation_list(chain.middle, held))
    assert told.problem is CertificateProblem.REVOKED
    assert "lift the hold" in told.remedy


def test_a_revoked_intermediate_is_refused(chain: Chain) -> None:
    crls = revocation_list(chain.root, chain.middle), revocation_list(chain.middle)
    assert found(chain.path, *crls) == ("CN=Middle", CertificateProblem.REVOKED)


def test_a_revoked_ca_tells_more_than_a_revoked_leaf(chain: Chain) -> None:
    crls = revocation_list(chain.root, chain.middle), revocation_list(chain.middle, chain.alice)
    assert found(chain.path, *crls) == ("CN=Middle", CertificateProblem.REVOKED)


def test_a_revoked_leaf_tells_more_than_a_ca_of_unknown_status(chain: Chain) -> None:
    crl = revocation_list(chain.middle, chain.alice)
    assert found(chain.path, crl) == ("CN=alice", CertificateProblem.REVOKED)


def test_the_root_is_not_looked_up(chain: Chain) -> None:
    crls = revocation_list(chain.root, chain.root), revocation_list(chain.middle)
    assert found(chain.path, *crls) is None
    pinned = chain.root.certificate
    assert found((pinned, pinned), revocation_list(chain.root, chain.root)) is None


def test_the_depth_may_be_the_leaf_alone(chain: Chain) -> None:
    crls = revocation_list(chain.root, chain.middle), revocation_list(chain.middle)
    assert found(chain.path, *crls, depth="end-entity") is None
    assert found(chain.path, revocation_list(chain.middle), depth="end-entity") is None
    listed = revocation_list(chain.middle, chain.alice)
    assert found(chain.path, listed, depth="end-entity") == ("CN=alice", CertificateProblem.REVOKED)


def test_the_same_serial_number_of_another_issuer_does_not_matter(chain: Chain) -> None:
    other = authority("CN=Other")
    crls = revocation_list(chain.root), revocation_list(chain.middle), revocation_list(other, chain.alice)
    assert found(chain.path, *crls) is None


# -- What no CRL decides -----------------------------------------------------------------------------------------------


def test_a_certificate_without_a_crl_is_refused(chain: Chain) -> None:
    told = fault(chain.path, revocation_list(chain.root))
    assert told.problem is CertificateProblem.REVOCATION_UNKNOWN
    assert told.problem.alert is AlertDescription.CERTIFICATE_UNKNOWN
    assert told.detail == "no CRL here covers CN=alice: there is none of its issuer CN=Middle"
    assert told.found == "CRLs of CN=Root"
    assert told.remedy == (
        "fetch the newest CRL of CN=Middle; or allow what no CRL covers, with Revocation(unknown='allow')"
    )
    assert fault(chain.path).found == "no CRLs at all"


def test_a_certificate_without_a_crl_may_be_allowed(chain: Chain) -> None:
    assert found(chain.path, revocation_list(chain.root), unknown="allow") is None
    assert found(chain.path, unknown="allow") is None


def test_allowing_the_unknown_does_not_let_the_revoked_pass(chain: Chain) -> None:
    listed = revocation_list(chain.middle, chain.alice)
    assert found(chain.path, listed, unknown="allow", expired="allow") == ("CN=alice", CertificateProblem.REVOKED)


def test_a_crl_for_other_certificates_is_named(chain: Chain) -> None:
    crls = revocation_list(chain.root), revocation_list(chain.middle, scope=only(cas=True))
    told = fault(chain.path, *crls)
    assert told.problem is CertificateProblem.REVOCATION_UNKNOWN
    assert "are for other certificates" in told.detail
    assert told.found == "the CRL number 1 of CN=Middle"


def test_a_crl_that_was_left_out_is_named_and_nothing_is_allowed_for_the_lack_of_it(chain: Chain) -> None:
    text = b"".join(
        x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
        for der in (revocation_list(chain.root).der, raw_crl(chain.middle, extensions=(extension("1.2.3", b""),)))
    )
    for unknown in ("refuse", "allow"):
        answer = Revocation(crls=CrlStore.from_pem(text), unknown=unknown).fault(chain.path, now=NOW)
        assert answer is not None, "a CRL that cannot be read may revoke"
        assert answer[1].detail == (
            "no CRL here covers CN=alice: that of its issuer CN=Middle was left out: it has no CRLNumber"
        )
        assert "allow" not in answer[1].remedy


def test_distribution_points_that_cannot_be_read_are_refused(chain: Chain) -> None:
    alice = leaf(chain.root, extra=[(raw("2.5.29.31", b"x"), False)])
    crl = revocation_list(chain.root, scope=only(names=uri("http://a/")))
    path = (alice.certificate, chain.root.certificate)
    assert found(path, crl, unknown="allow") == ("CN=alice", CertificateProblem.MALFORMED)


# -- CRLs that do not count --------------------------------------------------------------------------------------------


def test_a_crl_out_of_date_is_refused(chain: Chain) -> None:
    crls = revocation_list(chain.root), revocation_list(chain.middle, days=(-3, -1))
    told = fault(chain.path, *crls)
    assert told.problem is CertificateProblem.CRL_EXPIRED
    assert told.detail == (
        "the CRL number 1 of CN=Middle, which covers CN=alice, was to be replaced by 2026-05-31 00:00:00 UTC"
    )
    assert found(chain.path, *crls, unknown="allow") == ("CN=alice", CertificateProblem.CRL_EXPIRED)


def test_a_crl_out_of_date_may_be_allowed(chain: Chain) -> None:
    root = revocation_list(chain.root)
    assert found(chain.path, root, revocation_list(chain.middle, days=(-3, -1)), expired="allow") is None


def test_a_crl_out_of_date_revokes_all_the_same(chain: Chain) -> None:
    crls = revocation_list(chain.root), revocation_list(chain.middle, chain.alice, days=(-3, -1))
    for expired in ("refuse", "allow"):
        assert found(chain.path, *crls, expired=expired) == ("CN=alice", CertificateProblem.REVOKED)


def test_a_crl_is_good_through_its_last_second(chain: Chain) -> None:
    crls = revocation_list(chain.root, days=(-9, 9)), revocation_list(chain.middle, days=(-1, 1))
    assert found(chain.path, *crls, now=NOW - DAY) is None
    assert found(chain.path, *crls, now=NOW + DAY + 0.9) is None
    assert found(chain.path, *crls, now=NOW + DAY + 1) is not None
    assert found(chain.path, *crls, now=NOW - DAY - 0.1) is not None


def test_a_crl_of_the_future_proves_nothing(chain: Chain) -> None:
    crls = revocation_list(chain.root), revocation_list(chain.middle, days=(0.5, 1))
    told = fault(chain.path, *crls, unknown="allow", expired="allow")
    assert told.problem is CertificateProblem.REVOCATION_UNKNOWN
    assert told.detail == "the CRL number 1 of CN=Middle is valid from 2026-06-01 12:00:00 UTC only"


def test_until_a_new_crl_is_valid_the_one_before_it_counts(chain: Chain) -> None:
    root = revocation_list(chain.root)
    new = revocation_list(chain.middle, number=2, days=(0.5, 2))
    assert found(chain.path, root, revocation_list(chain.middle), new) is None
    listed = revocation_list(chain.middle, chain.alice)
    assert found(chain.path, root, listed, new) == ("CN=alice", CertificateProblem.REVOKED)


def test_a_badly_signed_crl_makes_nothing_good(chain: Chain) -> None:
    other = authority("CN=Other")
    crls = revocation_list(chain.root), revocation_list(chain.middle, signer=other)
    told = fault(chain.path, *crls)
    assert told.problem is CertificateProblem.REVOCATION_UNKNOWN
    assert told.detail == "the CRL number 1 of CN=Middle does not carry the signature of CN=Middle"
    assert found(chain.path, *crls, unknown="allow") == ("CN=alice", CertificateProblem.REVOCATION_UNKNOWN)
    assert found(chain.path, *crls, expired="allow") == ("CN=alice", CertificateProblem.REVOCATION_UNKNOWN)


def test_a_badly_signed_crl_revokes_nothing(chain: Chain) -> None:
    other = authority("CN=Other")
    bad = revocation_list(chain.middle, chain.alice, number=2, signer=other)
    assert found(chain.path, revocation_list(chain.root), revocation_list(chain.middle), bad) is None


def test_a_badly_signed_crl_does_not_hide_the_one_before_it(chain: Chain) -> None:
    other = authority("CN=Other")
    root, bad = revocation_list(chain.root), revocation_list(chain.middle, number=2, signer=other)
    listed = revocation_list(chain.middle, chain.alice)
    assert found(chain.path, root, listed, bad) == ("CN=alice", CertificateProblem.REVOKED)


def test_a_signature_is_verified_once(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*given: Any) -> Fault | None:
        calls.append(given)
        return data_fault(*given)

    monkeypatch.setattr("trustls.trust.revocation.data_fault", counted)
    good = revocation_list(chain.root, number=77), revocation_list(chain.middle, number=78)
    bad = revocation_list(chain.middle, number=79, signer=chain.root)
    for _ in range(3):
        assert found(chain.path, *good, bad) is None
    assert len(calls) == 3


def test_a_crl_signed_with_sha1_does_not_count(chain: Chain) -> None:
    crl = CertificateRevocationList.from_der(raw_crl(chain.middle, algorithm=ECDSA_SHA1))
    told = fault(chain.path, revocation_list(chain.root), crl)
    assert told.problem is CertificateProblem.REVOCATION_UNKNOWN
    assert "signed with ECDSA with SHA-1" in told.detail


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
        mldsa.MLDSA65PrivateKey.generate,
    ],
    ids=["P-384", "Ed25519", "RSA", "ML-DSA-65"],
)
def test_crls_may_be_signed_with_any_key_of_a_ca(make: Callable[[], Any]) -> None:
    root = authority("CN=Root", key=make())
    alice, bob = leaf(root), leaf(root, "CN=bob")
    crl = revocation_list(root, bob)
    assert found((alice.certificate, root.certificate), crl) is None
    assert found((bob.certificate, root.certificate), crl) == ("CN=bob", CertificateProblem.REVOKED)


def test_a_ca_without_crl_sign_issues_no_crls(chain: Chain) -> None:
    middle = authority("CN=Middle", chain.root, key_usage=usage("key_cert_sign"))
    alice = leaf(middle)
    path = (alice.certificate, middle.certificate, chain.root.certificate)
    crls = revocation_list(chain.root), revocation_list(middle)
    told = fault(path, *crls)
    assert told.problem is CertificateProblem.REVOCATION_UNKNOWN
    assert "the keyUsage of CN=Middle lacks cRLSign" in told.detail
    assert found(path, *crls, unknown="allow") is not None


def test_a_ca_without_key_usage_may_issue_crls(chain: Chain) -> None:
    middle = authority("CN=Middle", chain.root, key_usage=None)
    alice = leaf(middle)
    path = (alice.certificate, middle.certificate, chain.root.certificate)
    assert found(path, revocation_list(chain.root), revocation_list(middle)) is None


def test_a_crl_of_the_same_name_by_another_key_is_of_another_ca(chain: Chain) -> None:
    again = authority("CN=Middle", chain.root)
    crls = revocation_list(chain.root), revocation_list(again, chain.alice)
    assert found(chain.path, *crls) == ("CN=alice", CertificateProblem.REVOCATION_UNKNOWN)
    assert "by another key" in fault(chain.path, *crls).detail
    assert found(chain.path, *crls, unknown="allow") is None
    assert found(chain.path, *crls, revocation_list(chain.middle)) is None


@dataclass(frozen=True)
class Rollover:
    """A CA with a new key, which certified its old one, under which alice's certificate was issued."""

    new: Issued
    old: Issued
    alice: Issued

    @property
    def path(self) -> tuple[Certificate, ...]:
        return self.alice.certificate, self.old.certificate, self.new.certificate


@pytest.fixture(scope="module")
def rollover() -> Rollover:
    new = authority("CN=CA")
    old = authority("CN=CA", new)
    return Rollover(new, old, leaf(old))


@pytest.mark.parametrize("key_identifier", [True, False])
def test_a_ca_with_a_new_key_signs_crls_for_what_the_old_one_signed(rollover: Rollover, key_identifier: bool) -> None:
    """RFC 5280 6.3.3 (f): the name is the CA's, and in the path the one key vouches for the other."""
    good = revocation_list(rollover.new, key_identifier=key_identifier)
    lists = revocation_list(rollover.new, rollover.alice, number=2, key_identifier=key_identifier)
    assert found(rollover.path, good) is None
    for unknown in ("refuse", "allow"):
        assert found(rollover.path, lists, unknown=unknown) == ("CN=alice", CertificateProblem.REVOKED)


def test_of_a_ca_with_two_keys_a_crl_by_a_third_one_says_nothing(rollover: Rollover) -> None:
    third = revocation_list(authority("CN=CA"), rollover.alice)
    assert found(rollover.path, third) == ("CN=CA", CertificateProblem.REVOCATION_UNKNOWN)
    forged = revocation_list(rollover.new, rollover.alice, signer=authority("CN=CA"))
    assert found(rollover.path, forged, unknown="allow") == ("CN=CA", CertificateProblem.REVOCATION_UNKNOWN)


def test_a_ca_of_another_name_above_signs_no_crls_for_those_below(chain: Chain) -> None:
    lists = revocation_list(chain.middle, chain.alice, signer=chain.root, key_identifier=False)
    assert found(chain.path, revocation_list(chain.root), lists) == ("CN=alice", CertificateProblem.REVOCATION_UNKNOWN)


def test_crls_without_a_key_identifier_are_told_apart_by_their_signatures(chain: Chain) -> None:
    again = authority("CN=Middle", chain.root)
    old = revocation_list(again, chain.alice, number=57, key_identifier=False)
    new = revocation_list(chain.middle, number=1, key_identifier=False)
    assert found(chain.path, revocation_list(chain.root), old, new) is None


# -- Several CRLs ------------------------------------------------------------------------------------------------------


def test_the_newer_crl_counts_alone(chain: Chain) -> None:
    root = revocation_list(chain.root)
    old, new = revocation_list(chain.middle, chain.alice, number=1), revocation_list(chain.middle, number=2)
    assert found(chain.path, root, old, new) is None, "the hold was lifted"
    old, new = revocation_list(chain.middle, number=1), revocation_list(chain.middle, chain.alice, number=2)
    assert found(chain.path, root, new, old) == ("CN=alice", CertificateProblem.REVOKED)


def test_a_newer_crl_out_of_date_is_not_helped_by_an_older_one(chain: Chain) -> None:
    root = revocation_list(chain.root)
    old, new = revocation_list(chain.middle, number=1), revocation_list(chain.middle, number=2, days=(-3, -1))
    assert found(chain.path, root, old, new) == ("CN=alice", CertificateProblem.CRL_EXPIRED)


def test_of_several_crls_one_that_revokes_wins(chain: Chain) -> None:
    root, full = revocation_list(chain.root), revocation_list(chain.middle)
    users = revocation_list(chain.middle, chain.alice, scope=only(users=True))
    assert found(chain.path, root, full, users) == ("CN=alice", CertificateProblem.REVOKED)
    assert found(chain.path, root, users, full) == ("CN=alice", CertificateProblem.REVOKED)


def test_of_several_crls_one_that_is_good_suffices(chain: Chain) -> None:
    root, late = revocation_list(chain.root), revocation_list(chain.middle, days=(-3, -1))
    users = revocation_list(chain.middle, scope=only(users=True))
    assert found(chain.path, root, late, users) is None


def test_crls_may_be_split_by_kind_and_by_distribution_point(chain: Chain) -> None:
    alice = leaf(chain.middle, extra=[points("http://crl/1")])
    bob = leaf(chain.middle, "CN=bob", extra=[points("http://crl/2")])
    crls = (
        revocation_list(chain.root, scope=only(cas=True)),
        revocation_list(chain.middle, scope=only(names=uri("http://crl/1"))),
        revocation_list(chain.middle, bob, scope=only(names=uri("http://crl/2"))),
    )
    above = chain.path[1:]
    assert found((alice.certificate, *above), *crls) is None
    assert found((bob.certificate, *above), *crls) == ("CN=bob", CertificateProblem.REVOKED)
    carol = leaf(chain.middle, "CN=carol")
    assert found((carol.certificate, *above), *crls) == ("CN=carol", CertificateProblem.REVOCATION_UNKNOWN)


def test_of_many_split_crls_the_distribution_points_are_read_once(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = leaf(chain.middle, extra=[points(*[f"http://crl/{number}" for number in range(20)])])
    crls = [revocation_list(chain.middle, scope=only(names=uri(f"http://crl/{number}"))) for number in range(19, 59)]
    read: list[Certificate] = []

    def reading(certificate: Certificate) -> tuple[tuple[int, bytes], ...]:
        read.append(certificate)
        return distribution_points(certificate)

    monkeypatch.setattr("trustls.trust.crl.distribution_points", reading)
    path = (alice.certificate, *chain.path[1:])
    assert found(path, revocation_list(chain.root), *crls) is None
    assert read == [alice.certificate]


# -- Together with a stapled OCSP response -----------------------------------------------------------------------------


def test_a_good_staple_stands_in_for_the_leafs_crl(chain: Chain) -> None:
    root = revocation_list(chain.root)
    for crls in (
        (root,),
        (root, revocation_list(chain.middle, days=(-3, -1))),
        (root, revocation_list(chain.middle, signer=chain.root)),
    ):
        assert found(chain.path, *crls) is not None
        assert found(chain.path, *crls, leaf_known=True) is None


def test_a_good_staple_does_not_stand_in_for_the_crl_of_a_ca(chain: Chain) -> None:
    answer = found(chain.path, revocation_list(chain.middle), leaf_known=True)
    assert answer == ("CN=Middle", CertificateProblem.REVOCATION_UNKNOWN)


def test_a_crl_that_revokes_wins_over_a_good_staple(chain: Chain) -> None:
    crls = revocation_list(chain.root), revocation_list(chain.middle, chain.alice)
    assert found(chain.path, *crls, leaf_known=True) == ("CN=alice", CertificateProblem.REVOKED)


# -- The setting -------------------------------------------------------------------------------------------------------


class Current:
    """As a source that reloads."""

    def __init__(self, store: object) -> None:
        self.current = store


def test_crls_that_are_reloaded_count_at_once(chain: Chain) -> None:
    source = Current(CrlStore([revocation_list(chain.root), revocation_list(chain.middle)]))
    revocation = Revocation(crls=source)  # type: ignore[arg-type]
    assert revocation.fault(chain.path, now=NOW) is None
    source.current = CrlStore([revocation_list(chain.root), revocation_list(chain.middle, chain.alice, number=2)])
    assert revocation.fault(chain.path, now=NOW) is not None
    source.current = None
    with pytest.raises(ConfigError, match="`crls` gave a NoneType"):
        revocation.fault(chain.path, now=NOW)


def test_crls_added_to_the_store_count_at_once(chain: Chain) -> None:
    store = CrlStore([revocation_list(chain.root), revocation_list(chain.middle)])
    revocation = Revocation(crls=store)
    assert revocation.fault(chain.path, now=NOW) is None
    store.add(revocation_list(chain.middle, chain.alice, number=2))
    assert revocation.fault(chain.path, now=NOW) is not None


@pytest.mark.parametrize(
    "options",
    [
        {"crls": "crl.pem"},
        {"crls": b"crl"},
        {"crls": 5},
        {"crls": ["crl"]},
        {"crls": Current("crl")},
        {"crls": [], "depth": "leaf"},
        {"crls": [], "unknown": True},
        {"crls": [], "expired": ""},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Revocation(**options)


def test_the_search_for_a_path_goes_around_a_revoked_ca() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    roots = [authority("CN=Root A"), authority("CN=Root B")]
    middles = [authority("CN=Middle", root, key=key) for root in roots]
    alice = leaf(middles[0])
    crls = [revocation_list(roots[0], middles[0]), revocation_list(roots[1]), revocation_list(middles[0])]
    revocation = Revocation(crls=crls)
    path = verify_path(
        [one.certificate for one in (alice, *middles)],
        RootCertStore([one.x509 for one in roots]),
        purpose=Purpose.CLIENT_AUTH,
        now=NOW,
        check=lambda path: revocation.fault(path, now=NOW),
    )
    assert path[-1].title == "CN=Root B"
    with pytest.raises(CertificateRejected) as caught:
        verify_path(
            [one.certificate for one in (alice, middles[0])],
            RootCertStore([one.x509 for one in roots]),
            purpose=Purpose.CLIENT_AUTH,
            now=NOW,
            check=lambda path: revocation.fault(path, now=NOW),
        )
    assert caught.value.reason is CertificateProblem.REVOKED
    assert caught.value.certificate == middles[0].certificate


# -- x509-limbo --------------------------------------------------------------------------------------------------------


@functools.cache
def limbo() -> dict[str, Any]:
    cases = json.loads(LIMBO.read_text())["testcases"] if LIMBO.exists() else []
    return {case["id"]: case for case in cases if case["crls"]}


@pytest.mark.skipif(not LIMBO.exists(), reason=f"{LIMBO} is not there")
def test_limbo_has_cases_with_crls() -> None:
    assert len(limbo()) >= 8


@pytest.mark.parametrize("name", sorted(limbo()))
def test_limbo(name: str) -> None:
    case = limbo()[name]
    store = CrlStore()
    for pem in case["crls"]:
        try:
            store.add_pem(pem)
        except ConfigError:
            continue
    now = datetime.datetime.fromisoformat(case["validation_time"]).timestamp()
    path = [Certificate.from_pem(pem)[0] for pem in (case["peer_certificate"], *case["trusted_certs"])]
    answer = Revocation(crls=store).fault(tuple(path[:2]), now=now)
    assert (answer is None) == (case["expected_result"] == "SUCCESS"), case["description"]


# -- OpenSSL as a second opinion ---------------------------------------------------------------------------------------


def write(folder: Path, name: str, *pems: bytes) -> Path:
    path = folder / name
    path.write_bytes(b"".join(pems))
    return path


def cert_pem(one: Issued) -> bytes:
    return one.x509.public_bytes(Encoding.PEM)


def crl_pem(crl: CertificateRevocationList) -> bytes:
    return x509.load_der_x509_crl(crl.der).public_bytes(Encoding.PEM)


_OTHER = authority("CN=Other")


@dataclass(frozen=True)
class Case:
    """What there is, below the root."""

    good: bool
    leaf: Callable[[Issued], Issued] = leaf
    crls: Callable[[Issued, Issued], list[CertificateRevocationList]] = lambda ca, alice: [revocation_list(ca)]
    ca: Callable[[], Issued] = authority


_CASES = {
    "not listed": Case(True),
    "listed": Case(False, crls=lambda ca, alice: [revocation_list(ca, alice)]),
    "another is listed": Case(True, crls=lambda ca, alice: [revocation_list(ca, revoked(0x7777))]),
    "on hold": Case(
        False,
        crls=lambda ca, alice: [
            revocation_list(ca, revoked(alice, -1, x509.CRLReason(x509.ReasonFlags.certificate_hold)))
        ],
    ),
    "no CRL": Case(False, crls=lambda ca, alice: [revocation_list(_OTHER)]),
    "expired": Case(False, crls=lambda ca, alice: [revocation_list(ca, days=(-3, -1))]),
    "of the future": Case(False, crls=lambda ca, alice: [revocation_list(ca, days=(1, 3))]),
    "signed by another": Case(False, crls=lambda ca, alice: [revocation_list(ca, signer=_OTHER)]),
    "no cRLSign": Case(False, ca=lambda: authority(key_usage=usage("key_cert_sign"))),
    "no keyUsage": Case(True, ca=lambda: authority(key_usage=None)),
    "users only": Case(True, crls=lambda ca, alice: [revocation_list(ca, scope=only(users=True))]),
    "CAs only": Case(False, crls=lambda ca, alice: [revocation_list(ca, scope=only(cas=True))]),
    "users only, listed": Case(False, crls=lambda ca, alice: [revocation_list(ca, alice, scope=only(users=True))]),
    "CAs only, listed": Case(
        True, crls=lambda ca, alice: [revocation_list(ca), revocation_list(ca, alice, scope=only(cas=True))]
    ),
    "the same point": Case(
        True,
        leaf=lambda ca: leaf(ca, extra=[points("http://crl/1")]),
        crls=lambda ca, alice: [revocation_list(ca, scope=only(names=uri("http://crl/0", "http://crl/1")))],
    ),
    "the same point, listed": Case(
        False,
        leaf=lambda ca: leaf(ca, extra=[points("http://crl/1")]),
        crls=lambda ca, alice: [revocation_list(ca, alice, scope=only(names=uri("http://crl/1")))],
    ),
    "another point": Case(
        False,
        leaf=lambda ca: leaf(ca, extra=[points("http://crl/1")]),
        crls=lambda ca, alice: [revocation_list(ca, scope=only(names=uri("http://crl/2")))],
    ),
    "a point in the CRL alone": Case(
        False, crls=lambda ca, alice: [revocation_list(ca, scope=only(names=uri("http://crl/1")))]
    ),
    "a point in the certificate alone": Case(True, leaf=lambda ca: leaf(ca, extra=[points("http://crl/1")])),
    "two numbers": Case(
        False,
        crls=lambda ca, alice: [
            revocation_list(ca, number=1, days=(-2, 1)),
            revocation_list(ca, alice, number=2, days=(-1, 1)),
        ],
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_openssl_agrees(name: str, tmp_path: Path, require_peer: Callable[[str], str]) -> None:
    case = _CASES[name]
    ca = case.ca()
    alice = case.leaf(ca)
    crls = case.crls(ca, alice)
    assert (found((alice.certificate, ca.certificate), *crls) is None) == case.good
    done = subprocess.run(
        [
            *(require_peer("openssl"), "verify", "-crl_check", "-attime", str(int(NOW))),
            *("-CAfile", write(tmp_path, "root.pem", cert_pem(ca))),
            *("-CRLfile", write(tmp_path, "crls.pem", *map(crl_pem, crls))),
            write(tmp_path, "leaf.pem", cert_pem(alice)),
        ],
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) == case.good, done.stderr.decode()


@pytest.mark.parametrize("listed", [True, False])
def test_openssl_agrees_about_the_crl_of_a_new_key(
    rollover: Rollover, listed: bool, tmp_path: Path, require_peer: Callable[[str], str]
) -> None:
    crl = revocation_list(rollover.new, *([rollover.alice] if listed else []))
    assert (found(rollover.path, crl) is not None) == listed
    done = subprocess.run(
        [
            *(require_peer("openssl"), "verify", "-crl_check", "-attime", str(int(NOW))),
            *("-CAfile", write(tmp_path, "root.pem", cert_pem(rollover.new))),
            *("-untrusted", write(tmp_path, "old.pem", cert_pem(rollover.old))),
            *("-CRLfile", write(tmp_path, "crl.pem", crl_pem(crl))),
            write(tmp_path, "leaf.pem", cert_pem(rollover.alice)),
        ],
        capture_output=True,
        check=False,
    )
    assert (done.returncode != 0) == listed, done.stderr.decode()


_CA_CONFIG = """
[ca]
default_ca = here
[here]
database = index.txt
crlnumber = crlnumber
certificate = root.pem
private_key = root.key
default_md = sha256
default_crl_days = 7
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical, @point
[point]
fullname = URI:http://crl.example/root.crl
onlyuser = TRUE
"""


def test_crls_made_by_openssl_are_understood(tmp_path: Path, require_peer: Callable[[str], str]) -> None:
    now = time.time()
    around = ((now - NOW) / DAY - 1, (now - NOW) / DAY + 30)
    root = authority("CN=Root", days=around)
    alice, bob, carol = (
        leaf(root, f"CN={name}", days=around, extra=[points("http://crl.example/root.crl")])
        for name in ("alice", "bob", "carol")
    )
    write(tmp_path, "root.pem", cert_pem(root))
    write(tmp_path, "root.key", root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write(tmp_path, "ca.cnf", _CA_CONFIG.encode())
    write(tmp_path, "index.txt")
    write(tmp_path, "crlnumber", b"1F\n")
    openssl = require_peer("openssl")

    def ca(*arguments: str) -> None:
        command = [openssl, "ca", "-config", "ca.cnf", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    for one, why in ((bob, "keyCompromise"), (carol, "superseded")):
        write(tmp_path, "one.pem", cert_pem(one))
        ca("-revoke", "one.pem", "-crl_reason", why)
    ca("-gencrl", "-out", "root.crl")
    store = CrlStore.from_pem(tmp_path / "root.crl")
    [crl] = store
    assert (crl.number, crl.entries) == (0x1F, 2)
    assert crl.scope.only_users
    revocation = Revocation(crls=store)
    assert revocation.fault((alice.certificate, root.certificate), now=now) is None
    for one, why in ((bob, "keyCompromise"), (carol, "superseded")):
        answer = revocation.fault((one.certificate, root.certificate), now=now)
        assert answer is not None
        assert answer[1].problem is CertificateProblem.REVOKED
        assert f"({why})" in answer[1].detail
    # Nothing names the point that this CRL is of.
    plain = leaf(root, days=around)
    assert revocation.fault((plain.certificate, root.certificate), now=now) is not None
