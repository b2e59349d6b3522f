from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.reloading.following import Follower


@pytest.fixture(params=["inotify", "polling"])
def follower(request: pytest.FixtureRequest) -> Iterator[Follower]:
    """Files followed in the one way and in the other."""
    if request.param == "inotify" and sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    follower = Follower(inotify=request.param == "inotify")
    yield follower
    follower.close()
