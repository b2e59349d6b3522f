"""Memory of an idle connection, one side, after the handshake: growth of the process's resident set over many of them.

Each peer and side has a process of its own. The other side is always `ssl`, and is freed before the next connection is
made. A second, smaller run with tracemalloc tells how much of it Python's allocators hold.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import peers
from bench.peers import Endpoint, Peer
from bench.pki import Scenario
from bench.results import PYOPENSSL, RTLS, SSL, TRUSTLS, Row

_WARM_UP = 50
_MAKERS = {TRUSTLS: peers.trustls_peer, SSL: peers.ssl_peer, PYOPENSSL: peers.pyopenssl_peer, RTLS: peers.rtls_peer}


def measure(seconds: float, variant: str) -> list[Row]:  # noqa: ARG001 (there is one variant)
    """Kibibytes a connection, by side."""
    connections = 1000 if seconds > 10 else 200
    runs = [(side, name) for side in ("client", "server") for name in _MAKERS]
    with ThreadPoolExecutor(2) as pool:  # Nothing is timed here.
        started = {(side, name): pool.submit(_in_a_process, side, name, connections) for side, name in runs}
        found = {run: result.result() for run, result in started.items()}
    rows = []
    for side in ("client", "server"):
        row = Row("memory", f"memory-{side}", f"idle {side} connection", "KiB")
        row.values = {name: found[side, name]["rss"] for name in _MAKERS}
        row.detail = {name: found[side, name] | {"connections": connections} for name in _MAKERS}
        rows.append(row)
    listed = ", ".join(f"{name} {side} {result['python']:.1f}" for (side, name), result in found.items())
    rows[-1].notes.append(f"Memory in Python's allocators (tracemalloc, KiB): {listed}; the rest is C's or Rust's.")
    return rows


def _in_a_process(side: str, name: str, connections: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.memory", name, side, str(connections)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _grown(measured: Peer, other: Peer, side: str, connections: int) -> tuple[float, float]:
    """KiB a connection: resident, and as tracemalloc sees it (0 when it is off)."""
    kept = [_idle(measured, other, side) for _ in range(_WARM_UP)]
    gc.collect()
    resident, traced = _resident(), tracemalloc.get_traced_memory()[0]
    kept += [_idle(measured, other, side) for _ in range(connections)]
    gc.collect()
    grown = (_resident() - resident) / connections, (tracemalloc.get_traced_memory()[0] - traced) / 1024 / connections
    if not all(endpoint.done for endpoint in kept):
        raise RuntimeError("a handshake did not finish")
    return grown


def _idle(measured: Peer, other: Peer, side: str) -> Endpoint:
    client = (measured if side == "client" else other).new_client()
    server = (other if side == "client" else measured).server()
    server.step(client.step(server.step(client.step(b""))))
    return client if side == "client" else server


def _resident() -> float:
    """KiB of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def _main(name: str, side: str, connections: int) -> None:
    scenario = Scenario()
    measured, other = _MAKERS[name](scenario), peers.ssl_peer(scenario)
    resident, _ = _grown(measured, other, side, connections)
    tracemalloc.start()
    _, traced = _grown(measured, other, side, connections // 4)
    print(json.dumps({"rss": resident, "python": traced}))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
