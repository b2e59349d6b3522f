"""Redis, for those who ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.session import redis_server


@pytest.fixture
def redis(require_peer: Callable[[str], str]) -> Iterator[redis_server.RedisServer]:
    """A fresh redis-server."""
    with redis_server.running(require_peer("redis-server")) as server:
        yield server
