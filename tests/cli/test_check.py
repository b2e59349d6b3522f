"""`trustls check`, run as its users run it: every outcome, every finding, in words and as JSON."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import subprocess
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    pkcs12,
)

from tests.cli.command import serving
from tests.cli.command import trustls as run
from tests.trust.bundles import ALWAYS_TOGETHER, CASES, GOOD, pem
from trustls.cli import commands
from trustls.cli.pki import Authority, Issued, KeyType, Validity
from trustls.trust.lint import Flaw, Severity

DAY = datetime.timedelta(days=1)
PASSWORD = b"correct horse"


class Desk:
    """A folder with certificates of every kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        root = Authority.create("Test CA", country="US", organization="Testers")
        other = Authority.create("Other CA")
        issuing = root.intermediate("Issuing CA")
        again = Authority.create("Test CA", country="US", organization="Testers")
        for name, authority in (("ca", root), ("other-ca", other), ("issuing", issuing), ("again", again)):
            authority.write(folder, name)
        alice = issuing.issue_client("alice")
        clients = {
            "alice": alice,
            "bob": root.issue_client("bob"),
            "mallory": other.issue_client("mallory"),
            "old": root.issue_client("old", validity=Validity(not_before=now - 9 * DAY, not_after=now - DAY)),
            "ending": root.issue_client("ending", validity=Validity(not_after=now + 3.5 * DAY)),
            "modern": root.issue_client("modern", key_type=KeyType.ML_DSA_44),
            "server": root.issue_server("localhost", "127.0.0.1"),
            "modern-server": root.issue_server("localhost", key_type=KeyType.ML_DSA_44),
        }
        for name, issued in clients.items():
            issued.write(folder, name)
        self.encrypt(alice)
        self.crl("ca", root, ())
        self.crl("issuing", issuing, ())
        self.crl("revoked", issuing, (alice,), number=2)
        self.crl("stale", issuing, (), next_update=now - DAY / 2)
        (folder / "password").write_bytes(PASSWORD + b"\n")
        (folder / "wrong-password").write_bytes(b"wrong\n")
        (folder / "alice.der").write_bytes(alice.certificate.public_bytes(Encoding.DER))
        (folder / "alice-both.pem").write_bytes(alice.pem_chain + alice.pem_key)
        spiteful = Authority.create("\x1b[31mred\x07").issue_client("\x1b]0;title\x07")
        spiteful.write(folder, "spiteful")
        # What `trustls check` takes for the roots of the system, so that those of this machine do not matter.
        system = Authority.create("System Root").certificate.public_bytes(Encoding.PEM)
        (folder / "system.pem").write_bytes(system)

    def encrypt(self, issued: Issued) -> None:
        encryption = BestAvailableEncryption(PASSWORD)
        key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        (self.folder / "alice-encrypted-key.pem").write_bytes(key)
        whole = pkcs12.serialize_key_and_certificates(
            b"alice",
            issued.key,  # type: ignore[arg-type]
            issued.certificate,
            issued.intermediates,
            encryption,
        )
        (self.folder / "alice.p12").write_bytes(whole)

    def crl(
        self,
        name: str,
        authority: Authority,
        revoked: Iterable[Issued],
        *,
        number: int = 1,
        next_update: datetime.datetime | None = None,
    ) -> None:
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        key_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.certificate.subject)
            .last_update(now - 2 * DAY)
            .next_update(next_update or now + 7 * DAY)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(key_identifier, critical=False)
        )
        for issued in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(issued.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - DAY).build())
        signed = builder.sign(authority.key, hashes.SHA256())
        (self.folder / f"{name}.crl").write_bytes(signed.public_bytes(Encoding.PEM))

    def check(self, arguments: str, *more: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        """Run `trustls check`; a word that is a file of the folder stands for its path."""
        words = [str(path) if (path := self.folder / word).is_file() else word for word in arguments.split()]
        result = self.run("check", *words, *map(str, more))
        assert "\x1b" not in result.stdout, "there are colours only on a terminal"
        return result

    def run(self, *arguments: str, system: Path | None = None) -> subprocess.CompletedProcess[str]:
        """The whole command line in this process, which saves a second for each test."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setenv("COLUMNS", "200")
            patch.setenv("SSL_CERT_FILE", str(system or self.folder / "system.pem"))
            patch.delenv("SSL_CERT_DIR", raising=False)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = commands.run(arguments)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def report(self, arguments: str, *more: str | os.PathLike[str]) -> tuple[int, dict[str, Any]]:
        """The exit code and the JSON of the same."""
        result = self.check(arguments, *more, "--json")
        assert result.stderr == ""
        return result.returncode, json.loads(result.stdout)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


ALICE = "--cert alice.pem --key alice-key.pem"
MALLORY = "--cert mallory.pem --key mallory-key.pem"
SERVER = "--server-cert server.pem --server-key server-key.pem --server-roots ca.pem"


def refusal(report: dict[str, Any], side: str = "client") -> dict[str, Any]:
    """What is said of the refusal in the newest version."""
    found: dict[str, Any] = report[side]["handshakes"][0]["refusal"]
    return found


# -- Clients that are accepted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "credential",
    [
        ALICE,
        "--cert alice-both.pem",
        "--cert alice.pem --key alice-encrypted-key.pem --password-file password",
        "--p12 alice.p12 --password-file password",
        "--cert bob.pem --key bob-key.pem --password-file password",
    ],
)
def test_a_client_is_accepted_in_both_versions(desk: Desk, credential: str) -> None:
    code, report = desk.report(f"--client-ca ca.pem {credential}")
    assert (code, report["accepted"]) == (0, True), report["verdict"]
    assert report["verdict"] == "this server accepts this client in TLS 1.3 and 1.2"
    (certificate,) = report["client"]["certificates"]
    assert (certificate["key"], certificate["problem"]) == ("given", None)
    for handshake, version in zip(report["client"]["handshakes"], ["1.3", "1.2"], strict=True):
        assert handshake["version"] == version
        assert handshake["accepted"]
        assert handshake["whole"], "with both keys the handshake is made to its end"
        assert handshake["path"][-1] == "CN=Test CA,O=Testers,C=US"
        assert handshake["refusal"] is handshake["seen"] is None
        assert handshake["remedies"] == []


def test_what_is_shown_of_a_client_that_is_accepted(desk: Desk) -> None:
    result = desk.check(f"--client-ca ca.pem {ALICE} --cert bob.pem --key bob-key.pem {MALLORY}")
    assert result.returncode == 0
    for line in (
        "A client certificate is required. 1 CA trusted; 1 CA name sent to clients, 53 bytes:",
        "• CN=Test CA,O=Testers,C=US",
        "issued by  CN=Issuing CA",
        "✓ is the certificate's",
        "✓ CN=alice <- CN=Issuing CA <- CN=Test CA,O=Testers,C=US",
        "days left)",
        "The client connects in TLS 1.3 and 1.2",
        "✓  alice    is sent",
        "·  bob      would do too, but comes later",
        "✗  mallory  it was issued by CN=Other CA, which is not among the authorities that the peer named",
        "✓ the server takes the client for CN=alice",
        "a certificate made for the occasion, since the server's key was not given",
        "✓ this server accepts this client in TLS 1.3 and 1.2",
    ):
        assert line in result.stdout, f"{line!r} is missing in:\n{result.stdout}"


def test_one_version_is_enough(desk: Desk) -> None:
    code, report = desk.report(f"--client-ca ca.pem {ALICE} --tls 1.2")
    assert code == 0
    assert [handshake["version"] for handshake in report["client"]["handshakes"]] == ["1.2"]


def test_a_client_that_is_refused_in_one_version_is_refused(desk: Desk) -> None:
    modern = "--client-ca ca.pem --cert modern.pem --key modern-key.pem"
    code, report = desk.report(modern)
    assert code == 1
    assert (
        report["verdict"]
        == "this server accepts this client in TLS 1.3, and this server refuses this client in TLS 1.2"
    )
    assert "another kind" in report["client"]["handshakes"][1]["remedies"][0]
    assert desk.check(f"{modern} --tls 1.3").returncode == 0


def test_the_private_key_may_be_missing(desk: Desk) -> None:
    code, report = desk.report("--client-ca ca.pem --cert alice.pem --cert bob.pem")
    assert (code, report["accepted"]) == (0, True)
    assert report["verdict"].endswith("as far as can be told without the private key")
    assert [certificate["key"] for certificate in report["client"]["certificates"]] == ["missing", "missing"]
    for handshake in report["client"]["handshakes"]:
        assert not handshake["whole"]
        assert handshake["sent"] == "alice"
        assert handshake["path"] == ["CN=alice", "CN=Issuing CA", "CN=Test CA,O=Testers,C=US"]


def test_a_certificate_in_der_is_judged_without_its_issuer(desk: Desk) -> None:
    code, report = desk.report("--client-ca ca.pem --client-ca issuing.pem --cert alice.der")
    assert (code, report["accepted"]) == (0, True)
    code, report = desk.report("--client-ca ca.pem --cert alice.der --no-hints")
    assert code == 1
    assert "CN=Issuing CA" in refusal(report)["sentence"]


def test_the_servers_own_certificate_is_used_when_its_key_is_given(desk: Desk) -> None:
    result = desk.check(f"--client-ca ca.pem {ALICE} --server-cert server.pem --server-key server-key.pem")
    assert result.returncode == 0
    assert "made for the occasion" not in result.stdout


def test_a_handshake_that_fails_before_a_certificate_is_asked_for(desk: Desk) -> None:
    arguments = f"--client-ca ca.pem {ALICE} --server-cert modern-server.pem --server-key modern-server-key.pem"
    code, report = desk.report(arguments)
    assert code == 1
    newest, older = report["client"]["handshakes"]
    assert newest["accepted"]
    assert (older["refusal"]["by"], older["refusal"]["reason"]) == ("handshake", "NO_COMMON_SCHEME")
    assert (older["sent"], older["path"]) == (None, None)
    assert older["remedies"] == [older["refusal"]["remedy"]]
    assert "It ends before the server asks for a certificate." in desk.check(arguments).stdout


def test_a_client_without_a_fitting_certificate_is_let_in_where_none_is_required(desk: Desk) -> None:
    code, report = desk.report(f"--client-ca ca.pem --optional-client-auth {MALLORY}")
    assert (code, report["accepted"], report["client_ca"]["mode"]) == (0, True, "optional")
    for handshake in report["client"]["handshakes"]:
        assert handshake["sent"] is handshake["path"] is None
    shown = desk.check(f"--client-ca ca.pem --optional-client-auth {MALLORY}").stdout
    assert "lets the client in without a certificate, and does not know who it is" in shown


# -- Clients that are refused -----------------------------------------------------------------------------------------


def test_a_client_of_an_unknown_ca_sends_nothing_and_is_told_why(desk: Desk) -> None:
    code, report = desk.report(f"--client-ca ca.pem {MALLORY}")
    assert (code, report["accepted"]) == (1, False)
    assert report["verdict"] == "this server refuses this client in TLS 1.3 and 1.2"
    (certificate,) = report["client"]["certificates"]
    opinion = certificate["opinion"]["refusal"]
    assert (opinion["reason"], opinion["certificate"], opinion["alert"]) == (
        "UNKNOWN_ISSUER",
        "CN=mallory",
        "unknown_ca",
    )
    assert opinion["expected"]
    assert "CN=Other CA" in opinion["found"]
    assert "CN=Other CA" in opinion["remedy"]
    for handshake, alert in zip(
        report["client"]["handshakes"], ["certificate_required", "handshake_failure"], strict=True
    ):
        assert handshake["sent"] is None
        assert handshake["choices"] == [
            {
                "name": "mallory",
                "fits": False,
                "reason": "it was issued by CN=Other CA, which is not among the authorities that the peer named",
            }
        ]
        assert handshake["refusal"]["reason"] == "NONE_PRESENTED"
        assert alert in handshake["seen"]
        assert handshake["remedies"] == [f"mallory: {opinion['remedy']}"]


def test_what_is_shown_of_a_client_that_is_refused(desk: Desk) -> None:
    result = desk.check(f"--client-ca ca.pem {MALLORY}")
    assert result.returncode == 1
    for line in (
        "✗ the issuer is not known",
        "certificate  CN=mallory",
        "expected     a path to a root here",
        "found        issued by CN=Other CA",
        "✗ the server refuses the client: no certificate was presented",
        "the client then sees the alert certificate_required in TLS 1.3",
        "the client then sees the alert handshake_failure in TLS 1.2",
        "✗ this server refuses this client in TLS 1.3 and 1.2",
        "→ mallory: put CN=Other CA into the roots here",
    ):
        assert line in result.stdout, f"{line!r} is missing in:\n{result.stdout}"


@pytest.mark.parametrize(
    ("arguments", "reason", "certificate"),
    [
        (f"--no-hints {MALLORY}", "UNKNOWN_ISSUER", "CN=mallory"),
        ("--cert old.pem --key old-key.pem", "EXPIRED", "CN=old"),
        ("--cert old.pem", "EXPIRED", "CN=old"),
        ("--cert server.pem --key server-key.pem", "WRONG_PURPOSE", "CN=localhost"),
        (f"--crl ca.crl --crl revoked.crl {ALICE}", "REVOKED", "CN=alice"),
        (f"--crl ca.crl --crl stale.crl {ALICE}", "CRL_EXPIRED", "CN=alice"),
        (f"--crl ca.crl {ALICE}", "REVOCATION_UNKNOWN", "CN=alice"),
    ],
)
def test_why_a_client_is_refused(desk: Desk, arguments: str, reason: str, certificate: str) -> None:
    code, report = desk.report(f"--client-ca ca.pem {arguments}")
    assert code == 1
    for handshake in report["client"]["handshakes"]:
        found = handshake["refusal"]
        assert (found["by"], found["reason"], found["certificate"]) == ("certificate", reason, certificate)
        assert found["remedy"]
        assert handshake["remedies"] == [found["remedy"]]
        assert handshake["whole"] == (handshake["seen"] is not None), (
            "who refuses sends an alert, if there was a handshake"
        )
        opinion = report["client"]["certificates"][0]["opinion"]["refusal"]
        assert opinion == found, "the handshake and the verifier say the same"


def test_a_ca_that_was_made_anew_is_no_path(desk: Desk) -> None:
    code, report = desk.report(f"--client-ca again.pem {ALICE}")
    assert code == 1
    assert refusal(report)["reason"] == "BAD_SIGNATURE"
    assert "made anew" in refusal(report)["sentence"]
    assert refusal(report)["failures"][0]["path"][0] == "CN=alice"


def test_a_key_of_another_certificate_is_found(desk: Desk) -> None:
    code, report = desk.report("--client-ca ca.pem --cert alice.pem --key bob-key.pem")
    assert code == 1
    (certificate,) = report["client"]["certificates"]
    assert certificate["key"] == "unusable"
    assert "does not belong to the certificate CN=alice" in certificate["problem"]
    assert certificate["opinion"]["accepted"], "the certificate itself is good"
    assert not report["client"]["handshakes"][0]["choices"][0]["fits"]
    shown = desk.check("--client-ca ca.pem --cert alice.pem --key bob-key.pem").stdout
    assert "✗ the private key does not belong" in shown


def test_a_certificate_that_the_hints_hide_could_be_sent_all_the_same(desk: Desk) -> None:
    code, report = desk.report(f"--client-ca ca.pem {ALICE} --hint", "CN=Another CA")
    assert code == 1
    assert report["client_ca"]["names"] == ["CN=Another CA"]
    assert report["client"]["certificates"][0]["opinion"]["accepted"]
    for handshake in report["client"]["handshakes"]:
        assert "fallback=True" in handshake["remedies"][0]
    code, report = desk.report(f"--client-ca ca.pem {MALLORY} --hint", desk.folder / "other-ca.pem")
    assert refusal(report)["reason"] == "UNKNOWN_ISSUER", "a hint trusts nobody"


def test_names_are_counted_as_they_are_sent(desk: Desk) -> None:
    _, report = desk.report("--client-ca ca.pem --client-ca other-ca.pem --client-ca again.pem")
    assert report["client_ca"]["roots"] == 3
    assert report["client_ca"]["names"] == ["CN=Test CA,O=Testers,C=US", "CN=Other CA"]
    assert report["client_ca"]["names_bytes"] == 53 + 23
    _, report = desk.report("--client-ca ca.pem --no-hints")
    assert (report["client_ca"]["names"], report["client_ca"]["names_bytes"]) == ([], 0)


def test_a_profile_is_the_servers(desk: Desk) -> None:
    assert desk.check(f"--client-ca ca.pem {ALICE} --profile private").returncode == 0
    code, report = desk.report("--client-ca ca.pem --cert modern.pem --key modern-key.pem --profile webpki --tls 1.3")
    assert code == 1
    assert report["client"]["certificates"][0]["opinion"]["refusal"]["reason"] in {"WEAK_KEY", "AGAINST_PROFILE"}


def test_what_the_command_says_is_what_a_server_does(desk: Desk) -> None:
    def connected(name: str) -> int:
        own = ("--cert", desk.folder / f"{name}.pem", "--key", desk.folder / f"{name}-key.pem")
        result = run("connect", server.address, "--ca", desk.folder / "ca.pem", *own, stdin=b"hello\n")
        return result.returncode

    with serving(desk.folder, "--client-ca", desk.folder / "ca.pem") as server:
        for name in ("alice", "mallory", "server"):
            checked = desk.check(f"--client-ca ca.pem --cert {name}.pem --key {name}-key.pem --tls 1.3")
            assert checked.returncode == connected(name), name


# -- Revocation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "crls",
    [
        "--crl ca.crl --crl issuing.crl",
        "--crl issuing.crl --crl-depth end-entity",
        "--crl ca.crl --crl-unknown allow",
        "--crl ca.crl --crl stale.crl --crl-expired allow",
    ],
)
def test_a_client_that_is_not_revoked_is_accepted(desk: Desk, crls: str) -> None:
    code, report = desk.report(f"--client-ca ca.pem {crls} {ALICE}")
    assert code == 0, report["verdict"]
    assert len(report["client_ca"]["crls"]) == crls.count("--crl ")


def test_crls_are_shown_and_a_stale_one_is_a_warning(desk: Desk) -> None:
    result = desk.check(f"--client-ca ca.pem --crl ca.crl --crl stale.crl --crl-expired allow {ALICE}")
    assert "CRL of CN=Issuing CA: 0 revoked, next update" in result.stdout
    assert "✓ not revoked, going by 2 CRLs" in result.stdout
    assert "was to be replaced by" in result.stdout.partition("Warnings")[2]


# -- Servers ----------------------------------------------------------------------------------------------------------


def test_a_server_is_accepted_by_its_client(desk: Desk) -> None:
    for arguments, whole in ((SERVER, True), (SERVER.replace("--server-key server-key.pem", ""), False)):
        code, report = desk.report(f"{arguments} --server-name localhost")
        assert (code, report["accepted"]) == (0, True)
        assert report["client"] is report["client_ca"] is None
        assert report["server"]["name"] == "localhost"
        for handshake in report["server"]["handshakes"]:
            assert handshake["whole"] is whole
            assert handshake["path"] == ["CN=localhost", "CN=Test CA,O=Testers,C=US"]


@pytest.mark.parametrize("key", ["--server-key server-key.pem", ""])
@pytest.mark.parametrize(
    ("roots", "name", "reason"),
    [
        ("ca.pem", "elsewhere.example", "NAME_MISMATCH"),
        ("other-ca.pem", "localhost", "UNKNOWN_ISSUER"),
        ("system", "localhost", "UNKNOWN_ISSUER"),
    ],
)
def test_why_a_server_is_refused(desk: Desk, key: str, roots: str, name: str, reason: str) -> None:
    code, report = desk.report(f"--server-cert server.pem {key} --server-roots {roots} --server-name {name}")
    assert (code, report["accepted"]) == (1, False)
    assert report["verdict"] == "this client refuses this server in TLS 1.3 and 1.2"
    assert refusal(report, "server")["reason"] == reason
    assert refusal(report, "server")["remedy"]


def test_both_directions_are_judged_at_once(desk: Desk) -> None:
    code, report = desk.report(f"--client-ca ca.pem {ALICE} {SERVER} --server-name elsewhere.example")
    assert (code, report["accepted"]) == (1, False)
    assert report["verdict"] == (
        "this server accepts this client in TLS 1.3 and 1.2; this client refuses this server in TLS 1.3 and 1.2"
    )
    shown = desk.check(f"--client-ca ca.pem {ALICE} {SERVER} --server-name elsewhere.example").stdout
    assert "✓ the server takes the client for CN=alice" in shown
    assert "✗ the client refuses the server: the certificate is not valid for the name asked for" in shown
    assert "the server then sees the alert bad_certificate" in shown
    assert "→ server: " in shown


def test_a_server_with_another_key_is_refused(desk: Desk) -> None:
    arguments = "--server-cert server.pem --server-key bob-key.pem --server-roots ca.pem --server-name localhost"
    code, report = desk.report(arguments)
    assert (code, report["accepted"]) == (1, False)
    assert report["server"]["certificate"]["key"] == "unusable"
    assert "its certificate cannot be used" in desk.check(arguments).stdout


# -- What ends soon ---------------------------------------------------------------------------------------------------


def test_an_end_that_is_near_is_a_warning_and_no_refusal(desk: Desk) -> None:
    code, report = desk.report("--client-ca ca.pem --cert ending.pem --key ending-key.pem")
    assert code == 0
    assert report["client"]["certificates"][0]["chain"][0]["days_left"] == 3
    (warning,) = report["warnings"]
    assert warning.startswith("ending: CN=ending ends ")
    assert warning.endswith("in 3 days")
    assert desk.report("--client-ca ca.pem --cert ending.pem --warn-days 2")[1]["warnings"] == []
    shown = desk.check("--client-ca ca.pem --cert ending.pem").stdout
    assert "! ending: CN=ending ends" in shown


# -- Bundles ----------------------------------------------------------------------------------------------------------


def test_a_bundle_without_findings_is_good(desk: Desk) -> None:
    code, report = desk.report("--client-ca ca.pem")
    assert (code, report["accepted"], report["client_ca"]["findings"]) == (0, None, [])
    assert report["verdict"] == "nothing is wrong with the bundle"


@pytest.mark.parametrize("flaw", Flaw, ids=lambda flaw: flaw.code)
def test_each_flaw_of_a_bundle_is_found(desk: Desk, tmp_path: Path, flaw: Flaw) -> None:
    case = CASES[flaw]
    (bundle := tmp_path / "bundle.pem").write_text(case.bundle())
    (system := tmp_path / "system.pem").write_text(pem(GOOD))
    result = desk.run(
        "check", "--client-ca", str(bundle), "--json", system=system if flaw is Flaw.SYSTEM_ROOT else None
    )
    findings = json.loads(result.stdout)["client_ca"]["findings"]
    expected = {one.code for one in (flaw, *ALWAYS_TOGETHER.get(flaw, []))}
    assert {finding["code"] for finding in findings} == expected
    finding = next(finding for finding in findings if finding["code"] == flaw.code)
    assert case.says in finding["sentence"]
    assert (finding["severity"], finding["number"]) == (flaw.severity, case.number)
    assert finding["certificate"] == (case.certificate or None)
    assert finding["remedy"]
    errors = any(one["severity"] == "error" for one in findings)
    assert result.returncode == (1 if errors else 0), "an error, and nothing less, is exit code 1"


def test_findings_are_shown_with_their_place_and_remedy(desk: Desk) -> None:
    result = desk.check("--client-ca ca.pem --client-ca issuing.pem --client-ca alice.pem --client-ca ca.pem")
    assert result.returncode == 1
    for line in (
        f"error    not-a-ca                  {desk.folder}/alice.pem, certificate 1: CN=alice is no CA",
        "→ put the CA that issued it here instead: CN=Issuing CA",
        "warning  intermediate-beside-root",
        "warning  duplicate",
        "✗ the bundle has 1 error, 3 warnings",
    ):
        assert line in result.stdout, f"{line!r} is missing in:\n{result.stdout}"


def test_many_findings_alike_are_counted(desk: Desk, tmp_path: Path) -> None:
    (bundle := tmp_path / "bundle.pem").write_text(pem(*[GOOD] * 9))
    result = desk.check("", "--client-ca", bundle)
    assert result.stdout.count("is here already") == 3
    assert "and 5 more" in result.stdout


def test_a_bundle_is_looked_through_beside_a_client_too(desk: Desk) -> None:
    code, report = desk.report(f"--client-ca ca.pem --client-ca ca.pem {ALICE}")
    assert code == 0, "findings refuse nobody"
    assert [finding["code"] for finding in report["client_ca"]["findings"]] == ["duplicate"]


@pytest.mark.parametrize(
    ("flaw", "says"), [(Flaw.NAMES_TOO_LARGE, "fit"), (Flaw.NO_ROOT, "nobody could ever be accepted")]
)
def test_a_server_that_cannot_be_set_up_accepts_nobody(desk: Desk, tmp_path: Path, flaw: Flaw, says: str) -> None:
    (bundle := tmp_path / "bundle.pem").write_text(CASES[flaw].bundle())
    code, report = desk.report(ALICE, "--client-ca", bundle)
    assert (code, report["accepted"]) == (1, False)
    assert report["verdict"].startswith("this server cannot be set up, so that it accepts nobody")
    assert says in report["client_ca"]["problem"]
    assert report["client"]["handshakes"] == []
    shown = desk.check(ALICE, "--client-ca", bundle)
    assert "cannot be set up" in shown.stdout
    assert flaw.severity is Severity.ERROR


def test_large_names_are_said_once(desk: Desk, tmp_path: Path) -> None:
    (bundle := tmp_path / "bundle.pem").write_text(CASES[Flaw.NAMES_LARGE].bundle())
    code, report = desk.report("", "--client-ca", bundle)
    assert (code, report["warnings"]) == (0, [])
    code, report = desk.report("--client-ca ca.pem", "--hint", bundle)
    assert len(report["warnings"]) == 1
    assert "Java clients" in report["warnings"][0]


# -- The form ---------------------------------------------------------------------------------------------------------


def test_the_json_has_the_form_that_is_documented(desk: Desk) -> None:
    _, report = desk.report(f"--client-ca ca.pem --crl ca.crl {ALICE} {SERVER} --server-name localhost")
    assert report.keys() == {"format", "accepted", "verdict", "checked_at", "client_ca", "client", "server", "warnings"}
    assert report["format"] == 1
    assert datetime.datetime.fromisoformat(report["checked_at"]).tzinfo is not None
    bundle = {"files", "roots", "problem", "findings"}
    assert report["client_ca"].keys() == bundle | {"mode", "names", "names_bytes", "crls"}
    assert report["client_ca"]["crls"][0].keys() == {"issuer", "this_update", "next_update", "entries"}
    assert report["client"].keys() == {"certificates", "handshakes"}
    certificate = {"name", "file", "key", "problem", "chain"}
    assert report["client"]["certificates"][0].keys() == certificate | {"opinion"}
    assert report["client"]["certificates"][0]["opinion"].keys() == {"accepted", "path", "refusal"}
    assert report["client"]["certificates"][0]["chain"][0].keys() == {
        *("subject", "issuer", "serial_number", "not_before", "not_after", "days_left", "sha256")
    }
    handshake = {"version", "accepted", "whole", "path", "refusal", "seen"}
    assert report["client"]["handshakes"][0].keys() == handshake | {"sent", "choices", "remedies"}
    assert report["client"]["handshakes"][0]["choices"][0].keys() == {"name", "fits", "reason"}
    assert refusal(report).keys() == {
        *("by", "reason", "sentence", "certificate", "expected", "found", "remedy", "alert", "failures")
    }
    assert refusal(report)["failures"][0].keys() == {"path", "reason", "sentence"}
    assert report["server"].keys() == bundle | {"name", "certificate", "handshakes"}
    assert report["server"]["certificate"].keys() == certificate
    assert report["server"]["handshakes"][0].keys() == handshake


def test_two_files_of_one_name_are_told_apart(desk: Desk, tmp_path: Path) -> None:
    (copy := tmp_path / "alice.pem").write_bytes((desk.folder / "alice.pem").read_bytes())
    _, report = desk.report("--client-ca ca.pem --cert alice.pem --cert", copy)
    names = [certificate["name"] for certificate in report["client"]["certificates"]]
    assert names == [str(desk.folder / "alice.pem"), str(copy)]


def test_a_password_may_come_from_standard_input_and_is_never_shown(desk: Desk) -> None:
    files = {"--client-ca": "ca.pem", "--cert": "alice.pem", "--key": "alice-encrypted-key.pem"}
    arguments = [word for option, file in files.items() for word in (option, desk.folder / file)]
    result = run("check", *arguments, "--password-file", "-", stdin=PASSWORD + b"\nmore\n")
    assert result.returncode == 0, result.stderr
    assert PASSWORD.decode() not in result.stdout + result.stderr


def test_a_name_cannot_take_over_the_terminal(desk: Desk) -> None:
    result = desk.check("--client-ca ca.pem --cert spiteful.pem --key spiteful-key.pem")
    assert result.returncode == 1
    assert "\x07" not in result.stdout
    assert "title" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "nothing to check"),
        (ALICE, "--cert needs --client-ca"),
        ("--p12 alice.p12", "--p12 needs --client-ca"),
        ("--client-ca ca.pem --key alice-key.pem", "--key needs --cert"),
        ("--client-ca ca.pem --cert alice.pem --cert bob.pem --key bob-key.pem", "come in pairs"),
        ("--client-ca ca.pem --hint CN=x --no-hints", "exclude each other"),
        ("--client-ca ca.pem --hint nothing", "neither a file nor a name"),
        ("--client-ca ca.pem --hint =", "="),
        ("--client-ca ca.pem --crl-depth chain", "--crl-depth needs --crl"),
        ("--client-ca ca.pem --crl ca.pem", "ca.pem"),
        ("--client-ca nowhere.pem", "does not exist"),
        ("--client-ca ca.pem --server-roots ca.pem", "--server-roots needs --server-name"),
        ("--client-ca ca.pem --server-name localhost", "--server-name needs --server-roots"),
        ("--server-roots ca.pem --server-name localhost", "--server-roots needs --server-cert"),
        ("--client-ca ca.pem --server-key server-key.pem", "--server-key needs --server-cert"),
        ("--server-cert server.pem --server-roots nowhere --server-name localhost", "neither a file nor 'system'"),
        (f"{SERVER} --server-roots system --server-name localhost", "'system' goes with no other"),
        (f"{SERVER} --server-name -", "neither a DNS name nor an IP address"),
        ("--client-ca ca.pem --cert alice-key.pem", "no certificate"),
        ("--client-ca ca.pem --cert alice.pem --key ca.pem", "no private key"),
        ("--client-ca ca.pem --cert alice.pem --key alice-encrypted-key.pem", "give its password"),
        ("--client-ca ca.pem --p12 alice.p12 --password-file wrong-password", "cannot be opened"),
        ("--client-ca ca.pem --password-file password", "--password-file needs --cert, --p12 or --server-cert"),
        ("--client-ca ca.pem --server-cert server.pem", "--server-cert needs --server-roots, --cert or --p12"),
        ("--client-ca ca.pem --warn-days -1", "--warn-days"),
        ("--client-ca ca.pem --profile mine", "--profile"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_a_sentence(desk: Desk, arguments: str, sentence: str) -> None:
    result = desk.check(arguments)
    assert (result.returncode, result.stdout) == (2, ""), result.stdout + result.stderr
    assert sentence in result.stderr


def test_help_has_examples() -> None:
    result = run("check", "--help")
    assert result.returncode == 0
    assert "\n    trustls check --client-ca" in result.stdout


def test_nothing_in_common_is_nobodys_refusal_and_has_a_remedy(tmp_path: Path) -> None:
    root = Authority.create("Post-quantum CA")
    root.write(tmp_path, "ca")
    root.issue_server("localhost", key_type="ml-dsa-44").write(tmp_path, "ml")
    arguments: list[str | Path] = [
        *("check", "--server-cert", tmp_path / "ml.pem", "--server-key", tmp_path / "ml-key.pem"),
        *("--server-roots", tmp_path / "ca.pem", "--server-name", "localhost", "--tls", "1.2"),
    ]
    result = run(*arguments)
    assert result.returncode == 1, result.stderr
    assert "the handshake fails: no signature scheme in common" in result.stdout
    assert "then sees" not in result.stdout
    assert "→ ml: give the server a certificate for a key" in result.stdout
    refusal = json.loads(run(*arguments, "--json").stdout)["server"]["handshakes"][0]["refusal"]
    assert (refusal["by"], refusal["reason"]) == ("handshake", "NO_COMMON_SCHEME")
    assert refusal["remedy"].startswith("give the server a certificate")
    assert "to mend it" not in refusal["sentence"]


def test_many_names_do_not_hide_what_is_wrong(tmp_path: Path) -> None:
    bundle = tmp_path / "many.pem"
    for number in range(25):
        Authority.create(f"CA {number}").write(tmp_path, "ca", overwrite=True)
        with bundle.open("ab") as file:
            file.write((tmp_path / "ca.pem").read_bytes())
    shown = run("check", "--client-ca", bundle).stdout
    assert "25 CA names sent" in shown
    assert "CN=CA 19" in shown
    assert "CN=CA 20" not in shown
    assert "and 5 more" in shown
    assert len(json.loads(run("check", "--client-ca", bundle, "--json").stdout)["client_ca"]["names"]) == 25
