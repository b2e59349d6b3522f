"""The tables of docs/performance.md, written into the page between its markers: `python -m bench --from J --page P`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.goals import GOALS
from bench.report import figure, ratio
from bench.results import TRUSTLS, Row

_MARKERS = ("goals", "figures")


def write(page: Path, rows: Sequence[Row], facts: dict[str, str]) -> None:
    """Put the tables where the page has their markers, `<!-- goals: begin -->` to `<!-- goals: end -->` and so on.

    Raises:
        ValueError: a marker is missing.
    """
    text = page.read_text(encoding="utf-8")
    for name, lines in zip(_MARKERS, (_goals(rows), _figures(rows, facts)), strict=True):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            raise ValueError(f"{page} has no {begin.strip()} ... {end.strip()}")
        text = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after
    page.write_text(text, encoding="utf-8")


def _goals(rows: Sequence[Row]) -> Iterator[str]:
    yield "| work | goal | figure | |"
    yield "|---|---|---:|---|"
    by_key = {row.key: row for row in rows}
    for goal in GOALS:
        row = by_key.get(goal.key)
        found = None if row is None else goal.figure(row)
        if row is not None and found is not None:
            reached = "reached" if goal.reached(found) else "**not reached**"
            unit = f" {row.unit}" if goal.against is None else ""
            yield f"| {_work(row)} | {goal}{unit} | {found:.2f} | {reached} |"


def _work(row: Row) -> str:
    return f"{row.section}: {row.work}".replace("|", "\\|")


def _figures(rows: Sequence[Row], facts: dict[str, str]) -> Iterator[str]:
    packages = ", ".join(f"{name[8:]} {value}" for name, value in facts.items() if name.startswith("package "))
    for name, value in facts.items():
        if not name.startswith("package "):
            yield f"- {name}: {value}"
    yield f"- packages: {packages}"
    for section, found in itertools.groupby(rows, key=lambda row: row.section):
        group = list(found)
        names = list(dict.fromkeys(itertools.chain.from_iterable(row.values for row in group)))
        yield from ("", f"### {section[0].upper()}{section[1:]}", "")
        yield f"| | {' | '.join(names)} | |"
        yield f"|---|{'---:|' * len(names)}---|"
        for row in group:
            yield f"| {row.work} | {' | '.join(_cell(row, name) for name in names)} | {row.unit} |"
    yield ""
    yield from (f"- {note}" for note in dict.fromkeys(itertools.chain.from_iterable(row.notes for row in rows)))


def _cell(row: Row, name: str) -> str:
    value, own = row.values.get(name), row.values.get(TRUSTLS)
    if value is None:
        return ""
    if name == TRUSTLS or own is None:
        return f"**{figure(value)}**"
    return f"{figure(value)} ({ratio(own, value)})"
