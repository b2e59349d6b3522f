"""A peer that misbehaves on purpose: the real handshake, with hooks on every message it sends.

`ScriptedClient` and `ScriptedServer` run the real coroutines over a `Flow` that asks an `Edit` what to send in place of
each message. What is sent goes into the sender's transcript, so its keys, signatures and Finished fit what the victim
read: a changed message passes every MAC, and is judged by what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.handshake.client import client_handshake
from trustls.handshake.client_answer import ClientAnswer
from trustls.handshake.flow import Flow
from trustls.handshake.server import server_handshake
from trustls.protocol.transcript import Transcript
from trustls.trust.names import ServerName
from trustls.wire.enums import ContentType
from trustls.wire.messages import HandshakeMessage, encode_message


@dataclass(frozen=True, slots=True)
class Record:
    """A record of its own, sealed under the keys of the moment; whatever waits goes out before it."""

    kind: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes on the wire, as they are; whatever waits goes out before them."""

    data: bytes


class NewRecord:
    """What follows starts a new record."""


Item: TypeAlias = "HandshakeMessage | bytes | Record | Wire | NewRecord"
"""What may be sent: a message, the exact bytes of one (or of what should be one), or something around messages."""

_HEADER = 4

Edit = Callable[[HandshakeMessage], Iterable[Item]]
M = TypeVar("M", bound=HandshakeMessage)


def honest(message: HandshakeMessage) -> Iterable[Item]:
    """No change."""
    return (message,)


def on(kind: type[M], change: Callable[[M], Iterable[Item]], *, nth: int = 0) -> Edit:
    """Apply `change` to the nth message of one class, and leave the others alone."""
    seen = 0

    def edit(message: HandshakeMessage) -> Iterable[Item]:
        nonlocal seen
        if not isinstance(message, kind):
            return (message,)
        seen += 1
        return change(message) if seen == nth + 1 else (message,)

    return edit


class EditedFlow(Flow):
    """A Flow that sends what its `edit` makes of each message."""

    def __init__(
        self,
        connection: Connection,
        edit: Edit,
        transcript: Transcript | None = None,
        sent: list[HandshakeMessage] | None = None,
    ) -> None:
        super().__init__(
            connection._writer,
            connection._joiner,
            reader_changed=connection._use_opener,
            early_data=connection._early_data,
            on_tls12=connection._speak_tls12,
            on_sent=None,
            on_may_send=connection._allow_data,
            transcript=transcript,
        )
        self._edit = edit
        self.sent = [] if sent is None else sent

    def send(self, message: HandshakeMessage) -> None:
        self.sent.append(message)
        for item in self._edit(message):
            match item:
                case Record():
                    self._writer.flush_handshake()
                    self._writer._write(item.kind, item.content)
                case Wire():
                    self._writer.flush_handshake()
                    self._writer._append(item.data)
                case NewRecord():
                    self._writer.flush_handshake()
                case bytes():
                    self._say(item)
                case _:
                    self._say(encode_message(item))

    def send_encoded(self, message: HandshakeMessage, raw: bytes) -> None:
        self.send(message)

    def send_ready(self, kind: type[HandshakeMessage], raw: bytes) -> None:
        self.send(kind.parse(raw[_HEADER:]))  # An edit is for it, too, and may change it in place.

    def _say(self, raw: bytes) -> None:
        self.transcript.add(raw)
        self._writer.queue_handshake(raw)


class ScriptedClient(ClientConnection):
    """A client whose messages are edited."""

    __slots__ = ("flow",)

    def __init__(self, config: ClientConfig, edit: Edit = honest, server_name: str = "localhost") -> None:
        Connection.__init__(self, config.pad_records_to, config.max_fragment_size)
        self._answer = ClientAnswer()
        self._parameters = config.parameters
        self.flow = EditedFlow(self, edit)
        self._flow = self.flow
        self._start(client_handshake(self.flow, config.parameters, ServerName(server_name), self._answer))

    def _new_flow(self, transcript: Transcript | None = None) -> Flow:
        if transcript is not None:  # After the handshake: the script goes on.
            self.flow = EditedFlow(self, self.flow._edit, transcript, self.flow.sent)
            return self.flow
        return super()._new_flow()


class ScriptedServer(ServerConnection):
    """A server whose messages are edited."""

    __slots__ = ("flow",)

    def __init__(self, config: ServerConfig, edit: Edit = honest) -> None:
        Connection.__init__(self, config.pad_records_to, config.max_fragment_size)
        self.flow = EditedFlow(self, edit)
        self._flow = self.flow
        self._start(server_handshake(self.flow, config.parameters))

    def _new_flow(self, transcript: Transcript | None = None) -> Flow:
        if transcript is not None:  # After the handshake: the script goes on.
            self.flow = EditedFlow(self, self.flow._edit, transcript, self.flow.sent)
            return self.flow
        return super()._new_flow()


def say(connection: Connection, *items: Item) -> None:
    """Queue what a connection would not send by itself, under its keys of the moment."""
    writer = connection._writer
    for item in items:
        match item:
            case Record():
                writer.flush_handshake()
                writer._write(item.kind, item.content)
            case Wire():
                writer.flush_handshake()
                writer._append(item.data)
            case NewRecord():
                writer.flush_handshake()
            case bytes():
                writer.queue_handshake(item)
            case _:
                writer.queue_handshake(encode_message(item))
    writer.flush_handshake()


def sealed(connection: Connection, kind: ContentType | int, content: bytes, *, padding: int = 0) -> bytes:
    """One record under a connection's sending keys of the moment, not queued."""
    sealer = connection._sealer()
    return sealer.seal(int(kind), content, padding)
