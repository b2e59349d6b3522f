"""File descriptors: with more than one owner (a second socket object, another process), and what waits in them."""

from __future__ import annotations

import socket
import sys


class SameDescriptor(socket.socket):
    """Another view of a socket's file descriptor, which that socket owns: when this is collected, it is not closed."""

    def __del__(self) -> None:
        """Nothing, in place of closing it."""


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
