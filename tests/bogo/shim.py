#!/usr/bin/env -S python3 -I -S
"""What BoGo's runner starts, thousands of times: hands its arguments and its output to a process that is ready.

That process (`resident.py`) has trustls imported and forks for each connection test, so that a test costs a few
milliseconds instead of the start of an interpreter and of `cryptography`. It is started here when there is none, and
ends by itself. This file knows nothing of TLS and imports little: pathlib alone would take as long as all the rest.
"""

import contextlib
import fcntl
import os
import socket
import sys
import time
from binascii import crc32

_ROOT = __file__.rpartition("/tests/bogo/")[0]
# The runner takes a test that ends with this for failed, whatever it expected.
_MUST_FAIL = 90
_START_SECONDS = 30.0
_ATTEMPTS = 5


def main() -> int:
    """The exit code of the test."""
    if sys.argv[1:] == ["-is-handshaker-supported"]:
        sys.stdout.write("No\n")  # The runner asks this before anything else: hints are BoringSSL's own.
        return 0
    place = _meeting_place()
    for _ in range(_ATTEMPTS):
        with _connected(place) as connection:
            code = _asked(connection)
        if code is not None:
            return code
    return _failed("the resident process goes away before it answers")


def _asked(connection: socket.socket) -> int | None:
    """What came of the test; None when the resident process ended before it took the test."""
    request = b"\0".join(map(os.fsencode, sys.argv[1:]))
    try:
        socket.send_fds(connection, [len(request).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(request)
        if not connection.recv(1):
            return None
    except ConnectionError:
        return None
    code = connection.recv(1)
    return code[0] if code else _failed("the process that ran the test died")


def _meeting_place() -> str:
    """The path of the resident's socket: one for each tree of sources and each environment that it may run in."""
    folder = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/trustls-bogo-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)  # noqa: PTH102 (no pathlib here: see above)
    found = os.lstat(folder)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SystemExit(_failed(f"{folder} belongs to somebody else, or is open to others"))
    which = "\0".join((_ROOT, sys.executable, os.environ.get("PYTHONPATH", "")))
    return f"{folder}/{crc32(os.fsencode(which)):08x}"


def _connected(place: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(place)
    except OSError:
        lock = os.open(f"{place}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        _connect_or_start(connection, place)
        os.close(lock)
    return connection


def _connect_or_start(connection: socket.socket, place: str) -> None:
    """With the lock held: another may have started the resident meanwhile; otherwise this does."""
    resident = 0
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            connection.connect(place)
        except OSError:
            if not resident:
                resident = os.fork() or _become_resident(place)
            if os.waitpid(resident, os.WNOHANG)[0]:
                break
            time.sleep(0.02)
        else:
            return
    log = os.open(f"{place}.log", os.O_RDONLY)
    raise SystemExit(_failed(f"the resident process does not start:\n{os.read(log, 1 << 16).decode(errors='replace')}"))


def _become_resident(place: str) -> int:
    os.setsid()
    os.chdir(_ROOT)
    log = os.open(f"{place}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nowhere, log, log)):
        os.dup2(source, target)
    os.execv(sys.executable, [sys.executable, "-m", "tests.bogo.resident", place])


def _failed(why: str) -> int:
    sys.stderr.write(f"shim: {why}\n")
    return _MUST_FAIL


if __name__ == "__main__":
    sys.exit(main())
