"""Speed does not rot unseen: fixed work takes no more calls than were recorded, plus a tenth.

Calls are what the time of pure Python goes by, and unlike time they can be asserted: the same work makes the same calls
on every machine.
"""

from __future__ import annotations

import functools

import pytest

from tests.guard import baseline
from tests.guard.baseline import FILE, RECORD, Calls

TOLERANCE = 1.10

counted = functools.cache(baseline.counted)


def excess(now: Calls, then: Calls) -> list[str]:
    """What takes more calls than it may, in words."""
    return [
        f"{work}: {calls} calls of {kind} functions, {calls / then[work][kind] - 1:+.1%} against {then[work][kind]}"
        for work in then
        for kind, calls in now[work].items()
        if calls > then[work][kind] * TOLERANCE
    ]


def test_work_takes_no_more_calls_than_recorded() -> None:
    found = excess(counted(), baseline.recorded())
    assert not found, "\n".join(
        [*found, f"Where they went: cProfile on tests/guard/work.py. If they are worth it, record them anew: {RECORD}"]
    )


def test_all_work_is_recorded() -> None:
    assert set(counted()) == set(baseline.recorded()), f"{FILE.name} has other work: record it anew with {RECORD}"


def test_counting_twice_gives_the_same() -> None:
    assert baseline.counted() == counted(), "the work is not the same each time: what in it is left to chance?"


@pytest.mark.parametrize("kind", ["python", "c"])
def test_more_than_a_tenth_is_an_excess(kind: str) -> None:
    then = {"a handshake": {"python": 1000, "c": 1000}}
    assert not excess({"a handshake": {"python": 1000, "c": 1000, kind: 1100}}, then), "a tenth more is allowed"
    assert excess({"a handshake": {"python": 1000, "c": 1000, kind: 1101}}, then) == [
        f"a handshake: 1101 calls of {kind} functions, +10.1% against 1000"
    ]
