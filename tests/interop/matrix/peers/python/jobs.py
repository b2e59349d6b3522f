"""The peers in Python: reads jobs from stdin, prints what happened as JSON lines. ../README.md has the language.

The one argument names the library: the module `pyssl` or `pyopenssl` beside this one, which is all that knows of it.
Nothing here blocks but in `select`, so that data can go both ways at once on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

SECONDS = 60.0
PIECE = 1 << 16
CYCLE = 251  # Byte i of an echo is i % 251.
PATTERN = bytes(range(CYCLE)) * (PIECE // CYCLE + 2)

T = TypeVar("T")


class Stream(Protocol):
    """A TLS connection over a socket that does not block; what would have to wait raises WANT_READ or WANT_WRITE."""

    def handshake(self) -> None: ...

    def recv(self, size: int) -> bytes:
        """Some bytes; none after a close_notify. An end of TCP without one is an error."""

    def send(self, data: memoryview) -> int: ...

    def shutdown(self) -> None:
        """Send close_notify and wait for the other side's."""

    def facts(self) -> dict[str, object]:
        """What there is to say of a finished handshake."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class Endpoint(Protocol):
    """A client's or a server's configuration. A client's keeps the session of its last connection for the next."""

    def wrap(self, raw: socket.socket) -> Stream: ...


class Library(Protocol):
    """What a module for a library has."""

    VERSION: str
    WANT_READ: type[Exception]
    WANT_WRITE: type[Exception]

    def client(self, options: argparse.Namespace) -> Endpoint: ...

    def server(self, options: argparse.Namespace) -> Endpoint: ...


# -- Jobs -------------------------------------------------------------------------------------------------------------


class Job:
    """One line of input: a listener, or a client."""

    def __init__(self, library: Library, line: str) -> None:
        number, self._role, *fields = line.rstrip("\n").split("\t")
        self._number = int(number)
        self._library = library
        self._options = _OPTIONS.parse_args(fields)

    def run(self) -> None:
        """Do it all, and say what came of it."""
        try:
            if self._role == "server":
                self._serve()
            else:
                self._connect()
        except Exception as error:  # noqa: BLE001 (the test hears of it)
            self._say_end(error)

    def _serve(self) -> None:
        endpoint = self._library.server(self._options)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            say({"job": self._number, "event": "listening", "port": listening.getsockname()[1]})
            for _ in range(self._options.connections):
                raw, _ = listening.accept()
                self._say_end(self._outcome(endpoint, raw, Conversation.obey))

    def _connect(self) -> None:
        endpoint = self._library.client(self._options)
        for _ in range(self._options.connections):
            raw = socket.create_connection(("127.0.0.1", self._options.port))
            self._say_end(self._outcome(endpoint, raw, self._do))

    def _do(self, conversation: Conversation) -> None:
        for action in self._options.do or ("echo:5", "bye"):
            conversation.act(action)

    def _outcome(
        self, endpoint: Endpoint, raw: socket.socket, talk: Callable[[Conversation], None]
    ) -> Exception | None:
        with raw:
            raw.setblocking(False)
            try:
                with contextlib.closing(endpoint.wrap(raw)) as stream:
                    conversation = Conversation(self._library, stream)
                    conversation.handshake()
                    say({"job": self._number, "event": "handshake", **stream.facts()})
                    talk(conversation)
            except Exception as error:  # noqa: BLE001 (the test hears of it)
                return error
        return None

    def _say_end(self, error: Exception | None) -> None:
        words = None if error is None else f"{type(error).__name__}: {error}"
        say({"job": self._number, "event": "end", "error": words})


_OPTIONS = argparse.ArgumentParser(allow_abbrev=False)
_OPTIONS.add_argument("--cert", action="append", default=[])
_OPTIONS.add_argument("--key", action="append", default=[])
_OPTIONS.add_argument("--ca")
_OPTIONS.add_argument("--client-ca")
_OPTIONS.add_argument("--client-auth", choices=("none", "optional", "required"), default="none")
_OPTIONS.add_argument("--no-hints", action="store_true")
_OPTIONS.add_argument("--port", type=int)
_OPTIONS.add_argument("--server-name")
_OPTIONS.add_argument("--connections", type=int, default=1)
_OPTIONS.add_argument("--do", action="append")
for _name, _default in (("--versions", ["1.2", "1.3"]), ("--alpn", []), ("--groups", [])):
    _OPTIONS.add_argument(_name, type=lambda text: text.split(","), default=_default)


# -- The application protocol -----------------------------------------------------------------------------------------


class Conversation:
    """What both sides say on one connection."""

    def __init__(self, library: Library, stream: Stream) -> None:
        self._library = library
        self._stream = stream
        self._waiting = b""

    def handshake(self) -> None:
        self._patiently(self._stream.handshake)

    def obey(self) -> None:
        """Do what the client asks for, until it says bye or closes."""
        while (line := self._line()) not in {"", "bye"}:
            command, _, size = line.partition(" ")
            if command == "echo":
                self._send_back(int(size))
            elif command == "update":
                self._send(b"ok\n")  # Neither library has a call that sends a KeyUpdate.
            else:
                raise ValueError(f"unknown command {line!r}")
        self._patiently(self._stream.shutdown)

    def act(self, action: str) -> None:
        """Do one of the things that a client can do."""
        name, _, size = action.partition(":")
        if name == "echo":
            self._echo(int(size))
        elif name == "update":
            self._send(b"update\n")
            answer = self._line()
            if answer != "ok":
                raise ValueError(f"update was answered with {answer!r}")
        elif name == "bye":
            self._send(b"bye\n")
            self._expect_end()
            self._patiently(self._stream.shutdown)
        elif name == "close":
            self._patiently(self._stream.shutdown)
        else:
            raise ValueError(f"this library cannot {action}")

    def _echo(self, size: int) -> None:
        """Have the server send back `size` bytes, and receive them while they are sent."""
        self._send(f"echo {size}\n".encode())
        sent = received = 0
        while received < size:
            piece = _piece(sent, size)
            count = self._attempt(partial(self._stream.send, piece)) if piece else None
            data = self._attempt(partial(self._stream.recv, PIECE))
            if data is not None:
                if not data:
                    raise EOFError(f"the server closed {size - received} bytes too early")
                if data != _piece(received, received + len(data)):
                    raise ValueError(f"the echo differs behind byte {received}")
                received += len(data)
            sent += count or 0
            if count is None and data is None:
                self._wait([self._stream], [self._stream] if piece else [])

    def _send_back(self, size: int) -> None:
        while size:
            data = self._waiting or self._receive()
            if not data:
                raise EOFError(f"the client closed {size} bytes too early")
            data, self._waiting = data[:size], data[size:]
            self._send(data)
            size -= len(data)

    def _line(self) -> str:
        """The next line without its end; nothing once the other side has closed."""
        while b"\n" not in self._waiting:
            data = self._receive()
            if not data:
                return ""
            self._waiting += data
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line.decode()

    def _expect_end(self) -> None:
        data = self._waiting or self._receive()
        if data:
            raise ValueError(f"{data[:40]!r} came in place of the end")

    def _receive(self) -> bytes:
        return self._patiently(partial(self._stream.recv, PIECE))

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._patiently(partial(self._stream.send, rest)) :]

    def _attempt(self, call: Callable[[], T]) -> T | None:
        """What it gives, or None when it would have to wait."""
        try:
            return call()
        except (self._library.WANT_READ, self._library.WANT_WRITE):
            return None

    def _patiently(self, call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except self._library.WANT_READ:
                self._wait([self._stream], [])
            except self._library.WANT_WRITE:
                self._wait([], [self._stream])

    @staticmethod
    def _wait(readers: list[Stream], writers: list[Stream]) -> None:
        if not any(select.select(readers, writers, [], SECONDS)):
            raise TimeoutError(f"nothing came for {SECONDS:g} s")


def _piece(begin: int, end: int) -> memoryview:
    """The bytes of an echo from `begin` on, to `end` or as many as are sent at once."""
    shift = begin % CYCLE
    return memoryview(PATTERN)[shift : shift + min(end - begin, PIECE)]


# -- The program ------------------------------------------------------------------------------------------------------

_printing = threading.Lock()


def say(answer: dict[str, object]) -> None:
    """Print one line."""
    with _printing:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Work on each job in a thread of its own."""
    library: Any = importlib.import_module(sys.argv[1])
    say({"event": "ready", "version": library.VERSION})
    for line in sys.stdin:
        threading.Thread(target=Job(library, line).run, daemon=True).start()
    os._exit(0)  # Whoever closes the input waits for no thread.


if __name__ == "__main__":
    main()
