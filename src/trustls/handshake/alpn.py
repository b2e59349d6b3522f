"""Application-Layer Protocol Negotiation, the server's choice (RFC 7301)."""

from __future__ import annotations

from collections.abc import Sequence

from trustls.errors import Incompatibility
from trustls.handshake.disagreement import nothing_in_common
from trustls.handshake.parameters import ServerParameters
from trustls.wire.messages import ClientHello
from trustls.wire.names import shown


def chosen_alpn(server: ServerParameters, hello: ClientHello) -> bytes | None:
    """Our most preferred protocol that the client offers (RFC 7301 3.2); None when either side does not care."""
    if hello.alpn is None or not server.alpn:
        return None
    for protocol in server.alpn:
        if protocol in hello.alpn:
            return protocol
    raise nothing_in_common(Incompatibility.NO_COMMON_ALPN, _shown(hello.alpn), _shown(server.alpn))


def _shown(protocols: Sequence[bytes]) -> list[str]:
    return [shown(protocol.decode("utf-8", "backslashreplace")) for protocol in protocols]
