"""How many calls the fixed work takes: `python -m tests.guard.count` prints it as JSON.

It runs in a process of its own, so that no other test has filled a cache or left garbage behind. Functions of Python
and of C are counted apart. In asyncio only what trustls's own code calls is counted: the loop's share is the loop's.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import trustls
from tests.guard.baseline import Calls
from tests.guard.work import ECHO, echo, works

_KINDS: Final = {"call": "python", "c_call": "c"}
_WARM_UP: Final = 3
_OWN: Final = str(Path(trustls.__file__).parent)


class Counter:
    """Counts calls while it is entered; of code outside `below`, where that is given, none."""

    def __init__(self, below: str = "") -> None:
        self.calls = {"python": 0, "c": 0}
        self._below = below

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """What `sys.setprofile` wants."""
        if event in _KINDS and frame.f_code.co_filename.startswith(self._below):
            self.calls[_KINDS[event]] += 1

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens inside, of this thread."""
        gc.collect()
        gc.disable()  # What it would free, and when, is chance.
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            gc.enable()


def calls() -> Calls:
    """All of it."""
    found = {name: _of(run) for name, run in works().items()}
    counter = Counter(below=_OWN)
    asyncio.run(echo(counter.counting))
    found[ECHO] = counter.calls
    return found


def _of(run: Callable[[], object]) -> dict[str, int]:
    for _ in range(_WARM_UP):
        run()
    counter = Counter()
    with counter.counting():
        run()
    return counter.calls


if __name__ == "__main__":
    print(json.dumps(calls()))  # noqa: T201 (that is its task)
