"""The table: rich where it is installed, plain text where it is not."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
import platform
import ssl
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from bench.goals import goals_of
from bench.results import TRUSTLS, Row

_COLUMNS = ("work", TRUSTLS, "others (trustls to it)", "goal of the design: figure")


def environment() -> dict[str, str]:
    """Versions and machine."""
    from cryptography.hazmat.backends.openssl.backend import backend

    found = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}",
        "Python": sys.version.split()[0],
        "ssl": ssl.OPENSSL_VERSION,
        "cryptography, pyOpenSSL": backend.openssl_version_text(),
    }
    with contextlib.suppress(ImportError):
        from rtls import _rustls

        provider = f"{_rustls.crypto_provider()} {_rustls.crypto_provider_version()}"
        found["rtls"] = f"rustls {_rustls.rustls_version()}, {provider}"
    for package in ("trustls", "cryptography", "pyOpenSSL", "rtls", "tlslite-ng", "uvloop"):
        try:
            found[f"package {package}"] = version(package)
        except PackageNotFoundError:
            found[f"package {package}"] = "not installed as a package"
    return found


def read(path: Path) -> tuple[dict[str, str], list[Row]]:
    """What `--json` wrote: the environment, and the rows."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["environment"], [Row(**row) for row in found["rows"]]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def show(rows: Sequence[Row], facts: dict[str, str]) -> None:
    """Print everything."""
    packages = ", ".join(f"{name[8:]} {value}" for name, value in facts.items() if name.startswith("package "))
    for name, value in facts.items():
        if not name.startswith("package "):
            print(f"{name}: {value}")
    print(f"packages: {packages}\n")
    if find_spec("rich") is None:
        _show_plain(rows)
    else:
        _show_rich(rows)
    notes = dict.fromkeys(itertools.chain.from_iterable(row.notes for row in rows))
    print("\nMedians; `limit` is what the primitives cost alone; ratios are of medians of this run.")
    for note in (*_NOTES, *notes):
        print(f"- {note}")


_NOTES = (
    "Every client verifies the server's chain and name, every server that asks for certificates verifies their chain.",
    "trustls remembers, by its bytes, what it parsed and verified: certificates, issuers' signatures, hints.",
    "'No caches' forgets all of it before each handshake. Key exchange and CertificateVerify are never remembered.",
)


def _cells(row: Row) -> tuple[str, str, str, str]:
    own = row.values.get(TRUSTLS)
    others = []
    for name, value in row.values.items():
        if name != TRUSTLS:
            compared = "" if own is None else f" ({ratio(own, value)})"
            others.append(f"{name} {figure(value)}{compared}")
    goals = []
    for goal, reached in goals_of(row):
        goals.append(f"{goal}: {reached:.2f} {'reached' if goal.reached(reached) else 'NOT reached'}")
    return row.work, "" if own is None else f"{figure(own)} {row.unit}", "\n".join(others), "\n".join(goals)


def ratio(own: float, other: float) -> str:
    """`own / other`, to two decimals where they say anything."""
    found = own / other
    return f"{found:.2f} x" if found < 100 else f"{found:,.0f} x"


def figure(value: float) -> str:
    """Three digits or so."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _show_plain(rows: Sequence[Row]) -> None:
    widths = (44, 14, 36, 36)

    def line(cells: Sequence[str]) -> None:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())

    line(_COLUMNS)
    for section, found in itertools.groupby(rows, key=lambda row: row.section):
        print(f"-- {section} --")
        for row in found:
            columns = [cell.splitlines() for cell in _cells(row)]
            for cells in itertools.zip_longest(*columns, fillvalue=""):
                line(cells)


def _show_rich(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column == TRUSTLS else "left")
    for section, found in itertools.groupby(rows, key=lambda row: row.section):
        table.add_row(Text(section, style="bold"), "", "", "")
        for row in found:
            work, own, others, goals = _cells(row)
            colour = "" if not goals else "red" if "NOT" in goals else "green"
            table.add_row(work, own, others, Text(goals, style=colour))
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)
