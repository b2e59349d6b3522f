"""A bounded memory for what is costly to compute twice: parsed certificates and verified signatures."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class BoundedCache(Generic[_Key, _Value]):
    """A mapping that forgets what was not used lately, safe to share between threads.

    It keeps two generations. What is used moves to the young one; when that is full it becomes the old one, and what
    was old is forgotten. A hit in the young generation is one dictionary lookup, without a lock.

    Args:
        entries: how many entries are kept at most.
        weight: the greatest sum of the weights given to `put`.
    """

    __slots__ = ("_entries", "_lock", "_old", "_weight", "_young", "_young_weight")

    def __init__(self, *, entries: int, weight: int) -> None:
        self._entries = entries // 2
        self._weight = weight // 2
        self._young: dict[_Key, tuple[_Value, int]] = {}
        self._old: dict[_Key, tuple[_Value, int]] = {}
        self._young_weight = 0
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Value | None:
        """The value put under this key, or None."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            self.put(key, *entry)
        return entry[0]

    def put(self, key: _Key, value: _Value, weight: int = 1) -> None:
        """Keep a value; one that is heavier than a quarter of what the cache may hold is not kept."""
        if weight * 2 > self._weight:
            return
        with self._lock:
            if key in self._young:
                return
            if len(self._young) >= self._entries or self._young_weight + weight > self._weight:
                self._old = self._young
                self._young = {}
                self._young_weight = 0
            self._young[key] = value, weight
            self._young_weight += weight

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._young = {}
            self._old = {}
            self._young_weight = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old.keys() - self._young.keys())
