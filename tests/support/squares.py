"""How tests outside tests/interop/matrix report to its table: which square they are, and with which version."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

import pytest

from tests.interop.matrix.scenarios import VERSIONS, Role, Scenario
from tests.support.processes import run

Record = Callable[[str, object], None]
"""pytest's `record_property`."""


def square(peer: str, scenario: Scenario, role: Role, version: str) -> pytest.MarkDecorator:
    """A test is this square of docs/interop.md. `role` is what trustls is."""
    return pytest.mark.interop(peer=peer, scenario=scenario.value, role=role.value, version=version)


def squares(peer: str, scenario: Scenario, role: Role, versions: Iterable[str] = VERSIONS) -> pytest.MarkDecorator:
    """Runs a test for each TLS version, each run a square."""
    runs = [pytest.param(version, marks=square(peer, scenario, role, version)) for version in versions]
    return pytest.mark.parametrize("version", runs)


@functools.cache
def nginx_version(nginx: str) -> str:
    """nginx and its OpenSSL."""
    build = run([nginx, "-V"]).stderr
    version = re.search(r"nginx/(\S+)", build)
    library = re.search(r"running with (OpenSSL \S+)", build) or re.search(r"built with (\S+ \S+)", build)
    assert version, build
    assert library, build
    return f"nginx {version[1]} ({library[1]})"


@functools.cache
def haproxy_version(haproxy: str) -> str:
    """HAProxy and its OpenSSL."""
    build = run([haproxy, "-vv"]).stdout
    version = re.search(r"HAProxy version (\d+\.\d+(?:\.\d+)?)", build)
    library = re.search(r"Running on OpenSSL version : (OpenSSL \S+)", build)
    assert version, build
    assert library, build
    return f"HAProxy {version[1]} ({library[1]})"


@functools.cache
def curl_version(curl: str) -> str:
    """curl and its TLS library."""
    build = re.match(r"(curl \S+) .*?((?:OpenSSL|LibreSSL|GnuTLS)/\S+)", run([curl, "--version"]).stdout)
    assert build, "curl does not tell its version"
    return f"{build[1]} ({build[2].replace('/', ' ')})"


@functools.cache
def chromium_version(chromium: str) -> str:
    """Chromium, which has its TLS library with it."""
    found = re.search(r"Chrom\w+ [\d.]+", run([chromium, "--version"]).stdout)
    assert found, "Chromium does not tell its version"
    return found[0]
