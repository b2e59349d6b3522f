"""ClientConnection and ServerConnection: the sans-I/O shell around a handshake and its record layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trustls.config import ClientConfig, ServerConfig
from trustls.connection.driver import WARNING
from trustls.connection.records import RecordIntake
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateRejectedByPeer,
    ConfigError,
    ConnectionClosed,
    EarlyDataUnavailable,
    Misbehaviour,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
    is_about_certificates,
)
from trustls.handshake.client_answer import ClientAnswer
from trustls.handshake.established import ConnectionInfo
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.protocol.key_schedule import TrafficSecret
from trustls.protocol.record import HEADER_LENGTH, Opener, RecordSealer, Sealer
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.wire.messages import CertificateRequest

if TYPE_CHECKING:
    from trustls.connection.secrets import ConnectionSecrets

# How much data is sealed before the key's limit is looked at again.
_SEND_STEP: Final = 1 << 20
# More records than that takes, however short they have to be.
_STEP_RECORDS: Final = _SEND_STEP >> 5
# How much longer than its data a record is, in TLS 1.3.
_OVERHEAD: Final = HEADER_LENGTH + 1 + 16
# Up to this size a record that comes by itself is opened by itself.
_SINGLE: Final = 1 << 13

Data = bytes | bytearray | memoryview
_HUNG_UP: Final = "see in the peer's log why it hung up; port scanners and health checks without TLS do so as well"


class Connection(RecordIntake):
    """What client and server have in common. Not safe for concurrent calls: one thread or task at a time."""

    __slots__ = ()

    # -- What the application sees ------------------------------------------------------------------------------------

    @property
    def info(self) -> ConnectionInfo:
        """What was negotiated; HandshakePending before that."""
        return self._facts().info

    @property
    def peer(self) -> Peer | None:
        """Who the other side is, verified; None for a client that presented no certificate, or before that is known.

        A client whose early data is taken is known by its session, before its handshake is done.
        """
        return self._early_peer if self._established is None else self._established.peer

    @property
    def max_fragment_size(self) -> int:
        """How many bytes of data a record of this side's holds at the most: as configured, and as the peer takes it."""
        return self._writer.fragment_size

    @property
    def peer_closed(self) -> bool:
        """Whether the peer has said that it sends no more (close_notify). This side may still send."""
        return self._peer_closed

    @property
    def failure(self) -> TLSError | None:
        """What ended the connection, if anything did."""
        return self._failure

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to see to but data: one question for loops to ask after each `receive`.

        Nothing waits in `data_to_send`, nor for `settle`; the peer has not closed, and nothing has failed.
        """
        return not (self._writer.pending or self._peer_closed) and self._work is None and self._failure is None

    def receive(self, data: Data) -> bytes:
        """Take bytes from the transport, in pieces of any size, and give the application data in them.

        Call `data_to_send` afterwards: the handshake may have answered. `b""` is allowed, and goes on with what came
        before, after `settle`.

        Raises:
            TLSError: the connection failed; its alert waits in `data_to_send`. Data that came before the failure is
                given first, and the failure raised by the next call.
        """
        if self._failure is not None:
            self._raise_failure()
        if self._peer_closed:
            return b""
        if self._incoming:
            data = self._incoming + data
            self._incoming = b""
        if not data:
            return b""
        view = memoryview(data)
        opener = self._opener
        # As `_opens_data`, without the call: small records are all calls.
        if (
            self._established is not None
            and self._handshake is None
            and not self._joiner.waiting
            and isinstance(opener, Opener)
            and len(view) <= _SINGLE
        ):
            single = opener.open_single(view)
            if single is not None:
                self._empty_records = 0
                self._idle_messages = 0
                if opener.sequence >= opener.limit:
                    self._ask_for_update()
                return single
        plaintext = self._open_records(view)
        if self._failure is not None and not plaintext:
            raise self._failure
        return plaintext

    def take_unread(self) -> bytes:
        """The bytes that came with the peer's close_notify and stand behind it, once: they are not TLS's.

        A protocol that leaves TLS and goes on in the clear has them there. What comes later is not kept by `receive`.
        """
        unread = self._incoming if self._peer_closed else b""
        if unread:
            self._incoming = b""
        return unread

    def bytes_wanted(self, room: int = 0) -> int:
        """How many bytes to read from the transport, for whoever leaves there what has no room here.

        So many that `receive` gives at most `room` bytes of application data; and those that the record lacks which has
        begun, so that it may give that one record's where there is less room.
        """
        have = len(self._incoming)
        if have < HEADER_LENGTH:
            lacking = HEADER_LENGTH - have
        else:
            lacking = HEADER_LENGTH + (self._incoming[3] << 8 | self._incoming[4]) - have
        # What comes in records is shorter than they are: so a full one is read at once.
        return max(lacking, room + _OVERHEAD - have if room else 1)

    def receive_eof(self) -> None:
        """Say that the transport has ended.

        Raises:
            UnexpectedEOF: the peer sent no close_notify before, so that data may be missing (RFC 9846 6.1).
        """
        if self._failure is None and not self._peer_closed:
            if self.handshaking:
                awaited = self._awaited()
                when = f"during the handshake{f', before the {awaited} of the peer had come' if awaited else ''}"
            else:
                when = "without a close_notify"
            error = UnexpectedEOF(f"the transport ended {when}{self._told_at_eof()}")
            error.remedy = _HUNG_UP if self.handshaking else ""
            self._fail(error)
        self._raise_failure()

    def send(self, data: Data) -> None:
        """Seal application data. The records wait in `data_to_send`, whatever their size.

        A server that takes early data may send as soon as its own Finished is out: the client is known by its session.

        Raises:
            HandshakePending: the handshake is not finished.
            ConnectionClosed: `close` was called.
            TLSError: the connection has failed; the failure is raised again.
        """
        if self._established is None or self._failure is not None or self._close_sent:
            self._check_open()
        view = memoryview(data)
        if view.itemsize != 1 or not view.c_contiguous:
            view = memoryview(bytes(view))
        size = len(view)
        if 0 < size <= _SEND_STEP:
            self._send_data(view)
        else:
            for start in range(0, size, _SEND_STEP):
                self._send_data(view[start : start + _SEND_STEP])

    def data_to_send(self, limit: int | None = None) -> bytes:
        """The next bytes for the transport: all that wait, or at most `limit`; `b""` when nothing does.

        Pieces of 64 KiB cost the least a byte, where much waits.
        """
        writer = self._writer
        return writer.take(limit) if writer.pending else b""

    def close(self) -> None:
        """Say that this side sends no more (close_notify). The peer may still send: `receive` goes on working.

        During the handshake that is the end of the connection.
        """
        if not self._close_sent and self._failure is None:
            self._send_alert(WARNING, AlertDescription.CLOSE_NOTIFY)
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

    def extract_secrets(self) -> ConnectionSecrets:
        """Give the keys of both directions away, for another record layer, and end this connection.

        Dangerous: with them all is read and forged, and two that seal under one key reveal what they seal. So this
        object seals and opens nothing any more; only `info`, `peer` and `export` go on. Nobody changes keys, answers a
        KeyUpdate, takes a ticket or keeps to `max_fragment_size` from then on, unless the other record layer does.
        `trustls.net.ktls` is one.

        Raises:
            HandshakePending: the handshake is not finished.
            ConfigError: something is under way: bytes wait in `data_to_send`, a part of a record or of a message has
                been received, or the client is being asked for a certificate. Nothing has changed then.
            ConnectionClosed, TLSError: this side or the peer has closed, or the connection has failed.
        """
        from trustls.connection.secrets import secrets_of

        self._check_open()
        established, sealer, opener = self._facts(), self._sealer(), self._opener
        if self._peer_closed or opener is None:
            raise ConnectionClosed("the peer has sent its close_notify")
        if self._key_update_owed:
            self._send_key_update(request_peer=False)
        self._writer.flush_handshake()
        if self._writer.pending or self._incoming or self._joiner.waiting or self._handshake is not None:
            raise ConfigError("no keys are given away while something is under way: send what waits, and receive")
        secrets = secrets_of(established, sealer, opener, is_client=self.is_client)
        self._failure = ConnectionClosed("the keys of this connection have been given away")
        self._opener = None
        self._writer.use(None)
        return secrets

    @property
    def tls_unique(self) -> bytes | None:
        """The channel binding of TLS 1.2 (RFC 5929 3); None in TLS 1.3, which has `export` instead (RFC 9266).

        Raises:
            HandshakePending: the handshake is not finished.
        """
        return self._facts().tls_unique

    def _told_at_eof(self) -> str:
        """What may have made the peer hang up, if there is a guess."""
        return ""

    # -- Sending ------------------------------------------------------------------------------------------------------

    def _send_data(self, data: memoryview) -> None:
        if self._key_update_owed:
            self._send_key_update(request_peer=False)
        sealer = self._writer.sealer or self._sealer()
        if (
            sealer.limit - sealer.sequence <= _STEP_RECORDS
            and sealer.sequence + self._writer.records_needed(len(data)) >= sealer.limit
        ):
            sealer, data = self._send_up_to_the_limit(sealer, data)
        self._writer.write_data(sealer, data)

    def _send_up_to_the_limit(self, sealer: RecordSealer, data: memoryview) -> tuple[RecordSealer, memoryview]:
        """Send what the key may seal and change it, as often as it takes; the last key, and what it is to seal."""
        if self._tls12:
            raise ConnectionClosed("the key is used up, and TLS 1.2 cannot change it: open a new connection")
        while sealer.sequence + self._writer.records_needed(len(data)) >= sealer.limit:
            self._facts()  # A KeyUpdate needs a finished handshake.
            # The last record under the old key is the KeyUpdate itself.
            fits = (sealer.limit - 1 - sealer.sequence) * self._writer.fragment_size
            if fits > 0:
                self._writer.write_data(sealer, data[:fits])
                data = data[fits:]
            self._send_key_update(request_peer=False)
            sealer = self._sealer()
        return sealer, data

    def _check_open(self) -> None:
        """Refuse to send before the handshake is done, after a failure, and after `close`."""
        if self._established is None and not self._half_rtt:
            self._facts()
        if self._failure is not None:
            self._raise_failure()
        if self._close_sent:
            raise ConnectionClosed("this side has sent its close_notify")


class ClientConnection(Connection):
    """The client's side of one connection. The ClientHello waits in `data_to_send` as soon as it is made.

    Where a session may be resumed, a verifier or chooser that is asynchronous is asked before that: see `pending_work`.

    Args:
        config: shared by any number of connections.
        server_name: the server's DNS name or IP address. Its certificate must be valid for it.

    Raises:
        ConfigError: `server_name` is neither.
    """

    __slots__ = ("_answer", "_parameters")

    is_client = True

    def __init__(self, config: ClientConfig, server_name: str | ServerName) -> None:
        super().__init__(config.pad_records_to, config.max_fragment_size)
        from trustls.handshake.client import client_handshake  # A server does without.

        self._answer = ClientAnswer()
        self._parameters = config.parameters
        name = server_name if isinstance(server_name, ServerName) else ServerName(server_name)
        flow = self._flow
        assert flow is not None  # noqa: S101 (made a line above)
        self._start(client_handshake(flow, config.parameters, name, self._answer))

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
        """What the server's last CertificateRequest said: CA names and signature schemes; None when none came."""
        return self._answer.request

    @property
    def presented(self) -> Credential | None:
        """The credential that this client answered that request with; None when with none, or not yet."""
        return self._answer.credential

    def _take_certificate_request(self, request: CertificateRequest, raw: bytes) -> None:
        established = self._facts()
        transcript = established.transcript
        if not request.context:
            # RFC 9846 4.4.2: not empty after the handshake.
            raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "CertificateRequest")
        if self._close_sent or transcript is None:
            return  # This side has said that it sends no more.
        flow = self._new_flow(transcript.copy())
        flow.transcript.add(raw)
        self._flow = flow
        from trustls.handshake.post_handshake import answer_certificate_request  # Few servers ask after the handshake.

        self._handshake = answer_certificate_request(
            flow, self._parameters, request, established, self._answer, self._sending_secret
        )
        self._resume(None)

    def _told_at_eof(self) -> str:
        told = self._answer.told()
        return f"; the server had asked for a certificate (some hang up on a wrong one), and {told}" if told else ""

    def _sending_secret(self) -> TrafficSecret:
        sealer = self._sealer()
        assert isinstance(sealer, Sealer)  # noqa: S101 (TLS 1.3 has no other)
        return sealer.secret

    def _refusal(self, alert: int) -> AlertReceived:
        answer = self._answer
        # RFC 5246 7.2.2: TLS 1.2 has no alert of its own for a certificate that is missing.
        missing = alert == AlertDescription.HANDSHAKE_FAILURE and self._tls12 and answer.credential is None
        if answer.answered and (missing or is_about_certificates(alert)):
            return CertificateRejectedByPeer(alert, answer.told(), remedy=answer.advised())
        return AlertReceived(alert)

    def _may_change_cipher_spec(self) -> bool:
        return True  # The ClientHello is out before anything can come in.


class ServerConnection(Connection):
    """The server's side of one connection."""

    __slots__ = ()

    is_client = False

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config.pad_records_to, config.max_fragment_size)
        flow = self._flow
        assert flow is not None  # noqa: S101 (made a line above)
        from trustls.handshake.server import server_handshake  # A client does without.

        self._start(server_handshake(flow, config.parameters))

    @property
    def early_data_accepted(self) -> bool | None:
        """Whether the client's early data is taken; None when none was offered."""
        return self._early_data.accepted

    def read_early(self) -> bytes:
        """The early data that has come (0-RTT, RFC 9846 2.3), once. Anybody who saw it could have sent it again.

        This server takes each only once, and only shortly after it was sent. Still, treat it as what may come twice.
        """
        return self._early_data.read()

    @property
    def can_request_client_certificate(self) -> bool:
        """Whether `request_client_certificate` can be called: both sides agreed to it, and no request is under way."""
        established = self._established
        return (
            established is not None
            and established.transcript is not None
            and self._handshake is None
            and self._failure is None
            and not self._close_sent
            and not self._peer_closed
        )

    @property
    def awaits_client_certificate(self) -> bool:
        """Whether a request of `request_client_certificate` is not answered yet."""
        return self._established is not None and self._handshake is not None

    def request_client_certificate(self) -> None:
        """Ask the client for a certificate now, after the handshake (TLS 1.3 only, RFC 9846 4.7.2).

        It needs `post_handshake_auth` in the configuration, whose `ClientAuth` decides about the certificate, and a
        client that offered it. The request waits in `data_to_send`; `peer` is the client from its answer on. Data may
        come before the answer. An answer that is not accepted ends the connection.

        Raises:
            ConfigError: the configuration does not ask for it, the client did not offer it, or a request is under way.
            HandshakePending, ConnectionClosed, TLSError: as for `send`; and when the client sends no more.
        """
        self._check_open()
        if self._peer_closed:
            raise ConnectionClosed("the client sends no more, so that it could not answer")
        established = self._facts()
        transcript, server = established.transcript, established.server
        if transcript is None or server is None or server.post_handshake_auth is None:
            raise ConfigError(
                "a client certificate cannot be asked for after the handshake: it takes TLS 1.3, `post_handshake_auth` "
                "in this server's configuration, and a client that offers it"
            )
        if self._handshake is not None:
            raise ConfigError("a client certificate has been asked for already, and the answer has not come")
        flow = self._new_flow(transcript.copy())
        self._flow = flow
        from trustls.handshake.post_handshake import request_client_certificate  # As in the client.

        self._start(
            request_client_certificate(flow, server, server.post_handshake_auth, established, self._receiving_secret)
        )
        self._raise_failure()

    def _receiving_secret(self) -> TrafficSecret:
        opener = self._opener
        assert isinstance(opener, Opener)  # noqa: S101 (TLS 1.3 has no other)
        return opener.secret

    def _refusal(self, alert: int) -> AlertReceived:
        if self.handshaking and is_about_certificates(alert):
            return CertificateRejectedByPeer(alert, "this is about the server's certificate")
        return AlertReceived(alert)

    def _may_change_cipher_spec(self) -> bool:
        return self._flow is not None and not self._flow.transcript.is_empty
