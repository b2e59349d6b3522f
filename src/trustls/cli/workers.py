"""Worker processes of `trustls serve`: started, started again when they die, and ended together.

They are forked, so that each has the configuration, its keys included, without being told. A socket that listens is
there for each before the first is started: the kernel spreads connections over them (SO_REUSEPORT, Linux), and those
that wait for a worker which dies are there for the one in its place. Where the kernel would not spread them, one socket
is shared by all.

The parent ends its workers; they end by themselves when it is gone, however it died.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Final, Self

Work = Callable[[socket.socket], None]
"""What a worker does with its listening socket. KeyboardInterrupt asks it to end."""

GRACE: Final = 5.0
"""Seconds that workers get to end, after SIGTERM."""

# A worker that lives this long is no failure from the start: the next one is started at once when it dies.
_STEADY_SECONDS: Final = 5.0
_FIRST_DELAY: Final = 0.25
_LAST_DELAY: Final = 10.0
_TENDED_EVERY: Final = 60.0
_BACKLOG: Final = 128
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGCHLD")  # By name: Windows does not have all of them.


def possible() -> bool:
    """Whether this system can have workers at all."""
    return hasattr(os, "fork") and all(hasattr(signal, name) for name in _SIGNALS)


def alone(address: tuple[str, int], *, reuse_port: bool = False) -> socket.socket:
    """The socket of a server without workers.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=reuse_port)


def listening(address: tuple[str, int], count: int) -> list[socket.socket]:
    """The sockets of `count` workers: one each, or one for all.

    Raises:
        OSError: the address cannot be had; another server listening there with SO_REUSEPORT is a reason, too.
    """
    # Alone at first: whoever listens there already would get a share of the connections, or give us of his.
    with alone(address) as first:
        address = address[0], first.getsockname()[1]
        if not sys.platform.startswith("linux"):
            return [first.dup()]
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(alone(address, reuse_port=True)) for _ in range(count)]
        opened.pop_all()
    return sockets


@dataclass(slots=True)
class _Worker:
    """One place in the fleet, and who has it. `pid` is 0 when nobody does."""

    number: int
    socket: socket.socket
    pid: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    early_deaths: int = 0


class Workers:
    """Runs `work` in `count` processes until SIGINT or SIGTERM; a second one of these, or GRACE, kills what is left.

    Args:
        sockets: from `listening`. They are closed in the end.
        count: how many.
        work: see `Work`.
        say: told what happens, in a sentence.
        tend: called now and then, and before each start.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        count: int,
        work: Work,
        *,
        say: Callable[[str], object],
        tend: Callable[[], object],
    ) -> None:
        self._sockets = sockets
        self._workers = [_Worker(number, sockets[(number - 1) % len(sockets)]) for number in range(1, count + 1)]
        self._work = work
        self._say = say
        self._tend = tend

    def run(self) -> None:
        """From the first start to the last end; no worker is left, whatever happens."""
        with _Signals() as signals, _Lifeline() as lifeline:
            try:
                while not signals.asked_to_end:
                    self._reap()
                    self._tend()
                    self._start_those_due(signals, lifeline)
                    signals.wait(self._until_next_start())
            finally:
                self._end(signals)

    # -- Beginning ----------------------------------------------------------------------------------------------------

    def _start_those_due(self, signals: _Signals, lifeline: _Lifeline) -> None:
        for worker in self._workers:
            if not worker.pid and worker.start_at <= time.monotonic():
                with signals_blocked():
                    worker.pid = os.fork()
                    if not worker.pid:
                        try:
                            self._be(worker, signals, lifeline)
                        finally:
                            os._exit(1)  # Where SIGTERM hit it on its last lines. A second one is not heard.
                worker.started_at = time.monotonic()
                self._say(f"worker {worker.number} is process {worker.pid}")

    def _until_next_start(self) -> float:
        due = min([worker.start_at for worker in self._workers if not worker.pid], default=time.monotonic() + 3600)
        return max(0.0, min(due - time.monotonic(), _TENDED_EVERY))

    def _be(self, worker: _Worker, signals: _Signals, lifeline: _Lifeline) -> None:
        """The life of a worker, in its process. It never returns into what its parent was doing."""
        code = 1
        try:
            try:
                lifeline.hold()  # First, while signals are blocked: its thread is to have none of them.
                signals.become_worker()
                for other in self._sockets:
                    if other is not worker.socket:
                        other.close()
                self._work(worker.socket)
            except KeyboardInterrupt:
                pass
            code = 0
        except BaseException as error:  # noqa: BLE001  # nobody else is there to hear of it
            with contextlib.suppress(Exception):
                self._say(f"worker {worker.number} failed: {type(error).__name__}: {error}")
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            os._exit(code)

    # -- Watching and ending ------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """See who has died, and when the place is to be filled again."""
        for worker in self._workers:
            if worker.pid and (ending := _ended(worker.pid)) is not None:
                now = time.monotonic()
                worker.early_deaths = 0 if now - worker.started_at >= _STEADY_SECONDS else worker.early_deaths + 1
                worker.start_at = now + _delay(worker.early_deaths)
                self._say(f"worker {worker.number}, process {worker.pid}, {ending}: it is started again")
                worker.pid = 0

    def _end(self, signals: _Signals) -> None:
        """End all workers: kindly, and then not."""
        for listener in self._sockets:
            listener.close()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        signals.asked_to_end = False
        while (left := deadline - time.monotonic()) > 0 and not signals.asked_to_end and self._any_left():
            signals.wait(left)
        self._signal(signal.SIGKILL)
        for worker in self._workers:
            if worker.pid:
                os.waitpid(worker.pid, 0)
                worker.pid = 0

    def _any_left(self) -> bool:
        for worker in self._workers:
            if worker.pid and _ended(worker.pid) is not None:
                worker.pid = 0
        return any(worker.pid for worker in self._workers)

    def _signal(self, number: signal.Signals) -> None:
        # A process that has ended and was not waited for keeps its number: nobody else can be hit.
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)


def _ended(pid: int) -> str | None:
    """How a process ended, in words; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        return None
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _delay(early_deaths: int) -> float:
    """Seconds until a worker is started again: at once, unless it dies again and again."""
    if early_deaths <= 1:
        return 0.0
    return min(_FIRST_DELAY * 2.0 ** min(early_deaths - 2, 10), _LAST_DELAY)


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Signals wait, so that none falls between two things that belong together. Windows has no such thing."""
    if not possible():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in _SIGNALS])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Signals:
    """The parent's signals, as something to wait for: none of them breaks into what is being done."""

    def __init__(self) -> None:
        self.asked_to_end = False
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._before = {number: signal.getsignal(number) for number in map(signal.Signals.__getitem__, _SIGNALS)}
        self._waker_before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in self._before:
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number in {signal.SIGINT, signal.SIGTERM}:
            self.asked_to_end = True

    def wait(self, seconds: float) -> None:
        """Until a signal comes, or for so long."""
        if select.select([self._woken], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                while self._woken.recv(64):
                    pass

    def become_worker(self) -> None:
        """In a worker: SIGTERM is KeyboardInterrupt, once. Ctrl-C, which all processes of a terminal get, is not heard:

        the parent hears it. To be called with the signals blocked, which they are no longer afterwards.
        """
        signal.set_wakeup_fd(-1)
        self._woken.close()
        self._waker.close()

        def end(_number: int, _frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._waker_before)
        self._woken.close()
        self._waker.close()


class _Lifeline:
    """A pipe that only the parent can write to, and never does: when its other end is at its end, so is the parent."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    def hold(self) -> None:
        """In a worker: end when the parent does."""
        os.close(self._write_end)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        os.read(self._read_end, 1)
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._read_end)
        os.close(self._write_end)
