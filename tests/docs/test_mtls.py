"""docs/mtls.md: what its table of failures says is what both sides say when they happen."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.command import trustls
from tests.docs.failures import DOCUMENT, FAILURES, Failure, documented, table, told


def test_table_is_what_both_sides_say() -> None:
    assert documented() == table(), "write it anew with: python -m tests.docs.failures"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.title)
def test_failure_is_explained_on_both_sides(failure: Failure) -> None:
    said = told(failure)
    assert said.remedy, "nobody says what mends it"
    for words in (said.server, said.client):
        assert "internal_error" not in words, f"a refusal with a reason ended as an internal error: {words}"


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "basicConfig", lambda: None)
    level = logging.getLogger("trustls.handshake").level
    names: dict[str, object] = {}
    try:
        for language, block in re.findall(r"```(console|python)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
            if language == "python":
                exec(compile(block, f"{DOCUMENT.name}: {block.splitlines()[0]}", "exec"), names)
                continue
            for line in block.splitlines():
                assert line.startswith("$ trustls "), line
                result = trustls(*shlex.split(line)[2:])
                assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    finally:
        logging.getLogger("trustls.handshake").setLevel(level)
