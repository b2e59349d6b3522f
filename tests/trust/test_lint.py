from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.ids import stable
from tests.trust.bundles import (
    ALWAYS_TOGETHER,
    CASES,
    GOOD,
    ISSUING,
    NOW,
    RENEWED,
    authority,
    block,
    leaf,
    many,
    pem,
)
from tests.trust.issuing import CLIENT, DAY, SERVER, dns, raw, usage
from trustls.errors import CertificateRejected, ConfigError
from trustls.trust.client_auth import ClientAuth
from trustls.trust.hints import MAX_ENCODED
from trustls.trust.lint import Finding, Flaw, Severity, lint_bundle
from trustls.trust.path import verify_path
from trustls.trust.pem import PEMSource
from trustls.trust.profile import Profile, Purpose
from trustls.trust.roots import RootCertStore


def found(*sources: PEMSource, **options: Any) -> tuple[Finding, ...]:
    return lint_bundle(*sources, now=NOW, **options)


def codes(*sources: PEMSource, **options: Any) -> list[str]:
    return [finding.code for finding in found(*sources, **options)]


def test_a_good_bundle_has_no_findings(tmp_path: Path) -> None:
    other = authority("CN=Other", key=rsa.generate_private_key(65537, 2048), purposes=[SERVER, CLIENT])
    assert found(pem(GOOD, other)) == ()
    (file := tmp_path / "bundle.pem").write_text(pem(GOOD))
    assert found(file, pem(other)) == ()


def test_every_flaw_is_tried() -> None:
    assert set(CASES) == set(Flaw)
    assert len({flaw.code for flaw in Flaw}) == len(Flaw), "two flaws share a code"


@pytest.mark.parametrize("flaw", Flaw, ids=lambda flaw: flaw.code)
def test_each_flaw_is_found_alone_with_its_place_and_remedy(flaw: Flaw) -> None:
    case = CASES[flaw]
    system = [GOOD.certificate] if flaw is Flaw.SYSTEM_ROOT else []
    findings = found(case.bundle(), system=system)
    expected = [flaw, *ALWAYS_TOGETHER.get(flaw, [])]
    assert {finding.flaw for finding in findings} == set(expected), list(map(str, findings))
    finding = next(finding for finding in findings if finding.flaw is flaw)
    assert case.says in finding.sentence
    assert (finding.number, finding.certificate) == (case.number, case.certificate)
    assert (finding.severity, finding.code) == (flaw.severity, flaw.code)
    assert finding.remedy
    assert finding.remedy in str(finding)


def test_a_finding_names_its_file(tmp_path: Path) -> None:
    (first := tmp_path / "first.pem").write_text(pem(GOOD))
    (second := tmp_path / "second.pem").write_text(pem(authority("CN=Other"), GOOD))
    (finding,) = found(first, second)
    assert finding.flaw is Flaw.DUPLICATE
    assert finding.place == f"{second}, certificate 2"
    assert f"certificate 1 of {first}" in finding.sentence


def test_findings_come_worst_first_then_in_the_order_of_the_file() -> None:
    soon = authority("CN=Soon", days=(-9, 3))
    findings = found(pem(soon, authority("CN=Old", days=(-9, -1)), GOOD, GOOD) + block("DH PARAMETERS"))
    assert [finding.code for finding in findings] == ["expired", "expires-soon", "duplicate", "other-block"]
    assert [finding.severity for finding in findings] == [
        Severity.ERROR,
        Severity.WARNING,
        Severity.WARNING,
        Severity.NOTE,
    ]


@pytest.mark.parametrize(
    ("days", "warn_days", "says"), [(0.5, 14, "less than a day"), (1.5, 2, "in 1 day"), (3, 3, "")]
)
def test_how_long_before_its_end_a_ca_is_worth_a_warning(days: float, warn_days: float, says: str) -> None:
    findings = found(pem(authority("CN=CA", days=(-9, days))), warn_days=warn_days)
    assert [says in finding.sentence for finding in findings] == ([True] if says else [])


def test_the_end_and_the_beginning_are_judged_to_the_second_as_a_path_is() -> None:
    root = authority("CN=CA", days=(0, 1))
    for second, expected in (
        (NOW - 1, "not-yet-valid"),
        (NOW, None),
        (NOW + DAY + 0.9, None),
        (NOW + DAY + 1, "expired"),
    ):
        codes_then = [finding.code for finding in lint_bundle(pem(root), now=second, warn_days=0)]
        assert codes_then == ([expected] if expected else [])


def test_several_flaws_of_one_certificate_are_all_found() -> None:
    root = authority(
        "CN=CA",
        key=ec.generate_private_key(ec.SECP256K1()),
        days=(-9, -1),
        key_usage=usage("crl_sign"),
        purposes=[SERVER],
    )
    assert set(codes(pem(root))) == {"expired", "no-key-cert-sign", "wrong-purpose", "weak-key"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"days": (-9.0, -1.0)},
        {"days": (1.0, 9.0)},
        {"days": (-9.0, 1.0)},
        {"ca": None},
        {"ca": False},
        {"key": ec.generate_private_key(ec.SECP256K1())},
        {"key": rsa.generate_private_key(65537, 1024)},
        {"key_usage": usage("crl_sign")},
        {"key_usage": None},
        {"purposes": [SERVER]},
        {"purposes": [CLIENT]},
        {"purposes": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]},
        {"purposes": [ExtendedKeyUsageOID.EMAIL_PROTECTION]},
        {"extra": [(raw("1.2.3.4", b"\5\0"), True)]},
        {"extra": [(raw("1.2.3.4", b"\5\0"), False)]},
        {"extra": [(raw("2.5.29.36", b"\x30\0"), False)]},
        {"extra": [(raw("2.5.29.30", b"\x30\0"), True)]},
        {"path_length": 0},
        {"key_identifiers": False},
    ],
    ids=stable,
)
@pytest.mark.parametrize("profile", Profile, ids=lambda profile: profile.value)
def test_a_ca_is_an_error_exactly_when_every_client_of_it_is_refused(profile: Profile, options: dict[str, Any]) -> None:
    root = authority("CN=CA", **options)
    findings = found(pem(root), profile=profile)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    later = Flaw.NOT_YET_VALID in {finding.flaw for finding in findings}
    try:
        store = RootCertStore([root.x509])
        client = leaf(root, names=dns("alice.example")).certificate
        verify_path([client], store, purpose=Purpose.CLIENT_AUTH, now=NOW, profile=profile)
        refused = False
    except (CertificateRejected, ConfigError):
        refused = True
    assert refused == (bool(errors) or later), list(map(str, errors))


def test_an_intermediate_whose_root_has_another_key_is_not_beside_its_root() -> None:
    findings = found(pem(authority("CN=Good CA,O=Example"), ISSUING))
    assert [finding.flaw for finding in findings] == [Flaw.INTERMEDIATE]
    assert "has another key" in findings[0].sentence


def test_a_link_between_two_keys_of_a_ca_is_no_bad_signature() -> None:
    old, new = authority("CN=CA"), authority("CN=CA")
    link = authority("CN=CA", old, key=new.key)
    findings = found(pem(old, link))
    assert [finding.flaw for finding in findings] == [Flaw.SAME_NAME]


def test_a_self_signed_client_certificate_is_no_ca() -> None:
    findings = found(
        pem(GOOD, authority("CN=alice", ca=False, key_usage=usage("digital_signature"), purposes=[CLIENT]))
    )
    assert [finding.flaw for finding in findings] == [Flaw.NOT_A_CA]
    assert "self-signed" in findings[0].sentence


def test_a_file_in_der_is_told_from_any_other_file() -> None:
    (in_der,) = found(GOOD.x509.public_bytes(Encoding.DER))
    assert in_der.flaw is Flaw.NO_CERTIFICATE
    assert "-inform der" in in_der.remedy
    (other,) = found(b"\x89PNG")
    assert other.flaw is Flaw.NO_CERTIFICATE
    assert "right file" in other.remedy


def test_a_certificate_that_is_cut_off_is_found() -> None:
    cut = pem(GOOD, ISSUING)[:-40]
    assert "unreadable" in codes(cut)


def test_an_empty_bundle_is_an_error_and_no_file_is_an_oserror(tmp_path: Path) -> None:
    assert codes(b"") == ["no-certificate"]
    with pytest.raises(OSError, match="nowhere"):
        found(tmp_path / "nowhere.pem")


# -- Public CAs -------------------------------------------------------------------------------------------------------


def test_a_bundle_of_the_systems_roots_is_one_finding_not_one_for_each() -> None:
    system = [authority(f"CN=Root {number}") for number in range(12)]
    findings = found(pem(GOOD, *system), system=[one.certificate for one in system])
    assert [finding.flaw for finding in findings] == [Flaw.SYSTEM_BUNDLE]
    assert "of its 13 CAs, 12 are among the roots of this system" in findings[0].sentence
    assert findings[0].origin == "", "it is about all files together"


def test_a_root_of_the_system_is_known_by_name_and_key_not_by_its_bytes() -> None:
    assert codes(pem(RENEWED), system=[GOOD.certificate]) == ["system-root"]
    assert codes(pem(authority("CN=Good CA,O=Example")), system=[GOOD.certificate]) == []


def test_a_public_ca_of_the_system_is_one_finding() -> None:
    public = authority("CN=R9,O=DIGICERT INC")
    assert codes(pem(public), system=[public.certificate]) == ["public-ca"]


def test_public_cas_and_the_size_of_names_are_no_concern_for_servers() -> None:
    public = authority("CN=R9,O=DigiCert Inc", purposes=[SERVER])
    assert codes(pem(public), purpose=Purpose.SERVER_AUTH, system=[public.certificate]) == []
    assert codes(many(0x8000 + 700), purpose=Purpose.SERVER_AUTH) == []
    (finding,) = found(pem(authority("CN=CA", purposes=[CLIENT])), purpose=Purpose.SERVER_AUTH)
    assert "rules out serverAuth" in finding.sentence


# -- Names ------------------------------------------------------------------------------------------------------------


def test_names_are_too_large_exactly_when_a_server_does_not_start_with_them() -> None:
    for size, fits in ((MAX_ENCODED, True), (MAX_ENCODED + 700, False)):
        bundle = many(size)
        assert codes(bundle) == ["names-large" if fits else "names-too-large"]
        roots = RootCertStore.from_pem(bundle)
        if fits:
            with pytest.warns(UserWarning, match="Java"):
                ClientAuth.required(roots)
        else:
            with pytest.raises(ConfigError, match="fit"):
                ClientAuth.required(roots)


def test_names_are_large_exactly_when_a_server_warns_of_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle = many(0x8000)
        assert codes(bundle) == []
        ClientAuth.required(RootCertStore.from_pem(bundle))


def test_a_name_that_could_take_over_a_terminal_is_escaped() -> None:
    (finding,) = found(pem(authority("CN=\\1B[31mred", days=(-9, -1))))
    assert "\x1b" not in str(finding)


def test_a_finding_does_not_change() -> None:
    (finding,) = found(pem(GOOD, GOOD))
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.sentence = ""  # type: ignore[misc]


def test_digests_of_all_sizes_are_supported_signatures() -> None:
    for digest in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        assert found(pem(authority("CN=CA", digest=digest))) == ()
