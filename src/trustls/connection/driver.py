"""What drives a handshake's coroutine: messages in, the application's answers in, and the first failure out.

The rules that hold for handshake messages after the handshake stand here too: tickets, key updates, renegotiation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Final, cast

from trustls import trace
from trustls.errors import (
    AlertDescription,
    ConfigError,
    HandshakePending,
    InternalError,
    Misbehaviour,
    PeerMisbehaved,
    TLSError,
)
from trustls.handshake.established import Established
from trustls.handshake.flow import ChangeCipherSpec, Flow, Outside
from trustls.identity.credential import Credential
from trustls.protocol.early_data import EarlyData
from trustls.protocol.joiner import HandshakeJoiner
from trustls.protocol.record import Opener, RecordOpener, RecordSealer, RecordWriter, Sealer
from trustls.protocol.transcript import Transcript
from trustls.trust.verifiers import Peer
from trustls.wire.enums import HandshakeType, ProtocolVersion
from trustls.wire.messages import (
    CertificateMessage,
    CertificateRequest,
    HandshakeMessage,
    KeyUpdate,
    NewSessionTicket,
    awaited_class,
    encode_message,
    parse_message,
)

WARNING: Final = 1
FATAL: Final = 2
_HANDSHAKE_HEADER: Final = 4

# What a peer may do before it must send something of use. Each is far above what an honest one does.
MAX_WARNINGS: Final = 4
_MAX_POST_HANDSHAKE_MESSAGES: Final = 32

# The usual answers of the outside, which nobody awaits.
_ANSWERS: Final = frozenset((bytes, Peer, Credential, type(None)))


class HandshakeDriver:
    """The state of one connection, and what moves it on."""

    __slots__ = (
        "_awaited_opener",
        "_change_cipher_specs",
        "_close_sent",
        "_early_data",
        "_early_peer",
        "_empty_records",
        "_established",
        "_failure",
        "_flow",
        "_half_rtt",
        "_handshake",
        "_idle_messages",
        "_incoming",
        "_joiner",
        "_key_update_owed",
        "_opener",
        "_peer_closed",
        "_settling",
        "_tls12",
        "_traced",
        "_update_asked",
        "_waiting",
        "_warnings",
        "_work",
        "_writer",
    )

    is_client: bool

    def __init__(self, pad_records_to: int, max_fragment_size: int) -> None:
        # RFC 9846 5.1: a first ClientHello may say TLS 1.0, and with old servers had better.
        first_version = ProtocolVersion.TLS1_0 if self.is_client else ProtocolVersion.TLS1_2
        self._writer = RecordWriter(pad_records_to, fragment_size=max_fragment_size, first_version=first_version)
        self._opener: RecordOpener | None = None
        self._joiner = HandshakeJoiner()
        self._incoming = b""
        self._early_data = EarlyData()
        # Asked once for all messages of the handshake: who wants to see them listens before.
        self._traced = trace.enabled()
        self._flow: Flow | None = self._new_flow()
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
        self._half_rtt = False
        self._early_peer: Peer | None = None

    @property
    def handshaking(self) -> bool:
        """Whether the handshake is still under way: neither finished nor failed."""
        return self._established is None and self._failure is None

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
                if self._failure is None:
                    self._fail(InternalError(f"given up: to {outside.purpose}"))
                raise
            else:
                self._work = None
                self._settling = False
                self._guarded_resume(value)

    # -- What the handshake changes ---------------------------------------------------------------------------------

    def _new_flow(self, transcript: Transcript | None = None) -> Flow:
        return Flow(
            self._writer,
            self._joiner,
            reader_changed=self._use_opener,
            early_data=self._early_data,
            on_tls12=self._speak_tls12,
            on_sent=self._trace_sent if self._traced else None,
            on_may_send=self._allow_data,
            transcript=transcript,
        )

    def _use_opener(self, opener: RecordOpener) -> None:
        self._opener = opener
        self._early_data.stop_taking()

    def _allow_data(self, peer: Peer | None) -> None:
        self._half_rtt = True
        self._early_peer = peer

    def _speak_tls12(self) -> None:
        self._tls12 = True

    # -- Handshake messages -------------------------------------------------------------------------------------------

    def _take_messages(self) -> None:
        while self._joiner.waiting and self._work is None:
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
                if self._warnings > MAX_WARNINGS:
                    raise PeerMisbehaved(Misbehaviour.TOO_MANY_WARNINGS, "HelloRequest")
                return  # RFC 5246 7.4.1.1: ignored while a handshake is under way, and no part of the transcript.
            awaited = self._awaited() or "change_cipher_spec"
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_MESSAGE, f"{HandshakeType(kind)} while waiting for {awaited}")
        message = parse_message(message_type, body)
        if self._flow is not None:
            self._flow.transcript.add(raw)
        if self._traced:
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
            self._fail(internal_error(error))

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
            if isinstance(asked, tuple):
                self._waiting = asked
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
            if type(value) not in _ANSWERS and hasattr(type(value), "__await__"):
                self._work = asked, cast("Awaitable[Any]", value)
                return

    def _awaited(self) -> str:
        """What the handshake waits for, as the RFCs call it; empty where it is no handshake message."""
        return " or ".join(dict.fromkeys(map(trace.title, self._waiting)))

    def _forget_handshake(self) -> None:
        self._handshake = None
        self._flow = None
        self._waiting = ()

    def _take_post_handshake_message(self, kind: int, raw: bytes) -> None:
        if self._handshake is not None and (
            self._is_answered or awaited_class(kind, raw[4:], self._waiting) is not None
        ):
            self._take_handshake_message(kind, raw)  # It was asked for, and so is not counted.
            return
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
        elif kind == HandshakeType.CERTIFICATE_REQUEST and self._facts().transcript is not None and self.is_client:
            message = request = CertificateRequest.parse(raw[4:])
            if trace.enabled():
                trace.message(self.is_client, trace.RECEIVED, message, raw)
            self._take_certificate_request(request, raw)
            return
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
        if self._warnings > MAX_WARNINGS:
            raise PeerMisbehaved(Misbehaviour.RENEGOTIATION_REPEATED)
        if asks and trace.enabled():
            from trustls.wire.messages12 import HelloRequest

            trace.message(self.is_client, trace.RECEIVED, HelloRequest(), raw)
        if not self._close_sent:
            self._send_alert(WARNING, AlertDescription.NO_RENEGOTIATION_RESERVED)

    @property
    def _is_answered(self) -> bool:
        """Whether the client is in the middle of its answer to a CertificateRequest of after the handshake.

        RFC 9846 4.7.2: from its Certificate to its Finished nothing else may come.
        """
        return self._handshake is not None and self._established is not None and CertificateMessage not in self._waiting

    def _take_certificate_request(self, request: CertificateRequest, raw: bytes) -> None:
        raise NotImplementedError

    def _take_ticket(self, ticket: NewSessionTicket) -> None:
        tickets = self._facts().tickets
        if tickets is not None:
            tickets.take(ticket)

    def _take_key_update(self, update: KeyUpdate) -> None:
        opener = self._opener
        if self._joiner.waiting or not isinstance(opener, Opener):
            raise PeerMisbehaved(Misbehaviour.KEY_CHANGE_INSIDE_RECORD, "KeyUpdate")
        self._opener = Opener(opener.secret.next(), opener.max_plaintext)
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

    def _sealer(self) -> RecordSealer:
        sealer = self._writer.sealer
        if sealer is None:
            raise HandshakePending("the handshake is not finished")
        return sealer

    def _send_key_update(self, request_peer: bool) -> None:
        sealer = self._sealer()
        if not isinstance(sealer, Sealer):
            raise ConfigError("TLS 1.2 has no key update")
        self._facts()  # RFC 9846 4.7.3: not before the handshake is done.
        message = KeyUpdate(update_requested=request_peer)
        raw = encode_message(message)
        self._writer.queue_handshake(raw)
        self._trace_sent(message, raw)
        self._writer.use(Sealer(sealer.secret.next()))
        self._key_update_owed = False

    def _send_alert(self, level: int, description: AlertDescription) -> None:
        self._writer.queue_alert(level, description)
        trace.alert(self.is_client, trace.SENT, description)

    def _trace_sent(self, message: HandshakeMessage, raw: bytes, direction: str = trace.SENT) -> None:
        if trace.enabled():
            trace.message(self.is_client, direction, message, raw)

    # -- The end ------------------------------------------------------------------------------------------------------

    def _fail(self, error: TLSError) -> None:
        """Latch the first failure and queue its alert; keys and handshake state are dropped."""
        if not isinstance(error, InternalError):
            # The frames that it came through hold secrets, and would live, and be printed, as long as it does.
            error.__traceback__ = error.__context__ = None
        self._failure = error
        if error.alert is not None and not self._close_sent:
            self._send_alert(FATAL, error.alert)
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


def internal_error(error: Exception) -> InternalError:
    """A bug of ours, as what ends the connection."""
    failure = InternalError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def _callback_failed(outside: Outside[Any], error: Exception) -> InternalError:
    failure = InternalError(f"could not {outside.purpose}: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
