"""A man in the middle: passes bytes on between a client and a server, as they are or otherwise."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

SECONDS = 15.0
"""How long anything here is waited for; what takes this long hangs."""

Change = Callable[[bytes], Iterable[bytes]]
"""What becomes of one piece that came: the pieces that are sent instead."""


def unchanged(data: bytes) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        yield data[position : position + 1]


def at_random(seed: int) -> Change:
    """Cut into pieces of 1 to 200 bytes, the same ones each time."""
    chance = random.Random(seed)

    def change(data: bytes) -> Iterator[bytes]:
        position = 0
        while position < len(data):
            size = chance.randint(1, 200)
            yield data[position : position + size]
            position += size

    return change


class Relay:
    """Listens on a free port, `port`, and passes connections on to `server_port`, one after the other.

    `up` is done to what the client sends, `down` to what the server sends. Each piece is a TCP segment of its own.
    """

    def __init__(self, server_port: int, *, up: Change = unchanged, down: Change = unchanged) -> None:
        self._server_port = server_port
        self._up = up
        self._down = down
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(SECONDS)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._relay, daemon=True)

    def _relay(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return  # Closed.
            with client, socket.create_connection(("127.0.0.1", self._server_port), timeout=SECONDS) as server:
                client.settimeout(SECONDS)
                back = threading.Thread(target=_pass_on, args=(server, client, self._down), daemon=True)
                back.start()
                _pass_on(client, server, self._up)
                back.join(SECONDS)

    def __enter__(self) -> int:
        self._thread.start()
        return self.port

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the man in the middle still relays"


def _pass_on(source: socket.socket, target: socket.socket, change: Change) -> None:
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):  # Either side may be gone first.
        while data := source.recv(1 << 16):
            for piece in change(data):
                target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
