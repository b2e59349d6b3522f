"""The soak's mark and its figures, which are printed when all is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.scale import LONG, SECONDS
from tests.support.pki import PKI

_FIGURES: list[str] = []

Report = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "soak: many connections, bad ones among them; TRUSTLS_SOAK=long for the long form"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.soak)
            item.add_marker(pytest.mark.timeout(SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FIGURES:
        terminalreporter.section(f"soak, {'long' if LONG else 'short'} form")
        for line in _FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture
def report() -> Report:
    """Takes lines for the end of the run."""
    return _FIGURES.append


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    return PKI(tmp_path_factory.mktemp("soak-pki"))
