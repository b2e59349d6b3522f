"""A few large buffers that all connections share, so that an idle connection holds none.

A fresh buffer of this size costs page faults worth several microseconds; a borrowed one costs two list operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

BUFFER_SIZE: Final = 1 << 17
"""What is opened of one delivery: a transport may well give 64 KiB of data with their records' overhead."""
_KEEP: Final = 8
_AT_ONCE: Final = 4
FULL_RECORD: Final = 5 + (1 << 14) + 1 + 16
"""The length of a record of TLS 1.3 with 2^14 bytes of data and no padding: header, data, content type, tag."""
# Room for so many full records: header, 2^14 bytes, and what TLS 1.2 or 1.3 add.
_SEALED_SIZE: Final = _AT_ONCE * ((1 << 14) + 64)

T = TypeVar("T")


class Pool(Generic[T]):
    """Lends out buffers. Safe between threads: `list.pop` and `append` are atomic."""

    __slots__ = ("_free", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._free: list[T] = []
        self._make = make

    def take(self) -> T:
        """A buffer, holding whatever it held before."""
        try:
            return self._free.pop()
        except IndexError:
            return self._make()

    def give_back(self, buffer: T) -> None:
        """Return a buffer that nobody looks at any more."""
        if len(self._free) < _KEEP:
            self._free.append(buffer)


class SealingBuffers:
    """Where data is sealed: the plaintext of one record with its content type, and up to four records.

    `full_bodies` has a view of what follows the header, for each full record that stands behind full ones: by where it
    starts.
    """

    __slots__ = ("full_bodies", "out", "out_view", "plaintext", "plaintext_view")

    def __init__(self) -> None:
        self.plaintext = bytearray((1 << 14) + 1)
        self.plaintext_view = memoryview(self.plaintext)
        self.out = bytearray(_SEALED_SIZE)
        self.out_view = memoryview(self.out)
        self.full_bodies = {
            start: self.out_view[start + 5 : start + FULL_RECORD]
            for start in range(0, _AT_ONCE * FULL_RECORD, FULL_RECORD)
        }


BUFFERS: Final = Pool(lambda: bytearray(BUFFER_SIZE))
SEALING_BUFFERS: Final = Pool(SealingBuffers)
