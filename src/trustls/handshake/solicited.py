"""The rule that an answer holds no extension that was not asked for (RFC 9846 4.3, RFC 5246 7.4.1.4)."""

from __future__ import annotations

from trustls.errors import Misbehaviour, PeerMisbehaved
from trustls.wire.enums import ExtensionType
from trustls.wire.extensions import Extended
from trustls.wire.messages import ClientHello


def check_solicited(message: Extended, hello: ClientHello, always: frozenset[ExtensionType] = frozenset()) -> list[int]:
    """The extensions of a server's message, none of which is there unasked.

    Raises:
        PeerMisbehaved: there is one that `hello` does not have and that is not `always` allowed.
    """
    kinds = message.extension_types()
    for kind in kinds:
        if not hello.has_extension(kind) and kind not in always:
            raise PeerMisbehaved(
                Misbehaviour.UNSOLICITED_EXTENSION, f"{ExtensionType(kind)} in {type(message).__name__}"
            )
    return kinds
