"""`import trustls` stays fast: it loads what a plain client or server needs, and the rest when it is used.

Each of the names below was found to take a millisecond or more, alone or with what it imports itself. Processor time is
measured by `python -m bench --only imports`; the calls are recorded with those of all other work.
"""

from __future__ import annotations

import functools
from typing import Final

import pytest

from tests.guard.baseline import told_by

# Of the standard library: what cryptography imports by itself is not held against trustls.
SLOW: Final = frozenset({
    *("asyncio", "concurrent.futures", "fcntl", "http", "pathlib", "ssl", "subprocess", "tempfile"),
    *("termios", "unicodedata"),
})  # fmt: skip
# Of trustls: features that few programs use, and the sides and versions of the handshake, one of which is used.
LATER: Final = (
    *("trustls.aio", "trustls.anyio", "trustls.asgi", "trustls.cli", "trustls.danger", "trustls.keylog"),
    *("trustls.net", "trustls.reloading", "trustls.spiffe", "trustls.stdlib", "trustls.trio", "trustls.wsgi"),
    *("trustls.handshake.client", "trustls.handshake.client12", "trustls.handshake.client13"),
    *("trustls.handshake.server", "trustls.handshake.server12", "trustls.handshake.server13"),
    *("trustls.handshake.post_handshake", "trustls.handshake.retry_cookie", "trustls.protocol.key_schedule12"),
    *("trustls.identity.pkcs11", "trustls.identity.staple", "trustls.session.psk", "trustls.session.redis"),
    *("trustls.session.shared", "trustls.trust.authorize", "trustls.trust.constraints", "trustls.trust.criteria"),
    *("trustls.trust.crl", "trustls.trust.lint", "trustls.trust.ocsp", "trustls.trust.patterns"),
    *("trustls.trust.revocation", "trustls.trust.spiffe", "trustls.wire.messages12"),
)


@functools.cache
def modules() -> frozenset[str]:
    """Those that are there after `import trustls` and nothing else."""
    return frozenset(told_by("-m", "tests.guard.imports")["modules"])


def test_import_loads_nothing_slow_of_the_standard_library() -> None:
    needed = sorted(name for name in modules() if name.partition(".")[0] == "cryptography")
    program = f"import {', '.join(needed)}, json, sys; print(json.dumps(sorted(sys.modules)))"
    found = (modules() & SLOW) - set(told_by("-c", program))
    assert not found, f"import trustls imports {', '.join(sorted(found))}: can that wait until it is used?"


@pytest.mark.parametrize("name", LATER)
def test_import_leaves_for_later(name: str) -> None:
    assert name not in modules(), f"import trustls loads {name}: python -X importtime -c 'import trustls' says by whom"


def test_what_is_left_for_later_exists() -> None:
    program = f"from importlib.util import find_spec; import json; print(json.dumps([*filter(find_spec, {LATER})]))"
    assert told_by("-c", program) == list(LATER), "a module has another name now"
