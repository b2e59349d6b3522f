"""SSLSocket: a connection on a socket, with the manners of `ssl.SSLSocket` (what `SSLContext.wrap_socket` gives).

Blocking, with a timeout, and non-blocking. One thread may receive while another sends.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self, cast

from trustls.errors import TLSError
from trustls.protocol.record import HEADER_LENGTH
from trustls.stdlib.described import Described
from trustls.stdlib.descriptors import SameDescriptor, forks, waiting
from trustls.stdlib.errors import as_ssl_error, bad_write_retry, data_after_close, want_read, want_write
from trustls.stdlib.sslobject import check_possible

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trustls.stdlib.context import SSLContext
    from trustls.stdlib.sessions import SSLSession

# One read of the socket; larger ones cost more a byte.
_READ_SIZE: Final = 1 << 16
# What one `send` takes, and one write of the socket: what is sealed of it is a little longer.
_PIECE: Final = 1 << 16
_WRITE_SIZE: Final = 1 << 17
# Seconds that a peer has to take the alert of a failed handshake.
_LAST_WORDS: Final = 0.1
# Reads of unread data before the socket is closed, so that it is not reset.
_LAST_READS: Final = 16
# A record so short is read by itself, however much there is behind it.
_SMALL: Final = 1 << 12
_NOTHING: Final = memoryview(b"")
# Sends what can be sent at once, also on a socket that is blocking.
_AT_ONCE: Final = getattr(socket, "MSG_DONTWAIT", 0)
# What connect_ex gives on a socket that does not wait.
_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


class SSLSocket(Described, ssl.SSLSocket):  # type: ignore[override]  # ssl's can set what Described only tells
    """A socket that speaks TLS. Made by `SSLContext.wrap_socket`.

    It differs from `ssl`'s in this: an end of the stream without close_notify is an error unless
    `suppress_ragged_eofs=True` is given; `close` and `shutdown` send close_notify, without waiting for anybody; after
    `shutdown(SHUT_WR)` the peer's data is still decrypted; and a `send` that fails because the peer has hung up tells
    the alert that the peer hung up with. A socket that was open when the process forked is closed silently, because
    the other process may use it; only one of the two may.
    """

    _raw: socket.socket  # The same file descriptor, for reading and writing without waiting.
    _forks: int
    _unsent: memoryview
    _owed: bytes
    _in_clear: bytes
    _unwrapped: bool
    _state: threading.RLock
    _sending: threading.Lock
    _receiving: threading.RLock
    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("an SSLSocket is made by SSLContext.wrap_socket()")

    @classmethod
    def _create(
        cls,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = False,
        server_hostname: str | None = None,
        context: SSLContext | None = None,
        session: SSLSession | None = None,
    ) -> Self:
        """Take over `sock`, which is detached. See `SSLContext.wrap_socket`."""
        if context is None:
            raise ValueError("an SSLSocket needs its context")
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) != socket.SOCK_STREAM:
            raise NotImplementedError("only stream sockets are supported")
        if getattr(sock, "_sslobj", None) is not None:
            # It would go on below that TLS, beside it.
            raise ValueError("there is TLS on this socket already; for TLS inside of TLS there is wrap_bio")
        if isinstance(sock, SSLSocket) and sock._in_clear:
            raise ValueError("the peer has sent bytes in the clear, which were not read")
        context.check_roles(server_side=server_side, server_hostname=server_hostname, session=session)
        timeout = sock.gettimeout()
        self = cls.__new__(cls)
        socket.socket.__init__(self, family=sock.family, type=sock.type, proto=sock.proto, fileno=sock.fileno())
        sock.detach()
        self._raw = SameDescriptor(self.family, self.type, self.proto, fileno=self.fileno())
        self._raw.settimeout(0)
        self._forks = forks()
        self.settimeout(timeout)
        self._context = context
        self._server_hostname = server_hostname
        self._session = session
        self.do_handshake_on_connect = do_handshake_on_connect
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self._plaintext = _NOTHING
        self._unsent = _NOTHING
        self._owed = b""
        self._in_clear = b""
        self._unwrapped = False
        self._state = threading.RLock()  # Held for every use of the connection, never while the network is waited for.
        self._sending = threading.Lock()  # Keeps records in order on their way out.
        self._receiving = threading.RLock()
        try:
            if self._is_connected():
                self._begin()
                if do_handshake_on_connect:
                    if timeout == 0:
                        raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
                    self.do_handshake()
            else:
                self._refuse_early_bytes()
        except BaseException:
            self.close()
            raise
        return self

    def _is_connected(self) -> bool:
        try:
            self.getpeername()
        except OSError as error:
            if error.errno not in {errno.ENOTCONN, errno.EINVAL}:
                raise
            return False
        return True

    def _refuse_early_bytes(self) -> None:
        """A peer that has left already may have left bytes behind, which nobody must take for decrypted ones."""
        try:
            found = self._raw.recv(1)
        except OSError:
            return
        if found:
            raise ssl.SSLError("Closed before TLS handshake with data in recv buffer.")

    def _begin(self) -> None:
        self._connection = self._context.connection(self._server_hostname, self._session)

    @property
    def _sslobj(self) -> Self | None:
        """What `ssl.SSLSocket` asks in the methods that are left to it, and httpcore for what was agreed on."""
        return None if self._unwrapped else self

    # -- Connecting ---------------------------------------------------------------------------------------------------

    def connect(self, addr: Any) -> None:
        """Connect to `addr`, and do the handshake if that is to be done by itself."""
        self._check_may_connect()
        self._begin()
        try:
            socket.socket.connect(self, addr)
        except BlockingIOError:
            raise  # It goes on by itself; do_handshake comes next.
        except BaseException:
            self._connection = None
            raise
        if self.do_handshake_on_connect:
            self.do_handshake()

    def connect_ex(self, addr: Any) -> int:
        """Like `connect`, with the error's number in place of the error, where the network failed.

        With EINPROGRESS, `do_handshake` is called once the socket can be written.
        """
        self._check_may_connect()
        number = socket.socket.connect_ex(self, addr)
        if not number or number in _IN_PROGRESS:
            self._begin()
        if not number and self.do_handshake_on_connect:
            self.do_handshake()
        return number

    def _check_may_connect(self) -> None:
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._connection is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")

    def do_handshake(self, block: bool = False) -> None:
        """Do the handshake, or what is left of it, within the socket's timeout.

        Raises:
            ssl.SSLWantReadError, ssl.SSLWantWriteError: the socket is non-blocking and has to wait.
            ssl.SSLError: the handshake failed; a TLSError too. The peer has been told.
            TimeoutError: it took too long.
        """
        timeout = self.gettimeout()
        if block and timeout == 0:
            self.settimeout(None)
        try:
            deadline = self._deadline()
            with self._receiving:
                self._flush(deadline)
                while self.connection.handshaking:
                    self._receive_some(deadline, "handshake")
                self._flush(deadline)
        finally:
            if block and timeout == 0:
                self.settimeout(timeout)
        if self.connection.failure is not None:
            raise as_ssl_error(self.connection.failure)

    # -- Receiving ----------------------------------------------------------------------------------------------------

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Up to `buflen` bytes of data; b"" once the peer has closed its side.

        Raises:
            ssl.SSLWantReadError: the socket is non-blocking, and no data is there.
            ssl.SSLEOFError: the stream ended without close_notify: data may be missing.
            ssl.SSLError: the connection failed. TimeoutError, OSError: as for sockets.
        """
        if self._connection is None:
            return self._recv_in_clear(buflen, flags)
        self._check_flags(flags, "recv")
        return bytes(self._take(buflen))

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Like `recv`, into `buffer`; how many bytes were put there."""
        view = memoryview(buffer).cast("B")
        size = nbytes or view.nbytes
        if self._connection is None:
            data: Buffer = self._recv_in_clear(min(size, view.nbytes), flags)
        else:
            self._check_flags(flags, "recv_into")
            data = self._take(min(size, view.nbytes))
        found = memoryview(data)
        view[: found.nbytes] = found
        return found.nbytes

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 (the name is ssl's)
        """Up to `len` bytes of data, or up to `len` of them into `buffer`, and how many.

        Raises:
            ValueError: the socket is closed, or unwrapped. Otherwise as for `recv`.
        """
        if self._connection is None:
            raise ValueError("Read on closed or unwrapped SSL socket.")
        if buffer is None:
            return bytes(self._take(len))
        return self.recv_into(buffer, len)

    def _take(self, size: int) -> memoryview:
        if size < 0:
            raise ValueError("negative buffersize in recv")
        if self.connection.handshaking:
            self.do_handshake()
        deadline = self._deadline()
        with self._receiving:
            try:
                while size and not self._plaintext and not self.connection.peer_closed:
                    self._receive_some(deadline, "read", min(size, _READ_SIZE))
            except ssl.SSLEOFError:
                if not self.suppress_ragged_eofs:
                    raise
                return _NOTHING
            return self._take_plaintext(size)

    def _receive_some(self, deadline: float | None, what: str, room: int = 0) -> None:
        """One read of the socket, into the connection.

        What there is no room for stays in the socket, where `select` sees it. Loops written for `ssl` count on
        that: OpenSSL reads record by record.
        """
        connection = self.connection
        if connection.failure is not None:
            raise self._told(connection.failure)
        data = self._read_raw(deadline, what, connection.bytes_wanted(room))
        try:
            with self._state:
                if data:
                    plaintext = connection.receive(data)
                else:
                    plaintext = b""
                    connection.receive_eof()
                check_possible(connection)
        except TLSError as error:
            self._flush_last_words()
            raise self._told(error) from error
        finally:
            self._keep_session()  # Here too, or the next connection of this thread would take it for its own.
        if plaintext:
            self._plaintext = memoryview(plaintext)
        if not connection.handshaking:
            # A thread that receives must never wait for one that sends: each peer would wait for the other to read.
            with contextlib.suppress(OSError):
                self._flush(deadline, wait=False)

    def _read_raw(self, deadline: float | None, what: str, size: int) -> bytes:
        handshaking = self.connection.handshaking
        if handshaking and not _AT_ONCE:
            self._flush(deadline, what)
        while True:
            try:
                return self._raw.recv(size, _AT_ONCE) if handshaking else self._read_records(size)
            except (BlockingIOError, InterruptedError):
                if handshaking:
                    # Not after each record: a flight goes out in one piece, or the second would wait until the peer has
                    # acknowledged the first (Nagle's algorithm), which takes 40 ms.
                    self._flush(deadline, what)
                self._wait(deadline, what, write=False)

    def _read_records(self, size: int) -> bytes:
        """The record that has begun, or the next one; `size` bytes where the socket has more than that.

        So the socket can be read as long as there is anything to tell. A close_notify that was taken together with data
        would be known to `pending` alone, and not every loop asks there.
        """
        lacking = self.connection.bytes_wanted()
        if lacking != HEADER_LENGTH:
            return self._raw.recv(self._this_or_more(lacking, size))
        header = self._raw.recv(lacking)
        if len(header) < HEADER_LENGTH:
            return header
        try:
            return header + self._raw.recv(self._this_or_more(header[3] << 8 | header[4], size))
        except (BlockingIOError, InterruptedError):
            return header

    def _this_or_more(self, lacking: int, size: int) -> int:
        return size if lacking > _SMALL and waiting(self._raw) > size else lacking

    def _recv_in_clear(self, size: int, flags: int) -> bytes:
        """After TLS: what came behind the peer's close_notify, then what the socket has."""
        self._check_in_clear()
        if self._in_clear and not flags:
            piece, self._in_clear = self._in_clear[:size], self._in_clear[size:]
            return piece
        return socket.socket.recv(self, size, flags)

    def _check_in_clear(self) -> None:
        """Before TLS nothing is sent, and nothing taken: only `unwrap` opens the socket."""
        if not self._unwrapped:
            raise OSError(errno.ENOTCONN, "not connected by TLS")

    # -- Sending ------------------------------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Send data, at most 64 KiB of it; how many bytes were taken.

        Raises:
            ssl.SSLWantWriteError: the socket is non-blocking and full: call again with the same data. After a timeout
                likewise; other data is refused (BAD_WRITE_RETRY).
            ssl.SSLError: the connection failed; also with the alert that the peer hung up with.
            TimeoutError, OSError: as for sockets.
        """
        if self._connection is None:
            self._check_in_clear()
            return socket.socket.send(self, data, flags)
        self._check_flags(flags, "send")
        if self.connection.handshaking:
            self.do_handshake()
        view = memoryview(data).cast("B")
        deadline = self._deadline()
        owed = self._owed
        if owed and view[: len(owed)] != owed:
            raise bad_write_retry()
        self._flush(deadline, "write")
        if owed:
            # The last call sealed this much of its data and could not send it: now it is sent.
            self._owed = b""
            return len(owed)
        piece = view[:_PIECE]
        try:
            self._flush(deadline, "write", piece)
        except (ssl.SSLWantWriteError, TimeoutError):
            self._owed = bytes(piece)
            raise
        return piece.nbytes

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of data; see `send`."""
        if self._connection is None:
            self._check_in_clear()
            socket.socket.sendall(self, data, flags)
            return
        self._check_flags(flags, "sendall")
        view = memoryview(data).cast("B")
        at = 0
        while at < view.nbytes:
            at += self.send(view[at:])

    def write(self, data: Buffer) -> int:
        """Like `send`.

        Raises:
            ValueError: the socket is closed, or unwrapped.
        """
        if self._connection is None:
            raise ValueError("Write on closed or unwrapped SSL socket.")
        return self.send(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file, read in pieces: nothing but this process can encrypt it."""
        return cast("int", cast("Any", self)._sendfile_use_send(file, offset, count))

    def _flush(
        self, deadline: float | None, what: str = "handshake", data: memoryview = _NOTHING, *, wait: bool = True
    ) -> None:
        """Seal `data`, and send it behind what waits already.

        Without `wait`, not while another thread is sending: that one takes along what waits, because it gives
        `_sending` back under `_state`, at a moment when nothing does.
        """
        if not self._sending.acquire(blocking=wait):
            return
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
                    # What cannot be sent now stays in front of all else, or the stream would be torn.
                    self._unsent = self._unsent[self._raw.send(self._unsent, _AT_ONCE) :]
                except (BlockingIOError, InterruptedError):
                    if not wait:
                        return
                    self._wait(deadline, what, write=True)
                except (BrokenPipeError, ConnectionResetError):
                    self._raise_last_alert()
                    raise
        except TLSError as error:
            raise as_ssl_error(error) from error
        finally:
            if held:
                self._sending.release()

    def _flush_last_words(self) -> None:
        """Send the alert of a failure; a peer that does not read in time goes without."""
        with contextlib.suppress(OSError):
            self._flush(time.monotonic() + _LAST_WORDS)

    def _raise_last_alert(self) -> None:
        """A peer that hangs up often has said why: look, without waiting."""
        if not self._receiving.acquire(blocking=False):
            return  # A thread that is receiving will come upon it.
        try:
            with self._state:
                for _ in range(_LAST_READS):
                    data = b"" if self.connection.peer_closed else self._raw.recv(_READ_SIZE, _AT_ONCE)
                    if not data:
                        return
                    # What the peer said before it left can still be read.
                    self._plaintext = memoryview(bytes(self._plaintext) + self.connection.receive(data))
        except OSError:
            return
        finally:
            self._receiving.release()

    # -- Waiting ------------------------------------------------------------------------------------------------------

    def _deadline(self) -> float | None:
        timeout = self.gettimeout()
        return None if timeout is None else time.monotonic() + timeout

    def _wait(self, deadline: float | None, what: str, *, write: bool) -> None:
        """Wait until the socket can be read or written, as long as its timeout allows."""
        if self.gettimeout() == 0:
            raise want_write() if write else want_read()
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"The {what} operation timed out")
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self, select.POLLOUT if write else select.POLLIN)
            poll.poll(None if left is None else left * 1000 + 1)
        else:  # Windows
            select.select([] if write else [self], [self] if write else [], [], left)

    # -- The end ------------------------------------------------------------------------------------------------------

    def unwrap(self) -> Self:  # ssl's gives the socket too, which has no TLS then
        """Send close_notify, wait for the peer's, and give the socket, which speaks in the clear from now on.

        Raises:
            ssl.SSLError: there is data that was not read, or the connection failed.
            ValueError: there is no TLS on this socket.
        """
        connection = self._connection
        if connection is None:
            raise ValueError(f"No SSL wrapper around {self}")
        deadline = self._deadline()
        with self._receiving:
            with self._state:
                connection.close()
            self._flush(deadline, "unwrap")
            while not connection.peer_closed and not self._plaintext:
                self._receive_some(deadline, "unwrap")
            if self._plaintext:
                raise data_after_close()
            self._in_clear = connection.take_unread()
            self._connection = None
            self._unwrapped = True
        return self

    def shutdown(self, how: int) -> None:
        """Shut down one direction or both, as for sockets; the peer is told by close_notify when it is the sending."""
        if self._connection is not None and how != socket.SHUT_RD:
            self._say_goodbye()
        socket.socket.shutdown(self, how)

    def detach(self) -> int:
        """Give the file descriptor away; the connection is lost."""
        self._raw.detach()
        self._connection = None
        return socket.socket.detach(self)

    def _real_close(self) -> None:
        try:
            raw = self._raw
        except AttributeError:  # It was not even made.
            return
        # After a fork the other process may use the connection: its close is no end of it. Two processes that both send
        # would also seal under the same nonces.
        if self._connection is not None and raw.fileno() != -1 and self._forks == forks():
            with contextlib.suppress(OSError):
                raw.setblocking(False)
                self._say_goodbye()
                # Closing over unread data would reset the connection, and what was sent with it.
                for _ in range(_LAST_READS):
                    if not raw.recv(_READ_SIZE):
                        break
        raw.detach()
        socket.socket._real_close(self)  # type: ignore[attr-defined]  # typeshed does not know it

    def _say_goodbye(self) -> None:
        """Queue close_notify and send what can be sent at once."""
        if self._connection is not None:
            with self._state:
                self._connection.close()
            with contextlib.suppress(OSError):
                self._flush(None, wait=False)

    def verify_client_post_handshake(self) -> None:
        """On a server: ask the client for a certificate, which needs `ServerConfig(post_handshake_auth=...)`.

        `recv` takes the answer.

        Raises:
            ssl.SSLError: this side or the client has not agreed to it, or it is TLS 1.2.
        """
        connection = self._check_certificate_request()
        try:
            with self._state:
                connection.request_client_certificate()
        except TLSError as error:
            raise as_ssl_error(error) from error
        self._flush(self._deadline(), "write")

    def _check_flags(self, flags: int, what: str) -> None:
        if flags:
            raise ValueError(f"non-zero flags not allowed in calls to {what}() on {type(self).__name__}")

    def __repr__(self) -> str:
        connection = self._connection
        state = "not connected" if connection is None else "handshaking" if connection.handshaking else self.version()
        return f"<trustls.stdlib.SSLSocket {'server' if self.server_side else 'client'}, fd={self.fileno()}, {state}>"
