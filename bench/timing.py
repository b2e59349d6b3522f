"""Interleaved sampling: the cases take turns in short blocks, so that drift and neighbours touch all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")

_LEAST_TURNS = 3


def interleaved(
    cases: Mapping[str, Callable[[], T]], seconds: float, *, block: int = 10, slow: Collection[str] = ()
) -> dict[str, list[T]]:
    """Samples of each case, gathered in turns for about `seconds` in all; at least three turns.

    In a turn each case runs `block` times, those in `slow` once. The first run of a block is thrown away: it finds the
    processor's caches full of another case. The garbage collector runs when it likes, as in production.
    """
    samples: dict[str, list[T]] = {name: [] for name in cases}
    order = list(cases)
    for name, case in cases.items():
        for _ in range(1 if name in slow else 3):
            case()
    gc.collect()
    end = time.perf_counter() + seconds
    turn = 0
    while turn < _LEAST_TURNS or time.perf_counter() < end:
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            case = cases[name]
            if name in slow:
                samples[name].append(case())
            else:
                case()
                samples[name] += [case() for _ in range(block)]
        turn += 1
    return samples


class Spent(NamedTuple):
    """Seconds of the processor, and on the clock."""

    processor: float
    wall: float


class Stopwatch:
    """Time since it was made: of the processor (here and in the processes `others`, on Linux), and on the clock."""

    def __init__(self, others: Collection[int] = ()) -> None:
        self._others = others
        self._processor, self._start = self._used(), time.perf_counter()

    def spent(self, times: int = 1) -> Spent:
        """The time of one of `times` pieces of work."""
        return Spent((self._used() - self._processor) / times, (time.perf_counter() - self._start) / times)

    def _used(self) -> float:
        return time.process_time() + sum(map(processor_seconds, self._others))


def processor_seconds(process: int) -> float:
    """What a process has used of the processor so far, on Linux."""
    # clock_getcpuclockid(3), which Python has for threads only: the inverted id, and 2 for the scheduler's clock.
    return time.clock_gettime(~process << 3 | 2)


def medians(samples: Sequence[Sequence[float]]) -> list[float]:
    """The median of each column."""
    return [statistics.median(column) for column in zip(*samples, strict=True)]


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, as a share of the median: how noisy it was."""
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle
