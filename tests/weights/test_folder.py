"""Folders that are whole or not there (faults 80 and 84 to 94)."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import mlx.core as mx
import pytest

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import CheckError, FormatError, MachineError, UsageError
from pytorch_to_mlx.weights import folder as folder_module
from pytorch_to_mlx.weights import new_folder, place, read_folder, write_folder

ROOT = Path(__file__).parent.parent.parent
CONFIG = {"model_type": "toy", "voice": "ü"}


@pytest.fixture
def weights():
    return {
        "a.weight": mx.random.normal((40, 30)),
        "b": mx.random.normal((7,)).astype(mx.bfloat16),
        "c": mx.random.normal((3, 5)).astype(mx.float16).T,
        "ids": mx.array([[1, -2]]),
        "packed": mx.array([1, 2], mx.uint32),
        "empty": mx.zeros((0, 4)),
        "one": mx.array(3.5),
        "mask": mx.array([True, False]),
    }


def same(one, other):
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and one[k].shape == other[k].shape and mx.array_equal(one[k], other[k])
        for k in one
    )


def names(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def test_round_trip_is_exact(tmp_path, weights):
    files = {"voices/af.safetensors": {"style": mx.ones((3, 2))}, "README.md": b"# toy\n"}
    dest = write_folder(tmp_path / "deep" / "out", config=CONFIG, weights=weights, files=files)
    config, back = read_folder(dest)
    assert config == CONFIG and same(back, weights)
    assert names(tmp_path / "deep") == [
        "out",
        "out/README.md",
        "out/config.json",
        "out/model.safetensors",
        "out/voices",
        "out/voices/af.safetensors",
    ]
    with open_checkpoint(dest) as checkpoint:
        assert checkpoint.kind == "mlx"
        assert checkpoint.extra["format"] == "mlx" and checkpoint.extra["converted_by"].startswith("pytorch-to-mlx ")
    assert same(mx.load(str(dest / "model.safetensors")), weights)


def test_shards_with_an_index(tmp_path, weights):
    dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights, max_shard_bytes=4800)
    assert names(dest) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    index = json.loads((dest / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": sum(w.nbytes for w in weights.values())}
    assert index["weight_map"]["a.weight"] == "model-00001-of-00002.safetensors"
    assert same(read_folder(dest)[1], weights)


def test_a_tensor_larger_than_a_shard_has_its_own(tmp_path, weights):
    dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights, max_shard_bytes=1)
    assert same(read_folder(dest)[1], weights)


def test_the_same_input_gives_the_same_bytes(tmp_path, weights):
    one, two = (write_folder(tmp_path / name, config=CONFIG, weights=weights) for name in "ab")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a\\b", "a\0b", "./a", "a//b", "CONFIG.json", "model-1.safetensors"]
)
def test_file_names_stay_inside_and_do_not_clash(tmp_path, weights, name):
    with pytest.raises(FormatError):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, files={name: b""})
    assert names(tmp_path) == []


def test_h94_names_that_are_one_where_case_does_not_count(tmp_path, weights):
    with pytest.raises(FormatError, match="two files"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, files={"voices/A.txt": b"", "voices/a.txt": b""})


# Destinations


def refused(dest, weights, match, **options):
    with pytest.raises(UsageError, match=match) as caught:
        write_folder(dest, config=CONFIG, weights=weights, **options)
    assert caught.value.exit_code == 2


def test_g80_destination_exists(tmp_path, weights):
    dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    refused(dest, {"new": mx.ones(2)}, "the destination exists; choose another --mlx-path, or pass --force")
    assert same(read_folder(dest)[1], weights)
    write_folder(dest, config=CONFIG, weights={"new": mx.ones(2)}, force=True)
    assert list(read_folder(dest)[1]) == ["new"]
    assert names(tmp_path) == ["out", "out/config.json", "out/model.safetensors"]


def test_g80_force_replaces_converted_folders_only(tmp_path, weights):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    refused(tmp_path / "home", weights, "replaces converted folders only", force=True)
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", config=CONFIG, weights=weights, force=True)


def test_g80_destination_is_a_file(tmp_path, weights):
    (tmp_path / "out").write_text("x")
    for force in (False, True):
        refused(tmp_path / "out", weights, "is a file", force=force)
        refused(tmp_path / "out" / "below", weights, "is a file", force=force)
    assert (tmp_path / "out").read_text() == "x"


def test_g80_destination_and_source_inside_each_other(tmp_path, weights):
    source = write_folder(tmp_path / "src" / "in", config=CONFIG, weights=weights)
    refused(source, weights, "lies in the source", source=source, force=True)
    refused(source / "out", weights, "lies in the source", source=source)
    refused(tmp_path / "src", weights, "lies in the destination", source=source, force=True)
    refused(source, weights, "lies in the destination", source=source / "model.safetensors", force=True)
    (tmp_path / "link").symlink_to(source)
    refused(source / "out", weights, "lies in the source", source=tmp_path / "link")


def test_h94_destination_is_a_symbolic_link(tmp_path, weights):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("out", "dangling"):
        refused(tmp_path / name, weights, "symbolic link", force=True)
    assert names(tmp_path) == ["dangling", "out", "real"]


@pytest.mark.parametrize("dest", ["", ".", "..", "/", "~/out", "~nobody/out", "x" * 250, "x" * 5000, "a\0b"])
def test_g80_unusable_destinations(tmp_path, weights, dest, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        write_folder(dest, config=CONFIG, weights=weights, force=True)
    assert names(tmp_path) == []


def test_g80_unwritable_destination(tmp_path, weights, monkeypatch):
    """Root may write everywhere, so the refusal is the system's answer, put in by hand."""

    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(MachineError, match="Permission denied; check its permissions") as caught:
        write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert caught.value.exit_code == 6


def test_g80_destination_with_odd_bytes_in_its_name(tmp_path, weights):
    dest = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff;$(x) \n-"))
    assert same(read_folder(write_folder(dest, config=CONFIG, weights=weights))[1], weights)


def test_h94_umask(tmp_path, weights):
    before = os.umask(0o077)
    try:
        dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights)
        assert dest.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


# What goes wrong while writing


@pytest.fixture
def old(tmp_path):
    """A converted folder that is to be replaced."""
    return write_folder(tmp_path / "out", config=CONFIG, weights={"old": mx.ones(4)})


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, ValueError, GeneratorExit])
def test_h85_nothing_is_left_whatever_is_raised(tmp_path, error):
    for dest, force in ((tmp_path / "deep" / "er" / "out", False), (tmp_path / "out", True)):
        with pytest.raises(error):
            with new_folder(dest, force=force) as folder:
                (folder / "half").write_text("x")
                raise error
        assert names(tmp_path) == []


def test_h85_the_old_folder_stays(tmp_path, old):
    with pytest.raises(KeyboardInterrupt):
        with new_folder(old, force=True):
            raise KeyboardInterrupt
    assert list(read_folder(old)[1]) == ["old"]
    assert names(tmp_path) == ["out", "out/config.json", "out/model.safetensors"]


def test_h85_the_old_folder_comes_back_when_the_new_one_cannot_be_renamed(tmp_path, old, monkeypatch):
    real = Path.rename

    def fail(self, target):
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(MachineError, match="Input/output error"):
        write_folder(old, config=CONFIG, weights={"new": mx.ones(4)}, force=True)
    assert list(read_folder(old)[1]) == ["old"]
    assert names(tmp_path) == ["out", "out/config.json", "out/model.safetensors"]


LIMITED = """
import resource, sys
import mlx.core as mx
from pytorch_to_mlx.errors import PortError
from pytorch_to_mlx.weights import write_folder
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
weights = {f"w{i}": mx.ones((50_000,)) for i in range(4)}
try:
    write_folder(sys.argv[1], config={"model_type": "toy"}, weights=weights, max_shard_bytes=int(sys.argv[2]),
                 files={"big.bin": b"x" * int(sys.argv[3])})
except PortError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def script(text: str, *arguments: object, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(("shard", "extra"), [(10**9, 1), (400_000, 1), (200_000, 400_000)])
def test_h86_disk_full_at_any_file(tmp_path, shard, extra):
    """A file that may not grow, as on a full disk: in the only file, in a shard, in a plain file."""
    done = script(LIMITED, tmp_path / "deep" / "out", shard, extra)
    assert done.returncode == 6, done.stderr
    assert (
        "cannot be written" in done.stdout
        and "; free some disk space: needs " in done.stdout
        and ", has " in done.stdout
    )
    assert names(tmp_path) == []


def test_h86_a_small_disk(tmp_path, weights):
    """A real full disk, where this machine lets us mount one; else the same error from the system by hand above."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f"mount -t tmpfs -o size=512k none {disk} && exec {sys.executable} -c '{FILLER}' {disk}/out"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.fail(f"this machine mounts nothing: {done.stderr}")
    assert done.returncode == 6, done.stderr
    assert "not enough disk space: needs 1." in done.stdout or "cannot be written" in done.stdout
    assert done.stdout.splitlines()[-1] == "left: []"


FILLER = """
import os, sys
import mlx.core as mx
from pytorch_to_mlx.errors import PortError
from pytorch_to_mlx.weights import place, write_folder
place.check_space = lambda dest, needs: None
try:
    write_folder(sys.argv[1], config={}, weights={"w": mx.ones((200_000,))})
except PortError as error:
    print(error)
    print("left:", os.listdir(os.path.dirname(sys.argv[1])))
    sys.exit(error.exit_code)
"""


def test_h87_disk_space_is_checked_before(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(place.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(MachineError, match=r"not enough disk space: needs 1\.\d\d MB, has 1 MB") as caught:
        write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert caught.value.exit_code == 6 and names(tmp_path) == []


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "voices/a.safetensors", "README.md"])
@pytest.mark.parametrize("at", [0, 3, 20, -1])
def test_h90_a_flipped_bit_is_found(tmp_path, old, weights, monkeypatch, file, at):
    """One bit changes on the disk after the file was flushed."""
    real = folder_module.flush

    def flip(path):
        real(path)
        if path.is_file() and str(path).endswith(file):
            data = bytearray(path.read_bytes())
            data[at] ^= 0x10
            path.write_bytes(data)

    monkeypatch.setattr(folder_module, "flush", flip)
    files = {"voices/a.safetensors": {"style": mx.ones((3, 2))}, "README.md": b"# a long enough text\n"}
    with pytest.raises(CheckError, match="does not read back as it was written") as caught:
        write_folder(old, config=CONFIG, weights=weights, files=files, force=True)
    assert caught.value.exit_code == 5
    assert list(read_folder(old)[1]) == ["old"]


def test_h90_a_lost_shard_is_found(tmp_path, weights, monkeypatch):
    real = folder_module.flush

    def lose(path):
        real(path)
        if path.name.startswith("model-00002"):
            path.unlink()

    monkeypatch.setattr(folder_module, "flush", lose)
    with pytest.raises(CheckError, match="does not read back"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, max_shard_bytes=1000)
    assert names(tmp_path) == []


def test_h90_another_tensor_is_found(tmp_path, weights, monkeypatch):
    real = folder_module._write_arrays
    monkeypatch.setattr(
        folder_module,
        "_write_arrays",
        lambda path, arrays, names: real(path, arrays | {"z": mx.ones(1)}, [*names, "z"]),
    )
    with pytest.raises(CheckError, match="other tensors are in it"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert names(tmp_path) == []


def test_arrays_go_into_safetensors_only(tmp_path, weights):
    with pytest.raises(FormatError, match=r"holds arrays but is no \.safetensors"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, files={"a.npz": {"x": mx.ones(1)}})


# Two runs, and runs that died


def test_h88_the_second_run_is_refused_at_once(tmp_path, weights):
    with new_folder(tmp_path / "out"):
        with pytest.raises(MachineError, match="another conversion to this destination is running") as caught:
            write_folder(tmp_path / "out", config=CONFIG, weights=weights)
        assert caught.value.exit_code == 6
        write_folder(tmp_path / "other", config=CONFIG, weights=weights)
    assert names(tmp_path) == ["other", "other/config.json", "other/model.safetensors", "out"]


def test_h88_a_destination_that_appeared_in_between_is_not_overwritten(tmp_path, monkeypatch):
    real = place._lock

    def slow(work, *, create):
        (tmp_path / "out").mkdir(exist_ok=True)
        return real(work, create=create)

    monkeypatch.setattr(place, "_lock", slow)
    with pytest.raises(UsageError, match="exists"):
        with new_folder(tmp_path / "out"):
            pass


def test_h88_many_threads_one_winner_at_a_time(tmp_path):
    """Locks belong to open files, so threads contend as processes do."""
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


def test_a_work_folder_that_is_a_link_or_holds_more_is_left_alone(tmp_path, weights):
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


def test_a_lock_that_vanishes_and_one_that_was_replaced(tmp_path, monkeypatch):
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


def test_h84_the_next_run_sweeps_what_a_killed_one_left(tmp_path, weights):
    dead(tmp_path / "out")
    dead(tmp_path / "another")
    (tmp_path / f".mine{place.SUFFIX}").mkdir()  # no lock: not ours
    write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert names(tmp_path) == [f".mine{place.SUFFIX}", "out", "out/config.json", "out/model.safetensors"]


@pytest.mark.parametrize("next_run", ["out", "other"])
def test_h84_a_folder_that_a_killed_run_had_put_aside_comes_back(tmp_path, old, weights, next_run):
    dead(old, old=True)
    assert not old.exists()
    if next_run == "out":
        refused(old, weights, "exists")
    else:
        write_folder(tmp_path / "other", config=CONFIG, weights=weights)
    assert list(read_folder(old)[1]) == ["old"]
    assert not list(tmp_path.glob(".*"))


WRITER = """
import sys, time
import mlx.core as mx
from pytorch_to_mlx.weights import write_folder
weights = {f"w{i}": mx.full((20_000,), float(sys.argv[2])) for i in range(8)}
mx.eval(weights)
print("start", flush=True)
write_folder(sys.argv[1], config={"n": sys.argv[2]}, weights=weights, force=True, max_shard_bytes=100_000)
"""


def test_h84_kill_at_random_points(tmp_path):
    """After kill -9 the destination is absent, the old one, or the new one; whole each time; the next run cleans up."""
    import random
    import signal
    import time

    random.seed(0)
    dest, span, seen = tmp_path / "out", 0.0, set()

    def until_half_done(run):
        while run.poll() is None and not list(tmp_path.glob(f".*{place.SUFFIX}/new/*")):
            time.sleep(0.0005)

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for number in range(12):
        run = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(dest), str(number)], env=environment, stdout=subprocess.PIPE
        )
        run.stdout.readline()
        if number == 0:
            started = time.monotonic()
            assert run.wait(30) == 0
            span = time.monotonic() - started
        else:
            if number % 3:
                time.sleep(random.uniform(0, span * 0.8))
            else:
                until_half_done(run)
            run.send_signal(signal.SIGKILL)
            run.wait(30)
        run.stdout.close()
        left = list(tmp_path.glob(f".*{place.SUFFIX}"))
        seen.add(bool(left))
        if not dest.exists():
            assert (left[0] / "old").exists()
            continue
        config, weights = read_folder(dest)
        value = float(config["n"])
        assert len(weights) == 8 and all(mx.all(w == value).item() for w in weights.values())
    assert True in seen, "no run was killed in the middle"
    write_folder(dest, config=CONFIG, weights={"w": mx.ones(2)}, force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


TERMINATED = """
import signal, sys, time
from pytorch_to_mlx.weights import new_folder
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
with new_folder(sys.argv[1]) as folder:
    (folder / "half").write_text("x")
    print("inside", flush=True)
    time.sleep(30)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", -2)])
def test_h85_signals_leave_nothing(tmp_path, name, code):
    import signal

    run = subprocess.Popen(
        [sys.executable, "-c", TERMINATED, str(tmp_path / "deep" / "out")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert run.stdout.readline() == b"inside\n"
    run.send_signal(getattr(signal, name))
    assert run.wait(30) == code
    run.stdout.close()
    assert names(tmp_path) == []
