"""ClientConnection and ServerConnection: TLS without I/O.

Bytes from the transport go into `receive`, which gives back application data; bytes for the transport come out of
`data_to_send`. The connection drives the handshake's coroutine as messages arrive, keeps the rules of the record layer,
and turns the first failure into its alert.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Final, cast

from trustls import trace
from trustls.config import ClientConfig, ServerConfig
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    ConfigError,
    ConnectionClosed,
    EarlyDataUnavailable,
    HandshakePending,
    InternalError,
    Misbehaviour,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.handshake.client import client_handshake
from trustls.handshake.established import ConnectionInfo, Established
from trustls.handshake.flow import ChangeCipherSpec, Flow, Outside, Receive
from trustls.handshake.server import server_handshake
from trustls.identity.request import CredentialRequest
from trustls.protocol.buffers import BUFFER_SIZE, BUFFERS
from trustls.protocol.early_data import EarlyData
from trustls.protocol.joiner import HandshakeJoiner
from trustls.protocol.record import (
    HEADER_LENGTH,
    MAX_CIPHERTEXT,
    MAX_PLAINTEXT,
    Opener,
    RecordOpener,
    RecordSealer,
    RecordWriter,
    Sealer,
)
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.wire.enums import ContentType, HandshakeType
from trustls.wire.messages import HandshakeMessage, KeyUpdate, NewSessionTicket, awaited_class, encode_message
from trustls.wire.messages12 import HelloRequest

_CHANGE_CIPHER_SPEC: Final = int(ContentType.CHANGE_CIPHER_SPEC)
_ALERT: Final = int(ContentType.ALERT)
_HANDSHAKE: Final = int(ContentType.HANDSHAKE)
_APPLICATION_DATA: Final = int(ContentType.APPLICATION_DATA)

_WARNING: Final = 1
_FATAL: Final = 2
_HANDSHAKE_HEADER: Final = 4

# What a peer may do before it must send something of use. Each is far above what an honest one does.
_MAX_EMPTY_RECORDS: Final = 32
_MAX_POST_HANDSHAKE_MESSAGES: Final = 32
_MAX_WARNINGS: Final = 4
_MAX_CHANGE_CIPHER_SPECS: Final = 2
# How much data is sealed before the key's limit is looked at again.
_SEND_STEP: Final = 1 << 20

Data = bytes | bytearray | memoryview


class Connection:
    """What client and server have in common. Not safe for concurrent calls: one thread or task at a time."""

    __slots__ = (
        "_awaited_opener",
        "_change_cipher_specs",
        "_close_sent",
        "_early_data",
        "_empty_records",
        "_established",
        "_failure",
        "_flow",
        "_handshake",
        "_idle_messages",
        "_incoming",
        "_joiner",
        "_key_update_owed",
        "_opener",
        "_peer_closed",
        "_settling",
        "_tls12",
        "_update_asked",
        "_waiting",
        "_warnings",
        "_work",
        "_writer",
    )

    is_client: bool

    def __init__(self, pad_records_to: int) -> None:
        self._writer = RecordWriter(pad_records_to)
        self._opener: RecordOpener | None = None
        self._joiner = HandshakeJoiner()
        self._incoming = b""
        self._early_data = EarlyData()
        self._flow: Flow | None = Flow(
            self._writer,
            self._joiner,
            reader_changed=self._use_opener,
            early_data=self._early_data,
            on_tls12=self._speak_tls12,
            on_sent=self._trace_sent,
        )
        self._handshake: Coroutine[Any, Any, Established] | None = None
        self._waiting: tuple[type[HandshakeMessage], ...] = ()
        self._work: tuple[Outside[Any], Awaitable[Any]] | None = None
        self._established: Established | None = None
        self._failure: TLSError | None = None
        self._peer_closed = False
        self._settling = False
        self._close_sent = False
        self._key_update_owed = False
        self._update_asked = False
        self._empty_records = 0
        self._idle_messages = 0
        self._warnings = 0
        self._change_cipher_specs = 0
        self._awaited_opener: RecordOpener | None = None
        self._tls12 = False

    # -- What the application sees ------------------------------------------------------------------------------------

    @property
    def handshaking(self) -> bool:
        """Whether the handshake is still under way: neither finished nor failed."""
        return self._established is None and self._failure is None

    @property
    def info(self) -> ConnectionInfo:
        """What was negotiated; HandshakePending before that."""
        return self._facts().info

    @property
    def peer(self) -> Peer | None:
        """Who the other side is, verified; None for a client that presented no certificate, or before that is known."""
        return None if self._established is None else self._established.peer

    @property
    def peer_closed(self) -> bool:
        """Whether the peer has said that it sends no more (close_notify). This side may still send."""
        return self._peer_closed

    @property
    def failure(self) -> TLSError | None:
        """What ended the connection, if anything did."""
        return self._failure

    def receive(self, data: Data) -> bytes:
        """Take bytes from the transport, in pieces of any size, and give the application data in them.

        Call `data_to_send` afterwards: the handshake may have answered. `b""` is allowed, and goes on with what came
        before, after `settle`.

        Raises:
            TLSError: the connection failed; its alert waits in `data_to_send`. Data that came before the failure is
                given first, and the failure raised by the next call.
        """
        self._raise_failure()
        if self._incoming:
            data = self._incoming + data
            self._incoming = b""
        if not data or self._peer_closed:
            return b""
        plaintext = self._open_records(memoryview(data))
        if self._failure is not None and not plaintext:
            raise self._failure
        return plaintext

    def receive_eof(self) -> None:
        """Say that the transport has ended.

        Raises:
            UnexpectedEOF: the peer sent no close_notify before, so that data may be missing (RFC 9846 6.1).
        """
        if self._failure is None and not self._peer_closed:
            what = "during the handshake" if self.handshaking else "without a close_notify"
            self._fail(UnexpectedEOF(f"the transport ended {what}"))
        self._raise_failure()

    def send(self, data: Data) -> None:
        """Seal application data. The records wait in `data_to_send`, whatever their size.

        Raises:
            HandshakePending: the handshake is not finished.
            ConnectionClosed: `close` was called.
            TLSError: the connection has failed; the failure is raised again.
        """
        self._check_open()
        view = memoryview(data)
        if view.itemsize != 1 or not view.c_contiguous:
            view = memoryview(bytes(view))
        for start in range(0, len(view), _SEND_STEP):
            self._send_data(view[start : start + _SEND_STEP])

    def data_to_send(self, limit: int | None = None) -> bytes:
        """The next bytes for the transport: all that wait, or at most `limit`; `b""` when nothing does.

        Pieces of 64 KiB cost the least a byte, where much waits.
        """
        return self._writer.take(limit)

    def close(self) -> None:
        """Say that this side sends no more (close_notify). The peer may still send: `receive` goes on working.

        During the handshake that is the end of the connection.
        """
        if not self._close_sent and self._failure is None:
            self._send_alert(_WARNING, AlertDescription.CLOSE_NOTIFY)
            self._close_sent = True
            if self.handshaking:
                self._fail(ConnectionClosed("this side closed the connection during the handshake"))

    def abort(self, error: TLSError) -> None:
        """End the connection for a reason of the caller's: the alert of `error` is queued, if it has one."""
        if self._failure is None:
            self._fail(error)

    def update_keys(self, *, request_peer: bool = True) -> None:
        """Send a KeyUpdate and change this side's sending keys; `request_peer` asks the peer to do the same.

        (RFC 9846 4.7.3.) It happens by itself before a key reaches its limit.

        Raises:
            HandshakePending, ConnectionClosed, TLSError: as for `send`.
        """
        self._check_open()
        self._send_key_update(request_peer)

    def export(self, label: str | bytes, length: int, *, context: bytes | None = None) -> bytes:
        """Keying material that both sides, and nobody else, can derive (RFC 9846 7.5, RFC 5705).

        In TLS 1.2 an empty context and none give different material; in TLS 1.3 the same.

        Raises:
            HandshakePending: the handshake is not finished.
            ValueError: `length` is not 1 to 255 hash lengths, or the label is longer than 249 bytes.
        """
        encoded = label.encode() if isinstance(label, str) else label
        exporter = self._facts().exporter
        if not 1 <= length <= exporter.max_length or len(encoded) > 249:
            raise ValueError(f"an exporter gives 1 to {exporter.max_length} bytes for a label of at most 249 bytes")
        return exporter.export(encoded, context, length)

    # -- Work of the application's ------------------------------------------------------------------------------------

    @property
    def pending_work(self) -> str | None:
        """What the handshake waits for outside ("verify the client's certificate"), to be awaited by `settle`."""
        return None if self._work is None else self._work[0].purpose

    async def settle(self) -> None:
        """Await the asynchronous verifier, signer or chooser that the handshake waits for, and go on with its answer.

        Call `receive(b"")` afterwards, for what came meanwhile and for a failure.
        """
        while self._work is not None:
            outside, awaitable = self._work
            self._settling = True
            try:
                value = await awaitable
            except Exception as error:  # noqa: BLE001 (whatever a callback raises ends this connection, no more)
                self._work = None
                self._settling = False
                self._guarded_resume(None, error if isinstance(error, TLSError) else _callback_failed(outside, error))
            except BaseException:
                self._work = None
                self._settling = False
                self.abort(InternalError(f"given up: to {outside.purpose}"))
                raise
            else:
                self._work = None
                self._settling = False
                self._guarded_resume(value)

    # -- Opening records ----------------------------------------------------------------------------------------------

    def _open_records(self, data: memoryview) -> bytes:
        """Take every whole record of `data`; the application data, up to a failure if there is one."""
        end = len(data)
        pooled = end <= BUFFER_SIZE
        out = BUFFERS.take() if pooled else bytearray(end)
        out_view = memoryview(out)
        filled = 0
        position = 0
        try:
            while end - position >= HEADER_LENGTH and self._work is None and not self._peer_closed:
                opener = self._opener
                if self._established is not None and isinstance(opener, Opener) and self._joiner.is_empty:
                    following, filled = opener.open_run(data, position, out_view, filled)
                    if following > position:
                        position = following
                        self._empty_records = 0
                        self._idle_messages = 0
                        continue
                body = position + HEADER_LENGTH
                header = data[position:body]
                size = header[3] << 8 | header[4]
                following = body + size
                if opener is None or (header[0] != _APPLICATION_DATA and opener.hides_type):
                    self._check_plain_header(header, size)
                    if following > end:
                        break
                    self._take_plain_record(header[0], bytes(data[body:following]))
                else:
                    if size > MAX_CIPHERTEXT:
                        raise PeerMisbehaved(Misbehaviour.RECORD_OVERFLOW, f"{size} bytes")
                    if following > end:
                        break
                    try:
                        kind, stop = opener.open(bytes(header), data[body:following], out_view, filled)
                    except PeerMisbehaved as error:
                        self._skip_or_raise(size, error)
                        position = following
                        continue
                    if kind == _APPLICATION_DATA and stop > filled and self._established is not None:
                        if not self._joiner.is_empty:
                            raise PeerMisbehaved(Misbehaviour.INTERLEAVED_RECORD)
                        filled = stop
                        self._empty_records = 0
                        self._idle_messages = 0
                    else:
                        self._take_record(kind, bytes(out_view[filled:stop]))
                position = following
        except TLSError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 (a bug of ours must end the connection, not escape half-way)
            self._fail(_internal_error(error))
        else:
            if position < end and not self._peer_closed:
                self._incoming = bytes(data[position:])
            self._ask_for_update()
        plaintext = bytes(out_view[:filled])
        out_view.release()
        if pooled:
            BUFFERS.give_back(out)
        return plaintext

    def _check_plain_header(self, header: memoryview, size: int) -> None:
        """Refuse what is no record before the rest of it is waited for."""
        if header[1] != 3:
            reason = Misbehaviour.NOT_TLS if self._opener is None else Misbehaviour.BAD_RECORD_VERSION
            raise PeerMisbehaved(reason, f"it starts with {bytes(header)!r}")
        if header[0] not in ContentType.by_value:
            raise PeerMisbehaved(Misbehaviour.UNKNOWN_CONTENT_TYPE, str(header[0]))
        skippable = header[0] == _APPLICATION_DATA and self._early_data.skippable
        if size > (MAX_CIPHERTEXT if skippable else MAX_PLAINTEXT):
            raise PeerMisbehaved(Misbehaviour.RECORD_OVERFLOW, f"{size} bytes")

    def _take_plain_record(self, kind: int, content: bytes) -> None:
        """A record that is not encrypted: the hellos, an early alert, or the change_cipher_spec of TLS 1.3."""
        if kind == _CHANGE_CIPHER_SPEC:
            self._take_change_cipher_spec(content)
        elif kind == _APPLICATION_DATA and self._early_data.skippable:
            self._early_data.skip_record(len(content))
        elif self._opener is None and kind != _APPLICATION_DATA:
            self._take_record(kind, content)
        elif kind == _ALERT and self.handshaking and self._opener is not None and not self._opener.sequence:
            # A peer that could not read our hello has no keys to encrypt its alert with.
            self._take_alert(content)
        else:
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_RECORD, f"{ContentType(kind)} in the clear")

    def _speak_tls12(self) -> None:
        self._tls12 = True

    def _take_change_cipher_spec(self, content: bytes) -> None:
        if self._tls12:
            # RFC 5246 7.1: it changes the keys, at its place in the handshake and nowhere else.
            opener = self._awaited_opener
            if opener is None or content != b"\x01" or not self._joiner.is_empty:
                raise PeerMisbehaved(Misbehaviour.BAD_CHANGE_CIPHER_SPEC)
            self._awaited_opener = None
            self._opener = opener
            self._resume(None)
            return
        # RFC 9846 5: to be dropped between the first ClientHello and the peer's Finished, and refused elsewhere.
        self._change_cipher_specs += 1
        if (
            content != b"\x01"
            or not self.handshaking
            or not self._joiner.is_empty
            or self._change_cipher_specs > _MAX_CHANGE_CIPHER_SPECS
            or not self._may_change_cipher_spec()
        ):
            raise PeerMisbehaved(Misbehaviour.BAD_CHANGE_CIPHER_SPEC)

    def _may_change_cipher_spec(self) -> bool:
        raise NotImplementedError

    def _take_record(self, kind: int, content: bytes) -> None:
        """The content of a record, whether it was encrypted or not."""
        if kind == _HANDSHAKE:
            if not content:
                raise PeerMisbehaved(Misbehaviour.EMPTY_FRAGMENT, "handshake")
            self._early_data.skippable = 0
            self._joiner.add(content)
            self._take_messages()
        elif not self._joiner.is_empty:
            raise PeerMisbehaved(Misbehaviour.INTERLEAVED_RECORD)
        elif kind == _ALERT:
            self._take_alert(content)
        elif kind == _APPLICATION_DATA and not content and (self._established is not None or self._takes_early_data):
            self._empty_records += 1
            if self._empty_records > _MAX_EMPTY_RECORDS:
                raise PeerMisbehaved(Misbehaviour.TOO_MANY_EMPTY_RECORDS)
        elif kind == _APPLICATION_DATA and self._takes_early_data:
            self._empty_records = 0
            self._early_data.received(content)
        elif kind in ContentType.by_value:
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_RECORD, str(ContentType(kind)))
        else:
            raise PeerMisbehaved(Misbehaviour.UNKNOWN_CONTENT_TYPE, str(kind))

    def _take_alert(self, content: bytes) -> None:
        if len(content) != 2:
            raise PeerMisbehaved(Misbehaviour.BAD_ALERT, f"{len(content)} bytes")
        trace.alert(self.is_client, trace.RECEIVED, content[1])
        if content[1] == AlertDescription.CLOSE_NOTIFY:
            self._peer_closed = True
            if self.handshaking:
                raise UnexpectedEOF("the peer closed the connection during the handshake")
        elif content[1] == AlertDescription.USER_CANCELED or self._is_harmless(content):
            # RFC 9846 6.1: said before a close_notify; in itself it means nothing.
            self._warnings += 1
            if self._warnings > _MAX_WARNINGS:
                raise PeerMisbehaved(Misbehaviour.TOO_MANY_WARNINGS)
        else:
            # RFC 9846 6.2: all other alerts are fatal, whatever level they claim.
            raise AlertReceived(content[1])

    def _is_harmless(self, alert: bytes) -> bool:
        """Whether an alert is one of TLS 1.2's warnings; old servers send unrecognized_name and then their hello."""
        unnamed = self.is_client and self._opener is None and alert[1] == AlertDescription.UNRECOGNIZED_NAME
        return alert[0] == _WARNING and (self._tls12 or unnamed)

    def _skip_or_raise(self, size: int, error: PeerMisbehaved) -> None:
        """Pass over a record that does not decrypt, while rejected early data may be coming (RFC 9846 4.3.10)."""
        if not self._early_data.skippable or error.reason is not Misbehaviour.BAD_RECORD_MAC:
            raise error
        self._early_data.skip_record(size)

    @property
    def _takes_early_data(self) -> bool:
        return self._established is None and self._early_data.is_taken

    def _use_opener(self, opener: RecordOpener) -> None:
        self._opener = opener
        self._early_data.stop_taking()

    # -- Handshake messages -------------------------------------------------------------------------------------------

    def _take_messages(self) -> None:
        while self._work is None:
            found = self._joiner.next_message()
            if found is None:
                return
            if self._established is None:
                self._take_handshake_message(*found)
            else:
                self._take_post_handshake_message(*found)

    def _take_handshake_message(self, kind: int, raw: bytes) -> None:
        """Hand the message to the coroutine, if it is one that the coroutine waits for."""
        body = raw[4:]
        message_type = awaited_class(kind, body, self._waiting)
        if message_type is None:
            if kind == HandshakeType.HELLO_REQUEST and self._tls12 and self.is_client and not body:
                self._warnings += 1
                if self._warnings > _MAX_WARNINGS:
                    raise PeerMisbehaved(Misbehaviour.TOO_MANY_WARNINGS, "HelloRequest")
                return  # RFC 5246 7.4.1.1: ignored while a handshake is under way, and no part of the transcript.
            awaited = " or ".join(expected.__name__ for expected in self._waiting) or "change_cipher_spec"
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_MESSAGE, f"{HandshakeType(kind)} while waiting for {awaited}")
        message = message_type.parse(body)
        if self._flow is not None:
            self._flow.transcript.add(raw)
        if trace.enabled():
            trace.message(self.is_client, trace.RECEIVED, message, raw)
        self._resume(message)

    def _start(self, handshake: Coroutine[Any, Any, Established]) -> None:
        self._handshake = handshake
        self._guarded_resume(None)

    def _guarded_resume(self, value: object, raised: TLSError | None = None) -> None:
        try:
            self._resume(value, raised)
            self._take_messages()
        except TLSError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 (as in `_open_records`)
            self._fail(_internal_error(error))

    def _resume(self, value: object, raised: TLSError | None = None) -> None:
        """Let the coroutine run until it needs the peer, or the outside for longer than a call."""
        handshake = self._handshake
        if handshake is None:
            return
        while True:
            try:
                asked = handshake.send(value) if raised is None else handshake.throw(raised)
            except StopIteration as finished:
                self._established = finished.value
                self._forget_handshake()
                return
            if isinstance(asked, Receive):
                self._waiting = asked.expected
                return
            if isinstance(asked, ChangeCipherSpec):
                self._waiting = ()
                self._awaited_opener = asked.opener
                return
            value = raised = None
            try:
                value = asked.call()
            except TLSError as error:
                raised = error
            except Exception as error:  # noqa: BLE001 (whatever a callback raises ends this connection, no more)
                raised = _callback_failed(asked, error)
            if hasattr(type(value), "__await__"):
                self._work = asked, cast("Awaitable[Any]", value)
                return

    def _forget_handshake(self) -> None:
        self._handshake = None
        self._flow = None
        self._waiting = ()

    def _take_post_handshake_message(self, kind: int, raw: bytes) -> None:
        self._idle_messages += 1
        if self._idle_messages > _MAX_POST_HANDSHAKE_MESSAGES:
            raise PeerMisbehaved(Misbehaviour.TOO_MANY_POST_HANDSHAKE_MESSAGES)
        message: HandshakeMessage
        if self._tls12:
            self._refuse_renegotiation(kind, raw)
            return
        if kind == HandshakeType.KEY_UPDATE:
            message = update = KeyUpdate.parse(raw[4:])
            self._take_key_update(update)
        elif kind == HandshakeType.NEW_SESSION_TICKET and self.is_client:
            message = ticket = NewSessionTicket.parse(raw[4:])
            self._take_ticket(ticket)
        else:
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_MESSAGE, f"{HandshakeType(kind)} after the handshake")
        if trace.enabled():
            trace.message(self.is_client, trace.RECEIVED, message, raw)

    def _refuse_renegotiation(self, kind: int, raw: bytes) -> None:
        """TLS 1.2: the handshake is never repeated, and a peer that asks is told so (RFC 5746 4.5)."""
        asks = kind == HandshakeType.HELLO_REQUEST and len(raw) == _HANDSHAKE_HEADER
        if not (asks if self.is_client else kind == HandshakeType.CLIENT_HELLO):
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_MESSAGE, f"{HandshakeType(kind)} after the handshake")
        self._warnings += 1
        if self._warnings > _MAX_WARNINGS:
            raise PeerMisbehaved(Misbehaviour.RENEGOTIATION_REPEATED)
        if asks and trace.enabled():
            trace.message(self.is_client, trace.RECEIVED, HelloRequest(), raw)
        if not self._close_sent:
            self._send_alert(_WARNING, AlertDescription.NO_RENEGOTIATION_RESERVED)

    def _take_ticket(self, ticket: NewSessionTicket) -> None:
        tickets = self._facts().tickets
        if tickets is not None:
            tickets.take(ticket)

    def _take_key_update(self, update: KeyUpdate) -> None:
        opener = self._opener
        if not self._joiner.is_empty or not isinstance(opener, Opener):
            raise PeerMisbehaved(Misbehaviour.KEY_CHANGE_INSIDE_RECORD, "KeyUpdate")
        self._opener = Opener(opener.secret.next())
        self._update_asked = False
        # RFC 9846 4.7.3: the answer goes out before the next data, and one serves all requests that came before it. So
        # a peer that asks and asks, and does not read, makes us keep nothing.
        self._key_update_owed = self._key_update_owed or update.update_requested

    def _ask_for_update(self) -> None:
        """Ask the peer for fresh keys when it has used one for as long as it may."""
        opener = self._opener
        if (
            opener is not None
            and opener.sequence >= opener.limit
            and opener.hides_type
            and self._established is not None
            and not self._update_asked
            and not self._close_sent
        ):
            self._update_asked = True
            self._send_key_update(request_peer=True)

    # -- Sending ------------------------------------------------------------------------------------------------------

    def _send_data(self, data: memoryview) -> None:
        if self._key_update_owed:
            self._send_key_update(request_peer=False)
        sealer = self._sealer()
        if self._tls12:
            if sealer.sequence + self._writer.records_needed(len(data)) >= sealer.limit:
                raise ConnectionClosed("the key is used up, and TLS 1.2 cannot change it: open a new connection")
            self._writer.write_data(sealer, data)
            return
        while sealer.sequence + self._writer.records_needed(len(data)) >= sealer.limit:
            # The last record under the old key is the KeyUpdate itself.
            fits = (sealer.limit - 1 - sealer.sequence) * MAX_PLAINTEXT
            if fits > 0:
                self._writer.write_data(sealer, data[:fits])
                data = data[fits:]
            self._send_key_update(request_peer=False)
            sealer = self._sealer()
        self._writer.write_data(sealer, data)

    def _sealer(self) -> RecordSealer:
        sealer = self._writer.sealer
        if sealer is None:
            raise HandshakePending("the handshake is not finished")
        return sealer

    def _send_key_update(self, request_peer: bool) -> None:
        sealer = self._sealer()
        if not isinstance(sealer, Sealer):
            raise ConfigError("TLS 1.2 has no key update")
        message = KeyUpdate(update_requested=request_peer)
        raw = encode_message(message)
        self._writer.queue_handshake(raw)
        self._trace_sent(message, raw)
        self._writer.use(Sealer(sealer.secret.next()))
        self._key_update_owed = False

    def _send_alert(self, level: int, description: AlertDescription) -> None:
        self._writer.queue_alert(level, description)
        trace.alert(self.is_client, trace.SENT, description)

    def _trace_sent(self, message: HandshakeMessage, raw: bytes) -> None:
        if trace.enabled():
            trace.message(self.is_client, trace.SENT, message, raw)

    # -- The end ------------------------------------------------------------------------------------------------------

    def _fail(self, error: TLSError) -> None:
        """Latch the first failure and queue its alert; keys and handshake state are dropped."""
        self._failure = error
        if error.alert is not None and not self._close_sent:
            self._send_alert(_FATAL, error.alert)
        if self._handshake is not None:
            self._handshake.close()
        self._forget_handshake()
        self._drop_work()
        self._incoming = b""
        self._opener = None
        trace.failure(self.is_client, error)

    def _drop_work(self) -> None:
        """Let go of what was never awaited. What `settle` is awaiting is ended by cancelling that."""
        if self._work is not None and not self._settling:
            end = getattr(self._work[1], "close", None) or getattr(self._work[1], "cancel", None)
            if end is not None:
                end()
        self._work = None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    def _facts(self) -> Established:
        if self._established is None:
            self._raise_failure()
            raise HandshakePending("the handshake is not finished")
        return self._established

    def _check_open(self) -> None:
        """Refuse to send before the handshake is done, after a failure, and after `close`."""
        self._facts()
        self._raise_failure()
        if self._close_sent:
            raise ConnectionClosed("this side has sent its close_notify")


class ClientConnection(Connection):
    """The client's side of one connection. The ClientHello waits in `data_to_send` as soon as it is made.

    Args:
        config: shared by any number of connections.
        server_name: the server's DNS name or IP address. Its certificate must be valid for it.

    Raises:
        ConfigError: `server_name` is neither.
    """

    __slots__ = ("_requested",)

    is_client = True

    def __init__(self, config: ClientConfig, server_name: str | ServerName) -> None:
        super().__init__(config.pad_records_to)
        self._requested: CredentialRequest | None = None
        name = server_name if isinstance(server_name, ServerName) else ServerName(server_name)
        flow = self._flow
        assert flow is not None  # noqa: S101 (made a line above)
        self._start(client_handshake(flow, config.parameters, name, self._on_requested))

    @property
    def early_data_limit(self) -> int:
        """How many bytes `write_early` still takes; 0 when there is no session that allows any, or it is too late."""
        return self._early_data.sendable if self._failure is None else 0

    @property
    def early_data_accepted(self) -> bool | None:
        """Whether the server took the early data; None before that is known, or when none was offered."""
        return self._early_data.accepted

    def write_early(self, data: Data) -> None:
        """Send data before the server has answered (0-RTT, RFC 9846 2.3). Anybody who sees it can send it again.

        Use it for what may safely happen twice, and for nothing else. It needs `early_data=True` in the configuration
        and a session whose server allows it. A server may refuse it: see `take_rejected_early_data`.

        Raises:
            EarlyDataUnavailable: more than `early_data_limit` bytes.
            TLSError: the connection has failed; the failure is raised again.
        """
        self._raise_failure()
        content = bytes(data)
        if not content:
            return
        sealer = self._writer.sealer
        if len(content) > self._early_data.sendable or sealer is None:
            raise EarlyDataUnavailable(
                f"{len(content)} bytes of early data cannot be sent, {self.early_data_limit} can"
            )
        self._early_data.sent(content)
        self._writer.write_data(sealer, memoryview(content))

    def offer_early(self, data: Data) -> None:
        """Send as much of `data` early as may be; `take_rejected_early_data` gives the rest with what is refused."""
        fits = min(len(data), self.early_data_limit)
        if fits:
            self.write_early(data[:fits])
        self._early_data.left_over(bytes(data[fits:]))

    def take_rejected_early_data(self) -> bytes:
        """The early data that the server did not get, once, to be sent again with `send`; `b""` when it has all."""
        return self._early_data.take_rejected()

    @property
    def requested(self) -> CredentialRequest | None:
        """What the server's CertificateRequest said: CA names and signature schemes; None when none came."""
        return self._requested

    def _on_requested(self, request: CredentialRequest) -> None:
        self._requested = request

    def _may_change_cipher_spec(self) -> bool:
        return True  # The ClientHello is out before anything can come in.


class ServerConnection(Connection):
    """The server's side of one connection."""

    __slots__ = ()

    is_client = False

    @property
    def early_data_accepted(self) -> bool | None:
        """Whether the client's early data is taken; None when none was offered."""
        return self._early_data.accepted

    def read_early(self) -> bytes:
        """The early data that has come (0-RTT, RFC 9846 2.3), once. Anybody who saw it could have sent it again.

        This server takes each only once, and only shortly after it was sent. Still, treat it as what may come twice.
        """
        return self._early_data.read()

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config.pad_records_to)
        flow = self._flow
        assert flow is not None  # noqa: S101 (made a line above)
        self._start(server_handshake(flow, config.parameters))

    def _may_change_cipher_spec(self) -> bool:
        return self._flow is not None and not self._flow.transcript.is_empty


def _internal_error(error: Exception) -> InternalError:
    failure = InternalError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def _callback_failed(outside: Outside[Any], error: Exception) -> InternalError:
    failure = InternalError(f"could not {outside.purpose}: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
