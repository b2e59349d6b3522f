from __future__ import annotations

import copy
import pickle

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from tests.trust.issuing import Issued, authority, dns, issue, leaf, usage
from trustls.errors import AlertDescription, CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.roots import RootCertStore
from trustls.trust.spiffe import SpiffeBundles, SpiffeId, why_no_svid

ROOT = authority("CN=Example Root")
OTHER_ROOT = authority("CN=Other Root")
DB = "spiffe://example.org/ns/prod/db"


def uris(*texts: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(text) for text in texts]


def svid(*texts: str, issuer: Issued = ROOT, **options: object) -> Certificate:
    return leaf(issuer, "CN=db", names=uris(*texts), **options).certificate


# -- SPIFFE IDs --------------------------------------------------------------------------------------------------------


def test_the_parts_of_a_spiffe_id() -> None:
    identity = SpiffeId(DB)
    assert identity.text == str(identity) == DB
    assert identity.trust_domain == "example.org"
    assert identity.path == "/ns/prod/db"
    assert repr(identity) == "SpiffeId('spiffe://example.org/ns/prod/db')"


def test_the_id_of_a_trust_domain_has_no_path() -> None:
    assert SpiffeId("spiffe://example.org").path == ""
    assert SpiffeId("spiffe://example.org").trust_domain == "example.org"


def test_spiffe_ids_are_values() -> None:
    identity = SpiffeId(DB)
    assert identity == SpiffeId(DB)
    assert {identity, SpiffeId(DB)} == {identity}
    assert copy.deepcopy(identity) == pickle.loads(pickle.dumps(identity)) == identity
    with pytest.raises(AttributeError):
        identity.text = "spiffe://other.org/db"  # type: ignore[misc]


def test_spiffe_ids_are_ordered_by_their_text() -> None:
    unordered = [SpiffeId("spiffe://b/a"), SpiffeId("spiffe://a/b"), SpiffeId("spiffe://a/a")]
    assert [identity.text for identity in sorted(unordered)] == ["spiffe://a/a", "spiffe://a/b", "spiffe://b/a"]


@pytest.mark.parametrize(
    "good",
    [
        "spiffe://a", "spiffe://a/b", "spiffe://1.2.3.4/x", "spiffe://td_1-x.example/A.b-C_9", "spiffe://td/...",
        "spiffe://td/.a", "spiffe://" + "a" * 255 + "/b", "spiffe://a/" + "b" * 2037, "spiffe://-/_",
    ],
)  # fmt: skip
def test_spiffe_ids(good: str) -> None:
    assert SpiffeId(good).text == good


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "does not start with spiffe://"),
        ("example.org/db", "does not start with spiffe://"),
        ("https://example.org/db", "does not start with spiffe://"),
        ("SPIFFE://example.org/db", "does not start with spiffe:// in lower case"),
        ("spiffe:/example.org", "does not start with spiffe://"),
        ("spiffe://", "the trust domain is empty"),
        ("spiffe:///db", "the trust domain is empty"),
        ("spiffe://Example.org/db", "lower-case"),
        ("spiffe://user@example.org/db", "the trust domain has another character"),
        ("spiffe://example.org:8443/db", "the trust domain has another character"),
        ("spiffe://ex%61mple.org/db", "the trust domain has another character"),
        ("spiffe://[::1]/db", "the trust domain has another character"),
        ("spiffe://example.org?q", "the trust domain has another character"),
        ("spiffe://exämple.org/db", "the trust domain has another character"),
        ("spiffe://example.org\n/db", "the trust domain has another character"),
        ("spiffe://" + "a" * 256, "longer than 255 bytes"),
        ("spiffe://example.org/", "ends with /"),
        ("spiffe://example.org/db/", "ends with /"),
        ("spiffe://example.org//db", "empty segment"),
        ("spiffe://example.org/./db", "segment . or .."),
        ("spiffe://example.org/ns/..", "segment . or .."),
        ("spiffe://example.org/db?x=1", "another character"),
        ("spiffe://example.org/db#x", "another character"),
        ("spiffe://example.org/d%62", "another character"),
        ("spiffe://example.org/d b", "another character"),
        ("spiffe://example.org/db\n", "another character"),
        ("spiffe://example.org/dß", "another character"),
        ("spiffe://a/" + "b" * 2038, "longer than 2048 bytes"),
    ],
)
def test_what_is_no_spiffe_id_says_why(bad: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="is no SPIFFE ID") as refused:
        SpiffeId(bad)
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 500, "a long ID is cut in the message"


def test_a_spiffe_id_is_text() -> None:
    with pytest.raises(ConfigError, match="not bytes"):
        SpiffeId(b"spiffe://example.org/db")  # type: ignore[arg-type]


@given(st.text(max_size=30), st.text(alphabet="ab./-_%:@?#A", max_size=12))
def test_any_text_is_a_spiffe_id_of_its_parts_or_a_config_error(text: str, path: str) -> None:
    for candidate in (text, f"spiffe://{text}", f"spiffe://example.org/{path}", f"spiffe://{path}"):
        try:
            identity = SpiffeId(candidate)
        except ConfigError:
            continue
        assert f"spiffe://{identity.trust_domain}{identity.path}" == candidate
        assert identity.is_member_of(identity.trust_domain)


def test_membership_is_of_exactly_one_trust_domain() -> None:
    identity = SpiffeId("spiffe://sub.example.org/db")
    assert identity.is_member_of("sub.example.org")
    assert not identity.is_member_of("example.org"), "a trust domain has no subdomains"


def test_membership_is_asked_with_the_name_of_a_trust_domain() -> None:
    with pytest.raises(ConfigError, match="name the trust domain alone"):
        SpiffeId(DB).is_member_of("spiffe://example.org")
    with pytest.raises(ConfigError, match="no trust domain"):
        SpiffeId(DB).is_member_of("Example.org")
    with pytest.raises(ConfigError, match="not NoneType"):
        SpiffeId(DB).is_member_of(None)  # type: ignore[arg-type]


# -- In certificates ---------------------------------------------------------------------------------------------------


def test_the_identity_of_an_svid_beside_its_other_names() -> None:
    certificate = leaf(ROOT, "CN=db", names=[*dns("db.example"), *uris(DB)]).certificate
    assert SpiffeId.of(certificate) == SpiffeId(DB)
    assert why_no_svid(certificate) == ""


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (leaf(ROOT, names=dns("db.example")).certificate, "has no URIs"),
        (leaf(ROOT).certificate, "has no URIs"),
        (svid(DB, "spiffe://example.org/other"), "has 2 URIs"),
        (svid(DB, "https://example.org/"), "has 2 URIs"),
        (svid(DB, DB), "has 2 URIs"),
        (svid("https://example.org/db"), "which is no SPIFFE ID"),
        (svid("spiffe://Example.org/db"), "which is no SPIFFE ID"),
        (svid("spiffe://example.org"), "names a trust domain and no workload"),
        (svid(DB, key_usage=usage("digital_signature", "key_cert_sign")), "may sign certificates"),
        (svid(DB, key_usage=usage("digital_signature", "crl_sign")), "may sign certificates or CRLs"),
        (authority("CN=CA", names=uris("spiffe://example.org/ca")).certificate, "is the certificate of a CA"),
    ],
    ids=[
        "no URI", "no names", "two ids", "id and URL", "the same twice", "URL", "no id", "trust domain", "keyCertSign",
        "cRLSign", "CA",
    ],
)  # fmt: skip
def test_what_is_no_svid(certificate: Certificate, reason: str) -> None:
    assert SpiffeId.of(certificate) is None
    assert reason in why_no_svid(certificate)


def test_an_svid_without_key_usage_is_taken() -> None:
    assert SpiffeId.of(svid(DB, key_usage=None)) == SpiffeId(DB)


# -- Bundles -----------------------------------------------------------------------------------------------------------


def store(*roots: Issued) -> RootCertStore:
    return RootCertStore(root.certificate for root in roots)


class Reloaded:
    """Roots that change under way."""

    def __init__(self, current: RootCertStore) -> None:
        self.current = current


def test_each_trust_domain_is_verified_with_its_own_roots() -> None:
    example, other = store(ROOT), store(OTHER_ROOT)
    bundles = SpiffeBundles({"example.org": example, "other.org": other})
    assert bundles.roots_for(svid(DB)) is example
    assert bundles.roots_for(svid("spiffe://other.org/db")) is other
    assert bundles.trust_domains == ("example.org", "other.org")
    assert repr(bundles) == "<SpiffeBundles of example.org, other.org>"


def test_the_domain_that_is_claimed_picks_the_bundle_whoever_issued() -> None:
    bundles = SpiffeBundles({"example.org": store(ROOT), "other.org": store(OTHER_ROOT)})
    forged = svid(DB, issuer=OTHER_ROOT)
    assert OTHER_ROOT.certificate not in bundles.roots_for(forged), "a CA of other.org is no root for example.org"


def test_an_unknown_trust_domain_has_no_roots() -> None:
    bundles = SpiffeBundles({"example.org": store(ROOT)})
    certificate = svid("spiffe://evil.org/db")
    with pytest.raises(CertificateRejected) as refused:
        bundles.roots_for(certificate)
    assert refused.value.reason is CertificateProblem.UNKNOWN_ISSUER
    assert refused.value.alert is AlertDescription.UNKNOWN_CA
    assert refused.value.certificate == certificate
    assert refused.value.expected == "the trust domain example.org"
    assert refused.value.found == "the trust domain evil.org"
    assert "bundle of evil.org" in refused.value.remedy
    assert "there are bundles for example.org" in refused.value.detail


def test_the_message_lists_a_few_of_many_bundles() -> None:
    bundles = SpiffeBundles({f"d{number}.example": store(ROOT) for number in range(20)})
    with pytest.raises(CertificateRejected, match=r"d0\.example, .*d7\.example and 12 more"):
        bundles.roots_for(svid(DB))


@pytest.mark.parametrize(
    "certificate", [leaf(ROOT, names=dns("db.example")).certificate, svid(DB, "spiffe://other.org/db")]
)
def test_what_is_no_svid_belongs_to_no_trust_domain(certificate: Certificate) -> None:
    bundles = SpiffeBundles({"example.org": store(ROOT), "other.org": store(OTHER_ROOT)})
    with pytest.raises(CertificateRejected, match="belongs to no trust domain: it has") as refused:
        bundles.roots_for(certificate)
    assert refused.value.reason is CertificateProblem.UNKNOWN_ISSUER
    assert refused.value.expected == "an X509-SVID"


def test_reloaded_roots_are_those_of_now() -> None:
    source = Reloaded(store(ROOT))
    bundles = SpiffeBundles({"example.org": source})
    before = bundles.fingerprint
    source.current = store(OTHER_ROOT)
    assert bundles.roots_for(svid(DB)) is source.current
    assert bundles.subjects() == (OTHER_ROOT.certificate.subject,)
    assert bundles.fingerprint != before, "sessions made under the old roots are bound to them"


def test_a_source_that_turns_into_something_else_trusts_nobody() -> None:
    source = Reloaded(store(ROOT))
    bundles = SpiffeBundles({"example.org": source})
    source.current = None  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"the trust bundle of example\.org is a RootCertStore, not NoneType"):
        bundles.roots_for(svid(DB))


def test_the_subjects_stand_in_order_each_once() -> None:
    third = authority("CN=Third")
    bundles = SpiffeBundles({"z.org": store(OTHER_ROOT, ROOT), "a.org": store(ROOT, third)})
    assert bundles.subjects() == tuple(root.certificate.subject for root in (OTHER_ROOT, ROOT, third))


def test_the_fingerprint_is_that_of_domains_and_roots() -> None:
    one = SpiffeBundles({"a.org": store(ROOT), "b.org": store(OTHER_ROOT)})
    assert one.fingerprint == SpiffeBundles({"b.org": store(OTHER_ROOT), "a.org": store(ROOT)}).fingerprint
    assert one.fingerprint != SpiffeBundles({"a.org": store(OTHER_ROOT), "b.org": store(ROOT)}).fingerprint
    assert one.fingerprint != SpiffeBundles({"a.org": store(ROOT)}).fingerprint
    assert len(one.fingerprint) == 32


@pytest.mark.parametrize(
    ("bundles", "reason"),
    [
        ({}, "there are no trust bundles"),
        ({"example.org": RootCertStore()}, "the trust bundle of example.org has no roots"),
        ({"example.org": Reloaded(RootCertStore())}, "has no roots"),
        ({"spiffe://example.org": RootCertStore()}, "name the trust domain alone"),
        ({"Example.org": RootCertStore()}, "is no trust domain"),
        ({"": RootCertStore()}, "is no trust domain"),
        ({"example.org": "roots.pem"}, "is a RootCertStore, not str"),
        ([RootCertStore()], "a mapping of trust domain to roots, not list"),
    ],
)
def test_bundles_are_checked_when_they_are_given(bundles: dict[str, RootCertStore], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        SpiffeBundles(bundles)


def test_an_unreadable_certificate_is_malformed_and_not_of_no_domain() -> None:
    broken = issue("CN=x", extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x00"), False)])
    with pytest.raises(CertificateRejected) as refused:
        SpiffeBundles({"example.org": store(ROOT)}).roots_for(broken.certificate)
    assert refused.value.reason is CertificateProblem.MALFORMED
