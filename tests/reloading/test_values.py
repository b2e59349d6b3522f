"""What a value that follows its source promises, whatever the source: who is told, who waits, what is kept."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import signal
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.reloading.following import Clock, Follower, replace, warnings_of
from trustls.errors import AsyncRequired, ConfigError
from trustls.reloading import Pushed, Reloading, Source


class Answers:
    """A callback that gives one answer after the other, raises those that are exceptions, and counts."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def later(self) -> Any:
        return self()


# -- Callbacks --------------------------------------------------------------------------------------------------------


def test_a_callback_is_asked_when_its_value_is_too_old() -> None:
    clock, answers = Clock(), Answers("one", "two", "three")
    reloading = Reloading.from_callback(answers, every=60, clock=clock)
    clock.pass_by(59.9)
    assert (reloading.current, answers.asked) == ("one", 1)
    clock.pass_by(0.1)
    assert (reloading.current, answers.asked) == ("two", 2)
    clock.pass_by(1000)
    assert [reloading.current, reloading.current] == ["three", "three"]
    assert answers.asked == 3, "once, however many times it would have been due"


def test_a_callback_without_an_age_is_asked_by_reload_alone() -> None:
    clock, answers = Clock(), Answers("one", OSError("gone"), "two")
    reloading = Reloading.from_callback(answers, every=None, clock=clock)
    clock.pass_by(1e9)
    assert (reloading.current, answers.asked) == ("one", 1)
    assert not reloading.reload()
    clock.pass_by(1e9)
    assert (reloading.current, answers.asked) == ("one", 2), "after a failure neither"
    assert reloading.reload()
    assert (reloading.current, reloading.error) == ("two", None)


def test_a_callback_that_fails_is_asked_again_ever_less_often(caplog: pytest.LogCaptureFixture) -> None:
    clock, asked = Clock(), list[float]()

    def load() -> str:
        asked.append(clock.now)
        if len(asked) > 1:
            raise OSError("no route to host")
        return "one"

    reloading = Reloading.from_callback(load, every=30, name="the vault", clock=clock)
    for _ in range(200):
        clock.pass_by(1)
        assert reloading.current == "one"
    waits = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert waits[:8] == [30, 1, 2, 4, 8, 16, 30, 30]
    assert warnings_of(caplog.records) == [
        "the vault: a new value was not taken, the one before is kept: OSError: no route to host"
    ]


def test_one_thread_asks_and_no_other_waits() -> None:
    clock = Clock()
    entered, answer = threading.Event(), threading.Event()
    asked: list[int] = []

    def load() -> str:
        asked.append(threading.get_ident())
        if len(asked) == 1:
            return "old"
        entered.set()
        assert answer.wait(10)
        return "new"

    reloading = Reloading.from_callback(load, every=1, clock=clock)
    clock.pass_by(2)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(lambda: reloading.current)
        assert entered.wait(10)
        started = time.monotonic()
        others = list(pool.map(lambda _: reloading.current, range(50)))
        took = time.monotonic() - started
        answer.set()
        assert first.result(10) == "new", "the one who asked has the answer"
    assert others == ["old"] * 50
    assert took < 5, "they did not wait for the answer"
    assert len(asked) == 2
    assert reloading.current == "new"


def test_reload_waits_for_the_thread_that_is_loading_and_then_loads_itself() -> None:
    entered, answer = threading.Event(), threading.Event()
    answers = Answers("one", "two", "three")

    def load() -> Any:
        if answers.asked == 1:
            entered.set()
            assert answer.wait(10)
        return answers()

    reloading = Reloading.from_callback(load, every=None)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(reloading.reload)
        assert entered.wait(10)
        second = pool.submit(reloading.reload)
        answer.set()
        assert first.result(10)
        assert second.result(10)
    assert (reloading.current, reloading.version) == ("three", 3)


@pytest.mark.parametrize("every", [0, -1, float("inf"), float("nan")])
def test_an_age_that_is_none_is_refused(every: float) -> None:
    with pytest.raises(ConfigError, match="every="):
        Reloading.from_callback(lambda: 1, every=every)


# -- Asynchronous callbacks -------------------------------------------------------------------------------------------


def test_an_asynchronous_callback_is_awaited_by_refresh() -> None:
    async def run() -> None:
        answers = Answers("one", "two", OSError("gone"), "three")
        reloading = await Reloading.from_async(answers.later)
        assert reloading.current == "one"
        assert await reloading.refresh()
        assert (reloading.current, reloading.version) == ("two", 2)
        assert not await reloading.refresh()
        assert (reloading.current, str(reloading.error)) == ("two", "gone")
        assert await reloading.refresh()
        assert (reloading.current, reloading.error) == ("three", None)
        with pytest.raises(AsyncRequired, match="await refresh"):
            reloading.reload()

    asyncio.run(run())


def test_the_first_asynchronous_load_raises() -> None:
    with pytest.raises(OSError, match="gone"):
        asyncio.run(Reloading.from_async(Answers(OSError("gone")).later))


def test_one_task_refreshes_at_a_time() -> None:
    async def run() -> None:
        answers, answer = Answers("one", "two"), asyncio.Event()
        answer.set()

        async def load() -> Any:
            await answer.wait()
            return answers()

        reloading = await Reloading.from_async(load)
        answer.clear()
        first = asyncio.create_task(reloading.refresh())
        await asyncio.sleep(0)
        assert not await reloading.refresh(), "another task is at it"
        assert reloading.current == "one"
        answer.set()
        assert await first
        assert (reloading.current, answers.asked) == ("two", 2)

    asyncio.run(run())


def test_a_refresh_that_was_cancelled_is_not_under_way() -> None:
    async def run() -> None:
        answers, hang = Answers("one", "two"), [False]

        async def load() -> Any:
            if hang[0]:
                await asyncio.Event().wait()
            return answers()

        reloading = await Reloading.from_async(load)
        hang[0] = True
        task = asyncio.create_task(reloading.refresh())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hang[0] = False
        assert await reloading.refresh()
        assert reloading.current == "two"

    asyncio.run(run())


def test_refresh_of_a_plain_value_reloads_it() -> None:
    reloading = Reloading.from_callback(Answers("one", "two"), every=None)
    assert asyncio.run(reloading.refresh())
    assert reloading.current == "two"


# -- What is kept, and who is told ------------------------------------------------------------------------------------


def test_a_value_that_the_check_refuses_is_not_taken() -> None:
    def check(value: int) -> None:
        if value > 10:
            raise ConfigError(f"{value} is too much")

    answers = Answers(1, 11, 2)
    reloading = Reloading.from_callback(answers, every=None, check=check)
    assert not reloading.reload()
    assert (reloading.current, str(reloading.error)) == (1, "11 is too much")
    assert reloading.reload()
    assert (reloading.current, reloading.error) == (2, None)
    with pytest.raises(ConfigError, match="11 is too much"):
        Reloading.from_callback(lambda: 11, every=None, check=check)


def test_equal_values_are_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trustls.reloading")
    changes: list[list[int]] = []
    reloading = Reloading.from_callback(Answers([1], [1], [2]), every=None, on_change=changes.append)
    value = reloading.current
    assert reloading.reload()
    assert reloading.current is value
    assert (reloading.version, changes, caplog.messages) == (1, [], [])
    assert reloading.reload()
    assert (reloading.version, changes) == (2, [[2]])


def test_a_key_tells_values_apart_that_cannot_be_compared() -> None:
    class Opaque:
        def __init__(self, number: int) -> None:
            self.number = number

    reloading = Reloading.from_callback(
        Answers(Opaque(1), Opaque(1), Opaque(2)), every=None, key=lambda value: value.number
    )
    value = reloading.current
    reloading.reload()
    assert reloading.current is value
    reloading.reload()
    assert (reloading.current.number, reloading.version) == (2, 2)


def test_loaded_at_says_when_the_value_was_last_confirmed() -> None:
    answers = Answers("one", "one", OSError("gone"))
    reloading = Reloading.from_callback(answers, every=None)
    first = reloading.loaded_at
    assert abs(first - time.time()) < 10
    time.sleep(0.01)
    reloading.reload()
    second = reloading.loaded_at
    assert second > first, "it was found to be the same still"
    reloading.reload()
    assert reloading.loaded_at == second, "a failure confirms nothing"


def test_an_error_lets_go_of_the_frames_that_held_the_key() -> None:
    class Key:
        pass

    keys: list[weakref.ref[Key]] = []
    fail = [False]

    def parse(key: Key) -> None:
        raise ValueError("not a key")

    def load() -> str:
        key = Key()
        keys.append(weakref.ref(key))
        if fail[0]:
            try:
                parse(key)
            except ValueError as error:
                raise ConfigError("no private key can be read") from error
        return "one"

    reloading = Reloading.from_callback(load, every=None)
    fail[0] = True
    reloading.reload()
    gc.collect()
    assert isinstance(reloading.error, ConfigError)
    assert isinstance(reloading.error.__cause__, ValueError), "why is still there"
    assert [key() for key in keys] == [None, None]


def test_neither_log_nor_repr_show_the_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "trustls.reloading")
    reloading = Reloading.from_callback(Answers("secret1", "secret2"), every=None, name="password")
    reloading.reload()
    assert caplog.messages == ["password: version 2"]
    assert repr(reloading) == "<Reloading password, version 2>"


def test_repr_says_that_it_fails() -> None:
    reloading = Reloading.from_callback(Answers("one", OSError("gone")), every=None, name="password")
    reloading.reload()
    assert repr(reloading) == "<Reloading password, version 1, failing>"


def test_an_endless_reason_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    reloading = Reloading.from_callback(Answers(1, ValueError("x" * 100_000)), every=None)
    reloading.reload()
    (warning,) = warnings_of(caplog.records)
    assert len(warning) < 1000


def test_failures_that_always_differ_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    reloading = Reloading.from_callback(Answers(1, *(ValueError(f"at {n}") for n in range(100))), every=None)
    for _ in range(100):
        reloading.reload()
    assert len(warnings_of(caplog.records)) == 16
    assert str(reloading.error) == "at 99"


def test_callbacks_run_without_the_lock_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    def on_change(value: str) -> None:
        with ThreadPoolExecutor(1) as pool:  # Whoever waits for another thread must not hold what that one needs.
            pool.submit(reloading.end_overlap).result(10)
        seen.append((value, reloading.current))
        raise RuntimeError("the callback's own fault")

    def on_error(error: Exception) -> None:
        seen.append(str(error))
        raise RuntimeError("again")

    answers = Answers("one", "two", OSError("gone"), "three")
    reloading = Reloading.from_callback(answers, every=None, on_change=on_change, on_error=on_error)
    assert [reloading.reload(), reloading.reload(), reloading.reload()] == [True, False, True]
    assert seen == [("two", "two"), "gone", ("three", "three")]
    said = [message.partition(": a callback failed: ")[2] for message in warnings_of(caplog.records)]
    own = "RuntimeError: the callback's own fault"
    assert [one for one in said if one] == [own, "RuntimeError: again", own]


def test_a_load_may_use_the_value_that_it_will_replace() -> None:
    def load() -> list[str]:
        return [*known[0].current, "x"] if known else []

    known: list[Reloading[list[str]]] = []
    reloading = Reloading.from_callback(load, every=None)
    known.append(reloading)
    reloading.reload()
    reloading.reload()
    assert reloading.current == ["x", "x"]


def test_a_load_that_always_asks_for_another_comes_to_an_end() -> None:
    loads: list[Reloading[int]] = []
    known: list[Reloading[int]] = []

    def load() -> int:
        loads.extend(known)
        for reloading in known:
            assert not reloading.reload(), "put off: a load is under way"
        return len(loads)

    known.append(Reloading.from_callback(load, every=None))
    assert known[0].reload()
    assert len(loads) == 9


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_a_signal_in_the_middle_of_a_load_loads_once_more() -> None:
    answers = Answers("one", "two", "three", "four")
    handled: list[bool] = []

    def load() -> Any:
        answer = answers()
        if answer == "two":
            signal.raise_signal(signal.SIGHUP)  # In the thread that holds the lock.
            assert handled == [False]
        return answer

    reloading = Reloading.from_callback(load, every=None)
    before = signal.signal(signal.SIGHUP, lambda *_: handled.append(reloading.reload()))
    try:
        assert reloading.reload()
        assert (reloading.current, answers.asked) == ("three", 3), "what the signal announced was loaded"
        signal.raise_signal(signal.SIGHUP)
        assert (reloading.current, handled) == ("four", [False, True])
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupted_load_is_made_up_for(tmp_path: Path) -> None:
    follower = Follower(inotify=False)
    file = tmp_path / "value"
    file.write_text("one")
    interrupt = [False]

    def load() -> str:
        if interrupt.pop():
            raise KeyboardInterrupt
        interrupt.append(False)
        return file.read_text()

    reloading = follower.follow(load, file)
    interrupt[:] = [False, True]
    replace(file, "two")
    follower.wait()
    with pytest.raises(KeyboardInterrupt):
        _ = reloading.current
    follower.wait()
    assert reloading.current == "two"


# -- Overlap ----------------------------------------------------------------------------------------------------------


def union(old: frozenset[str], new: frozenset[str]) -> frozenset[str]:
    return old | new


def sets(*names: str) -> Callable[[], frozenset[str]]:
    return Answers(*map(frozenset, names))


def overlapping(clock: Clock, *names: str, **options: Any) -> Reloading[frozenset[str]]:
    return Reloading.from_callback(sets(*names), every=None, combine=union, overlap=60, clock=clock, **options)


def shown(reloading: Source[frozenset[str]]) -> str:
    return "".join(sorted(reloading.current))


def test_the_old_value_counts_beside_the_new_one_while_the_overlap_lasts() -> None:
    clock = Clock()
    reloading = overlapping(clock, "a", "b")
    reloading.reload()
    assert shown(reloading) == "ab"
    clock.pass_by(59.9)
    assert shown(reloading) == "ab"
    clock.pass_by(0.1)
    assert shown(reloading) == "b"
    assert reloading.version == 3, "a, a with b, b"


def test_each_old_value_has_its_own_time() -> None:
    clock = Clock()
    reloading = overlapping(clock, "a", "b", "c")
    reloading.reload()
    clock.pass_by(40)
    reloading.reload()
    assert shown(reloading) == "abc"
    clock.pass_by(20)
    assert shown(reloading) == "bc"
    clock.pass_by(40)
    assert shown(reloading) == "c"


def test_a_value_that_stays_does_not_push_an_old_one_out() -> None:
    clock = Clock()
    reloading = overlapping(clock, "a", "b")
    for _ in range(50):
        reloading.reload()
    assert shown(reloading) == "ab"
    clock.pass_by(60)
    assert shown(reloading) == "b"


def test_no_more_than_eight_old_values_count() -> None:
    reloading = overlapping(Clock(), *"abcdefghijkl")
    for _ in range(11):
        reloading.reload()
    assert shown(reloading) == "defghijkl"


def test_an_overlap_can_be_ended_at_once() -> None:
    changes: list[frozenset[str]] = []
    reloading = overlapping(Clock(), "a", "b", on_change=changes.append)
    reloading.reload()
    reloading.end_overlap()
    assert shown(reloading) == "b"
    assert changes == [{"a", "b"}, {"b"}]
    reloading.end_overlap()
    assert len(changes) == 2


def test_values_that_cannot_be_combined_are_not_taken() -> None:
    def combine(old: str, new: str) -> str:
        raise ConfigError("these do not go together")

    reloading = Reloading.from_callback(Answers("a", "b"), every=None, combine=combine, overlap=60)
    assert not reloading.reload()
    assert (reloading.current, str(reloading.error)) == ("a", "these do not go together")


def test_an_overlap_whose_end_fails_ends_with_the_newest_value(caplog: pytest.LogCaptureFixture) -> None:
    def combine(old: str, new: str) -> str:
        if (old, new) == ("b", "c"):
            raise ConfigError("not these two")
        return old + new

    clock = Clock()
    reloading = Reloading.from_callback(Answers("a", "b", "c"), every=None, combine=combine, overlap=60, clock=clock)
    reloading.reload()
    clock.pass_by(30)
    reloading.reload()
    assert reloading.current == "abc"
    clock.pass_by(30)
    assert reloading.current == "c"
    assert any("the overlap is cut short" in message for message in warnings_of(caplog.records))


def test_without_an_overlap_the_new_value_replaces_the_old_one() -> None:
    reloading = Reloading.from_callback(sets("a", "b"), every=None, combine=union)
    reloading.reload()
    assert shown(reloading) == "b"


def test_an_overlap_must_be_possible() -> None:
    with pytest.raises(ConfigError, match="`overlap` needs `combine`"):
        Reloading.from_callback(frozenset, every=None, overlap=60)
    for overlap in (-1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="overlap="):
            Reloading.from_callback(frozenset, every=None, combine=union, overlap=overlap)


# -- Pushed values ----------------------------------------------------------------------------------------------------


def test_a_pushed_value_follows_who_pushes(caplog: pytest.LogCaptureFixture) -> None:
    changes: list[int] = []
    pushed = Pushed(1, name="stream", on_change=changes.append)
    assert pushed.push(2)
    assert (pushed.current, pushed.version, changes) == (2, 2, [2])
    pushed.fail(OSError("the stream ended"))
    assert (pushed.current, str(pushed.error)) == (2, "the stream ended")
    assert warnings_of(caplog.records) == [
        "stream: a new value was not taken, the one before is kept: OSError: the stream ended"
    ]
    assert pushed.push(2)
    assert (pushed.error, pushed.version) == (None, 2)


def test_a_pushed_value_is_checked() -> None:
    def check(value: int) -> None:
        if value < 0:
            raise ConfigError("negative")

    with pytest.raises(ConfigError, match="negative"):
        Pushed(-1, check=check)
    pushed = Pushed(1, check=check)
    assert not pushed.push(-1)
    assert (pushed.current, str(pushed.error)) == (1, "negative")


def test_a_pushed_value_overlaps() -> None:
    clock = Clock()
    pushed = Pushed(frozenset("a"), combine=union, overlap=60, clock=clock)
    pushed.push(frozenset("b"))
    assert shown(pushed) == "ab"
    clock.pass_by(60)
    assert shown(pushed) == "b"


def test_what_changes_is_a_source() -> None:
    assert isinstance(Pushed(1), Source)
    assert isinstance(Reloading.from_callback(lambda: 1, every=None), Source)
    assert not isinstance(1, Source)


# -- Threads ----------------------------------------------------------------------------------------------------------


def test_threads_see_whole_values_while_files_change(tmp_path: Path) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    left.write_text("0")
    right.write_text("0")

    def load() -> tuple[int, int]:
        pair = int(left.read_text()), int(right.read_text())
        if pair[0] != pair[1]:
            raise ConfigError("the two do not belong together")
        return pair

    stop = threading.Event()

    def read(reloading: Reloading[tuple[int, int]]) -> int:
        last = reads = 0
        while not stop.is_set():
            one, other = reloading.current
            assert one == other, "halves of two values"
            assert one >= last, "a value that had been replaced came back"
            last = one
            reads += 1
            if reads % 100 == 0:
                time.sleep(0)
        return reads

    with Reloading.from_files(load, left, right, interval=0.001) as reloading, ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read, reloading) for _ in range(4)]
        reloader = pool.submit(lambda: [reloading.reload() for _ in range(100)])
        for number in range(1, 200):
            replace(left, str(number))
            replace(right, str(number))
            time.sleep(0.002)
        reloader.result(10)
        deadline = time.monotonic() + 10
        while reloading.current != (199, 199) and time.monotonic() < deadline:
            time.sleep(0.01)
        stop.set()
        assert all(reader.result(10) > 0 for reader in readers)
        assert reloading.current == (199, 199)
        assert reloading.error is None
