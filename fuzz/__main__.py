"""`python -m fuzz [TARGET ...] --seconds N --jobs N`: runs targets side by side, and says what came of it."""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.run import HANG
from fuzz.targets import TARGETS

# How long a target may take to start and to finish its last input.
_GRACE = 180


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one target."""

    name: str
    engine: str
    seconds: float
    processor: float
    executions: int
    first_coverage: int
    coverage: int
    corpus: int
    findings: tuple[Path, ...]
    code: int

    @property
    def failed(self) -> bool:
        """Whether there is a finding, or the process ended otherwise than it should."""
        return bool(self.findings) or self.code != 0

    def __str__(self) -> str:
        reached = (
            f"coverage {self.first_coverage} -> {self.coverage}, {self.corpus} inputs kept" if self.coverage else ""
        )
        spent = f"{self.seconds:.0f} s ({self.processor:.0f} s of processor)"
        end = f"{len(self.findings)} FINDINGS" if self.findings else "ok" if not self.code else f"EXIT CODE {self.code}"
        return f"{self.name:<15} {self.engine:<8} {spent:<33} {self.executions:>10,} runs  {reached:<45} {end}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets; the exit code is 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default: 30)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many run at once")
    parser.add_argument("--hang", type=int, default=HANG, help="seconds after which an input is said to hang")
    parser.add_argument(
        "--seed", type=int, default=0, help="begin with the same chances each time (default: with others)"
    )
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="for corpora, findings and logs")
    parser.add_argument("--engine", choices=("auto", "atheris", "random"), default="auto")
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    names = options.targets or TARGETS
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(_run, name, options) for name in names]
        results = [run.result() for run in runs]
    print("\n".join(map(str, results)))
    for result in results:
        for finding in result.findings:
            print(f"\n== {result.name}: {finding}")
            if finding.suffix == ".txt":
                print(finding.read_text(encoding="utf-8", errors="replace")[-6000:])
    return 1 if any(result.failed for result in results) else 0


def _run(name: str, options: argparse.Namespace) -> Result:
    """One target in a process of its own; its log stays in the folder."""
    log = Path(options.folder, "logs", f"{name}.log")
    findings = Path(options.folder, "findings", name)
    log.parent.mkdir(parents=True, exist_ok=True)
    before = set(findings.glob("*"))
    command = [sys.executable, "-bb", "-m", "fuzz.run", name]
    command += ["--seconds", str(options.seconds), "--folder", str(options.folder), "--engine", options.engine]
    command += ["--hang", str(options.hang), "--seed", str(options.seed)]
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        deadline = threading.Timer(options.seconds + options.hang + _GRACE, process.kill)
        deadline.start()
        _, status, usage = os.wait4(process.pid, 0)
        deadline.cancel()
        code = process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(encoding="utf-8", errors="replace")
    coverage = [int(number) for number in re.findall(r" cov: (\d+) ", text)]
    corpus = re.findall(r" corp: (\d+)/", text)
    new = sorted(set(findings.glob("*")) - before)
    return Result(
        name=name,
        engine=_first(r"^ENGINE (\w+)", text) or "?",
        seconds=time.monotonic() - start,
        processor=usage.ru_utime + usage.ru_stime,
        executions=int(_first(r"number_of_executed_units: +(\d+)", text) or 0),
        first_coverage=coverage[0] if coverage else 0,
        coverage=coverage[-1] if coverage else 0,
        corpus=int(corpus[-1]) if corpus else 0,
        findings=tuple([path for path in new if path.suffix == ".txt" or not path.with_suffix(".txt").exists()]),
        code=code,
    )


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else None


if __name__ == "__main__":
    sys.exit(main())
