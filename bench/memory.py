"""Memory of an idle connection, one side, after the handshake: growth of the process's resident set over many of them.

Each peer and side has a process of its own. The other side is always pyOpenSSL, and is freed before the next connection
is made. A second, smaller run with tracemalloc tells how much of it Python's allocators hold.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from bench import exchange
from bench.peers import bio, own, pyopenssl
from bench.peers.endpoint import Endpoint, Peer
from bench.pki import Scenario
from bench.results import PYOPENSSL, RTLS, SSL, TRUSTLS, Row
from bench.terms import Terms

_WARM_UP = 50
_TRACED = 200
_MAKERS = {TRUSTLS: own.peer, SSL: bio.ssl_peer, PYOPENSSL: pyopenssl.peer, RTLS: bio.rtls_peer}
_MANY = (TRUSTLS, SSL)
"""Of their servers, the larger number of connections is kept too; to make those takes its time."""


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:  # noqa: ARG001 (as the others have it)
    """Kibibytes a connection, by side."""
    quick = seconds < 10
    few, many = (100, 300) if quick else (1000, 10_000)
    names = _MANY if quick else [name for name in _MAKERS if name != RTLS or find_spec("rtls")]
    runs = [(side, name) for side in ("server", "client") for name in names]  # The long ones first.
    with ThreadPoolExecutor(2) as pool:  # Nothing is timed here.
        started = {
            (side, name): pool.submit(
                _in_a_process, side, name, [few, many] if side == "server" and name in _MANY else [few]
            )
            for side, name in runs
        }
        found = {run: result.result() for run, result in started.items()}
    rows = []
    for side, count, key in (("client", few, ""), ("server", few, ""), ("server", many, "-many")):
        row = Row("memory", f"memory-{side}{key}", f"idle {side} connection, of {count:,}", "KiB")
        row.values = {name: found[side, name][str(count)] for name in names if str(count) in found[side, name]}
        row.detail = {name: found[side, name] for name in row.values}
        rows.append(row)
    listed = ", ".join(f"{name} {side} {result['python']:.1f}" for (side, name), result in found.items())
    rows[-1].notes.append(f"Memory in Python's allocators (tracemalloc, KiB): {listed}; the rest is C's or Rust's.")
    return rows


def _in_a_process(side: str, name: str, counts: list[int]) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.memory", name, side, *map(str, counts)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _idle(measured: Peer, other: Peer, side: str) -> Endpoint:
    if side == "client":
        return exchange.connected(measured, other)[0]
    return exchange.connected(other, measured)[1]


def _resident() -> float:
    """KiB of this process that are in memory now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def _main(name: str, side: str, counts: list[int]) -> None:
    scenario, terms = Scenario(), Terms()
    measured, other = _MAKERS[name](scenario, terms), pyopenssl.peer(scenario, terms)
    warm = [_idle(measured, other, side) for _ in range(_WARM_UP)]
    found = {}
    before = _resident()
    kept: list[Endpoint] = []
    for count in counts:
        kept += [_idle(measured, other, side) for _ in range(count - len(kept))]
        found[str(count)] = (_resident() - before) / count
    del warm, kept
    found["python"] = _traced(measured, other, side)
    print(json.dumps(found))


def _traced(measured: Peer, other: Peer, side: str) -> float:
    """KiB a connection, as tracemalloc sees it."""
    tracemalloc.start()
    warm = [_idle(measured, other, side) for _ in range(_WARM_UP)]
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    kept = [_idle(measured, other, side) for _ in range(_TRACED)]
    gc.collect()
    grown = (tracemalloc.get_traced_memory()[0] - before) / 1024 / len(kept)
    del warm
    return grown


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], list(map(int, sys.argv[3:])))
