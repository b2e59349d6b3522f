"""The TLS protocol: between a raw transport and the protocol of the application.

The application's protocol sees an ordinary transport once the handshake is done. Reads land in a shared buffer, so that
an idle connection holds none; verifiers, signers and choosers that are asynchronous are awaited; back-pressure passes
through in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final, cast

from trustls.connection import Connection, Data
from trustls.errors import ConnectionClosed, HandshakeTimeout, TLSError, UnexpectedEOF
from trustls.net.aio.transport import TLSTransport
from trustls.net.common import answer_is_awaited, peer_named
from trustls.protocol.buffers import BUFFERS, FULL_RECORD

HANDSHAKE_TIMEOUT: Final = 60.0
SHUTDOWN_TIMEOUT: Final = 5.0
# Seconds that a peer has to take the alert of a failure.
LAST_WORDS: Final = 1.0
# One read. Whole records of a peer that fills them: what is cut is copied once more (5 to 10 % of a bulk transfer).
_READ_SIZE: Final = 7 * FULL_RECORD

_logger = logging.getLogger("trustls.aio")

_ENDING: Final[set[asyncio.Task[None]]] = set()

HandshakeFailed = Callable[[TLSError, Connection], None]


class TLSProtocol(asyncio.BufferedProtocol):
    """Sits between a raw transport and the application's protocol.

    Args:
        connection: a fresh ClientConnection or ServerConnection.
        application_protocol: its `connection_made` is called once the handshake is done. It may be a BufferedProtocol.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that `close` waits for the peer to take more of what was sent, or to close its side.
        on_failure: told of a handshake that fails; without it, a server logs that.
        on_lost: told of the end of the raw transport, after the application's protocol.
        announce: whether `connection_made` is called; not for a protocol that had a transport before, by `start_tls`.
    """

    __slots__ = (
        "__weakref__",
        "_announce",
        "_buffer",
        "_buffered",
        "_ended",
        "_eof",
        "_eof_held",
        "_fault",
        "_handshake_timeout",
        "_held",
        "_loop",
        "_news",
        "_on_failure",
        "_on_lost",
        "_raw",
        "_reading_paused",
        "_room",
        "_settling",
        "_shutdown_timeout",
        "_timer",
        "_transport",
        "_writing_paused",
        "application_protocol",
        "closing",
        "connection",
        "handshake_done",
    )

    def __init__(
        self,
        connection: Connection,
        application_protocol: asyncio.BaseProtocol,
        *,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        on_failure: HandshakeFailed | None = None,
        on_lost: Callable[[Exception | None], None] | None = None,
        announce: bool = True,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.connection = connection
        self.set_application_protocol(application_protocol)
        self.closing = False
        self.handshake_done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._raw: asyncio.Transport | None = None
        self._transport: TLSTransport | None = None
        self._buffer: bytearray | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._news: asyncio.Event | None = None
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        self._on_failure = on_failure
        self._on_lost = on_lost
        self._announce = announce
        self._reading_paused = False  # By the application.
        self._writing_paused = False
        self._held = b""  # Data for an application that has paused reading.
        self._eof = False  # The peer's close_notify has come.
        self._eof_held = False  # The application has paused, and is yet to be told.
        self._fault: Exception | None = None
        self._ended = False

    @property
    def transport(self) -> TLSTransport | None:
        """The application's transport; None before the handshake is done."""
        return self._transport

    @property
    def is_reading(self) -> bool:
        """Whether the application is being given data."""
        return not self._reading_paused and not self.closing

    def set_application_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the data to `protocol` from now on."""
        self.application_protocol = cast("asyncio.Protocol", protocol)
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    # -- What the raw transport calls ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection stands: the handshake begins."""
        self._raw = cast("asyncio.Transport", transport)
        self._timer = self._loop.call_later(self._handshake_timeout, self._handshake_timed_out)
        self.flush()
        self._go_on()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (the size of the buffer is fixed)
        """Where the next read lands. The buffer is borrowed from that call to `buffer_updated` only."""
        if self._buffer is None:
            self._buffer = BUFFERS.take()
        return memoryview(self._buffer)[:_READ_SIZE]

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
        self._writing_paused = True
        if self._transport is not None:
            self.application_protocol.pause_writing()

    def resume_writing(self) -> None:
        """The raw transport's buffer has room."""
        self._writing_paused = False
        self._make_room()
        if self._transport is not None:
            self.application_protocol.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """The TCP connection is gone."""
        self.closing = self.closing or self.connection.peer_closed
        self._cancel_timer()
        self._cancel_settling()
        self._give_buffer_back()
        self._held = b""
        failure: Exception | None = self.connection.failure or error or self._fault
        if failure is None and not self.closing:
            with contextlib.suppress(TLSError):
                self.connection.receive_eof()
            failure = self.connection.failure
        self.closing = True
        self._fault = failure
        self._make_room()
        self._tell_news()
        if self._transport is not None:
            self.application_protocol.connection_lost(failure)
            _need_not_be_asked(self.application_protocol)
        elif not self.handshake_done.done():
            lost = self.connection.failure
            if lost is None:
                lost = UnexpectedEOF(f"the transport was lost during the handshake: {error}")
                lost.__cause__ = error
                self.connection.abort(lost)
            failure = lost
            self._handshake_failed(lost)
        if self._on_lost is not None:
            on_lost, self._on_lost = self._on_lost, None
            on_lost(failure)

    # -- What the TLS transport calls ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what the connection has for the network."""
        # All at once: it is asked for after each 64 KiB of data, so that little more than that ever waits.
        data = self.connection.data_to_send()
        if data and self._raw is not None and not self._raw.is_closing():
            self._raw.write(data)

    async def drain(self) -> None:
        """Wait until the raw transport takes more, or is lost."""
        while self._writing_paused and not self.closing:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()

    async def answered(self) -> None:
        """Wait until the client has answered a request for its certificate; raises as `answer_is_awaited` does."""
        while answer_is_awaited(self.connection):
            if self.closing:
                raise ConnectionClosed("the connection was closed before the client had answered") from self._fault
            if self._news is None:
                self._news = asyncio.Event()
            await self._news.wait()

    def pause_reading(self) -> None:
        """Give the application nothing, neither data nor the end, until `resume_reading`; and read nothing."""
        if self._raw is None or self.closing:
            return
        self._reading_paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read on; first comes what was decrypted before the pause, though not before this call has returned."""
        if not self._reading_paused:
            return
        self._reading_paused = False
        if self._held or self._eof_held:
            self._loop.call_soon(self._guarded, self._deliver_held)
        else:
            self._read_on()

    def close(self) -> None:
        """Close gracefully: our close_notify, then the peer's, or a timeout."""
        if self.closing or self._raw is None:
            return
        self.closing = True
        self._held = b""
        self._tell_news()
        self.connection.close()
        self.flush()
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

    # -- Receiving ----------------------------------------------------------------------------------------------------

    def feed(self, data: Data) -> None:
        """Take bytes that were read from the raw transport before this protocol was set, and what follows from them."""
        self._receive(data)

    def _receive(self, data: Data) -> None:
        connection = self.connection
        try:
            plaintext = connection.receive(data)
        except TLSError as error:
            self.flush()
            self._failed(error)
            return
        quiet = connection.quiet
        if not quiet or self._transport is None:
            self.flush()
            self._go_on()
        if plaintext and not self.closing:
            if self._reading_paused or self._buffered:
                self._deliver(plaintext)
            else:
                self.application_protocol.data_received(plaintext)
        if self._news is not None:
            self._tell_news()
        if quiet:
            return
        if connection.failure is not None:
            self._failed(connection.failure)
        elif connection.peer_closed:
            self._peer_closed()

    def _deliver(self, plaintext: bytes) -> None:
        """Give the application data, as long as it wants any."""
        if self._reading_paused:
            self._held += plaintext  # Bounded: nothing is read meanwhile.
        elif self._buffered:
            self._fill(plaintext)
        else:
            self.application_protocol.data_received(plaintext)

    def _fill(self, plaintext: bytes) -> None:
        """The same for a BufferedProtocol, which may pause, close or be replaced after each buffer."""
        left = memoryview(plaintext)
        while left and not self.closing:
            if self._reading_paused or not self._buffered:
                self._deliver(bytes(left))
                return
            protocol = cast("asyncio.BufferedProtocol", self.application_protocol)
            buffer = memoryview(protocol.get_buffer(len(left))).cast("B")
            size = min(len(buffer), len(left))
            if not size:
                raise RuntimeError(f"{type(protocol).__name__}.get_buffer() gave a buffer without room")
            buffer[:size] = left[:size]
            left = left[size:]
            protocol.buffer_updated(size)

    def _deliver_held(self) -> None:
        """Give the application what it was not given while it had paused."""
        if self._held and not self._reading_paused and not self.closing:
            held, self._held = self._held, b""
            self._deliver(held)
        if not self._held and not self._reading_paused:
            if self._eof_held:
                self._eof_held = False
                self._deliver_eof()
            self._read_on()

    def _peer_closed(self) -> None:
        if self.closing and self._raw is not None:
            self._raw.close()  # The timer that `close` set goes on.
        elif not self._eof and self._transport is not None:
            self._eof = True
            if self._reading_paused:
                self._eof_held = True
            else:
                self._deliver_eof()

    def _deliver_eof(self) -> None:
        if not self.closing and not self.application_protocol.eof_received():
            self.close()

    def _read_on(self) -> None:
        """Let the raw transport read, unless the handshake waits for an answer of the application's, or it has paused.

        After the peer's close_notify too: the end of the TCP stream is still to come.
        """
        if self._raw is not None and self._settling is None and not self._reading_paused and not self._held:
            self._raw.resume_reading()

    # -- The handshake ------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """See how far the handshake is: waiting for the application, or done."""
        if self.connection.pending_work is not None and self._settling is None and self._raw is not None:
            self._raw.pause_reading()
            self._settling = self._loop.create_task(self._settle())
        elif self._transport is None and self._raw is not None and not self.connection.handshaking:
            self._cancel_timer()
            if self.connection.failure is None:
                self._transport = TLSTransport(self, self._raw)
                if self._announce:
                    self.application_protocol.connection_made(self._transport)
                if self._writing_paused:
                    self.application_protocol.pause_writing()
                if not self.handshake_done.done():
                    self.handshake_done.set_result(None)

    async def _settle(self) -> None:
        # Never inside of the call that has found the work, where an eager task would run: what came with it is first.
        await asyncio.sleep(0)
        await self.connection.settle()
        self._settling = None
        if self._raw is not None and not self._raw.is_closing():
            self._guarded(self._settled)

    def _settled(self) -> None:
        self._receive(b"")
        self._read_on()

    def _guarded(self, callback: Callable[[], None]) -> None:
        """Do what calls the application's protocol; what that raises ends the connection, as in all of asyncio."""
        try:
            callback()
        except Exception as error:  # noqa: BLE001 (it is the application's, and told to the loop's handler)
            self._fault = error
            self._loop.call_exception_handler(
                {
                    "message": "Fatal error: a call of the application's protocol failed",
                    "exception": error,
                    "transport": self._transport,
                    "protocol": self.application_protocol,
                }
            )
            if self._raw is not None:
                self._raw.abort()

    # -- The end ------------------------------------------------------------------------------------------------------

    def _failed(self, error: TLSError) -> None:
        """The end, once: what the peer still sends changes nothing, and keeps nothing open."""
        if self._ended:
            return
        self._ended = True
        self._tell_news()
        self._cancel_timer()
        self._cancel_settling()
        handshaking = self._transport is None
        if handshaking and not self.handshake_done.done():
            self._handshake_failed(error)
        raw = self._raw
        if raw is None or raw.is_closing():
            return
        soon = min(self._shutdown_timeout, LAST_WORDS)
        if error.alert is not None:
            # Let the peer read our alert: closing over unread data would reset the connection, alert and all.
            with contextlib.suppress(OSError, NotImplementedError, RuntimeError):
                raw.write_eof()
            with contextlib.suppress(RuntimeError):
                raw.resume_reading()  # Its end is to be seen, whoever has paused.
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

    def _make_room(self) -> None:
        """Wake who waits in `drain`."""
        if self._room is not None:
            self._room.set()
            self._room = None

    def _tell_news(self) -> None:
        """Let who waits in `answered` look again."""
        if self._news is not None:
            self._news.set()
            self._news = None

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
        elif not self.connection.is_client and _logger.isEnabledFor(logging.INFO):
            who = peer_named(None if self._raw is None else self._raw.get_extra_info("peername"))
            _logger.info("handshake with %s failed: %s: %s", who, type(error).__name__, error)

    def _handshake_timed_out(self) -> None:
        error = HandshakeTimeout(f"the handshake was not finished within {self._handshake_timeout:g} s")
        self.connection.abort(error)
        self.flush()
        self._failed(error)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _need_not_be_asked(protocol: asyncio.BaseProtocol) -> None:
    """Mark the failure that a stream's protocol keeps for `wait_closed` as one that nobody has to ask for.

    asyncio's own code marks it when the protocol is deleted: too late if the future that has it is deleted first, as
    happens in free-threaded CPython, whose collector keeps no order (seen with 3.14). Then each connection that a peer
    breaks off is logged as "Future exception was never retrieved", and held by whoever keeps the log's records.
    """
    if isinstance(protocol, asyncio.StreamReaderProtocol):
        closed = getattr(protocol, "_closed", None)
        if isinstance(closed, asyncio.Future) and closed.done() and not closed.cancelled():
            closed.exception()
