"""A destination is whole or not there, and only one run writes to it (faults 80, 84, 85, 87, 88 and 94)."""

import errno
import os
import sys
import threading
from pathlib import Path

import mlx.core as mx
import pytest
from weights.folders import CONFIG, names, same

from pytorch_to_mlx.errors import MachineError, UsageError
from pytorch_to_mlx.weights import new_folder, place, read_folder, write_folder


def assert_refused(dest, weights, match, **options):
    with pytest.raises(UsageError, match=match) as caught:
        write_folder(dest, config=CONFIG, weights=weights, **options)
    assert caught.value.exit_code == 2


def test_destination_exists(tmp_path, weights):
    """Fault 80."""
    dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert_refused(dest, {"new": mx.ones(2)}, "the destination exists; choose another --mlx-path, or pass --force")
    assert same(read_folder(dest)[1], weights)
    write_folder(dest, config=CONFIG, weights={"new": mx.ones(2)}, force=True)
    assert list(read_folder(dest)[1]) == ["new"]
    assert names(tmp_path) == ["out", "out/config.json", "out/model.safetensors"]


@pytest.mark.parametrize("able", [True, False])
def test_force_leaves_no_moment_without_a_folder(tmp_path, weights, monkeypatch, able):
    """Where the system exchanges two paths in one step, `dest` is never renamed away; elsewhere two renames."""
    dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    if able:
        other = tmp_path / "other"
        other.mkdir()
        if not place._exchange(other, dest):
            pytest.skip("this file system cannot exchange two paths")
        assert place._exchange(other, dest) and not list(other.iterdir())
    else:
        monkeypatch.setattr(place, "_exchange", lambda one, other: False)
    moved, rename = [], Path.rename
    monkeypatch.setattr(Path, "rename", lambda path, target: moved.append(path) or rename(path, target))
    write_folder(dest, config=CONFIG, weights={"new": mx.ones(2)}, force=True)
    assert (dest in moved) is not able and list(read_folder(dest)[1]) == ["new"]
    assert not (tmp_path / f".out{place.SUFFIX}").exists()


def test_force_replaces_converted_folders_only(tmp_path, weights):
    """Fault 80."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    assert_refused(tmp_path / "home", weights, "replaces converted folders only", force=True)
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", config=CONFIG, weights=weights, force=True)


def test_destination_is_a_file(tmp_path, weights):
    """Fault 80."""
    (tmp_path / "out").write_text("x")
    for force in (False, True):
        assert_refused(tmp_path / "out", weights, "is a file", force=force)
        assert_refused(tmp_path / "out" / "below", weights, "is a file", force=force)
    assert (tmp_path / "out").read_text() == "x"


def test_destination_and_source_inside_each_other(tmp_path, weights):
    """Fault 80."""
    source = write_folder(tmp_path / "src" / "in", config=CONFIG, weights=weights)
    assert_refused(source, weights, "lies in the source", source=source, force=True)
    assert_refused(source / "out", weights, "lies in the source", source=source)
    assert_refused(tmp_path / "src", weights, "lies in the destination", source=source, force=True)
    assert_refused(source, weights, "lies in the destination", source=source / "model.safetensors", force=True)
    (tmp_path / "link").symlink_to(source)
    assert_refused(source / "out", weights, "lies in the source", source=tmp_path / "link")


def test_destination_is_a_symbolic_link(tmp_path, weights):
    """Fault 94."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("out", "dangling"):
        assert_refused(tmp_path / name, weights, "symbolic link", force=True)
    assert names(tmp_path) == ["dangling", "out", "real"]


@pytest.mark.parametrize("dest", ["", ".", "..", "/", "~/out", "~nobody/out", "x" * 250, "x" * 5000, "a\0b"])
def test_unusable_destinations(tmp_path, weights, dest, monkeypatch):
    """Fault 80."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        write_folder(dest, config=CONFIG, weights=weights, force=True)
    assert names(tmp_path) == []


def test_unwritable_destination(tmp_path, weights, monkeypatch):
    """Fault 80: root may write everywhere, so the refusal is the system's answer, put in by hand."""

    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(MachineError, match="Permission denied; check its permissions") as caught:
        write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert caught.value.exit_code == 6


def test_destination_with_odd_bytes_in_its_name(tmp_path, weights):
    """Fault 80."""
    dest = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff;$(x) \n-"))
    assert same(read_folder(write_folder(dest, config=CONFIG, weights=weights))[1], weights)


def test_umask(tmp_path, weights):
    """Fault 94."""
    before = os.umask(0o077)
    try:
        dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights)
        assert dest.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_disk_space_is_checked_before_writing(tmp_path, weights, monkeypatch):
    """Fault 87."""
    monkeypatch.setattr(place.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(MachineError, match=r"not enough disk space: needs 1\.\d\d MB, has 1 MB") as caught:
        write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert caught.value.exit_code == 6 and names(tmp_path) == []


def test_space_is_that_of_the_disk(tmp_path):
    place.check_space(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(
        MachineError, match=r"not enough disk space: needs 4\.61 EB, has .*; free some or choose another"
    ):
        place.check_space(tmp_path, 2**62)


@pytest.mark.parametrize(
    ("code", "needs", "fix"),
    [
        (errno.EACCES, 0, "check its permissions"),
        (errno.ENOSPC, 0, "free some disk space: needs 0 B, has "),
        (errno.EIO, 2**62, "free some disk space: needs 4.61 EB, has "),
    ],
)
def test_what_the_system_says_becomes_one_error(tmp_path, code, needs, fix):
    with pytest.raises(MachineError) as caught:
        with place.disk_errors(tmp_path, needs):
            raise OSError(code, "as the system says it")
    assert caught.value.what.startswith("cannot be written: ") and "as the system says it" in caught.value.what
    assert caught.value.fix.startswith(fix)


def test_destination_is_checked_before_the_work(tmp_path, old):
    place.check_destination(tmp_path / "free", force=False)
    place.check_destination(old, force=True)
    with pytest.raises(UsageError, match="the destination exists"):
        place.check_destination(old, force=False)
    assert names(tmp_path) == ["out", "out/config.json", "out/model.safetensors"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, ValueError, GeneratorExit])
def test_nothing_is_left_whatever_is_raised(tmp_path, error):
    """Fault 85."""
    for dest, force in ((tmp_path / "deep" / "er" / "out", False), (tmp_path / "out", True)):
        with pytest.raises(error):
            with new_folder(dest, force=force) as folder:
                (folder / "half").write_text("x")
                raise error
        assert names(tmp_path) == []


def test_old_folder_stays_when_the_new_one_fails(tmp_path, old):
    """Fault 85."""
    with pytest.raises(KeyboardInterrupt):
        with new_folder(old, force=True):
            raise KeyboardInterrupt
    assert list(read_folder(old)[1]) == ["old"]
    assert names(tmp_path) == ["out", "out/config.json", "out/model.safetensors"]


def test_old_folder_comes_back_when_the_new_one_cannot_be_renamed(tmp_path, old, monkeypatch):
    """Fault 85."""
    real = Path.rename

    def fail(self, target):
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    monkeypatch.setattr(place, "_exchange", lambda one, other: False)
    with pytest.raises(MachineError, match="Input/output error"):
        write_folder(old, config=CONFIG, weights={"new": mx.ones(4)}, force=True)
    assert list(read_folder(old)[1]) == ["old"]
    assert names(tmp_path) == ["out", "out/config.json", "out/model.safetensors"]


def test_second_run_is_refused_at_once(tmp_path, weights):
    """Fault 88."""
    with new_folder(tmp_path / "out"):
        with pytest.raises(MachineError, match="another conversion to this destination is running") as caught:
            write_folder(tmp_path / "out", config=CONFIG, weights=weights)
        assert caught.value.exit_code == 6
        write_folder(tmp_path / "other", config=CONFIG, weights=weights)
    assert names(tmp_path) == ["other", "other/config.json", "other/model.safetensors", "out"]


def test_destination_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    """Fault 88."""
    real = place._lock

    def slow(work, *, create):
        (tmp_path / "out").mkdir(exist_ok=True)
        return real(work, create=create)

    monkeypatch.setattr(place, "_lock", slow)
    with pytest.raises(UsageError, match="exists"):
        with new_folder(tmp_path / "out"):
            pass


def test_one_thread_at_a_time(tmp_path):
    """Fault 88: locks belong to open files, so threads contend as processes do."""
    inside, most, done = [], [], []

    def run():
        for _ in range(20):
            try:
                with new_folder(tmp_path / "out", force=True) as folder:
                    inside.append(1)
                    most.append(len(inside))
                    (folder / "config.json").write_text("{}")
                    inside.pop()
                done.append(1)
            except MachineError as error:
                assert "another conversion" in str(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done and max(most) == 1
    assert names(tmp_path) == ["out", "out/config.json"]


def test_work_folder_that_is_a_link_or_holds_more_is_left_alone(tmp_path, weights):
    """A shared folder such as /tmp may hold anything under our name."""
    home, linked = tmp_path / "home", tmp_path / f".out{place.SUFFIX}"
    (home / "new").mkdir(parents=True)
    (home / "lock").touch()
    linked.symlink_to(home)
    with pytest.raises(MachineError, match="symbolic link"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    write_folder(tmp_path / "other", config=CONFIG, weights=weights)
    linked.unlink()
    home.rename(linked)
    (linked / "letter.txt").write_text("mine")
    write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert [p.name for p in linked.iterdir()] == ["letter.txt"]


def test_lock_that_vanishes_or_is_replaced(tmp_path, monkeypatch):
    """Between making the work folder, opening the lock and locking it, its last owner may remove either."""
    work = tmp_path / f".out{place.SUFFIX}"
    real_open, real_flock, calls = os.open, place.fcntl.flock, []

    def open_(path, *args, **kwargs):
        calls.append("open")
        if calls.count("open") == 1:
            work.rmdir()
        return real_open(path, *args, **kwargs)

    def flock(fd, how):
        calls.append("flock")
        if calls.count("flock") == 1:
            (work / "lock").unlink()
        return real_flock(fd, how)

    monkeypatch.setattr(place.os, "open", open_)
    monkeypatch.setattr(place.fcntl, "flock", flock)
    lock = place._lock(work, create=True)
    assert calls == ["open", "open", "flock", "open", "flock"]
    assert os.path.samestat(os.fstat(lock), os.stat(work / "lock"))
    os.close(lock)
    (work / "lock").unlink()
    assert place._lock(work, create=False) is None


def dead(dest: Path, *, old: bool = False) -> Path:
    """What a run that was killed leaves: its work folder with a lock that nobody holds."""
    work = dest.parent / f".{dest.name}{place.SUFFIX}"
    (work / "new").mkdir(parents=True)
    (work / "lock").touch()
    (work / "new" / "model.safetensors").write_text("half")
    if old:
        dest.rename(work / "old")
    return work


def test_next_run_sweeps_what_a_killed_one_left(tmp_path, weights):
    """Fault 84."""
    dead(tmp_path / "out")
    dead(tmp_path / "another")
    (tmp_path / f".mine{place.SUFFIX}").mkdir()  # no lock: not ours
    write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert names(tmp_path) == [f".mine{place.SUFFIX}", "out", "out/config.json", "out/model.safetensors"]


@pytest.mark.parametrize("next_run", ["out", "other"])
def test_folder_that_a_killed_run_had_put_aside_comes_back(tmp_path, old, weights, next_run):
    """Fault 84."""
    dead(old, old=True)
    assert not old.exists()
    if next_run == "out":
        assert_refused(old, weights, "exists")
    else:
        write_folder(tmp_path / "other", config=CONFIG, weights=weights)
    assert list(read_folder(old)[1]) == ["old"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
@pytest.mark.parametrize("dest", ["/proc/x", "/proc/self/fd/x"])
def test_a_parent_that_takes_no_folders(dest, weights):
    """mkdir answers "no such file" there however often it is asked."""
    with pytest.raises(MachineError, match=r"cannot be written.*check its permissions"):
        write_folder(dest, config={}, weights=weights)
