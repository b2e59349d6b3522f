"""A client and a server joined in memory: what one sends the other gets, whole, in pieces, or changed on the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.support.identities import client_config, server_config
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.crypto.aead import TAG_LENGTH
from trustls.errors import AlertDescription, AlertReceived, TLSError
from trustls.protocol.key_schedule import TrafficSecret
from trustls.protocol.record import HEADER_LENGTH, MAX_CIPHERTEXT, Sealer
from trustls.wire.enums import ContentType

Split = Callable[[bytes], Iterable[bytes]]
Change = Callable[[bytes], bytes]

# Far more rounds than any handshake takes: two sides that still talk then will talk for ever.
_MAX_ROUNDS: Final = 100


def whole(data: bytes) -> Iterable[bytes]:
    """Everything at once."""
    return (data,)


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """One byte at a time."""
    return (data[index : index + 1] for index in range(len(data)))


def record_by_record(data: bytes) -> Iterator[bytes]:
    """One record at a time."""
    while data:
        end = HEADER_LENGTH + int.from_bytes(data[3:5], "big")
        yield data[:end]
        data = data[end:]


def unchanged(data: bytes) -> bytes:
    """What is sent arrives."""
    return data


@dataclass(slots=True)
class Pair:
    """Two connections and the wires between them.

    `to_server` and `to_client` may change the bytes on their way; `split` cuts what arrives into pieces.
    """

    client: ClientConnection
    server: ServerConnection
    split: Split = whole
    to_server: Change = unchanged
    to_client: Change = unchanged
    client_got: bytearray = field(default_factory=bytearray)
    server_got: bytearray = field(default_factory=bytearray)

    def step(self) -> bool:
        """Carry what waits, one way and then the other; whether anything did."""
        forth = self.client.data_to_send()
        if forth:
            self.server_got += feed(self.server, self.split(self.to_server(forth)))
        back = self.server.data_to_send()
        if back:
            self.client_got += feed(self.client, self.split(self.to_client(back)))
        return bool(forth or back)

    def run(self) -> Pair:
        """Until both are silent."""
        for _ in range(_MAX_ROUNDS):
            if not self.step():
                return self
        raise AssertionError(f"the two sides still talk after {_MAX_ROUNDS} rounds")

    @property
    def connected(self) -> bool:
        """Whether both have finished the handshake and neither has failed."""
        return all(not side.handshaking and side.failure is None for side in (self.client, self.server))

    def check_connected(self) -> Pair:
        """The handshake is done, and data goes both ways."""
        for name, side in (("client", self.client), ("server", self.server)):
            assert side.failure is None, f"the {name} failed: {side.failure!r}"
            assert not side.handshaking, f"the {name} still waits"
        for sender, receiver, way in ((self.client, self.server, "to server"), (self.server, self.client, "to client")):
            sender.send(b"data " + way.encode())
            got = feed(receiver, self.split(sender.data_to_send()))
            assert got == b"data " + way.encode(), f"data does not arrive {way}: {receiver.failure!r}"
        assert self.client.export("EXPORTER-test", 32) == self.server.export("EXPORTER-test", 32), "exporters differ"
        return self

    def other(self, side: Connection) -> Connection:
        """The peer of one of the two."""
        return self.server if side is self.client else self.client


def feed(connection: Connection, pieces: Iterable[bytes]) -> bytes:
    """Give a connection bytes until they end or it fails (see `connection.failure`); the application data."""
    got = bytearray()
    for piece in pieces:
        waited = connection._writer.pending
        try:
            got += connection.receive(piece)
        except TLSError as error:
            assert error is connection.failure, f"{error!r} was raised, and {connection.failure!r} latched"
            break
        check_bounds(connection, waited, len(piece))
    return bytes(got)


def check_bounds(connection: Connection, waited: int = 0, delivered: int = 0) -> None:
    """No connection keeps more than a record that is not whole, a handshake message that is not whole, and an answer.

    `waited` is how much already waited to be sent. Of what was `delivered` with a close_notify the rest is kept, too,
    for `take_unread`.
    """
    if connection.pending_work is None:
        kept = len(connection._incoming)
        most = HEADER_LENGTH + MAX_CIPHERTEXT + (delivered if connection.peer_closed else 0)
        assert kept < most, f"{kept} bytes of incomplete records are kept"
    joined = len(connection._joiner.waiting)
    assert joined <= (1 << 17) + 4 + MAX_CIPHERTEXT, f"{joined} bytes of handshake messages are kept"
    answer = connection._writer.pending - waited
    scripted = type(connection) not in {ClientConnection, ServerConnection}  # Which may say as much as it wants.
    assert scripted or answer <= 1 << 16, f"one call to receive made an answer of {answer} bytes"


def sending_secret(connection: Connection) -> TrafficSecret:
    """The secret that a TLS 1.3 connection seals under at the moment."""
    sealer = connection._sealer()
    assert isinstance(sealer, Sealer), f"{sealer!r} is none of TLS 1.3"
    return sealer.secret


def pair(server: ServerConfig | None = None, client: ClientConfig | None = None, name: str = "localhost") -> Pair:
    """A client and a server that have not spoken yet."""
    return Pair(ClientConnection(client or client_config(), name), ServerConnection(server or server_config()))


def connect(server: ServerConfig | None = None, client: ClientConfig | None = None, name: str = "localhost") -> Pair:
    """A client and a server after the handshake; the test fails if that does."""
    joined = pair(server, client, name).run()
    for side in (joined.client, joined.server):
        assert side.failure is None, f"the handshake failed: {side.failure!r}"
        assert not side.handshaking, "the handshake did not finish"
    return joined


def check_refused(
    joined: Pair, by: str, error: type[TLSError], reason: object = None, alert: AlertDescription | None = None
) -> TLSError:
    """`by` ("client" or "server") refused the other with `error` of `reason`, and the other read the alert.

    The alert is that of the reason, unless given.
    """
    refusing = joined.client if by == "client" else joined.server
    refused = joined.other(refusing)
    failure = refusing.failure
    assert failure is not None, f"the {by} did not refuse; the other side: {refused.failure!r}"
    assert type(failure) is error, f"the {by} failed with {failure!r}, not with {error.__name__}"
    if reason is not None:
        found = getattr(failure, "reason", None)
        assert found is reason, f"the {by} failed because {found}, not {reason}: {failure}"
    expected = alert or failure.alert
    assert failure.alert == expected, f"the {by} sends {failure.alert!r}, not {expected!r}"
    received = refused.failure
    assert isinstance(received, AlertReceived), f"the other side read no alert: {received!r}"
    assert received.description == expected, f"the other side read {received.description!r}, not {expected!r}"
    return failure


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """A record as a watcher of the wire sees it."""

    content_type: ContentType
    length: int
    raw: bytes


def records(data: bytes) -> list[RecordHeader]:
    """The records in `data`, which must be whole."""
    found = []
    for raw in record_by_record(data):
        assert len(raw) >= HEADER_LENGTH, "half a record header"
        length = int.from_bytes(raw[3:5], "big")
        assert len(raw) == HEADER_LENGTH + length, "half a record"
        found.append(RecordHeader(ContentType(raw[0]), length, raw))
    return found


def plain_record(kind: int, content: bytes, version: bytes = b"\x03\x03") -> bytes:
    """A record that is not encrypted."""
    return bytes([kind]) + version + len(content).to_bytes(2, "big") + content


def overhead(padding: int = 0) -> int:
    """What a protected record adds to its content."""
    return HEADER_LENGTH + 1 + TAG_LENGTH + padding


def split_at(sizes: Iterable[int]) -> Split:
    """Pieces of these sizes, over and over."""

    def split(data: bytes) -> Iterator[bytes]:
        for size in itertools.cycle(list(sizes) or [len(data) or 1]):
            if not data:
                return
            yield data[:size]
            data = data[size:]

    return split
