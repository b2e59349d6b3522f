"""One target in one process: `python -m fuzz.run TARGET --seconds N --folder DIR`.

Atheris drives it where it is installed (libFuzzer, which looks for inputs that reach new code); else the inputs are
seeds changed at random. A finding does not end the run: each is written to the folder once, with its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

# Seconds of the processor that one input may take: honest ones take hundredths. It is what hostile ones are held to.
WORK_LIMIT: Final = 10.0
# Seconds on the clock after which libFuzzer takes an input for one that never ends: many, where processes may have to
# wait for each other.
HANG: Final = 120
_MEBIBYTES: Final = 2048


class TooMuchWork(AssertionError):
    """An input that keeps the processor busy."""


class Findings:
    """What went wrong, each kind once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()

    @property
    def count(self) -> int:
        """How many kinds there are."""
        return len(self._known)

    def add(self, data: bytes, error: Exception) -> None:
        """Write down an input and what it did, unless another one did the same."""
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        kind = f"{type(error).__name__} {' '.join(frames[-3:])}"
        if kind in self._known:
            return
        self._known.add(kind)
        name = hashlib.sha256(kind.encode()).hexdigest()[:12]
        self._folder.mkdir(parents=True, exist_ok=True)
        Path(self._folder, name).write_bytes(data)
        story = "".join(traceback.format_exception(error))
        Path(self._folder, f"{name}.txt").write_text(f"{data.hex()}\n\n{story}", encoding="utf-8", errors="replace")
        sys.stderr.write(f"FINDING {name}: {kind}: {str(error)[:300]}\n")


def checked(check: Callable[[bytes], None], findings: Findings) -> Callable[[bytes], None]:
    """The target, with its findings written down and its work measured."""

    def one_input(data: bytes) -> None:
        start = time.process_time()
        try:
            check(data)
            took = time.process_time() - start
            if took > WORK_LIMIT:
                raise TooMuchWork(f"one input took {took:.1f} s")
        except Exception as error:  # noqa: BLE001 (whatever comes out is what is looked for)
            findings.add(data, error)

    return one_input


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one target; the exit code is 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="for the corpus and the findings")
    parser.add_argument("--engine", choices=("auto", "atheris", "random"), default="auto")
    parser.add_argument("--hang", type=int, default=HANG, help="seconds after which an input is said to hang")
    parser.add_argument(
        "--seed", type=int, default=0, help="begin with the same chances each time (default: with others)"
    )
    parser.add_argument("--input", type=Path, help="run this input alone, and let its failure out")
    options = parser.parse_args(arguments)
    atheris = None if options.input or options.engine == "random" else _atheris(required=options.engine == "atheris")
    with contextlib.nullcontext() if atheris is None else atheris.instrument_imports(include=["trustls"]):
        target = importlib.import_module(f"fuzz.targets.{options.target}")
    if options.input:
        target.check(options.input.read_bytes())
        return 0
    findings = Findings(Path(options.folder, "findings", options.target))
    one_input = checked(target.check, findings)
    sys.stderr.write(f"ENGINE {'random' if atheris is None else 'atheris'}\n")
    if atheris is None:
        _run_at_random(one_input, list(target.seeds()), target.MAX_LENGTH, options.seconds, options.seed)
    else:
        _run_atheris(atheris, one_input, target, options)
    return 1 if findings.count else 0


def _atheris(*, required: bool) -> ModuleType | None:
    """Atheris, where it is installed."""
    if importlib.util.find_spec("atheris") is None:
        if required:
            sys.exit("Atheris is not installed here: pip install atheris, or --engine random")
        return None
    return importlib.import_module("atheris")


def _run_atheris(atheris: Any, one_input: Callable[[bytes], None], target: ModuleType, options: Any) -> None:
    corpus = Path(options.folder, "corpus", options.target)
    seeds = Path(options.folder, "seeds", options.target)
    for folder in (corpus, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        Path(seeds, hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    findings = Path(options.folder, "findings", options.target)
    findings.mkdir(parents=True, exist_ok=True)
    settings = {
        "max_total_time": options.seconds,
        "max_len": target.MAX_LENGTH,
        "seed": options.seed,
        "timeout": options.hang,
        "report_slow_units": options.hang,  # by the clock; work is measured in checked()
        "rss_limit_mb": _MEBIBYTES,
        "artifact_prefix": f"{findings}/",
        "print_final_stats": 1,
        "len_control": 0,
    }
    command = [sys.argv[0], *(f"-{name}={value}" for name, value in settings.items()), str(corpus), str(seeds)]
    atheris.Setup(command, one_input)
    atheris.Fuzz()  # It ends the process.


# -- Without Atheris --------------------------------------------------------------------------------------------------


def _run_at_random(
    one_input: Callable[[bytes], None], seeds: Sequence[bytes], longest: int, seconds: float, seed: int
) -> None:
    """The seeds, then changes of them, until the time is up."""
    chance = random.Random(seed or time.time_ns())  # noqa: S311 (no secret is made of it)
    end = time.monotonic() + seconds
    executions = 0
    for data in _inputs(chance, seeds, longest):
        one_input(data)
        executions += 1
        if time.monotonic() > end:
            break
    sys.stderr.write(f"stat::number_of_executed_units: {executions}\n")


def _inputs(chance: random.Random, seeds: Sequence[bytes], longest: int) -> Iterator[bytes]:
    yield from seeds
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
            _change(chance, data, seeds)
        yield bytes(data[:longest])


def _change(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(7):
        case 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        case 1 if data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        case 2:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
        case 3:
            del data[at : at + chance.randrange(1, 17)]
        case 4:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            data[at:at] = other[start : start + chance.randrange(1, 65)]
        case 5:
            data += chance.choice(seeds)
        case _:
            data[at : at + 2] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF)).to_bytes(2, "big")


if __name__ == "__main__":
    sys.exit(main())
