"""Channel: the bytes below an SSLSocket, between its file descriptor and its trustls connection.

It reads record by record, sends what the connection has sealed in its order, and ends in good manners, also when the
process was forked. What the bytes mean is the SSLSocket's.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final

from trustls.connection import Connection
from trustls.errors import TLSError
from trustls.net.forks import FORKS
from trustls.protocol.buffers import FULL_RECORD
from trustls.protocol.record import HEADER_LENGTH, MAX_PLAINTEXT
from trustls.stdlib.descriptors import SameDescriptor, waiting
from trustls.stdlib.errors import as_ssl_error
from trustls.stdlib.patience import Patience

# One read of the socket; larger ones cost more a byte.
READ_SIZE: Final = 1 << 16
# One write of the socket: what is sealed of 64 KiB is a little longer.
_WRITE_SIZE: Final = 1 << 17
# Seconds that a peer has to take the alert of a failed handshake.
_LAST_WORDS: Final = 0.1
# Reads of what is unread, once the peer has hung up or before the socket is closed (so that it is not reset).
LAST_READS: Final = 16
# A record so short is read by itself, however much there is behind it: it may be the last one.
_SMALL: Final = 1 << 12
# How the header of an encrypted record begins; all others are of the handshake, or a failure.
_ENCRYPTED: Final = b"\x17\x03\x03"
_NOTHING: Final = memoryview(b"")
# Sends what can be sent at once, also on a socket that is blocking.
_AT_ONCE: Final = getattr(socket, "MSG_DONTWAIT", 0)


class Channel:
    """A connection's way to the network.

    One thread may read while another sends. `state` is held for every use of the connection, and never while the
    network is waited for.

    Args:
        sock: the socket, whose file descriptor this reads and writes, and which goes on owning it.
        connection: whose bytes these are.

    Attributes:
        unsent: what was sealed and could not be sent. It goes out before all else.
    """

    __slots__ = ("_ahead", "_connection", "_forks", "_raw", "_sending", "state", "unsent")

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self._connection = connection
        # It has no timeout of its own. The descriptor waits where that of `sock` is None, and must go on doing so.
        self._raw = SameDescriptor(sock.family, sock.type, sock.proto, fileno=sock.fileno())
        self._raw.settimeout(0)
        sock.settimeout(sock.gettimeout())
        self._forks = FORKS.count
        self._ahead = b""  # Of the next record's header.
        self.unsent = _NOTHING
        self._sending = threading.Lock()  # Keeps records in order on their way out.
        self.state = threading.RLock()

    # -- Reading ------------------------------------------------------------------------------------------------------

    def read(self, patience: Patience, room: int) -> bytes:
        """One read of the socket, of so much that there is no more than `room` data in it; b"" at its end.

        What there is no room for stays in the socket, where `select` sees it. Loops written for `ssl` count on
        that: OpenSSL reads record by record.
        """
        while True:
            try:
                return self._read_records(room)
            except (BlockingIOError, InterruptedError):
                patience.wait(self._raw, write=False)

    def read_flight(self, patience: Patience) -> bytes:
        """One read of the socket during the handshake, of no more than the record that has begun, or the next one."""
        size = self._connection.bytes_wanted()
        if not _AT_ONCE:
            self.flush(patience)
        while True:
            try:
                return self._raw.recv(size, _AT_ONCE)
            except (BlockingIOError, InterruptedError):
                # Not after each record: a flight goes out in one piece, or the second would wait until the peer has
                # acknowledged the first (Nagle's algorithm), which takes 40 ms.
                self.flush(patience)
                patience.wait(self._raw, write=False)

    def _read_records(self, room: int) -> bytes:
        """The record that has begun, or the next one; more than that where more is there.

        Always so that the socket can be read as long as there is anything to tell. A close_notify that was taken
        together with data would be known to `pending` alone, and not every loop asks there. Behind a long record the
        next one's header is read: it tells nothing as long as its record is in the socket, or not there yet.
        """
        recv = self._raw.recv
        header = self._ahead
        if len(header) < HEADER_LENGTH:
            lacking = HEADER_LENGTH - len(header) if header else self._connection.bytes_wanted()
            if lacking != HEADER_LENGTH and not header:
                return recv(lacking)
            header += recv(lacking)
            if len(header) < HEADER_LENGTH or not header.startswith(_ENCRYPTED):
                self._ahead = b""
                return header
            self._ahead = header
        lacking = header[3] << 8 | header[4]
        if lacking <= _SMALL:
            body = recv(lacking)
            self._ahead = b""
        elif room < lacking + MAX_PLAINTEXT:
            body = recv(lacking + HEADER_LENGTH)
            self._ahead = body[lacking:]
            if self._ahead:
                return b"".join((header, memoryview(body)[:lacking]))
        else:
            body = recv(self._this_or_more(lacking, room))
            self._ahead = b""
        return header + body

    def _this_or_more(self, lacking: int, room: int) -> int:
        """How much to read: what the record lacks, and further ones that there is room for, as far as they are there.

        They are counted as long as the peer fills its records: those that were cut would be copied once more.
        """
        more = min((room - lacking) // MAX_PLAINTEXT, (waiting(self._raw) - 1 - lacking) // FULL_RECORD)
        return lacking + max(more, 0) * FULL_RECORD

    def take_ahead(self) -> bytes:
        """What was read and not given yet, once; for whoever goes on without TLS."""
        ahead, self._ahead = self._ahead, b""
        return ahead

    def read_what_is_left(self) -> bytes:
        """What the socket has after its peer hung up, or some of it; b"" when there is nothing. It does not wait."""
        try:
            found = self._raw.recv(READ_SIZE, _AT_ONCE)
        except OSError:
            return b""
        return self.take_ahead() + found

    # -- Sending ------------------------------------------------------------------------------------------------------

    def flush(self, patience: Patience, data: memoryview = _NOTHING) -> None:
        """Seal `data`, and send it behind what waits already.

        Raises:
            ssl.SSLWantWriteError, TimeoutError: not all could be sent. `data` is sealed, and goes out first next time.
            ssl.SSLError: the connection seals nothing any more; a TLSError too.
            OSError: as for sockets.
        """
        self._sending.acquire()
        self._seal_and_send(data, patience)

    def flush_at_once(self) -> None:
        """Send what can be sent now. What the network has against that is found by the next `flush`.

        A thread that is sending already takes it along: it gives `_sending` back under `state`, at a moment when
        nothing waits.
        """
        if self._sending.acquire(blocking=False):
            with contextlib.suppress(OSError):
                self._seal_and_send(_NOTHING, None)

    def _seal_and_send(self, data: memoryview, patience: Patience | None) -> None:
        """Seal, send all that waits (without patience, what can be sent at once), and give `_sending` back."""
        held = True
        try:
            if data:
                with self.state:
                    self._connection.send(data)
            while True:
                with self.state:
                    if not self.unsent:
                        self.unsent = memoryview(self._connection.data_to_send(_WRITE_SIZE))
                    if not self.unsent:
                        self._sending.release()
                        held = False
                        return
                try:
                    # What cannot be sent now stays in front of all else, or the stream would be torn.
                    self.unsent = self.unsent[self._raw.send(self.unsent, _AT_ONCE) :]
                except (BlockingIOError, InterruptedError):
                    if patience is None:
                        return
                    patience.wait(self._raw, write=True)
        except TLSError as error:
            raise as_ssl_error(error) from error
        finally:
            if held:
                self._sending.release()

    def flush_last_words(self, patience: Patience) -> None:
        """Send the alert of a failure; a peer that does not read in time goes without."""
        with contextlib.suppress(OSError):
            self.flush(patience.at_most(_LAST_WORDS))

    # -- The end ------------------------------------------------------------------------------------------------------

    def say_goodbye(self) -> None:
        """Queue close_notify, and send what can be sent at once."""
        with self.state:
            self._connection.close()
        self.flush_at_once()

    def end(self) -> None:
        """Before the socket is closed: say goodbye, without waiting for anybody.

        After a fork the other process may use the connection: this process's close is no end of it. Two processes that
        both send would also seal under the same nonces. So nothing is said then.
        """
        if self._raw.fileno() != -1 and self._forks == FORKS.count:
            with contextlib.suppress(OSError):
                self._raw.setblocking(False)
                self.say_goodbye()
                # Closing over unread data would reset the connection, and what was sent with it.
                for _ in range(LAST_READS):
                    if not self._raw.recv(READ_SIZE):
                        break
        self.let_go()

    def let_go(self) -> None:
        """Touch the file descriptor no more: it is given away, or closed."""
        self._raw.detach()
