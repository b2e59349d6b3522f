"""A few large buffers that all connections share, so that an idle connection holds none.

A fresh buffer of this size costs page faults worth several microseconds; a borrowed one costs two list operations.
"""

from __future__ import annotations

from typing import Final

BUFFER_SIZE: Final = 1 << 16
_KEEP: Final = 8


class BufferPool:
    """Gives out bytearrays of BUFFER_SIZE. Safe between threads: `list.pop` and `append` are atomic."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self) -> bytearray:
        """A buffer, holding whatever it held before."""
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(BUFFER_SIZE)

    def give_back(self, buffer: bytearray) -> None:
        """Return a buffer that nobody looks at any more."""
        if len(self._free) < _KEEP:
            self._free.append(buffer)


BUFFERS = BufferPool()
