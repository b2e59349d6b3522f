"""Whether files have changed: by their contents in the end, by what `stat` says before, by inotify before that."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from trustls.errors import ConfigError
from trustls.reloading.backoff import Backoff
from trustls.reloading.inotify import Directory, Watcher, watcher_of_process

# How often inotify is asked: a system call, when a handshake costs hundreds of times as much.
_NOTICED_AFTER: Final = 0.05
# File systems keep times this coarsely, 2 s at the worst (FAT): a file changed within may change again unseen.
_COARSE: Final = 2.0
# A key is mostly written a moment after its certificate.
_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 60.0
# What Linux follows, too.
_MAX_LINKS: Final = 40
_MAX_ENTRIES: Final = 4096
# Of a larger file only what `stat` says counts.
_MAX_READ: Final = 64 << 20
_CHUNK: Final = 64 << 10


class _Facts(NamedTuple):
    """What `stat` says of the file that a path leads to."""

    device: int
    inode: int
    mode: int
    size: int
    modified: int
    changed: int


_Stamp: TypeAlias = tuple[_Facts | int, ...]
"""The facts of each file in turn, or the errno for which there are none."""


class Files:
    """Some files that are followed by their paths, whatever those lead to at the time.

    Args:
        paths: files, and folders whose files count. Relative ones start where the process is now.
        interval: seconds after which to look without being told.
        inotify: whether to be told where that is possible.

    Raises:
        ConfigError: there is no path, one is no path, or the interval is not positive.
    """

    __slots__ = (
        "_all_watched",
        "_directories",
        "_interval",
        "_known",
        "_look_at",
        "_paths",
        "_seen",
        "_stamp",
        "_watcher",
        "_young",
        "backoff",
        "name",
    )

    def __init__(self, paths: Sequence[str | os.PathLike[str]], *, interval: float, inotify: bool = True) -> None:
        if not 0 < interval < math.inf:
            raise ConfigError(f"interval={interval} is no positive number of seconds")
        if not paths:
            raise ConfigError("there is no file to be followed")
        for path in paths:
            if (
                not isinstance(path, str | os.PathLike)
                or not isinstance(os.fspath(path), str)
                or "\0" in os.fspath(path)
            ):
                raise ConfigError(f"only files can be followed, by their paths as text: not {type(path).__name__}")
        here = Path.cwd()
        self.name = ", ".join(dict.fromkeys(os.fspath(path) for path in paths))
        self.backoff = Backoff(_FIRST_RETRY, _LAST_RETRY)
        self._paths = tuple(dict.fromkeys(here / path for path in paths))
        self._interval = interval
        self._watcher: Watcher | None = watcher_of_process() if inotify else None
        self._directories: tuple[Directory, ...] = ()
        self._all_watched = False
        self._seen = 0
        self._look_at = -math.inf
        self._known = b""
        self._stamp: _Stamp = ()
        self._young = False

    @property
    def watched(self) -> bool:
        """Whether inotify tells of every change now."""
        return self._all_watched

    def changed(self, now: float) -> bool:
        """Whether the contents are others than those last settled. Looks only when told to, or when it is time."""
        if now < self._look_at and not self._told():
            return False
        self._look_at = now + self._interval
        self._watch()
        try:
            stamp = self._stamped()
            if stamp == self._stamp and not self._young:
                return False
            if self._digest() != self._known:
                self.backoff.reset()  # Other contents may be better ones.
                return True
        except ConfigError:
            return True  # `state` will say the same, where it can be raised.
        self._remember(stamp)
        return False

    def next_look(self, now: float) -> float:
        """When to ask `changed` again."""
        return min(self._look_at, now + _NOTICED_AFTER) if self._directories else self._look_at

    def state(self) -> bytes:
        """A hash of the contents, errors included."""
        if not self._directories:
            self._watch()  # Before anything is read, so that no change falls in between.
        return self._digest()

    def settle(self, state: bytes, now: float) -> bool:
        """Whether the contents are these still; from now on they are the ones known."""
        stamp = self._stamped()
        if self._digest() != state:
            return False
        self._known = state
        self._remember(stamp)
        self._look_at = now + self._interval
        return True

    def after_fork(self) -> None:
        """The parent's inotify is not ours; the files are looked at again."""
        if self._watcher is not None:
            self._watcher.after_fork()  # First: to let go of a directory would end the parent's watch.
        self._directories, self._all_watched = (), False
        self._look_at = -math.inf

    def close(self) -> None:
        """Be told no more."""
        self._directories, self._all_watched = (), False
        if self._watcher is not None:
            self._watcher.tidy()

    def _told(self) -> bool:
        if self._watcher is None or not self._directories:
            return False
        self._watcher.read()
        return sum([directory.changes for directory in self._directories]) != self._seen

    def _watch(self) -> None:
        """Be told of what happens in each directory that matters now, as far as that can be."""
        if self._watcher is None:
            return
        wanted = list(dict.fromkeys(directory for path in self._paths for directory in directories_of(path)))
        watched = [self._watcher.watch(directory) for directory in wanted]
        self._directories = tuple(directory for directory in watched if directory is not None)
        self._all_watched = None not in watched
        # What happens from here on is seen as a change; what happened before, by those who look now.
        self._seen = sum([directory.changes for directory in self._directories])

    def _remember(self, stamp: _Stamp) -> None:
        self._stamp = stamp
        newest = max([max(facts.modified, facts.changed) for facts in stamp if isinstance(facts, _Facts)], default=0)
        self._young = abs(time.time() - newest / 1e9) < _COARSE

    def _stamped(self) -> _Stamp:
        return tuple(_facts(path) for path in self._files())

    def _digest(self) -> bytes:
        digest = hashlib.sha256()
        for path in self._files():
            digest.update(os.fsencode(path) + b"\0" + _content(path))
        return digest.digest()

    def _files(self) -> Iterator[Path]:
        """Each path, and for a folder its files after it."""
        for path in self._paths:
            yield path
            try:
                entries = sorted(path.iterdir())
            except OSError:
                continue  # No folder.
            if len(entries) > _MAX_ENTRIES:
                raise ConfigError(f"{path} holds {len(entries)} files, more than the {_MAX_ENTRIES} that are followed")
            yield from entries


def directories_of(path: Path) -> Iterator[Path]:
    """Every directory in which a change can make this absolute path lead elsewhere, or change what it leads to.

    That of the file itself; that of each symbolic link on the way, for a swap of the link; and where the way ends
    before the file, the last directory that is there.
    """
    here, links = Path(path.anchor), 0
    parts = deque(path.parts[1:])
    while parts:
        part = parts.popleft()
        if part == os.pardir:
            here = here.parent
            continue
        try:
            target = (here / part).readlink()
        except OSError as error:
            if error.errno != errno.EINVAL:  # It is not there, or not for us to see.
                yield here
                return
            if not parts:
                yield here
            here /= part
            continue
        yield here
        links += 1
        if links > _MAX_LINKS:
            return
        if target.is_absolute():
            here = Path(target.anchor)
            parts.extendleft(reversed(target.parts[1:]))
        else:
            parts.extendleft(reversed(target.parts))
    if here.is_dir():
        yield here


def _facts(path: Path) -> _Facts | int:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno or errno.EIO
    return _Facts(found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _content(path: Path) -> bytes:
    """A hash of what is in a file; what it is instead, where it cannot be read or is none."""
    try:
        # Not blocking: to open a FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        return f"error {error.errno}".encode()
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return f"mode {stat.S_IFMT(found.st_mode)}".encode()
        if found.st_size > _MAX_READ:
            return repr(_facts(path)).encode()
        digest = hashlib.sha256()
        left = _MAX_READ
        while left > 0 and (chunk := os.read(descriptor, _CHUNK)):
            digest.update(chunk)
            left -= len(chunk)
        return digest.digest()
    except OSError as error:
        return f"error {error.errno}".encode()
    finally:
        os.close(descriptor)
