"""StreamReader and StreamWriter over TLS: asyncio's own, on our transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from trustls.config import ClientConfig, ServerConfig
from trustls.errors import ConnectionClosed
from trustls.net.aio.endpoints import (
    create_connection,
    create_server,
    create_unix_connection,
    create_unix_server,
    upgraded,
)
from trustls.net.aio.protocol import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, HandshakeFailed, TLSProtocol
from trustls.net.aio.transport import TLSTransport
from trustls.net.common import new_connection
from trustls.trust.names import ServerName

_STREAM_LIMIT: Final = 1 << 16

ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_connection(
    host: str | None,
    port: int | None,
    config: ClientConfig,
    *,
    server_name: str | ServerName | None = None,
    limit: int = _STREAM_LIMIT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    early_data: bytes = b"",
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    **options: Any,
) -> Streams:
    """Connect, finish the handshake, and give the streams, as `asyncio.open_connection` does.

    The Connection is `writer.get_extra_info("tls_connection")`.

    Args:
        host: name or address to connect to; None with `sock=`.
        port: its port; None with `sock=`.
        config: whom to trust, and the certificates to choose from.
        server_name: the name that the server's certificate must be valid for, when it is not `host`.
        limit: the reader's buffer limit in bytes.
        handshake_timeout: seconds for the whole handshake.
        early_data: as in `trustls.connect`.
        shutdown_timeout: seconds that closing waits while nothing moves.
        options: for `loop.create_connection` (`local_addr`, `sock`, `happy_eyeballs_delay`, ...).

    Raises:
        TLSError: the handshake failed. ConfigError: no server name, or an option of `ssl`.
        OSError: the connection could not be made.
    """
    reader, protocol = _stream_protocol(limit)
    transport, _ = await create_connection(
        lambda: protocol,
        host,
        port,
        config,
        server_name=server_name,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        early_data=early_data,
        **options,
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


async def open_unix_connection(
    path: str | None,
    config: ClientConfig,
    *,
    server_name: str | ServerName,
    limit: int = _STREAM_LIMIT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    **options: Any,
) -> Streams:
    """The same over a Unix socket, as `asyncio.open_unix_connection` does. `path` may be None with `sock=`."""
    reader, protocol = _stream_protocol(limit)
    transport, _ = await create_unix_connection(
        lambda: protocol,
        path,
        config,
        server_name=server_name,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        **options,
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


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
        host: name or address to listen on; None for all, or with `sock=`.
        port: the port, 0 for any free one; None with `sock=`.
        config: for every connection.
        limit: the readers' buffer limit in bytes.
        handshake_timeout: seconds that a client may take for the whole handshake.
        shutdown_timeout: seconds that closing waits while nothing moves.
        handshake_failed: told of each handshake that fails, with the reason; without it they are only logged
            (`trustls.aio`, level INFO).
        options: for `loop.create_server` (`backlog`, `reuse_port`, `sock`, `start_serving`, ...).

    Raises:
        OSError: the address cannot be had. ConfigError: an option of `ssl`.
    """
    return await create_server(
        lambda: _stream_protocol(limit, client_connected)[1],
        host,
        port,
        config,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        handshake_failed=handshake_failed,
        **options,
    )


async def start_unix_server(
    client_connected: ClientConnected,
    path: str | None,
    config: ServerConfig,
    *,
    limit: int = _STREAM_LIMIT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    handshake_failed: HandshakeFailed | None = None,
    **options: Any,
) -> asyncio.Server:
    """The same on a Unix socket, as `asyncio.start_unix_server` does. `path` may be None with `sock=`."""
    return await create_unix_server(
        lambda: _stream_protocol(limit, client_connected)[1],
        path,
        config,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        handshake_failed=handshake_failed,
        **options,
    )


async def start_tls_streams(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    config: ClientConfig | ServerConfig,
    *,
    server_name: str | ServerName | None = None,
    limit: int = _STREAM_LIMIT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
) -> Streams:
    """Go on in TLS on streams that have been used in the clear (STARTTLS), and give the streams to go on with.

    Call it when the last line in the clear has been read, or written. What the old reader holds then is handed to TLS:
    a ClientHello that was quick is welcome, and anything in the clear ends the connection (commands that somebody has
    put in before TLS, to have them taken for the peer's, as in CVE-2011-0411). The old reader gives nothing any more,
    and the old writer writes to the new transport, so that nothing goes out in the clear by mistake.

    Args:
        reader: the reader in the clear. Nobody may be waiting on it.
        writer: the writer in the clear; what it was given is sent first.
        config: a ClientConfig makes this side the client, a ServerConfig the server.
        server_name: on a client, the name that the server's certificate must be valid for.
        limit: the new reader's buffer limit in bytes.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that closing waits while nothing moves.

    Raises:
        TLSError: the handshake failed, and the connection is closed. PeerMisbehaved: what came is no TLS.
        ConfigError: a client without a server name. ConnectionClosed: the streams are closed.
        RuntimeError: somebody is reading.
    """
    connection = new_connection(config, server_name)
    if writer.is_closing():
        raise ConnectionClosed("the streams are closed")
    await writer.drain()
    raw = cast("asyncio.Transport", writer.transport)
    old_protocol = cast("asyncio.Protocol", raw.get_protocol())

    def let_go(error: Exception | None) -> None:
        """The end of the new streams is that of the old ones, for whoever waits for them.

        Until then the old writer has to live: asyncio closes the transport of a forgotten one.
        """
        if writer is not None:
            old_protocol.connection_lost(error)

    new_reader, protocol = _stream_protocol(limit)
    tls = TLSProtocol(
        connection,
        protocol,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        on_lost=let_go,
    )
    received, ended = _already_read(reader)
    _redirect(writer, TLSTransport(tls, raw))
    upgraded(raw, tls, received, ended=ended)
    reader.set_exception(RuntimeError("this stream goes on in TLS: use those that start_tls_streams() gave"))
    try:
        await tls.handshake_done
    except asyncio.CancelledError:
        raw.abort()
        raise
    transport = tls.transport
    assert transport is not None  # noqa: S101 (the handshake is done)
    return new_reader, asyncio.StreamWriter(transport, protocol, new_reader, asyncio.get_running_loop())


def _already_read(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Everything that a reader holds, without waiting, and whether that was the end."""
    parts: list[bytes] = []
    while True:
        reading = reader.read(_STREAM_LIMIT)
        try:
            reading.send(None)
        except StopIteration as done:
            if not done.value:
                return b"".join(parts), True
            parts.append(done.value)
        else:
            reading.close()  # It would have had to wait.
            return b"".join(parts), False


def _redirect(writer: asyncio.StreamWriter, transport: TLSTransport) -> None:
    """Let the old writer write to the new transport. asyncio's own start_tls does it in the same way."""
    cast("Any", writer)._transport = transport
    if writer.transport is not transport:
        transport.abort()
        raise RuntimeError("this asyncio's StreamWriter would go on writing in the clear")


def _stream_protocol(
    limit: int, client_connected: ClientConnected | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    return reader, asyncio.StreamReaderProtocol(reader, cast("Any", client_connected), loop=loop)
