"""The certificates that the commands are tried with."""

from __future__ import annotations

from pathlib import Path

import pytest

from trustls.cli.pki import Authority


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca, server, alice (under an intermediate), mallory (under another root), and a spiteful name."""
    folder = tmp_path_factory.mktemp("pki")
    root = Authority.create("Test CA", country="US", organization="Testers")
    other = Authority.create("Other CA")
    issuing = root.intermediate("Issuing CA")
    root.write(folder, "ca")
    other.write(folder, "other-ca")
    root.issue_server("localhost", "127.0.0.1").write(folder, "server")
    root.issue_server("elsewhere.example").write(folder, "elsewhere")
    issuing.issue_client("alice", emails=["alice@example.com"]).write(folder, "alice")
    other.issue_client("mallory").write(folder, "mallory")
    root.issue_client("<script>alert(1)</script>", uris=["https://example.com/?a=<b>&'c'"]).write(folder, "spiteful")
    return folder
