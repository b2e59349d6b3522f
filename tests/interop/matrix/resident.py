"""A peer's program, running for the whole session: jobs go in, one a line, and what happened comes out as JSON lines.

A job is a number, a role and options, with tabs between them; `peers/README.md` has the options and the answers, for
whoever adds a peer.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.pki import Identity

SECONDS = 20.0
"""How long any answer is waited for."""
START_SECONDS = 60.0


@dataclass(frozen=True)
class Handshake:
    """What a peer says of a finished handshake; None is what its library does not tell."""

    version: str
    resumed: bool | None
    peer: bytes | None
    alpn: str | None
    group: str | None
    authorities: tuple[bytes, ...] | None
    sent: bytes | None


class Job:
    """One listener or one client of a peer, and what it has said."""

    def __init__(self, peer: RunningPeer, number: int, command: str) -> None:
        self.command = command
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._peer = peer
        self._number = number

    def handshake(self) -> Handshake:
        """The next handshake; AssertionError when it failed."""
        answer = self._next("handshake")
        names = answer.get("authorities")
        return Handshake(
            version=answer["version"],
            resumed=answer["resumed"],
            peer=_bytes(answer["peer"]),
            alpn=answer["alpn"],
            group=answer.get("group"),
            authorities=None if names is None else tuple(map(bytes.fromhex, names)),
            sent=_bytes(answer.get("sent")),
        )

    def end(self) -> str | None:
        """How the next connection ended: None for properly, or what the peer's library says."""
        error = self._next("end")["error"]
        assert error is None or isinstance(error, str)
        return error

    def failure(self) -> str:
        """What the peer's library says of a connection that was refused, in the handshake or after it."""
        answer = self.answer()
        if answer["event"] == "handshake":
            answer = self.answer()
        assert answer["event"] == "end", f"{self._peer.name} says {answer}"
        assert answer["error"], f"{self._peer.name} noticed nothing"
        return str(answer["error"])

    def port(self) -> int:
        """Where a server listens."""
        return int(self._next("listening")["port"])

    def answer(self) -> dict[str, Any]:
        """The next thing it says of this job."""
        try:
            return self.answers.get(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError(
                f"{self._peer.name} said nothing for {SECONDS:g} s on `{self.command}`; {self._peer.state}"
            ) from None

    def _next(self, event: str) -> dict[str, Any]:
        answer = self.answer()
        assert answer["event"] == event, f"{event} was expected of {self._peer.name}, it says {answer}"
        return answer


class RunningPeer:
    """The program of a peer, started; see peers/README.md for the language that it speaks."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._errors: list[str] = []
        self._jobs: dict[int, Job] = {}
        self._number = 0
        self._ready: queue.Queue[dict[str, Any]] = queue.Queue()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        self._readers = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        try:
            self.version = str(self._ready.get(timeout=START_SECONDS)["version"])
        except queue.Empty:
            self.close()
            raise AssertionError(f"{name} did not start within {START_SECONDS:g} s; {self.state}") from None

    @property
    def state(self) -> str:
        """What there is to say when it does not answer."""
        code = self._process.poll()
        running = "it is running" if code is None else f"it has ended with code {code}"
        return f"{running}; on stderr: {''.join(self._errors[-40:]) or 'nothing'}"

    def server(
        self,
        identity: Identity,
        *,
        client_ca: Path | None = None,
        client_auth: str = "none",
        hints: bool = True,
        versions: tuple[str, ...] = (),
        alpn: tuple[str, ...] = (),
        groups: tuple[str, ...] = (),
        connections: int = 1,
    ) -> Job:
        """A listener for so many connections."""
        options: list[str | Path] = [
            "--cert",
            identity.chain_file,
            "--key",
            identity.key_file,
            "--client-auth",
            client_auth,
        ]
        if client_ca is not None:
            options += ["--client-ca", client_ca]
        if not hints:
            options += ["--no-hints"]
        return self._start("server", options + _common(versions, alpn, groups, connections))

    def client(
        self,
        port: int,
        root: Path,
        *identities: Identity,
        versions: tuple[str, ...] = (),
        alpn: tuple[str, ...] = (),
        groups: tuple[str, ...] = (),
        connections: int = 1,
        do: tuple[str, ...] = (),
    ) -> Job:
        """A client that connects so many times and does the same things each time."""
        options: list[str | Path] = ["--port", str(port), "--server-name", "localhost", "--ca", root]
        for identity in identities:
            options += ["--cert", identity.chain_file, "--key", identity.key_file]
        options += _common(versions, alpn, groups, connections)
        for action in do:
            options += ["--do", action]
        return self._start("client", options)

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        for reader in self._readers:
            reader.join(5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _start(self, role: str, options: list[str | Path]) -> Job:
        self._number += 1
        fields = [str(self._number), role, *map(str, options)]
        job = self._jobs[self._number] = Job(self, self._number, " ".join(fields[1:]))
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\t".join(fields) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"{self.name} takes no more jobs; {self.state}") from None
        return job

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                answer = json.loads(line)
                destination = self._ready if answer["event"] == "ready" else self._jobs[answer["job"]].answers
            except (ValueError, KeyError, TypeError):
                self._errors.append(f"(on stdout, and no answer:) {line}")
                continue
            destination.put(answer)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _common(
    versions: tuple[str, ...], alpn: tuple[str, ...], groups: tuple[str, ...], connections: int
) -> list[str | Path]:
    options: list[str | Path] = ["--connections", str(connections)]
    for name, values in (("--versions", versions), ("--alpn", alpn), ("--groups", groups)):
        if values:
            options += [name, ",".join(values)]
    return options


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
