"""What a process holds on behalf of its connections: objects, tasks, timers, descriptors, buffers, memory."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import inspect
import os
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

from trustls.protocol.buffers import BUFFER_SIZE, BUFFERS, SEALING_BUFFERS
from trustls.wire import messages

# Whose instances belong to one connection. What belongs to a configuration, and the pools, may stay.
_OF_A_CONNECTION: Final = (
    "trustls.connection",
    "trustls.net",
    "trustls.handshake.flow",
    "trustls.handshake.established",
    "trustls.protocol.record",
    "trustls.protocol.joiner",
    "trustls.protocol.transcript",
    "trustls.protocol.early_data",
    "trustls.protocol.key_schedule",
    "trustls.wire.messages",
    "asyncio.selector_events",
    "asyncio.streams",
)
_NOT_OF_A_CONNECTION: Final = {"_Labels", "BaseSelectorEventLoop", "EnumType"}

# More than a pool keeps.
_POOLED: Final = 16


def held() -> Counter[str]:
    """By kind, how many things there are that belong to some connection. Must be called in a running loop."""
    messages._repeated.cache_clear()  # A few that were said to many: of no connection, and bounded.
    gc.collect()
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        module = kind.__module__
        if inspect.iscoroutine(thing) and f"{os.sep}trustls{os.sep}" in thing.cr_code.co_filename:
            found[f"coroutine {thing.__qualname__}"] += 1
        elif (
            isinstance(module, str)
            and module.startswith(_OF_A_CONNECTION)
            and kind.__name__ not in _NOT_OF_A_CONNECTION
        ):
            found[f"{module}.{kind.__qualname__}"] += 1
    found["tasks"] = len(asyncio.all_tasks())
    found["timers"] = timers()
    found["descriptors"] = sum(1 for _ in Path("/dev/fd").iterdir())
    return found


def timers() -> int:
    """How many timers of the running loop will still fire."""
    loop = cast("Any", asyncio.get_running_loop())
    return sum(1 for timer in loop._scheduled if not timer.cancelled())


async def happens(condition: Callable[[], bool], *, within: float = 5.0) -> bool:
    """Whether `condition` comes true before the time, in seconds, is up."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


async def gone(before: Counter[str], *, within: float = 5.0) -> Counter[str]:
    """What is there beyond `before`, once it is nothing or the time, in seconds, is up."""
    deadline = time.monotonic() + within
    while True:
        await asyncio.sleep(0.05)
        more = held() - before
        if not more or time.monotonic() > deadline:
            return more


class _Counted(bytearray):
    """A buffer that a weak reference may point to."""


@contextlib.contextmanager
def counted_buffers() -> Iterator[Callable[[], int]]:
    """Gives a function that tells how many of the buffers that reads land in are alive, lent or not."""
    made: list[weakref.ref[_Counted]] = []
    pool = cast("Any", BUFFERS)
    usual, free = pool._make, pool._free

    def make() -> bytearray:
        buffer = _Counted(BUFFER_SIZE)
        made.append(weakref.ref(buffer))
        return buffer

    pool._make, pool._free = make, []
    try:
        yield lambda: sum(1 for reference in made if reference() is not None)
    finally:
        pool._make, pool._free = usual, free


def fill_pools() -> None:
    """Let the pools hold all that they ever keep, so that they do not grow while memory is watched."""
    for pool in (BUFFERS, SEALING_BUFFERS):
        lent: list[Any] = [pool.take() for _ in range(_POOLED)]
        for buffer in lent:
            cast("Any", pool).give_back(buffer)


def resident() -> int:
    """Bytes of memory that the process occupies, after what can be given back was given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it.
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
