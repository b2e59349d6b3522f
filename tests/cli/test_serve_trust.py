"""`trustls serve` with --crl, --authorize and --reload."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import SECONDS, Serving, serving
from tests.cli.command import trustls as run
from tests.support.revoking import crl
from trustls.cli.pki import Authority, Issued

WORKERS = (("--workers", "1"), ("--workers", "2"))


class Files:
    """A CA with two clients and a server, in files that can be renewed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Authority.create("Test CA")
        self.alice = self.root.issue_client("alice", emails=["alice@example.com"])
        self.bob = self.root.issue_client("bob", emails=["bob@example.com"])
        self.root.write(folder, "ca")
        self.alice.write(folder, "alice")
        self.bob.write(folder, "bob")
        self.root.issue_server("localhost").write(folder, "server")
        self.revoke()

    def revoke(self, *revoked: Issued) -> None:
        """A new CRL in the place of the old one."""
        new = self.folder / "new.crl"
        new.write_bytes(crl(self.root, *revoked).der)
        new.rename(self.folder / "ca.crl")

    def visit(self, server: Serving, who: str) -> subprocess.CompletedProcess[str]:
        """`trustls connect` with a client's certificate."""
        client = ("--cert", self.folder / f"{who}.pem", "--key", self.folder / f"{who}-key.pem")
        return run("connect", server.address, "--ca", self.folder / "ca.pem", *client, stdin=b"hi")

    def visit_until(self, server: Serving, who: str, exit_code: int) -> None:
        """Visit until that is the exit code: the server has noticed."""
        deadline = time.monotonic() + SECONDS
        while (result := self.visit(server, who)).returncode != exit_code:
            assert time.monotonic() < deadline, result.stderr


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_revoked_client_is_refused(files: Files) -> None:
    files.revoke(files.bob)
    with serving(files.folder, "--client-ca", files.folder / "ca.pem", "--crl", files.folder / "ca.crl") as server:
        assert files.visit(server, "alice").stdout == "hi"
        assert files.visit(server, "bob").returncode == 1
        printed = server.stop()
    assert "revoked" in printed


@pytest.mark.parametrize(
    ("rules", "let_in"),
    [
        (["email=alice@example.com"], {"alice"}),
        (["email=nobody@example.com"], set()),
        (["email=alice@example.com", "subject=CN=bob"], {"alice", "bob"}),
        (["issuer=CN=Test CA"], {"alice", "bob"}),
    ],
)
def test_only_those_are_let_in_who_are_authorized(rules: list[str], let_in: set[str], files: Files) -> None:
    options = [option for rule in rules for option in ("--authorize", rule)]
    with serving(files.folder, "--client-ca", files.folder / "ca.pem", *options) as server:
        came_in = {who for who in ("alice", "bob") if files.visit(server, who).returncode == 0}
    assert came_in == let_in


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--authorize", "alice"], "is not KIND=VALUE"),
        (["--authorize", "nick=alice"], "is not KIND=VALUE"),
        (["--authorize", "dns=not a name"], "not a name"),
        (["--authorize", "email="], "email"),
    ],
)
def test_rule_that_is_none_is_exit_code_2(options: list[str], said: str, files: Files) -> None:
    server = ("--cert", files.folder / "server.pem", "--key", files.folder / "server-key.pem")
    result = run("serve", "--port", "0", *server, "--client-ca", files.folder / "ca.pem", *options)
    assert result.returncode == 2
    assert said in result.stderr


@pytest.mark.parametrize("options", [["--crl", "{}/ca.crl"], ["--authorize", "dns=localhost"]])
def test_what_is_for_clients_needs_a_client_ca(options: list[str], files: Files) -> None:
    server = ("--cert", files.folder / "server.pem", "--key", files.folder / "server-key.pem")
    result = run("serve", "--port", "0", *server, *[option.format(files.folder) for option in options])
    assert result.returncode == 2
    assert "need a --client-ca" in re.sub(r"\s+", " ", result.stderr)


@pytest.mark.parametrize("workers", WORKERS, ids=["one process", "workers"])
def test_renewed_files_are_followed(workers: tuple[str, str], files: Files) -> None:
    ca, revoking = ("--client-ca", files.folder / "ca.pem"), ("--crl", files.folder / "ca.crl")
    with serving(files.folder, *ca, *revoking, "--reload", *workers) as server:
        assert files.visit(server, "bob").returncode == 0
        files.revoke(files.bob)
        files.visit_until(server, "bob", 1)
        renewed = files.root.issue_server("renewed.example", "localhost")
        renewed.write(files.folder, "server", overwrite=True)
        deadline = time.monotonic() + SECONDS
        while "renewed.example" not in (shown := files.visit(server, "alice")).stderr:
            assert time.monotonic() < deadline, shown.stderr
        printed = server.stop()
    assert "ca.crl: version 2" in printed


def test_file_that_becomes_garbage_leaves_things_as_they_are_and_is_said(files: Files) -> None:
    with serving(files.folder, "--reload") as server:
        (files.folder / "server.pem").write_text("garbage")
        deadline = time.monotonic() + SECONDS
        while "a new value was not taken" not in "".join(server.lines):
            assert files.visit(server, "alice").returncode == 0
            assert time.monotonic() < deadline, "nothing was said"


def test_without_reload_files_are_read_once(files: Files) -> None:
    with serving(files.folder, "--client-ca", files.folder / "ca.pem", "--crl", files.folder / "ca.crl") as server:
        files.revoke(files.bob)
        assert files.visit(server, "bob").returncode == 0
