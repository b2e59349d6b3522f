"""Commands of other TLS implementations: started, talked to, waited for, and never left running."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

SECONDS = 15.0
"""How long anything here is waited for; what takes this long hangs."""

Argument = str | os.PathLike[str]


@dataclass
class _Pipe:
    """What came out of one of the two, and how far it has been looked through."""

    file: IO[bytes]
    collected: bytearray = field(default_factory=bytearray)
    searched: int = 0


class PeerProcess:
    """A running command whose output is collected as it comes, and can be waited for."""

    def __init__(self, arguments: Sequence[Argument], *, environment: Mapping[str, str] | None = None) -> None:
        self.command = " ".join(map(str, arguments))
        # No locale: messages are looked for in English.
        self._process = subprocess.Popen(
            [*arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._out = _Pipe(self._process.stdout)
        self._err = _Pipe(self._process.stderr)
        self._changed = threading.Condition(threading.RLock())
        self._open_pipes = 2
        self._readers = [
            threading.Thread(target=self._collect, args=(pipe,), daemon=True) for pipe in (self._out, self._err)
        ]
        for reader in self._readers:
            reader.start()

    def _collect(self, pipe: _Pipe) -> None:
        while data := pipe.file.read(1 << 16):
            with self._changed:
                pipe.collected += data
                self._changed.notify_all()
        with self._changed:
            self._open_pipes -= 1
            self._changed.notify_all()

    @property
    def stdout(self) -> bytes:
        with self._changed:
            return bytes(self._out.collected)

    @property
    def output(self) -> str:
        """What it printed on stdout, then what it printed on stderr."""
        with self._changed:
            return (self._out.collected + self._err.collected).decode(errors="replace")

    @property
    def shown(self) -> str:
        """The same, cut to what a message can hold."""
        texts = [pipe.collected.decode("ascii", "backslashreplace") for pipe in (self._out, self._err)]
        return "\n".join(text if len(text) <= 6000 else f"{text[:3000]}\n[...]\n{text[-3000:]}" for text in texts)

    def write(self, data: str | bytes) -> None:
        """Type `data` into the command."""
        view = memoryview(data.encode() if isinstance(data, str) else data)
        while view:
            view = view[self._stdin.write(view) :]

    def close_stdin(self) -> None:
        """End the command's input."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def wait_for(self, pattern: str) -> re.Match[bytes]:
        """The first match in stdout or stderr, behind the last one there; AssertionError when none comes."""
        deadline = time.monotonic() + SECONDS
        compiled = re.compile(pattern.encode(), re.MULTILINE)
        with self._changed:
            while True:
                for pipe in (self._out, self._err):
                    match = compiled.search(bytes(pipe.collected), pipe.searched)
                    if match is not None:
                        pipe.searched = match.end()
                        return match
                left = deadline - time.monotonic()
                if left <= 0 or not self._open_pipes or not self._changed.wait(left):
                    why = "ended" if not self._open_pipes else f"went on for {SECONDS:g} s"
                    raise AssertionError(f"`{self.command}` {why} without printing {pattern!r}:\n{self.shown}")

    def wait_for_start(self, pattern: str) -> re.Match[bytes]:
        """As `wait_for`, but a command that does not start is ended, since nobody else will."""
        try:
            return self.wait_for(pattern)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def wait(self) -> int:
        """Its exit code, once it has ended and everything it printed is here."""
        try:
            code = self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"`{self.command}` did not end within {SECONDS:g} s:\n{self.shown}") from None
        for reader in self._readers:
            reader.join(SECONDS)
        return code

    def kill(self) -> None:
        """End it now, if it has not ended, and collect what it printed."""
        self._process.kill()
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self.close_stdin()
        self._out.file.close()
        self._err.file.close()
        if error is not None:
            error.add_note(f"`{self.command}` printed:\n{self.shown}")


def run(arguments: Sequence[Argument], *, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    result = subprocess.run(
        [*arguments],
        input=stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    out, err = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
    return subprocess.CompletedProcess(result.args, result.returncode, out, err)
