"""What a handshake may ask of the connection that drives it.

A handshake is a coroutine. It awaits only what stands here, never an event loop: `receive` waits for a message of the
peer, and `outside` hands work to the application (sign, verify the peer, choose a credential), whose answer may be
immediate or awaited by an asynchronous shell. The rules that hold for every handshake are kept here, once: transcript
updates, keys that change only between records, messages refused before they are parsed.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Generic, TypeVar, overload

from trustls.errors import Misbehaviour, PeerMisbehaved
from trustls.protocol.early_data import EarlyData
from trustls.protocol.joiner import HandshakeJoiner
from trustls.protocol.record import RecordOpener, RecordSealer, RecordWriter
from trustls.protocol.transcript import Transcript
from trustls.trust.verifiers import Peer
from trustls.wire.messages import HandshakeMessage, encode_message

T = TypeVar("T")
A = TypeVar("A", bound=HandshakeMessage)
B = TypeVar("B", bound=HandshakeMessage)
C = TypeVar("C", bound=HandshakeMessage)

_MESSAGE_HEADER: Final = 4


class Outside(Generic[T]):
    """Waits for the answer of a function that belongs to the application: at once, or awaited by the shell."""

    __slots__ = ("arguments", "function", "named_arguments", "purpose")

    def __init__(
        self,
        purpose: str,
        function: Callable[..., T | Awaitable[T]],
        arguments: tuple[Any, ...],
        named_arguments: dict[str, Any],
    ) -> None:
        self.purpose = purpose
        self.function = function
        self.arguments = arguments
        self.named_arguments = named_arguments

    def call(self) -> T | Awaitable[T]:
        """The answer, or what is to be awaited for it."""
        return self.function(*self.arguments, **self.named_arguments)


@types.coroutine
def _answer(asked: Outside[T]) -> Generator[Outside[T], T, T]:
    return (yield asked)


class ChangeCipherSpec:
    """Waits for the peer's change_cipher_spec of TLS 1.2, and opens what follows with `opener` (RFC 5246 7.1)."""

    __slots__ = ("opener",)

    def __init__(self, opener: RecordOpener) -> None:
        self.opener = opener


Expected = tuple[type[HandshakeMessage], ...]
"""Waits for the next handshake message, which must be of one of these classes."""


class Flow:
    """One handshake's view of its connection."""

    __slots__ = (
        "_early_data",
        "_held",
        "_in_flights",
        "_joiner",
        "_on_may_send",
        "_on_sent",
        "_on_tls12",
        "_reader_changed",
        "_writer",
        "transcript",
    )

    def __init__(
        self,
        writer: RecordWriter,
        joiner: HandshakeJoiner,
        *,
        reader_changed: Callable[[RecordOpener], None],
        early_data: EarlyData,
        on_tls12: Callable[[], None],
        on_sent: Callable[..., None] | None,
        on_may_send: Callable[[Peer | None], None] | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        self.transcript = Transcript() if transcript is None else transcript
        # After the handshake messages are no flights: others may stand behind the one that is answered.
        self._in_flights = transcript is None
        self._on_may_send = on_may_send
        self._held: list[tuple[HandshakeMessage | None, bytes]] | None = None
        self._writer = writer
        self._joiner = joiner
        self._reader_changed = reader_changed
        self._early_data = early_data
        self._on_tls12 = on_tls12
        self._on_sent = on_sent

    @overload
    def receive(self, a: type[A], /) -> Awaitable[A]: ...
    @overload
    def receive(self, a: type[A], b: type[B], /) -> Awaitable[A | B]: ...
    @overload
    def receive(self, a: type[A], b: type[B], c: type[C], /) -> Awaitable[A | B | C]: ...
    @types.coroutine
    def receive(self, *expected: type[HandshakeMessage]) -> Generator[Expected, Any, Any]:
        """The next handshake message; any other than those named is an unexpected_message."""
        return (yield expected)

    def send(self, message: HandshakeMessage) -> None:
        """Add a message to the flight and to the transcript."""
        self._send(encode_message(message), message)

    def send_encoded(self, message: HandshakeMessage, raw: bytes) -> None:
        """As `send`, for a message that had to be encoded before."""
        self._send(raw, message)

    def send_ready(self, kind: type[HandshakeMessage], raw: bytes) -> None:
        """As `send`, for a message of this class that was encoded beforehand (`ReadyMessage`)."""
        self._send(raw, kind.parse(raw[_MESSAGE_HEADER:]) if self._on_sent is not None else None)

    def _send(self, raw: bytes, message: HandshakeMessage | None) -> None:
        if self._in_flights and self._joiner.waiting:
            # RFC 9846 5.1: what comes before a change of keys, and before the other's turn, ends with its record.
            raise PeerMisbehaved(Misbehaviour.EXCESS_HANDSHAKE_DATA)
        self.transcript.add(raw)
        if self._held is not None:
            self._held.append((message, raw))
            return
        self._writer.queue_handshake(raw)
        if self._on_sent is not None and message is not None:
            self._on_sent(message, raw)

    def _queue(self, message: HandshakeMessage | None, raw: bytes) -> None:
        self._writer.queue_handshake(raw)
        if self._on_sent is not None and message is not None:
            self._on_sent(message, raw)

    def show(self, message: HandshakeMessage | type[HandshakeMessage], body: bytes, direction: str) -> None:
        """Show who traces the handshake a message that is not on the wire as it is; its class will do."""
        if self._on_sent is not None:
            shown = message.parse(body) if isinstance(message, type) else message
            self._on_sent(shown, (message.TYPE << 24 | len(body)).to_bytes(_MESSAGE_HEADER, "big") + body, direction)

    def hold(self) -> None:
        """Keep the messages of this flight back until `release`, so that no application data comes between them."""
        self._held = []

    def release(self) -> None:
        """Let the flight go out, in one piece."""
        held, self._held = self._held or [], None
        for message, raw in held:
            self._queue(message, raw)

    def send_after_handshake(self, message: HandshakeMessage) -> None:
        """Queue a message that is no part of the transcript: a ticket."""
        self._queue(message, encode_message(message))

    def send_change_cipher_spec(self) -> None:
        """This side's change of keys in TLS 1.2; what makes TLS 1.3 look like that to middleboxes (RFC 9846 E.4)."""
        self._writer.queue_change_cipher_spec()

    @types.coroutine
    def change_cipher_spec(self, opener: RecordOpener) -> Generator[ChangeCipherSpec, None, None]:
        """The peer's change of keys in TLS 1.2. No handshake message, and no part of one, may stand before it."""
        yield ChangeCipherSpec(opener)

    def speak_tls12(self) -> None:
        """Settle on TLS 1.2: a change_cipher_spec means something from here on."""
        self._on_tls12()

    def read_under(self, opener: RecordOpener) -> None:
        """Open what comes next with `opener`.

        RFC 9846 5.1: a handshake message never straddles a change of keys, so the record must have ended here.
        """
        if self._joiner.waiting:
            raise PeerMisbehaved(Misbehaviour.KEY_CHANGE_INSIDE_RECORD)
        self._reader_changed(opener)

    def write_under(self, sealer: RecordSealer | None) -> None:
        """Seal what goes out next with `sealer`; None for the clear again, after early data (RFC 9846 4.2.4)."""
        self._writer.use(sealer)

    def pad_records_to(self, multiple: int) -> None:
        """Pad application data to a multiple of so many bytes."""
        self._writer.pad_to = multiple

    def fragment_at(self, size: int) -> None:
        """Put at most `size` bytes of content into a record."""
        self._writer.fragment_size = size

    def fragment_at_most(self, size: int) -> None:
        """Put at most `size` bytes of content into a record, where it has not been less before."""
        self._writer.fragment_size = min(self._writer.fragment_size, size)

    def skip_early_data(self, limit: int) -> None:
        """Pass over `limit` bytes of early data that was offered and is not taken (RFC 9846 4.3.10)."""
        self._early_data.skip(limit)

    def take_early_data(self, limit: int) -> None:
        """Take up to `limit` bytes of early data, apart from all other data, until EndOfEarlyData."""
        self._early_data.take(limit)

    def offer_early_data(self, limit: int) -> None:
        """Let the client write up to `limit` bytes of early data from now on."""
        self._early_data.offer(limit)

    def may_send(self, peer: Peer | None) -> None:
        """Let the server send data before the client's Finished: to one whose early data it takes, who is known."""
        if self._on_may_send is not None:
            self._on_may_send(peer)

    def settle_early_data(self, *, accepted: bool) -> None:
        """No more early data goes out; the client learns whether the server took it."""
        self._early_data.settle(accepted=accepted)

    def outside(
        self, purpose: str, function: Callable[..., T | Awaitable[T]], /, *arguments: Any, **named_arguments: Any
    ) -> Awaitable[T]:
        """The answer of `function`, which may be asynchronous; `purpose` names it in errors and traces."""
        return _answer(Outside(purpose, function, arguments, named_arguments))
