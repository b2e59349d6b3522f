"""The process that has trustls imported and forks for each test that a `shim.py` brings.

    python -m tests.bogo.resident SOCKET

It ends when nobody came for a while, and when its sources change, so that the next shim starts one with the new ones.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

import trustls
from tests.bogo import main

_IDLE_SECONDS = float(os.environ.get("TRUSTLS_BOGO_IDLE_SECONDS", "60"))
# Longer than the runner waits for anything: what hangs then is nobody's any more.
_TEST_SECONDS = 120
_MUST_FAIL = 90
_SOURCES = (Path(trustls.__file__).parent, Path(__file__).parent)


def serve(place: str) -> None:
    """Fork for each connection to the socket at `place`, until there is a reason to end."""
    listener = socket.socket(socket.AF_UNIX)
    nascent = Path(place + ".new")
    nascent.unlink(missing_ok=True)
    listener.bind(str(nascent))
    listener.listen(64)
    nascent.rename(place)  # Now it can be found: no shim meets a socket that does not listen yet.
    listener.settimeout(_IDLE_SECONDS)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Children are not waited for: they answer by themselves.
    started = _newest_source()
    gc.collect()
    gc.freeze()
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            break
        if _newest_source() != started:
            break  # The shim finds its connection closed, and starts the next resident.
        if os.fork() == 0:
            listener.close()
            _run(connection)
        connection.close()
    Path(place).unlink(missing_ok=True)


def _newest_source() -> float:
    return max(path.stat().st_mtime for folder in _SOURCES for path in folder.rglob("*.py"))


def _run(connection: socket.socket) -> None:
    """One test, in a process of its own."""
    code = _MUST_FAIL
    try:
        signal.alarm(_TEST_SECONDS)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        arguments = _request(connection)
        connection.sendall(b"+")
        code = main.run(arguments)
    except BaseException:  # noqa: BLE001 (whatever it is, the runner must hear of it)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        connection.sendall(bytes((code,)))
        os._exit(0)


def _request(connection: socket.socket) -> list[bytes]:
    """The arguments; the shim's standard streams become this process's own."""
    header, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    size = int.from_bytes(header, "big")
    request = bytearray()
    while len(request) < size:
        piece = connection.recv(size - len(request))
        if not piece:
            raise ConnectionError("the shim went away")
        request += piece
    return bytes(request).split(b"\0") if request else []


if __name__ == "__main__":
    serve(sys.argv[1])
