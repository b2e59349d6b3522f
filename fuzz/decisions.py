"""Decisions: a fuzz input read as choices, from the front.

An input that is at its end gives the first of everything, so that each prefix of an input is an input, and the empty
one means that nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Decisions:
    """Reads choices from the bytes of one input."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether the input says anything more."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """0 to 255."""
        at = self._at
        if at >= len(self._data):
            return 0
        self._at = at + 1
        return self._data[at]

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1; 0 where `limit` is not positive."""
        if limit <= 1:
            return 0
        value = self.byte()
        reach = 256
        while reach < limit:
            value = value << 8 | self.byte()
            reach <<= 8
        return value % limit

    def flag(self) -> bool:
        """Yes or no; no first."""
        return self.byte() % 2 == 1

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, which may not be empty."""
        return items[self.below(len(items))]

    def octets(self, most: int = 255) -> bytes:
        """A string of at most `most` bytes; its length is read first."""
        size = self.below(most + 1)
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        taken = self._data[self._at :]
        self._at = len(self._data)
        return taken

    def steps(self, most: int) -> Iterator[tuple[int, Decisions]]:
        """At most `most` steps: a number and choices of its own each, so that what changes in one moves no other."""
        for _ in range(most):
            if not self:
                return
            yield self.byte(), Decisions(self.octets())


def step(number: int, *choices: int | bytes) -> bytes:
    """One step as `Decisions.steps` reads it, for seeds."""
    content = b"".join(choice if isinstance(choice, bytes) else bytes([choice]) for choice in choices)
    return bytes([number, len(content)]) + content
