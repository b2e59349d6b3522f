"""The peers in compiled languages (Go, Rust): how each is built, and what each cannot do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.interop.matrix.adapters import CACHE_FOLDER, Cannot, Peer, Tool, make
from tests.interop.matrix.scenarios import Scenario

# -- Go ---------------------------------------------------------------------------------------------------------------


def _build_go(source: Path, cache: Path) -> list[str]:
    program = cache / "peer"
    if not program.exists():
        make(["go", "build", "-trimpath", "-o", program, "."], folder=source)
    return [str(program)]


GO: Final = Peer(
    name="go",
    title="Go crypto/tls",
    tools=(Tool("go", ("version",), oldest=(1, 24)),),
    build=_build_go,
    cannot=(
        Cannot(
            Scenario.THEIR_UPDATE,
            "crypto/tls sends a KeyUpdate in answer to one that asks for it, and has no call that sends one unasked",
        ),
    ),
)

# -- rustls -----------------------------------------------------------------------------------------------------------


def _build_rustls(source: Path, cache: Path) -> list[str]:
    program = cache / "peer"
    if not program.exists():
        # One folder for all versions of the program: what it depends on takes a minute and seldom changes.
        target = CACHE_FOLDER / "cargo"
        make(["cargo", "fetch", "--locked"], folder=source, needs="the network, or a registry's cache")
        make(["cargo", "build", "--release", "--locked", "--target-dir", target], folder=source)
        shutil.copy2(target / "release" / "peer", cache / "new")
        (cache / "new").replace(program)
    return [str(program)]


RUSTLS: Final = Peer(
    name="rustls",
    title="rustls",
    tools=(Tool("cargo", oldest=(1, 85)),),
    build=_build_rustls,
)


COMPILED: Final[tuple[Peer, ...]] = (GO, RUSTLS)
