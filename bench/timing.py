"""Interleaved sampling: the cases take turns in short blocks, so that drift and neighbours touch all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def interleaved(cases: Mapping[str, Callable[[], T]], seconds: float, *, block: int = 10) -> dict[str, list[T]]:
    """Samples of each case, gathered in turns for about `seconds` in all; at least three blocks of each.

    The first sample of a block is thrown away: it finds the processor's caches full of another case.
    """
    samples: dict[str, list[T]] = {name: [] for name in cases}
    order = list(cases)
    for case in cases.values():
        for _ in range(3):
            case()
    gc.collect()
    end = time.perf_counter() + seconds
    turn = 0
    while turn < 3 or time.perf_counter() < end:
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            case = cases[name]
            case()
            samples[name] += [case() for _ in range(block)]
        turn += 1
    return samples


def medians(samples: Sequence[Sequence[float]]) -> list[float]:
    """The median of each column."""
    return [statistics.median(column) for column in zip(*samples, strict=True)]


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, as a share of the median: how noisy it was."""
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle
