"""What the tests of reloading share: a clock of their own, and files that are followed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trustls.reloading import Reloading

INTERVAL = 5.0
# A little more than the time after which inotify is asked.
TOLD = 0.06


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Follower:
    """Makes values that follow files, by inotify or by looking, and lets just so much time pass that they may know."""

    def __init__(self, *, inotify: bool) -> None:
        self.inotify = inotify
        self.clock = Clock()
        self.followed: list[Reloading[Any]] = []

    def follow(self, load: Callable[[], Any], *paths: Path, **options: Any) -> Reloading[Any]:
        reloading = Reloading.from_files(
            load, *paths, interval=INTERVAL, inotify=self.inotify, clock=self.clock, **options
        )
        self.followed.append(reloading)
        return reloading

    def follow_text(self, *paths: Path, **options: Any) -> Reloading[str]:
        """The contents of files, one after the other."""
        return self.follow(lambda: " ".join(path.read_text() for path in paths), *paths, **options)

    def wait(self) -> None:
        self.clock.pass_by(TOLD if self.inotify else INTERVAL)

    def close(self) -> None:
        for reloading in self.followed:
            reloading.close()


def replace(path: Path, text: str | bytes) -> None:
    """As files are renewed by those who know how: whole, under another name, then renamed."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(text.encode() if isinstance(text, str) else text)
    new.replace(path)


def inotify_descriptors() -> int:
    """How many inotify instances this process has."""
    if sys.platform != "linux":
        return 0
    return sum(is_inotify(descriptor) for descriptor in Path("/proc/self/fd").iterdir())


def is_inotify(descriptor: Path) -> bool:
    """Whether this entry of /proc/self/fd is an inotify instance."""
    try:
        return "inotify" in str(descriptor.readlink())
    except FileNotFoundError:
        return False  # That of the listing itself.


def warnings_of(records: list[logging.LogRecord]) -> list[str]:
    """What was said at level WARNING on the logger `trustls.reloading`."""
    return [
        record.getMessage()
        for record in records
        if record.name == "trustls.reloading" and record.levelno == logging.WARNING
    ]
