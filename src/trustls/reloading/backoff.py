"""How long to wait after a failure: soon at first, then ever longer."""

from __future__ import annotations

# 2^16 times the first wait is longer than any last one; further doublings would only overflow.
_MAX_DOUBLINGS = 16


class Backoff:
    """Waits of `first` seconds, twice that, four times that, and so on to `last`."""

    __slots__ = ("_failures", "_first", "_last")

    def __init__(self, first: float, last: float) -> None:
        self._first = first
        self._last = last
        self._failures = 0

    def after_failure(self) -> float:
        """Seconds to wait now."""
        self._failures += 1
        return min(self._first * 2.0 ** min(self._failures - 1, _MAX_DOUBLINGS), self._last)

    def reset(self) -> None:
        """Begin anew, after a success, or when there is reason to hope for one."""
        self._failures = 0
