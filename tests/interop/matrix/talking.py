"""trustls's side of the matrix: it speaks the small application protocol that every peer program speaks.

A client says "echo N" and N bytes, which come back while they are sent; "update", which makes the server change its
keys; "bye", which makes it close. `peers/README.md` has it in full.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

import trustls
from tests.support.servers import SECONDS, ServerSocket

LARGE: Final = 64 << 20
_CYCLE: Final = 251  # A prime: no shift by a record's or a buffer's length goes unnoticed.
_PATTERN: Final = bytes(range(_CYCLE)) * 263  # a little over 64 KiB
_PIECE: Final = 1 << 16

ClientSocket = trustls.TLSSocket[trustls.ClientConnection]


def obey(tls: ServerSocket) -> None:
    """Serve a client's commands until it says bye, or closes its side."""
    reader = _Reader(tls)
    while line := reader.line():
        command, _, argument = line.partition(b" ")
        if command == b"echo":
            for piece in reader.pieces(int(argument)):
                tls.sendall(piece)
        elif command == b"update":
            tls.update_keys()
            tls.sendall(b"ok\n")
        elif command == b"bye":
            tls.close_write()
            rest = tls.recv()
            assert rest == b"", f"after its bye the client sent {rest[:40]!r} in place of its close_notify"
            return
        else:
            raise AssertionError(f"the peer sent the unknown command {line[:40]!r}")


def echo(tls: ClientSocket, size: int) -> None:
    """Have `size` bytes sent back, and receive them while they are sent."""
    header = f"echo {size}\n".encode()
    if size <= _PIECE:
        tls.sendall(header + _PATTERN[:size])
        assert tls.recv_exactly(size) == _PATTERN[:size], "the echo differs from what was sent"
        return
    failures: list[BaseException] = []

    def send() -> None:
        try:
            tls.sendall(header)
            for start, length in _pieces(size):
                tls.sendall(memoryview(_PATTERN)[start : start + length])
        except BaseException as error:  # noqa: BLE001 (raised in the test's own thread)
            failures.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    received = 0
    try:
        while received < size:
            piece = tls.recv()
            assert piece, f"the peer closed its side after {received} of {size} bytes"
            shift = received % _CYCLE
            assert piece == _PATTERN[shift : shift + len(piece)], f"the echo differs behind byte {received}"
            received += len(piece)
    finally:
        sender.join(SECONDS)
    if failures:
        raise failures[0]
    assert not sender.is_alive(), "the sending thread did not end"


def update(tls: ClientSocket) -> None:
    """Have the server change its keys."""
    tls.sendall(b"update\n")
    assert tls.recv_exactly(3) == b"ok\n"


def bye(tls: ClientSocket) -> None:
    """Have the server close first, and then close."""
    tls.sendall(b"bye\n")
    rest = tls.recv()  # Without a close_notify this raises UnexpectedEOF.
    assert rest == b"", f"in place of its close_notify the server sent {rest[:40]!r}"
    tls.close()


def close(tls: ClientSocket) -> None:
    """Close first, and wait for the server to do the same."""
    tls.close_write()
    rest = tls.recv()
    assert rest == b"", f"in place of its close_notify the server sent {rest[:40]!r}"
    tls.close()


class _Reader:
    """Lines and byte counts out of a stream."""

    def __init__(self, tls: ServerSocket) -> None:
        self._tls = tls
        self._waiting = b""

    def line(self) -> bytes:
        """The next line without its end; `b""` once the client has closed its side."""
        while b"\n" not in self._waiting:
            more = self._tls.recv()
            if not more:
                assert not self._waiting, f"the client closed within the line {self._waiting[:40]!r}"
                return b""
            self._waiting += more
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, as they come."""
        while size:
            piece, self._waiting = (self._waiting or self._tls.recv()), b""
            assert piece, f"the client closed {size} bytes early"
            self._waiting, piece = piece[size:], piece[:size]
            size -= len(piece)
            yield piece


def _pieces(size: int) -> Iterator[tuple[int, int]]:
    """Where in the pattern each piece begins, and how long it is."""
    for sent in range(0, size, _PIECE):
        yield sent % _CYCLE, min(_PIECE, size - sent)
