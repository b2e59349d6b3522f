"""docs/security.md: the tests that it names are there, and the bounds that it gives are those of the code."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "security.md"

_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
_BOUND = re.compile(r"^\| (?P<what>[^|]+) \| (?P<most>[\d,]+) \| `(?P<place>[\w.]+:\w+)` \|$", re.MULTILINE)


def named_tests() -> list[str]:
    """Each test that the document names."""
    return sorted({f"{file}::{name}" for file, name in _TEST.findall(DOCUMENT.read_text())})


@functools.cache
def functions(file: str) -> frozenset[str]:
    """The functions of a test file."""
    path = ROOT / "tests" / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def attacks() -> list[list[str]]:
    """The rows of the tables of attacks, cell by cell."""
    _, _, known = DOCUMENT.read_text().partition("## Known attacks")
    rows = [
        line for line in known.splitlines() if line.startswith("| ") and not line.startswith(("| attack |", "|---"))
    ]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize("named", named_tests())
def test_test_that_is_named_exists(named: str) -> None:
    file, _, name = named.partition("::")
    assert functions(file), f"there is no tests/{file}"
    assert name in functions(file), f"there is no {name} in tests/{file}: was it renamed?"


def test_every_attack_has_a_test_or_says_why_not() -> None:
    rows = attacks()
    assert len(rows) > 60, f"there are {len(rows)} rows: is the table read rightly?"
    for row in rows:
        assert len(row) == 3, f"not three cells: {row}"
        attack, here, shown = row
        assert attack, f"a row without an attack: {row}"
        assert here, f"{attack}: what becomes of it here?"
        assert _TEST.search(shown) or shown.startswith("none: "), f"{attack}: nothing shows it"
        rest = _TEST.sub("", shown).replace(",", "").strip()
        assert not rest or shown.startswith("none: "), f"{attack}: beside tests there stands {rest!r}"


def test_bounds_are_those_of_the_code() -> None:
    bounds = [match.groupdict() for match in _BOUND.finditer(DOCUMENT.read_text())]
    assert len(bounds) > 12, f"there are {len(bounds)} bounds: is the table read rightly?"
    wrong = []
    for bound in bounds:
        module, _, name = bound["place"].partition(":")
        actual = getattr(importlib.import_module(f"trustls.{module}"), name)
        if actual != int(bound["most"].replace(",", "")):
            wrong.append(f"{bound['what']}: {bound['most']} in the document, {actual} in {bound['place']}")
    assert not wrong, "\n".join(wrong)


def test_suites_are_as_many_as_the_document_says() -> None:
    from trustls.crypto.provider import DEFAULT_PROVIDER

    assert (len(DEFAULT_PROVIDER.suites12), len(DEFAULT_PROVIDER.suites)) == (6, 3)
