"""A server, and whatever bytes come first: see `fuzz.targets.flights`."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.targets import flights

MAX_LENGTH = flights.MAX_LENGTH


def check(data: bytes) -> None:
    """One flight, or several."""
    flights.check("server", data)


def seeds() -> Iterator[bytes]:
    """What clients said."""
    return flights.seeds("server")
