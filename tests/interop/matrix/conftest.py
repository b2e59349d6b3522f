"""The peers' programs, built and started when they are first needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.interop.matrix.adapters import BUILD_SECONDS, Peer
from tests.interop.matrix.recording import VERSION
from tests.interop.matrix.resident import RunningPeer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test with each peer's program the time to build it."""
    seen = set()
    for item in items:
        marker = item.get_closest_marker("interop")
        if marker is not None and "peer" in getattr(item, "fixturenames", ()) and marker.kwargs["peer"] not in seen:
            seen.add(marker.kwargs["peer"])
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.fixture(scope="session")
def start_peer() -> Iterator[Callable[[Peer], RunningPeer]]:
    """Gives the running program of a peer, built and started once."""
    with contextlib.ExitStack() as stack:
        running: dict[str, RunningPeer] = {}
        hopeless: dict[str, BaseException] = {}

        def start(peer: Peer) -> RunningPeer:
            if peer.name in hopeless:
                raise hopeless[peer.name]
            if peer.name not in running:
                try:
                    running[peer.name] = stack.enter_context(RunningPeer(peer.name, peer.command()))
                except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
                    hopeless[peer.name] = error
                    raise
            return running[peer.name]

        yield start


@pytest.fixture
def peer(
    request: pytest.FixtureRequest,
    start_peer: Callable[[Peer], RunningPeer],
    record_property: Callable[[str, object], None],
) -> RunningPeer:
    """The peer that the test is about."""
    running = start_peer(request.param)
    record_property(VERSION, running.version)
    return running
