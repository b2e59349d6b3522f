"""C2SP/x509-limbo: all its cases, decided as it expects except for those named in docs/path-validation.md.

Servers are held to the profile of the public web, clients to the private one. Servers are then held to the private one
as well, and what else it lets pass is named too.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from trustls.errors import CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.crl import CertificateRevocationList, CrlStore
from trustls.trust.names import ServerName
from trustls.trust.path import PathLimits, Profile, Purpose, verify_path
from trustls.trust.revocation import Revocation
from trustls.trust.roots import RootCertStore

LIMBO = Path(__file__).parents[3] / "shared" / "limbo" / "limbo.json"
DOCUMENT = Path(__file__).parents[2] / "docs" / "path-validation.md"

_CA_AS_LEAF = "`webpki::ca-as-leaf` must fail for the same: a CA's key signs certificates, not handshakes"

# Decided otherwise than x509-limbo expects, and why.
DEVIATIONS = {
    "pathlen::validation-ignores-pathlen-in-leaf": _CA_AS_LEAF,
    "rfc5280::ca-as-leaf": _CA_AS_LEAF,
    "rfc5280::eku::ee-without-eku": "`webpki::eku::ee-without-eku` must fail for the same",
    "rfc5280::nc::permitted-dns-match-noncritical": (
        "`webpki::nc::permitted-dns-match-noncritical` must pass for the same: constraints bind, critical or not"
    ),
    "rfc5280::root-non-critical-basic-constraints": "roots that browsers trust are so (ePKI, Starfield Class 2)",
    "rfc5280::ski::root-missing-ski": "roots that browsers trust are so (TWCA Global Root CA)",
}

_KEY_IDENTIFIERS = "key identifiers help to find the issuer; its signature proves it, and small CAs leave them out"
_COMMON_NAME = "the common name is not used as a name, so it may say anything"
_PURPOSE = "RFC 5280 allows it; a purpose that is named must fit all the same"
_LEADING_PERIOD = "private CAs have it so, as OpenSSL and Go take it: it means all names below, and not that one itself"
_ROOT_FORM = "how a root is made does not bear on whether it is believed: that it is among the roots does"
_NO_SUFFIX_LIST = "needs the public suffix list, which changes every week; a wildcard has two labels behind it at least"
_FLAG = "a critical flag on what is understood changes nothing"

# What the private profile lets pass beyond that, and why.
PRIVATE = {
    "rfc5280::aki::cross-signed-root-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::aki::intermediate-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::aki::leaf-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::nc::invalid-dnsname-leading-period": _LEADING_PERIOD,
    "rfc5280::san::underscore-dns": "hosts of containers are named so; RFC 1034 forbids it to hosts of the Internet",
    "rfc5280::ski::intermediate-missing-ski": _KEY_IDENTIFIERS,
    "webpki::aki::root-with-aki-all-fields": _ROOT_FORM,
    "webpki::aki::root-with-aki-authoritycertissuer": _ROOT_FORM,
    "webpki::aki::root-with-aki-authoritycertserialnumber": _ROOT_FORM,
    "webpki::aki::root-with-aki-missing-keyidentifier": _ROOT_FORM,
    "webpki::aki::root-with-aki-ski-mismatch": _ROOT_FORM,
    "webpki::cn::case-mismatch": _COMMON_NAME,
    "webpki::cn::ipv4-hex-mismatch": _COMMON_NAME,
    "webpki::cn::ipv4-leading-zeros-mismatch": _COMMON_NAME,
    "webpki::cn::ipv6-non-rfc5952-mismatch": _COMMON_NAME,
    "webpki::cn::ipv6-uncompressed-mismatch": _COMMON_NAME,
    "webpki::cn::ipv6-uppercase-mismatch": _COMMON_NAME,
    "webpki::cn::not-in-san": _COMMON_NAME,
    "webpki::cn::punycode-not-in-san": _COMMON_NAME,
    "webpki::cn::utf8-vs-punycode-mismatch": _COMMON_NAME,
    "webpki::eku::ee-anyeku": _PURPOSE,
    "webpki::eku::ee-critical-eku": _FLAG,
    "webpki::eku::ee-without-eku": _PURPOSE,
    "webpki::eku::root-has-eku": _ROOT_FORM,
    "webpki::san::public-suffix-multi-label-wildcard-san": _NO_SUFFIX_LIST,
    "webpki::san::public-suffix-private-namespace-wildcard-san": _NO_SUFFIX_LIST,
    "webpki::san::san-critical-with-nonempty-subject": _FLAG,
}
# Where the web's rule is stricter than RFC 5280, the private profile keeps to the latter.
PRIVATE_AGREES = {"rfc5280::eku::ee-without-eku"}


@functools.cache
def limbo() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads(LIMBO.read_text())["testcases"]}


def cases(*kinds: str) -> list[Any]:
    if not LIMBO.exists():
        return [pytest.param("", marks=pytest.mark.skip(reason=f"{LIMBO} is not there"))]
    return sorted(name for name, case in limbo().items() if case["validation_kind"] in kinds)


def accepted(case: dict[str, Any], profile: Profile) -> bool:
    now = datetime.datetime.fromisoformat(case["validation_time"] or "2026-06-01T00:00:00+00:00").timestamp()
    depth = case["max_chain_depth"]
    of_server = case["validation_kind"] == "SERVER"
    try:
        crls = [crl for pem in case["crls"] for crl in CertificateRevocationList.from_pem(pem)]
        revocation = Revocation(crls=CrlStore(crls), unknown="allow")
        chain = [Certificate.from_pem(pem)[0] for pem in (case["peer_certificate"], *case["untrusted_intermediates"])]
        [leaf, *_] = verify_path(
            chain,
            roots(case["trusted_certs"]),
            purpose=Purpose.SERVER_AUTH if of_server else Purpose.CLIENT_AUTH,
            now=now,
            limits=PathLimits() if depth is None else PathLimits(intermediates=depth),
            profile=profile,
            check=lambda path: revocation.fault(path, now=now),
        )
    except (CertificateRejected, ConfigError):
        # A CRL that cannot be used is a ConfigError: nobody is let in by a configuration that cannot be made.
        return False
    if of_server:
        name = case["expected_peer_name"]
        return name is None or ServerName(name["value"]).matches(leaf)
    return {name["value"] for name in case["expected_peer_names"]} <= set(leaf.emails)


def roots(pems: list[str]) -> RootCertStore:
    store = RootCertStore()
    for pem in pems:
        try:
            store.add_pem(pem)
        except ConfigError:
            continue  # What cannot be a root is not added; without any, nobody is accepted.
    return store


@pytest.mark.parametrize("name", cases("SERVER", "CLIENT"))
def test_limbo(name: str) -> None:
    case = limbo()[name]
    expected = case["expected_result"] == "SUCCESS"
    profile = Profile.WEBPKI if case["validation_kind"] == "SERVER" else Profile.PRIVATE
    assert accepted(case, profile) == (expected != (name in DEVIATIONS)), case["description"]


@pytest.mark.parametrize("name", cases("SERVER"))
def test_limbo_under_the_private_profile(name: str) -> None:
    case = limbo()[name]
    expected = case["expected_result"] == "SUCCESS"
    deviates = (name in DEVIATIONS or name in PRIVATE) and name not in PRIVATE_AGREES
    assert accepted(case, Profile.PRIVATE) == (expected != deviates), case["description"]


@pytest.mark.skipif(not LIMBO.exists(), reason=f"{LIMBO} is not there")
def test_every_deviation_is_a_case_and_they_are_few() -> None:
    assert set(DEVIATIONS) | set(PRIVATE) <= set(limbo())
    assert not set(DEVIATIONS) & set(PRIVATE)
    assert len(DEVIATIONS) <= 20
    assert all(limbo()[name]["expected_result"] == "FAILURE" for name in PRIVATE), "the private profile refuses no more"


@pytest.mark.parametrize(
    ("heading", "table"), [("Where it decides otherwise", DEVIATIONS), ("What the private profile lets pass", PRIVATE)]
)
def test_the_document_names_every_deviation_with_its_reason(heading: str, table: dict[str, str]) -> None:
    section = re.split(r"^#+ ", DOCUMENT.read_text(), flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith(heading)]
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \|$", text, flags=re.MULTILINE)
    assert dict(rows) == table
    assert len(rows) == len(table)


@pytest.mark.skipif(not LIMBO.exists(), reason=f"{LIMBO} is not there")
def test_the_document_counts_the_cases_rightly() -> None:
    said = f"{len(limbo())} cases, {len(limbo()) - len(DEVIATIONS)} decided as expected, {len(DEVIATIONS)} otherwise"
    assert said in DOCUMENT.read_text()
