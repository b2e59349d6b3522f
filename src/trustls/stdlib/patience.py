"""Patience: how long one call on a socket may wait, and what it says when that is over."""

from __future__ import annotations

import select
import socket
import time
from typing import Final

from trustls.stdlib.errors import want_read, want_write

_HAS_POLL: Final = hasattr(select, "poll")  # Windows has not.


class Patience:
    """The timeout of one call, which counts from when this is made.

    Args:
        timeout: as sockets have it: seconds; 0 for not waiting at all; None for as long as it takes.
        what: the call, as the TimeoutError names it.
    """

    __slots__ = ("_deadline", "_timeout", "_what")

    def __init__(self, timeout: float | None, what: str) -> None:
        self._timeout = timeout
        self._what = what
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def at_most(self, seconds: float) -> Patience:
        """The same, but no longer than this from now on."""
        return Patience(0 if self._timeout == 0 else seconds, self._what)

    def wait(self, sock: socket.socket, *, write: bool) -> None:
        """Wait until `sock` can be read or written.

        Raises:
            ssl.SSLWantReadError, ssl.SSLWantWriteError: there is no waiting.
            TimeoutError: the time was over before.
        """
        if self._timeout == 0:
            raise want_write() if write else want_read()
        left = None if self._deadline is None else self._deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"The {self._what} operation timed out")
        if _HAS_POLL:
            poll = select.poll()
            poll.register(sock, select.POLLOUT if write else select.POLLIN)
            poll.poll(None if left is None else left * 1000 + 1)
        else:
            select.select([] if write else [sock], [sock] if write else [], [], left)
