"""The command: runs each measurement in a process of its own, prints one table, and writes JSON and a chart."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import against, chart, page, report
from bench.results import Row, dump, load
from bench.terms import MLKEM, Terms

_QUICK = 0.035
_LINUX = {"sockets", "workers", "scaling", "memory"}


class Measurement(NamedTuple):
    """A module's `measure(seconds, variant, terms)`, and the terms that its process is held to."""

    name: str
    variant: str
    seconds: float
    terms: Terms = Terms()

    @property
    def title(self) -> str:
        return f"{self.name} {self.variant}".strip()


MEASUREMENTS = (
    Measurement("handshake", "x25519", 36),
    Measurement("handshake", "tickets", 11, Terms(tickets=1)),
    Measurement("handshake", "mlkem", 10, Terms(group=MLKEM)),
    Measurement("handshake", "tls12", 17, Terms("1.2")),
    Measurement("handshake", "defaults", 5, Terms(group=None, tickets=2)),
    Measurement("growth", "", 11),
    Measurement("bulk", "aes", 21),
    Measurement("bulk", "chacha", 11, Terms(chacha=True)),
    Measurement("loopback", "", 21),
    Measurement("sockets", "", 16),
    Measurement("workers", "", 14),
    Measurement("scaling", "", 10),
    Measurement("memory", "", 30),
    Measurement("imports", "", 12),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some 40 seconds instead of under 5 minutes; noisier")
    names = list(dict.fromkeys(measurement.name for measurement in MEASUREMENTS))
    parser.add_argument("--only", action="append", choices=names, help="this measurement alone (repeatable)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures there")
    parser.add_argument("--chart", type=Path, metavar="PATH", help="draw the main ones there, as SVG")
    parser.add_argument(
        "--from", dest="found", type=Path, metavar="PATH", help="measure nothing: show what --json wrote"
    )
    parser.add_argument("--page", type=Path, metavar="PATH", help="write the tables into this Markdown page")
    parser.add_argument("--against", type=Path, metavar="PATH", help="compare this trustls with another checkout's")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _measure_here(*options.child)
        return
    if options.against:
        against.main([str(options.against)])
        return
    if options.found:
        facts, rows = report.read(options.found)
    else:
        facts, rows = report.environment(), _measured(options.only or names, quick=options.quick)
    report.show(rows, facts)
    if options.json:
        found = {"environment": facts, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if options.chart:
        options.chart.write_text(chart.svg(rows))
    if options.page:
        page.write(options.page, rows, facts)


def _measured(names: Sequence[str], *, quick: bool) -> list[Row]:
    rows: list[Row] = []
    for measurement in MEASUREMENTS:
        if measurement.name in names and measurement.name in _LINUX and sys.platform != "linux":
            _say(f"{measurement.title}: left out, it asks the kernel what only Linux tells\n")
        elif measurement.name in names:
            seconds = measurement.seconds * (_QUICK if quick else 1)
            _say(f"{measurement.title} ...")
            start = time.perf_counter()
            rows += _in_a_process(measurement, seconds)
            _say(f" {time.perf_counter() - start:.0f} s\n")
    return rows


def _in_a_process(measurement: Measurement, seconds: float) -> list[Row]:
    with TemporaryDirectory() as folder:
        configuration = Path(folder, "openssl.cnf")
        configuration.write_text(measurement.terms.openssl_conf(), encoding="ascii")
        command = [sys.executable, "-m", "bench", "--child", measurement.name, measurement.variant, str(seconds)]
        environment = os.environ | {"OPENSSL_CONF": str(configuration)}
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        sys.exit(f"the measurement {measurement.title!r} failed")
    return load(run.stdout)


def _measure_here(name: str, variant: str, seconds: str) -> None:
    terms = next(one.terms for one in MEASUREMENTS if (one.name, one.variant) == (name, variant))
    print(dump(importlib.import_module(f"bench.{name}").measure(float(seconds), variant, terms)))


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
