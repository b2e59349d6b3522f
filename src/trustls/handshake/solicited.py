"""The rule that an answer holds no extension that was not asked for (RFC 9846 4.3, RFC 5246 7.4.1.4)."""

from __future__ import annotations

from trustls.errors import Misbehaviour, PeerMisbehaved
from trustls.wire.enums import ExtensionType
from trustls.wire.extensions import Extended
from trustls.wire.messages import ClientHello


def check_solicited(message: Extended, hello: ClientHello, always: frozenset[ExtensionType] = frozenset()) -> None:
    """Refuse a server's message with an extension that `hello` does not have and that is not `always` allowed."""
    offered = set(hello.extension_types())
    for kind in message.extension_types():
        if kind not in offered and kind not in always:
            raise PeerMisbehaved(
                Misbehaviour.UNSOLICITED_EXTENSION, f"{ExtensionType(kind)} in {type(message).__name__}"
            )
