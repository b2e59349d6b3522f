"""asyncio streams over loopback, trustls and `ssl`, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import Callable

from bench.peers import bio, own
from bench.pki import Scenario
from bench.results import TRUSTLS, Row
from bench.streams import BULK, LoopTLS, OurTLS, Stack
from bench.terms import Terms
from bench.timing import Spent, interleaved, spread

_SECTION = "loopback, asyncio streams"
_SHOWN: dict[str, Callable[[float], float]] = {
    "MB/s": lambda taken: BULK / 1e6 / taken,
    "us": lambda taken: taken * 1e6,
    "1/s": lambda taken: 1 / taken,
}
"""A figure of each unit, from the seconds that it took."""

_NOTE = (
    "Loopback: in processor time of both ends together, so a second is one of the processor; JSON has the same by the "
    "clock, which on a machine with neighbours says more about them."
)


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:  # noqa: ARG001 (there is one variant)
    """Bulk, latency and connections of every stack."""
    stacks = _stacks(Scenario(), terms)
    try:
        share = seconds / 3
        bulk = {stack.name: stack.bulk for stack in stacks}
        latency = {stack.name: stack.round_trip for stack in stacks}
        connections = {stack.name: stack.connection for stack in stacks}
        return [
            measured(_SECTION, "loopback-bulk", "bulk, 64 KiB a write", "MB/s", bulk, share),
            measured(_SECTION, "loopback-latency", "64 B there and back", "us", latency, share),
            measured(_SECTION, "loopback-connections", "connect, 64 B each way, close", "1/s", connections, share),
        ]
    finally:
        for stack in stacks:
            stack.close()


def _stacks(scenario: Scenario, terms: Terms) -> list[Stack]:
    ours = OurTLS(*own.configs(scenario, terms))
    theirs = LoopTLS(*bio.ssl_contexts(scenario, terms))
    stacks = [
        Stack(TRUSTLS, asyncio.Runner(), ours),
        Stack("asyncio + ssl", asyncio.Runner(), theirs),
    ]
    with contextlib.suppress(ImportError):
        import uvloop

        for name, tls in (("uvloop + ssl", theirs), ("uvloop + trustls", ours)):
            stacks.append(Stack(name, asyncio.Runner(loop_factory=uvloop.new_event_loop), tls))
    return stacks


def measured(
    section: str, key: str, work: str, unit: str, cases: dict[str, Callable[[], Spent]], seconds: float
) -> Row:
    """The row of these cases, by the processor's time; by the clock in its detail."""
    samples = interleaved(cases, seconds, block=2)
    row = Row(section, key, work, unit, notes=[_NOTE])
    for name, found in samples.items():
        processor = [spent.processor for spent in found]
        row.values[name] = _SHOWN[unit](statistics.median(processor))
        by_the_clock = _SHOWN[unit](statistics.median(spent.wall for spent in found))
        row.detail[name] = {"by the clock": by_the_clock, "spread": spread(processor), "samples": len(found)}
    return row
