"""SSLSocket: a connection on a socket, with the manners of `ssl.SSLSocket` (what `SSLContext.wrap_socket` gives).

Blocking, with a timeout, and non-blocking. One thread may receive while another sends.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

from trustls.errors import TLSError
from trustls.stdlib.channel import LAST_READS, READ_SIZE, Channel
from trustls.stdlib.connecting import ConnectingSocket
from trustls.stdlib.errors import as_ssl_error, bad_write_retry, data_after_close
from trustls.stdlib.patience import Patience
from trustls.stdlib.sslobject import check_possible

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What one `send` takes.
_PIECE: Final = 1 << 16
_NOTHING: Final = memoryview(b"")
# So much of what a peer said before it hung up is kept, at least, and one read more at most.
_MAX_LAST_WORDS: Final = 1 << 20


class SSLSocket(ConnectingSocket):
    """A socket that speaks TLS. Made by `SSLContext.wrap_socket`.

    It differs from `ssl`'s in this: an end of the stream without close_notify is an error unless
    `suppress_ragged_eofs=True` is given; `close` and `shutdown` send close_notify, without waiting for anybody; after
    `shutdown(SHUT_WR)` the peer's data is still decrypted; and a `send` that fails because the peer has hung up tells
    the alert that the peer hung up with. A socket that was open when the process forked is closed silently, because
    the other process may use it; only one of the two may.
    """

    # -- The handshake ------------------------------------------------------------------------------------------------

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
            patience = self._patience("handshake")
            with self._receiving:
                self._flush(patience)
                while self.connection.handshaking:
                    self._receive_some(patience)
                self._flush(patience)
        finally:
            if block and timeout == 0:
                self.settimeout(timeout)
        if self.connection.failure is not None:
            raise as_ssl_error(self.connection.failure)
        self._shaken = True

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
        if flags:
            self._refuse_flags("recv")
        return bytes(self._take(buflen))

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Like `recv`, into `buffer`; how many bytes were put there."""
        view = memoryview(buffer).cast("B")
        size = nbytes or view.nbytes
        if self._connection is None:
            data: Buffer = self._recv_in_clear(min(size, view.nbytes), flags)
        else:
            if flags:
                self._refuse_flags("recv_into")
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

    def _take(self, size: int) -> bytes | memoryview:
        if size < 0:
            raise ValueError("negative buffersize in recv")
        if not self._shaken and self.connection.handshaking:
            self.do_handshake()
        with self._receiving:
            if size and not self._plaintext:
                patience = Patience(self.gettimeout(), "read")
                try:
                    while not self._plaintext and not self.connection.peer_closed:
                        self._receive_some(patience, min(size, READ_SIZE))
                except ssl.SSLEOFError:
                    if not self.suppress_ragged_eofs:
                        raise
            return self._take_plaintext(size)

    def _receive_some(self, patience: Patience, room: int = 0) -> None:
        """One read of the socket, into the connection."""
        connection, channel = self.connection, self._open_channel()
        if not connection.quiet and connection.failure is not None:
            raise self._told(connection.failure)
        handshaking = not self._shaken and connection.handshaking
        try:
            data = channel.read_flight(patience) if handshaking else channel.read(patience, room)
        except (BrokenPipeError, ConnectionResetError):
            self._raise_last_alert(channel)
            raise
        try:
            quiet = self._take_in(data, channel, handshaking=handshaking)
        except TLSError as error:
            channel.flush_last_words(patience)
            raise self._told(error) from error
        if (channel.unsent or not quiet) and not (handshaking and connection.handshaking):
            # A thread that receives must never wait for one that sends: each peer would wait for the other to read.
            channel.flush_at_once()

    def _take_in(self, data: bytes, channel: Channel, *, handshaking: bool = False) -> bool:
        """Give the connection what was read, and keep the data that was in it; b"" is the end of the stream.

        Whether there is nothing but data to see to.
        """
        connection = self.connection
        try:
            with channel.state:
                if data:
                    plaintext = connection.receive(data)
                    if plaintext:
                        kept = self._plaintext
                        self._plaintext = memoryview(bytes(kept) + plaintext if kept else plaintext)
                else:
                    connection.receive_eof()
                quiet = connection.quiet
                if handshaking or not quiet:
                    check_possible(connection)
                return quiet
        finally:
            self._keep_session()  # Here too, or the next connection of this thread would take it for its own.

    def _raise_last_alert(self, channel: Channel) -> None:
        """A peer that hangs up often has said why: look, without waiting."""
        if not self._receiving.acquire(blocking=False):
            return  # A thread that is receiving will come upon it.
        try:
            for _ in range(LAST_READS):
                full = self._plaintext.nbytes >= _MAX_LAST_WORDS
                data = b"" if full or self.connection.peer_closed else channel.read_what_is_left()
                if not data:
                    return
                # What the peer said before it left can still be read.
                self._take_in(data, channel)
        except TLSError as error:
            raise as_ssl_error(error) from error
        finally:
            self._receiving.release()

    def recvfrom(self, buflen: int = 1024, flags: int = 0) -> tuple[bytes, Any]:
        """Like `recv`, with an address, which is None for streams; only after `unwrap`."""
        if self._in_clear:
            return self._recv_in_clear(buflen, flags), None
        return super().recvfrom(buflen, flags)

    def recvfrom_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> tuple[int, Any]:
        """Like `recv_into`, with an address, which is None for streams; only after `unwrap`."""
        if self._in_clear:
            return self.recv_into(buffer, nbytes, flags), None
        return super().recvfrom_into(buffer, nbytes or 0, flags)

    def _recv_in_clear(self, size: int, flags: int) -> bytes:
        """After TLS: what came behind the peer's close_notify, then what the socket has."""
        self._check_in_clear()
        if not self._in_clear:
            return socket.socket.recv(self, size, flags)
        if size < 0:
            raise ValueError("negative buffersize in recv")
        piece = self._in_clear[:size]
        if not flags & socket.MSG_PEEK:
            self._in_clear = self._in_clear[size:]
        return piece

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
        if flags:
            self._refuse_flags("send")
        if not self._shaken and self.connection.handshaking:
            self.do_handshake()
        view = memoryview(data).cast("B")
        patience = Patience(self.gettimeout(), "write")
        owed = self._owed
        if owed and view[: len(owed)] != owed:
            raise bad_write_retry()
        if owed or self._open_channel().unsent:
            self._flush(patience)
        if owed:
            # The last call sealed this much of its data and could not send it: now it is sent.
            self._owed = b""
            return len(owed)
        piece = view[:_PIECE]
        try:
            self._flush(patience, piece)
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
        if flags:
            self._refuse_flags("sendall")
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

    def _flush(self, patience: Patience, data: memoryview = _NOTHING) -> None:
        """Seal `data`, and send it behind what waits already."""
        channel = self._open_channel()
        try:
            channel.flush(patience, data)
        except (BrokenPipeError, ConnectionResetError):
            self._raise_last_alert(channel)
            raise

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise OSError(errno.ENOTCONN, "not connected by TLS")
        return self._channel

    def _patience(self, what: str) -> Patience:
        return Patience(self.gettimeout(), what)

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
        patience, channel = self._patience("unwrap"), self._open_channel()
        with self._receiving:
            with channel.state:
                connection.close()
            self._flush(patience)
            while not connection.peer_closed and not self._plaintext:
                self._receive_some(patience)
            if connection.failure is not None:
                raise self._told(connection.failure)
            if self._plaintext:
                raise data_after_close()
            self._in_clear = connection.take_unread() + channel.take_ahead()
            self._forget()
            self._unwrapped = True
        return self

    def shutdown(self, how: int) -> None:
        """Shut down one direction or both, as for sockets; the peer is told by close_notify when it is the sending."""
        if self._channel is not None and how != socket.SHUT_RD:
            self._channel.say_goodbye()
        socket.socket.shutdown(self, how)

    def detach(self) -> int:
        """Give the file descriptor away; the connection is lost.

        Raises:
            ValueError: `recv` has not taken yet what the peer sent in the clear, behind its close_notify.
        """
        if self._in_clear:
            raise ValueError("what the peer has sent in the clear was not read, and would be lost")
        self._forget()
        return socket.socket.detach(self)

    def _real_close(self) -> None:
        channel = getattr(self, "_channel", None)  # It may not even be made.
        if channel is not None:
            channel.end()
        socket.socket._real_close(self)  # type: ignore[attr-defined]  # typeshed does not know it

    def verify_client_post_handshake(self) -> None:
        """On a server: ask the client for a certificate, which needs `ServerConfig(post_handshake_auth=...)`.

        `recv` takes the answer.

        Raises:
            ssl.SSLError: this side or the client has not agreed to it, or it is TLS 1.2.
        """
        connection = self._check_certificate_request()
        try:
            with self._open_channel().state:
                connection.request_client_certificate()
        except TLSError as error:
            raise as_ssl_error(error) from error
        self._flush(self._patience("write"))

    def _refuse_flags(self, what: str) -> NoReturn:
        raise ValueError(f"non-zero flags not allowed in calls to {what}() on {type(self).__name__}")

    def __repr__(self) -> str:
        connection = self._connection
        state = "not connected" if connection is None else "handshaking" if connection.handshaking else self.version()
        return f"<trustls.stdlib.SSLSocket {'server' if self.server_side else 'client'}, fd={self.fileno()}, {state}>"
