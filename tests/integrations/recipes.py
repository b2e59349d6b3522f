"""The recipes of docs/integrations/: the code that stands there is the code that the tests run.

A page is named like its package, and its ```python blocks, one behind the other, are a module. They define functions,
classes or applications; the tests call them with configurations of their own.
"""

from __future__ import annotations

import functools
import types
from pathlib import Path
from typing import Any, Final

from tests.docs.blocks import blocks

FOLDER: Final = Path(__file__).parents[2] / "docs" / "integrations"


@functools.cache
def load(name: str) -> Any:
    """The recipes of `docs/integrations/NAME.md` as a module: `load("httpx").get(...)`.

    Loaded once in a process. What a block imports must be installed: see `mutual.skip_without`.
    """
    page = FOLDER / f"{name}.md"
    module = types.ModuleType(f"docs.integrations.{name}", f"The code of {page.name}.")
    found = [block for block in blocks(page) if block.language == "python" and block.mark != "not run"]
    assert found, f"{page} has no ```python block to run"
    for block in found:
        # The empty lines make tracebacks point into the page.
        exec(compile("\n" * (block.line - 1) + block.body, str(page), "exec"), vars(module))
    return module


def text(name: str) -> str:
    """The same as source text, for a program that is run by itself: the blocks one behind the other."""
    page = FOLDER / f"{name}.md"
    return "\n".join(block.body for block in blocks(page) if block.language == "python" and block.mark != "not run")
