"""anyio: a ByteStream, a Listener and a Connectable, over whatever stream of bytes and event loop is below."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
from anyio import TypedAttributeSet, typed_attribute
from anyio.abc import (
    AnyByteStream,
    AnyByteStreamConnectable,
    ByteStream,
    ByteStreamConnectable,
    Listener,
    SocketAttribute,
    TaskGroup,
)
from anyio.streams.tls import TLSAttribute

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, Data
from trustls.crypto.signatures import PrivateKey
from trustls.errors import ConfigError, TLSError
from trustls.identity.signer import Signer
from trustls.net.breaking import Breaking
from trustls.net.common import ThreadedSigner, new_client, new_connection, peer_named
from trustls.net.shell import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, AsyncShell, Runtime
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.wire.enums import ProtocolVersion, SignatureScheme

HandshakeFailed = Callable[[TLSError | OSError | anyio.BrokenResourceError, Connection], None]

_logger = logging.getLogger("trustls.anyio")

_VERSION_NAMES: Final = {ProtocolVersion.TLS1_2: "TLSv1.2", ProtocolVersion.TLS1_3: "TLSv1.3"}  # As `ssl` has them.


_RUNTIME: Final = Runtime(
    make_event=anyio.Event,
    move_on_after=anyio.move_on_after,
    current_time=anyio.current_time,
    checkpoint=anyio.lowlevel.checkpoint,
    checkpoint_if_cancelled=anyio.lowlevel.checkpoint_if_cancelled,
    broken=anyio.BrokenResourceError,
    closed=anyio.ClosedResourceError,
    busy=anyio.BusyResourceError,
    make_busy=anyio.BusyResourceError,
)
_BREAKING: Final = Breaking(anyio.BrokenResourceError)
_BREAKING_UNLESS_MISUSED: Final = Breaking(anyio.BrokenResourceError, ConfigError)


class ConnectionAttribute(TypedAttributeSet):
    """What our streams have beyond `anyio.streams.tls.TLSAttribute`."""

    #: the connection inside, with `info`, `peer`, `export`; a ClientConnection also has `requested`
    connection: Connection = typed_attribute()


class _AnyioTransport:
    """A stream of anyio's as the shell wants it."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AnyByteStream) -> None:
        self._stream = stream

    async def receive_some(self) -> bytes:
        try:
            return await self._stream.receive()
        except anyio.EndOfStream:
            return b""

    async def send_all(self, data: bytes) -> None:
        await self._stream.send(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class TLSStream(ByteStream):
    """TLS over any stream of bytes of anyio's, made by `wrap`.

    One task may receive while another sends; two that do the same at one time get `anyio.BusyResourceError`. A
    connection that fails after its handshake raises `anyio.BrokenResourceError`, whose `__cause__` is the TLSError:
    UnexpectedEOF where the peer did not say that it was done. After `aclose` it is `anyio.ClosedResourceError`.

    A cancelled `receive` loses no data. After a cancelled `send` nothing can be sent any more, as nobody knows how much
    of it went out.

    The extra attributes are those of the stream below, `ConnectionAttribute.connection`, and of anyio's `TLSAttribute`:
    alpn_protocol, cipher (by its IANA name), peer_certificate_binary, server_side, standard_compatible, tls_version.
    """

    def __init__(self, transport_stream: AnyByteStream, shell: AsyncShell[Connection]) -> None:
        """For `wrap`."""
        self.transport_stream = transport_stream
        self._shell = shell

    @classmethod
    async def wrap(
        cls,
        transport_stream: AnyByteStream,
        config: ClientConfig | ServerConfig,
        *,
        server_name: str | ServerName | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        early_data: bytes = b"",
    ) -> TLSStream:
        """Finish a handshake over a stream, which belongs to this one from now on, and is closed when that fails.

        A client in TLS 1.3 is done before the server has judged its certificate: a refusal reaches it with the first
        `receive`.

        Args:
            transport_stream: the stream below.
            config: a ClientConfig makes this side the client, a ServerConfig the server.
            server_name: on a client, the name that the server's certificate must be valid for.
            handshake_timeout: seconds for the whole handshake.
            shutdown_timeout: seconds that `aclose` gives the peer to take what was sent and to close its side.
            early_data: on a client, as in `trustls.connect`.

        Raises:
            TLSError: the handshake failed (HandshakeTimeout, CertificateRejected, ...).
            ConfigError: a client without a server name, or a server with one.
            anyio.BrokenResourceError: the stream below broke.
        """
        connection = new_connection(config, server_name)
        if isinstance(connection, ClientConnection):
            connection.offer_early(early_data)
        elif early_data:
            raise ConfigError("early data is the client's to send")
        return await cls._handshaken(transport_stream, connection, handshake_timeout, shutdown_timeout)

    @classmethod
    async def _handshaken(
        cls,
        transport_stream: AnyByteStream,
        connection: Connection,
        handshake_timeout: float,
        shutdown_timeout: float,
    ) -> TLSStream:
        shell = AsyncShell(
            _AnyioTransport(transport_stream),
            connection,
            _RUNTIME,
            handshake_timeout=handshake_timeout,
            shutdown_timeout=shutdown_timeout,
        )
        try:
            await shell.handshake()
        except BaseException:
            await shell.aclose()
            raise
        return cls(transport_stream, shell)

    @property
    def connection(self) -> Connection:
        """The connection inside, with `info`, `peer`, `export`; a ClientConnection also has `requested`."""
        return self._shell.connection

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At least one byte of data, at most `max_bytes`.

        Raises:
            anyio.EndOfStream: the peer has closed its side properly.
            anyio.BrokenResourceError: the connection failed; the cause says why.
        """
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        with _BREAKING:
            data = await self._shell.receive(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: Data) -> None:
        """Send all of `item`.

        Raises:
            anyio.BrokenResourceError: the connection has failed; when the peer refused it with an alert, that is the
                cause.
            anyio.ClosedResourceError: after `send_eof`.
        """
        with _BREAKING:
            await self._shell.send(item)

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

        `wait_for_client_certificate` waits for the answer; `receive` takes it too. See
        `ServerConnection.request_client_certificate`, also for the ConfigError that it raises.
        """
        with _BREAKING_UNLESS_MISUSED:
            await self._shell.request_client_certificate()

    async def wait_for_client_certificate(self) -> Peer | None:
        """On a server: wait until the client has answered `request_client_certificate`; who it is then, as `peer`.

        Data that comes before the answer is kept for `receive`, up to 1 MiB.

        Raises:
            anyio.BrokenResourceError: the answer is not accepted, the client has closed its side or sends data in place
                of an answer, or the connection failed otherwise; the cause says which.
            ConfigError: this is a client.
        """
        with _BREAKING_UNLESS_MISUSED:
            return await self._shell.wait_for_client_certificate()

    async def aclose(self) -> None:
        """Send close_notify, and close the stream below, within the shutdown timeout; at once when cancelled."""
        await self._shell.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """See the class."""
        connection = self.connection
        return {
            **self.transport_stream.extra_attributes,
            ConnectionAttribute.connection: lambda: connection,
            TLSAttribute.alpn_protocol: lambda: connection.info.alpn,
            TLSAttribute.cipher: lambda: _cipher(connection),
            TLSAttribute.peer_certificate_binary: lambda: (
                connection.peer.certificate.der if connection.peer is not None and connection.peer.presented else None
            ),
            TLSAttribute.server_side: lambda: not connection.is_client,
            TLSAttribute.standard_compatible: lambda: True,
            TLSAttribute.tls_version: lambda: _VERSION_NAMES[connection.info.version],
        }


class TLSListener(Listener[TLSStream]):
    """Gives a TLSStream for each client of another listener whose handshake is done.

    A client whose handshake fails ends nothing but its own connection.

    Args:
        listener: the listener below.
        config: for every connection.
        handshake_timeout: seconds that a client may take for the whole handshake.
        shutdown_timeout: seconds that closing gives the peer.
        handshake_failed: told of each handshake that fails, with the reason; without it they are only logged
            (`trustls.anyio`, level INFO).
    """

    def __init__(
        self,
        listener: Listener[Any],
        config: ServerConfig,
        *,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        handshake_failed: HandshakeFailed | None = None,
    ) -> None:
        self.listener = listener
        self._config = config
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        self._handshake_failed = handshake_failed

    async def serve(self, handler: Callable[[TLSStream], Any], task_group: TaskGroup | None = None) -> None:
        """Run `handler(stream)` in a task for each client. The handler closes the stream: `async with stream:`."""

        async def handshake_first(transport_stream: AnyByteStream) -> None:
            connection = new_connection(self._config, None)
            address = None
            with contextlib.suppress(OSError):  # It may be gone already.
                address = transport_stream.extra(SocketAttribute.remote_address, None)  # noqa: S610 (no query of a database)
            try:
                stream = await TLSStream._handshaken(
                    transport_stream, connection, self._handshake_timeout, self._shutdown_timeout
                )
            except (TLSError, OSError, anyio.BrokenResourceError) as error:
                if self._handshake_failed is not None:
                    self._handshake_failed(error, connection)
                else:
                    _logger.info("handshake with %s failed: %s: %s", peer_named(address), type(error).__name__, error)
            else:
                await handler(stream)

        await self.listener.serve(handshake_first, task_group)

    async def aclose(self) -> None:
        """Listen no more."""
        await self.listener.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the listener below, and `TLSAttribute.standard_compatible`."""
        return {**self.listener.extra_attributes, TLSAttribute.standard_compatible: lambda: True}


class TLSConnectable(ByteStreamConnectable):
    """TLS over another connectable (`anyio.TCPConnectable`, ...).

    Args:
        connectable: makes the streams below.
        config: whom to trust, and the certificates to choose from.
        server_name: the name that the server's certificate must be valid for.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that closing gives the peer.

    Raises:
        ConfigError: the name is none.
    """

    def __init__(
        self,
        connectable: AnyByteStreamConnectable,
        config: ClientConfig,
        *,
        server_name: str | ServerName,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    ) -> None:
        self.connectable = connectable
        self._config = config
        self._server_name = server_name if isinstance(server_name, ServerName) else ServerName(server_name)
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout

    async def connect(self) -> TLSStream:
        """A connection whose handshake is done; see `TLSStream.wrap` for what is raised."""
        connection = new_client(self._config, self._server_name)
        stream = await self.connectable.connect()
        return await TLSStream._handshaken(stream, connection, self._handshake_timeout, self._shutdown_timeout)


async def connect_tls(
    host: str,
    port: int,
    config: ClientConfig,
    *,
    server_name: str | ServerName | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    early_data: bytes = b"",
    **options: Any,
) -> TLSStream:
    """Connect, and finish the handshake.

    Args:
        host: name or address to connect to.
        port: its port.
        config: whom to trust, and the certificates to choose from.
        server_name: the name that the server's certificate must be valid for, when it is not `host`.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that closing gives the peer.
        early_data: as in `trustls.connect`.
        options: for `anyio.connect_tcp` (`local_host`, `happy_eyeballs_delay`).

    Raises:
        TLSError: the handshake failed. OSError: the connection could not be made.
        ConfigError: the name is none, or an option of `ssl`.
    """
    found = [name for name in ("tls", "ssl_context", "tls_hostname", "tls_standard_compatible") if name in options]
    if found:
        raise ConfigError(f"{', '.join(found)}: TLS is trustls's here, and set up by the configuration")
    connection = new_client(config, server_name or host)
    connection.offer_early(early_data)
    stream = await anyio.connect_tcp(host, port, **options)
    return await TLSStream._handshaken(stream, connection, handshake_timeout, shutdown_timeout)


class SignerInThread(ThreadedSigner):
    """A signer that blocks (an HSM, a smart card, the client of a key service), signing in a thread for anyio.

    Args:
        signer: the signer, which must be safe to call from any thread; or a private key in memory.
        limiter: how many threads there may be; anyio's own limit without it.

    Raises:
        ConfigError: the signer is asynchronous itself.
    """

    def __init__(self, signer: Signer | PrivateKey, limiter: anyio.CapacityLimiter | None = None) -> None:
        super().__init__(signer)
        self._limiter = limiter

    async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature of `message`."""
        return await anyio.to_thread.run_sync(self._sign, scheme, message, limiter=self._limiter)


def _cipher(connection: Connection) -> tuple[str, str, int]:
    """Name, version and key size, as `ssl.SSLSocket.cipher` gives them, though with the name of the IANA."""
    info = connection.info
    return info.suite.name, _VERSION_NAMES[info.version], 128 if "AES_128" in info.suite.name else 256
