"""A trustls server in threads of the test's own process."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trustls

SECONDS = 15.0
"""How long anything here is waited for; what takes this long hangs."""

ServerSocket = trustls.TLSSocket[trustls.ServerConnection]
Handler = Callable[[ServerSocket], None]


def echo(tls: ServerSocket) -> None:
    """Send back what comes, until the client closes its side."""
    while data := tls.recv():
        tls.sendall(data)


@dataclass(frozen=True)
class Outcome:
    """How one connection went: what it knew in the end, and what ended it if that was no proper close."""

    connection: trustls.ServerConnection
    error: BaseException | None

    @property
    def peer(self) -> trustls.Peer:
        """Who the client was; AssertionError when it did not say."""
        assert self.error is None, f"the connection failed: {self.error!r}"
        assert self.connection.peer is not None, "the server knows no client certificate"
        return self.connection.peer


class ThreadedServer:
    """Listens on a free port of loopback and serves each connection by `handler`, in a thread of its own."""

    def __init__(self, config: trustls.ServerConfig, handler: Handler = echo, *, address: str = "127.0.0.1") -> None:
        self._handler = handler
        self._outcomes: queue.Queue[Outcome] = queue.Queue()
        self._listener = trustls.Listener((address, 0), config, handshake_timeout=SECONDS, timeout=SECONDS)
        self.address = self._listener.address
        self.port = self.address[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def outcome(self) -> Outcome:
        """How the next connection went, once it is over."""
        try:
            return self._outcomes.get(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError(f"no connection ended within {SECONDS:g} s") from None

    def _accept(self) -> None:
        for tls in self._listener:
            thread = threading.Thread(target=self._serve, args=(tls,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, tls: ServerSocket) -> None:
        failure: BaseException | None = None
        try:
            with tls:
                tls.handshake()
                self._handler(tls)
        except BaseException as error:  # noqa: BLE001 (the test looks at it, in its own thread)
            failure = error
        self._outcomes.put(Outcome(tls.connection, failure))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        for thread in self._threads:
            thread.join(SECONDS)
        if error is not None:
            with contextlib.suppress(queue.Empty):
                while True:
                    error.add_note(f"the trustls server saw: {self._outcomes.get_nowait().error!r}")
        else:
            assert not any(thread.is_alive() for thread in self._threads), "a thread of the server still runs"
