"""What `import trustls` costs: `python -m tests.guard.imports` prints it as JSON.

It runs in a process of its own, which has imported nothing of trustls before. Counted are the calls that trustls's own
code makes: its modules, its classes and what these call; not those of the import machinery, or of `enum`.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.util import find_spec
from types import FrameType
from typing import Any

_KINDS = {"call": "python", "c_call": "c"}


def measured() -> dict[str, Any]:
    """The calls of the import, and the modules that are there after it."""
    spec = find_spec("trustls")  # This finds it, and does not import it.
    assert spec is not None
    assert spec.submodule_search_locations is not None
    own = spec.submodule_search_locations[0]
    calls = dict.fromkeys(_KINDS.values(), 0)

    def count(frame: FrameType, event: str, _argument: Any) -> None:
        if event in _KINDS and frame.f_code.co_filename.startswith(own):
            calls[_KINDS[event]] += 1

    sys.setprofile(count)
    importlib.import_module("trustls")
    sys.setprofile(None)
    return {"calls": calls, "modules": sorted(sys.modules)}


if __name__ == "__main__":
    print(json.dumps(measured()))  # noqa: T201 (that is its task)
