"""Nothing in common: what the client offers and what this server takes, side by side in one error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trustls.errors import Incompatibility, PeerIncompatible
from trustls.wire.enums import CipherSuite, OpenEnum, is_grease

_MAX_LISTED: Final = 16
# No cipher suites, but what clients say by the list of them (RFC 5746 3.3, RFC 7507 2).
_SIGNALS: Final = (CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV, CipherSuite.TLS_FALLBACK_SCSV)


def nothing_in_common(
    reason: Incompatibility, offered: Sequence[object], ours: Sequence[object], *, remedy: str = ""
) -> PeerIncompatible:
    """The error for a client that offers these, and a server that takes those. `remedy` stands for the reason's own."""
    found, expected = listed(offered), listed(ours)
    return PeerIncompatible(
        reason,
        f"the client offers {found}, this server takes {expected}",
        expected=expected,
        found=found,
        remedy=remedy,
    )


def listed(items: Sequence[object]) -> str:
    """The first of them in words, and how many more there are; without those that only signal something."""
    real = [item for item in items if item not in _SIGNALS and not (isinstance(item, OpenEnum) and is_grease(item))]
    more = f" and {len(real) - _MAX_LISTED} more" if len(real) > _MAX_LISTED else ""
    return ", ".join(map(str, real[:_MAX_LISTED])) + more or "none"
