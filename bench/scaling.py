"""What a second core is good for: two threads of one process, and two processes, against one thread alone.

The work needs nobody else: bulk data sealed and opened in memory, and a ClientHello answered, which is all of a
server's side of a full handshake but the client's Finished. So no client takes part of the two cores. The three ways
take turns of some 6 ms. The scheduler tells how long each thread had to wait for a core that a neighbour had: that
does not count, and of all turns only the fifth with the least of it. The primitive behind each work alone (`limit`: the
AEAD, the signature) needs no lock of Python's; what else there is takes its turn, and says what threads can do at most.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.exchange import connected
from bench.peers import bio, own
from bench.peers.endpoint import Peer
from bench.pki import Scenario
from bench.results import LIMIT, SSL, TRUSTLS, Row
from bench.terms import Terms

_SECTION = "more than one core"
_AT_MOST = f"{TRUSTLS}, at most"
_TURN_SECONDS = 0.006
_LEAST_ROUNDS = 8
# Of the turns those count that were disturbed the least: one in so many.
_QUIETEST = 5
_MOST_DISTURBED = 0.1
_DISTURBED = (
    "More than one core: THE MACHINE WAS BUSY, also in the quietest turns. The figures of threads are not to be "
    "relied on: one that waits for a core may hold the GIL meanwhile."
)
# So that all have been told by then when to begin.
_HEAD_START = 0.002
_WORKERS = 2
_SIZE = 1 << 16
_RECORD = 1 << 14
_TAG = 16

Run = Callable[[], object]
Works = Mapping[tuple[str, str], Callable[[], Run]]
"""By work and peer: what makes one thread's share of it, which has nothing in common with that of another."""


class Way(NamedTuple):
    """How work is spread: over so many processes, with so many threads each."""

    processes: int
    threads: int


_ONE, _THREADS, _PROCESSES = Way(1, 1), Way(1, 2), Way(2, 1)
_WAYS = (_ONE, _THREADS, _PROCESSES)


class Turn(NamedTuple):
    """What came of one turn: work done a second, by all together, and the share of the time that neighbours took."""

    rate: float
    disturbed: float


Turns = Mapping[Way, list[Turn]]


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:  # noqa: ARG001 (there is one variant)
    """What two threads and two processes do of each work, in units of what one thread does."""
    if len(os.sched_getaffinity(0)) < _WORKERS:
        return []
    works = _works(Scenario(), terms)
    turns: dict[tuple[str, str], Turns] = {which: {way: [] for way in _WAYS} for which in works}
    with _workers(works) as pipes:
        end = time.perf_counter() + seconds
        rounds = 0
        while rounds < _LEAST_ROUNDS or time.perf_counter() < end:
            rounds += 1
            for which, found in turns.items():
                for way, taken in found.items():
                    taken.append(_turn(pipes, which, way))
    return [
        row
        for work in dict.fromkeys(work for work, _ in works)
        for row in rows_of(work, {peer: found for (of, peer), found in turns.items() if of == work})
    ]


def rows_of(work: str, found: Mapping[str, Turns]) -> Iterator[Row]:
    """What two threads and two processes come to, by peer; trustls and `LIMIT` are among them."""
    key = work.partition(" ")[0].strip(",").lower()
    for way, what in ((_THREADS, "2 threads against 1"), (_PROCESSES, "2 processes against 1")):
        row = Row(_SECTION, f"scaling-{key}-{what.split()[1]}", f"{work}: {what}", "x")
        for peer, turns in found.items():
            one, many = _quiet(turns[_ONE]), _quiet(turns[way])
            row.values[peer] = many.rate / one.rate
            row.detail[peer] = {
                "one thread, 1/s": one.rate,
                "disturbed": max(one.disturbed, many.disturbed),
                "turns": len(turns[way]),
            }
            if max(one.disturbed, many.disturbed) > _MOST_DISTURBED:
                row.notes.append(_DISTURBED)
        if way == _THREADS:
            row.values[_AT_MOST] = _at_most(found[TRUSTLS], found[LIMIT])
        row.notes.append(
            "More than one core: `limit` is the AEAD or the signature alone; at most: if all else holds the GIL. Where "
            "two processes, which have nothing in common, do not do nearly twice as much as one, the machine was busy; "
            "JSON has for how much of the time neighbours had the core."
        )
        yield row


def _at_most(turns: Turns, primitive: Turns) -> float:
    """How much two threads can do when everything but the primitive is done by one at a time (Amdahl's law)."""
    released = _quiet(turns[_ONE]).rate / _quiet(primitive[_ONE]).rate
    return 1 / max(1 - released, 1 / _THREADS.threads)


def _quiet(turns: list[Turn]) -> Turn:
    """The median of those that were disturbed the least."""
    chosen = sorted(turns, key=lambda turn: turn.disturbed)[: max(2, len(turns) // _QUIETEST)]
    return Turn(*map(statistics.median, zip(*chosen, strict=True)))


def _works(scenario: Scenario, terms: Terms) -> Works:
    peers = {TRUSTLS: own.peer(scenario, terms), SSL: bio.ssl_peer(scenario, terms)}
    bulk, hello = "bulk, 64 KiB sealed and opened", "ClientHello answered"
    works: dict[tuple[str, str], Callable[[], Run]] = {}
    for name, peer in peers.items():
        works[bulk, name] = partial(_bulk, peer)
    works[bulk, LIMIT] = _aead
    for name, peer in peers.items():
        works[hello, name] = partial(_answering, peer)
    works[hello, LIMIT] = _signature
    return works


def _bulk(peer: Peer) -> Run:
    client, server = connected(peer, peer)
    data = bytes(_SIZE)
    return lambda: server.read(client.write(data), _SIZE)


def _aead() -> Run:
    aead = AESGCM(bytes(32))
    plain, sealed = bytearray(_RECORD + 1), bytearray(_RECORD + 1 + _TAG)
    nonce, header = bytes(12), bytes(5)

    def run() -> None:
        for _ in range(_SIZE // _RECORD):
            aead.encrypt_into(nonce, plain, header, sealed)
            aead.decrypt_into(nonce, sealed, header, plain)

    return run


def _signature() -> Run:
    key, algorithm, content = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256()), bytes(146)
    return lambda: key.sign(content, algorithm)


def _answering(peer: Peer) -> Run:
    hello = peer.new_client().step(b"")
    return lambda: peer.server().step(hello)


# -- Those who work ---------------------------------------------------------------------------------------------------


@contextmanager
def _workers(works: Works) -> Iterator[list[list[Connection]]]:
    """Two processes of two threads each, which wait for `(work, start)`: a pipe to each thread."""
    context = get_context("fork")
    ours, processes = [], []
    for _ in range(_WORKERS):
        pipes = [context.Pipe() for _ in range(_WORKERS)]
        process = context.Process(target=_serve, args=(works, [theirs for _, theirs in pipes]), daemon=True)
        process.start()
        ours.append([mine for mine, _ in pipes])
        processes.append(process)
        for _, theirs in pipes:
            theirs.close()
    try:
        yield ours
    finally:
        for process in processes:
            process.kill()
            process.join()
        for pipe in chain.from_iterable(ours):
            pipe.close()


def _turn(pipes: list[list[Connection]], which: tuple[str, str], way: Way) -> Turn:
    """Let the work be done in that way for one turn."""
    asked = [pipe for process in pipes[: way.processes] for pipe in process[: way.threads]]
    start = time.perf_counter() + _HEAD_START
    for pipe in asked:
        pipe.send((which, start))
    found: list[Turn] = [pipe.recv() for pipe in asked]
    return Turn(sum(turn.rate for turn in found), max(turn.disturbed for turn in found))


def _serve(works: Works, pipes: list[Connection]) -> None:
    threads = [threading.Thread(target=_work, args=(works, pipe)) for pipe in pipes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(works: Works, pipe: Connection) -> None:
    """One thread of one process."""
    runs = {which: make() for which, make in works.items()}
    waiting_time = Path("/proc/thread-self/schedstat")

    def waited() -> float:
        """For how many seconds this thread could have run, so far, and another one had the core."""
        return int(waiting_time.read_text(encoding="ascii").split()[1]) / 1e9

    while True:
        which, start = pipe.recv()
        run = runs[which]
        before = waited()
        early = start - time.perf_counter()
        time.sleep(max(0.0, early))
        begun = waited()
        # Before the start neighbours disturb nobody.
        late = min(begun - before, max(0.0, time.perf_counter() - start))
        # For all the same time, also for the one that has to wait for the GIL first.
        now = start
        count = 0
        while now < start + _TURN_SECONDS:
            run()
            count += 1
            now = time.perf_counter()
        disturbed = waited() - begun + late
        pipe.send(Turn(count / (now - start - disturbed), 1.0 if early < 0 else disturbed / (now - start)))
