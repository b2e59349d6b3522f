"""The public API is what was recorded: whoever changes it means to."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

import pytest

import trustls
from tests.typing.api import INTERNAL, PUBLIC, lines, public_names, recorded

# What pip installs for the modules that need more than the core does.
NEEDS = {
    "trustls.spiffe": "trustls[spiffe]",
    "trustls.session.redis": "trustls[redis]",
    "trustls.identity.pkcs11": "trustls[pkcs11]",
    "trustls.anyio": "anyio",
    "trustls.trio": "trio",
}


def test_public_api_is_as_recorded() -> None:
    diff = difflib.unified_diff(recorded(), lines(), "recorded", "now", lineterm="", n=2)
    changes = "\n".join(diff)
    assert not changes, (
        f"the public API is another than in tests/typing/public_api.txt:\n{changes}\n"
        "Does that break somebody's program? If it is meant, say so in CHANGELOG.md, and record it: "
        "python -m tests.typing.api"
    )


def test_every_module_is_either_public_or_not() -> None:
    folder = Path(trustls.__file__).parent
    modules = {entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
    public = {path.split(".")[1] for path in PUBLIC if path.count(".") == 1}
    unknown = modules - public - INTERNAL - {"__init__"}
    assert not unknown, f"say in tests/typing/api.py whether {', '.join(sorted(unknown))} may be imported by users"


@pytest.mark.parametrize("path", PUBLIC)
def test_every_public_name_is_there(path: str) -> None:
    if path in NEEDS:
        pytest.importorskip(path, reason=f"pip install '{NEEDS[path]}'", exc_type=ImportError)
    module = importlib.import_module(path)
    missing = [name for name in public_names(path) if not hasattr(module, name)]
    assert not missing, f"{path} promises {', '.join(missing)}, and has none"


def test_py_typed_is_beside_the_package() -> None:
    assert (Path(trustls.__file__).parent / "py.typed").is_file(), "without it, type checkers ignore the annotations"
