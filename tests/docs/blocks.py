"""The code blocks of the documentation, and how they are run.

All blocks of a page run in their order, in one folder: Python in one namespace, commands in a shell. A comment in front
of a block may say more about it:

    <!-- file: server.py -->     the block is a file of the folder, which later commands run
    <!-- exit: 1 -->             the commands end with this code, not with 0
    <!-- not run: why -->        it stands there to be read only

A command that ends with `&` stays running until the end of the page; what follows waits for its first line. Lines of a
console block without a `$` are what the command before must have printed, where `...` stands for anything. The port
8443 is a free one when the page runs.
"""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pytest
from click.testing import CliRunner

from tests import peers
from trustls.cli.commands import trustls

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 20

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[a-z ]+?): (?P<value>[^\n]*?) -->\n\n?)?"
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=ticks) *$",
    re.MULTILINE | re.DOTALL,
)
_MARKS: Final = frozenset({"file", "exit", "not run"})
_RUN: Final = frozenset({"python", "pycon", "console"})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, the line where that begins, and what the comment before it says."""

    page: Path
    language: str
    body: str
    line: int
    mark: str = ""
    value: str = ""

    @property
    def where(self) -> str:
        """For messages: file and line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether it is run, or made a file that a command may run."""
        return self.mark != "not run" and (self.language in _RUN or self.mark == "file")

    def escapes(self) -> str:
        """What is wrong when it is neither run nor says why not; empty when all is well."""
        if self.mark and self.mark not in _MARKS:
            return f"{self.where}: a block has the comment {self.mark!r}, and there is no such"
        if self.mark == "not run" and len(self.value.split()) < 3:
            return f"{self.where}: a block is not run, and does not say why"
        if self.is_run or self.mark == "not run":
            return ""
        if self.language == "text" and not re.search(r"^\s*(\$|import|from|pip|>>>) ?", self.body, re.MULTILINE):
            return ""
        return (
            f"{self.where}: a block of {self.language or 'no language'} is not run. Make it python, pycon or console "
            "(text for what is no code), or put <!-- not run: the reason --> in front of it"
        )


def pages() -> list[Path]:
    """The pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order."""
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        indent = match["indent"]
        body = "".join(line.removeprefix(indent) for line in match["body"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start("body"))
        info = match["info"].split()
        found.append(Block(page, info[0] if info else "", body, line + 1, match["mark"] or "", match["value"] or ""))
    return found


def run(page: Path, folder: Path) -> None:
    """Run the blocks of a page, in `folder`, which is the working directory."""
    with _Running(folder) as running:
        for block in blocks(page):
            if block.is_run:
                running.run(block)


class _Running:
    """A page that runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, object] = {"__name__": "__main__"}
        self._kept = contextlib.ExitStack()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self._environment = {
            **os.environ,
            "PATH": f"{_commands(folder)}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "error",
            "PYTHONUNBUFFERED": "1",  # Who waits for a first line gets it.
            "COLUMNS": "200",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._kept.close()

    def run(self, block: Block) -> None:
        body = block.body.replace("8443", self._port)
        if block.mark == "file":
            (self._folder / block.value).write_text(body)
        elif block.language == "python":
            # The empty lines make tracebacks point into the page.
            exec(compile("\n" * (block.line - 1) + body, str(block.page), "exec"), self._names)
        elif block.language == "pycon":
            self._examine(block, body)
        else:
            code = int(block.value) if block.mark == "exit" else 0
            for command, expected in _commands_of(body):
                self._shell(block, command, expected, code)

    def _examine(self, block: Block, body: str) -> None:
        examples = doctest.DocTestParser().get_doctest(body, self._names, block.where, str(block.page), block.line - 1)
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        outcome = runner.run(examples, clear_globs=False, out=said.append)
        self._names.update(examples.globs)
        assert not outcome.failed, "".join(said)

    def _shell(self, block: Block, command: str, expected: list[str], code: int) -> None:
        name = shlex.split(command)[0]
        if name in peers._PACKAGES:
            peers.require_peer(name)
        elif shutil.which(name, path=self._environment["PATH"]) is None:
            pytest.fail(f"{block.where}: there is no {name} here to run {command}")
        if command.endswith("&"):
            self._keep_running(block, command.removesuffix("&"), expected)
            return
        if command.startswith("trustls pki "):
            self._certify(block, command, expected, code)
            return
        result = subprocess.run(
            ["sh", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        said = result.stdout + result.stderr
        assert result.returncode == code, f"{block.where}: {command}\nended with {result.returncode}\n{said}"
        _compare(block, command, expected, said)

    def _certify(self, block: Block, command: str, expected: list[str], code: int) -> None:
        """`trustls pki` in this process: every page begins with several, and a new process takes half a second."""
        result = CliRunner().invoke(trustls, shlex.split(command)[1:], catch_exceptions=False)
        assert result.exit_code == code, f"{block.where}: {command}\nended with {result.exit_code}\n{result.output}"
        _compare(block, command, expected, result.output)

    def _keep_running(self, block: Block, command: str, expected: list[str]) -> None:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._kept.enter_context(process)
        self._kept.callback(process.kill)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, f"{block.where}: {command} ended at once, and said nothing"
        _compare(block, command, expected, first)


def _compare(block: Block, command: str, expected: list[str], said: str) -> None:
    place = 0
    for line in expected:
        pattern = ".*".join(re.escape(part.strip()) for part in line.split("...")).replace(r"\ ", " *")
        found = re.compile(f"^ *{pattern} *$", re.MULTILINE).search(said, place)
        assert found is not None, f"{block.where}: {command}\nwas to say\n  {line}\nand said\n{said}"
        place = found.end()


def _commands_of(body: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block, with what it is to print. A backslash at its end continues a line."""
    found: list[tuple[str, list[str]]] = []
    for line in body.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ ").strip(), []))
        elif line.strip():
            assert found, f"a console block begins without a command: {line}"
            found[-1][1].append(line)
    return iter(found)


def _commands(folder: Path) -> Path:
    """A folder with `trustls` and `python`, those of this interpreter."""
    place = folder / ".commands"
    place.mkdir()
    for name, command in (("trustls", f"{sys.executable} -m trustls.cli"), ("python", sys.executable)):
        script = place / name
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    return place
