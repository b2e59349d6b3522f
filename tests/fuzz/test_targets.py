"""The fuzz targets themselves: they run, their seeds keep the rules, and a broken rule does not go unseen.

The long runs are `make fuzz`'s: see fuzz/README.md.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fuzz.__main__ import main
from fuzz.decisions import Decisions, step
from fuzz.run import Findings, checked
from fuzz.scenarios import scenarios
from fuzz.stories import tell
from fuzz.targets import TARGETS

# So many seeds of each target are tried here, from all over them.
_TRIED = 60


def target(name: str) -> Any:
    return importlib.import_module(f"fuzz.targets.{name}")


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_seeds_keep_the_rules(name: str) -> None:
    seeds = list(target(name).seeds())
    assert len(seeds) >= 50, "hardly anything to start from"
    assert max(map(len, seeds)) <= target(name).MAX_LENGTH
    for seed in seeds[:: max(1, len(seeds) // _TRIED)]:
        target(name).check(seed)


@pytest.mark.parametrize("role", ["client", "server"])
def test_unchanged_stories_end_connected(role: str) -> None:
    """Else the fuzz would not come behind the first message."""
    for number, scenario in enumerate(scenarios()):
        story = tell(role, bytes([number]))
        assert story.joined.connected, f"{scenario.name}: {story.victim.failure!r}"
        assert story.victim.info.resumed is scenario.resumed, scenario.name


@pytest.mark.parametrize("role", ["client", "server"])
def test_changed_messages_are_judged_by_what_they_say(role: str) -> None:
    """The last flight of TLS 1.3 is behind every key: what is changed there still is understood."""
    ends = Counter[str]()
    for place in range(1, 8):
        for how in range(12):
            failure = tell(role, bytes([1, 0]) + step(place, 0, how, 0, 1, 2, 3)).victim.failure
            ends[getattr(getattr(failure, "reason", None), "name", "none")] += 1
    assert ends["BAD_RECORD_MAC"] == 0, "the keys are out of step"
    assert len(ends) >= 4, f"one change does as much as another: {ends}"


def test_decisions_are_steps_of_their_own() -> None:
    """What is changed in one step moves no other."""
    read = [(number, own.rest()) for number, own in Decisions(step(3, 1, b"ab") + step(300 % 256, 7)).steps(9)]
    assert read == [(3, b"\1ab"), (44, b"\7")]
    assert list(Decisions(b"").steps(9)) == []
    assert Decisions(b"").pick("abc") == "a"


def test_finding_is_written_down_once(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "found")

    def check(data: bytes) -> None:
        assert data != b"bad", "a rule is broken"

    for data in (b"good", b"bad", b"bad"):
        checked(check, findings)(data)
    assert findings.count == 1
    (story,) = (tmp_path / "found").glob("*.txt")
    assert story.read_text().startswith(b"bad".hex())
    assert story.with_suffix("").read_bytes() == b"bad"


def test_command_says_what_drove_the_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Atheris the same targets run at random, and the table says so. One input will do here."""
    assert main(["names", "--seconds", "0", "--engine", "random", "--folder", str(tmp_path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:2] == ["names", "random"]
    assert line.endswith("ok")


def test_input_is_told_again(tmp_path: Path) -> None:
    story = tmp_path / "input"
    story.write_bytes(b"\2localhost")
    command = [sys.executable, "-m", "fuzz.run", "names", "--input", str(story)]
    subprocess.run(command, check=True, timeout=30)
