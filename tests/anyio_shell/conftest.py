"""What the tests of the asynchronous shell share."""

from __future__ import annotations

import pytest

from tests.support.pki import PKI


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    return PKI(tmp_path_factory.mktemp("shell-pki"))


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which event loop is below anyio."""
    name: str = request.param
    return name
