"""Blocking sockets that speak TLS, and an echo server on them in processes of its own: for `sockets` and `workers`."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from OpenSSL import SSL

import trustls
from bench.peers import bio, own, pyopenssl
from bench.pki import SERVER_NAME, Scenario
from bench.results import PYOPENSSL, TRUSTLS
from bench.results import SSL as STDLIB
from bench.terms import Terms

HOST = "127.0.0.1"
HEADER = 16
_READ = 1 << 16
_processes = multiprocessing.get_context("fork")  # The children have configurations and contexts at once.


class Line(Protocol):
    """A connected socket. Closing says so to the other side (close_notify), and waits for its answer."""

    def sendall(self, data: bytes) -> None: ...
    def recv(self, size: int) -> bytes: ...
    def close(self) -> None: ...


class Dialect(NamedTuple):
    """How a library opens lines: from a port, and from a socket that a server has accepted."""

    name: str
    connect: Callable[[int], Line]
    accepted: Callable[[socket.socket], Line]


class _StdlibLine:
    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls
        self.sendall, self.recv = tls.sendall, tls.recv

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._tls.unwrap()
        self._tls.close()


class _PyOpenSSLLine:
    def __init__(self, connection: Any) -> None:
        connection.do_handshake()
        self._connection = connection
        self.sendall = connection.sendall

    def recv(self, size: int) -> bytes:
        try:
            data: bytes = self._connection.recv(size)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            return b""
        return data

    def close(self) -> None:
        with contextlib.suppress(SSL.Error):
            if not self._connection.shutdown():
                self._connection.shutdown()
        self._connection.close()


def dialects(scenario: Scenario, terms: Terms) -> list[Dialect]:
    """trustls, `ssl` and pyOpenSSL."""
    return [_trustls(scenario, terms), stdlib(scenario, terms), _pyopenssl(scenario, terms)]


def _trustls(scenario: Scenario, terms: Terms) -> Dialect:
    client, server = own.configs(scenario, terms)
    return Dialect(
        TRUSTLS,
        lambda port: trustls.connect((HOST, port), client, server_name=SERVER_NAME),
        lambda sock: trustls.TLSSocket(sock, trustls.ServerConnection(server)),
    )


def stdlib(scenario: Scenario, terms: Terms) -> Dialect:
    """`ssl`'s SSLSocket."""
    client, server = bio.ssl_contexts(scenario, terms)
    return Dialect(
        STDLIB,
        lambda port: _StdlibLine(client.wrap_socket(_plain(port), server_hostname=SERVER_NAME)),
        lambda sock: _StdlibLine(server.wrap_socket(sock, server_side=True)),
    )


def _pyopenssl(scenario: Scenario, terms: Terms) -> Dialect:
    client, server = pyopenssl.contexts(scenario, terms)

    def accepted(sock: socket.socket) -> Line:
        connection = SSL.Connection(server, sock)
        connection.set_accept_state()
        return _PyOpenSSLLine(connection)

    return Dialect(
        PYOPENSSL,
        lambda port: _PyOpenSSLLine(pyopenssl.verifying(client, SERVER_NAME, _plain(port))),
        accepted,
    )


def _plain(port: int) -> socket.socket:
    sock = socket.create_connection((HOST, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def header(count: int) -> bytes:
    """What a client says first: how many bytes it wants to be rid of before it is echoed."""
    return str(count).encode().rjust(HEADER)


def exactly(line: Line, size: int) -> None:
    """Read `size` bytes."""
    while size:
        data = line.recv(size)
        if not data:
            raise ConnectionError("the echo server went away")
        size -= len(data)


@contextlib.contextmanager
def echo_server(dialect: Dialect, workers: int = 1) -> Iterator[tuple[int, list[int]]]:
    """A server that runs in `workers` processes, one thread a connection: its port and the processes' ids."""
    listeners = [socket.create_server((HOST, 0), backlog=128, reuse_port=True)]
    port: int = listeners[0].getsockname()[1]
    listeners += [socket.create_server((HOST, port), backlog=128, reuse_port=True) for _ in range(workers - 1)]
    started = []
    for listener in listeners:
        process = _processes.Process(target=_serve_forever, args=(dialect, listener), daemon=True)
        process.start()
        started.append(process)
        listener.close()
    try:
        yield port, [process.pid or 0 for process in started]
    finally:
        for process in started:
            process.kill()
            process.join()
            process.close()


def _serve_forever(dialect: Dialect, listener: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(dialect, sock), daemon=True).start()


def _serve(dialect: Dialect, sock: socket.socket) -> None:
    """Take as many bytes as the header says, and say so; then echo."""
    line = dialect.accepted(sock)
    recv, sendall = line.recv, line.sendall
    left = int(recv(HEADER))
    sendall(b"+")
    while left:
        left -= len(recv(_READ))
        if not left:
            sendall(b"+")
    while data := recv(_READ):
        sendall(data)
    line.close()
