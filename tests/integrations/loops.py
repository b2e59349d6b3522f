"""Event loops that a test runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

import pytest

from tests.integrations.mutual import skip_without

Main: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
Run: TypeAlias = Callable[[Main], Any]


def run_on_asyncio(main: Main) -> Any:
    """On a fresh loop of asyncio."""
    return asyncio.run(main())


def run_on_uvloop(main: Main) -> Any:
    """By the recipe of docs/integrations/uvloop.md."""
    from tests.integrations import recipes

    skip_without("uvloop")
    return recipes.load("uvloop").run(main())


def run_on_trio(main: Main) -> Any:
    """On trio."""
    return skip_without("trio").run(main)


ASYNCIO: Final = pytest.mark.parametrize("run", [run_on_asyncio, run_on_uvloop], ids=["asyncio", "uvloop"])
ALL: Final = pytest.mark.parametrize(
    "run", [run_on_asyncio, run_on_uvloop, run_on_trio], ids=["asyncio", "uvloop", "trio"]
)
ASYNCIO_AND_TRIO: Final = pytest.mark.parametrize("run", [run_on_asyncio, run_on_trio], ids=["asyncio", "trio"])
