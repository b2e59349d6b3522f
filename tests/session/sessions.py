"""Sessions to put into stores and tickets."""

from __future__ import annotations

from typing import Any

from trustls.session.state import ServerSession
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion


def server_session(**changes: Any) -> ServerSession:
    """A session of TLS 1.3, with `changes`."""
    usual: dict[str, Any] = {
        "version": ProtocolVersion.TLS1_3,
        "suite": CipherSuite.TLS_AES_128_GCM_SHA256,
        "group": NamedGroup.X25519,
        "secret": bytes(range(32)),
        "binding": bytes(32),
        "server_name": "localhost",
        "alpn": b"h2",
        "client_chain": (b"a certificate", b"its issuer"),
        "issued_at": 1_700_000_000_123,
        "lifetime": 7200,
        "age_add": 0xFEDCBA98,
        "max_early_data": 16384,
    }
    return ServerSession(**{**usual, **changes})
