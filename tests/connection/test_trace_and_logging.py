"""The trace in a program that imports `logging` before trustls, or after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.identities import server_root

_CLIENT: Final = """
roots = trustls.RootCertStore.from_pem(sys.argv[1])
connection = trustls.ClientConnection(trustls.ClientConfig(roots=roots), server_name="localhost")
"""


def printed(tmp_path: Path, *lines: str) -> str:
    """What a fresh Python says on both outputs."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(server_root().pem_chain)
    program = "\n".join(["import sys", *lines])
    run = subprocess.run([sys.executable, "-c", program, roots], capture_output=True, text=True, check=True)
    return run.stdout + run.stderr


@pytest.mark.parametrize("order", [("logging", "trustls"), ("trustls", "logging")], ids=" then ".join)
def test_logging_knows_the_level_by_name_whichever_is_imported_first(tmp_path: Path, order: tuple[str, str]) -> None:
    imports = [f"import {name}" for name in order]
    said = printed(tmp_path, *imports, "logging.basicConfig(level='TRACE')", _CLIENT)
    assert "TRACE:trustls.handshake:client sent ClientHello" in said
