"""Packages that tests cannot do without."""

from __future__ import annotations

import importlib
import os

import pytest


def need(*packages: str) -> None:
    """Skip the module where a package is missing, with its name; fail it with TRUSTLS_REQUIRE_PEERS=1."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            reason = f"{package} is not installed here: pip install 'trustls[{package}]'"
            if os.environ.get("TRUSTLS_REQUIRE_PEERS") == "1":
                pytest.fail(f"{reason}; TRUSTLS_REQUIRE_PEERS=1 asks for it", pytrace=False)
            pytest.skip(reason, allow_module_level=True)
