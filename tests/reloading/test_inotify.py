"""What files cost when they are followed by inotify, and what happens where it cannot be had."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reloading.following import INTERVAL, TOLD, Follower, inotify_descriptors, is_inotify, replace
from trustls.reloading import Reloading
from trustls.reloading.files import Files
from trustls.reloading.inotify import Watcher, watcher_of_process

# Whatever threads other tests have left: those of the child do nothing but what is written here.
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def follower() -> Iterator[Follower]:
    follower = Follower(inotify=True)
    yield follower
    follower.close()


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """One that no value of another test can have open still."""
    watcher = Watcher()
    monkeypatch.setattr("trustls.reloading.files.watcher_of_process", lambda: watcher)
    return watcher


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "value"
    file.write_text("one")
    return file


def test_all_values_of_a_process_share_one_instance(follower: Follower, watcher: Watcher, tmp_path: Path) -> None:
    before = inotify_descriptors()
    values = []
    for number in range(20):
        (tmp_path / str(number)).mkdir()
        file = tmp_path / str(number) / "value"
        file.write_text("one")
        values.append((file, follower.follow_text(file)))
    assert inotify_descriptors() == before + 1

    for file, _ in values[::2]:
        file.write_text("two")
    follower.wait()
    assert [value.current for _, value in values] == ["two", "one"] * 10, "each hears of its own"


def test_the_instance_is_closed_with_the_last_value(file: Path, watcher: Watcher, tmp_path: Path) -> None:
    before = inotify_descriptors()
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "value").write_text("")
    first = Reloading.from_files(file.read_text, file)
    second = Reloading.from_files(file.read_text, file, other / "value")
    first.close()
    assert inotify_descriptors() == before + 1
    second.close()
    assert inotify_descriptors() == before
    second.close()


def test_a_value_that_is_dropped_gives_its_watches_back(file: Path, watcher: Watcher) -> None:
    before = inotify_descriptors()
    reloading = Reloading.from_files(file.read_text, file)
    assert inotify_descriptors() == before + 1
    del reloading
    gc.collect()
    assert inotify_descriptors() == before


def test_a_value_that_was_never_made_leaves_nothing_behind(file: Path, watcher: Watcher) -> None:
    before = inotify_descriptors()
    with pytest.raises(ValueError, match="invalid literal") as raised:
        Reloading.from_files(lambda: int(file.read_text()), file)
    assert raised.tb is not None, "its frames hold what was made until then"
    assert inotify_descriptors() == before


def test_the_descriptor_is_not_inherited_by_programs(follower: Follower, file: Path) -> None:
    follower.follow_text(file)
    found = [descriptor for descriptor in Path("/proc/self/fd").iterdir() if is_inotify(descriptor)]
    assert found
    assert not any(os.get_inheritable(int(descriptor.name)) for descriptor in found)


def _without_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the user has used up its instances (EMFILE): a Watcher whose libc refuses to open one."""

    class Libc:
        def inotify_init1(self, flags: int) -> int:
            return -1

    watcher = Watcher()
    watcher._libc = Libc()  # type: ignore[assignment]
    monkeypatch.setattr("trustls.reloading.files.watcher_of_process", lambda: watcher)


def followed_by(reloading: Reloading[str]) -> Watcher:
    origin = reloading._origin
    assert isinstance(origin, Files)
    assert origin._watcher is not None
    return origin._watcher


def test_without_an_instance_files_are_looked_at(
    follower: Follower, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_instances(monkeypatch)
    reloading = follower.follow_text(file)
    replace(file, "two")
    follower.clock.pass_by(TOLD)
    assert reloading.current == "one"
    follower.clock.pass_by(INTERVAL)
    assert reloading.current == "two"


def test_inotify_is_used_as_soon_as_it_can_be_had(
    follower: Follower, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _without_instances(patched)
        reloading = follower.follow_text(file)
    watcher = followed_by(reloading)
    watcher._libc = Watcher()._libc
    follower.clock.pass_by(INTERVAL)
    assert reloading.current == "one"
    replace(file, "two")
    follower.clock.pass_by(TOLD)
    assert reloading.current == "two"


def test_changes_that_inotify_did_not_tell_are_seen_by_looking(follower: Follower, file: Path) -> None:
    # As on a network file system: the change comes from elsewhere. Here its event is read away.
    reloading = follower.follow_text(file)
    watcher = watcher_of_process()
    assert watcher is not None
    replace(file, "two")
    while True:
        try:
            os.read(watcher._descriptor, 4096)
        except BlockingIOError:
            break
    follower.clock.pass_by(TOLD)
    assert reloading.current == "one"
    follower.clock.pass_by(INTERVAL)
    assert reloading.current == "two"


def test_a_descriptor_that_was_closed_by_another_is_replaced(follower: Follower, file: Path) -> None:
    reloading = follower.follow_text(file)
    watcher = watcher_of_process()
    assert watcher is not None
    os.close(watcher._descriptor)  # A daemon that closes all it has inherited.
    follower.clock.pass_by(TOLD)
    assert reloading.current == "one"

    for text in ("two", "three"):
        replace(file, text)
        follower.clock.pass_by(TOLD)
        assert reloading.current == text


def test_a_queue_that_overflowed_counts_as_a_change_everywhere(follower: Follower, tmp_path: Path) -> None:
    (tmp_path / "busy").mkdir()
    (tmp_path / "calm").mkdir()
    file = tmp_path / "calm" / "value"
    file.write_text("one")
    crowd = tmp_path / "busy" / "value"
    crowd.write_text("")
    busy = follower.follow_text(crowd)
    calm = follower.follow_text(file)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"the queue holds {limit} events here")
    others = [tmp_path / "busy" / "a", tmp_path / "busy" / "b"]
    for number in range(limit):
        others[number % 2].touch()  # In turn: the kernel merges equal events.
    replace(file, "two")

    seen = []
    for _ in range(10):  # Each time a part of the queue is read; all in all it takes less than the interval.
        follower.clock.pass_by(TOLD)
        seen.append(calm.current)
    assert "two" in seen
    assert busy.current == ""


def test_a_folder_that_is_busy_costs_no_loads(follower: Follower, file: Path) -> None:
    loads: list[int] = []
    reloading = follower.follow(lambda: loads.append(1) or file.read_text(), file)  # type: ignore[func-returns-value]
    for number in range(100):
        file.with_name(f"other{number}").touch()
        follower.wait()
        assert reloading.current == "one"
    assert len(loads) == 1


@FORKS
def test_parent_and_child_follow_files_each_by_itself(follower: Follower, file: Path) -> None:
    gc.collect()
    reloading = follower.follow_text(file)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = b"failed"
        try:
            follower.clock.pass_by(TOLD)
            assert reloading.current == "one"
            assert inotify_descriptors() == 1, "an instance of its own, and not the parent's as well"
            replace(file, "two")
            follower.clock.pass_by(TOLD)
            assert reloading.current == "two"
            outcome = b"good"
        finally:
            os.write(tell, outcome)
            os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        assert pipe.read() == b"good"
    os.waitpid(child, 0)
    follower.clock.pass_by(TOLD)
    assert reloading.current == "two", "the child has not read the parent's events away"


@FORKS
def test_a_child_leaves_the_watches_of_its_parent_alone(follower: Follower, file: Path) -> None:
    reloading = follower.follow_text(file)
    child = os.fork()
    if child == 0:
        follower.close()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(BlockingIOError):  # No IN_IGNORED, which would tell of a watch that was ended.
        os.read(followed_by(reloading)._descriptor, 4096)


@FORKS
def test_a_child_is_not_held_up_by_what_another_thread_was_at(follower: Follower, file: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()
    slow = [False]

    def load() -> str:
        if slow[0]:
            entered.set()
            go_on.wait(10)
        return file.read_text()

    reloading = follower.follow(load, file)
    slow[0] = True
    loader = threading.Thread(target=reloading.reload)
    loader.start()
    entered.wait(10)
    told, tell = os.pipe()
    child = os.fork()  # The lock is held by a thread that the child does not have.
    if child == 0:
        outcome = b"failed"
        try:
            slow[0] = False
            file.write_text("two")
            follower.clock.pass_by(TOLD)
            assert reloading.current == "two"
            assert reloading.reload()
            outcome = b"good"
        finally:
            os.write(tell, outcome)
            os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        assert pipe.read() == b"good"
    os.waitpid(child, 0)
    go_on.set()
    loader.join(10)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="to take a permission away from oneself takes root"
)
def test_a_folder_that_may_not_be_listed_is_looked_at(watcher: Watcher) -> None:
    # inotify wants the permission to read a folder; to open a file in it takes less.
    follower = Follower(inotify=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "value"
        file.write_text("one")
        folder.chmod(0o711)
        os.seteuid(65534)
        try:
            reloading = follower.follow_text(file)
            assert not watcher.is_open, "an instance that watches nothing is given back"
            os.seteuid(0)
            file.write_text("two")
            os.seteuid(65534)
            follower.clock.pass_by(TOLD)
            assert reloading.current == "one"
            follower.clock.pass_by(INTERVAL)
            assert reloading.current == "two"
        finally:
            os.seteuid(0)
            follower.close()
