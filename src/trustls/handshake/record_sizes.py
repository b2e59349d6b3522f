"""How long the records may be: record_size_limit (RFC 8449), for both versions and both sides.

Each side says how much a protected record may hold that it is sent. In TLS 1.2 that is the content alone; in TLS 1.3 it
is the content, the byte of its type and the padding. A server answers every client that says so, with its own limit or,
where it has none, with the most that the version allows. It replaces max_fragment_length, which is passed over.
"""

from __future__ import annotations

from typing import Final

from trustls.errors import Misbehaviour, PeerMisbehaved
from trustls.handshake.flow import Flow
from trustls.protocol.record import MAX_PLAINTEXT
from trustls.wire.enums import ProtocolVersion

MIN_RECORD_SIZE_LIMIT: Final = 64
MAX_RECORD_SIZE_LIMIT: Final = MAX_PLAINTEXT + 1
_OF_VERSION: Final = {ProtocolVersion.TLS1_2: MAX_PLAINTEXT, ProtocolVersion.TLS1_3: MAX_PLAINTEXT + 1}


def own_limit(configured: int | None, version: ProtocolVersion) -> int:
    """What this side says in `version`."""
    most = _OF_VERSION[version]
    return most if configured is None else min(configured, most)


def plaintext_within(limit: int, version: ProtocolVersion) -> int:
    """How many bytes of content, padding included, a limit leaves room for."""
    return limit - (version == ProtocolVersion.TLS1_3)


def keep_to(flow: Flow, limit: int, version: ProtocolVersion) -> None:
    """Send what goes out from now on within the peer's limit. More than the version has is no fault of a client's.

    It is for protected records alone (RFC 8449 4), but GnuTLS holds those to it, too, that follow a ServerHello of TLS
    1.2 in the clear.
    """
    flow.fragment_at_most(plaintext_within(limit, version))


def check_answer(limit: int, version: ProtocolVersion) -> None:
    """Refuse a server that says more than the version has."""
    most = _OF_VERSION[version]
    if limit > most:
        raise PeerMisbehaved(Misbehaviour.BAD_RECORD_SIZE_LIMIT, f"the server says {limit}, {version} has {most}")
