"""Run a runner that one has against the shim, and compare with what is recorded.

    python -m tests.bogo.run RUNNER                       every test that config.json leaves enabled
    python -m tests.bogo.run RUNNER --test 'EarlyData-*'  some of them
    python -m tests.bogo.run RUNNER --record              and record what passes, in passing.txt and docs/conformance.md

The exit code is 1 when a test fails, when one that is recorded as passing no longer passes, or when the shim lacks a
flag for one that is enabled. Nothing is downloaded or built here: README.md says how one gets a runner.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustls
from tests.bogo.names import folded, unfolded

_HERE: Final = Path(__file__).parent
_CONFIG: Final = _HERE / "config.json"
_PASSING: Final = _HERE / "passing.txt"
_CONFORMANCE: Final = _HERE.parents[1] / "docs" / "conformance.md"
_BEGIN: Final = "<!-- begin: written by tests/bogo/run.py --record -->"
_END: Final = "<!-- end -->"
# Stands in for the shim when only the names of the tests are wanted: it can do nothing.
_NOTHING: Final = '#!/bin/sh\ncase "$*" in *-is-handshaker-supported) echo No; exit 0;; esac\nexit 89\n'


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run, by the names of the tests."""

    passed: frozenset[str]
    failed: frozenset[str]
    unimplemented: frozenset[str]
    seconds: float


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bogo.run", description="Run BoGo against the shim.")
    parser.add_argument("runner", type=Path, help="the runner's binary")
    parser.add_argument("--test", default="", metavar="GLOBS", help="only these tests: globs with semicolons between")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many tests at a time")
    parser.add_argument("--record", action="store_true", help="record what passes as what has to pass")
    options = parser.parse_args()
    if options.record and options.test:
        parser.error("--record wants a run of all tests")
    outcome = _run(options.runner.resolve(), _HERE / "shim.py", options.workers, options.test, config=_CONFIG)
    lost = _lost(outcome, options.test)
    _say(f"{len(outcome.passed)} passed, {len(outcome.failed)} failed, {len(outcome.unimplemented)} not implemented, ")
    _say(f"in {outcome.seconds:.0f} s\n")
    for name in sorted(lost - outcome.failed):
        _say(f"no longer passes: {name}\n")
    new = outcome.passed - _recorded()
    if new:
        _say(f"{len(new)} pass that are not recorded (--record)\n")
    if options.record:
        _record(options.runner.resolve(), options.workers, outcome)
        return 0
    return 1 if outcome.failed or outcome.unimplemented or lost else 0


def _run(runner: Path, shim: Path, workers: int, globs: str, *, config: Path | None) -> Outcome:
    """Every test of the runner, or those of `globs`; without a configuration none is disabled."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        command = [str(runner), "-shim-path", str(shim), "-num-workers", str(workers), "-json-output", str(results)]
        command += ["-pipe", "-allow-unimplemented"]
        command += ["-test", globs] if globs else []
        command += [] if config is None else ["-shim-config", str(config)]
        began = time.monotonic()
        said = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, check=False)
        seconds = time.monotonic() - began
        tests = json.loads(results.read_text(encoding="utf-8"))["tests"] if results.exists() else {}
    if not tests:
        raise SystemExit(f"{runner} ran no tests\n{said.stderr.decode(errors='replace')}")
    if config is not None:
        _show_failures(said.stdout.decode(errors="replace"))
    by_result: dict[str, set[str]] = {"PASS": set(), "FAIL": set(), "SKIP": set()}
    for name, test in tests.items():
        by_result[test["actual"]].add(name)
    passed, failed, unimplemented = map(frozenset, by_result.values())
    return Outcome(passed, failed, unimplemented, seconds)


def _environment() -> dict[str, str]:
    """This interpreter is the shim's too, with the trustls that is imported here."""
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    environment["PYTHONPATH"] = str(Path(trustls.__file__).parents[1])
    return environment


def _show_failures(output: str) -> None:
    """What the runner said of the tests that failed."""
    shown = False
    for line in output.splitlines():
        if line.startswith(("PASSED (", "FAILED (", "UNIMPLEMENTED (")):
            shown = not line.startswith("PASSED (")
        if shown:
            _say(line + "\n")


def _recorded() -> frozenset[str]:
    return frozenset(unfolded(_PASSING.read_text(encoding="utf-8"))) if _PASSING.exists() else frozenset()


def _lost(outcome: Outcome, globs: str) -> frozenset[str]:
    """What is recorded as passing and was asked for, but did not pass."""
    asked = _recorded()
    if globs:
        asked = frozenset(name for name in asked if any(matches(name, glob) for glob in globs.split(";")))
    return asked - outcome.passed


def matches(name: str, glob: str) -> bool:
    """Whether the runner's glob, in which ^ negates a set of characters, matches a test's name."""
    return fnmatch.fnmatchcase(name, glob.replace("[^", "[!"))


# -- The record -------------------------------------------------------------------------------------------------------


def _record(runner: Path, workers: int, outcome: Outcome) -> None:
    _PASSING.write_text(folded(outcome.passed), encoding="utf-8")
    disabled: dict[str, str] = json.loads(_CONFIG.read_text(encoding="utf-8"))["DisabledTests"]
    by_reason: Counter[str] = Counter()
    unused = set(disabled)
    every = _every_name(runner, workers)
    for name in every:
        globs = [glob for glob in disabled if matches(name, glob)]
        unused.difference_update(globs)
        if globs:
            by_reason[disabled[globs[0]]] += 1
    for glob in sorted(unused):
        _say(f"config.json disables {glob}, which is the name of no test\n")
    before, _, rest = _CONFORMANCE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = _table(len(every), outcome, by_reason)
    _CONFORMANCE.write_text(f"{before}{_BEGIN}\n{table}{_END}{after}", encoding="utf-8")


def _every_name(runner: Path, workers: int) -> frozenset[str]:
    """The names of all tests: a shim that can do nothing is asked for each."""
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder) / "nothing"
        nothing.write_text(_NOTHING, encoding="utf-8")
        nothing.chmod(0o700)
        return _run(runner, nothing, workers, "", config=None).unimplemented


def _table(total: int, outcome: Outcome, by_reason: Counter[str]) -> str:
    lines = ["", "| Tests | |", "|---:|---|", f"| {total} | in all |", f"| {len(outcome.passed)} | passed |"]
    lines += [f"| {len(outcome.failed)} | failed |", f"| {len(outcome.unimplemented)} | enabled, but not implemented |"]
    lines.append(f"| {sum(by_reason.values())} | disabled |")
    lines += ["", "Disabled, by reason:", "", "| Tests | Reason |", "|---:|---|"]
    lines += [f"| {count} | {reason} |" for reason, count in by_reason.most_common()]
    return "\n".join([*lines, ""])


def _say(text: str) -> None:
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(main())
