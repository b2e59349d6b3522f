"""A threaded server in one process and in two (SO_REUSEPORT), under full handshakes from two client processes.

What counts is the server's processor time a connection, which is not touched by the clients that share the cores with
it; the connections a second are what this machine makes of it.
"""

from __future__ import annotations

import statistics
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

from bench import lines
from bench.lines import Dialect, echo_server, exactly, header
from bench.pki import Scenario
from bench.results import Row
from bench.terms import Terms
from bench.timing import processor_seconds

_CLIENTS = 2
_SECTION = "threaded server, full handshakes"


class Load(NamedTuple):
    """What one round came to."""

    connections: int
    seconds: float
    server_seconds: float


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:  # noqa: ARG001 (there is one variant)
    """Server time a connection, and connections a second, with 1 and 2 worker processes."""
    scenario = Scenario()
    servers = lines.dialects(scenario, terms)[:2]
    caller = lines.stdlib(scenario, terms)  # The same clients for all: the cheapest to run.
    rounds = 5 if seconds > 10 else 2
    each = seconds / (2 * len(servers) * rounds)
    loads: dict[tuple[int, str], list[Load]] = {}
    for _ in range(rounds):
        for workers in (1, 2):
            for server in servers:
                loads.setdefault((workers, server.name), []).append(_loaded(server, caller, workers, each))
    rows = []
    for workers in (1, 2):
        what = f"{workers} worker process{'es' if workers > 1 else ''}"
        spent = Row(_SECTION, f"workers-{workers}-cpu", f"{what}, server's processor time a connection", "us")
        rate = Row(_SECTION, f"workers-{workers}-rate", f"{what}, connections", "1/s")
        for server in servers:
            found = loads[workers, server.name]
            spent.values[server.name] = statistics.median(one.server_seconds / one.connections * 1e6 for one in found)
            rate.values[server.name] = statistics.median(one.connections / one.seconds for one in found)
        rows += [spent, rate]
    rows[-1].notes.append(
        f"Workers: {_CLIENTS} client processes on `ssl` share the machine's cores with the server, whichever it is: "
        "connections a second are bounded by both."
    )
    return rows


def _loaded(server: Dialect, caller: Dialect, workers: int, seconds: float) -> Load:
    with echo_server(server, workers) as (port, processes):
        _call_for(caller, port, 0.05)
        before = sum(map(processor_seconds, processes))
        start = time.perf_counter()
        context = get_context("fork")
        pipes, clients = [], []
        for _ in range(_CLIENTS):
            mine, theirs = context.Pipe(duplex=False)
            client = context.Process(target=_client, args=(caller, port, seconds, theirs), daemon=True)
            client.start()
            theirs.close()
            pipes.append(mine)
            clients.append(client)
        connections = sum(pipe.recv() for pipe in pipes)
        taken = time.perf_counter() - start
        for client in clients:
            client.join()
        return Load(connections, taken, sum(map(processor_seconds, processes)) - before)


def _client(caller: Dialect, port: int, seconds: float, answer: Connection) -> None:
    answer.send(_call_for(caller, port, seconds))


def _call_for(caller: Dialect, port: int, seconds: float) -> int:
    """How many connections, one after the other, were made and served in that time."""
    end = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < end:
        line = caller.connect(port)
        line.sendall(header(0))
        exactly(line, 1)
        line.close()
        count += 1
    return count
