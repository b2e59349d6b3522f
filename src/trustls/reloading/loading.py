"""Reloading: a value that is loaded anew when its source changes, found out when somebody wants the value."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar, Unpack

from trustls.errors import AsyncRequired, ConfigError
from trustls.reloading.backoff import Backoff
from trustls.reloading.files import Files
from trustls.reloading.held import Held, Options

T = TypeVar("T")

_INTERVAL: Final = 5.0
# A callback that fails has mostly asked another machine, which wants to be left alone for a while.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0
# How often files that change while they are read are read again at once.
_ATTEMPTS: Final = 3


class _Origin(Protocol):
    """When a value must be loaded anew."""

    @property
    def backoff(self) -> Backoff:
        """When to try again after a failure, though nothing has changed."""

    def changed(self, now: float, /) -> bool:
        """Whether it is another than the one that the last attempt to load was made with."""

    def next_look(self, now: float, /) -> float:
        """When to ask again."""

    def state(self) -> bytes:
        """What it is like before an attempt to load."""

    def settle(self, state: bytes, now: float, /) -> bool:
        """After the attempt: whether it is like this still. If so, it counts as unchanged from now on."""

    def after_fork(self) -> None: ...
    def close(self) -> None: ...


class Reloading(Held[T]):
    """A value that is loaded anew when its source changes. Made by `from_files`, `from_callback` and `from_async`.

    There is no thread: whoever reads `current` when it is time to look finds out, and loads; the others get the old
    value meanwhile and never wait. Where loading takes long, or asks another machine, let a task or a thread of your
    own call `refresh` or `reload`, and give no `every`.
    """

    __slots__ = ("_closed", "_load", "_load_async", "_origin", "_refreshing", "_retry_at")

    _load: Callable[[], T]
    _load_async: Callable[[], Awaitable[T]] | None

    def __init__(self, origin: _Origin, name: str, options: Options[T]) -> None:
        """For the constructors below."""
        options.setdefault("name", name)
        super().__init__(**options)
        self._origin = origin
        self._closed = False
        self._retry_at = math.inf
        self._refreshing = False
        self._load_async = None

    @classmethod
    def from_files(
        cls,
        load: Callable[[], T],
        *paths: str | os.PathLike[str],
        interval: float = _INTERVAL,
        inotify: bool = True,
        **options: Unpack[Options[T]],
    ) -> Reloading[T]:
        """What `load` makes of these files, loaded anew when the contents of one of them have changed.

        Renaming a new file into place, writing into the old one, and the swap of a symbolic link anywhere on the way
        (as Kubernetes and certbot do it) are all seen: within 50 ms where Linux's inotify works, and within `interval`
        in any case. What is taken was loaded from files that did not change meanwhile. After a failure (the certificate
        is there, its key is not yet) it is tried again after 0.1 s, 0.2 s and so on to once a minute, and at once when
        a file changes again.

        Args:
            load: makes the value. It is called now, and then by whoever reads `current`.
            paths: all the files that `load` reads; of a folder, the files in it.
            interval: seconds after which the files are looked at even if nothing was heard of them. Network file
                systems tell nothing, and when the user's inotify instances are used up nobody does.
            inotify: whether to use inotify, where there is.
            options: see `Options`. The name is that of the files unless another is given.

        Raises:
            ConfigError: no path is given, or a number makes no sense, or the files never hold still.
            Exception: whatever `load` and `check` raise: there is no value yet that could be kept.
        """
        files = Files(paths, interval=interval, inotify=inotify)
        return cls(files, files.name, options)._begin(load)

    @classmethod
    def from_callback(
        cls,
        load: Callable[[], T],
        *,
        every: float | None,
        **options: Unpack[Options[T]],
    ) -> Reloading[T]:
        """What `load` gives, asked again when the value is older than `every` seconds.

        One thread at a time asks, and waits for the answer; all others go by the old value. After a failure it is asked
        again after 1 s, 2 s and so on to `every`, or once a minute.

        Args:
            load: gives the value. It is called now, and then by whoever reads `current`.
            every: seconds; None to ask only when `reload` is called.
            options: see `Options`. The name is that of `load` unless another is given.

        Raises:
            ConfigError: a number makes no sense.
            Exception: whatever `load` and `check` raise.
        """
        return cls(_Age(every), _name_of(load), options)._begin(load)

    @classmethod
    async def from_async(
        cls,
        load: Callable[[], Awaitable[T]],
        **options: Unpack[Options[T]],
    ) -> Reloading[T]:
        """What awaiting `load()` gives, asked again when `refresh` is awaited: by a task of your own.

            async def keep_fresh() -> None:
                while True:
                    await asyncio.sleep(60)
                    await reloading.refresh()

        Args:
            load: gives the value. It is awaited now, and by `refresh`.
            options: see `Options`. The name is that of `load` unless another is given.

        Raises:
            ConfigError: a number makes no sense.
            Exception: whatever `load` and `check` raise.
        """
        reloading = cls(_Age(None), _name_of(load), options)
        reloading._load_async = load
        reloading._take(await load())
        reloading._due = reloading._next()
        return reloading

    def reload(self) -> bool:
        """Load now, changed or not; whether the new value was taken. `error` says why not.

        Waits for a load that another thread is at. A signal handler may call it: when it breaks into a load of its own
        thread, the answer is False and the value is loaded once more right afterwards.

        Raises:
            AsyncRequired: the callback is asynchronous: await `refresh`.
        """
        if self._load_async is not None:
            raise AsyncRequired(f"{self.name} is loaded asynchronously: await refresh()")
        return self._run(self._reload, wait=True)

    async def refresh(self) -> bool:
        """`reload` for a value of `from_async`; of any other, `reload` itself, which does not await anything.

        False as well when another task is at it: its value will do.
        """
        if self._load_async is None:
            return self.reload()
        with self._lock:
            if self._refreshing:
                return False
            self._refreshing = True
        try:
            value = await self._load_async()
        except Exception as error:  # noqa: BLE001  # the application's
            return self._run(partial(self._refuse, error), wait=True)
        else:
            return self._run(partial(self._offer, value), wait=True)
        finally:
            self._refreshing = False

    def close(self) -> None:
        """Look no more for changes, and give back what that took; `current` stays, and `reload` still works."""
        self._run(self._close, wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- Inside: under the lock, with `_busy` set ----------------------------------------------------------------------

    def _begin(self, load: Callable[[], T]) -> Reloading[T]:
        """The first load: whatever goes wrong is raised."""
        self._load = load
        try:
            self._take(self._loaded())
        except BaseException:
            self._origin.close()
            raise
        self._due = self._next()
        return self

    def _look(self) -> bool:
        now = self._clock()
        self._fade(now)
        if self._closed:
            return False
        return (self._origin.changed(now) or now >= self._retry_at) and self._reload()

    def _next(self) -> float:
        fades = super()._next()
        return fades if self._closed else min(fades, self._retry_at, self._origin.next_look(self._clock()))

    def _reload(self) -> bool:
        try:
            self._take(self._loaded())
        except Exception as error:  # noqa: BLE001  # whatever the application's `load` raises
            self._refuse(error)
            self._retry_at = self._clock() + self._origin.backoff.after_failure()
            return False
        self._origin.backoff.reset()
        self._retry_at = math.inf
        return True

    def _loaded(self) -> T:
        """A value of a source that did not change meanwhile."""
        for _ in range(_ATTEMPTS):
            state = self._origin.state()
            try:
                value = self._load()
            except Exception:
                if self._origin.settle(state, self._clock()):
                    raise
                continue  # Half of what was read may have been old.
            if self._origin.settle(state, self._clock()):
                return value
        raise ConfigError(f"{self.name}: the files change while they are read")

    def _close(self) -> bool:
        self._closed = True
        self._origin.close()
        return True

    def _after_fork(self) -> None:
        super()._after_fork()
        self._refreshing = False
        self._origin.after_fork()


class _Age:
    """A callback's value, which is to be loaded anew when it is too old."""

    __slots__ = ("_due", "_every", "backoff")

    def __init__(self, every: float | None) -> None:
        if every is not None and not 0 < every < math.inf:
            raise ConfigError(f"every={every} is no positive number of seconds; None is for never")
        self._every = math.inf if every is None else every
        self.backoff = Backoff(math.inf, math.inf) if every is None else Backoff(_FIRST_RETRY, min(_LAST_RETRY, every))
        self._due = math.inf

    def changed(self, now: float) -> bool:
        return now >= self._due

    def next_look(self, _: float) -> float:
        return self._due

    def state(self) -> bytes:
        return b""

    def settle(self, _: bytes, now: float) -> bool:
        self._due = now + self._every
        return True

    def after_fork(self) -> None:
        """Age knows nothing of processes."""

    def close(self) -> None:
        """Nothing is held."""


def _name_of(load: Callable[[], object]) -> str:
    return getattr(load, "__qualname__", type(load).__qualname__)
