"""A proxy that knows CONNECT alone, in the clear or behind TLS: what goes through it then is TLS inside of TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from tests.integrations.mutual import subject_of
from tests.integrations.servers import SECONDS


class ConnectProxy:
    """Listens on a free port of 127.0.0.1; clients ask it by TLS when there is a context."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://localhost:{self.port}"
        self.subjects: list[str | None] = []
        """The clients that asked for a tunnel, by the subject of their certificates."""
        self._closed = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closed:
                client.close()
                return
            self._threads.append(threading.Thread(target=self._tunnel, args=(client,), daemon=True))
            self._threads[-1].start()

    def _tunnel(self, client: socket.socket) -> None:
        client.settimeout(SECONDS)
        try:
            with contextlib.suppress(OSError), contextlib.ExitStack() as kept:
                if self._context is not None:
                    client = self._context.wrap_socket(client, server_side=True)
                kept.enter_context(client)
                server = kept.enter_context(socket.create_connection(_asked_for(client), SECONDS))
                self.subjects.append(subject_of(client.getpeercert()) if isinstance(client, ssl.SSLSocket) else None)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _relay(client, server)
        finally:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), SECONDS).close()
        for thread in self._threads:
            thread.join(SECONDS)
        self._listener.close()
        if error is None:
            assert not any(thread.is_alive() for thread in self._threads), "a thread of the proxy still runs"


def _asked_for(client: socket.socket) -> tuple[str, int]:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(1)  # Not a byte more: what follows is the client's TLS.
        if not piece:
            raise ConnectionResetError("the client left before it had asked for anything")
        head += piece
    method, target, _ = head.split(b" ", 2)
    assert method == b"CONNECT", f"the proxy was asked {head!r}"
    host, port = target.decode().rsplit(":", 1)
    return host, int(port)


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on what comes from either until one has ended. In one thread: two must not use a connection of `ssl`."""
    while True:
        ready: list[socket.socket] = [
            side for side in (one, other) if isinstance(side, ssl.SSLSocket) and side.pending()
        ]
        ready = ready or select.select([one, other], [], [], SECONDS)[0]
        assert ready, "nobody says anything"
        for source in ready:
            source.settimeout(0)
            try:
                data = source.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            finally:
                source.settimeout(SECONDS)
            if not data:
                return
            (other if source is one else one).sendall(data)
