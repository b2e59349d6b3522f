"""The recorded calls, and how to record them anew: `python -m tests.guard.baseline`, with the oldest Python supported.

The versions of Python agree within three in a hundred, and newer ones make fewer calls: one record serves them all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

Calls = dict[str, dict[str, int]]
"""For each kind of work the calls of functions in `python` and in `c`."""

FILE: Final = Path(__file__).with_name("baseline.json")
IMPORT: Final = "import trustls"
RECORD: Final = "python -m tests.guard.baseline"

_ROOT: Final = Path(__file__).parents[2]


def counted() -> Calls:
    """The calls of this tree, counted in processes of their own."""
    found: Calls = told_by("-m", "tests.guard.count")
    found[IMPORT] = told_by("-m", "tests.guard.imports")["calls"]
    return found


def told_by(*arguments: str) -> Any:
    """What a fresh Python prints, which is JSON."""
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    command = [sys.executable, *arguments]
    run = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"counting failed:\n{run.stderr}"
    return json.loads(run.stdout)


def recorded() -> Calls:
    """What was counted when it was last recorded."""
    found: Calls = json.loads(FILE.read_text(encoding="utf-8"))["calls"]
    return found


def record() -> None:
    """Make this tree's calls the record."""
    found = {"python": sys.version.split()[0], "calls": counted()}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
