"""One connection of a test: the handshake, what the flags want said, and the echo of all that the runner sends."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Coroutine
from typing import Any, Final

from tests.bogo.flags import Flags
from tests.bogo.wirelog import WireLog
from trustls import AlertDescription, ClientConnection, HandshakePending, ServerConnection, TLSError

_READ_SIZE: Final = 1 << 16
_DRAIN_SECONDS: Final = 5.0
_INVERTED: Final = bytes(255 - byte for byte in range(256))


class Exchange:
    """A connection of trustls and the socket that leads to the runner."""

    def __init__(
        self, flags: Flags, retry: Flags, connection: ClientConnection | ServerConnection, wire: WireLog
    ) -> None:
        self.flags = flags
        self.connection = connection
        self._retry = retry
        self._wire = wire
        self._plaintext = bytearray()
        self._early_answers: list[bytes] = []
        self._held_back = b""
        self._has_written = False
        self._socket = socket.create_connection(("::1" if flags.ipv6 else "127.0.0.1", flags.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(flags.shim_id.to_bytes(8, "little"))

    # -- The steps ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the connection ready, up to where a client may send early data."""
        self._settle()  # A client verifies the server of a session again before it offers that.

    @property
    def may_send_early(self) -> bool:
        """Whether this is a client that may send early data now."""
        return isinstance(self.connection, ClientConnection) and self.connection.early_data_limit > 0

    def handshake(self) -> None:
        """Finish the handshake; a client writes its early data, a server answers it."""
        connection = self.connection
        self._flush()
        if isinstance(connection, ClientConnection) and self.may_send_early:
            self._write_early(connection)
        while connection.handshaking:
            self._take_more()
            self._flush()
        if self.flags.no_op_extra_handshake:
            self._plaintext += connection.receive(b"")
        for answer in self._early_answers:
            self.say(answer)
        if isinstance(connection, ClientConnection):
            self._write_rest_of_early(connection)

    def converse(self) -> None:
        """All that comes after the handshake, until one side ends it."""
        flags, connection = self.flags, self.connection
        if flags.send_alert:
            error = TLSError("the test wants an alert")
            error.alert = AlertDescription.DECOMPRESSION_FAILURE_RESERVED
            connection.abort(error)
            self._flush()
            return
        if not self._has_written:
            if flags.read_with_unfinished_write:
                connection.send(self._first_words)
                self._write_one_byte()
            elif flags.shim_writes_first:
                for _ in range(flags.repeat_shim_initial_write):
                    self.say(self._first_words)
        if not flags.shim_shuts_down:
            self._echo()
        if flags.check_close_notify:
            self._close()

    def say(self, data: bytes) -> None:
        """Send application data."""
        self.connection.send(data)
        self._flush()

    def fail(self) -> None:
        """Let the alert of a failure out, and wait for the runner to see it."""
        self._flush()
        self.finish()

    def finish(self) -> None:
        """Say that no more is written, and take what the runner still sends, so that its writes do not fail."""
        self._socket.settimeout(_DRAIN_SECONDS)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(_READ_SIZE):
                pass
        self._socket.close()

    # -- Their parts --------------------------------------------------------------------------------------------------

    @property
    def _first_words(self) -> bytes:
        return self.flags.shim_initial_write.encode("latin-1")

    def _write_early(self, connection: ClientConnection) -> None:
        flags = self.flags
        if flags.early_write_after_message:
            self._feed_until(flags.early_write_after_message)
        if flags.read_with_unfinished_write:
            connection.offer_early(self._first_words)
            self._write_one_byte()
        elif flags.shim_writes_first:
            for _ in range(flags.repeat_shim_initial_write):
                connection.offer_early(self._first_words)
            self._flush()
        self._has_written = flags.read_with_unfinished_write or flags.shim_writes_first

    def _write_rest_of_early(self, connection: ClientConnection) -> None:
        """What was more than could be sent early; what the server refused only where the test wants it again."""
        rest = connection.take_rejected_early_data()
        if connection.early_data_accepted is False:
            # From here on this is another connection to the runner, with other flags.
            self.flags = self._retry
            self._has_written = False
        elif rest:
            self.say(rest)

    def _write_one_byte(self) -> None:
        """Let one byte of what waits out, and keep the rest."""
        self._socket.sendall(self.connection.data_to_send(1))
        self._held_back = self.connection.data_to_send()

    def _echo(self) -> None:
        flags, connection = self.flags, self.connection
        while True:
            if flags.key_update_before_read:
                connection.update_keys(request_peer=False)
                self._flush()
            data = self._read()
            if data is None:
                return
            if flags.key_update:
                connection.update_keys(request_peer=False)
            self.say(data.translate(_INVERTED))

    def _close(self) -> None:
        """Say goodbye, and see to it that the peer has."""
        connection = self.connection
        connection.close()
        self._flush()
        while not connection.peer_closed:
            self._take_more()
        self._plaintext.clear()

    def _read(self) -> bytes | None:
        """The next data of the peer's; None when there is no more."""
        while not self._plaintext:
            if self.connection.peer_closed:
                return None
            data = self._receive()
            if data:
                self._feed(data)
            elif self.flags.check_close_notify:
                self.connection.receive_eof()
            else:
                return None
        data = bytes(self._plaintext)
        self._plaintext.clear()
        return data

    def _take_more(self) -> None:
        data = self._receive()
        if data:
            self._feed(data)
        else:
            self.connection.receive_eof()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_READ_SIZE)
        except ConnectionResetError:
            return b""

    def _feed(self, data: bytes) -> None:
        """Hand bytes to the connection: with `-async` one by one, otherwise as they came."""
        if not self.flags.async_:
            self._feed_piece(data)
            return
        for position in range(len(data)):
            self._feed_piece(data[position : position + 1])

    def _feed_piece(self, piece: bytes) -> None:
        connection = self.connection
        self._plaintext += connection.receive(piece)
        self._settle()
        if isinstance(connection, ServerConnection):
            early = connection.read_early()
            if early:
                self._answer_early(connection, early.translate(_INVERTED))

    def _answer_early(self, connection: ServerConnection, answer: bytes) -> None:
        """Echo early data at once where the connection allows it (half-RTT data), else after the handshake."""
        try:
            connection.send(answer)
        except HandshakePending:
            self._early_answers.append(answer)

    def _settle(self) -> None:
        """Answer what the connection waits for."""
        while self.connection.pending_work is not None:
            _run(self.connection.settle())
            self._plaintext += self.connection.receive(b"")

    def _feed_until(self, message: int) -> None:
        """Take bytes one by one until this handshake message has come."""
        while self._wire.last_received != message:
            byte = self._socket.recv(1)
            if not byte:
                self.connection.receive_eof()
            self._feed_piece(byte)

    def _flush(self) -> None:
        data = self._held_back + self.connection.data_to_send()
        self._held_back = b""
        if data:
            # A runner that has seen enough goes away; what it sent before is still to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._socket.sendall(data)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Await something that waits for nothing but its turn."""
    try:
        while True:
            work.send(None)
    except StopIteration:
        return
