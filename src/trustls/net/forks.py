"""Forks of this process, after which two of them have every file descriptor that was open."""

from __future__ import annotations

import os
from typing import Final

# A child's count is that of the forks before it came to be, and one in the upper half for having come out of one.
_BORN: Final = 1 << 32


class _Forks:
    """How often this process was forked, in the lower 32 bits, and came out of a fork, above."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def in_parent(self) -> None:
        """There is another process now, with all the file descriptors of this one."""
        self.count += 1

    def in_child(self) -> None:
        """This is that process."""
        self.count += _BORN


FORKS: Final = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=FORKS.in_parent, after_in_child=FORKS.in_child)


def is_child_since(count: int) -> bool:
    """Whether this process came out of a fork after `FORKS.count` was `count`: that was another process then."""
    return FORKS.count >> 32 != count >> 32
