"""Application-Layer Protocol Negotiation, the server's choice (RFC 7301)."""

from __future__ import annotations

from trustls.errors import Incompatibility, PeerIncompatible
from trustls.handshake.parameters import ServerParameters
from trustls.wire.messages import ClientHello


def chosen_alpn(server: ServerParameters, hello: ClientHello) -> bytes | None:
    """Our most preferred protocol that the client offers (RFC 7301 3.2); None when either side does not care."""
    if hello.alpn is None or not server.alpn:
        return None
    for protocol in server.alpn:
        if protocol in hello.alpn:
            return protocol
    raise PeerIncompatible(Incompatibility.NO_COMMON_ALPN, f"the client offers {', '.join(map(repr, hello.alpn[:16]))}")
