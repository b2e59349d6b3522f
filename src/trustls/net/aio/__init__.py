"""asyncio: a TLS protocol and transport pair on BufferedProtocol, and what asyncio has on top of such a pair.

`protocol` and `transport` are the pair; `endpoints` makes them, as the methods of asyncio's loop do; `streams` puts
StreamReader and StreamWriter on top; `sendfile` sends files.
"""

from __future__ import annotations

from trustls.net.aio.endpoints import (
    create_connection,
    create_server,
    create_unix_connection,
    create_unix_server,
    start_tls,
)
from trustls.net.aio.protocol import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, HandshakeFailed, TLSProtocol
from trustls.net.aio.protocol import LAST_WORDS as _LAST_WORDS  # docs/security.md names it here.
from trustls.net.aio.sendfile import sendfile
from trustls.net.aio.signing import SignerInThread
from trustls.net.aio.streams import (
    ClientConnected,
    open_connection,
    open_unix_connection,
    start_server,
    start_tls_streams,
    start_unix_server,
)
from trustls.net.aio.transport import TLSTransport

__all__ = [
    "HANDSHAKE_TIMEOUT",
    "SHUTDOWN_TIMEOUT",
    "_LAST_WORDS",
    "ClientConnected",
    "HandshakeFailed",
    "SignerInThread",
    "TLSProtocol",
    "TLSTransport",
    "create_connection",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "open_connection",
    "open_unix_connection",
    "sendfile",
    "start_server",
    "start_tls",
    "start_tls_streams",
    "start_unix_server",
]
