"""What there is to say of a peer of the matrix: how it is built and started, and what it cannot do, with the reason.

The program of a peer stands in `peers/<name>/` and speaks the language of `resident.py`. Peers that are driven in
another way (terminators, browsers) have tests of their own, and are an `Elsewhere` for the table. registry.py has them
all.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.interop.matrix.scenarios import Role, Scenario
from tests.peers import require_peer

_PEERS_FOLDER: Final = Path(__file__).parent / "peers"
CACHE_FOLDER: Final = Path(__file__).parents[3] / ".interop"  # not in .cache, which `make docs` empties
BUILD_SECONDS: Final = 900.0
"""How long a build may take: on two cores, with everything to be fetched and compiled."""


@dataclass(frozen=True)
class Cannot:
    """What a peer's library cannot do or show. `role` is what trustls is; None stands for both, or for all versions."""

    scenario: Scenario
    reason: str
    role: Role | None = None
    version: str | None = None

    def covers(self, scenario: str, role: str, version: str) -> bool:
        """Whether this is about that square of the table."""
        return self.scenario == scenario and self.role in {None, role} and self.version in {None, version}


@dataclass(frozen=True)
class Tool:
    """A command that a peer needs, by the name that tests/peers.py knows, and the oldest version that will do."""

    name: str
    version: tuple[str, ...] = ("--version",)
    oldest: tuple[int, ...] = ()

    def check(self) -> str:
        """What it says of its version. Skips or fails where it is missing or too old."""
        result = subprocess.run([require_peer(self.name), *self.version], capture_output=True, text=True, check=True)
        said = (result.stdout + result.stderr).strip()
        found = re.search(r"\d+(?:\.\d+)+", said)
        if found is None or tuple(map(int, found[0].split("."))) < self.oldest:
            skip_or_fail(f"{said} is too old for this test: {'.'.join(map(str, self.oldest))} is needed")
        return said


@dataclass(frozen=True)
class Elsewhere:
    """A peer whose tests are not those of test_matrix.py: known here for the table only."""

    name: str
    title: str
    cannot: tuple[Cannot, ...] = ()

    def reason_not_to(self, scenario: str, role: str, version: str) -> str | None:
        """Why a square of the table has no test; None where it can have one."""
        return next((item.reason for item in self.cannot if item.covers(scenario, role, version)), None)


@dataclass(frozen=True)
class Peer(Elsewhere):
    """A peer with a program that is driven by jobs.

    `tools` are what is needed to build and run it. `build(source, cache)` gives its command line, and may put what it
    makes into the folder `cache`, which is kept between runs for as long as the sources and the tools stay the same.
    """

    build: Callable[[Path, Path], list[str]] = lambda source, _cache: [str(source)]
    tools: tuple[Tool, ...] = ()

    @property
    def source(self) -> Path:
        """The folder of its program."""
        return _PEERS_FOLDER / self.name

    def command(self) -> list[str]:
        """Its command line, built if need be. Skips or fails where a tool is missing (see tests/peers.py)."""
        digest = hashlib.sha256()
        for tool in self.tools:
            digest.update(tool.check().encode())
        cache = CACHE_FOLDER / f"{self.name}-{self._digest(digest)}"
        if not cache.exists():
            for outdated in CACHE_FOLDER.glob(f"{self.name}-*"):
                shutil.rmtree(outdated, ignore_errors=True)
            cache.mkdir(parents=True, exist_ok=True)
        return self.build(self.source, cache)

    def _digest(self, digest: hashlib._Hash) -> str:
        for path in sorted(_tracked(self.source)):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.source)}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:16]


def _tracked(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def make(
    arguments: Iterable[str | Path], *, folder: Path, environment: dict[str, str] | None = None, needs: str = ""
) -> None:
    """Run a build command; the test fails with what it printed when it does.

    `needs` is what else a failure can mean, such as no network: then the test is skipped outside CI.
    """
    command = [str(argument) for argument in arguments]
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if result.returncode and needs:
        skip_or_fail(f"`{' '.join(command)}` failed, which needs {needs}: {result.stdout[-1000:]}")
    if result.returncode:
        pytest.fail(f"`{' '.join(command)}` failed:\n{result.stdout[-6000:]}", pytrace=False)


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test; in CI (TRUSTLS_REQUIRE_PEERS=1) fail it."""
    if os.environ.get("TRUSTLS_REQUIRE_PEERS") == "1":
        pytest.fail(f"{reason}; TRUSTLS_REQUIRE_PEERS=1 asks for it", pytrace=False)
    pytest.skip(reason)
