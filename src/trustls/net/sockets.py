"""Blocking sockets: `TLSSocket`, and `connect` which gives one. (`Listener` gives them to servers.)"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from trustls.config import ClientConfig
from trustls.connection import ClientConnection, Connection, Data, ServerConnection
from trustls.errors import AsyncRequired, ConfigError, ConnectionClosed, HandshakeTimeout, TLSError
from trustls.net.common import answer_is_awaited
from trustls.net.forks import FORKS, is_child_since
from trustls.net.lingering import linger
from trustls.trust.verifiers import Peer

Address = tuple[str, int]
C = TypeVar("C", bound=Connection)

# One read of the transport; larger ones cost more a byte (the allocation faults pages in).
_READ_SIZE: Final = 1 << 16
# How long `close` waits for the peer to take what was sent.
_LAST_WORDS_SECONDS: Final = 0.1
_LINGER_SECONDS: Final = 5.0
# How much longer than to its deadline a wait may take, so that not each one has to set the socket's timeout.
_SLACK_SECONDS: Final = 0.02
# Sends or fails at once on a socket that waits; 0 where the system has no such flag.
_DONT_WAIT: Final[int] = getattr(socket, "MSG_DONTWAIT", 0)


class TLSSocket(Generic[C]):
    """A connected socket that speaks TLS.

    One thread may receive while another sends. Timeouts are those of `socket`: `settimeout` bounds each wait for the
    network, and TimeoutError is raised when it is over. The handshake happens at the first use, or by `handshake()`,
    within its own limit.

    After a fork two processes have the socket. Only one of them may go on with it, or both seal under the same nonces;
    `close` in the other one closes its descriptor and no more.

    Attributes:
        connection: the connection inside, with `info`, `peer`, `export`; a ClientConnection also has `requested`.
    """

    def __init__(self, sock: socket.socket, connection: C, *, handshake_timeout: float | None = None) -> None:
        """Takes over `sock`, which is closed with this object.

        Args:
            sock: connected, and blocking.
            connection: fresh.
            handshake_timeout: seconds for the whole handshake, or None for the socket's own timeout on each wait.
        """
        self.connection = connection
        self._socket = sock
        self._handshake_timeout = handshake_timeout
        self._plaintext = b""
        self._given = 0  # How much of `_plaintext` was given by `recv`.
        self._unsent: bytes | memoryview = b""
        self._more = False  # Whether something may wait behind that.
        self._state = threading.RLock()  # Held for every use of the connection, never while the network is waited for.
        self._sending = threading.Lock()  # Keeps records in order on their way out.
        self._receiving = threading.RLock()
        self._shaken = False  # Whether the handshake is known to be over.
        self._closed = False
        self._deadline: float | None = None  # Of the handshake, or of closing, on the monotonic clock.
        self._bound = math.inf  # The socket's timeout, where it was set for that deadline.
        self._forks = FORKS.count  # When this process used the connection last.

    # -- Handshake ----------------------------------------------------------------------------------------------------

    def handshake(self) -> Self:
        """Finish the handshake, if that is still to be done.

        A client in TLS 1.3 is done before the server has judged its certificate: a refusal reaches it with the first
        `recv`.

        Raises:
            TLSError: the handshake failed; the peer has been told.
            HandshakeTimeout: it took longer than its limit.
            AsyncRequired: a verifier, signer or chooser of the configuration is asynchronous.
            OSError: the network failed.
        """
        if self._shaken:
            return self
        if self.connection.handshaking:  # Asked without the lock, which a thread that receives holds while it waits.
            with self._receiving:
                if self.connection.handshaking:
                    self._forks = FORKS.count
                    try:
                        self._do_handshake()
                    except BaseException:
                        self.close()
                        raise
        self._shaken = True
        return self

    def _do_handshake(self) -> None:
        usual = self._socket.gettimeout()
        if self._handshake_timeout is not None:
            self._set_deadline(self._handshake_timeout)
        try:
            self._exchange_flights()
        finally:
            self._deadline = None
            if not self._closed and self._bound != math.inf:
                self._socket.settimeout(usual)

    def _exchange_flights(self) -> None:
        connection = self.connection
        try:
            self._flush()
            while connection.handshaking:
                if connection.pending_work is not None:
                    self._refuse(self._async_required())
                if self._deadline is not None:
                    self._keep_deadline(self._deadline)
                self._receive_some()
        except TimeoutError:
            if connection.failure is None:
                self._refuse(_timed_out(self._handshake_timeout))
            raise

    def _set_deadline(self, seconds: float) -> None:
        """Let the waits from now on end within so many seconds."""
        self._bound = math.inf
        self._deadline = time.monotonic() + seconds

    def _keep_deadline(self, deadline: float) -> None:
        """Wait for the network no longer than to the deadline; TimeoutError when it is past."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        if self._bound > left + _SLACK_SECONDS:
            self._bound = left
            self._socket.settimeout(left)

    def _async_required(self) -> AsyncRequired:
        return AsyncRequired(f"to {self.connection.pending_work} is asynchronous here: use trustls.aio")

    def _refuse(self, error: TLSError) -> None:
        with self._state:
            self.connection.abort(error)
        self._set_deadline(_LAST_WORDS_SECONDS)
        with contextlib.suppress(OSError):
            self._flush()
        raise error

    # -- Receiving ----------------------------------------------------------------------------------------------------

    def recv(self, size: int = _READ_SIZE) -> bytes:
        """At least one and at most `size` bytes of data; `b""` once the peer has closed its side.

        Raises:
            TLSError: the connection failed. UnexpectedEOF: it ended without close_notify, data may be missing.
            TimeoutError, OSError: as for sockets.
        """
        if not self._shaken:
            self.handshake()
        with self._receiving:
            while not self._plaintext:
                if self.connection.peer_closed:
                    return b""
                if self.connection.failure is not None:  # Of a record behind the last data, or of a call before.
                    raise self.connection.failure.with_traceback(None)
                self._receive_some()
            data, start = self._plaintext, self._given
            if not start and len(data) <= size:
                self._plaintext = b""
                return data
            if size < 0:
                raise ValueError("a negative number of bytes")
            self._given = stop = min(start + size, len(data))
            if stop == len(data):
                self._plaintext, self._given = b"", 0
            return data[start:stop]

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        """Like `recv`, into `buffer`; how many bytes were put there."""
        view = memoryview(buffer).cast("B")
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    def recv_exactly(self, size: int) -> bytes:
        """Exactly `size` bytes; EOFError when the peer closes before."""
        parts = []
        while size:
            part = self.recv(size)
            if not part:
                raise EOFError(f"the peer closed its side {size} bytes early")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def pending(self) -> int:
        """How many bytes `recv` gives without waiting."""
        return len(self._plaintext) - self._given

    def _receive_some(self) -> None:
        """One read of the transport, into the connection."""
        try:
            data = self._socket.recv(_READ_SIZE)
        except OSError:
            if self._closed:
                raise ConnectionClosed("this socket is closed") from None
            raise
        if self._closed:
            raise ConnectionClosed("this socket was closed meanwhile")
        self._forks = FORKS.count
        connection = self.connection
        plaintext = b""
        quiet = False  # An alert waits, when this fails.
        try:
            with self._state:
                if data:
                    plaintext = connection.receive(data)
                else:
                    connection.receive_eof()
                quiet = connection.quiet
                if not quiet and connection.pending_work is not None:
                    error = self._async_required()
                    connection.abort(error)
                    raise error
        finally:
            if not quiet or self._unsent:
                self._flush_quietly()
        if plaintext:
            self._plaintext = plaintext

    # -- Sending ------------------------------------------------------------------------------------------------------

    def sendall(self, data: Data) -> None:
        """Send all of `data`.

        Raises:
            TLSError: the connection has failed; when the peer refused it with an alert, that is raised.
            ConnectionClosed: this side was closed for sending.
            TimeoutError, OSError: as for sockets.
        """
        if not self._shaken:
            self.handshake()
        if isinstance(data, bytes) and 0 < len(data) <= _READ_SIZE:
            self._flush(data)
            return
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _READ_SIZE):
            self._flush(view[start : start + _READ_SIZE])

    def send(self, data: Data) -> int:
        """Like `sendall`; how many bytes were sent, which is all of them."""
        self.sendall(data)
        return len(memoryview(data).cast("B"))

    def update_keys(self, *, request_peer: bool = True) -> None:
        """Change this side's sending keys (RFC 9846 4.7.3); see `Connection.update_keys`."""
        self.handshake()
        with self._state:
            self.connection.update_keys(request_peer=request_peer)
        self._flush()

    def request_client_certificate(self) -> None:
        """On a server: ask the client for a certificate now.

        `wait_for_client_certificate` waits for the answer; `recv` takes it too. See
        `ServerConnection.request_client_certificate`, also for what it raises.

        Raises:
            ConfigError: this is a client.
        """
        self.handshake()
        connection = self.connection
        if not isinstance(connection, ServerConnection):
            raise ConfigError("a client cannot ask for a client certificate")
        with self._state:
            connection.request_client_certificate()
        self._flush()

    def wait_for_client_certificate(self) -> Peer | None:
        """On a server: wait until the client has answered `request_client_certificate`; who it is then, as `peer`.

        Data that comes before the answer is kept for `recv`, up to 1 MiB. The wait is as long as the client likes,
        unless there is a timeout.

        Raises:
            TLSError: the answer is not accepted, the client sends too much data in place of one, or the connection
                failed otherwise. ConnectionClosed: the client has closed its side. ConfigError: this is a client.
            TimeoutError, OSError: as for sockets.
        """
        with self._receiving:
            held = bytearray(self._plaintext[self._given :])
            self._plaintext, self._given = b"", 0
            try:
                while answer_is_awaited(self.connection, len(held)):
                    self._receive_some()
                    held += self._plaintext
                    self._plaintext = b""
            finally:
                self._plaintext = bytes(held) + self._plaintext
                if self.connection.failure is not None:
                    self._flush_quietly()
        return self.connection.peer

    def _flush(self, data: Data = b"") -> None:
        """Send `data`, and whatever else the connection has for the transport."""
        deadline = self._deadline
        if deadline is None:
            self._sending.acquire()
        elif not self._sending.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError("timed out")
        self._flush_in_turn(data)

    def _flush_quietly(self) -> None:
        """Send what waits; if the transport is gone, what was received says more than that.

        Not while another thread is sending: that one takes along what waits. A thread that receives must never wait for
        one that sends: each peer would wait for the other to read.
        """
        with self._state:
            if not self._sending.acquire(blocking=False):
                self._more = True
                return
            if not self._unsent:
                self._unsent = self.connection.data_to_send()
            if not self._unsent:
                self._sending.release()
                return
        try:
            self._flush_in_turn()
        except (BrokenPipeError, ConnectionResetError):
            return

    def _flush_in_turn(self, data: Data = b"") -> None:
        """Send `data`, and what else there is, as the thread that holds `_sending`, which is given back.

        That happens under `_state`, at a moment when no other thread has left anything to be taken along.
        """
        connection = self.connection
        held = True
        try:
            with self._state:
                if data:
                    connection.send(data)
                unsent = self._unsent
                if unsent:
                    self._more = True
                else:
                    self._unsent = unsent = connection.data_to_send()
            while True:
                while unsent:
                    self._forks = FORKS.count
                    deadline = self._deadline
                    sent = self._socket.send(unsent) if deadline is None else self._send_until(deadline, unsent)
                    # What a timeout leaves stays there, or the stream would be torn.
                    self._unsent = unsent = b"" if sent == len(unsent) else memoryview(unsent)[sent:]
                with self._state:
                    if not self._more:
                        held = False
                        self._sending.release()
                        return
                    self._more = False
                    self._unsent = unsent = connection.data_to_send()
        except (BrokenPipeError, ConnectionResetError):
            self._raise_last_alert()
            raise
        finally:
            if held:
                self._sending.release()

    def _send_until(self, deadline: float, data: bytes | memoryview) -> int:
        if _DONT_WAIT and self._socket.gettimeout() is None:
            # Mostly there is room. This saves setting the timeout and asking for the room.
            try:
                return self._socket.send(data, _DONT_WAIT)
            except BlockingIOError:
                pass
        self._keep_deadline(deadline)
        return self._socket.send(data)

    def _raise_last_alert(self) -> None:
        """A peer that hangs up often has said why: look, without waiting."""
        if self._closed or self.connection.failure is not None or not self._receiving.acquire(blocking=False):
            return  # A thread that is receiving will come upon it.
        usual = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            with self._state:
                while data := self._socket.recv(_READ_SIZE):
                    self._plaintext += self.connection.receive(data)
        except OSError:
            pass  # There is no more.
        finally:
            self._socket.settimeout(usual)
            self._receiving.release()
        if self.connection.failure is not None:
            raise self.connection.failure

    # -- The end ------------------------------------------------------------------------------------------------------

    def close_write(self) -> None:
        """Say that this side sends no more (close_notify), and go on receiving: half-close."""
        with self._state:
            self.connection.close()
        self._flush_quietly()

    def close(self) -> None:
        """Send close_notify, if that is still to be done, and close the socket.

        What was sent is given up to five seconds to arrive; what the peer still sends is thrown away.

        A process that has not used the connection since a fork only closes its descriptor, parent or child: the
        connection goes on in the other one. (`close_write` says close_notify all the same.)
        """
        if self._closed:
            return
        self._closed = True
        if self._is_of_another_process():
            self._socket.close()
            return
        # Who does not read in time does not hold this side up either.
        failed_late = isinstance(self.connection.failure, HandshakeTimeout)
        self._set_deadline(_LAST_WORDS_SECONDS if failed_late else _LINGER_SECONDS)
        ended = False
        try:
            with self._state:
                self.connection.close()
            with contextlib.suppress(OSError):
                self._flush()
                if not self.connection.peer_closed and not failed_late:
                    ended = linger(self._socket, _LINGER_SECONDS)
        finally:
            if not ended:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # Wakes a thread that is receiving, as closing does not.
            self._socket.close()

    def _is_of_another_process(self) -> bool:
        """Whether there was a fork, and this process has not used the connection since."""
        if self._forks == FORKS.count:
            return False
        if is_child_since(self._forks):
            return True
        # A thread that waits for data is using it. (Threads do not come along into a child, though their locks do.)
        if not self._receiving.acquire(blocking=False):
            return False
        self._receiving.release()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- As a socket --------------------------------------------------------------------------------------------------

    def settimeout(self, seconds: float | None) -> None:
        """Bound each wait for the network; None for no bound."""
        if seconds == 0:
            raise ValueError("a TLSSocket is blocking: without waiting, drive a ClientConnection or ServerConnection")
        self._socket.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """The bound on each wait."""
        return self._socket.gettimeout()

    def fileno(self) -> int:
        """The socket's file descriptor. Data may wait in `pending()` although it is not readable."""
        return self._socket.fileno()

    def getpeername(self) -> Any:
        """The other end's address."""
        return self._socket.getpeername()

    def getsockname(self) -> Any:
        """This end's address."""
        return self._socket.getsockname()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "handshaking" if self.connection.handshaking else "open"
        return f"<TLSSocket {state}, {type(self.connection).__name__}>"


def connect(
    address: Address,
    config: ClientConfig,
    *,
    server_name: str | None = None,
    timeout: float | None = None,
    early_data: bytes = b"",
) -> TLSSocket[ClientConnection]:
    """Connect, and finish the handshake.

    Args:
        address: host and port.
        config: whom to trust, and the certificates to choose from.
        server_name: the name that the server's certificate must be valid for, when it is not the host.
        timeout: seconds for the TCP connection, for the handshake, and then for each wait; None for no bound.
        early_data: to be sent before the server has answered, where a session allows it (see
            `ClientConnection.write_early`: it can be replayed). What does not go early, or is refused, is given by
            `connection.take_rejected_early_data()`, to be sent again or not.

    Raises:
        TLSError: the handshake failed. OSError: the connection could not be made.
    """
    connection = ClientConnection(config, server_name or address[0])
    connection.offer_early(early_data)
    sock = socket.create_connection(address, timeout)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TLSSocket(sock, connection, handshake_timeout=timeout).handshake()


def _timed_out(seconds: float | None) -> HandshakeTimeout:
    limit = "the socket's timeout" if seconds is None else f"{seconds:g} s"
    return HandshakeTimeout(f"the handshake was not finished within {limit}")
