"""The peers that no program of ours drives: terminators, a browser and curl. Their tests stand beside this folder."""

from __future__ import annotations

from typing import Final

from tests.interop.matrix.adapters import Cannot, Elsewhere
from tests.interop.matrix.scenarios import Role, Scenario

_OLD_OPENSSL: Final = Cannot(Scenario.HYBRID, "Debian 12's OpenSSL 3.0 has no ML-KEM; it came with 3.5")


def _is_a_tool(what: str) -> tuple[Cannot, ...]:
    return (
        _OLD_OPENSSL,
        Cannot(Scenario.CHOICE, f"{what} sends the one certificate that it was given, whatever is named", Role.SERVER),
        Cannot(Scenario.THEIR_UPDATE, f"{what} answers a KeyUpdate that asks for one, and cannot be told to send one"),
    )


ELSEWHERE: Final = (
    Elsewhere(name="curl", title="curl", cannot=_is_a_tool("curl")),
    Elsewhere(name="nginx", title="nginx", cannot=_is_a_tool("nginx")),
    Elsewhere(name="haproxy", title="HAProxy", cannot=_is_a_tool("HAProxy")),
    Elsewhere(name="chromium", title="Chromium"),
)
