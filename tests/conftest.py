"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests import peers

# Before anything imports rich: so that it wraps nothing that tests look for.
os.environ["COLUMNS"] = "200"


@pytest.fixture
def require_peer() -> Callable[[str], str]:
    """`require_peer("openssl")` gives the path of the command, or skips the test (or fails it: see tests/peers.py)."""
    return peers.require_peer
