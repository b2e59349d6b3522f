"""Records in: each is opened, checked against the rules of the record layer, and handed on by its content type."""

from __future__ import annotations

import struct
from typing import Final

from trustls import trace
from trustls.connection.driver import FATAL, MAX_WARNINGS, WARNING, HandshakeDriver, internal_error
from trustls.errors import AlertDescription, AlertReceived, Misbehaviour, PeerMisbehaved, TLSError, UnexpectedEOF
from trustls.protocol.buffers import BUFFER_SIZE, BUFFERS
from trustls.protocol.record import HEADER_LENGTH, MAX_CIPHERTEXT, MAX_PLAINTEXT, Opener
from trustls.wire.enums import ContentType

_CHANGE_CIPHER_SPEC: Final = int(ContentType.CHANGE_CIPHER_SPEC)
_ALERT: Final = int(ContentType.ALERT)
_HANDSHAKE: Final = int(ContentType.HANDSHAKE)
_APPLICATION_DATA: Final = int(ContentType.APPLICATION_DATA)

# What may come in the clear although there are keys: for middleboxes, and from a peer that has no keys yet.
_MAY_BE_CLEAR: Final = frozenset((_CHANGE_CIPHER_SPEC, _ALERT))

# What a peer may do before it must send something of use. Each is far above what an honest one does.
_MAX_EMPTY_RECORDS: Final = 32
_MAX_CHANGE_CIPHER_SPECS: Final = 2

_read_header: Final = struct.Struct("!BxxH").unpack_from


class RecordIntake(HandshakeDriver):
    """Takes the bytes of the transport apart."""

    __slots__ = ()

    @property
    def _opens_data(self) -> bool:
        """Whether application data may come now, and nothing else is under way: no handshake, no part of a message."""
        return self._established is not None and self._handshake is None and not self._joiner.waiting

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
                if self._established is not None and isinstance(opener, Opener) and self._opens_data:
                    following, filled = opener.open_run(data, position, out_view, filled)
                    if following > position:
                        position = following
                        self._empty_records = 0
                        self._idle_messages = 0
                        continue
                kind, size = _read_header(data, position)
                body = position + HEADER_LENGTH
                following = body + size
                if opener is None or (kind in _MAY_BE_CLEAR and opener.hides_type):
                    self._check_plain_header(data[position:body], size)
                    if following > end:
                        break
                    self._take_plain_record(kind, bytes(data[body:following]))
                else:
                    if size > MAX_CIPHERTEXT:
                        raise PeerMisbehaved(Misbehaviour.RECORD_OVERFLOW, f"{size} bytes")
                    if following > end:
                        break
                    try:
                        inner, stop = opener.open(bytes(data[position:body]), data[body:following], out_view, filled)
                    except PeerMisbehaved as error:
                        self._skip_or_raise(kind, size, error)
                        position = following
                        continue
                    if kind != _APPLICATION_DATA and opener.hides_type:
                        raise PeerMisbehaved(Misbehaviour.UNEXPECTED_RECORD, "TLS 1.3 encrypts all as application_data")
                    if inner == _APPLICATION_DATA and stop > filled and self._established is not None:
                        if self._joiner.waiting or self._is_answered:
                            raise PeerMisbehaved(Misbehaviour.INTERLEAVED_RECORD)
                        filled = stop
                        self._empty_records = 0
                        self._idle_messages = 0
                    else:
                        self._take_record(inner, bytes(out_view[filled:stop]))
                position = following
        except TLSError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 (a bug of ours must end the connection, not escape half-way)
            self._fail(internal_error(error))
        else:
            if position < end:
                self._incoming = bytes(data[position:])
            opener = self._opener
            if opener is not None and opener.sequence >= opener.limit:
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

    def _take_change_cipher_spec(self, content: bytes) -> None:
        if self._tls12:
            # RFC 5246 7.1: it changes the keys, at its place in the handshake and nowhere else.
            opener = self._awaited_opener
            if opener is None or content != b"\x01" or self._joiner.waiting:
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
            or self._joiner.waiting
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
        elif self._joiner.waiting:
            raise PeerMisbehaved(Misbehaviour.INTERLEAVED_RECORD)
        elif kind == _ALERT:
            self._take_alert(content)
        elif kind == _APPLICATION_DATA and self._is_answered:
            raise PeerMisbehaved(Misbehaviour.INTERLEAVED_RECORD)
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
        if content[0] not in {WARNING, FATAL}:
            raise PeerMisbehaved(Misbehaviour.UNKNOWN_ALERT_LEVEL, str(content[0]))
        if content[1] == AlertDescription.CLOSE_NOTIFY:
            self._peer_closed = True
            if self.handshaking:
                raise UnexpectedEOF("the peer closed the connection during the handshake")
        elif content[1] == AlertDescription.USER_CANCELED or self._is_harmless(content):
            # RFC 9846 6.1: said before a close_notify; in itself it means nothing.
            self._warnings += 1
            if self._warnings > MAX_WARNINGS:
                raise PeerMisbehaved(Misbehaviour.TOO_MANY_WARNINGS)
        elif content[0] == WARNING and self._opener is not None and self._opener.hides_type:
            # RFC 9846 6: TLS 1.3 has no other warnings.
            raise PeerMisbehaved(Misbehaviour.BAD_ALERT, f"{AlertReceived(content[1])}, as a warning")
        else:
            # RFC 9846 6.2: all other alerts are fatal, whatever level they claim.
            raise self._refusal(content[1])

    def _refusal(self, alert: int) -> AlertReceived:
        """What a fatal alert of the peer's comes to."""
        raise NotImplementedError

    def _is_harmless(self, alert: bytes) -> bool:
        """Whether an alert is a warning, which TLS 1.2 has, or may be: before a hello has said the version.

        Old servers send unrecognized_name and then their hello.
        """
        if alert[0] != WARNING or self._opener is not None:
            return alert[0] == WARNING and self._tls12
        if self.is_client:
            return self._tls12 or alert[1] == AlertDescription.UNRECOGNIZED_NAME
        return self._tls12 or (self._flow is not None and self._flow.transcript.is_empty)

    def _skip_or_raise(self, kind: int, size: int, error: PeerMisbehaved) -> None:
        """Pass over a record that does not decrypt, while rejected early data may be coming (RFC 9846 4.3.10)."""
        skippable = kind == _APPLICATION_DATA and self._early_data.skippable
        if not skippable or error.reason is not Misbehaviour.BAD_RECORD_MAC:
            raise error
        self._early_data.skip_record(size)

    @property
    def _takes_early_data(self) -> bool:
        return self._established is None and self._early_data.is_taken
