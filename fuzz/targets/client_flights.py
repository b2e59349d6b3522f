"""A client, and whatever bytes come in answer to its hello: see `fuzz.targets.flights`."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.targets import flights

MAX_LENGTH = flights.MAX_LENGTH


def check(data: bytes) -> None:
    """One flight, or several."""
    flights.check("client", data)


def seeds() -> Iterator[bytes]:
    """What servers answered."""
    return flights.seeds("client")
