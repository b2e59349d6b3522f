"""ConnectingSocket: how an SSLSocket comes to be, from a socket that is connected, is to be, or listens."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final, Self

from trustls.errors import Misbehaviour, PeerMisbehaved
from trustls.stdlib.channel import Channel
from trustls.stdlib.described import Described
from trustls.stdlib.errors import as_ssl_error

if TYPE_CHECKING:
    from trustls.stdlib.context import SSLContext
    from trustls.stdlib.sessions import SSLSession

_NOTHING: Final = memoryview(b"")
# What connect_ex gives on a socket that does not wait.
_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


class ConnectingSocket(Described, ssl.SSLSocket):  # type: ignore[override]  # ssl's can set what Described only tells
    """What an SSLSocket is before any data goes over it. `_begin` makes its connection, and the channel below it."""

    _channel: Channel | None  # As long as there is a connection.
    _owed: bytes
    _in_clear: bytes
    _unwrapped: bool
    _receiving: threading.RLock
    _shaken: bool  # Whether the handshake is known to be over.
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
        if isinstance(sock, ConnectingSocket) and sock._in_clear:
            raise ValueError("the peer has sent bytes in the clear, which were not read")
        context.check_roles(server_side=server_side, server_hostname=server_hostname, session=session)
        timeout = sock.gettimeout()
        self = cls.__new__(cls)
        socket.socket.__init__(self, family=sock.family, type=sock.type, proto=sock.proto, fileno=sock.fileno())
        sock.detach()
        self.settimeout(timeout)
        self._context = context
        self._server_hostname = server_hostname
        self._session = session
        self.do_handshake_on_connect = do_handshake_on_connect
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self._channel = None
        self._plaintext = _NOTHING
        self._owed = b""
        self._in_clear = b""
        self._unwrapped = False
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
        timeout = self.gettimeout()
        self.settimeout(0)
        try:
            found = socket.socket.recv(self, 1)
        except OSError:
            return
        finally:
            self.settimeout(timeout)
        if found:
            raise as_ssl_error(PeerMisbehaved(Misbehaviour.NOT_TLS, "data came before the handshake, and then the end"))

    def _begin(self) -> None:
        self._connection = self._context.connection(self._server_hostname, self._session)
        self._shaken = False
        self._channel = Channel(self, self._connection)

    def _forget(self) -> None:
        """There is no connection any more, or none yet."""
        if self._channel is not None:
            self._channel.let_go()
        self._channel = self._connection = None

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
            self._forget()
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
