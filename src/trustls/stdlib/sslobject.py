"""SSLObject: a connection between two `ssl.MemoryBIO`, for event loops (what `SSLContext.wrap_bio` gives)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from trustls.connection import Connection, ServerConnection
from trustls.errors import AsyncRequired, ConfigError, TLSError
from trustls.stdlib.described import Described
from trustls.stdlib.errors import as_ssl_error, data_after_close, want_read

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trustls.stdlib.context import SSLContext
    from trustls.stdlib.sessions import SSLSession

_NOTHING = memoryview(b"")
# How much data may come between this side's close_notify and the peer's.
_MAX_LATE_DATA = 1 << 20


class SSLObject(Described, ssl.SSLObject):
    """A connection without a socket: bytes come from one BIO and go to the other. Made by `SSLContext.wrap_bio`.

    Every method that finds too few bytes raises `ssl.SSLWantReadError`, and is called again when there are more. What
    is to be sent waits in the outgoing BIO, after an error as well: the alert that tells the peer.
    """

    def __init__(
        self,
        context: SSLContext,
        connection: Connection,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_hostname: str | None,
        session: SSLSession | None,
    ) -> None:
        self._connection = connection
        self._context = context
        self._incoming = incoming
        self._outgoing = outgoing
        self._server_hostname = server_hostname
        self._session = session
        self._plaintext = _NOTHING
        self._closing = False

    def do_handshake(self) -> None:
        """Go on with the handshake, as far as the bytes that are there allow.

        Raises:
            ssl.SSLWantReadError: more bytes are needed; or, on a server, the alert that waits is to be sent first.
            ssl.SSLError: it failed; a TLSError too.
        """
        self._flush()
        while self.connection.handshaking:
            try:
                self._take_more()
            except ssl.SSLWantReadError:
                raise
            except ssl.SSLError:
                if self.server_side and self._outgoing.pending and not self._incoming.eof:
                    # Event loops drop what waits when this raises, and the client would not be told why it is refused.
                    # They send it when more is wanted. The next call raises, and there is one: the client hangs up.
                    raise want_read() from None
                raise
        if self.connection.failure is not None:
            raise self._told(self.connection.failure)

    def read(self, len: int | None = 1024, buffer: Any = None) -> Any:  # noqa: A002 (the name is ssl's)
        """Up to `len` bytes of data; or up to `len` of them into `buffer`, and how many. b"" or 0 at the end.

        Raises:
            ssl.SSLWantReadError: no data is there.
            ssl.SSLEOFError: the incoming BIO ended without a close_notify.
            ssl.SSLError: the connection failed.
        """
        view = None if buffer is None else memoryview(buffer).cast("B")
        size = 1024 if len is None else len
        if view is not None:
            # As ssl has it: nothing and less stand for all that the buffer takes.
            size = view.nbytes if size <= 0 else min(size, view.nbytes)
        elif size < 0:
            raise ValueError("size should not be negative")
        if self.connection.handshaking:
            self.do_handshake()
        while size and not self._plaintext and not self.connection.peer_closed:
            self._take_more()
        piece = self._take_plaintext(size)
        if view is None:
            return bytes(piece)
        found = memoryview(piece)
        view[: found.nbytes] = found
        return found.nbytes

    def write(self, data: Buffer) -> int:
        """Seal data, all of it, into the outgoing BIO; how many bytes those were.

        Raises:
            ssl.SSLWantReadError: the handshake is not done.
            ssl.SSLError: the connection failed, or was closed by `unwrap`.
        """
        if self.connection.handshaking:
            self.do_handshake()
        view = memoryview(data).cast("B")
        try:
            self.connection.send(view)
        except TLSError as error:
            raise as_ssl_error(error) from error
        finally:
            self._flush()
        return view.nbytes

    def unwrap(self) -> None:
        """Send close_notify, and wait for the peer's. What came behind that is left in the incoming BIO.

        Data that the peer sends until it has heard of the end can be read afterwards. (`ssl` fails on it, and the
        `wait_closed` of event loops with it.)

        Raises:
            ssl.SSLWantReadError: the peer's close_notify is not there yet.
            ssl.SSLError: there is data that was not read, or too much came since; or the connection failed.
        """
        allowed = _MAX_LATE_DATA if self._closing else 0
        self._closing = True
        self.connection.close()
        self._flush()
        while not self.connection.peer_closed:
            if self._plaintext.nbytes > allowed:
                raise data_after_close()
            late, self._plaintext = self._plaintext, _NOTHING
            try:
                self._take_more()
            finally:
                self._plaintext = memoryview(bytes(late) + self._plaintext) if late else self._plaintext
        if self.connection.failure is not None:
            raise self._told(self.connection.failure)
        # Nothing can be put into a BIO after its end: the connection's `take_unread` still gives it then.
        left = b"" if self._incoming.eof else self.connection.take_unread()
        if left:
            self._incoming.write(left + self._incoming.read())

    def verify_client_post_handshake(self) -> None:
        """On a server: ask the client for a certificate, which needs `ServerConfig(post_handshake_auth=...)`.

        Raises:
            ssl.SSLError: this side or the client has not agreed to it, or it is TLS 1.2.
        """
        connection = self._check_certificate_request()
        try:
            connection.request_client_certificate()
        except TLSError as error:
            raise as_ssl_error(error) from error
        self._flush()

    def _take_more(self) -> None:
        """Take what is in the incoming BIO."""
        connection = self.connection
        if connection.failure is not None:
            raise self._told(connection.failure)
        data = self._incoming.read()
        try:
            if data:
                self._plaintext = memoryview(connection.receive(data))
                check_possible(connection)
            elif self._incoming.eof:
                connection.receive_eof()
            else:
                raise want_read()
        except TLSError as error:
            raise self._told(error) from error
        finally:
            self._keep_session()  # Here too, or the next connection of this thread would take it for its own.
            self._flush()

    def _flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            self._outgoing.write(data)

    def __repr__(self) -> str:
        state = "handshaking" if self.connection.handshaking else self.version()
        return f"<trustls.stdlib.SSLObject {'server' if self.server_side else 'client'}, {state}>"


def check_possible(connection: Connection) -> None:
    """End a connection that needs what `ssl` has no way for, after each `receive`.

    Raises:
        AsyncRequired: something is asynchronous.
        ConfigError: a server whose configuration was chosen late (`choose_config`) has taken early data.
    """
    if connection.pending_work is not None:
        error: TLSError = AsyncRequired(f"to {connection.pending_work} is asynchronous here: use trustls.aio")
    elif isinstance(connection, ServerConnection) and connection.read_early():
        error = ConfigError("the configuration that was chosen takes early data, which `ssl` has no way to give")
    else:
        return
    connection.abort(error)
    raise error
