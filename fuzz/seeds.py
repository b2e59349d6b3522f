"""Seeds: what fuzzing starts from, made from handshakes of our own each time.

`python -m fuzz.seeds FOLDER [TARGET ...]` writes them down, one file for each, for looking at them.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.decisions import step
from fuzz.scenarios import scenarios
from fuzz.stories import AFTERWARDS, pool
from fuzz.targets import TARGETS
from tests.support.memory import Pair, record_by_record
from trustls.wire.messages import CertificateMessage
from trustls.wire.messages12 import CertificateMessage12


def stories() -> Iterator[bytes]:
    """Inputs of `fuzz.stories`: each scenario as it is, with each kind of change and stranger, and what comes later."""
    for number in range(len(scenarios())):
        whole, in_records, in_pieces = bytes([number, 0]), bytes([number, 1]), bytes([number, 6])
        yield from (whole, in_records, in_pieces)
        for kind in range(12):
            yield whole + step((kind + number) % 7, kind, 0, 0, kind, 1, 2, 3)
            yield in_records + step((kind + number + 3) % 7, kind, 1, kind, 5, 0, 1)
        for stranger in range(6):
            for behind in (8, 9):
                place = (stranger + number + behind) % 7
                yield whole + step(place, behind, stranger, number * 7 + stranger, 3, b"abc")
                yield whole + step(place, behind, 3, stranger, 0)
        for what in range(12):
            yield whole + step(AFTERWARDS, what, 5, b"hello", 0) + step(AFTERWARDS, 0, 3, b"abc", 2)
    yield from _stolen()


def _stolen() -> Iterator[bytes]:
    """Certificates that the script does not have the key of, in the place of its own."""
    for number, scenario in enumerate(scenarios()):
        kind = CertificateMessage if scenario.version == "1.3" else CertificateMessage12
        if scenario.resumed:
            continue
        for other in range(len(pool().others(kind()))):
            for place in range(1, 5):
                # A typed change, once: of the last field, to that of another message of the class.
                field = 1 if scenario.version == "1.3" else 0
                yield bytes([number, 0]) + step(place, 0, 0, field, 1, other)


def messages() -> Iterator[Any]:
    """Every message that either side says in one of the scenarios."""
    yield from pool().all


def flights(role: str, joined: Pair) -> list[bytes]:
    """What comes to a client or a server in an honest handshake: each flight, its records, and all of it."""
    heard: list[bytes] = []

    def hear(data: bytes) -> bytes:
        heard.append(data)
        return data

    if role == "client":
        joined.to_client = hear
    else:
        joined.to_server = hear
    joined.run()
    joined.run()
    pieces = [record for flight in heard for record in record_by_record(flight)]
    return [*heard, *pieces, b"".join(heard)]


def main(arguments: list[str]) -> None:
    """Write the seeds of all targets, or of those named, into folders of their names."""
    folder, *wanted = arguments
    for name in wanted or TARGETS:
        print(f"{name}: {write(name, Path(folder, name))} seeds")


def write(name: str, folder: Path) -> int:
    """Write the seeds of one target; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    target = importlib.import_module(f"fuzz.targets.{name}")
    names = {hashlib.sha256(seed).hexdigest()[:16]: seed for seed in target.seeds()}
    for short, seed in names.items():
        Path(folder, short).write_bytes(seed)
    return len(names)


if __name__ == "__main__":
    main(sys.argv[1:])
