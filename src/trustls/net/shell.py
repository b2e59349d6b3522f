"""The asynchronous shell: a connection over any stream of bytes, for event loops whose ways trio and anyio share.

The library comes in as a `Runtime`, the stream below as a `Transport`. One task may receive while another sends, and
either may come upon the handshake first. What cancellation leaves behind is known at each place where it can strike:

- waiting for the network's bytes loses nothing, neither in a handshake nor after it;
- a send that is cut off has torn a record apart: nothing can be sent any more, though what the peer sends still comes;
- an answer of the application's (a verifier, a signer) that is given up ends the connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Generic, Protocol, TypeVar

from trustls.connection import Connection, Data, ServerConnection
from trustls.errors import ConfigError, ConnectionClosed, HandshakeTimeout, TLSError
from trustls.net.common import answer_is_awaited
from trustls.trust.verifiers import Peer
from trustls.values import dataclass

HANDSHAKE_TIMEOUT: Final = 60.0
SHUTDOWN_TIMEOUT: Final = 5.0
# Seconds that a peer has to take the alert of a failure.
LAST_WORDS: Final = 1.0

# What is sealed at one time, and what is then written: it is a little longer, and should not be cut.
_PIECE: Final = 1 << 16
_WRITE_SIZE: Final = 1 << 17
# How long a peer that has reset the connection is asked for the alert that it may have sent before, and how often.
_LAST_ALERT_SECONDS: Final = 0.1
_LAST_ALERT_READS: Final = 16

C = TypeVar("C", bound=Connection)


class Transport(Protocol):
    """The stream below. One task may be in a sending method while another is in a receiving one."""

    async def receive_some(self) -> bytes:
        """At least one byte; none at the end. A cancelled call takes no byte."""

    async def send_all(self, data: bytes) -> None:
        """Send all of it. Once cancelled, nobody knows how much went out."""

    async def send_eof(self) -> None:
        """Send no more, if this stream can say so."""

    async def aclose(self) -> None:
        """Close; at once when this is cancelled."""


class Event(Protocol):
    """An event of the library."""

    def set(self) -> Any: ...
    async def wait(self) -> Any: ...


class CancelScope(Protocol):
    """A cancel scope of the library."""

    @property
    def cancelled_caught(self) -> bool: ...


class MoveOnAfter(Protocol):
    """The library's `move_on_after`."""

    def __call__(self, seconds: float, /, *, shield: bool = False) -> AbstractContextManager[CancelScope]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What the shell takes of the library of the event loop.

    Attributes:
        make_event: makes an event.
        move_on_after: gives a cancel scope with a deadline.
        current_time: the loop's clock.
        checkpoint: lets others run.
        checkpoint_if_cancelled: raises if the task is cancelled; otherwise costs next to nothing.
        broken: what streams raise when the other side is gone.
        closed: what they raise when this side has closed them.
        busy: what they raise when two tasks do the same at one time.
        make_busy: makes one of those; it is told what both do.
    """

    make_event: Callable[[], Event]
    move_on_after: MoveOnAfter
    current_time: Callable[[], float]
    checkpoint: Callable[[], Awaitable[Any]]
    checkpoint_if_cancelled: Callable[[], Awaitable[Any]]
    broken: type[Exception]
    closed: type[Exception]
    busy: type[Exception]
    make_busy: Callable[[str], Exception]


class AsyncShell(Generic[C]):
    """A connection over a stream.

    Every method may raise what the transport raises, besides TLSError for what the connection comes to.

    Args:
        transport: the stream, which is closed with this object.
        connection: fresh.
        runtime: the library of the event loop.
        handshake_timeout: seconds for the whole handshake, from the first call that takes part in it.
        shutdown_timeout: seconds that `aclose` gives the peer to take what was sent and to close its side.
    """

    __slots__ = (
        "_closed",
        "_deadline",
        "_flushing",
        "_handshake_timeout",
        "_handshaken",
        "_plaintext",
        "_receiving",
        "_runtime",
        "_said_eof",
        "_sending",
        "_shaking",
        "_shutdown_timeout",
        "_torn",
        "_transport",
        "_turn",
        "connection",
    )

    def __init__(
        self,
        transport: Transport,
        connection: C,
        runtime: Runtime,
        *,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    ) -> None:
        self.connection = connection
        self._transport = transport
        self._runtime = runtime
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        self._plaintext = memoryview(b"")
        self._deadline: float | None = None
        self._shaking = False  # A task does the handshake; others wait for `_handshaken`.
        self._handshaken: Event | None = None
        self._sending = False  # A task of the application's sends.
        self._receiving = False
        self._flushing = False  # Any task, of whatever purpose, is in `send_all`; others wait for `_turn`.
        self._turn: Event | None = None
        self._torn = False
        self._said_eof = False
        self._closed = False

    # -- The handshake ------------------------------------------------------------------------------------------------

    async def handshake(self) -> None:
        """Finish the handshake, or wait until the task that is at it has done so. Once it is done, nothing.

        Raises:
            TLSError: it failed; the peer has been told.
            HandshakeTimeout: it took longer than its limit.
        """
        self._check_not_closed()
        await self._runtime.checkpoint()
        while self.connection.handshaking:
            if self._shaking:
                if self._handshaken is None:
                    self._handshaken = self._runtime.make_event()
                await self._handshaken.wait()
            else:
                await self._do_handshake()
        self._check_not_closed()
        if self.connection.failure is not None:
            raise self.connection.failure.with_traceback(None)

    async def _do_handshake(self) -> None:
        """The handshake, up to its end or a cancellation, after which another call can go on with it."""
        now = self._runtime.current_time()
        if self._deadline is None:
            self._deadline = now + self._handshake_timeout
        if self._torn:
            self.connection.abort(
                ConnectionClosed("a cancellation has cut the handshake off in the middle of a message")
            )
            return
        self._shaking = True
        try:
            with self._runtime.move_on_after(max(0.0, self._deadline - now)) as scope:
                await self._flush_unless_busy()
                while self.connection.handshaking:
                    if self.connection.pending_work is None:
                        await self._receive_some()
                    else:
                        await self._settle()
            if scope.cancelled_caught:
                error = HandshakeTimeout(f"the handshake was not finished within {self._handshake_timeout:g} s")
                self.connection.abort(error)
                raise error
        except TLSError:
            await self._flush_last_words()
            raise
        finally:
            self._shaking = False
            if self._handshaken is not None:
                self._handshaken.set()
                self._handshaken = None

    async def _settle(self) -> None:
        """Await what the application is asked for, and go on with its answer."""
        await self.connection.settle()
        self._keep(self.connection.receive(b""))
        await self._flush_unless_busy()

    # -- Receiving ----------------------------------------------------------------------------------------------------

    async def receive(self, max_bytes: int | None = None) -> bytes:
        """At least one byte of data, at most `max_bytes`; `b""` once the peer has closed its side properly.

        Raises:
            TLSError: the connection failed. UnexpectedEOF: it ended without close_notify, data may be missing.
        """
        if self._receiving:
            raise self._runtime.make_busy("receiving from")
        self._receiving = True
        try:
            await self._wait_for_plaintext()
        finally:
            self._receiving = False
        plaintext = self._plaintext
        if max_bytes is None or len(plaintext) <= max_bytes:
            self._plaintext = memoryview(b"")
            return bytes(plaintext)
        self._plaintext = plaintext[max_bytes:]
        return bytes(plaintext[:max_bytes])

    async def _wait_for_plaintext(self) -> None:
        """Return when there is some, or the peer has closed its side."""
        self._check_not_closed()
        connection = self.connection
        if connection.handshaking:
            await self.handshake()
        elif self._plaintext or connection.peer_closed:
            await self._runtime.checkpoint()
        while not self._plaintext and not connection.peer_closed:
            if connection.failure is not None:
                raise connection.failure.with_traceback(None)
            await self._receive_or_settle()

    async def _receive_or_settle(self) -> None:
        """One step on: what comes next of the network, or of the application."""
        try:
            if self.connection.pending_work is None:
                await self._receive_some()
            else:
                await self._settle()
        except TLSError:
            await self._flush_last_words()
            raise

    async def _receive_some(self) -> None:
        """One read of the transport, into the connection."""
        data = await self._transport.receive_some()
        if data:
            self._keep(self.connection.receive(data))
        else:
            self.connection.receive_eof()
        await self._flush_unless_busy()

    def _keep(self, plaintext: bytes) -> None:
        if plaintext:
            self._plaintext = memoryview(bytes(self._plaintext) + plaintext if self._plaintext else plaintext)

    # -- Sending ------------------------------------------------------------------------------------------------------

    async def send(self, data: Data) -> None:
        """Send all of `data`.

        Raises:
            TLSError: the connection has failed; when the peer refused it with an alert, that is raised.
            ConnectionClosed: a send was cut off before.
        """
        view = memoryview(data).cast("B")
        self._begin_sending()
        try:
            await self._ready_to_send()
            if not view:
                await self._runtime.checkpoint()
            for start in range(0, len(view), _PIECE):
                if self._flushing or self._torn or self._closed:
                    await self._my_turn()
                self.connection.send(view[start : start + _PIECE])
                await self._write_out()
        finally:
            self._sending = False

    async def send_eof(self) -> None:
        """Say that this side sends no more (close_notify), and go on receiving: half-close."""
        self._begin_sending()
        try:
            if self._said_eof and not self._closed:
                await self._runtime.checkpoint()
                return
            await self._ready_to_send()
            await self._my_turn()
            self._said_eof = True
            self.connection.close()
            await self._write_out()
        finally:
            self._sending = False

    async def update_keys(self, *, request_peer: bool = True) -> None:
        """Change this side's sending keys (RFC 9846 4.7.3); see `Connection.update_keys`."""
        self._begin_sending()
        try:
            await self._ready_to_send()
            await self._my_turn()
            self.connection.update_keys(request_peer=request_peer)
            await self._write_out()
        finally:
            self._sending = False

    async def request_client_certificate(self) -> None:
        """On a server: ask the client for a certificate now.

        `wait_for_client_certificate` waits for the answer; `receive` takes it too. See
        `ServerConnection.request_client_certificate`, also for what it raises.

        Raises:
            ConfigError: this is a client.
        """
        connection = self.connection
        if not isinstance(connection, ServerConnection):
            raise ConfigError("a client cannot ask for a client certificate")
        self._begin_sending()
        try:
            await self._ready_to_send()
            await self._my_turn()
            connection.request_client_certificate()
            await self._write_out()
        finally:
            self._sending = False

    async def wait_for_client_certificate(self) -> Peer | None:
        """On a server: wait until the client has answered the request; who it is then.

        Data that comes before the answer is kept for `receive`, up to 1 MiB.

        Raises:
            TLSError: as `answer_is_awaited`.
        """
        if self._receiving:
            raise self._runtime.make_busy("receiving from")
        self._receiving = True
        held = bytearray(self._plaintext)
        self._plaintext = memoryview(b"")
        try:
            self._check_not_closed()
            await self._runtime.checkpoint()
            while answer_is_awaited(self.connection, len(held)):
                await self._receive_or_settle()
                held += self._plaintext
                self._plaintext = memoryview(b"")
        except TLSError:
            await self._flush_last_words()
            raise
        finally:
            self._plaintext = memoryview(bytes(held) + bytes(self._plaintext))
            self._receiving = False
        return self.connection.peer

    async def wait_writable(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Await `wait()`, which tells when the transport has room, as the only one who sends."""
        self._begin_sending()
        try:
            self._check_not_closed()
            await self._my_turn()
            self._flushing = True
            try:
                await wait()
            finally:
                self._give_turn()
        finally:
            self._sending = False

    def _begin_sending(self) -> None:
        """Two tasks that send at one time would mix their data: the second is refused."""
        if self._sending:
            raise self._runtime.make_busy("sending to")
        self._sending = True

    async def _ready_to_send(self) -> None:
        self._check_not_closed()
        if self._said_eof:
            raise self._runtime.closed("this side has said that it sends no more")
        if self.connection.handshaking:
            await self.handshake()
        else:
            # Here, where nothing is sealed yet, a cancellation does no harm.
            await self._runtime.checkpoint_if_cancelled()

    async def _my_turn(self) -> None:
        """Wait until no other task is writing to the transport. Write before awaiting anything else."""
        while self._flushing:
            if self._turn is None:
                self._turn = self._runtime.make_event()
            await self._turn.wait()
        self._check_not_closed()
        if self.connection.failure is not None:
            raise self.connection.failure.with_traceback(None)
        if self._torn:
            raise ConnectionClosed("a send was cut off before: what it had begun cannot be finished")

    def _give_turn(self) -> None:
        self._flushing = False
        if self._turn is not None:
            self._turn.set()
            self._turn = None

    async def _write_out(self) -> None:
        """Send what the connection has for the transport, as the one whose turn it is."""
        self._flushing = True
        try:
            while data := self.connection.data_to_send(_WRITE_SIZE):
                await self._transport.send_all(data)
        except (self._runtime.broken, OSError) as error:
            self._torn = True
            await self._look_for_last_alert()
            if self.connection.failure is not None:
                raise self.connection.failure.with_traceback(None) from error
            raise
        except BaseException:
            self._torn = True
            raise
        finally:
            self._give_turn()

    async def _flush_unless_busy(self) -> None:
        """Send what waits, as who receives does: without waiting for who sends, which takes along what waits.

        Each peer might otherwise wait for the other to read. If the transport is broken, what is received says more.
        """
        while not self._flushing and not self._torn and (data := self.connection.data_to_send(_WRITE_SIZE)):
            self._flushing = True
            try:
                await self._transport.send_all(data)
            except (self._runtime.broken, OSError):
                self._torn = True
            except BaseException:
                self._torn = True
                raise
            finally:
                self._give_turn()

    async def _flush_last_words(self) -> None:
        """Send the alert of a failure; whether the peer takes it in time is its affair."""
        with (
            self._runtime.move_on_after(LAST_WORDS, shield=True),
            self._whatever_breaks(),
        ):
            await self._flush_unless_busy()

    async def _look_for_last_alert(self) -> None:
        """A peer that hangs up often has said why, and it waits to be read."""
        if self._receiving or self.connection.failure is not None:
            return  # A task that is receiving comes upon it.
        self._receiving = True
        try:
            with (
                self._runtime.move_on_after(_LAST_ALERT_SECONDS),
                self._whatever_breaks(),
            ):
                for _ in range(_LAST_ALERT_READS):
                    data = await self._transport.receive_some()
                    if not data:
                        return
                    self._keep(self.connection.receive(data))
        finally:
            self._receiving = False

    # -- The end ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Send close_notify, if that is still to be done, and close the transport.

        What was sent is given up to the shutdown timeout to arrive; what the peer still sends is thrown away. A
        cancelled call closes at once.
        """
        if self._closed:
            await self._runtime.checkpoint()
            return
        self._closed = True
        failure = self.connection.failure
        self.connection.close()
        try:
            if failure is None or failure.alert is not None:
                limit = self._shutdown_timeout if failure is None else min(self._shutdown_timeout, LAST_WORDS)
                with (
                    self._runtime.move_on_after(limit),
                    self._whatever_breaks(),
                ):
                    await self._say_goodbye()
        finally:
            await self._transport.aclose()

    async def _say_goodbye(self) -> None:
        """A transport closed over unread data resets the connection, and what was sent last is lost with it."""
        if self._flushing or self._torn:
            return  # In the middle of a record there is nothing that could be said.
        await self._flush_unless_busy()
        with contextlib.suppress(NotImplementedError):
            await self._transport.send_eof()
        connection = self.connection
        while not self._receiving and not self._shaking and not connection.peer_closed:
            data = await self._transport.receive_some()
            if not data:
                return
            if connection.failure is None:
                connection.receive(data)

    def _whatever_breaks(self) -> contextlib.suppress:
        """For what is done for the peer's sake: its failing changes nothing here."""
        runtime = self._runtime
        return contextlib.suppress(TLSError, OSError, runtime.broken, runtime.closed, runtime.busy)

    def _check_not_closed(self) -> None:
        if self._closed:
            raise self._runtime.closed("this stream is closed")
