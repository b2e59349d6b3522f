"""Blocking sockets over loopback, the server in a process of its own: bulk, latency, connections a second."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from bench.lines import Dialect, Line, dialects, echo_server, exactly, header
from bench.loopback import measured
from bench.pki import Scenario
from bench.results import Row
from bench.streams import BULK, CHUNK, CONNECTIONS, ROUND_TRIPS, SMALL
from bench.terms import Terms
from bench.timing import Spent, Stopwatch

_SECTION = "loopback, blocking sockets"


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:  # noqa: ARG001 (there is one variant)
    """Bulk, latency and connections of every library."""
    # Client and server on one core: to wake somebody on another one costs more than all that is measured here, or less.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    share = seconds / 3
    with ExitStack() as stack:
        callers = [Caller(dialect, stack) for dialect in dialects(Scenario(), terms)]
        bulk: dict[str, Callable[[], Spent]] = {caller.name: caller.bulk for caller in callers}
        latency: dict[str, Callable[[], Spent]] = {caller.name: caller.round_trip for caller in callers}
        connections: dict[str, Callable[[], Spent]] = {caller.name: caller.connection for caller in callers}
        return [
            measured(_SECTION, "sockets-bulk", "bulk, 64 KiB a write", "MB/s", bulk, share),
            measured(_SECTION, "sockets-latency", "64 B there and back", "us", latency, share),
            measured(_SECTION, "sockets-connections", "connect, 64 B each way, close", "1/s", connections, share),
        ]


class Caller:
    """A client of an echo server, both by the same library."""

    def __init__(self, dialect: Dialect, stack: ExitStack) -> None:
        self.name = dialect.name
        self._connect = dialect.connect
        self._port, self._servers = stack.enter_context(echo_server(dialect))

    def bulk(self) -> Spent:
        """The time of 16 MiB one way."""
        line = self._line(BULK)
        chunk = bytes(CHUNK)
        watch = Stopwatch(self._servers)
        for _ in range(BULK // CHUNK):
            line.sendall(chunk)
        exactly(line, 1)
        taken = watch.spent()
        line.close()
        return taken

    def round_trip(self) -> Spent:
        """The time of 64 bytes there and back."""
        line = self._line(0)
        watch = Stopwatch(self._servers)
        for _ in range(ROUND_TRIPS):
            line.sendall(SMALL)
            exactly(line, len(SMALL))
        taken = watch.spent(ROUND_TRIPS)
        line.close()
        return taken

    def connection(self) -> Spent:
        """The time of connecting, handshake, 64 bytes there and back, and closing."""
        watch = Stopwatch(self._servers)
        for _ in range(CONNECTIONS):
            line = self._line(0)
            line.sendall(SMALL)
            exactly(line, len(SMALL))
            line.close()
        return watch.spent(CONNECTIONS)

    def _line(self, count: int) -> Line:
        line = self._connect(self._port)
        line.sendall(header(count))
        exactly(line, 1)
        return line
