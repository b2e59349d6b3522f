"""Python's `ssl` on the other side, for more than one connection of one context."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.pki import PKI, Identity
from tests.support.servers import SECONDS

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3

SSLHandler = Callable[[ssl.SSLSocket], None]


def client_context(
    pki: PKI, identity: Identity | None = None, *, newest: ssl.TLSVersion = TLS13, oldest: ssl.TLSVersion = TLS12
) -> ssl.SSLContext:
    """A client of `ssl` that trusts the test's server root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.maximum_version = oldest, newest
    context.load_verify_locations(pki.server_root_file)
    if identity is not None:
        context.load_cert_chain(identity.chain_file, identity.key_file)
    return context


def server_context(
    pki: PKI,
    identity: Identity | None = None,
    *,
    verify: ssl.VerifyMode = ssl.CERT_REQUIRED,
    newest: ssl.TLSVersion = TLS13,
    oldest: ssl.TLSVersion = TLS12,
) -> ssl.SSLContext:
    """A server of `ssl` that asks for a certificate of K-Dot or The Roots."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = oldest, newest
    identity = identity or pki.server
    context.load_cert_chain(identity.chain_file, identity.key_file)
    context.load_verify_locations(pki.client_cas_file)
    context.verify_mode = verify
    return context


@contextlib.contextmanager
def ssl_client(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None) -> Iterator[ssl.SSLSocket]:
    """Connected; a missing close_notify is an error."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw,
        context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False, session=session) as tls,
    ):
        yield tls


def ssl_echo(tls: ssl.SSLSocket) -> None:
    """Send back what comes, then close properly."""
    while data := tls.recv(1 << 16):
        tls.sendall(data)
    tls.unwrap()


@dataclass(frozen=True)
class SSLOutcome:
    """What a server of `ssl` knew of one connection, and what ended it if that was no proper close."""

    reused: bool | None
    version: str | None
    certificate: bytes | None
    error: Exception | None


class SSLServer:
    """A server of `ssl` for one connection after another, in a thread."""

    def __init__(self, context: ssl.SSLContext, handler: SSLHandler = ssl_echo) -> None:
        self._context = context
        self._handler = handler
        self._outcomes: queue.Queue[SSLOutcome] = queue.Queue()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def outcome(self) -> SSLOutcome:
        """How the next connection went, once it is over."""
        return self._outcomes.get(timeout=SECONDS)

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            raw.settimeout(SECONDS)
            self._outcomes.put(self._served(raw))

    def _served(self, raw: socket.socket) -> SSLOutcome:
        reused = version = certificate = None
        try:
            with raw, self._context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False) as tls:
                reused, version, certificate = tls.session_reused, tls.version(), tls.getpeercert(binary_form=True)
                self._handler(tls)
        except Exception as error:  # noqa: BLE001 (the test looks at it, in its own thread)
            return SSLOutcome(reused, version, certificate, error)
        return SSLOutcome(reused, version, certificate, None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # Wakes the thread that accepts.
        self._listening.close()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), f"the server of ssl did not end within {SECONDS:g} s"
