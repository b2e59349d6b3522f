"""A value that can be replaced while others read it: how the old one gives way, and what is said when it cannot."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, NamedTuple, Protocol, TypedDict, TypeVar, Unpack, runtime_checkable

from trustls.errors import ConfigError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_logger = logging.getLogger("trustls.reloading")

# How many values before the newest may still count at once. One that is renewed faster loses its oldest early.
_MAX_FADING: Final = 8
# How many different failures in a row are said; more are only another of the same kind.
_MAX_SAID: Final = 16
_MAX_REASON: Final = 500
# A `load` that asks to be called again each time is not called for ever.
_MAX_POSTPONED: Final = 8


@runtime_checkable
class Source(Protocol[T_co]):
    """What a configuration needs of a value that may change: `Reloading`, `Pushed`, or anything else of this shape.

    Attributes:
        current: the value to go by now. The same object is given until there is another.
        version: how many values there have been, the first included; it changes whenever `current` does.
        error: why the newest value was not taken; None when it was.
    """

    @property
    def current(self) -> T_co: ...
    @property
    def version(self) -> int: ...
    @property
    def error(self) -> Exception | None: ...


class Options(TypedDict, Generic[T], total=False):
    """What a value that changes may be told besides, by keyword.

    Attributes:
        name: what it is called in the log.
        check: called with each new value; refuses it by raising.
        key: what tells two values apart: a new one with an equal key is the old one over again, which stays. Without it
            the values themselves are compared.
        combine: how the value before and the new one are joined while `overlap` lasts: for CAs that follow upon each
            other. Without it a new value replaces the one before at once.
        overlap: how many seconds both count; 0 for not at all.
        on_change: called with the new `current` when there is one; not for the first.
        on_error: called with each failure that is logged: each different one, once.
        clock: gives seconds that only grow.
    """

    name: str
    check: Callable[[T], object] | None
    key: Callable[[T], object] | None
    combine: Callable[[T, T], T] | None
    overlap: float
    on_change: Callable[[T], object] | None
    on_error: Callable[[Exception], object] | None
    clock: Callable[[], float]


class _Fading(NamedTuple, Generic[T]):
    """A value that was replaced, and until when it still counts."""

    until: float
    value: T


class Held(Generic[T]):
    """What `Reloading` and `Pushed` have in common. Safe to share between threads, and across `fork`."""

    __slots__ = (
        "__weakref__",
        "_busy",
        "_check",
        "_clock",
        "_combine",
        "_due",
        "_error",
        "_fading",
        "_key",
        "_loaded_at",
        "_lock",
        "_newest",
        "_on_change",
        "_on_error",
        "_overlap",
        "_postponed",
        "_said",
        "_to_tell",
        "_value",
        "_version",
        "name",
    )

    _value: T
    _newest: T

    def __init__(
        self,
        *,
        name: str,
        check: Callable[[T], object] | None = None,
        key: Callable[[T], object] | None = None,
        combine: Callable[[T, T], T] | None = None,
        overlap: float = 0.0,
        on_change: Callable[[T], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= overlap < math.inf:
            raise ConfigError(f"overlap={overlap} is no number of seconds")
        if overlap and combine is None:
            raise ConfigError("`overlap` needs `combine`: how the old value and the new one are joined")
        self.name = name
        self._check = check
        self._key = key
        self._combine = combine
        self._overlap = overlap
        self._on_change = on_change
        self._on_error = on_error
        self._clock = clock
        # The thread that holds it may come again: a signal handler runs in the middle of whatever its thread does.
        self._lock = threading.RLock()
        self._busy = False
        self._postponed: deque[Callable[[], bool]] = deque()
        self._due = math.inf
        self._fading: tuple[_Fading[T], ...] = ()
        self._version = 0
        self._loaded_at = 0.0
        self._error: Exception | None = None
        self._said: set[str] = set()
        self._to_tell: deque[Callable[[], object]] = deque()
        _alive.add(self)

    @property
    def current(self) -> T:
        """The value to go by now. The same object is given until there is another."""
        if self._clock() >= self._due:
            self._run(self._look, wait=False)
        return self._value

    @property
    def version(self) -> int:
        """How many values there have been, the first included. The end of an overlap counts, for `current` changes."""
        return self._version

    @property
    def loaded_at(self) -> float:
        """When the newest value came, or was found to be the same still, in seconds since 1970."""
        return self._loaded_at

    @property
    def error(self) -> Exception | None:
        """Why the newest value was not taken; None when it was. Without traceback: its frames may hold keys."""
        return self._error

    def end_overlap(self) -> None:
        """Go by the newest value alone from now on: for a CA that must not be trusted a minute longer.

        After `reload`, if the CA was taken out of the files a moment ago.
        """
        self._run(self._end_overlap, wait=True)

    # -- Inside: under the lock, with `_busy` set ----------------------------------------------------------------------

    def _look(self) -> bool:
        """Do what is due by now."""
        return self._fade(self._clock())

    def _next(self) -> float:
        """When something has to be done next."""
        return min([fading.until for fading in self._fading], default=math.inf)

    def _run(self, work: Callable[[], bool], *, wait: bool) -> bool:
        """Do this alone, then tell whom it concerns; what `work` says, or False when it was not done now.

        Without `wait` no thread waits for another. When this very thread is at work already (a signal handler broke
        into it, or `load` or `check` came back here), the work is done right after what is under way.
        """
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            if self._busy:
                if wait and work not in self._postponed:
                    self._postponed.append(work)
                return False
            done = self._alone(work)
            # A signal from here on finds nobody busy, and does its work itself.
            for _ in range(_MAX_POSTPONED):
                if not self._postponed:
                    break
                self._alone(self._postponed.popleft())
        finally:
            self._lock.release()
        self._tell()
        return done

    def _alone(self, work: Callable[[], bool]) -> bool:
        self._busy = True
        try:
            return work()
        finally:
            self._due = self._next()
            self._busy = False

    def _offer(self, value: T) -> bool:
        """Go by this value from now on, or say why not."""
        try:
            self._take(value)
        except Exception as error:  # noqa: BLE001  # whatever `check` or `combine` raise
            self._refuse(error)
            return False
        return True

    def _take(self, value: T) -> None:
        """Go by this value from now on; raises what `check`, `key` or `combine` raise, and leaves all as it is."""
        if self._check is not None:
            self._check(value)
        if not self._version or not self._same(value):
            fading = self._fading
            if self._overlap and self._version:
                fading = (*fading, _Fading(self._clock() + self._overlap, self._newest))[-_MAX_FADING:]
            combined = self._joined(fading, value)
            self._newest = value
            self._fading = fading
            self._go_by(combined)
        self._loaded_at = time.time()
        if self._error is not None:
            self._error = None
            _logger.info("%s: a good value has come again", self.name)
        self._said.clear()

    def _same(self, value: T) -> bool:
        """Whether it is the newest over again."""
        if self._key is None:
            return value is self._newest or bool(value == self._newest)
        return bool(self._key(value) == self._key(self._newest))

    def _refuse(self, error: Exception) -> bool:
        """Keep the value there is, and say why: False."""
        self._error = without_frames(error)
        reason = described(error)
        if reason in self._said or len(self._said) >= _MAX_SAID:
            return False
        self._said.add(reason)
        _logger.warning("%s: a new value was not taken, the one before is kept: %s", self.name, reason)
        if self._on_error is not None:
            self._to_tell.append(partial(self._on_error, error))
        return False

    def _fade(self, now: float) -> bool:
        """Let go of what has had its time; whether there was any."""
        left = tuple(one for one in self._fading if one.until > now)
        if len(left) == len(self._fading):
            return False
        try:
            combined = self._joined(left, self._newest)
        except Exception as error:  # noqa: BLE001  # whatever `combine` raises; the newest value needs no help of it
            _logger.warning("%s: the overlap is cut short: %s", self.name, described(error))
            left, combined = (), self._newest
        self._fading = left
        self._go_by(combined)
        return True

    def _end_overlap(self) -> bool:
        return self._fade(math.inf)

    def _joined(self, fading: tuple[_Fading[T], ...], newest: T) -> T:
        if self._combine is None or not fading:
            return newest
        joined = fading[0].value
        for later in fading[1:]:
            joined = self._combine(joined, later.value)
        return self._combine(joined, newest)

    def _go_by(self, value: T) -> None:
        # One assignment: a reader has the old value or the new one, whole.
        self._value = value
        self._version += 1
        if self._version > 1:
            _logger.info("%s: version %d", self.name, self._version)
            if self._on_change is not None:
                self._to_tell.append(partial(self._on_change, value))

    # -- Inside: without the lock --------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Call back without the lock, so that a callback may wait for a thread that waits for us."""
        while self._to_tell:
            try:
                call = self._to_tell.popleft()
            except IndexError:
                return  # Another thread was quicker.
            try:
                call()
            except Exception as error:  # noqa: BLE001  # the application's fault must not end a handshake
                _logger.warning("%s: a callback failed: %s", self.name, described(error))

    def _after_fork(self) -> None:
        """In the child there is one thread only: what another one was doing will never end."""
        self._lock = threading.RLock()
        self._busy = False
        self._due = -math.inf

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, version {self._version}{', failing' if self._error else ''}>"


class Pushed(Held[T]):
    """A value that somebody else renews: a stream, a watcher, a thread of the application.

    Args:
        value: the first one.
        options: see `Options`.

    Raises:
        ConfigError: `overlap` is no number of seconds, or there is no `combine` with it.
        Exception: whatever `check` raises.

    >>> greeting = Pushed("hello", name="greeting")
    >>> greeting.push("good day")
    True
    >>> greeting.current
    'good day'
    """

    __slots__ = ()

    def __init__(self, value: T, **options: Unpack[Options[T]]) -> None:
        options.setdefault("name", "a pushed value")
        super().__init__(**options)
        self._take(value)

    def push(self, value: T) -> bool:
        """Go by this value from now on; False when it was refused, and `error` says why."""
        return self._run(partial(self._offer, value), wait=True)

    def fail(self, error: Exception) -> None:
        """Say why there is no newer value; the last one is kept."""
        self._run(partial(self._refuse, error), wait=True)


def described(error: BaseException) -> str:
    """One line for a log: the kind and the message, cut, with what could mislead a reader escaped."""
    message = str(error)
    if len(message) > _MAX_REASON:
        message = message[:_MAX_REASON] + "..."
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def without_frames(error: Exception) -> Exception:
    """The exception, let go of the frames that it went through: their locals may be private keys and passwords."""
    left: list[BaseException] = [error]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        left += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
    return error


_alive: weakref.WeakSet[Held[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for held in _alive:
        held._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
