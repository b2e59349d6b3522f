"""Collects what the tests of the matrix found, for `python -m tests.interop.matrix.report`.

A test says with `@pytest.mark.interop(peer=..., scenario=..., role=..., version=...)` which square of the table it is,
and with `record_property` what the two sides said; of the tests of commands, commands.py says which they are. Set
TRUSTLS_INTEROP_REPORT=path to have it all written down.
"""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.backends.openssl import backend

import trustls
from tests.interop.matrix import commands

VARIABLE: Final = "TRUSTLS_INTEROP_REPORT"
VERSION: Final = "version"
OURS: Final = "trustls says"
THEIRS: Final = "peer says"


class Recorder:
    """A pytest plugin: one entry for each test that is a square."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._squares: dict[str, dict[str, Any]] = {}
        self._entries: list[dict[str, Any]] = []
        self._versions: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which tests are squares, and of what."""
        for item in items:
            marker = item.get_closest_marker("interop")
            if marker is not None:
                self._squares[item.nodeid] = dict(marker.kwargs)
            elif isinstance(item, pytest.Function) and item.path.parent.name == "interop":
                parameters = item.callspec.params if hasattr(item, "callspec") else {}
                square = commands.square_of(item.path.stem, item.originalname, parameters)
                if square is not None:
                    self._squares[item.nodeid] = square

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome: of the call, or of what came before where that failed or skipped."""
        square = self._squares.get(report.nodeid)
        if square is None or (report.when != "call" and report.passed):
            return
        said = {str(name): str(value) for name, value in report.user_properties}
        self._entries.append(
            {
                **square,
                "outcome": report.outcome,
                "peer version": said.get(VERSION) or self._version(square["peer"], report),
                "ours": said.get(OURS),
                "theirs": said.get(THEIRS),
            }
        )

    def _version(self, peer: str, report: pytest.TestReport) -> str | None:
        """Of the commands, whose tests do not say it."""
        if report.passed and peer in commands.VERSION_OF and peer not in self._versions:
            self._versions[peer] = commands.VERSION_OF[peer]()
        return self._versions.get(peer)

    def pytest_sessionfinish(self) -> None:
        """Write it down. Where the tests are shared out among processes, each writes a file of its own."""
        if not self._entries:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        found = {"environment": _environment(), "squares": self._entries}
        self._path.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _environment() -> dict[str, str]:
    """What trustls itself ran on."""
    return {
        "trustls": trustls.__version__,
        "Python": platform.python_version(),
        "cryptography": f"{version('cryptography')} with {backend.openssl_version_text()}",
        "system": f"{platform.system()} on {platform.machine()}",
    }


def recorder() -> Recorder | None:
    """What collects, if anybody asked for it."""
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return Recorder(Path(f"{path}.{worker}" if worker else path))


def recorded(path: Path) -> dict[str, Any]:
    """What the run wrote down, of all its processes."""
    parts = [json.loads(part.read_text(encoding="utf-8")) for part in sorted(path.parent.glob(f"{path.name}*"))]
    if not parts:
        raise FileNotFoundError(f"there is no {path}: run the tests with {VARIABLE}={path}")
    return {"environment": parts[0]["environment"], "squares": [square for part in parts for square in part["squares"]]}
