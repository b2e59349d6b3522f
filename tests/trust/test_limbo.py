"""C2SP/x509-limbo: its cases against `verify_path` and the server name check, with every deviation and its reason."""

from __future__ import annotations

import datetime
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from trustls.errors import CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.names import ServerName
from trustls.trust.path import PathLimits, Purpose, verify_path
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import RootsServerVerifier

LIMBO = Path(__file__).parents[3] / "shared" / "limbo" / "limbo.json"

_CRLS = "not yet: CRLs"
_KEY_IDENTIFIERS = (
    "key identifiers are hints for finding the issuer, whose key is proved by the signature; small CAs leave them out"
)
_CABF_ROOT = "a profile for what public roots contain (CABF 7.1.2.1.3): it does not bear on who is believed"
_CABF_CN = "a profile for public CAs (CABF 7.1.4.3): the common name is never used as a name here"
_CABF_EKU = (
    "a profile for public CAs (CABF 7.1.2.7): RFC 5280 allows it, and the purpose asked for is there or not limited"
)
_PSL = "needs the public suffix list; a wildcard has two labels behind it at least"

# What must fail, and is accepted.
ACCEPTED = {
    "crl::revoked-certificate-with-crl": _CRLS,
    "crl::crlnumber-missing": _CRLS,
    "crl::crlnumber-critical": _CRLS,
    "crl::issuer-missing-crlsign": _CRLS,
    "rfc5280::aki::leaf-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::aki::intermediate-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::aki::cross-signed-root-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::ski::root-missing-ski": _KEY_IDENTIFIERS,
    "rfc5280::ski::intermediate-missing-ski": _KEY_IDENTIFIERS,
    "rfc5280::nc::permitted-dns-match-noncritical": "applied critical or not: its webpki twin must pass",
    "rfc5280::san::underscore-dns": "hosts are named so (docker compose), and rustls takes it as well",
    "rfc5280::root-non-critical-basic-constraints": "OpenSSL's old defaults made such; it is honoured all the same",
    "webpki::aki::root-with-aki-missing-keyidentifier": _CABF_ROOT,
    "webpki::aki::root-with-aki-authoritycertissuer": _CABF_ROOT,
    "webpki::aki::root-with-aki-authoritycertserialnumber": _CABF_ROOT,
    "webpki::aki::root-with-aki-all-fields": _CABF_ROOT,
    "webpki::aki::root-with-aki-ski-mismatch": _CABF_ROOT,
    "webpki::cn::ipv4-hex-mismatch": _CABF_CN,
    "webpki::cn::ipv4-leading-zeros-mismatch": _CABF_CN,
    "webpki::cn::ipv6-uppercase-mismatch": _CABF_CN,
    "webpki::cn::ipv6-uncompressed-mismatch": _CABF_CN,
    "webpki::cn::ipv6-non-rfc5952-mismatch": _CABF_CN,
    "webpki::cn::punycode-not-in-san": _CABF_CN,
    "webpki::cn::utf8-vs-punycode-mismatch": _CABF_CN,
    "webpki::cn::not-in-san": _CABF_CN,
    "webpki::cn::case-mismatch": _CABF_CN,
    "webpki::eku::ee-anyeku": _CABF_EKU,
    "webpki::eku::ee-critical-eku": _CABF_EKU,
    "webpki::eku::ee-without-eku": _CABF_EKU,
    "webpki::eku::root-has-eku": _CABF_EKU,
    "webpki::san::public-suffix-multi-label-wildcard-san": _PSL,
    "webpki::san::public-suffix-private-namespace-wildcard-san": _PSL,
    "webpki::san::san-critical-with-nonempty-subject": "RFC 5280: SHOULD, CABF: must; trustme makes such",
}

# What must pass, and is refused.
REFUSED = {
    "pathlen::validation-ignores-pathlen-in-leaf": "a CA certificate is no end-entity certificate, as in rustls-webpki",
    "rfc5280::ca-as-leaf": "a CA certificate is no end-entity certificate: its twin webpki::ca-as-leaf must fail",
}


def cases() -> list[Any]:
    if not LIMBO.exists():
        return [pytest.param("", marks=pytest.mark.skip(reason=f"{LIMBO} is not there"))]
    return sorted(limbo())


@functools.cache
def limbo() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads(LIMBO.read_text())["testcases"]}


def accepted(case: dict[str, Any]) -> bool:
    time = case["validation_time"] or "2026-06-01T00:00:00+00:00"
    now = datetime.datetime.fromisoformat(time).timestamp()
    depth = case["max_chain_depth"]
    limits = PathLimits() if depth is None else PathLimits(intermediates=depth)
    try:
        roots = RootCertStore()
        for pem in case["trusted_certs"]:
            try:
                roots.add_pem(pem)
            except ConfigError:
                continue
        chain = tuple(
            Certificate.from_pem(pem)[0] for pem in (case["peer_certificate"], *case["untrusted_intermediates"])
        )
        name = case["expected_peer_name"]
        if case["validation_kind"] == "SERVER" and name:
            RootsServerVerifier(roots, limits=limits).verify_server(chain, ServerName(name["value"]), now=now)
        else:
            purpose = Purpose.SERVER_AUTH if case["validation_kind"] == "SERVER" else Purpose.CLIENT_AUTH
            verify_path(chain, roots, purpose=purpose, now=now, limits=limits)
    except CertificateRejected:
        return False
    return True


@pytest.mark.parametrize("name", cases())
def test_limbo(name: str) -> None:
    case = limbo()[name]
    expected = case["expected_result"] == "SUCCESS"
    deviates = name in (REFUSED if expected else ACCEPTED)
    assert accepted(case) == (expected != deviates), case["description"]


@pytest.mark.skipif(not LIMBO.exists(), reason=f"{LIMBO} is not there")
def test_every_deviation_is_a_case() -> None:
    assert set(ACCEPTED) | set(REFUSED) <= set(limbo())
