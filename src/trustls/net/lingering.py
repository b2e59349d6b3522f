"""The end of a TCP connection such that the peer gets all that was sent."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import Final

_AT_LEAST_SECONDS: Final = 0.1
_STEP_SECONDS: Final = 0.02
_READ_SIZE: Final = 1 << 16


def linger(sock: socket.socket, seconds: float) -> bool:
    """Let the peer take what was sent: a socket closed over unread data resets the connection, and all is lost.

    It ends with the peer's end of the stream; or, a little later, as soon as the peer's system has everything; or after
    `seconds`. What the peer sends is thrown away.

    Args:
        sock: blocking; no more is sent on it. Its timeout is changed.
        seconds: the longest that this takes.

    Returns:
        Whether the peer's end of the stream was seen, after which there is nothing left of the connection.

    Raises:
        OSError: the connection is gone.
    """
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(_STEP_SECONDS)
    started = time.monotonic()
    while (waited := time.monotonic() - started) < seconds:
        if waited >= _AT_LEAST_SECONDS and not _in_flight(sock):
            return False
        with contextlib.suppress(TimeoutError):
            if not sock.recv(_READ_SIZE):
                return True
    return False


def _in_flight(sock: socket.socket) -> bool:
    """Whether bytes that were sent have not reached the peer's system; False where the system does not tell."""
    try:
        import fcntl
        import termios
    except ImportError:  # Windows
        return False
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return False
    return int.from_bytes(answer, sys.byteorder) > 0
