"""What pyproject.toml promises to whoever installs. (The built distributions are looked at by check.py, in CI.)"""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import trustls
from tests.packaging.check import CORE_MODULES, FOR_US, NEEDS_AN_EXTRA, PROBES

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]


def test_core_depends_on_cryptography_alone() -> None:
    assert [re.split(r"[<>=]", need)[0] for need in PROJECT["dependencies"]] == ["cryptography"]


def test_version_is_that_of_the_package() -> None:
    assert PROJECT["version"] == trustls.__version__


def test_every_extra_is_tried_or_for_us() -> None:
    unknown = PROJECT["optional-dependencies"].keys() - PROBES.keys() - FOR_US
    assert not unknown, f"say in tests/packaging/check.py what to try of {', '.join(sorted(unknown))}"


def test_every_extra_that_a_module_asks_for_exists() -> None:
    asked = {extra.partition("[")[2].rstrip("]") for extra in NEEDS_AN_EXTRA.values()}
    assert asked <= PROJECT["optional-dependencies"].keys()


def test_licences_that_are_named_are_there() -> None:
    missing = [name for name in PROJECT["license-files"] if not (ROOT / name).is_file()]
    assert not missing, f"pyproject.toml names {', '.join(missing)}"


def test_every_python_that_is_named_can_be_installed_to() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    least = PROJECT["requires-python"].removeprefix(">=")
    assert named[0] == least, f"requires-python begins with {least}, the classifiers with {named[0]}"


@pytest.mark.parametrize("module", CORE_MODULES)
def test_core_module_can_be_imported(module: str) -> None:
    importlib.import_module(module)
