"""The TLS transport: what the protocol of the application writes to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from trustls.connection import Data, ServerConnection
from trustls.errors import ConfigError, TLSError
from trustls.trust.verifiers import Peer

if TYPE_CHECKING:
    from trustls.net.aio.protocol import TLSProtocol

# What is sealed and written at one time.
_PIECE: Final = 1 << 16


class TLSTransport(asyncio.Transport):
    """What the application's protocol writes to. `loop.sendfile` does not know it: see `trustls.aio.sendfile`."""

    __slots__ = ("__weakref__", "_connection", "_protocol", "_raw")

    def __init__(self, protocol: TLSProtocol, raw: asyncio.Transport) -> None:
        super().__init__()
        self._protocol = protocol
        self._connection = protocol.connection
        self._raw = raw

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`tls_connection` is the Connection; anything else is the raw transport's (`peername`, `socket`, ...)."""
        if name == "tls_connection":
            return self._connection
        return self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the data to another protocol from now on."""
        self._protocol.set_application_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that gets the data."""
        return self._protocol.application_protocol

    def is_closing(self) -> bool:
        """Whether `close` was called, or the connection has ended."""
        return self._protocol.closing or self._raw.is_closing()

    # -- Reading ------------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Whether data is being delivered."""
        return self._protocol.is_reading and not self._raw.is_closing()

    def pause_reading(self) -> None:
        """Deliver nothing more, stop reading from the network, and so slow the peer down.

        What has been decrypted already is kept for `resume_reading`: at most what one read of the network held.
        """
        self._protocol.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._protocol.resume_reading()

    # -- Writing ------------------------------------------------------------------------------------------------------

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The marks between which the protocol's `pause_writing` and `resume_writing` are called."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """How many bytes, encrypted, wait for the network."""
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The marks, low and high."""
        return self._raw.get_write_buffer_limits()

    def write(self, data: Data) -> None:
        """Send data. Errors of the connection come with `connection_lost`, as with every transport.

        Raises:
            ConnectionClosed: `write_eof` was called.
        """
        connection = self._connection
        if self._protocol.closing:
            return
        try:
            if type(data) is bytes and len(data) <= _PIECE:
                # Most writes, with as few calls as may be.
                connection.send(data)
                sealed = connection.data_to_send()
                if not self._raw.is_closing():
                    self._raw.write(sealed)
                return
            view = memoryview(data).cast("B")
            for start in range(0, len(view), _PIECE):
                connection.send(view[start : start + _PIECE])
                self._protocol.flush()
        except TLSError:
            if connection.failure is None:
                raise

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        """Send several pieces of data. Small ones share records, large ones are not copied for it."""
        small: list[Data] = []
        size = 0
        for data in list_of_data:
            length = data.nbytes if isinstance(data, memoryview) else len(data)
            if small and size + length > _PIECE:
                self.write(b"".join(small))
                small, size = [], 0
            if length > _PIECE:
                self.write(data)
            else:
                small.append(data)
                size += length
        if small:
            self.write(b"".join(small))

    async def drain(self) -> None:
        """Wait until the network takes more, or the connection is lost; for who writes without a StreamWriter."""
        await self._protocol.drain()

    def can_write_eof(self) -> bool:
        """Yes: TLS 1.3 can be closed for one direction."""
        return True

    def write_eof(self) -> None:
        """Send close_notify; the peer may still send."""
        self._connection.close()
        self._protocol.flush()

    def request_client_certificate(self) -> None:
        """On a server: ask the client for a certificate now; `wait_for_client_certificate` waits for the answer.

        See `ServerConnection.request_client_certificate`, also for what it raises.

        Raises:
            ConfigError: this is a client.
        """
        if not isinstance(self._connection, ServerConnection):
            raise ConfigError("a client cannot ask for a client certificate")
        self._connection.request_client_certificate()
        self._protocol.flush()

    async def wait_for_client_certificate(self) -> Peer | None:
        """On a server: wait until the client has answered that; who it is then, as the connection's `peer`.

        Data that comes before the answer goes to the protocol meanwhile. While that has paused reading, no answer comes
        either: a StreamReader does so when much has come that nobody reads.

        Raises:
            TLSError: the answer is not accepted, or the connection failed otherwise. ConnectionClosed: the client has
                closed its side, or the transport is closed or lost. ConfigError: this is a client.
        """
        await self._protocol.answered()
        return self._connection.peer

    # -- The end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what waits and close_notify, then close; what comes meanwhile is thrown away."""
        self._protocol.close()

    def abort(self) -> None:
        """Close at once, without close_notify."""
        self._raw.abort()

    def __repr__(self) -> str:
        state = "closing" if self.is_closing() else "open"
        return f"<TLSTransport {state}, {type(self._connection).__name__} over {type(self._raw).__name__}>"
