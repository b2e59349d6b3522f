"""Values that follow files, as certificates are renewed in life: every test by inotify and by looking."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reloading.following import INTERVAL, TOLD, Follower, replace, warnings_of
from trustls.cli.pki import Authority
from trustls.errors import ConfigError
from trustls.identity.credential import Credential
from trustls.reloading import Reloading, files


def test_a_file_renamed_into_place_is_loaded(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    reloading = follower.follow_text(file)
    assert (reloading.current, reloading.version) == ("one", 1)

    replace(file, "two")
    follower.wait()

    assert (reloading.current, reloading.version, str(reloading.error)) == ("two", 2, "None")


def test_a_file_rewritten_in_place_is_loaded(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    reloading = follower.follow_text(file)

    file.write_text("two, and longer")
    follower.wait()

    assert reloading.current == "two, and longer"


def test_a_rewrite_that_the_times_of_a_coarse_file_system_do_not_show_is_seen(
    follower: Follower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def coarse(path: Path) -> files._Facts | int:  # As FAT, for all times, and however fine this file system's are.
        found = exact(path)
        if isinstance(found, int):
            return found
        return found._replace(modified=found.modified // 10**9 * 10**9, changed=found.changed // 10**9 * 10**9)

    exact = files._facts
    monkeypatch.setattr(files, "_facts", coarse)
    file = tmp_path / "value"
    file.write_text("1")
    reloading = follower.follow_text(file)
    for number in range(2, 8):
        file.write_text(str(number))
        follower.wait()
        assert reloading.current == str(number), "same size, same times, other contents"


def test_a_rewrite_that_restores_the_modification_time_is_seen(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    os.utime(file, (1e9, 1e9))
    reloading = follower.follow_text(file)

    file.write_text("two")
    os.utime(file, (1e9, 1e9))
    follower.wait()

    assert reloading.current == "two", "same size, same modification time, other contents"


def test_the_swap_of_a_kubernetes_volume_is_seen(follower: Follower, tmp_path: Path) -> None:
    # kubelet's AtomicWriter: tls.crt -> ..data/tls.crt, ..data -> ..2024_01; a new folder, then a renamed link.
    def publish(version: str) -> None:
        folder = tmp_path / f"..{version}"
        folder.mkdir()
        (folder / "tls.crt").write_text(f"certificate {version}")
        (folder / "tls.key").write_text(f"key {version}")
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    publish("2024_01")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(Path("..data", name))
    reloading = follower.follow_text(tmp_path / "tls.crt", tmp_path / "tls.key")
    assert reloading.current == "certificate 2024_01 key 2024_01"

    for version in ("2024_02", "2024_03"):  # Twice: the second swap must be seen as the first was.
        old = (tmp_path / "..data").resolve()
        publish(version)
        shutil.rmtree(old)
        follower.wait()
        assert reloading.current == f"certificate {version} key {version}"


def test_links_into_another_folder_are_followed(follower: Follower, tmp_path: Path) -> None:
    # certbot: live/site/cert.pem -> ../../archive/site/cert1.pem
    archive, live = tmp_path / "archive" / "site", tmp_path / "live" / "site"
    archive.mkdir(parents=True)
    live.mkdir(parents=True)
    (archive / "cert1.pem").write_text("one")
    link = live / "cert.pem"
    link.symlink_to("../../archive/site/cert1.pem")
    reloading = follower.follow_text(link)

    (archive / "cert2.pem").write_text("two")
    link.unlink()
    link.symlink_to("../../archive/site/cert2.pem")
    follower.wait()
    assert reloading.current == "two", "the link was replaced"

    (archive / "cert2.pem").write_text("three")
    follower.wait()
    assert reloading.current == "three", "what it leads to was rewritten, in the other folder"


def test_a_folder_on_the_way_that_is_a_link_is_followed(follower: Follower, tmp_path: Path) -> None:
    for release in ("one", "two"):
        (tmp_path / "releases" / release).mkdir(parents=True)
        (tmp_path / "releases" / release / "value").write_text(release)
    current = tmp_path / "current"
    current.symlink_to("releases/one")
    reloading = follower.follow_text(current / "value")

    (tmp_path / "next").symlink_to(tmp_path / "releases" / "two")
    (tmp_path / "next").replace(current)
    follower.wait()

    assert reloading.current == "two"


def test_a_folder_that_is_removed_and_made_again_is_followed(follower: Follower, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    (folder / "value").write_text("one")
    reloading = follower.follow_text(folder / "value")

    shutil.rmtree(folder)
    follower.wait()
    assert reloading.current == "one"
    assert isinstance(reloading.error, FileNotFoundError)

    for contents in ("two", "three"):
        folder.mkdir(exist_ok=True)
        replace(folder / "value", contents)
        follower.wait()
        assert (reloading.current, str(reloading.error)) == (contents, "None")


def test_a_folder_that_is_replaced_by_another_is_followed(follower: Follower, tmp_path: Path) -> None:
    for name in ("tls", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "value").write_text(name)
    reloading = follower.follow_text(tmp_path / "tls" / "value")

    (tmp_path / "tls").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "tls")
    follower.wait()
    assert reloading.current == "new"

    (tmp_path / "tls" / "value").write_text("newer")
    follower.wait()
    assert reloading.current == "newer"


def test_a_deleted_file_keeps_the_value_until_the_file_is_there_again(
    follower: Follower, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    reloading = follower.follow_text(file)

    file.unlink()
    follower.wait()
    assert reloading.current == "one"
    assert isinstance(reloading.error, FileNotFoundError)
    (warning,) = warnings_of(caplog.records)
    assert str(file) in warning

    file.write_text("two")
    follower.wait()
    assert (reloading.current, str(reloading.error)) == ("two", "None")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody can get to: those of `tmp_path` are the tester's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of another kind")
def test_a_permission_that_is_lost_keeps_the_value_until_it_is_given_back(
    follower: Follower, open_folder: Path
) -> None:
    file = open_folder / "value"
    file.write_text("one")
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # Root may read everything.
    try:
        reloading = follower.follow_text(file)
        _as_owner(root, lambda: file.chmod(0o000))
        follower.wait()
        assert reloading.current == "one"
        assert isinstance(reloading.error, PermissionError)

        _as_owner(root, lambda: file.write_text("two") if root else None)
        _as_owner(root, lambda: file.chmod(0o644))
        follower.wait()
        assert (reloading.current, str(reloading.error)) == ("two" if root else "one", "None")
    finally:
        if root:
            os.seteuid(0)


def _as_owner(root: bool, act: object) -> None:
    assert callable(act)
    if root:
        os.seteuid(0)
    try:
        act()
    finally:
        if root:
            os.seteuid(65534)


def test_bad_contents_keep_the_value_and_are_said_once(
    follower: Follower, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trustls.reloading")
    file = tmp_path / "number"
    file.write_text("1")
    failures: list[Exception] = []

    def load() -> int:
        text = file.read_text()
        if not text.isdigit():
            raise ValueError(f"this is no number: {text}")
        return int(text)

    reloading = follower.follow(load, file, on_error=failures.append)

    file.write_text("one\n\x1b[2Jand a half")
    for _ in range(10):
        follower.wait()
        assert (reloading.current, reloading.version) == (1, 1)
    assert isinstance(reloading.error, ValueError)
    (warning,) = warnings_of(caplog.records)
    assert warning.startswith(f"{file}: a new value was not taken, the one before is kept: ValueError: ")
    assert warning.isprintable(), "what stands in a file must not reach a terminal as it is"
    assert len(failures) == 1, "one failure, however often it was tried"

    file.write_text("2 or 3")
    follower.wait()
    assert reloading.current == 1
    assert len(warnings_of(caplog.records)) == len(failures) == 2, "another failure is said, too"

    file.write_text("2")
    follower.wait()
    assert (reloading.current, reloading.version, str(reloading.error)) == (2, 2, "None")
    assert f"{file}: a good value has come again" in caplog.messages

    file.write_text("one\n\x1b[2Jand a half")
    follower.wait()
    assert reloading.current == 2
    assert len(failures) == 3, "after a success the same failure is news again"


def test_the_good_contents_of_before_end_a_failure(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("1")
    reloading = follower.follow(lambda: int(file.read_text()), file)
    file.write_text("bad")
    follower.wait()
    assert (reloading.current, type(reloading.error)) == (1, ValueError)

    file.write_text("1")
    follower.wait()
    assert (reloading.current, str(reloading.error)) == (1, "None")
    assert reloading.version == 1, "there has been one value only"


def test_a_certificate_whose_key_is_not_there_yet_waits_for_it(follower: Follower, tmp_path: Path) -> None:
    authority = Authority.create("Root")
    first, second = authority.issue_server("localhost"), authority.issue_server("localhost")
    chain, key = first.write(tmp_path, "server")
    reloading = follower.follow(lambda: Credential.from_pem(chain, key), chain, key)
    before = reloading.current

    replace(chain, second.pem_chain)
    follower.wait()
    assert reloading.current is before
    assert isinstance(reloading.error, ConfigError)

    replace(key, second.pem_key)
    follower.clock.pass_by(0.1)  # Not a whole interval: after a failure it is tried again soon.
    assert reloading.current.certificate.serial_number == second.certificate.serial_number
    assert reloading.error is None


def test_after_a_failure_unchanged_files_are_tried_again_ever_less_often(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    attempts: list[float] = []

    def load() -> str:
        attempts.append(follower.clock.now)
        if len(attempts) > 1:
            raise OSError("the token is not plugged in")
        return file.read_text()

    reloading = follower.follow(load, file)
    file.write_text("two")
    follower.wait()
    assert reloading.current == "one"
    start = follower.clock.now
    while follower.clock.now < start + 300:
        follower.clock.pass_by(0.01)
        assert reloading.current == "one"

    waits = [round(later - earlier, 1) for earlier, later in itertools.pairwise(attempts[1:])]
    assert waits[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert waits[-1] == 60.0, "in the end once a minute"

    file.write_text("three")
    follower.wait()
    assert reloading.current == "one"
    follower.clock.pass_by(0.1)
    assert reloading.current == "one"
    assert attempts[-1] == follower.clock.now, "other contents are tried as the first were"


def test_files_whose_contents_stay_are_not_loaded_again(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    loads: list[str] = []
    reloading = follower.follow(lambda: loads.append("") or file.read_text(), file)  # type: ignore[func-returns-value]
    value = reloading.current

    file.touch()
    file.chmod(0o600)
    replace(file, "one")
    (tmp_path / "another").write_text("of no concern")
    follower.wait()

    assert reloading.current is value, "the same object, for those who compare"
    assert (len(loads), reloading.version) == (1, 1)


def test_what_is_taken_was_loaded_from_files_that_did_not_change_meanwhile(follower: Follower, tmp_path: Path) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    left.write_text("1")
    right.write_text("1")
    writing: list[str] = []

    def load() -> tuple[str, str]:
        first = left.read_text()
        if writing:  # The writer comes in between.
            number = writing.pop()
            replace(left, number)
            replace(right, number)
        return first, right.read_text()

    reloading = follower.follow(load, left, right)
    writing.append("3")
    replace(left, "2")
    replace(right, "2")
    follower.wait()

    assert reloading.current == ("3", "3")


def test_files_that_never_hold_still_are_refused(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("0")
    still = [True]

    def load() -> str:
        text = file.read_text()
        if not still[0]:
            file.write_text(str(int(text) + 1))
        return text

    reloading = follower.follow(load, file)
    still[0] = False
    file.write_text("10")
    follower.wait()
    assert reloading.current == "0"
    assert "change while they are read" in str(reloading.error)

    with pytest.raises(ConfigError, match="change while they are read"):
        follower.follow(load, file)


def test_the_files_of_a_folder_are_followed(follower: Follower, tmp_path: Path) -> None:
    def load() -> list[str]:
        return [file.read_text() for file in sorted(tmp_path.iterdir())]

    (tmp_path / "a").write_text("one")
    reloading = follower.follow(load, tmp_path)

    (tmp_path / "b").write_text("two")
    follower.wait()
    assert reloading.current == ["one", "two"]
    (tmp_path / "a").write_text("three")
    follower.wait()
    assert reloading.current == ["three", "two"]
    (tmp_path / "b").unlink()
    follower.wait()
    assert reloading.current == ["three"]


def test_a_folder_of_too_many_files_is_refused(follower: Follower, tmp_path: Path) -> None:
    reloading = follower.follow(lambda: "value", tmp_path)
    for number in range(4097):
        (tmp_path / str(number)).touch()
    follower.wait()
    assert reloading.current == "value"
    assert "4097 files, more than the 4096" in str(reloading.error)
    with pytest.raises(ConfigError, match="4097 files"):
        follower.follow(lambda: "value", tmp_path)


def test_a_relative_path_means_what_it_meant_at_first(
    follower: Follower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    monkeypatch.chdir(tmp_path)
    reloading = follower.follow(file.read_text, Path("value"))
    assert reloading.name == "value"
    monkeypatch.chdir("/")

    for text in ("two", "three"):
        file.write_text(text)
        follower.wait()
        assert reloading.current == text


def test_no_more_than_the_interval_passes_before_files_are_looked_at(tmp_path: Path) -> None:
    follower = Follower(inotify=False)
    file = tmp_path / "value"
    file.write_text("one")
    reloading = follower.follow_text(file)
    file.write_text("two")
    follower.clock.pass_by(INTERVAL - 0.01)
    assert reloading.current == "one"
    follower.clock.pass_by(0.01)
    assert reloading.current == "two"


def test_a_loop_of_links_is_a_failure_like_others(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    reloading = follower.follow_text(file)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop").replace(file)
    follower.wait()
    assert reloading.current == "one"
    assert isinstance(reloading.error, OSError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_in_the_place_of_a_file_does_not_block(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")

    def load() -> str:
        if not file.is_file():
            raise ConfigError("no file")
        return file.read_text()

    reloading = follower.follow(load, file)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "fifo").replace(file)
    follower.wait()
    assert reloading.current == "one"
    assert "no file" in str(reloading.error)


def test_a_closed_value_stays_and_can_still_be_reloaded(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    with follower.follow_text(file) as reloading:
        pass
    file.write_text("two")
    follower.clock.pass_by(10 * INTERVAL)
    assert reloading.current == "one"
    assert reloading.reload()
    assert reloading.current == "two"
    file.write_text("three")
    follower.clock.pass_by(10 * INTERVAL)
    assert reloading.current == "two"


def test_an_overlap_ends_after_close_as_well(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("one")
    reloading = follower.follow_text(file, combine=lambda old, new: f"{old} and {new}", overlap=60)
    file.write_text("two")
    follower.wait()
    assert reloading.current == "one and two"
    reloading.close()
    file.write_text("three")
    follower.clock.pass_by(60)
    assert reloading.current == "two"


def test_the_first_load_raises_what_is_wrong(follower: Follower, tmp_path: Path) -> None:
    file = tmp_path / "value"
    with pytest.raises(FileNotFoundError):
        follower.follow_text(file)
    file.write_text("one")
    with pytest.raises(ValueError, match="invalid literal"):
        follower.follow(lambda: int(file.read_text()), file)

    def check(value: str) -> None:
        raise ConfigError("not good enough")

    with pytest.raises(ConfigError, match="not good enough"):
        follower.follow_text(file, check=check)


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_an_interval_that_is_none_is_refused(interval: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="interval"):
        Reloading.from_files(lambda: 1, tmp_path, interval=interval)


def test_only_paths_can_be_followed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file to be followed"):
        Reloading.from_files(lambda: 1)
    for path in (b"-----BEGIN CERTIFICATE-----", 7, "with\0nul"):
        with pytest.raises(ConfigError, match="by their paths"):
            Reloading.from_files(lambda: 1, tmp_path, path)  # type: ignore[arg-type]


def test_told_is_soon() -> None:
    assert TOLD < 0.1 < INTERVAL, "the tests above tell the two ways apart by this"
