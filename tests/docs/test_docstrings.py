"""The examples in docstrings, which the API reference shows, give what stands there."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import trustls

SOURCE = Path(trustls.__file__).parent


def with_examples() -> list[str]:
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        if ">>> " in file.read_text():
            parts = file.relative_to(SOURCE.parent).with_suffix("").parts
            found.append(".".join(part for part in parts if part != "__init__"))
    return found


def test_there_are_examples() -> None:
    assert len(with_examples()) > 5, "are they looked for in the right place?"


@pytest.mark.parametrize("name", with_examples())
def test_examples_of_docstrings_run(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
