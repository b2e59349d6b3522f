"""TLS over asyncio: `open_connection` and `start_server`, with ordinary StreamReader and StreamWriter."""

from __future__ import annotations

from trustls.net.aio import SignerInThread, TLSProtocol, TLSTransport, open_connection, start_server

__all__ = ["SignerInThread", "TLSProtocol", "TLSTransport", "open_connection", "start_server"]
