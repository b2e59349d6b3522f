from __future__ import annotations

import asyncio
import base64
import copy
import ipaddress
import pickle
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ids import stable
from tests.trust.issuing import Issued, authority, dns, issue, leaf, usage
from trustls.errors import AlertDescription, CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.authorize import Answer, Authorize, Refusal, authorized
from trustls.trust.certificate import Certificate
from trustls.trust.spiffe import SpiffeId
from trustls.trust.verifiers import Peer
from trustls.wire.names import DistinguishedName

ROOT = authority("CN=Root,O=Example")
SUB = authority("CN=Sub,O=Example", ROOT)


def verified(certificate: Certificate, *cas: Issued) -> Peer:
    return Peer((certificate,), (certificate, *(ca.certificate for ca in cas or (ROOT,))))


def peer(*names: x509.GeneralName, subject: str = "CN=api", **options: Any) -> Peer:
    return verified(leaf(ROOT, subject, names=names, **options).certificate)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def email(text: str) -> x509.GeneralName:
    return x509.RFC822Name(text)


def ip(text: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(text))


API = peer(
    *dns("api.internal", "www.svc.example"),
    ip("192.0.2.7"),
    email("Api@Example.com"),
    uri("spiffe://example.org/ns/prod/api"),
    subject="CN=api,OU=prod,O=Example",
)
WEB = peer(*dns("web.internal"), uri("https://web.internal/"))
UNVERIFIED = Peer(API.presented)


def settled(answer: Any) -> Any:
    """What was answered at once, or what awaiting it gives; nothing here waits for an event loop."""
    if not isinstance(answer, Awaitable):
        return answer
    steps = answer.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise AssertionError("the answer waits for something")


def lets_in(rule: Authorize, who: Peer) -> bool:
    refusal = settled(rule.refusal(who))
    assert refusal is None or isinstance(refusal, Refusal)
    return refusal is None


def refused(rule: Authorize, who: Peer | None = API) -> Refusal:
    refusal = rule.refusal(who)
    assert isinstance(refusal, Refusal), "expected a refusal at once"
    return refusal


# -- By name -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "good"),
    [
        (Authorize.dns("api.internal"), True),
        (Authorize.dns("API.Internal."), True),
        (Authorize.dns("db.internal", "*.svc.example"), True),
        (Authorize.dns("*.internal"), True),
        (Authorize.dns("db.internal"), False),
        (Authorize.dns("svc.example"), False),
        (Authorize.dns("api"), False),
        (Authorize.ip("192.0.2.7"), True),
        (Authorize.ip("198.51.100.1", "192.0.2.0/24"), True),
        (Authorize.ip(ipaddress.ip_address("192.0.2.7")), True),
        (Authorize.ip(ipaddress.ip_network("192.0.2.0/29")), True),
        (Authorize.ip("192.0.2.8"), False),
        (Authorize.ip("192.0.3.0/24"), False),
        (Authorize.ip("::ffff:192.0.2.7"), False),
        (Authorize.ip("::/0"), False),
        (Authorize.email("Api@example.COM"), True),
        (Authorize.email("api@example.com"), False),
        (Authorize.email("other@example.com", "Api@example.com"), True),
        (Authorize.uri("https://example.com/"), False),
        (Authorize.spiffe_id("spiffe://example.org/ns/prod/api"), True),
        (Authorize.spiffe_id(SpiffeId("spiffe://example.org/ns/prod/api")), True),
        (Authorize.spiffe_id("spiffe://example.org/ns/prod/API"), False),
        (Authorize.spiffe_id("spiffe://example.org/ns/prod"), False),
        (Authorize.spiffe_trust_domain("other.org", "example.org"), True),
        (Authorize.spiffe_trust_domain("org"), False),
        (Authorize.spiffe_path("spiffe://example.org/ns/prod"), True),
        (Authorize.spiffe_path("spiffe://example.org/ns/prod/api"), True),
        (Authorize.spiffe_path("spiffe://example.org/ns/pro"), False),
        (Authorize.spiffe_path("spiffe://other.org/ns/prod"), False),
        (Authorize.spiffe_path("spiffe://example.org/ns/prod/api/v1"), False),
        (Authorize.subject("CN=api,OU=prod,O=Example"), True),
        (Authorize.subject("CN=api"), False),
        (Authorize.subject("CN=api,OU=prod,O=Example,C=DE"), False),
        (Authorize.subject("CN=Api,OU=prod,O=Example"), False),
        (Authorize.everyone(), True),
        (Authorize.nobody(), False),
    ],
    ids=stable,
)
def test_whom_a_rule_lets_in(rule: Authorize, good: bool) -> None:
    assert lets_in(rule, API) is good
    assert lets_in(~rule, API) is not good


def test_a_uri_counts_among_several() -> None:
    who = peer(uri("urn:uuid:0a"), uri("HTTPS://Example.com/Me"))
    assert lets_in(Authorize.uri("https://example.com/Me"), who)
    assert not lets_in(Authorize.uri("https://example.com/me"), who)


def test_a_wildcard_in_a_certificate_is_the_name_of_no_host() -> None:
    who = peer(*dns("*.svc.example"))
    assert lets_in(Authorize.dns("*.svc.example"), who)
    refusal = refused(Authorize.dns("db.svc.example"), who)
    assert "a wildcard in a certificate counts only where the rule has the same wildcard" in refusal.remedy


def test_no_common_name_counts_as_a_dns_name() -> None:
    refusal = refused(Authorize.dns("db.internal"), peer(subject="CN=db.internal"))
    assert refusal.found == "no DNS name (it has no subjectAltName, and the common name does not count)"


@pytest.mark.parametrize(
    "rule",
    [
        Authorize.spiffe_id("spiffe://example.org/db"),
        Authorize.spiffe_trust_domain("example.org"),
        Authorize.spiffe_path("spiffe://example.org/db"),
    ],
)
@pytest.mark.parametrize(
    "who",
    [
        peer(uri("spiffe://example.org/db"), uri("spiffe://example.org/web")),
        peer(uri("spiffe://example.org/db"), uri("https://example.org/")),
        peer(uri("spiffe://example.org/db"), key_usage=usage("digital_signature", "key_cert_sign")),
        peer(uri("spiffe://example.org/db/")),
        peer(uri("spiffe://example.org")),
        peer(*dns("example.org")),
    ],
    ids=["two ids", "id and URL", "signs", "closing slash", "trust domain", "no URI"],
)
def test_what_is_no_svid_is_let_in_by_no_spiffe_rule(rule: Authorize, who: Peer) -> None:
    refusal = refused(rule, who)
    assert refusal.found.startswith("no SPIFFE ID (it "), refusal.found


# -- By distinguished name ---------------------------------------------------------------------------------------------


Attribute: TypeAlias = x509.NameAttribute[Any]


def named(*attributes: Attribute | tuple[Attribute, ...]) -> x509.Name:
    """A name of these RDNs."""
    return x509.Name(
        x509.RelativeDistinguishedName([one] if isinstance(one, x509.NameAttribute) else one) for one in attributes
    )


def with_subject(name: x509.Name) -> Peer:
    """A peer of this subject; made by hand, for `issue` takes text."""
    model = leaf(ROOT)
    builder = x509.CertificateBuilder(
        ROOT.x509.subject,
        name,
        model.key.public_key(),
        model.x509.serial_number,
        model.x509.not_valid_before_utc,
        model.x509.not_valid_after_utc,
    )
    return verified(Certificate.from_x509(builder.sign(ROOT.key, hashes.SHA256())))


CN = NameOID.COMMON_NAME
DC = NameOID.DOMAIN_COMPONENT


def test_a_subject_is_the_same_in_any_form() -> None:
    name = API.certificate.x509.subject
    for form in (name, DistinguishedName(name.public_bytes()), name.rfc4514_string()):
        assert lets_in(Authorize.subject(form), API)


def test_attributes_of_different_types_stand_in_any_order_and_grouping() -> None:
    rule = Authorize.subject("CN=alice,OU=prod,O=Example")
    cn = x509.NameAttribute(CN, "alice")
    ou = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "prod")
    o = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")
    for name in (named(o, ou, cn), named(cn, ou, o), named(ou, (cn, o))):
        assert lets_in(rule, with_subject(name)), name


def test_attributes_of_one_type_keep_their_order() -> None:
    first, second, cn = (x509.NameAttribute(*one) for one in ((DC, "org"), (DC, "example"), (CN, "x")))
    rule = Authorize.subject("CN=x,DC=example,DC=org")
    assert lets_in(rule, with_subject(named(first, second, cn)))
    assert not lets_in(rule, with_subject(named(second, first, cn))), "example.org is not org.example"


def test_attributes_have_to_be_as_many() -> None:
    cn = x509.NameAttribute(CN, "x")
    assert not lets_in(Authorize.subject("CN=x"), with_subject(named(cn, cn)))
    assert not lets_in(Authorize.subject("CN=x,CN=x"), with_subject(named(cn)))


def test_the_string_type_of_an_attribute_does_not_matter_but_each_character_does() -> None:
    printable = x509.NameAttribute(CN, "Kim", x509.name._ASN1Type.PrintableString)
    assert lets_in(Authorize.subject("CN=Kim"), with_subject(named(printable)))
    for other in ("kim", "\u212aim", "Kim ", "Kim\0"):
        assert not lets_in(Authorize.subject("CN=Kim"), with_subject(named(x509.NameAttribute(CN, other)))), other


def test_a_value_that_is_no_text_is_compared_as_it_is() -> None:
    bits = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\x00\x01", x509.name._ASN1Type.BitString)
    name = named(bits, x509.NameAttribute(CN, "x"))
    assert lets_in(Authorize.subject(name), with_subject(name))
    assert not lets_in(Authorize.subject("CN=x"), with_subject(name))


def test_a_legacy_common_name_counts_where_there_is_no_subject_alternative_name() -> None:
    rule = Authorize.legacy_common_name("alice", "bob")
    assert lets_in(rule, peer(subject="CN=alice,O=Example"))
    assert not lets_in(rule, peer(subject="CN=Alice"))
    assert refused(rule, peer(subject="O=alice")).found == "no common name (O=alice)"
    assert refused(rule, peer(subject="CN=carol")).found == "common name carol"


def test_a_legacy_common_name_beside_other_names_does_not_count() -> None:
    refusal = refused(Authorize.legacy_common_name("alice"), peer(*dns("mallory.example"), subject="CN=alice"))
    assert refusal.found.startswith("a subjectAltName, beside which no common name counts")
    assert "Authorize.dns" in refusal.remedy


def test_two_common_names_are_the_name_of_nobody() -> None:
    who = with_subject(named(x509.NameAttribute(CN, "alice"), x509.NameAttribute(CN, "mallory")))
    assert not lets_in(Authorize.legacy_common_name("alice"), who)
    assert not lets_in(Authorize.legacy_common_name("mallory"), who)


# -- By issuer, certificate and key ------------------------------------------------------------------------------------


def test_an_issuer_is_any_ca_of_the_verified_path() -> None:
    who = verified(leaf(SUB).certificate, SUB, ROOT)
    assert lets_in(Authorize.issuer("CN=Sub,O=Example"), who)
    assert lets_in(Authorize.issuer("CN=Other", "CN=Root,O=Example"), who)
    assert lets_in(Authorize.issuer(ROOT.certificate), who)
    assert lets_in(Authorize.issuer(SUB.x509), who)
    assert not lets_in(Authorize.issuer("CN=alice"), who), "the leaf has issued nothing"
    assert not lets_in(Authorize.issuer("CN=Other"), who)


def test_an_issuer_given_as_a_certificate_is_meant_with_its_key() -> None:
    impostor = authority("CN=Sub,O=Example", ROOT)
    who = verified(leaf(impostor).certificate, impostor, ROOT)
    assert lets_in(Authorize.issuer("CN=Sub,O=Example"), who), "a name is only a name"
    assert not lets_in(Authorize.issuer(SUB.certificate), who)
    cross_signed = authority("CN=Sub,O=Example", authority("CN=New Root"), key=SUB.key)
    assert lets_in(Authorize.issuer(SUB.certificate), verified(leaf(SUB).certificate, cross_signed, ROOT))


def test_only_what_was_verified_is_an_issuer() -> None:
    certificate = leaf(ROOT).certificate
    who = Peer((certificate, SUB.certificate), (certificate, ROOT.certificate))
    assert not lets_in(Authorize.issuer("CN=Sub,O=Example"), who), "the peer only sent it along"
    alone = Peer((certificate,), (certificate,))
    assert refused(Authorize.issuer(ROOT.certificate), alone).found == "no issuer (it is trusted by itself)"


def test_a_fingerprint_in_all_the_forms_that_people_have() -> None:
    certificate = API.certificate
    text = certificate.fingerprint
    colons = ":".join(text[at : at + 2] for at in range(0, 64, 2))
    for form in (text, text.upper(), colons, colons.upper(), certificate, certificate.x509):
        assert Authorize.fingerprint(form) == Authorize.fingerprint(text)
        assert lets_in(Authorize.fingerprint("00" * 32, form), API)
        assert not lets_in(Authorize.fingerprint(form), WEB)


def test_a_public_key_in_all_the_forms_that_people_have() -> None:
    certificate = API.certificate
    pin = base64.b64encode(certificate.spki_sha256).decode()
    digest = certificate.spki_sha256.hex()
    key: Any = certificate.public_key
    for form in (digest, digest.upper(), pin, f"sha256/{pin}", f"sha256//{pin}", key, certificate, certificate.x509):
        assert Authorize.public_key(form) == Authorize.public_key(digest)
        assert lets_in(Authorize.public_key("00" * 32, form), API)
        assert not lets_in(Authorize.public_key(form), WEB)


def test_a_base64_pin_may_start_with_a_slash() -> None:
    pin = base64.b64encode(b"\xff" * 32).decode()
    for prefix in ("", "sha256/", "sha256//"):
        assert Authorize.public_key(prefix + pin) == Authorize.public_key("ff" * 32)
    for prefix in ("/", "sha1/", "sha256", "sha256///"):
        with pytest.raises(ConfigError, match="no SHA-256 of a public key"):
            Authorize.public_key(prefix + pin)


def test_a_public_key_lasts_through_a_renewal() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    old, new = (leaf(ROOT, key=key).certificate for _ in range(2))
    assert lets_in(Authorize.public_key(old), verified(new))
    assert not lets_in(Authorize.fingerprint(old), verified(new))


# -- What is asked for is checked --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "given", "reason"),
    [
        (Authorize.dns, "*", "not the whole left-most label"),
        (Authorize.dns, "a*.b.example", "not the whole left-most label"),
        (Authorize.dns, "10.0.0.1", "no DNS name"),
        (Authorize.dns, ["a.example"], "not list"),
        (Authorize.ip, "db.internal", "no address"),
        (Authorize.ip, "10.0.0.1/8", "host bits"),
        (Authorize.ip, "fe80::1%eth0", "zones"),
        (Authorize.ip, 2130706433, "not int"),
        (Authorize.ip, b"\x7f\0\0\1", "not bytes"),
        (Authorize.email, "alice", "no email address"),
        (Authorize.email, "@example.com", "no email address"),
        (Authorize.uri, "example.com", "no absolute URI"),
        (Authorize.uri, "spiffe://example.org/db", "Authorize.spiffe_id"),
        (Authorize.uri, "SPIFFE://example.org/db", "Authorize.spiffe_id"),
        (Authorize.spiffe_id, "https://example.org/db", "no SPIFFE ID"),
        (Authorize.spiffe_id, "spiffe://example.org/", "no SPIFFE ID"),
        (Authorize.spiffe_id, "spiffe://example.org", r"Authorize.spiffe_trust_domain\('example.org'\)"),
        (Authorize.spiffe_path, "spiffe://example.org", "Authorize.spiffe_trust_domain"),
        (Authorize.spiffe_path, "/ns/prod", "no SPIFFE ID"),
        (Authorize.spiffe_path, "spiffe://example.org/ns/", "no SPIFFE ID"),
        (Authorize.spiffe_trust_domain, "spiffe://example.org", "name the trust domain alone"),
        (Authorize.spiffe_trust_domain, "*.example.org", "no trust domain"),
        (Authorize.fingerprint, "ab" * 20, "this has 40, as for SHA-1"),
        (Authorize.fingerprint, ":".join(["ab"] * 16), "this has 32, as for MD5"),
        (Authorize.fingerprint, "ab" * 31, "this has 62"),
        (Authorize.fingerprint, "zz" * 32, "no SHA-256 fingerprint"),
        (Authorize.fingerprint, "a:b" * 32, "no SHA-256 fingerprint"),
        (Authorize.fingerprint, "ab" * 32 + "\n", "no SHA-256 fingerprint"),
        (Authorize.fingerprint, b"\0" * 32, "not bytes"),
        (Authorize.public_key, "ab" * 20, "no SHA-256 of a public key"),
        (Authorize.public_key, base64.b64encode(b"\0" * 20).decode(), "no SHA-256 of a public key"),
        (Authorize.public_key, "A" * 42 + "B=", "no SHA-256 of a public key"),
        (Authorize.public_key, "é" * 44, "no SHA-256 of a public key"),
        (Authorize.public_key, ed25519.Ed25519PrivateKey.generate(), "not Ed25519PrivateKey"),
        (Authorize.public_key, b"\0" * 32, "not bytes"),
        (Authorize.subject, "alice", "not the RFC 4514 text of a name"),
        (Authorize.subject, "", "empty"),
        (Authorize.subject, DistinguishedName(b"0\0"), "empty"),
        (Authorize.subject, API.certificate, "not Certificate"),
        (Authorize.issuer, "", "empty"),
        (Authorize.issuer, API.certificate, "is no CA"),
        (Authorize.issuer, 7, "not int"),
        (Authorize.legacy_common_name, "", "not empty"),
        (Authorize.legacy_common_name, None, "not empty"),
        (Authorize.function, True, "callable, unlike bool"),
        (Authorize.any_of, "db.internal", "no str"),
        (Authorize.all_of, lambda who: True, "no function"),
    ],
)
def test_what_is_asked_for_is_checked_when_the_rule_is_made(
    make: Callable[[Any], Authorize], given: object, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        make(given)


@pytest.mark.parametrize(
    "make",
    [
        Authorize.dns, Authorize.ip, Authorize.email, Authorize.uri, Authorize.spiffe_id, Authorize.spiffe_trust_domain,
        Authorize.spiffe_path, Authorize.fingerprint, Authorize.public_key, Authorize.subject, Authorize.issuer,
        Authorize.legacy_common_name,
    ],
)  # fmt: skip
def test_a_rule_that_names_nobody_is_a_mistake(make: Callable[[], Authorize]) -> None:
    with pytest.raises(ConfigError, match="names nobody"):
        make()


def test_a_combination_of_no_rules_is_a_mistake() -> None:
    for combine in (Authorize.any_of, Authorize.all_of):
        with pytest.raises(ConfigError, match="has no rules"):
            combine()


def test_rules_are_not_made_by_hand() -> None:
    with pytest.raises(TypeError):
        Authorize()  # type: ignore[abstract]


def test_a_rule_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="neither true nor false"):
        Authorize.dns("a.example") and Authorize.dns("b.example")
    with pytest.raises(TypeError, match="neither true nor false"):
        assert not Authorize.nobody()


def test_a_rule_combines_with_rules_only() -> None:
    for other in ("db.internal", True, None, lambda who: True):
        with pytest.raises(TypeError):
            Authorize.dns("a.example") | other  # type: ignore[operator]
        with pytest.raises(TypeError):
            Authorize.dns("a.example") & other  # type: ignore[operator]


# -- Who was not verified ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reported:
    """A peer that was let through although its certificate is not good."""

    presented: tuple[Certificate, ...]
    verified: tuple[Certificate, ...]
    error: CertificateRejected


EXPIRED = CertificateRejected(CertificateProblem.EXPIRED, "CN=api expired on 2026-01-01")
NOT_VERIFIED: list[Any] = [
    None,
    UNVERIFIED,
    Reported(API.presented, API.verified, EXPIRED),
    Reported(API.presented, (), EXPIRED),
    Peer(API.presented, WEB.verified),
]
RULES = [
    Authorize.everyone(),
    Authorize.nobody(),
    Authorize.dns("api.internal"),
    Authorize.dns("db.internal"),
    Authorize.fingerprint(API.certificate),
    Authorize.function(lambda who: True),
    Authorize.everyone() | Authorize.function(lambda who: True),
    Authorize.everyone() & Authorize.everyone(),
]


@pytest.mark.parametrize("who", NOT_VERIFIED, ids=["nobody", "unverified", "error", "error only", "another leaf"])
@pytest.mark.parametrize("rule", RULES, ids=stable)
def test_who_was_not_verified_is_let_in_by_no_rule_and_no_negation(rule: Authorize, who: Any) -> None:
    for one in (rule, ~rule, rule | ~rule, ~(rule & ~rule), ~~rule):
        refusal = refused(one, who)
        assert refusal.expected == "a peer with a verified certificate"
        assert "verify the peer" in refusal.remedy


def test_a_function_is_not_asked_about_who_was_not_verified() -> None:
    asked: list[Peer] = []

    def decide(who: Peer) -> bool:
        asked.append(who)
        return True

    rule = Authorize.function(decide)
    for who in NOT_VERIFIED:
        refused(rule, who)
    assert asked == []
    assert rule.refusal(API) is None
    assert asked == [API]


def test_the_reason_why_a_certificate_is_not_good_is_told() -> None:
    refusal = refused(Authorize.everyone(), NOT_VERIFIED[2])
    assert "the certificate has expired: CN=api expired on 2026-01-01" in refusal.found


# -- Functions ---------------------------------------------------------------------------------------------------------


def test_a_function_decides_with_true_or_false() -> None:
    assert lets_in(Authorize.function(lambda who: who is API), API)
    refusal = refused(Authorize.function(lambda who: who is API, name="the gate"), WEB)
    assert refusal.expected == "whoever the gate lets in"
    assert refusal.detail == "expected whoever the gate lets in; found CN=api"


def test_a_function_may_say_why() -> None:
    refusal = refused(Authorize.function(lambda who: "its tenant is \x1b[31msuspended", name="tenant_is_active"))
    assert refusal.detail == "tenant_is_active refuses it: its tenant is \\x1b[31msuspended"
    assert refusal.found == "its tenant is \\x1b[31msuspended"
    assert refused(Authorize.function(lambda who: "")).found == "no reason given"
    assert len(refused(Authorize.function(lambda who: "x" * 9999)).detail) < 600


@pytest.mark.parametrize(
    "answer", [None, 1, 0, b"no", [], (), {"ok": True}, object(), Refusal("no"), Authorize.everyone()]
)
def test_any_other_answer_of_a_function_lets_nobody_in(answer: Any) -> None:
    async def later(who: Peer) -> Any:
        return answer

    for rule in (Authorize.function(lambda who: answer, name="gate"), Authorize.function(later, name="gate")):
        for one in (rule, ~rule, rule | Authorize.everyone(), rule & Authorize.everyone()):
            with pytest.raises(TypeError, match="gate decides with True, False or a str"):
                settled(one.refusal(API))


def test_an_awaitable_of_an_awaitable_is_no_answer() -> None:
    async def inner() -> bool:
        return True

    async def outer(who: Peer) -> Any:
        return kept

    kept = inner()
    with pytest.raises(TypeError, match="not with coroutine"):
        settled(Authorize.function(outer).refusal(API))
    kept.close()


def test_what_a_function_raises_goes_through() -> None:
    def broken(who: Peer) -> bool:
        raise LookupError("no database")

    async def broken_later(who: Peer) -> bool:
        raise LookupError("no database")

    for function in (broken, broken_later):
        rule = Authorize.function(function)
        for one in (rule, ~rule, rule | Authorize.everyone(), Authorize.nobody() | rule, rule & Authorize.nobody()):
            with pytest.raises(LookupError, match="no database"):
                settled(one.refusal(API))


def test_an_asynchronous_function_is_awaited() -> None:
    async def decide(who: Peer) -> bool | str:
        await asyncio.sleep(0)
        return who is API or "not the API"

    async def ask() -> None:
        rule = Authorize.function(decide)
        assert await awaitable(rule.refusal(API)) is None
        refusal = await awaitable(rule.refusal(WEB))
        assert refusal is not None
        assert refusal.found == "not the API"
        assert await awaitable((~rule).refusal(WEB)) is None
        both = (rule | Authorize.nobody()) & ~(Authorize.dns("x.example") | Authorize.function(lambda who: who is WEB))
        assert await awaitable(both.refusal(API)) is None
        assert await awaitable(both.refusal(WEB)) is not None
        admitted = authorized(rule, API)
        assert isinstance(admitted, Awaitable)
        assert await admitted is API
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, True)
        assert await awaitable(Authorize.function(lambda who: future).refusal(API)) is None

    asyncio.run(ask())


def awaitable(answer: Answer) -> Awaitable[Refusal | None]:
    assert isinstance(answer, Awaitable)
    return answer


def test_many_asynchronous_rules_do_not_pile_up() -> None:
    async def no(who: Peer) -> bool:
        return False

    rule = Authorize.any_of(*[Authorize.function(no)] * 5000, Authorize.everyone())
    assert lets_in(rule, API)


def test_an_answer_that_is_given_up_leaves_no_coroutine_behind() -> None:
    ended: list[str] = []

    async def decide(who: Peer) -> bool:
        ended.append("never")
        return True

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rule in (Authorize.function(decide), ~Authorize.function(decide) | Authorize.everyone()):
            admitted: Any = authorized(rule & Authorize.everyone(), API)
            admitted.close()
            del admitted
    assert ended == []


def test_giving_up_an_answer_cancels_a_future() -> None:
    async def ask() -> None:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        answer: Any = Authorize.function(lambda who: future).refusal(API)
        answer.close()
        assert future.cancelled()

    asyncio.run(ask())


def test_giving_up_what_cannot_be_closed_is_no_error() -> None:
    class Custom:
        def __await__(self) -> Any:
            yield

    answer: Any = Authorize.function(lambda who: Custom()).refusal(API)
    answer.close()


def test_a_function_is_called_by_its_name() -> None:
    def tenant_is_active(who: Peer) -> bool:
        return False

    class Gate:
        def __call__(self, who: Peer) -> bool:
            return False

    assert "tenant_is_active" in refused(Authorize.function(tenant_is_active)).detail
    assert repr(Authorize.function(Gate())) == "Authorize.function(Gate)"
    assert repr(Authorize.function(Gate(), name="the gate")) == "Authorize.function(the gate)"


# -- The algebra -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A function that counts how often it is asked."""

    answer: bool
    is_async: bool
    log: list[int]
    number: int

    def __call__(self, who: Peer) -> Any:
        self.log.append(self.number)
        return self._later() if self.is_async else self.answer

    async def _later(self) -> bool:
        return self.answer


Tree: TypeAlias = Any  # A leaf's (answer, asynchronous); or ("not", tree), ("any", trees), ("all", trees).
LEAVES = st.tuples(st.booleans(), st.booleans())
TREES: st.SearchStrategy[Tree] = st.recursive(
    LEAVES,
    lambda trees: st.one_of(
        st.tuples(st.just("not"), trees),
        st.tuples(st.sampled_from(["any", "all"]), st.lists(trees, min_size=1, max_size=4)),
    ),
    max_leaves=12,
)


def built(tree: Tree, log: list[int], numbers: list[int], *, asynchronous: bool | None = None) -> Authorize:
    kind, rest = tree
    if kind == "not":
        return ~built(rest, log, numbers, asynchronous=asynchronous)
    if kind in ("any", "all"):
        rules = [built(one, log, numbers, asynchronous=asynchronous) for one in rest]
        return Authorize.any_of(*rules) if kind == "any" else Authorize.all_of(*rules)
    numbers.append(len(numbers))
    return Authorize.function(Asked(kind, rest if asynchronous is None else asynchronous, log, numbers[-1]))


def judged(tree: Tree, asked: list[int], numbers: list[int]) -> bool:
    """What Python's own `not`, `any` and `all` make of it, and which leaves they ask."""
    kind, rest = tree
    if kind == "not":
        return not judged(rest, asked, numbers)
    if kind in ("any", "all"):
        verdict: bool = kind == "all"
        decided = False
        for one in rest:
            if decided:
                judged(one, [], numbers)  # Not asked; only its leaves are numbered.
            else:
                verdict = judged(one, asked, numbers)
                decided = verdict is (kind == "any")
        return verdict
    numbers.append(len(numbers))
    asked.append(numbers[-1])
    return kind is True


@given(TREES)
def test_a_combination_says_what_python_would_and_asks_no_more_than_it_must(tree: Tree) -> None:
    log: list[int] = []
    asked: list[int] = []
    expected = judged(tree, asked, [])
    assert lets_in(built(tree, log, []), API) is expected
    assert log == asked, "the functions that were asked, in order"


@given(TREES)
def test_synchronous_and_asynchronous_functions_give_the_same_answer(tree: Tree) -> None:
    answers = []
    for asynchronous in (False, True):
        log: list[int] = []
        answer = built(tree, log, [], asynchronous=asynchronous).refusal(API)
        assert isinstance(answer, Awaitable) is asynchronous, "sync stays sync, and one async part makes it async"
        refusal = settled(answer)
        answers.append((log, refusal))
    assert answers[0] == answers[1]


PEERS = [
    API,
    WEB,
    peer(*dns("db.svc.example")),
    peer(uri("spiffe://example.org/db")),
    peer(subject="CN=alice"),
    verified(leaf(SUB).certificate, SUB, ROOT),
]
PRIMITIVES = [
    Authorize.dns("api.internal", "*.svc.example"),
    Authorize.dns("web.internal"),
    Authorize.uri("https://web.internal/"),
    Authorize.spiffe_trust_domain("example.org"),
    Authorize.spiffe_id("spiffe://example.org/db"),
    Authorize.legacy_common_name("alice"),
    Authorize.issuer(SUB.certificate),
    Authorize.ip("192.0.2.0/24"),
    Authorize.everyone(),
    Authorize.nobody(),
    Authorize.function(lambda who: "svc" in str(who.names.dns), name="has_svc"),
]
COMPOSED = st.recursive(
    st.sampled_from(PRIMITIVES),
    lambda rules: st.one_of(
        rules.map(lambda rule: ~rule),
        st.tuples(rules, rules).map(lambda two: two[0] | two[1]),
        st.tuples(rules, rules).map(lambda two: two[0] & two[1]),
    ),
    max_leaves=6,
)


@given(COMPOSED, COMPOSED, COMPOSED, st.sampled_from(PEERS))
def test_the_laws_of_de_morgan_and_their_relatives(a: Authorize, b: Authorize, c: Authorize, who: Peer) -> None:
    def same(one: Authorize, other: Authorize) -> bool:
        return lets_in(one, who) is lets_in(other, who)

    assert same(~(a | b), ~a & ~b)
    assert same(~(a & b), ~a | ~b)
    assert same(a & (b | c), (a & b) | (a & c))
    assert same(a | (b & c), (a | b) & (a | c))
    assert same(a | b, b | a)
    assert same((a | b) | c, Authorize.any_of(a, b, c))
    assert same((a & b) & c, Authorize.all_of(a, b, c))
    assert same(a | a, a)
    assert same(a & Authorize.everyone(), a)
    assert same(a | Authorize.nobody(), a)
    assert lets_in(a | ~a, who)
    assert not lets_in(a & ~a, who)
    assert ~~a == a


@given(COMPOSED, st.sampled_from(PEERS))
def test_every_refusal_of_a_verified_peer_is_told_in_full_and_in_bounds(rule: Authorize, who: Peer) -> None:
    for one in (rule, ~rule):
        refusal = one.refusal(who)
        if refusal is None:
            continue
        assert isinstance(refusal, Refusal)
        for text in (refusal.detail, refusal.expected, refusal.found, refusal.remedy):
            assert text
            assert len(text) <= 1100


@given(COMPOSED)
def test_a_rule_is_read_as_it_was_written(rule: Authorize) -> None:
    names = {"Authorize": Authorize, "has_svc": PRIMITIVES[-1].decide, "CN": None}  # type: ignore[attr-defined]
    text = repr(rule)
    if "; key " in text:
        return  # An issuer that was given as a certificate shows its name and key.
    again = eval(text.replace("function(has_svc)", "function(has_svc, name='has_svc')"), names)
    assert repr(again) == text
    assert again == rule


# -- Values and bindings -----------------------------------------------------------------------------------------------


def test_rules_read_well() -> None:
    rule = (Authorize.dns("db.internal") | Authorize.ip("10.0.0.0/8", "::1")) & ~Authorize.spiffe_trust_domain("test")
    assert repr(rule) == (
        "(Authorize.dns('db.internal') | Authorize.ip('10.0.0.0/8', '::1')) & ~Authorize.spiffe_trust_domain('test')"
    )
    assert repr(~(Authorize.everyone() | Authorize.nobody())) == "~(Authorize.everyone() | Authorize.nobody())"


def decide(who: Peer) -> bool:
    return True


def test_rules_are_values() -> None:
    def make() -> Authorize:
        return Authorize.dns("a.example") & ~(Authorize.issuer(ROOT.certificate) | Authorize.function(decide))

    rule = make()
    assert rule == make()
    assert hash(rule) == hash(make())
    assert copy.deepcopy(rule) == pickle.loads(pickle.dumps(rule)) == rule
    assert rule != Authorize.dns("a.example")
    assert (Authorize.dns("a.example") | Authorize.dns("b.example")) != (
        Authorize.dns("a.example") & Authorize.dns("b.example")
    )
    assert Authorize.email("a@b.example") != Authorize.uri("a:b")
    with pytest.raises(AttributeError):
        rule.rules = ()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        Authorize.dns("a.example").texts = ()  # type: ignore[attr-defined]


def test_one_rule_alone_is_not_wrapped_and_nested_ones_are_flat() -> None:
    a, b, c = (Authorize.dns(f"{name}.example") for name in "abc")
    assert Authorize.any_of(a) is a
    assert a | (b | c) == Authorize.any_of(a, b, c)
    assert a & b & c == Authorize.all_of(a, b, c)
    assert (a | b) & c != Authorize.any_of(a, b, c)


def test_a_session_binding_is_that_of_the_content() -> None:
    def make() -> list[Authorize]:
        a, b = Authorize.dns("a.example"), Authorize.dns("b.example")
        return [
            a,
            b,
            Authorize.dns("a.example", "b.example"),
            Authorize.uri("a:b"),
            Authorize.legacy_common_name("a.example"),
            Authorize.spiffe_trust_domain("a.example"),
            Authorize.fingerprint("00" * 32),
            Authorize.public_key("00" * 32),
            Authorize.issuer("CN=Root,O=Example"),
            Authorize.issuer(ROOT.certificate),
            Authorize.subject("CN=Root,O=Example"),
            Authorize.everyone(),
            Authorize.nobody(),
            a | b,
            a & b,
            b | a,
            ~a,
            ~a | b,
            ~(a | b),
        ]

    bindings = [rule.session_binding for rule in make()]
    assert {len(binding) for binding in bindings} == {32}
    assert len(set(bindings)) == len(bindings), "no two different rules have the same"
    assert bindings == [rule.session_binding for rule in make()]


def test_a_session_binding_is_the_same_in_every_process() -> None:
    rule = Authorize.dns("a.b", "c.d") | ~Authorize.ip("::1")
    program = f"from trustls.trust.authorize import Authorize; print(({rule!r}).session_binding.hex())"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == rule.session_binding.hex()


def test_a_function_binds_sessions_to_this_very_rule() -> None:
    rule, again = Authorize.function(decide), Authorize.function(decide)
    assert rule == again
    assert rule.session_binding == rule.session_binding, "as long as the rule lives"
    assert rule.session_binding == pickle.loads(pickle.dumps(rule)).session_binding
    others = [again, ~again, Authorize.everyone() & again, Authorize.everyone() & (Authorize.nobody() | again)]
    these = [rule, ~rule, Authorize.everyone() & rule, Authorize.everyone() & (Authorize.nobody() | rule)]
    bindings = {one.session_binding for one in these + others}
    assert len(bindings) == 8, "nobody can know whether the function would decide the same"
    assert {len(binding) for binding in bindings} == {32}


def test_a_session_can_be_bound_to_any_text() -> None:
    assert Authorize.legacy_common_name("\ud800").session_binding


# -- What is said ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "detail"),
    [
        (
            Authorize.dns("db.internal"),
            "expected DNS name db.internal; found DNS name api.internal and www.svc.example",
        ),
        (Authorize.ip("10.0.0.0/8", "::1"), "expected IP address 10.0.0.0/8 or ::1; found IP address 192.0.2.7"),
        (Authorize.email("a@b.example"), "expected email address a@b.example; found email address Api@Example.com"),
        (Authorize.uri("urn:a"), "expected URI urn:a; found URI spiffe://example.org/ns/prod/api"),
        (
            Authorize.spiffe_trust_domain("test"),
            "expected SPIFFE trust domain test; found SPIFFE ID spiffe://example.org/ns/prod/api",
        ),
        (Authorize.subject("CN=x"), "expected subject CN=x; found subject CN=api,OU=prod,O=Example"),
        (Authorize.nobody(), "expected nobody; found CN=api,OU=prod,O=Example"),
        (
            ~Authorize.spiffe_path("spiffe://example.org/ns"),
            (
                "expected anyone but (SPIFFE ID at or below spiffe://example.org/ns); "
                "found SPIFFE ID spiffe://example.org/ns/prod/api"
            ),
        ),
        (
            Authorize.uri("urn:a") | Authorize.email("a@b.example") | Authorize.spiffe_id("spiffe://test/a"),
            (
                "expected URI urn:a or email address a@b.example or SPIFFE ID spiffe://test/a; "
                "found URI spiffe://example.org/ns/prod/api; email address Api@Example.com; "
                "SPIFFE ID spiffe://example.org/ns/prod/api"
            ),
        ),
        (
            Authorize.everyone() & Authorize.email("a@b.example"),
            "expected email address a@b.example; found email address Api@Example.com",
        ),
        (
            (Authorize.everyone() & Authorize.uri("urn:a")) | Authorize.uri("urn:b"),
            "expected (anyone who is verified and URI urn:a) or URI urn:b; found URI spiffe://example.org/ns/prod/api",
        ),
        (
            ~(Authorize.everyone() | Authorize.uri("urn:a")),
            (
                "expected anyone but (anyone who is verified or URI urn:a); "
                "found CN=api,OU=prod,O=Example; URI spiffe://example.org/ns/prod/api"
            ),
        ),
        (
            ~Authorize.function(decide),
            "expected anyone but (whoever decide lets in); found CN=api,OU=prod,O=Example",
        ),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(rule: Authorize, detail: str) -> None:
    refusal = refused(rule)
    assert str(refusal) == refusal.detail == detail
    assert refusal.remedy


@pytest.mark.parametrize(
    ("rule", "who", "found"),
    [
        (Authorize.ip("10.0.0.1"), WEB, "no IP address (only DNS name web.internal and URI https://web.internal/)"),
        (Authorize.email("a@b.example"), peer(ip("::1")), "no email address (only IP address ::1)"),
        (Authorize.uri("urn:a"), peer(email("a@b.example")), "no URI (only email address a@b.example)"),
        (
            Authorize.dns("a.example"),
            peer(x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))),
            "no DNS name (only names of other forms)",
        ),
        (Authorize.subject("CN=x"), peer(*dns("a.example"), subject=""), "subject without attributes"),
    ],
)
def test_a_refusal_says_what_the_certificate_is_for(rule: Authorize, who: Peer, found: str) -> None:
    assert refused(rule, who).found == found


def test_a_refusal_by_key_certificate_or_issuer_shows_theirs() -> None:
    zero = "00" * 32
    leaf_certificate = API.certificate
    assert refused(Authorize.fingerprint(zero)).found == f"SHA-256 fingerprint {leaf_certificate.fingerprint}"
    assert leaf_certificate.spki_sha256.hex() in refused(Authorize.public_key(zero)).found
    refusal = refused(Authorize.issuer("CN=Other", "CN=Another"))
    assert refusal.expected == "issuer CN=Other or CN=Another"
    assert refusal.found == f"issuer CN=Root,O=Example; key {ROOT.certificate.spki_sha256.hex()}"


def test_long_lists_and_foreign_text_are_kept_short_and_harmless() -> None:
    many = peer(*dns(*(f"host{number}.example" for number in range(50))), email("x" * 300 + "@a.example"))
    refusal = refused(Authorize.dns(*(f"peer{number}.example" for number in range(500))), many)
    assert refusal.expected.endswith("peer7.example or 492 more")
    assert refusal.found.endswith("host7.example and 42 more")
    assert "such a DNS name" in refusal.remedy
    assert len(refused(Authorize.email("a@b.example"), many).found) < 200
    shady = with_subject(named(x509.NameAttribute(CN, "evil\x1b[2J\u202e")))
    assert refused(Authorize.legacy_common_name("a"), shady).found == "common name evil\\x1b[2J\\u202e"


def test_who_is_let_in_is_given_back() -> None:
    assert authorized(Authorize.dns("api.internal"), API) is API


def test_who_is_refused_is_a_certificate_rejected() -> None:
    with pytest.raises(CertificateRejected) as raised:
        authorized(Authorize.dns("db.internal"), API)
    error = raised.value
    assert error.reason is CertificateProblem.REFUSED
    assert error.alert is AlertDescription.ACCESS_DENIED
    assert error.certificate == API.certificate
    assert error.expected == "DNS name db.internal"
    assert error.found == "DNS name api.internal and www.svc.example"
    assert error.remedy == "issue it a certificate with the DNS name db.internal, or let its own in with Authorize.dns"
    assert str(error) == (
        "the application refused the certificate: CN=api,OU=prod,O=Example is not authorised: expected DNS name "
        "db.internal; found DNS name api.internal and www.svc.example; to mend it: issue it a certificate with the DNS "
        "name db.internal, or let its own in with Authorize.dns"
    )
    assert pickle.loads(pickle.dumps(error)).remedy == error.remedy


def test_who_was_not_verified_is_a_certificate_rejected() -> None:
    with pytest.raises(CertificateRejected, match="found a certificate that nobody verified"):
        authorized(~Authorize.nobody(), UNVERIFIED)


def test_who_is_refused_later_is_a_certificate_rejected_when_awaited() -> None:
    async def no(who: Peer) -> str:
        return "not on the list"

    answer = authorized(Authorize.function(no), API)
    with pytest.raises(CertificateRejected, match="no refuses it: not on the list"):
        settled(answer)


def test_an_unreadable_certificate_that_somebody_called_verified_lets_nobody_in() -> None:
    san = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x00")
    broken = verified(issue("CN=x", extra=[(san, False)]).certificate)
    for rule in (Authorize.dns("a.example"), ~Authorize.dns("a.example"), ~Authorize.spiffe_trust_domain("a")):
        with pytest.raises(CertificateRejected, match="subjectAltName"):
            rule.refusal(broken)
