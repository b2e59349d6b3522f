"""How many examples hypothesis tries: few on a developer's machine and in CI, many where somebody asks for them.

`TRUSTLS_EXAMPLES=thorough pytest` tries fifty times as many. In CI the examples are the same in every run.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# The Makefile runs the tests with `python -bb`, and hypothesis compares bytes and numbers in its own cache.
COMPARES_BYTES = pytest.mark.filterwarnings("ignore::BytesWarning:hypothesis")

_COMMON = settings(
    deadline=None,  # a shared machine is slow at times, and pytest-timeout catches what hangs
    suppress_health_check=[HealthCheck.too_slow],
)

settings.register_profile("usual", _COMMON, max_examples=30)
settings.register_profile("ci", _COMMON, max_examples=30, derandomize=True, print_blob=True)
settings.register_profile("thorough", _COMMON, max_examples=1500, print_blob=True)


def load_profile() -> None:
    """Choose by the environment: TRUSTLS_EXAMPLES, then CI."""
    settings.load_profile(os.environ.get("TRUSTLS_EXAMPLES") or ("ci" if os.environ.get("CI") else "usual"))


def more(times: int) -> settings:
    """Examples for a test that finds more the more it tries: so many times the usual number."""
    return settings(max_examples=times * settings().max_examples)


def fewer(times: int) -> settings:
    """Examples for a test of which each takes long."""
    return settings(max_examples=max(settings().max_examples // times, 1))
