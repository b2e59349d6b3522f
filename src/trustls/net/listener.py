"""A listening socket whose clients are TLSSockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Self

from trustls.config import ServerConfig
from trustls.connection import ServerConnection
from trustls.errors import ConnectionClosed
from trustls.net.sockets import Address, TLSSocket


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
