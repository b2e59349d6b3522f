"""examples/who_may.py: started as its first lines say, and asked by the commands that it prints."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.mutual import skip_without
from tests.peers import require_peer
from tests.support.processes import PeerProcess, run

ROOT = Path(__file__).parents[2]

skip_without("starlette")
skip_without("uvicorn")


def ask(command: str) -> tuple[str, str, Any]:
    """Who asked for what, and the answer."""
    _, *arguments = shlex.split(command)
    result = run([require_peer("curl"), "--silent", "--show-error", "--retry-connrefused", "--retry", "5", *arguments])
    assert result.returncode == 0, f"{command}: {result.stderr}"
    client = re.search(r"--cert (\w+)\.pem", command)
    return client[1] if client else "", "/" + command.rpartition("/")[2], json.loads(result.stdout)


def test_everybody_gets_what_is_for_them_and_the_reason_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, str(ROOT / "examples" / "who_may.py"), "--port", "0"]
    environment = {"PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)}
    with PeerProcess(command, environment=environment) as process:
        process.wait_for(r"^curl .*root-key.pem \S+/admin\n")
        folder, *printed = process.stdout.decode().splitlines()
        monkeypatch.chdir(folder.removeprefix("cd "))
        answers = {(client, path): answer for client, path, answer in map(ask, printed)}
    assert len(answers) == 10
    assert answers["", "/"] == {"you": None, "wrong": None}
    assert answers["root", "/"] == {"you": "CN=root", "wrong": None}
    assert answers["mallory", "/"]["you"] == "CN=root", "whoever comes has some name"
    assert "the issuer is not known" in answers["mallory", "/"]["wrong"]
    for allowed in (("stock", "/orders"), ("root", "/orders")):
        assert answers.pop(allowed) == {"orders": ["tea", "biscuits"]}
    assert answers.pop(("root", "/admin")) == {"welcome": "root"}
    refusals = {key: answer["refused"] for key, answer in answers.items() if key[1] != "/"}
    assert "found a peer without a certificate" in refusals["", "/orders"]
    assert "spiffe://shop.example/ns/test/stock" in refusals["test", "/orders"]
    assert "a service, which has no mail address" in refusals["test", "/orders"]
    assert "found a certificate that is not good" in refusals["mallory", "/admin"]
    assert "email address root@shop.example" in refusals["stock", "/admin"]
