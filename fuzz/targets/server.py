"""A server, and a client that says what the input makes of its messages: see `fuzz.stories`."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz import seeds as recorded
from fuzz.stories import MAX_LENGTH, tell

__all__ = ["MAX_LENGTH", "check", "seeds"]


def check(data: bytes) -> None:
    """One connection."""
    tell("server", data)


def seeds() -> Iterator[bytes]:
    """Each scenario, unchanged and with one change in each place."""
    return recorded.stories()
