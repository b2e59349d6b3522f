"""A small HTTPS server in threads, for the tests of clients: HTTP/1.1 of the standard library, HTTP/2 by `h2`.

Every answer is JSON: `method`, `path`, `protocol` ("HTTP/1.1", "HTTP/2"), `subject` (of the client's certificate, as
`ssl` tells it) and `body` (what was sent). `/large` answers with a million bytes instead.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import queue
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Final, Self

from tests.integrations.mutual import SERVER_SAYS, subject_of

SECONDS: Final = 15.0
"""How long anything here is waited for; what takes this long hangs."""

LARGE: Final = bytes(range(256)) * 4096
"""The answer to /large."""


class HttpServer:
    """Listens on a free port of 127.0.0.1, by a context of trustls or of `ssl`. See the top of the file."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"https://localhost:{self.port}"
        self._failures: queue.Queue[BaseException] = queue.Queue()
        self._open: set[ssl.SSLSocket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def failure(self) -> BaseException:
        """What ended the next connection that did not end well, such as a refused handshake."""
        try:
            return self._failures.get(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError(f"no connection failed within {SECONDS:g} s") from None

    def check_refused(self, why: str) -> None:
        """The server says the same as the client was told (`mutual.REFUSED`)."""
        said = str(self.failure())
        assert SERVER_SAYS[why] in said, f"the server says: {said}"

    def _accept(self) -> None:
        while True:
            with contextlib.suppress(ConnectionAbortedError):
                raw, _ = self._listener.accept()
                if self._closed:
                    raw.close()
                    return
                thread = threading.Thread(target=self._serve, args=(raw,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(SECONDS)
        try:
            with self._context.wrap_socket(raw, server_side=True) as tls:
                with self._lock:
                    self._open.add(tls)
                try:
                    converse(tls)
                finally:
                    with self._lock:
                        self._open.discard(tls)
        except BaseException as error:  # noqa: BLE001 (the test looks at it, in its own thread)
            self._failures.put(error)
        finally:
            raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), SECONDS).close()
        self._threads[0].join(SECONDS)
        self._listener.close()
        with self._lock:
            for tls in self._open:  # A client has left its connection open.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(tls, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)
        if error is not None:
            with contextlib.suppress(queue.Empty):
                while True:
                    error.add_note(f"the server saw: {self._failures.get_nowait()!r}")
        else:
            assert not any(thread.is_alive() for thread in self._threads), "a thread of the server still runs"


def converse(tls: ssl.SSLSocket) -> None:
    """Answer the requests that come over a connection, by the protocol that was agreed on."""
    if tls.selected_alpn_protocol() == "h2":
        _converse_http2(tls)
    else:
        _Handler(tls, tls.getpeername(), _NO_SERVER)


def answer(tls: ssl.SSLSocket, protocol: str, method: str, path: str, body: bytes) -> bytes:
    """The body of an answer."""
    if path == "/large":
        return LARGE
    subject = subject_of(tls.getpeercert())
    said = {"method": method, "path": path, "protocol": protocol, "subject": subject, "body": body.decode()}
    return json.dumps(said).encode()


# What socketserver would give a handler, which asks nothing of it.
_NO_SERVER: Any = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        tls: Any = self.request
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = answer(tls, "HTTP/1.1", self.command, self.path, body)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    do_POST = do_GET  # noqa: N815 (its name there)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Nothing: a test's output is its own."""


def _converse_http2(tls: ssl.SSLSocket) -> None:
    # By name: it comes with the packages that are tested, and checking the types of this file must not need it.
    connection, events = importlib.import_module("h2.connection"), importlib.import_module("h2.events")
    settings = importlib.import_module("h2.config").H2Configuration(client_side=False, header_encoding="utf-8")
    http = connection.H2Connection(settings)
    http.initiate_connection()
    tls.sendall(http.data_to_send())
    asked: dict[int, dict[str, str]] = {}
    bodies: dict[int, bytearray] = {}
    waiting: dict[int, memoryview] = {}
    while data := tls.recv(65536):
        for event in http.receive_data(data):
            if isinstance(event, events.RequestReceived):
                asked[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                bodies[event.stream_id] = bytearray()
            elif isinstance(event, events.DataReceived):
                bodies[event.stream_id] += event.data
                http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                request, body = asked.pop(event.stream_id), bytes(bodies.pop(event.stream_id))
                found = answer(tls, "HTTP/2", request[":method"], request[":path"], body)
                http.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/json")])
                waiting[event.stream_id] = memoryview(found)
            elif isinstance(event, events.ConnectionTerminated):
                return
        _send_what_may_be_sent(http, waiting)
        tls.sendall(http.data_to_send())


def _send_what_may_be_sent(http: Any, waiting: dict[int, memoryview]) -> None:
    for stream in list(waiting):
        left = waiting[stream]
        while left and (room := min(http.local_flow_control_window(stream), http.max_outbound_frame_size)) > 0:
            http.send_data(stream, bytes(left[:room]))
            left = left[room:]
        waiting[stream] = left
        if not left:
            http.end_stream(stream)
            del waiting[stream]
