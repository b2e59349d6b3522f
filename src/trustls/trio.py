"""TLS over trio (which it needs): a stream, a listener, and functions of the kind that trio has for its SSLStream."""

from __future__ import annotations

try:
    import trio as _  # noqa: F401 (only to say what is missing)
except ImportError as error:
    raise ImportError(
        "trustls.trio needs trio, which this Python does not have. "
        "Install the extra that brings it: pip install 'trustls[trio]'"
    ) from error

from trustls.net.trio import (
    SignerInThread,
    TLSListener,
    TLSStream,
    open_tls_over_tcp_listeners,
    open_tls_over_tcp_stream,
    serve_tls_over_tcp,
)

__all__ = [
    "SignerInThread",
    "TLSListener",
    "TLSStream",
    "open_tls_over_tcp_listeners",
    "open_tls_over_tcp_stream",
    "serve_tls_over_tcp",
]
