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
_FULL: Final = 1 << 14
FULL_RECORD: Final = 5 + _FULL + 1 + 16
"""The length of a record of TLS 1.3 with 2^14 bytes of data and no padding: header, data, content type, tag."""
FULL_HEADER: Final = b"\x17\x03\x03" + (FULL_RECORD - 5).to_bytes(2, "big")
"""Its header."""
# Room for so many full records: header, 2^14 bytes, and what TLS 1.2 or 1.3 add.
_SEALED_SIZE: Final = _AT_ONCE * (_FULL + 64)

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
    """Where up to four full records of application data are sealed.

    `out` is where they go. For TLS 1.3 all views are there already, which saves a tenth: `plaintext` of one record,
    that is its `content` and a byte for the content type; and each of the `records`, its header and what follows.
    """

    __slots__ = ("content", "out", "plaintext", "records")

    def __init__(self) -> None:
        self.plaintext = memoryview(bytearray(_FULL) + FULL_HEADER[:1])
        self.content = self.plaintext[:_FULL]
        self.out = memoryview(bytearray(_SEALED_SIZE))
        self.records = tuple(
            [
                (self.out[start : start + 5], self.out[start + 5 : start + FULL_RECORD])
                for start in range(0, _AT_ONCE * FULL_RECORD, FULL_RECORD)
            ]
        )


BUFFERS: Final = Pool(lambda: bytearray(BUFFER_SIZE))
SEALING_BUFFERS: Final = Pool(SealingBuffers)
