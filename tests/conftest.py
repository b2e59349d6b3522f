"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import peers


@pytest.fixture
def require_peer() -> Callable[[str], str]:
    """`require_peer("openssl")` gives the path of the command, or skips the test (or fails it: see tests/peers.py)."""
    return peers.require_peer
