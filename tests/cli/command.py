"""Runs the real `trustls` command, as its users do."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20
COMMAND = (sys.executable, "-m", "trustls.cli")


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    # COLUMNS: rich does not wrap the sentences that tests look for. -W error: a leak fails the command too.
    return {**os.environ, "COLUMNS": "200", "PYTHONWARNINGS": "error", **extra}


def trustls(
    *arguments: str | os.PathLike[str], stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; no command may ever show a traceback."""
    result = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        env=_environment(environment or {}),
    )
    out, err = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(result.args, result.returncode, out, err)


@dataclass
class Serving:
    """A `trustls serve` that runs."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)
    exit_code: int | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, as the commands take it."""
        return f"localhost:{self.port}"

    def stop(self, by: signal.Signals = signal.SIGINT) -> str:
        """End it and return everything that it printed."""
        if self.exit_code is None:
            self.process.send_signal(by)
            self.exit_code = self.process.wait(SECONDS)
            self._reader.join(SECONDS)
        return "".join(self.lines)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)


@contextlib.contextmanager
def serving(folder: Path, *arguments: str | os.PathLike[str], cert: str = "server") -> Iterator[Serving]:
    """`trustls serve` on a free port, with the server certificate of `folder`."""
    process = subprocess.Popen(
        [
            *(*COMMAND, "serve", "--port", "0"),
            *("--cert", folder / f"{cert}.pem", "--key", folder / f"{cert}-key.pem"),
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment({}),
    )
    with process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            match = re.match(r"listening on 127\.0\.0\.1:(\d+)", first)
            if match is None:
                process.kill()
                raise AssertionError(f"trustls serve did not start: {first}{process.stdout.read()}")
            server = Serving(process, int(match[1]))
            yield server
            output = server.stop()
            assert "Traceback" not in output, output
        finally:
            process.kill()
