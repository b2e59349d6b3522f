"""nginx and HAProxy, started with a configuration of the test's; and what stands behind or before them in the clear."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import trustls
from tests.support.pki import PKI, Identity
from tests.support.processes import SECONDS, Argument, PeerProcess, run
from tests.support.servers import Handler, ServerSocket, ThreadedServer
from tests.support.watching import Watch
from trustls.cli.pki import KeyType

HOST: Final = "127.0.0.1"
PIECE: Final = 1 << 16
OTHER_KEYS: Final = (KeyType.RSA_2048, KeyType.EC_P384)

ClientSocket = trustls.TLSSocket[trustls.ClientConnection]


_given: Final[set[int]] = set()


def free_port() -> int:
    """A port of loopback that was free a moment ago, and another one each time: no proxy tells which one it chose."""
    while True:
        with socket.create_server((HOST, 0)) as probe:
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


class Proxy(PeerProcess):
    """A proxy that is up once it is made: its page on the port `ready` was fetched. What it logs is its output."""

    def __init__(self, arguments: Iterable[Argument], ready: int) -> None:
        super().__init__([*arguments])
        try:
            self._wait_until_ready(ready)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _wait_until_ready(self, port: int) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                assert get_in_the_clear(port) == (200, "ready")
                return
            assert self._process.poll() is None, f"`{self.command}` ended:\n{self.shown}"
            assert time.monotonic() < deadline, f"`{self.command}` does not listen on port {port}:\n{self.shown}"
            time.sleep(0.01)


class Nginx(Proxy):
    """nginx with these `http` blocks, these `stream` blocks, or both; one process."""

    def __init__(self, nginx: str, folder: Path, *, http: str = "", stream: str = "") -> None:
        ready = free_port()
        folders = "".join(
            f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # Debian has the stream module in a file of its own, where others have it built in.
        load = "load_module modules/ngx_stream_module.so;" if "stream=dynamic" in nginx_build(nginx) else ""
        path = folder / "nginx.conf"
        path.write_text(
            f"{load if stream else ''} daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr info;\n"
            "events {}\n"
            f"http {{ access_log off; keepalive_timeout 0; default_type text/plain; {folders}\n"
            f"server {{ listen {HOST}:{ready}; return 200 ready; }}\n"
            f"{http}}}\n" + (f"stream {{\n{stream}}}\n" if stream else "")
        )
        super().__init__([nginx, "-e", "stderr", "-c", path], ready)


@functools.cache
def nginx_build(nginx: str) -> str:
    """Its version, its libraries and its modules."""
    return run([nginx, "-V"]).stderr


class Haproxy(Proxy):
    """HAProxy with these sections, in one thread: each has its own cache of sessions with servers."""

    def __init__(self, haproxy: str, folder: Path, sections: str) -> None:
        ready = free_port()
        path = folder / "haproxy.cfg"
        path.write_text(
            "global\n    nbthread 1\n    log stderr format raw local0\n"
            "defaults\n    mode http\n    log global\n    http-reuse never\n    retries 0\n"
            "    timeout connect 10s\n    timeout client 10s\n    timeout server 10s\n"
            f'    log-format "%b answered %ST; %[bc_err_str] %[ssl_bc_err_str]"\n'
            f'    error-log-format "%ft refused; %[fc_err_str] %[ssl_fc_err_str]"\n'
            f"frontend ready\n    bind {HOST}:{ready}\n"
            "    http-request return status 200 content-type text/plain string ready\n"
            f"{sections}\n"
        )
        super().__init__([haproxy, "-db", "-f", path], ready)


def one_file(folder: Path, identity: Identity) -> Path:
    """Chain and key in one PEM file, as HAProxy wants them."""
    path = folder / f"{identity.chain_file.stem}-with-key.pem"
    path.write_bytes(identity.chain_file.read_bytes() + identity.key_file.read_bytes())
    return path


# -- trustls's side ---------------------------------------------------------------------------------------------------


def client_config(pki: PKI, version: str, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client of one version that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, "versions": [version], **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


@contextlib.contextmanager
def connected(port: int, config: trustls.ClientConfig) -> Iterator[ClientSocket]:
    """A client after its handshake."""
    with trustls.connect((HOST, port), config, server_name="localhost", timeout=SECONDS) as tls:
        yield tls


def page_of(port: int, config: trustls.ClientConfig) -> tuple[trustls.ClientConnection, int, str]:
    """What the client knows after a visit, and the status and page that it got."""
    with connected(port, config) as tls:
        status, page = get(tls)
        return tls.connection, status, page


def answer(tls: ServerSocket) -> None:
    """Answer one request with who asked."""
    request = b""
    while b"\r\n\r\n" not in request:
        part = tls.recv()
        if not part:
            return
        request += part
    peer = tls.connection.peer
    tls.sendall(f"HTTP/1.0 200 OK\r\n\r\nclient={peer.subject if peer else ''}\n".encode())


@contextlib.contextmanager
def serving(pki: PKI, version: str, handler: Handler = answer, **options: object) -> Iterator[ThreadedServer]:
    """A server of one version."""
    settings: dict[str, object] = {"credentials": [pki.server.credential], "versions": [version], **options}
    with ThreadedServer(trustls.ServerConfig(**settings), handler) as server:  # type: ignore[arg-type]
        yield server


def key_updates(watch: Watch) -> tuple[int, int]:
    """How many KeyUpdates trustls sent, and how many it received."""
    ways = [event.direction for event in watch.take() if type(event.message).__name__ == "KeyUpdate"]
    return ways.count("sent"), ways.count("received")


# -- HTTP, as little as is needed -------------------------------------------------------------------------------------


class Stream(Protocol):
    """A socket, plain or of TLS."""

    def sendall(self, data: bytes, /) -> object: ...

    def recv(self, size: int, /) -> bytes: ...


def get(stream: Stream) -> tuple[int, str]:
    """The status and the body of the one page, read to the end of the connection."""
    stream.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    answer = b""
    while data := stream.recv(PIECE):
        answer += data
    head, _, body = answer.decode().partition("\r\n\r\n")
    status = re.match(r"HTTP/1\.[01] (\d{3}) ", head)
    assert status, f"this is no HTTP answer: {answer!r}"
    return int(status[1]), body


def get_in_the_clear(port: int) -> tuple[int, str]:
    """The same from a proxy's plain side."""
    with socket.create_connection((HOST, port), timeout=SECONDS) as plain:
        return get(plain)


def facts(page: str) -> Mapping[str, str]:
    """What a page of `name=value` lines says."""
    return dict(line.split("=", 1) for line in page.splitlines() if line)


# -- Both ways at once ------------------------------------------------------------------------------------------------


class EchoBackend:
    """Plain TCP on a free port: sends back what comes, for as long as it comes."""

    def __init__(self) -> None:
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # Closed.
            while True:
                plain, _ = self._listening.accept()
                plain.settimeout(SECONDS)
                thread = threading.Thread(target=_echo, args=(plain,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(SECONDS)
        assert error or not any(thread.is_alive() for thread in self._threads), "a thread of the backend still runs"


def _echo(plain: socket.socket) -> None:
    with plain, contextlib.suppress(OSError):
        while data := plain.recv(PIECE):
            plain.sendall(data)


_CYCLE: Final = 251  # A prime: no shift by a record's or a buffer's length goes unnoticed.
_PATTERN: Final = bytes(range(_CYCLE)) * (2 + PIECE // _CYCLE)


def echo_through(stream: Stream, size: int) -> None:
    """Send `size` bytes to an echo, and receive them while they are sent."""
    failures: list[BaseException] = []

    def send() -> None:
        try:
            for start in range(0, size, PIECE):
                shift = start % _CYCLE
                stream.sendall(_PATTERN[shift : shift + min(PIECE, size - start)])
        except BaseException as error:  # noqa: BLE001 (raised in the test's own thread)
            failures.append(error)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    received = 0
    while received < size:
        piece = stream.recv(PIECE)
        assert piece, f"the other side closed after {received} of {size} bytes ({failures})"
        shift = received % _CYCLE
        assert piece == _PATTERN[shift : shift + len(piece)], f"the echo differs behind byte {received}"
        received += len(piece)
    sender.join(SECONDS)
    assert not failures, failures
    assert not sender.is_alive(), "the sending thread did not end"
