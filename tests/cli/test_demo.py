"""`trustls demo`: the main job, run as its users run it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import trustls as run


def test_demo_shows_choice_verification_and_refusals() -> None:
    result = run("demo", environment={"PATH": "/nonexistent"})
    assert result.returncode == 0, result.stdout + result.stderr
    for promised in (
        "CN=K-Dot Certificate Authority,O=TDE,L=Compton,ST=California,C=US",
        "CN=The Roots Authority,O=The Roots,L=Philadelphia,ST=Pennsylvania,C=US",
        "✓  kendrick",
        "✗  stranger",
        "not among the authorities",
        "certificate_required",
        "unknown_ca",
        "The same in TLS 1.2",
        "TLSv1.2 · TLS_ECDHE_ECDSA_WITH_",
        "handshake_failure",
        "TLSv1.3 · TLS_AES_256_GCM_SHA384 · X25519MLKEM768 · resumed",
        "still knows CN=kendrick,O=TDE, and asked for no certificate",
        "openssl is not installed here",
    ):
        assert promised in result.stdout


def test_demo_lists_the_ca_names_that_openssl_saw(require_peer: Callable[[str], str]) -> None:
    require_peer("openssl")
    result = run("demo")
    assert result.returncode == 0, result.stdout + result.stderr
    _, _, seen = result.stdout.partition("Acceptable client certificate CA names")
    assert "O = TDE, CN = K-Dot Certificate Authority" in seen
    assert "O = The Roots, CN = The Roots Authority" in seen
    assert "CN=questlove" in seen, "and the server verified the certificate that openssl sent"


def test_demo_traces_the_handshake_messages_when_asked() -> None:
    result = run("demo", "--trace")
    assert result.returncode == 0, result.stdout + result.stderr
    for message in ("ClientHello", "ServerHello", "CertificateRequest", "CertificateVerify", "Finished"):
        assert f"{message} (" in result.stdout
    for message in ("ServerKeyExchange", "ServerHelloDone", "ClientKeyExchange", "NewSessionTicket"):
        assert f"{message} (" in result.stdout, "the messages of TLS 1.2, by the names that the RFC gives them"
    assert "CertificateRequest" not in run("demo").stdout


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "30"}, {"TERM": "dumb"}])
def test_demo_runs_on_a_poor_terminal(environment: dict[str, str]) -> None:
    result = run("demo", environment=environment)
    assert result.returncode == 0, result.stdout + result.stderr


def test_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    assert run("demo", environment={"TMPDIR": os.fspath(tmp_path)}).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_demo_says_so_when_openssl_cannot_run(tmp_path: Path) -> None:
    fake = tmp_path / "openssl"
    fake.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    fake.chmod(0o755)
    result = run("demo", environment={"PATH": os.fspath(tmp_path)})
    assert result.returncode == 1
    assert "did not come out as promised" in result.stdout
