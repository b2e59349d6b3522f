"""What the tests of `trustls.aio` share."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

from tests.support.pki import PKI


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    return PKI(tmp_path_factory.mktemp("aio-pki"))


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_name(request: pytest.FixtureRequest) -> str:
    """Which event loop a test runs on."""
    name: str = request.param
    if name == "uvloop" and importlib.util.find_spec("uvloop") is None:
        reason = "uvloop is not installed here: pip install uvloop"
        if os.environ.get("TRUSTLS_REQUIRE_PEERS") == "1" and sys.platform != "win32":
            pytest.fail(f"{reason}; TRUSTLS_REQUIRE_PEERS=1 asks for it", pytrace=False)
        pytest.skip(reason)
    return name
