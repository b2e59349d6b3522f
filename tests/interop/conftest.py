"""What the tests with other implementations share: one PKI for the whole run, and the peers' commands."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

from tests.interop.matrix.recording import recorder
from tests.peers import require_peer
from tests.support.pki import PKI
from tests.support.processes import run


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "interop(peer, scenario, role, version): which square of docs/interop.md a test is"
    )
    found = recorder()
    if found is not None:
        config.pluginmanager.register(found, "trustls-interop-recorder")


@pytest.fixture(name="record_property")
def record_text(record_property: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """As text: what is recorded may come from another process."""
    return lambda name, value: record_property(name, str(value))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    return PKI(tmp_path_factory.mktemp("interop-pki"))


@pytest.fixture(scope="session")
def openssl() -> str:
    """OpenSSL 3 or later; what macOS calls openssl is LibreSSL, whose s_client lacks half of what is used here."""
    path = require_peer("openssl")
    version = run([path, "version"]).stdout.strip()
    if not re.match(r"OpenSSL ([3-9]|\d\d)\.", version):
        reason = f"{path} is {version}: these tests are for OpenSSL 3 or later"
        if os.environ.get("TRUSTLS_REQUIRE_PEERS") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def curl() -> str:
    return require_peer("curl")


@pytest.fixture(scope="session")
def gnutls_cli() -> str:
    return require_peer("gnutls-cli")


@pytest.fixture(scope="session")
def gnutls_serv() -> str:
    return require_peer("gnutls-serv")
