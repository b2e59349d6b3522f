"""Writes docs/interop.md out of what a run has found.

TRUSTLS_INTEROP_REPORT=found.json make test ARGS=tests/interop
python -m tests.interop.matrix.report found.json            # writes docs/interop.md
python -m tests.interop.matrix.report found.json --check    # fails where it claims what this run has not shown
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.interop.matrix.adapters import Elsewhere
from tests.interop.matrix.recording import recorded
from tests.interop.matrix.registry import ELSEWHERE, PEERS
from tests.interop.matrix.scenarios import DESCRIPTIONS, ONLY_TLS13, VERSIONS, Role, Scenario

PAGE: Final = Path(__file__).parents[3] / "docs" / "interop.md"
_HEADING: Final = "## trustls as "
_TLS13: Final = {Scenario.RETRY, Scenario.HYBRID, Scenario.OUR_UPDATE, Scenario.THEIR_UPDATE}

_OPENING: Final = """\
# Interoperability

Written by `python -m tests.interop.matrix.report` from a run of the tests; not to be edited by hand.

Each square is a test in `tests/interop`, which `make test` runs with the peers that are installed, and CI with all of
them. It names the versions of TLS in which the scenario passed. A dash stands for what the peer cannot do or does not
show, with the reason below the tables; an empty square for what has no meaning there.
"""

_REFUSALS: Final = """\
## What each side says when it refuses

The error messages of the peers, each beside what trustls says at the same moment.
"""

_ADDING: Final = """\
## Running it, and adding a peer

    make test ARGS=tests/interop/matrix                    # every peer that is installed; says what is missing
    make test ARGS="tests/interop/matrix -k go-1.3"        # one peer, one version
    TRUSTLS_REQUIRE_PEERS=1 make test                      # a missing peer is a failure, as in CI

The programs are in `tests/interop/matrix/peers`, one folder each, built when they are first needed and kept in
`.interop`. `peers/README.md` there has the language that they speak: a program that speaks it, and an entry in
`registry.py`, put a new implementation through every scenario.
"""


@dataclass(frozen=True)
class Square:
    """A test, and how it went."""

    peer: str
    scenario: str
    role: str
    version: str
    outcome: str
    peer_version: str | None
    ours: str | None
    theirs: str | None

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Square:
        """What the recorder wrote down of one test."""
        return cls(
            entry["peer"],
            entry["scenario"],
            entry["role"],
            entry["version"],
            entry["outcome"],
            entry["peer version"],
            entry["ours"],
            entry["theirs"],
        )


class Report:
    """The page, out of the squares of a run."""

    def __init__(self, environment: dict[str, str], squares: list[Square]) -> None:
        self.squares = squares
        self._environment = environment
        self._notes: list[str] = []
        self._peers: list[Elsewhere] = [*PEERS, *ELSEWHERE]
        unknown = {square.peer for square in squares} - {peer.name for peer in self._peers}
        if unknown:
            raise SystemExit(f"registry.py does not know {', '.join(sorted(unknown))}")

    def page(self) -> str:
        """All of it."""
        self._notes = []
        lines = [_OPENING, *self._versions()]
        for role in Role:
            lines += [f"{_HEADING}{role}", "", *self._table(role), ""]
        lines += [f"[^{number}]: {note}" for number, note in enumerate(self._notes, 1)]
        lines += ["", "## The scenarios", ""]
        lines += [f"- **{scenario}**: {description}." for scenario, description in DESCRIPTIONS.items()]
        return "\n".join([*lines, "", _REFUSALS, *self._refusals(), _ADDING])

    def unproven(self, page: str) -> Iterator[str]:
        """What the tables of a page claim and this run has not shown; what cannot be shown here is left out."""
        titles = {peer.title: peer for peer in self._peers}
        passed = {(s.peer, s.scenario, s.role, s.version) for s in self.squares if s.outcome == "passed"}
        for title, scenario, role, version in _claims(page):
            peer = titles.get(title)
            if peer is None or (
                (peer.name, scenario, role, version) not in passed
                and peer.reason_not_to(scenario, role, version) is None
            ):
                yield f"{title}, {scenario}, trustls as {role}, TLS {version}"

    # -- The parts ----------------------------------------------------------------------------------------------------

    def _versions(self) -> Iterator[str]:
        ours = self._environment
        yield f"Of this run: trustls {ours['trustls']}, Python {ours['Python']}, {ours['system']},"
        yield f"cryptography {ours['cryptography']}."
        yield ""
        yield "| peer | |"
        yield "|---|---|"
        for peer in self._peers:
            found = sorted({square.peer_version for square in self._of(peer) if square.peer_version})
            if found:
                yield f"| {peer.title} | {', '.join(map(_cell, found))} |"
        yield ""

    def _table(self, role: Role) -> Iterator[str]:
        peers = [peer for peer in self._peers if any(square.role == role for square in self._of(peer))]
        yield f"|  | {' | '.join(peer.title for peer in peers)} |"
        yield f"|---|{'---|' * len(peers)}"
        others = [square.scenario for square in self.squares if square.role == role]
        for scenario in dict.fromkeys([*map(str, Scenario), *others]):
            cells = [self._square(peer, scenario, role) for peer in peers]
            if any(cells):
                yield f"| {scenario} | {' | '.join(cells)} |"

    def _square(self, peer: Elsewhere, scenario: str, role: Role) -> str:
        parts = []
        for version in ONLY_TLS13 if scenario in _TLS13 else VERSIONS:
            found = [s for s in self._of(peer) if (s.scenario, s.role, s.version) == (scenario, role, version)]
            reason = peer.reason_not_to(scenario, role, version)
            if found:
                parts.append(_outcome(version, found))
            elif reason is not None:
                parts.append(f"-{self._note(reason)}")
        return " ".join(dict.fromkeys(parts))

    def _note(self, reason: str) -> str:
        if reason not in self._notes:
            self._notes.append(reason)
        return f"[^{self._notes.index(reason) + 1}]"

    def _refusals(self) -> Iterator[str]:
        titles = {peer.name: peer.title for peer in self._peers}
        said = [square for square in self.squares if square.ours is not None and square.outcome == "passed"]
        order = {str(scenario): place for place, scenario in enumerate(Scenario)}
        places = dict.fromkeys((square.scenario, square.role) for square in said)
        for scenario, role in sorted(places, key=lambda place: order.get(place[0], len(order))):
            here = [square for square in said if (square.scenario, square.role) == (scenario, role)]
            yield f"### {scenario[0].upper()}{scenario[1:]}, trustls as {role}"
            yield ""
            for ours in dict.fromkeys(square.ours for square in here):
                yield f"trustls: \u201c{ours}\u201d"
                yield ""
                yield "| peer | TLS | says |"
                yield "|---|---|---|"
                words: dict[tuple[str, str], list[str]] = {}
                for square in here:
                    if square.ours == ours:
                        words.setdefault((square.peer, square.theirs or ""), []).append(square.version)
                for (peer, theirs), versions in words.items():
                    yield f"| {titles[peer]} | {', '.join(sorted(versions))} | {_cell(theirs)} |"
                yield ""

    def _of(self, peer: Elsewhere) -> Iterable[Square]:
        return (square for square in self.squares if square.peer == peer.name)


def _outcome(version: str, squares: list[Square]) -> str:
    outcomes = {square.outcome for square in squares}
    if "failed" in outcomes:
        return f"**{version} fails**"
    return version if outcomes == {"passed"} else f"({version} skipped)"


def _cell(text: str) -> str:
    text = re.sub(r"\b[0-9A-F]{16}:(?=error:)", "", text)  # OpenSSL's number of the thread, another in each run
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _claims(page: str) -> Iterator[tuple[str, str, str, str]]:
    """Each square that the tables of a page call passed: the peer's title, scenario, role, version."""
    for part in page.split("\n## "):
        role = part.partition("\n")[0].removeprefix(_HEADING.removeprefix("## "))
        rows = [line[2:-2].split(" | ") for line in part.splitlines() if line.startswith("| ")]
        if role in list(Role) and rows:
            for scenario, *cells in rows[1:]:
                for title, cell in zip(rows[0][1:], cells, strict=True):
                    yield from ((title, scenario, role, version) for version in cell.split() if version in VERSIONS)


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.matrix.report", description=__doc__)
    parser.add_argument("found", type=Path, help="what TRUSTLS_INTEROP_REPORT named")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    given = parser.parse_args(arguments)
    found = recorded(given.found)
    report = Report(found["environment"], [Square.of(entry) for entry in found["squares"]])
    if not report.squares:
        raise SystemExit(f"{given.found} has no squares in it")
    bad = [square for square in report.squares if square.outcome != "passed"]
    if given.check:
        unproven = list(report.unproven(PAGE.read_text(encoding="utf-8")))
        sys.stdout.writelines(f"{PAGE.name} claims what this run has not shown: {claim}\n" for claim in unproven)
        return 1 if unproven else 0
    PAGE.write_text(report.page(), encoding="utf-8")
    sys.stdout.write(f"{len(report.squares)} squares, {len(bad)} of them not passed, are in {PAGE.name}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
