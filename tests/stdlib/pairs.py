"""Two sides to let loose on each other: a context of trustls and one of `ssl`, or trustls on both."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from tests.support import identities
from trustls.cli.pki import Authority, Issued
from trustls.stdlib import SSLContext

SECONDS: Final = 15.0
"""How long anything here is waited for; what takes this long hangs."""

TLS12: Final = ssl.TLSVersion.TLSv1_2
TLS13: Final = ssl.TLSVersion.TLSv1_3

SIDES: Final = ("trustls to trustls", "trustls to ssl", "ssl to trustls")
"""Client to server."""


def our_client(**changes: object) -> SSLContext:
    """trustls's context for a client."""
    return identities.client_config(**changes).ssl_context()


def our_server(**changes: object) -> SSLContext:
    """trustls's context for a server."""
    return identities.server_config(**changes).ssl_context()


def _pem(authority: Authority) -> str:
    return authority.certificate.public_bytes(Encoding.PEM).decode()


def load(context: ssl.SSLContext, issued: Issued) -> None:
    """Give a context of `ssl` an identity, which it reads from files only."""
    with tempfile.TemporaryDirectory() as folder:
        chain, key = issued.write(Path(folder), "identity")
        context.load_cert_chain(chain, key)


def ssl_client_of(authority: Authority) -> ssl.SSLContext:
    """A client of `ssl` that trusts this root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=_pem(authority))
    return context


def ssl_client(issued: Issued | None = None) -> ssl.SSLContext:
    """A client of `ssl` that trusts the server's root."""
    context = ssl_client_of(identities.server_root())
    if issued is not None:
        load(context, issued)
    return context


def ssl_server(issued: Issued | None = None, *, verify: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
    """A server of `ssl`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, issued or identities.server_identity("ec-p256"))
    context.load_verify_locations(cadata=_pem(identities.client_root()))
    context.verify_mode = verify
    return context


def contexts(sides: str, *, version: str = "1.3", mutual: bool = False) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's and a server's, for one of `SIDES`, which speak this version."""
    client_is, _, server_is = sides.partition(" to ")
    alice = identities.client_identity()
    if client_is == "ssl":
        client = ssl_client(alice if mutual else None)
    else:
        client = our_client(versions=[version], credentials=[identities.credential(alice)] if mutual else ())
    if server_is == "ssl":
        server: ssl.SSLContext = ssl_server(verify=ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE)
    else:
        auth = {"client_auth": identities.required()} if mutual else {}
        server = our_server(versions=[version], **auth)
    for context in (client, server):
        if not isinstance(context, SSLContext):
            context.minimum_version = context.maximum_version = TLS13 if version == "1.3" else TLS12
    return client, server


@dataclass
class BIOPair:
    """Two objects that are connected by their BIOs."""

    client: Any
    server: Any
    to_client: ssl.MemoryBIO
    to_server: ssl.MemoryBIO
    from_client: ssl.MemoryBIO
    from_server: ssl.MemoryBIO
    piece: int = -1
    """How many bytes are carried at a time; all of them with -1."""

    @classmethod
    def of(cls, client: ssl.SSLContext, server: ssl.SSLContext, *, piece: int = -1, session: Any = None) -> BIOPair:
        """Before the handshake."""
        to_client, to_server, from_client, from_server = [ssl.MemoryBIO() for _ in range(4)]
        one = client.wrap_bio(to_client, from_client, server_hostname="localhost", session=session)
        other = server.wrap_bio(to_server, from_server, server_side=True)
        return cls(one, other, to_client, to_server, from_client, from_server, piece)

    def carry(self) -> bool:
        """Carry one piece each way; whether there was any."""
        there, back = self.from_client.read(self.piece), self.from_server.read(self.piece)
        self.to_server.write(there)
        self.to_client.write(back)
        return bool(there or back)

    def run(self, *calls: Callable[[], Any]) -> list[Any]:
        """The results of these calls, each called again as long as it wants to read, and bytes are carried."""
        results: list[Any] = [None] * len(calls)
        waiting = dict(enumerate(calls))
        idle = 0
        while waiting:
            for number, call in list(waiting.items()):
                with contextlib.suppress(ssl.SSLWantReadError):
                    results[number] = call()
                    del waiting[number]
            idle = 0 if self.carry() else idle + 1
            assert idle < 5, f"both sides wait for the other: {self.client!r}, {self.server!r}"
        while self.carry():
            pass
        return results

    def handshake(self) -> BIOPair:
        """Do it."""
        self.run(self.client.do_handshake, self.server.do_handshake)
        return self


@contextlib.contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's and a server's socket, connected over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), timeout=SECONDS)
        server, _ = listening.accept()
    server.settimeout(SECONDS)
    with client, server:
        yield client, server


class Beside:
    """A call in another thread, whose result or error is asked for in the end."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            self._error = error

    @property
    def is_running(self) -> bool:
        """Whether it still goes on."""
        return self._thread.is_alive()

    def result(self) -> Any:
        """What the call gave; what it raised is raised."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), f"{self._call} did not end within {SECONDS:g} s"
        if self._error is not None:
            raise self._error
        return self._result


def beside(call: Callable[..., Any], *args: Any, **named: Any) -> Beside:
    """Start a call in a thread of its own."""
    return Beside(functools.partial(call, *args, **named))


@contextlib.contextmanager
def socket_pair(client: ssl.SSLContext, server: ssl.SSLContext, **named: Any) -> Iterator[tuple[Any, Any]]:
    """A client's and a server's TLS socket after their handshake; both are closed in the end.

    Args:
        client: its context.
        server: its context.
        **named: for the client's wrap_socket.
    """
    with tcp_pair() as (one, other):
        accepting = beside(server.wrap_socket, other, server_side=True, suppress_ragged_eofs=False)
        named.setdefault("server_hostname", "localhost")
        with client.wrap_socket(one, suppress_ragged_eofs=False, **named) as connected, accepting.result() as accepted:
            yield connected, accepted


def read_exactly(tls: Any, size: int) -> bytes:
    """`size` bytes of data; fewer only when the peer closes before."""
    found = bytearray()
    while len(found) < size:
        piece = tls.recv(size - len(found))
        if not piece:
            break
        found += piece
    return bytes(found)


def read_all(tls: Any) -> bytes:
    """What comes until the peer closes its side."""
    found = bytearray()
    while piece := tls.recv(1 << 16):
        found += piece
    return bytes(found)
