"""TLS over anyio (which it needs), whatever event loop is below: streams, listeners and connectables."""

from __future__ import annotations

try:
    import anyio as _  # noqa: F401 (only to say what is missing)
except ImportError as error:
    raise ImportError(
        "trustls.anyio needs anyio, which this Python does not have. "
        "Install the extra that brings it: pip install 'trustls[anyio]'"
    ) from error

from trustls.net.anyio import (
    ConnectionAttribute,
    SignerInThread,
    TLSConnectable,
    TLSListener,
    TLSStream,
    connect_tls,
)

__all__ = [
    "ConnectionAttribute",
    "SignerInThread",
    "TLSConnectable",
    "TLSListener",
    "TLSStream",
    "connect_tls",
]
