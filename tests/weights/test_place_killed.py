"""Other processes that write a folder until the disk is full, a signal comes or they are killed (faults 84 to 86)."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlx.core as mx
import pytest
from weights.folders import CONFIG, names

from pytorch_to_mlx.weights import place, read_folder, write_folder

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}

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


def run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("shard", "extra"), [(10**9, 1), (400_000, 1), (200_000, 400_000)])
def test_disk_full_at_any_file(tmp_path, shard, extra):
    """Fault 86: a file may not grow, as on a full disk: the only file, a shard, or a plain file."""
    result = run([sys.executable, "-c", LIMITED, str(tmp_path / "deep" / "out"), str(shard), str(extra)])
    assert result.returncode == 6, result.stderr
    assert all(words in result.stdout for words in ("cannot be written", "; free some disk space: needs ", ", has "))
    assert names(tmp_path) == []


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


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no `unshare`, so no disk of our own to fill")
def test_small_disk(tmp_path):
    """Fault 86, on a real full disk; `test_disk_full_at_any_file` meets the same error where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f"mount -t tmpfs -o size=512k none {disk} && exec {sys.executable} -c '{FILLER}' {disk}/out"
    result = run(["unshare", "-rm", "sh", "-c", command])
    if "unshare:" in result.stderr or "mount:" in result.stderr:
        pytest.skip(f"no disk may be mounted here: {result.stderr.strip()}")
    assert result.returncode == 6, result.stderr
    assert "not enough disk space: needs 1." in result.stdout or "cannot be written" in result.stdout
    assert result.stdout.splitlines()[-1] == "left: []"


WRITER = """
import sys, time
import mlx.core as mx
from pytorch_to_mlx.weights import write_folder
weights = {f"w{i}": mx.full((20_000,), float(sys.argv[2])) for i in range(8)}
mx.eval(weights)
print("start", flush=True)
write_folder(sys.argv[1], config={"n": sys.argv[2]}, weights=weights, force=True, max_shard_bytes=100_000)
"""


def test_kill_at_random_points(tmp_path):
    """Fault 84: after kill -9 the destination is absent, old or new, and whole; the next run cleans up."""
    random.seed(0)
    dest, duration_s, n_interrupted = tmp_path / "out", 0.0, 0

    def wait_until_half_written(writer):
        while writer.poll() is None and not list(tmp_path.glob(f".*{place.SUFFIX}/new/*")):
            time.sleep(0.0005)

    for number in range(12):
        command = [sys.executable, "-c", WRITER, str(dest), str(number)]
        writer = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE)
        writer.stdout.readline()
        if number == 0:
            started = time.monotonic()
            assert writer.wait(30) == 0
            duration_s = time.monotonic() - started
        else:
            if number % 3:
                time.sleep(random.uniform(0, duration_s * 0.8))
            else:
                wait_until_half_written(writer)
            writer.send_signal(signal.SIGKILL)
            writer.wait(30)
        writer.stdout.close()
        work_folders = list(tmp_path.glob(f".*{place.SUFFIX}"))
        n_interrupted += bool(work_folders)
        if not dest.exists():
            assert (work_folders[0] / "old").exists()
            continue
        config, weights = read_folder(dest)
        value = float(config["n"])
        assert len(weights) == 8 and all(mx.all(w == value).item() for w in weights.values())
    assert n_interrupted, "no run was killed in the middle"
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
def test_signals_leave_nothing(tmp_path, name, code):
    """Fault 85."""
    command = [sys.executable, "-c", TERMINATED, str(tmp_path / "deep" / "out")]
    writer = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert writer.stdout.readline() == b"inside\n"
    writer.send_signal(getattr(signal, name))
    assert writer.wait(30) == code
    writer.stdout.close()
    assert names(tmp_path) == []
