"""File descriptors: with more than one owner (a second socket object, another process), and what waits in them."""

from __future__ import annotations

import os
import socket
import sys


class SameDescriptor(socket.socket):
    """Another view of a socket's file descriptor, which that socket owns: when this is collected, it is not closed."""

    def __del__(self) -> None:
        """Nothing, in place of closing it."""


class _Forks:
    """How often this process was forked, or came out of a fork."""

    count = 0

    def add(self) -> None:
        """There is another process now, with all the file descriptors of this one."""
        self.count += 1


_forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_forks.add, after_in_child=_forks.add)


def forks() -> int:
    """How often this process was forked so far: what was opened at a lower count, two processes have."""
    return _forks.count


if sys.platform == "win32":

    def waiting(sock: socket.socket) -> int:  # noqa: ARG001
        """0: nobody knows."""
        return 0

else:
    import fcntl
    import termios

    def waiting(sock: socket.socket) -> int:
        """How many bytes can be read at once; 0 where nobody knows."""
        try:
            return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)
        except OSError:
            return 0
