"""Connecting, listening and upgrading, as the methods of asyncio's loop of these names do, with a configuration.

`create_connection`, `create_server` and their Unix relatives take a factory of the application's protocol; `start_tls`
takes a transport that has been in use in the clear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import Data, ServerConnection
from trustls.errors import ConfigError, ConnectionClosed
from trustls.net.aio.protocol import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, HandshakeFailed, TLSProtocol
from trustls.net.aio.transport import TLSTransport
from trustls.net.common import new_client, new_connection
from trustls.trust.names import ServerName

P = TypeVar("P", bound=asyncio.BaseProtocol)


# What would put the loop's own TLS below ours.
_OF_SSL: Final = ("ssl", "server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout")


async def create_connection(
    protocol_factory: Callable[[], P],
    host: str | None,
    port: int | None,
    config: ClientConfig,
    *,
    server_name: str | ServerName | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    early_data: bytes = b"",
    **options: Any,
) -> tuple[TLSTransport, P]:
    """Connect, finish the handshake, and give transport and protocol, as `loop.create_connection` does.

    The protocol's `connection_made` is called once the handshake is done. A protocol that is a BufferedProtocol is used
    as such. The Connection is `transport.get_extra_info("tls_connection")`.

    Args:
        protocol_factory: makes the protocol, once the TCP connection stands.
        host: name or address to connect to; None with `sock=`.
        port: its port; None with `sock=`.
        config: whom to trust, and the certificates to choose from.
        server_name: the name that the server's certificate must be valid for, when it is not `host`.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that closing waits while nothing moves.
        early_data: as in `trustls.connect`.
        options: for `loop.create_connection` (`local_addr`, `sock`, `happy_eyeballs_delay`, ...).

    Raises:
        TLSError: the handshake failed. ConfigError: no server name, or an option of `ssl`.
        OSError: the connection could not be made.
    """
    _check_options(options)
    loop = asyncio.get_running_loop()
    connection = new_client(config, server_name or host)
    connection.offer_early(early_data)

    def make_protocol() -> TLSProtocol:
        return TLSProtocol(
            connection, protocol_factory(), handshake_timeout=handshake_timeout, shutdown_timeout=shutdown_timeout
        )

    if options.get("sock") is None:
        options |= {"host": host, "port": port}
    raw, protocol = await loop.create_connection(make_protocol, **options)
    return await _handshaken(raw, protocol)


async def create_unix_connection(
    protocol_factory: Callable[[], P],
    path: str | None,
    config: ClientConfig,
    *,
    server_name: str | ServerName,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    **options: Any,
) -> tuple[TLSTransport, P]:
    """The same over a Unix socket, as `loop.create_unix_connection` does. `path` may be None with `sock=`."""
    _check_options(options)
    loop = asyncio.get_running_loop()
    connection = new_client(config, server_name)

    def make_protocol() -> TLSProtocol:
        return TLSProtocol(
            connection, protocol_factory(), handshake_timeout=handshake_timeout, shutdown_timeout=shutdown_timeout
        )

    raw, protocol = await loop.create_unix_connection(make_protocol, path, **options)
    return await _handshaken(raw, protocol)


async def create_server(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: str | None,
    port: int | None,
    config: ServerConfig,
    *,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    handshake_failed: HandshakeFailed | None = None,
    **options: Any,
) -> asyncio.Server:
    """Listen, as `loop.create_server` does; a protocol's `connection_made` is called once its handshake is done.

    Args:
        protocol_factory: makes the protocol of each client, when that connects.
        host: name or address to listen on; None for all, or with `sock=`.
        port: the port, 0 for any free one; None with `sock=`.
        config: for every connection.
        handshake_timeout: seconds that a client may take for the whole handshake.
        shutdown_timeout: seconds that closing waits while nothing moves.
        handshake_failed: told of each handshake that fails, with the reason; without it they are only logged
            (`trustls.aio`, level INFO).
        options: for `loop.create_server` (`backlog`, `reuse_port`, `sock`, `start_serving`, ...).

    Raises:
        OSError: the address cannot be had. ConfigError: an option of `ssl`.
    """
    _check_options(options)
    make = _acceptor(protocol_factory, config, handshake_timeout, shutdown_timeout, handshake_failed)
    return await asyncio.get_running_loop().create_server(make, host, port, **options)


async def create_unix_server(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    path: str | None,
    config: ServerConfig,
    *,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    handshake_failed: HandshakeFailed | None = None,
    **options: Any,
) -> asyncio.Server:
    """The same on a Unix socket, as `loop.create_unix_server` does. `path` may be None with `sock=`."""
    _check_options(options)
    make = _acceptor(protocol_factory, config, handshake_timeout, shutdown_timeout, handshake_failed)
    return await asyncio.get_running_loop().create_unix_server(make, path, **options)


async def start_tls(
    transport: asyncio.BaseTransport,
    protocol: asyncio.BaseProtocol,
    config: ClientConfig | ServerConfig,
    *,
    server_name: str | ServerName | None = None,
    received: Data = b"",
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
) -> TLSTransport:
    """Go on in TLS on a transport that has been used in the clear, as `loop.start_tls` does.

    `protocol` is given the data from now on, by the transport that this gives; its `connection_made` is not called. The
    raw transport is not to be used any more. Streams are upgraded by `start_tls_streams`.

    Whatever has been read behind the last command in the clear belongs into `received`, where it has to be TLS; nothing
    that was not encrypted may be taken for data that was (CVE-2011-0411 and its many descendants).

    Args:
        transport: the transport in the clear; that of another TLS connection is one too.
        protocol: gets the data.
        config: a ClientConfig makes this side the client, a ServerConfig the server.
        server_name: on a client, the name that the server's certificate must be valid for.
        received: what has already been read, and not been used.
        handshake_timeout: seconds for the whole handshake.
        shutdown_timeout: seconds that closing waits while nothing moves.

    Raises:
        TLSError: the handshake failed, and the transport is closed. PeerMisbehaved: what came is no TLS.
        ConfigError: a client without a server name; streams, whose reader may hold what came in the clear.
        ConnectionClosed: the transport is closed.
    """
    if isinstance(protocol, asyncio.StreamReaderProtocol) and protocol is transport.get_protocol():
        raise ConfigError(
            "streams are upgraded by start_tls_streams(): what their reader holds must not be taken for TLS's"
        )
    tls = upgraded(
        transport,
        TLSProtocol(
            new_connection(config, server_name),
            protocol,
            handshake_timeout=handshake_timeout,
            shutdown_timeout=shutdown_timeout,
            announce=False,
        ),
        received,
    )
    gained, _ = await _handshaken(transport, tls)
    return gained


def upgraded(transport: asyncio.BaseTransport, tls: TLSProtocol, received: Data, *, ended: bool = False) -> TLSProtocol:
    """Put `tls` on a transport that is in use, and feed it what has been read; `ended` when that was all there is.

    Nothing is awaited, so that no byte can come in between.
    """
    if transport.is_closing():
        raise ConnectionClosed("the transport is closed")
    raw = cast("asyncio.Transport", transport)
    raw.pause_reading()
    raw.set_protocol(tls)
    tls.connection_made(raw)
    if received:
        tls.feed(received)
    if ended:
        tls.eof_received()
    elif tls.connection.pending_work is None:
        raw.resume_reading()
    return tls


async def _handshaken(raw: asyncio.BaseTransport, protocol: TLSProtocol) -> tuple[TLSTransport, Any]:
    """The transport, once the handshake is done."""
    try:
        await protocol.handshake_done
    except asyncio.CancelledError:
        cast("asyncio.Transport", raw).abort()
        raise
    transport = protocol.transport
    assert transport is not None  # noqa: S101 (the handshake is done)
    return transport, protocol.application_protocol


def _acceptor(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    config: ServerConfig,
    handshake_timeout: float,
    shutdown_timeout: float,
    handshake_failed: HandshakeFailed | None,
) -> Callable[[], TLSProtocol]:
    def make_protocol() -> TLSProtocol:
        return TLSProtocol(
            ServerConnection(config),
            protocol_factory(),
            handshake_timeout=handshake_timeout,
            shutdown_timeout=shutdown_timeout,
            on_failure=handshake_failed,
        )

    return make_protocol


def _check_options(options: dict[str, Any]) -> None:
    """Refuse what would make two layers of TLS of one."""
    found = [name for name in _OF_SSL if options.get(name) is not None]
    if found:
        raise ConfigError(f"{', '.join(found)}: TLS is trustls's here, and set up by the configuration")
