"""The command: runs each measurement in a process of its own, prints one table, and writes JSON where asked to."""

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

from bench import report
from bench.results import Row, dump, load

_QUICK = 0.08


class Measurement(NamedTuple):
    """A module's `measure(seconds, variant)`, and the OpenSSL configuration that its process is started with."""

    name: str
    variant: str
    seconds: float
    suite: str = "TLS_AES_256_GCM_SHA384"
    groups: str | None = "X25519"
    tickets: int | None = 0

    @property
    def title(self) -> str:
        return f"{self.name} {self.variant}".strip()


MEASUREMENTS = (
    Measurement("handshake", "x25519", 70),
    Measurement("handshake", "tickets", 12, tickets=None),
    Measurement("handshake", "defaults", 12, groups=None, tickets=None),
    Measurement("bulk", "aes", 45),
    Measurement("bulk", "chacha", 30, suite="TLS_CHACHA20_POLY1305_SHA256"),
    Measurement("loopback", "", 45),
    Measurement("memory", "", 25),
    Measurement("imports", "", 20),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 40 seconds instead of under 5 minutes; noisier")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures there")
    names = sorted({measurement.name for measurement in MEASUREMENTS})
    parser.add_argument("--only", action="append", choices=names, help="this measurement alone (repeatable)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        name, variant, seconds = options.child
        print(dump(importlib.import_module(f"bench.{name}").measure(float(seconds), variant)))
        return
    rows: list[Row] = []
    facts = report.environment()
    for measurement in MEASUREMENTS:
        if not options.only or measurement.name in options.only:
            seconds = measurement.seconds * (_QUICK if options.quick else 1)
            _say(f"{measurement.title} ...")
            start = time.perf_counter()
            rows += _in_a_process(measurement, seconds)
            _say(f" {time.perf_counter() - start:.0f} s\n")
    report.show(rows, facts)
    if options.json:
        found = {"environment": facts, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _in_a_process(measurement: Measurement, seconds: float) -> list[Row]:
    with TemporaryDirectory() as folder:
        configuration = Path(folder, "openssl.cnf")
        configuration.write_text(
            openssl_conf(measurement.suite, measurement.groups, measurement.tickets), encoding="ascii"
        )
        command = [sys.executable, "-m", "bench", "--child", measurement.name, measurement.variant, str(seconds)]
        environment = os.environ | {"OPENSSL_CONF": str(configuration)}
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        sys.exit(f"the measurement {measurement.title!r} failed")
    return load(run.stdout)


def openssl_conf(suite: str, groups: str | None, tickets: int | None) -> str:
    """An OpenSSL configuration file for `ssl` and pyOpenSSL; None leaves the library's default."""
    lines = ["openssl_conf = a", "[a]", "ssl_conf = b", "[b]", "system_default = c", "[c]", f"Ciphersuites = {suite}"]
    if groups is not None:
        lines.append(f"Groups = {groups}")
    if tickets is not None:
        lines.append(f"NumTickets = {tickets}")
    return "\n".join([*lines, ""])


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
