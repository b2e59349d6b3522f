"""Linux's inotify, without a thread: one instance in a process, for a user has 128 of them, asked when it is wanted.

Only directories are watched. A file that is renamed into place, the usual way to renew one, is another file than the
one before, and only its directory can tell.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# <sys/inotify.h>
_ATTRIB: Final = 0x00000004
_CLOSE_WRITE: Final = 0x00000008
_MOVED_FROM: Final = 0x00000040
_MOVED_TO: Final = 0x00000080
_CREATE: Final = 0x00000100
_DELETE: Final = 0x00000200
_DELETE_SELF: Final = 0x00000400
_MOVE_SELF: Final = 0x00000800
_Q_OVERFLOW: Final = 0x00004000
_ONLYDIR: Final = 0x01000000

# A write that is not finished yet (IN_MODIFY) is of no interest: IN_CLOSE_WRITE follows.
_WATCHED: Final = (
    _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
)

_EVENT: Final = struct.Struct("iIII")  # wd, mask, cookie, length of the name that follows
_READ: Final = 16 << 10
# The queue of an instance holds 16384 events; this many reads empty a large part of it. The rest is for the next time.
_MAX_READS: Final = 16
# A signal handler may come upon the lock of its own thread; it goes without.
_PATIENCE: Final = 0.5


class Directory:
    """A directory under watch, for as long as somebody holds this object.

    Attributes:
        changes: how often something was seen to happen in it, or to it: then its path may lead elsewhere now.
    """

    __slots__ = ("__weakref__", "changes")

    def __init__(self) -> None:
        self.changes = 0


class Watcher:
    """An inotify instance, opened when it is needed. Safe to share between threads, and across `fork`."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._descriptor = -1
        self._directories: dict[int, weakref.ref[Directory]] = {}
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    @property
    def is_open(self) -> bool:
        """Whether there is an instance now: while anything is watched."""
        return self._descriptor >= 0

    def watch(self, path: Path) -> Directory | None:
        """The directory that this path leads to, under watch; None where that cannot be."""
        if self._libc is None or not self._lock.acquire(timeout=_PATIENCE):
            return None
        try:
            if self._descriptor < 0:
                self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._descriptor < 0:
                return None
            watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), _WATCHED)
            if watch < 0:
                self._tidy()
                return None
            known = self._directories.get(watch)
            directory = None if known is None else known()
            if directory is None:
                directory = Directory()
                self._directories[watch] = weakref.ref(directory, self._forgotten)
            return directory
        finally:
            self._lock.release()

    def read(self) -> None:
        """Count what has happened since the last time. Never waits: neither for an event nor for another thread."""
        if self._descriptor < 0 or not self._lock.acquire(blocking=False):
            return
        try:
            for _ in range(_MAX_READS):
                self._count(os.read(self._descriptor, _READ))
        except BlockingIOError:
            pass  # That was all.
        except OSError:
            self._close()  # Somebody closed our descriptor; who was watching is told, and watches anew.
        finally:
            self._lock.release()

    def tidy(self) -> None:
        """Watch no more what nobody holds, and close the instance when nothing is left."""
        if self._lock.acquire(blocking=False):
            try:
                self._tidy()
            finally:
                self._lock.release()

    def after_fork(self) -> None:
        """In the child, any number of times: the instance is the parent's.

        Whoever reads from it takes the parent's events away, and what is watched no more here is watched no more there.
        """
        if self._process != os.getpid():
            self._process = os.getpid()
            self._lock = threading.Lock()
            self._close()

    def _forgotten(self, _: weakref.ref[Directory]) -> None:
        self.tidy()

    def _tidy(self) -> None:
        gone = [watch for watch, directory in self._directories.items() if directory() is None]
        for watch in gone:
            del self._directories[watch]
            if self._libc is not None:
                self._libc.inotify_rm_watch(self._descriptor, watch)
        if not self._directories:
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        directories, self._directories = self._directories, {}
        self._tell(directories.values())
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # It may have been closed by somebody else.
                os.close(descriptor)

    def _count(self, events: bytes) -> None:
        at = 0
        while at + _EVENT.size <= len(events):
            watch, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if mask & _Q_OVERFLOW:
                # Something happened somewhere.
                self._tell(list(self._directories.values()))
            elif watch in self._directories:
                self._tell([self._directories[watch]])

    def _tell(self, watched: Iterable[weakref.ref[Directory]]) -> None:
        for reference in watched:
            directory = reference()
            if directory is not None:
                directory.changes += 1


_watcher: Watcher | None = None


def watcher_of_process() -> Watcher | None:
    """The one of this process; None where there is no inotify."""
    global _watcher  # noqa: PLW0603  # one a process, made when the first file is followed
    if sys.platform != "linux":
        return None
    if _watcher is None:
        _watcher = Watcher()
    return _watcher
