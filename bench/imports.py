"""Import time in fresh interpreters: trustls beyond the modules of `cryptography` that it needs, and the others."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from importlib.util import find_spec
from tempfile import TemporaryDirectory

from bench.results import PYOPENSSL, RTLS, SSL, TLSLITE, TRUSTLS, Row
from bench.terms import Terms

_TIMED = """
import sys, time
before = set(sys.modules)
for name in {dependencies!r}:
    __import__(name)
start = time.process_time()
__import__({name!r})
taken = time.process_time() - start
import json
print(json.dumps([taken * 1e3, sorted(name for name in sys.modules if name not in before)]))
"""
_MODULES = {SSL: "ssl", PYOPENSSL: "OpenSSL.SSL", RTLS: "rtls", TLSLITE: "tlslite.api"}


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:  # noqa: ARG001 (as the others have it)
    """Milliseconds of processor time."""
    times = 7 if seconds > 10 else 2
    with TemporaryDirectory() as folder:
        # Bytecode is kept, as in any installation, whatever this environment says about it.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        found: dict[str, list[float]] = {}
        peers = _MODULES if seconds > 10 else {SSL: _MODULES[SSL]}
        others = {peer: name for peer, name in peers.items() if find_spec(name.partition(".")[0])}
        _, modules = _imported("trustls", [], environment)
        dependencies = [name for name in modules if name.partition(".")[0] == "cryptography"]
        for turn in range(times + 1):
            measured = {peer: _imported(name, [], environment)[0] for peer, name in others.items()}
            measured["whole"], _ = _imported("trustls", [], environment)
            measured["beyond"], _ = _imported("trustls", dependencies, environment)
            if turn:  # The first one compiles.
                for name, taken in measured.items():
                    found.setdefault(name, []).append(taken)
    values = {name: statistics.median(taken) for name, taken in found.items()}
    beyond, whole = values.pop("beyond"), values.pop("whole")
    return [
        Row("import", "import", "import, beyond cryptography", "ms", values={TRUSTLS: beyond}),
        Row("import", "import-whole", "import, everything", "ms", values={TRUSTLS: whole, **values}),
    ]


def _imported(name: str, dependencies: list[str], environment: dict[str, str]) -> tuple[float, list[str]]:
    """Milliseconds that the import took after that of `dependencies`, and the modules that are there at the end."""
    program = _TIMED.format(name=name, dependencies=dependencies)
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    taken, modules = json.loads(output)
    return taken, modules
