"""WorkloadIdentity with the agent that it is made for: SPIRE, where it is installed (see spire.py)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("spiffe", reason="py-spiffe is not installed here: pip install 'trustls[spiffe]'")

from tests.spiffe.spire import Spire, running
from tests.support.memory import connect
from trustls.config import ClientConfig, ServerConfig
from trustls.errors import ConfigError
from trustls.spiffe import WorkloadIdentity
from trustls.trust.authorize import Authorize
from trustls.trust.client_auth import ClientAuth

# Agents ask their server every five seconds.
pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets"), pytest.mark.timeout(120)]
SECONDS = 30.0


@pytest.fixture(scope="module")
def spire() -> Iterator[Spire]:
    with running() as spire:
        yield spire


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {SECONDS:g} s"
        time.sleep(0.05)


def test_a_life_with_spire(spire: Spire) -> None:
    with pytest.raises(ConfigError, match="it has no identity for this process: register it"):
        WorkloadIdentity(spire.endpoint, timeout=2)

    spire.register("/web", "-x509SVIDTTL", "20", "-dns", "localhost")
    with WorkloadIdentity(spire.endpoint, timeout=SECONDS) as identity:
        assert str(identity.spiffe_id) == "spiffe://example.org/web"
        assert list(identity.bundles) == ["example.org"]
        rule = Authorize.spiffe_id("spiffe://example.org/web")
        server = ServerConfig(
            credentials=[identity.credential], client_auth=ClientAuth.required(identity.bundles, authorize=rule)
        )
        client = ClientConfig(
            roots=identity.bundles, credentials=[identity.credential], check_name=False, authorize=rule
        )
        first = connect(server, client)
        assert first.server.peer is not None
        assert str(first.server.peer.spiffe_id) == "spiffe://example.org/web"

        # Renewed by half of its 20 seconds.
        version = identity.credential.version
        wait_until(lambda: identity.credential.version > version, "the renewal of the SVID")
        second = connect(server, client)
        assert second.server.peer is not None

        # A second root beside the first, as SPIRE prepares a rotation.
        roots = identity.bundles["example.org"]
        assert len(roots.current) == 1
        spire.server("localauthority", "x509", "prepare")
        wait_until(lambda: len(roots.current) == 2, "the second root")
        connect(server, client)

        # The agent is restarted, as when its node is upgraded.
        spire.stop_agent()
        wait_until(lambda: identity.error is not None, "word of the agent's end")
        connect(server, client)
        spire.start_agent()
        wait_until(lambda: identity.error is None, "the agent's return")
        connect(server, client)
        first.check_connected()
