"""ClientHellos built byte by byte and what comes back for them; scripted clients and servers over sockets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import trustls
from tests.support.memory import plain_record, record_by_record
from tests.support.scripted import Edit, Item, Record, ScriptedClient, ScriptedServer, honest, say
from tests.support.servers import SECONDS
from trustls.wire.codec import vector8, vector16, vector24
from trustls.wire.enums import ContentType, HandshakeType
from trustls.wire.extensions import Extended
from trustls.wire.messages import ClientHello, HandshakeMessage, encode_message

HOST = "127.0.0.1"
Extensions = Sequence[tuple[int, bytes]]

_HANDSHAKE = int(ContentType.HANDSHAKE)


def client_hello(
    version: int, suites: Iterable[int], extensions: Extensions | None = (), *, session_id: bytes = b""
) -> bytes:
    """The message, with its header. Without extensions (None) it ends behind the compression methods."""
    body = (
        version.to_bytes(2, "big")
        + bytes(range(32))
        + vector8(session_id)
        + vector16(b"".join(struct.pack("!H", suite) for suite in suites))
        + vector8(b"\0")
    )
    if extensions is not None:
        body += extension_block(extensions)
    return message_of(HandshakeType.CLIENT_HELLO, body)


def message_of(kind: int, body: bytes) -> bytes:
    """A handshake message with its header."""
    return bytes([kind]) + vector24(body)


def extension_block(extensions: Extensions) -> bytes:
    """Extensions in this order, behind their length."""
    return vector16(b"".join(kind.to_bytes(2, "big") + vector16(body) for kind, body in extensions))


def extensions_of(hello: Extended) -> list[tuple[int, bytes]]:
    """The extensions of a message, as they stand on the wire."""
    block = hello.encode_extensions()[2:]
    found = []
    while block:
        kind, size = struct.unpack_from("!HH", block)
        found.append((kind, block[4 : 4 + size]))
        block = block[4 + size :]
    return found


def with_extensions(hello: ClientHello, extensions: Extensions) -> bytes:
    """A hello with these extensions, in this order, in place of its own; the message with its header."""
    body = hello.encode()
    start = len(body) - len(hello.encode_extensions())
    return message_of(hello.TYPE, body[:start] + extension_block(extensions))


def cut(message: bytes, size: int, version: bytes = b"\x03\x01") -> bytes:
    """A handshake message in plain records of `size` bytes."""
    return b"".join(
        plain_record(_HANDSHAKE, message[start : start + size], version) for start in range(0, len(message), size)
    )


@dataclass(frozen=True)
class Answer:
    """What a server says to a hello before it hangs up."""

    data: bytes

    @property
    def alert(self) -> trustls.AlertDescription:
        """The fatal alert that is all of it; AssertionError when it is something else."""
        assert self.data[:1] == b"\x15", f"this is no alert: {self.data[:40]!r}"
        assert len(self.data) == 7, f"there is more than an alert: {self.data[:40]!r}"
        assert self.data[5] == 2, "the alert is not fatal"
        return trustls.AlertDescription(self.data[6])


def ask(port: int, data: bytes) -> Answer:
    """Send `data`, and read until the server closes."""
    with socket.create_connection((HOST, port), timeout=SECONDS) as plain:
        plain.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # It does not read all of what it refuses.
            while more := plain.recv(1 << 16):
                answer += more
        return Answer(answer)


def first_answer(port: int, data: bytes) -> bytes:
    """Send `data`, and give what the server says first; then this client is gone."""
    with socket.create_connection((HOST, port), timeout=SECONDS) as plain:
        plain.sendall(data)
        return plain.recv(1 << 16)


# -- A client and a server that misbehave over sockets ----------------------------------------------------------------


def scripted_client(
    port: int, config: trustls.ClientConfig, edit: Edit = honest, *, record: int | None = None
) -> trustls.TLSSocket[ScriptedClient]:
    """A connected client whose messages are edited; its first flight is cut into records of `record` bytes."""
    client = ScriptedClient(config, edit)
    plain = socket.create_connection((HOST, port), timeout=SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flight = client.data_to_send()
    if record is not None:
        flight = b"".join(cut(one[5:], record) for one in record_by_record(flight))
    plain.sendall(flight)
    return trustls.TLSSocket(plain, client)


class BytePerRecord:
    """An edit that sends messages a byte a record, under the keys of the moment.

    A client is told apart from its first flight, which is made before there is a client: see `scripted_client`.
    """

    def __init__(self) -> None:
        self.side: ScriptedClient | ScriptedServer | None = None

    def __call__(self, message: HandshakeMessage) -> Iterable[Item]:
        if self.side is None:
            return (message,)
        raw = encode_message(message)
        self.side.flow.transcript.add(raw)
        return [Record(_HANDSHAKE, raw[index : index + 1]) for index in range(len(raw))]


class OddServer:
    """Takes one connection: with a scripted server, which says `then` after the handshake, or with these bytes alone.

    `outcome` is how it ended, None for well, and `received` what came for the bytes.
    """

    def __init__(
        self,
        config: trustls.ServerConfig | None = None,
        edit: Edit = honest,
        *,
        then: Iterable[Item] = (),
        says: bytes | None = None,
    ) -> None:
        self._config = config
        self._edit = edit
        self._then = then
        self._says = says
        self._listening = socket.create_server((HOST, 0))
        self._listening.settimeout(SECONDS)
        self.port: int = self._listening.getsockname()[1]
        self.received = b""
        self.outcome: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        try:
            plain, _ = self._listening.accept()
            plain.settimeout(SECONDS)
            if self._config is None:
                with plain:
                    self._say(plain)
                return
            server = ScriptedServer(self._config, self._edit)
            if isinstance(self._edit, BytePerRecord):
                self._edit.side = server
            with trustls.TLSSocket(plain, server) as tls:
                tls.handshake()
                say(server, *self._then)
                while data := tls.recv():
                    tls.sendall(data)
        except BaseException as error:  # noqa: BLE001 (the test looks at it, in its own thread)
            self.outcome = error

    def _say(self, plain: socket.socket) -> None:
        assert self._says is not None
        self.received = plain.recv(1 << 16)
        plain.sendall(self._says)
        plain.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while more := plain.recv(1 << 16):
                self.received += more

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listening.close()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the odd server still runs"


class Fragmenter:
    """What becomes of a stream on a relay: its plain handshake records arrive a byte a record, the rest as it is.

    What is encrypted comes behind the first record of another type.
    """

    def __init__(self) -> None:
        self._waiting = b""
        self._plain = True

    def __call__(self, data: bytes) -> Iterable[bytes]:
        self._waiting += data
        out = b""
        while self._plain and len(self._waiting) >= 5:
            end = 5 + int.from_bytes(self._waiting[3:5], "big")
            if len(self._waiting) < end:
                break
            record, self._waiting = self._waiting[:end], self._waiting[end:]
            self._plain = record[0] == _HANDSHAKE
            out += cut(record[5:], 1, record[1:3]) if self._plain else record
        if not self._plain:
            out, self._waiting = out + self._waiting, b""
        return (out,) if out else ()
