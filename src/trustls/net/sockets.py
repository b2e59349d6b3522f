"""Blocking sockets: `connect`, `Listener`, and the `TLSSocket` that both give."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, Data, ServerConnection
from trustls.errors import AsyncRequired, ConfigError, ConnectionClosed, HandshakeTimeout, TLSError

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

Address = tuple[str, int]
C = TypeVar("C", bound=Connection)

# One read of the transport; larger ones cost more a byte (the allocation faults pages in).
_READ_SIZE: Final = 1 << 16
# One write: what is sealed of 64 KiB is a little longer, and should not be cut.
_WRITE_SIZE: Final = 1 << 17
# How long `close` waits for the peer to take what was sent.
_LAST_WORDS_SECONDS: Final = 0.1
_LINGER_SECONDS: Final = 5.0
_LINGER_AT_LEAST_SECONDS: Final = 0.1
_LINGER_STEP_SECONDS: Final = 0.02


class TLSSocket(Generic[C]):
    """A connected socket that speaks TLS.

    One thread may receive while another sends. Timeouts are those of `socket`: `settimeout` bounds each wait for the
    network, and TimeoutError is raised when it is over. The handshake happens at the first use, or by `handshake()`,
    within its own limit.

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
        self._plaintext = memoryview(b"")
        self._unsent = memoryview(b"")
        self._state = threading.RLock()  # Held for every use of the connection, never while the network is waited for.
        self._sending = threading.Lock()  # Keeps records in order on their way out.
        self._receiving = threading.RLock()
        self._closed = False
        self._deadline: float | None = None  # Of the handshake, or of closing, on the monotonic clock.

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
        if not self.connection.handshaking:
            return self  # Without the lock, which a thread that receives holds while it waits.
        with self._receiving:
            if self.connection.handshaking:
                if self._handshake_timeout is not None:
                    self._deadline = time.monotonic() + self._handshake_timeout
                usual = self._socket.gettimeout()
                try:
                    self._do_handshake()
                except BaseException:
                    self.close()
                    raise
                finally:
                    self._deadline = None
                    if not self._closed:
                        self._socket.settimeout(usual)
        return self

    def _do_handshake(self) -> None:
        try:
            self._flush()
            while self.connection.handshaking:
                if self.connection.pending_work is not None:
                    self._refuse(self._async_required())
                self._keep_deadline()
                self._receive_some()
        except TimeoutError:
            if self.connection.failure is None:
                self._refuse(_timed_out(self._handshake_timeout))
            raise

    def _keep_deadline(self) -> None:
        """Wait for the network no longer than to the deadline, if there is one; TimeoutError when it is past."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)

    def _async_required(self) -> AsyncRequired:
        return AsyncRequired(f"to {self.connection.pending_work} is asynchronous here: use trustls.aio")

    def _refuse(self, error: TLSError) -> None:
        with self._state:
            self.connection.abort(error)
        self._deadline = time.monotonic() + _LAST_WORDS_SECONDS
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
        self.handshake()
        with self._receiving:
            while not self._plaintext and not self.connection.peer_closed:
                self._receive_some()
            taken = bytes(self._plaintext[:size])
            self._plaintext = self._plaintext[size:]
            return taken

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
        return len(self._plaintext)

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
        try:
            with self._state:
                if data:
                    plaintext = self.connection.receive(data)
                else:
                    plaintext = b""
                    self.connection.receive_eof()
                if self.connection.pending_work is not None:
                    error = self._async_required()
                    self.connection.abort(error)
                    raise error
        finally:
            self._flush_quietly()
        if plaintext:
            self._plaintext = memoryview(plaintext)

    # -- Sending ------------------------------------------------------------------------------------------------------

    def sendall(self, data: Data) -> None:
        """Send all of `data`.

        Raises:
            TLSError: the connection has failed; when the peer refused it with an alert, that is raised.
            ConnectionClosed: this side was closed for sending.
            TimeoutError, OSError: as for sockets.
        """
        self.handshake()
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
        """On a server: ask the client for a certificate now; `recv` takes the answer, and `peer` tells it.

        See `ServerConnection.request_client_certificate`, also for what it raises.

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

    def _flush(self, data: Data = b"", *, wait: bool = True) -> None:
        """Send `data`, and whatever else the connection has for the transport.

        Without `wait`, not while another thread is sending: that one takes along what waits, because it gives
        `_sending` back under `_state`, at a moment when nothing does.
        """
        if not wait or self._deadline is None:
            if not self._sending.acquire(blocking=wait):
                return
        elif not self._sending.acquire(timeout=max(0.0, self._deadline - time.monotonic())):
            raise TimeoutError("timed out")
        held = True
        try:
            if data:
                with self._state:
                    self.connection.send(data)
            while True:
                with self._state:
                    if not self._unsent:
                        self._unsent = memoryview(self.connection.data_to_send(_WRITE_SIZE))
                    if not self._unsent:
                        self._sending.release()
                        held = False
                        return
                try:
                    # What a timeout leaves unsent stays in front of all else, or the stream would be torn.
                    while self._unsent:
                        self._keep_deadline()
                        self._unsent = self._unsent[self._socket.send(self._unsent) :]
                except (BrokenPipeError, ConnectionResetError):
                    self._raise_last_alert()
                    raise
        finally:
            if held:
                self._sending.release()

    def _flush_quietly(self) -> None:
        """Send what waits; if the transport is gone, what was received says more than that.

        A thread that receives must never wait for one that sends: each peer would wait for the other to read.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._flush(wait=False)

    def _raise_last_alert(self) -> None:
        """A peer that hangs up often has said why: look, without waiting."""
        if self._closed or self.connection.failure is not None or not self._receiving.acquire(blocking=False):
            return  # A thread that is receiving will come upon it.
        usual = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            with self._state:
                while data := self._socket.recv(_READ_SIZE):
                    self.connection.receive(data)
        except OSError:
            return
        finally:
            self._socket.settimeout(usual)
            self._receiving.release()

    # -- The end ------------------------------------------------------------------------------------------------------

    def close_write(self) -> None:
        """Say that this side sends no more (close_notify), and go on receiving: half-close."""
        with self._state:
            self.connection.close()
        self._flush_quietly()

    def close(self) -> None:
        """Send close_notify, if that is still to be done, and close the socket.

        What was sent is given up to five seconds to arrive; what the peer still sends is thrown away.
        """
        if self._closed:
            return
        self._closed = True
        # Who does not read in time does not hold this side up either.
        failed_late = isinstance(self.connection.failure, HandshakeTimeout)
        self._deadline = time.monotonic() + (_LAST_WORDS_SECONDS if failed_late else _LINGER_SECONDS)
        try:
            with self._state:
                self.connection.close()
            with contextlib.suppress(OSError):
                self._flush()
                if not self.connection.peer_closed and not failed_late:
                    self._linger()
        finally:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # Wakes a thread that is receiving, which `close` does not.
            self._socket.close()

    def _linger(self) -> None:
        """Let the peer take what was sent: a socket closed over unread data resets the connection, and all is lost.

        It ends with the peer's end of the stream; or, a little later, as soon as the peer's system has everything.
        """
        self._socket.shutdown(socket.SHUT_WR)
        started = time.monotonic()
        while (waited := time.monotonic() - started) < _LINGER_SECONDS:
            if waited >= _LINGER_AT_LEAST_SECONDS and not _in_flight(self._socket):
                return
            self._socket.settimeout(_LINGER_STEP_SECONDS)
            with contextlib.suppress(TimeoutError):
                if not self._socket.recv(_READ_SIZE):
                    return

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


class Listener:
    """A listening socket that gives a TLSSocket for each client.

    >>> with Listener(("127.0.0.1", 8443), config) as listener:  # doctest: +SKIP
    ...     for tls in listener:
    ...         threading.Thread(target=serve, args=(tls,)).start()
    """

    def __init__(
        self,
        address: Address,
        config: ServerConfig,
        *,
        handshake_timeout: float | None = 10.0,
        timeout: float | None = None,
        backlog: int = 128,
        reuse_port: bool = False,
    ) -> None:
        """Binds and listens.

        Args:
            address: host and port; port 0 for any free one, see `address`.
            config: for every connection.
            handshake_timeout: seconds that a client may take for the whole handshake.
            timeout: bound on each wait of the connections afterwards.
            backlog: how many connections may wait to be accepted.
            reuse_port: whether other processes may listen on the same port (SO_REUSEPORT).

        Raises:
            OSError: the address cannot be had.
        """
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.create_server(address, family=family, backlog=backlog, reuse_port=reuse_port)
        self._closed = False
        self._config = config
        self._handshake_timeout = handshake_timeout
        self._timeout = timeout

    @property
    def address(self) -> Address:
        """Host and port that are listened on."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def accept(self) -> TLSSocket[ServerConnection]:
        """The next client. Its handshake is not done yet, so that a slow one holds up nobody but itself.

        It happens at the first use of the TLSSocket, or by its `handshake()`, in whatever thread that is.

        Raises:
            ConnectionClosed: the listener is closed.
        """
        try:
            sock, _ = self._socket.accept()
        except OSError as error:
            if self._closed:
                raise ConnectionClosed("the listener is closed") from error
            raise
        if self._closed:
            sock.close()
            raise ConnectionClosed("the listener is closed")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(self._timeout)
        return TLSSocket(sock, ServerConnection(self._config), handshake_timeout=self._handshake_timeout)

    def __iter__(self) -> Iterator[TLSSocket[ServerConnection]]:
        while True:
            try:
                yield self.accept()
            except ConnectionClosed:
                return

    def settimeout(self, seconds: float | None) -> None:
        """Bound how long `accept` waits."""
        self._socket.settimeout(seconds)

    def fileno(self) -> int:
        """The listening socket's file descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Listen no more; wakes a thread that waits in `accept`."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _in_flight(sock: socket.socket) -> bool:
    """Whether bytes that were sent have not reached the peer's system; False where the system does not tell."""
    if termios is None or fcntl is None:
        return False
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return False
    return int.from_bytes(answer, sys.byteorder) > 0


def _timed_out(seconds: float | None) -> HandshakeTimeout:
    limit = "the socket's timeout" if seconds is None else f"{seconds:g} s"
    return HandshakeTimeout(f"the handshake was not finished within {limit}")
