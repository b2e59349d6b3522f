"""asyncio: a TLS protocol and transport pair on BufferedProtocol, and streams on top of it.

The application's protocol sees an ordinary transport once the handshake is done. Reads land in a shared buffer, so that
an idle connection holds none; verifiers, signers and choosers that are asynchronous are awaited; back-pressure passes
through in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Final, cast

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, Data, ServerConnection
from trustls.errors import ConfigError, HandshakeTimeout, TLSError, UnexpectedEOF
from trustls.identity.signer import Signer, public_key_of
from trustls.protocol.buffers import BUFFERS
from trustls.wire.enums import SignatureScheme

HANDSHAKE_TIMEOUT: Final = 60.0
SHUTDOWN_TIMEOUT: Final = 5.0
# Seconds that a peer has to take the alert of a failure.
_LAST_WORDS: Final = 1.0
_STREAM_LIMIT: Final = 1 << 16
_PIECE: Final = 1 << 16
# One write of the transport: what is sealed of 64 KiB is a little longer, and should not be cut.
_WRITE_SIZE: Final = 1 << 17

_ENDING: Final[set[asyncio.Task[None]]] = set()

_logger = logging.getLogger("trustls.aio")

ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
HandshakeFailed = Callable[[TLSError, Connection], None]


class TLSTransport(asyncio.Transport):
    """What the application's protocol writes to."""

    def __init__(self, protocol: TLSProtocol, raw: asyncio.Transport) -> None:
        super().__init__()
        self._protocol = protocol
        self._raw = raw

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`tls_connection` is the Connection; anything else is the raw transport's (`peername`, `socket`, ...)."""
        if name == "tls_connection":
            return self._protocol.connection
        return self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the data to another protocol from now on."""
        self._protocol.set_application_protocol(cast("asyncio.Protocol", protocol))

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that gets the data."""
        return self._protocol.application_protocol

    def is_closing(self) -> bool:
        """Whether `close` was called, or the connection has ended."""
        return self._protocol.closing or self._raw.is_closing()

    def is_reading(self) -> bool:
        """Whether data is being delivered."""
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        """Stop reading from the network, and so slow the peer down."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._protocol.resume_reading()

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
        """Send data. Errors of the connection come with `connection_lost`, as with every transport."""
        self._protocol.write(data)

    def can_write_eof(self) -> bool:
        """Yes: TLS 1.3 can be closed for one direction."""
        return True

    def write_eof(self) -> None:
        """Send close_notify; the peer may still send."""
        self._protocol.close_write()

    def request_client_certificate(self) -> None:
        """On a server: ask the client for a certificate now. Its answer is seen in the connection's `peer`.

        See `ServerConnection.request_client_certificate`, also for what it raises.

        Raises:
            ConfigError: this is a client.
        """
        self._protocol.request_client_certificate()

    def close(self) -> None:
        """Send what waits and close_notify, then close; what comes meanwhile is thrown away."""
        self._protocol.close()

    def abort(self) -> None:
        """Close at once, without close_notify."""
        self._raw.abort()


class SignerInThread:
    """A signer that blocks (an HSM, a smart card, the client of a key service), signing in a thread for an event loop.

    Args:
        signer: the signer, which must be safe to call from any thread.
        executor: has the threads; the loop's own are taken without it.

    Raises:
        ConfigError: the signer is asynchronous itself.
    """

    def __init__(self, signer: Signer, executor: Executor | None = None) -> None:
        if inspect.iscoroutinefunction(signer.sign):
            raise ConfigError(f"{type(signer).__name__} is asynchronous already, and needs no thread")
        self.signer = signer
        self._executor = executor
        self._sign: Callable[[SignatureScheme, bytes], bytes] = cast("Any", signer.sign)

    @property
    def schemes(self) -> tuple[SignatureScheme, ...]:
        """The signer's schemes."""
        return self.signer.schemes

    @property
    def schemes_tls12(self) -> tuple[SignatureScheme, ...]:
        """The signer's schemes for TLS 1.2."""
        return tuple(getattr(self.signer, "schemes_tls12", self.signer.schemes))

    @property
    def public_key(self) -> Any:
        """The public key that the signer shows, if it shows one."""
        return public_key_of(self.signer)

    async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature of `message`."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._sign, scheme, message)


class TLSProtocol(asyncio.BufferedProtocol):
    """Sits between a raw transport and the application's protocol.

    Args:
        connection: a fresh ClientConnection or ServerConnection.
        application_protocol: its `connection_made` is called once the handshake is done.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that `close` waits for the peer to take more of what was sent, or to close its side.
        on_failure: told of a handshake that fails.
    """

    def __init__(
        self,
        connection: Connection,
        application_protocol: asyncio.Protocol,
        *,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        on_failure: HandshakeFailed | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.connection = connection
        self.application_protocol = application_protocol
        self.closing = False
        self.handshake_done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._raw: asyncio.Transport | None = None
        self._transport: TLSTransport | None = None
        self._buffer: bytearray | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        self._on_failure = on_failure
        self._eof_delivered = False
        self._ended = False

    def set_application_protocol(self, protocol: asyncio.Protocol) -> None:
        """Hand the data to `protocol` from now on."""
        self.application_protocol = protocol

    # -- What the raw transport calls ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection stands: the handshake begins."""
        self._raw = cast("asyncio.Transport", transport)
        self._timer = self._loop.call_later(self._handshake_timeout, self._handshake_timed_out)
        self._flush()
        self._go_on()

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 (the size of the buffer is fixed)
        """Where the next read lands. The buffer is borrowed from that call to `buffer_updated` only."""
        if self._buffer is None:
            self._buffer = BUFFERS.take()
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The read has landed."""
        buffer = self._buffer
        if buffer is None:
            return
        self._buffer = None
        if not self._ended:
            self._receive(memoryview(buffer)[:nbytes])
        BUFFERS.give_back(buffer)

    def eof_received(self) -> bool:
        """The peer has ended the TCP stream."""
        self._give_buffer_back()  # It was taken for the read that found the end.
        with contextlib.suppress(TLSError):
            self.connection.receive_eof()
        if self.connection.failure is not None:
            self._failed(self.connection.failure)
            return False
        return not self.closing

    def pause_writing(self) -> None:
        """The raw transport's buffer is full."""
        if self._transport is not None:
            self.application_protocol.pause_writing()

    def resume_writing(self) -> None:
        """The raw transport's buffer has room."""
        if self._transport is not None:
            self.application_protocol.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """The TCP connection is gone."""
        self._cancel_timer()
        self._cancel_settling()
        self._give_buffer_back()
        failure: Exception | None = self.connection.failure or error
        if failure is None and not self.connection.peer_closed and not self.closing:
            with contextlib.suppress(TLSError):
                self.connection.receive_eof()
            failure = self.connection.failure
        if self._transport is not None:
            self.application_protocol.connection_lost(failure)
        elif not self.handshake_done.done():
            lost = self.connection.failure
            if lost is None:
                lost = UnexpectedEOF(f"the transport was lost during the handshake: {error}")
                lost.__cause__ = error
                self.connection.abort(lost)
            self._handshake_failed(lost)

    # -- What the TLS transport calls ---------------------------------------------------------------------------------

    def write(self, data: Data) -> None:
        """Seal data and send it."""
        if self.closing or self.connection.failure is not None:
            return
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self.connection.send(view[start : start + _PIECE])
            self._flush()

    def request_client_certificate(self) -> None:
        """Ask the client for a certificate now."""
        if not isinstance(self.connection, ServerConnection):
            raise ConfigError("a client cannot ask for a client certificate")
        self.connection.request_client_certificate()
        self._flush()

    def close_write(self) -> None:
        """Half-close."""
        self.connection.close()
        self._flush()

    def resume_reading(self) -> None:
        """Read on, unless the handshake waits for an answer of the application's."""
        if self._raw is not None and self._settling is None:
            self._raw.resume_reading()

    def close(self) -> None:
        """Close gracefully: our close_notify, then the peer's, or a timeout."""
        if self.closing or self._raw is None:
            return
        self.closing = True
        self.connection.close()
        self._flush()
        if self.connection.peer_closed or self.connection.failure is not None or self._raw.is_closing():
            self._close_raw(self._raw)
            return
        # Closing over unread data would reset the connection, and what was sent with it.
        with contextlib.suppress(OSError, NotImplementedError, RuntimeError):
            self._raw.write_eof()
        with contextlib.suppress(RuntimeError):
            self._raw.resume_reading()
        self._give_time(self._raw, self._raw.get_write_buffer_size())

    def _close_raw(self, raw: asyncio.Transport) -> None:
        """Close the raw transport, which waits for a peer that does not read: not for ever."""
        raw.close()
        unsent = raw.get_write_buffer_size()
        if unsent:
            self._cancel_timer()
            self._give_time(raw, unsent)

    def _give_time(self, raw: asyncio.Transport, unsent: int) -> None:
        """Abort when for a whole shutdown timeout neither anything went out nor the peer closed."""

        def look_again() -> None:
            left = raw.get_write_buffer_size()
            if left < unsent:
                self._give_time(raw, left)
            else:
                raw.abort()

        self._timer = self._loop.call_later(self._shutdown_timeout, look_again)

    # -- Inside -------------------------------------------------------------------------------------------------------

    def _receive(self, data: Data) -> None:
        try:
            plaintext = self.connection.receive(data)
        except TLSError as error:
            self._flush()
            self._failed(error)
            return
        self._flush()
        self._go_on()
        if plaintext and not self.closing:
            self.application_protocol.data_received(plaintext)
        if self.connection.failure is not None:
            self._failed(self.connection.failure)
        elif self.connection.peer_closed:
            self._peer_closed()

    def _go_on(self) -> None:
        """See how far the handshake is: waiting for the application, or done."""
        if self.connection.pending_work is not None and self._settling is None and self._raw is not None:
            self._raw.pause_reading()
            self._settling = self._loop.create_task(self._settle())
        elif self._transport is None and self._raw is not None and not self.connection.handshaking:
            self._cancel_timer()
            if self.connection.failure is None:
                self._transport = TLSTransport(self, self._raw)
                self.application_protocol.connection_made(self._transport)
                if not self.handshake_done.done():
                    self.handshake_done.set_result(None)

    async def _settle(self) -> None:
        await self.connection.settle()
        self._settling = None
        if self._raw is not None and not self._raw.is_closing():
            self._raw.resume_reading()
            self._receive(b"")

    def _peer_closed(self) -> None:
        if self.closing and self._raw is not None:
            self._raw.close()  # The timer that `close` set goes on.
        elif not self._eof_delivered and self._transport is not None:
            self._eof_delivered = True
            if not self.application_protocol.eof_received():
                self.close()

    def _failed(self, error: TLSError) -> None:
        """The end, once: what the peer still sends changes nothing, and keeps nothing open."""
        if self._ended:
            return
        self._ended = True
        self._cancel_timer()
        self._cancel_settling()
        handshaking = self._transport is None
        if handshaking and not self.handshake_done.done():
            self._handshake_failed(error)
        raw = self._raw
        if raw is None or raw.is_closing():
            return
        soon = min(self._shutdown_timeout, _LAST_WORDS)
        if error.alert is not None:
            # Let the peer read our alert: closing over unread data would reset the connection, alert and all.
            with contextlib.suppress(OSError, NotImplementedError, RuntimeError):
                raw.write_eof()
            self._timer = self._loop.call_later(soon, self._end, raw)
        elif handshaking:
            raw.close()
            self._timer = self._loop.call_later(soon, raw.abort)
        else:
            self._close_raw(raw)

    def _end(self, raw: asyncio.Transport) -> None:
        """Close at once: whoever has not read by now does not read."""
        if raw.get_write_buffer_size():
            raw.abort()
        else:
            raw.close()

    def _give_buffer_back(self) -> None:
        if self._buffer is not None:
            BUFFERS.give_back(self._buffer)
            self._buffer = None

    def _cancel_settling(self) -> None:
        """Cancel what the application is still asked for, once: its clean-up may take a while."""
        if self._settling is not None:
            task, self._settling = self._settling, None
            _ENDING.add(task)  # asyncio itself keeps no task alive.
            task.add_done_callback(_ENDING.discard)
            task.cancel()

    def _handshake_failed(self, error: TLSError) -> None:
        self.handshake_done.set_exception(error)
        self.handshake_done.exception()  # A server has nobody who would look at it: `on_failure` is told.
        if self._on_failure is not None:
            self._on_failure(error, self.connection)

    def _handshake_timed_out(self) -> None:
        error = HandshakeTimeout(f"the handshake was not finished within {self._handshake_timeout:g} s")
        self.connection.abort(error)
        self._flush()
        self._failed(error)

    def _flush(self) -> None:
        raw = self._raw
        if raw is None:
            return
        while data := self.connection.data_to_send(_WRITE_SIZE):
            if not raw.is_closing():
                raw.write(data)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def open_connection(
    host: str,
    port: int,
    config: ClientConfig,
    *,
    server_name: str | None = None,
    limit: int = _STREAM_LIMIT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    early_data: bytes = b"",
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    **options: Any,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, finish the handshake, and give the streams, as `asyncio.open_connection` does.

    The Connection is `writer.get_extra_info("tls_connection")`.

    Args:
        host: name or address to connect to.
        port: its port.
        config: whom to trust, and the certificates to choose from.
        server_name: the name that the server's certificate must be valid for, when it is not `host`.
        limit: the reader's buffer limit in bytes.
        handshake_timeout: seconds for the whole handshake.
        early_data: as in `trustls.connect`.
        shutdown_timeout: seconds that closing waits while nothing moves.
        options: for `loop.create_connection` (`local_addr`, `sock`, `happy_eyeballs_delay`, ...).

    Raises:
        TLSError: the handshake failed. OSError: the connection could not be made.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    application_protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    connection = ClientConnection(config, server_name or host)
    connection.offer_early(early_data)
    protocol = TLSProtocol(
        connection, application_protocol, handshake_timeout=handshake_timeout, shutdown_timeout=shutdown_timeout
    )
    if options.get("sock") is not None:
        raw, _ = await loop.create_connection(lambda: protocol, **options)
    else:
        raw, _ = await loop.create_connection(lambda: protocol, host, port, **options)
    try:
        await protocol.handshake_done
    except asyncio.CancelledError:
        raw.abort()
        raise
    transport = TLSTransport(protocol, raw)
    return reader, asyncio.StreamWriter(transport, application_protocol, reader, loop)


async def start_server(
    client_connected: ClientConnected,
    host: str | None,
    port: int | None,
    config: ServerConfig,
    *,
    limit: int = _STREAM_LIMIT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    handshake_failed: HandshakeFailed | None = None,
    **options: Any,
) -> asyncio.Server:
    """Listen, and call `client_connected(reader, writer)` for each client whose handshake is done.

    As `asyncio.start_server` does: `client_connected` may be a plain function or a coroutine function. The Connection
    is `writer.get_extra_info("tls_connection")`.

    Args:
        client_connected: serves one client.
        host: name or address to listen on; None for all.
        port: the port, 0 for any free one.
        config: for every connection.
        limit: the readers' buffer limit in bytes.
        handshake_timeout: seconds that a client may take for the whole handshake.
        shutdown_timeout: seconds that closing waits while nothing moves.
        handshake_failed: told of each handshake that fails, with the reason; without it they are only logged
            (`trustls.aio`, level INFO).
        options: for `loop.create_server` (`backlog`, `reuse_port`, `sock`, `start_serving`, ...).

    Raises:
        OSError: the address cannot be had.
    """
    loop = asyncio.get_running_loop()

    def make_protocol() -> TLSProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        application_protocol = asyncio.StreamReaderProtocol(reader, cast("Any", client_connected), loop=loop)
        return TLSProtocol(
            ServerConnection(config),
            application_protocol,
            handshake_timeout=handshake_timeout,
            shutdown_timeout=shutdown_timeout,
            on_failure=handshake_failed or _log_failure,
        )

    return await loop.create_server(make_protocol, host, port, **options)


def _log_failure(error: TLSError, _connection: Connection) -> None:
    _logger.info("handshake failed: %s: %s", type(error).__name__, error)
