"""TLS over asyncio: streams, protocols and transports as asyncio has them, with a trustls configuration for each.

`open_connection` and `start_server` give ordinary StreamReaders and StreamWriters; `create_connection` and
`create_server` take protocols; `start_tls` and `start_tls_streams` go on in TLS on what was in the clear.
"""

from __future__ import annotations

from trustls.net.aio import (
    SignerInThread,
    TLSProtocol,
    TLSTransport,
    create_connection,
    create_server,
    create_unix_connection,
    create_unix_server,
    open_connection,
    open_unix_connection,
    sendfile,
    start_server,
    start_tls,
    start_tls_streams,
    start_unix_server,
)

__all__ = [
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
