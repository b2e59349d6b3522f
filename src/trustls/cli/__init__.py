"""The `trustls` command: demo, serve, connect, check and pki. It needs the extra `trustls[cli]` (click and rich).

Exit codes are the same for every command: 0 when all went well, 1 when TLS failed (a handshake, a certificate, an
alert), 2 for a usage or configuration error, 3 when the network failed (no such host, refused, timed out), 130 after
Ctrl-C.
"""

from __future__ import annotations

import importlib.util
import sys


def main() -> int:
    """Run the command that `sys.argv` names, and return its exit code."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The trustls command needs {' and '.join(missing)}, which this Python does not have. "
            "Install the extra that brings them: pip install 'trustls[cli]'\n"
        )
        return 2
    from trustls.cli.commands import run

    return run(sys.argv[1:])
