"""trio: a Stream, a Listener, and functions of the kind that trio has for its SSLStream."""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, NoReturn, TypeVar

import trio

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import Connection, Data
from trustls.crypto.signatures import PrivateKey
from trustls.errors import ConfigError, TLSError
from trustls.identity.signer import Signer
from trustls.net.breaking import Breaking
from trustls.net.common import ThreadedSigner, new_connection, peer_named
from trustls.net.shell import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, AsyncShell, Runtime
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.wire.enums import SignatureScheme

T = TypeVar("T", bound=trio.abc.Stream)

HandshakeFailed = Callable[[TLSError | OSError | trio.BrokenResourceError, Connection], None]

_logger = logging.getLogger("trustls.trio")

_RUNTIME: Final = Runtime(
    make_event=trio.Event,
    move_on_after=trio.move_on_after,
    current_time=trio.current_time,
    checkpoint=trio.lowlevel.checkpoint,
    checkpoint_if_cancelled=trio.lowlevel.checkpoint_if_cancelled,
    broken=trio.BrokenResourceError,
    closed=trio.ClosedResourceError,
    busy=trio.BusyResourceError,
    make_busy=lambda action: trio.BusyResourceError(f"another task is already {action} this stream"),
)
_BREAKING: Final = Breaking(trio.BrokenResourceError)
_BREAKING_UNLESS_MISUSED: Final = Breaking(trio.BrokenResourceError, ConfigError)


class _TrioTransport:
    """A trio stream as the shell wants it."""

    __slots__ = ("_stream",)

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive_some(self) -> bytes:
        return bytes(await self._stream.receive_some())

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class TLSStream(trio.abc.HalfCloseableStream, Generic[T]):
    """TLS over any stream of trio's, used like `trio.SSLStream`.

    The handshake happens with the first use, or by `do_handshake`. One task may receive while another sends; two that
    do the same at one time get `trio.BusyResourceError`. A connection that fails, in the handshake or later, raises
    `trio.BrokenResourceError`, whose `__cause__` is the TLSError: UnexpectedEOF where the peer did not say that it was
    done. After `aclose` it is `trio.ClosedResourceError`.

    A cancelled `receive_some` loses no data. After a cancelled `send_all` nothing can be sent any more, as nobody knows
    how much of it went out. A handshake that is cancelled while it waits for the peer can be gone on with.

    Args:
        transport_stream: the stream below, which belongs to this object from now on.
        config: a ClientConfig makes this side the client, a ServerConfig the server.
        server_name: on a client, the name that the server's certificate must be valid for.
        handshake_timeout: seconds for the whole handshake, from the first call that takes part in it.
        shutdown_timeout: seconds that `aclose` gives the peer to take what was sent and to close its side.

    Raises:
        ConfigError: a client without a server name, or a server with one.
    """

    def __init__(
        self,
        transport_stream: T,
        config: ClientConfig | ServerConfig,
        *,
        server_name: str | ServerName | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    ) -> None:
        self.transport_stream = transport_stream
        self._shell: AsyncShell[Connection] = AsyncShell(
            _TrioTransport(transport_stream),
            new_connection(config, server_name),
            _RUNTIME,
            handshake_timeout=handshake_timeout,
            shutdown_timeout=shutdown_timeout,
        )

    @property
    def connection(self) -> Connection:
        """The connection inside, with `info`, `peer`, `export`; a ClientConnection also has `requested`."""
        return self._shell.connection

    async def do_handshake(self) -> None:
        """Finish the handshake, if that is still to be done.

        A client in TLS 1.3 is done before the server has judged its certificate: a refusal reaches it with the first
        `receive_some`.

        Raises:
            trio.BrokenResourceError: it failed; the cause says why (HandshakeTimeout, CertificateRejected, ...).
        """
        with _BREAKING:
            await self._shell.handshake()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """At least one byte of data, at most `max_bytes`; `b""` once the peer has closed its side properly."""
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes must be positive")
        with _BREAKING:
            return await self._shell.receive(max_bytes)

    async def send_all(self, data: Data) -> None:
        """Send all of `data`.

        Raises:
            trio.BrokenResourceError: the connection has failed; when the peer refused it with an alert, that is the
                cause.
            trio.ClosedResourceError: after `send_eof`.
        """
        with _BREAKING:
            await self._shell.send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the stream below has room."""
        with _BREAKING:
            await self._shell.wait_writable(self.transport_stream.wait_send_all_might_not_block)

    async def send_eof(self) -> None:
        """Say that this side sends no more (close_notify), and go on receiving: half-close."""
        with _BREAKING:
            await self._shell.send_eof()

    async def update_keys(self, *, request_peer: bool = True) -> None:
        """Change this side's sending keys; see `Connection.update_keys`."""
        with _BREAKING_UNLESS_MISUSED:
            await self._shell.update_keys(request_peer=request_peer)

    async def request_client_certificate(self) -> None:
        """On a server: ask the client for a certificate now.

        `wait_for_client_certificate` waits for the answer; `receive_some` takes it too. See
        `ServerConnection.request_client_certificate`, also for the ConfigError that it raises.
        """
        with _BREAKING_UNLESS_MISUSED:
            await self._shell.request_client_certificate()

    async def wait_for_client_certificate(self) -> Peer | None:
        """On a server: wait until the client has answered `request_client_certificate`; who it is then, as `peer`.

        Data that comes before the answer is kept for `receive_some`, up to 1 MiB.

        Raises:
            trio.BrokenResourceError: the answer is not accepted, the client has closed its side or sends data in place
                of an answer, or the connection failed otherwise; the cause says which.
            ConfigError: this is a client.
        """
        with _BREAKING_UNLESS_MISUSED:
            return await self._shell.wait_for_client_certificate()

    async def aclose(self) -> None:
        """Send close_notify, and close the stream below, within the shutdown timeout; at once when cancelled."""
        await self._shell.aclose()


class TLSListener(trio.abc.Listener[TLSStream[T]], Generic[T]):
    """Gives a TLSStream for each connection of another listener. Its handshake is not done yet.

    Args:
        transport_listener: the listener below.
        config: for every connection.
        handshake_timeout: seconds that a client may take for the whole handshake.
        shutdown_timeout: seconds that closing gives the peer.
    """

    def __init__(
        self,
        transport_listener: trio.abc.Listener[T],
        config: ServerConfig,
        *,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    ) -> None:
        self.transport_listener = transport_listener
        self._config = config
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout

    async def accept(self) -> TLSStream[T]:
        """The next connection."""
        return TLSStream(
            await self.transport_listener.accept(),
            self._config,
            handshake_timeout=self._handshake_timeout,
            shutdown_timeout=self._shutdown_timeout,
        )

    async def aclose(self) -> None:
        """Listen no more."""
        await self.transport_listener.aclose()


async def open_tls_over_tcp_stream(
    host: str,
    port: int,
    config: ClientConfig,
    *,
    server_name: str | ServerName | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    **options: Any,
) -> TLSStream[trio.SocketStream]:
    """Connect. As with trio's own function for `ssl`, the handshake happens with the first use, or by `do_handshake`.

    Args:
        host: name or address to connect to.
        port: its port.
        config: whom to trust, and the certificates to choose from.
        server_name: the name that the server's certificate must be valid for, when it is not `host`.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that closing gives the peer.
        options: for `trio.open_tcp_stream` (`happy_eyeballs_delay`, `local_address`).

    Raises:
        OSError: the connection could not be made. ConfigError: the name is none.
    """
    name = server_name if isinstance(server_name, ServerName) else ServerName(server_name or host)
    tcp_stream = await trio.open_tcp_stream(host, port, **options)
    try:
        return TLSStream(
            tcp_stream,
            config,
            server_name=name,
            handshake_timeout=handshake_timeout,
            shutdown_timeout=shutdown_timeout,
        )
    except BaseException:
        await trio.aclose_forcefully(tcp_stream)
        raise


async def open_tls_over_tcp_listeners(
    port: int,
    config: ServerConfig,
    *,
    host: str | None = None,
    backlog: int | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
) -> list[TLSListener[trio.SocketStream]]:
    """Listen on every address of `host`, or of this machine without one.

    Args:
        port: the port, 0 for any free one.
        config: for every connection.
        host: name or address to listen on.
        backlog: how many connections may wait to be accepted.
        handshake_timeout: seconds that a client may take for the whole handshake.
        shutdown_timeout: seconds that closing gives the peer.

    Raises:
        OSError: the address cannot be had.
    """
    return [
        TLSListener(listener, config, handshake_timeout=handshake_timeout, shutdown_timeout=shutdown_timeout)
        for listener in await trio.open_tcp_listeners(port, host=host, backlog=backlog)
    ]


async def serve_tls_over_tcp(
    handler: Callable[[TLSStream[trio.SocketStream]], Awaitable[object]],
    port: int,
    config: ServerConfig,
    *,
    host: str | None = None,
    backlog: int | None = None,
    handler_nursery: trio.Nursery | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    handshake_failed: HandshakeFailed | None = None,
    task_status: trio.TaskStatus[list[TLSListener[trio.SocketStream]]] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Listen, and run `handler(stream)` in a task for each client whose handshake is done; the stream is closed after.

    A client whose handshake fails ends nothing but its own connection. What a handler raises comes out of here, as it
    does of `trio.serve_tcp`.

    Args:
        handler: serves one client.
        port: the port, 0 for any free one; `nursery.start` gives the listeners.
        config: for every connection.
        host: name or address to listen on; None for all.
        backlog: how many connections may wait to be accepted.
        handler_nursery: has the handlers' tasks; one of its own without it.
        handshake_timeout: seconds that a client may take for the whole handshake.
        shutdown_timeout: seconds that closing gives the peer.
        handshake_failed: told of each handshake that fails, with the reason; without it they are only logged
            (`trustls.trio`, level INFO).
        task_status: for `nursery.start`.

    Raises:
        OSError: the address cannot be had.
    """
    listeners = await open_tls_over_tcp_listeners(
        port,
        config,
        host=host,
        backlog=backlog,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
    )

    async def serve(stream: TLSStream[trio.SocketStream]) -> None:
        async with stream:
            address = None
            with contextlib.suppress(OSError):  # It may be gone already.
                address = stream.transport_stream.socket.getpeername()
            try:
                await stream.do_handshake()
            except (trio.BrokenResourceError, OSError) as error:
                reason = error.__cause__ if isinstance(error.__cause__, TLSError) else error
                if handshake_failed is not None:
                    handshake_failed(reason, stream.connection)
                else:
                    _logger.info("handshake with %s failed: %s: %s", peer_named(address), type(reason).__name__, reason)
            else:
                await handler(stream)

    await trio.serve_listeners(serve, listeners, handler_nursery=handler_nursery, task_status=task_status)


class SignerInThread(ThreadedSigner):
    """A signer that blocks (an HSM, a smart card, the client of a key service), signing in a thread for trio.

    Args:
        signer: the signer, which must be safe to call from any thread; or a private key in memory.
        limiter: how many threads there may be; trio's own limit without it.

    Raises:
        ConfigError: the signer is asynchronous itself.
    """

    def __init__(self, signer: Signer | PrivateKey, limiter: trio.CapacityLimiter | None = None) -> None:
        super().__init__(signer)
        self._limiter = limiter

    async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature of `message`."""
        return await trio.to_thread.run_sync(self._sign, scheme, message, limiter=self._limiter)
