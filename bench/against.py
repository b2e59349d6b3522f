"""Two source trees of trustls against each other: `python -m bench --against PATH`.

Each tree has a worker process of its own, with the same work ready in it; the two take turns in short blocks, so that
drift and neighbours touch both alike. Time is the processor's, not the clock's: what other processes take is not in it.
The number of Python calls, which no noise touches, stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:  # What both trees import is imported by the workers alone.
    from bench.pki import Scenario
    from bench.terms import Terms

_BLOCK_SECONDS = 0.02
_WORKER = "--worker"
_WRITES = 16
_HERE = Path(__file__).resolve().parent.parent


class Work(NamedTuple):
    """Something both trees do: `run` does it `times` over."""

    run: Callable[[], object]
    times: int = 1


def _works() -> dict[str, Callable[[], Work]]:
    """What makes each kind of work ready, by its name."""
    from bench.pki import RSA, Scenario
    from bench.terms import MLKEM, Terms

    plain, mutual, resuming = Scenario(), Scenario(mutual=True, hints=True), Terms(tickets=1, resume=True)
    handshakes = {
        "1.3 full": (plain, Terms()),
        "1.3 full, 2 tickets": (plain, Terms(tickets=2)),
        "1.3 mutual + hints": (mutual, Terms()),
        "1.3 mutual + hints, chains of 3": (Scenario(True, True, intermediates=1), Terms()),
        "1.3 mutual + hints, RSA": (Scenario(True, True, key_type=RSA), Terms()),
        "1.3 mutual, 1000 hints": (Scenario(True, True, client_cas=1000), Terms()),
        "1.3 full, X25519MLKEM768": (plain, Terms(group=MLKEM)),
        "1.3 resumed": (plain, resuming),
        "1.2 full": (plain, Terms("1.2")),
        "1.2 mutual + hints": (mutual, Terms("1.2")),
        "1.2 resumed": (plain, Terms("1.2", tickets=1, resume=True)),
    }
    works: dict[str, Callable[[], Work]] = {
        f"handshake {name}": partial(_handshakes, *of) for name, of in handshakes.items()
    }
    for chacha in (False, True):
        for size in (1 << 16, 1 << 14, 1 << 12, 1 << 10, 64):
            works[f"seal + open {size} B{', ChaCha20' if chacha else ''}"] = partial(
                _records, size, Terms(chacha=chacha)
            )
    for name in ("64 KiB of bulk", "64 B there and back", "connect, 64 B, close"):
        works[f"asyncio: {name}"] = partial(_streams, name)
    return works


def _handshakes(scenario: Scenario, terms: Terms) -> Work:
    from bench import exchange
    from bench.peers import own

    peer = own.peer(scenario, terms)
    return Work(lambda: exchange.handshake(peer.new_client, peer.server))


def _records(size: int, terms: Terms) -> Work:
    from bench import exchange
    from bench.peers import own
    from bench.pki import Scenario

    peer = own.peer(Scenario(), terms)
    return Work(exchange.moved(*exchange.connected(peer, peer), size, _WRITES), _WRITES)


def _streams(name: str) -> Work:
    from bench import streams
    from bench.peers import own
    from bench.pki import Scenario
    from bench.terms import Terms

    stack = streams.Stack("", asyncio.Runner(), streams.OurTLS(*own.configs(Scenario(), Terms())))
    if name.endswith("bulk"):
        return Work(stack.bulk, streams.BULK >> 16)
    if name.endswith("back"):
        return Work(stack.round_trip, streams.ROUND_TRIPS)
    return Work(stack.connection, streams.CONNECTIONS)


# -- The worker -------------------------------------------------------------------------------------------------------


def _serve_lines() -> None:
    """Answer each line: a request `[name, times]` gives seconds of one; `[name, 0]` gives its calls."""
    import trustls

    makers = _works()
    _answer({"names": list(makers), "file": trustls.__file__})
    ready: dict[str, Work] = {}
    for line in sys.stdin:
        name, times = json.loads(line)
        if name not in ready:
            ready[name] = makers[name]()
        work = ready[name]
        _answer(_seconds(work, times) if times else _calls(work))


def _answer(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def _seconds(work: Work, times: int) -> float:
    run, runs = work.run, max(1, round(times / work.times))
    run()  # The processor's caches are full of the other tree.
    start = time.process_time()
    for _ in range(runs):
        run()
    return (time.process_time() - start) / runs / work.times


def _calls(work: Work) -> float:
    """Python functions called, those of C not counted."""
    count = 0

    def profile(_frame: Any, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    work.run()
    sys.setprofile(profile)
    try:
        work.run()
    finally:
        sys.setprofile(None)
    return count / work.times


# -- The side that asks -----------------------------------------------------------------------------------------------


class _Tree:
    """A worker process with one tree's trustls in it."""

    def __init__(self, source: Path) -> None:
        environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{_HERE}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.against", _WORKER],
            env=environment,
            cwd=_HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        hello = self._answer()
        self.names: list[str] = hello["names"]
        if not Path(hello["file"]).is_relative_to(source):
            sys.exit(f"{source} was to be measured, and {hello['file']} was imported")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, name: str, times: int) -> float:
        """Seconds of one, done about `times` (some come in bunches only); with no `times` its Python calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, times]) + "\n")
        self._process.stdin.flush()
        found: float = self._answer()
        return found

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a worker ended")
        return json.loads(line)


def _source(folder: Path) -> Path:
    """The folder that trustls is imported from."""
    for source in (folder / "src", folder):
        if (source / "trustls" / "__init__.py").is_file():
            return source.resolve()
    sys.exit(f"no trustls in {folder}: give a checkout of it, or a folder with the package in it")


class Comparison(NamedTuple):
    """One kind of work in both trees, `here` and `there`: microseconds (medians) and Python calls.

    `ratio`, `low` and `high` are median and quartiles of here / there, pair by pair; `best` is the ratio of the tenth
    percentiles, which noise touches least.
    """

    name: str
    here: float
    there: float
    ratio: float
    low: float
    high: float
    best: float
    calls_here: float
    calls_there: float


def compare(here: Path, there: Path, seconds: float, only: str = "") -> list[Comparison]:
    """Every kind of work whose name contains `only`, about `seconds` for each."""
    sources = [_source(folder) for folder in (here, there)]
    with ExitStack() as stack:
        trees = [stack.enter_context(_Tree(source)) for source in sources]
        names = [name for name in trees[0].names if only in name]
        return [_compared(name, trees, seconds) for name in names]


def _compared(name: str, trees: Sequence[_Tree], seconds: float) -> Comparison:
    for tree in trees:
        tree.ask(name, 2)
    times = max(1, round(_BLOCK_SECONDS / max(trees[0].ask(name, 1), 1e-7)))
    found: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(found) < 6 or time.perf_counter() < end:
        if len(found) % 2:
            second, first = trees[1].ask(name, times), trees[0].ask(name, times)
        else:
            first, second = trees[0].ask(name, times), trees[1].ask(name, times)
        found.append((first, second))
    here, there = (statistics.median(column) * 1e6 for column in zip(*found, strict=True))
    low, middle, high = statistics.quantiles([first / second for first, second in found], n=4)
    best_here, best_there = (statistics.quantiles(column, n=10)[0] for column in zip(*found, strict=True))
    best = best_here / best_there
    return Comparison(name, here, there, middle, low, high, best, trees[0].ask(name, 0), trees[1].ask(name, 0))


def show(comparisons: Sequence[Comparison], here: Path, there: Path) -> None:
    """The table; a ratio below 1 means that `here` is faster."""
    print(f"here:  {here}\nthere: {there}")
    print(
        "Microseconds of processor time (medians); ratios here / there: median of pairs (quartiles), and of the best.\n"
    )
    print(f"{'':44}{'here':>9}{'there':>9}{'ratio':>8}{'':15}{'best':>7}{'calls here':>12}{'there':>8}")
    for one in comparisons:
        print(
            f"{one.name:44}{one.here:9.1f}{one.there:9.1f}{one.ratio:8.3f} ({one.low:.3f}-{one.high:.3f})"
            f"{one.best:8.3f}{one.calls_here:12.1f}{one.calls_there:8.1f}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__)
    parser.add_argument("there", type=Path, help="another checkout, or a folder with its `trustls` package in it")
    parser.add_argument("--here", type=Path, default=_HERE, help="instead of this checkout")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each kind of work")
    parser.add_argument("--only", default="", metavar="TEXT", help="only work with this in its name")
    options = parser.parse_args(arguments)
    show(compare(options.here, options.there, options.seconds, options.only), options.here, options.there)


if __name__ == "__main__":
    if sys.argv[1:] == [_WORKER]:
        _serve_lines()
    else:
        main()
