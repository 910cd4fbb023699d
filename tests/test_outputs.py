"""An output is a file, a device, a pipe or stdout, and none of them is replaced by another kind.

What is right comes from POSIX: `> NAME` in a shell follows links, opens nodes as they are, and makes no new node.
"""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx.audio import speak, wav
from pytorch_to_mlx.errors import MachineError, UsageError
from pytorch_to_mlx.outputs import Output, check_destination, is_stdout, open_output, write_output
from pytorch_to_mlx.progress import listening
from pytorch_to_mlx.tasks import Speech

RATE = 24_000
TONE = (0.5 * np.sin(np.arange(RATE) / 20)).astype(np.float32)


def null_device(path: Path) -> Path:
    """A null device of its own (never the machine's), major 1 and minor 3 by Linux's devices.txt."""
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.write_bytes(b"")
    except OSError as error:
        pytest.skip(f"no devices here: {error}")
    return path


class Reader(threading.Thread):
    """Everything that comes out of a named pipe."""

    def __init__(self, path: Path):
        super().__init__(daemon=True)
        os.mkfifo(path)
        self.path = path
        self.start()

    def run(self):
        self.data = self.path.read_bytes()

    def result(self) -> bytes:
        self.join(20)
        return self.data


def kind(path: Path) -> int:
    return stat.S_IFMT(path.lstat().st_mode)


@pytest.mark.parametrize("name", ["node", "node.wav"])
def test_a_device_stays_a_device(tmp_path, name):
    node = null_device(tmp_path / name)
    write_output(node, "text")
    wav.write(node, TONE, RATE, format="wav")
    assert kind(node) == stat.S_IFCHR and node.stat().st_rdev == os.makedev(1, 3)
    assert os.listdir(tmp_path) == [name]


def test_a_disk_is_refused(tmp_path):
    null_device(tmp_path / "null")
    os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    with pytest.raises(UsageError, match="it is a disk"):
        write_output(tmp_path / "disk", "text")
    assert kind(tmp_path / "disk") == stat.S_IFBLK


def test_a_named_pipe_is_written_through(tmp_path):
    reader = Reader(tmp_path / "pipe")
    write_output(reader.path, "text")
    assert reader.result() == b"text" and kind(reader.path) == stat.S_IFIFO


@pytest.mark.parametrize("format", ["wav", "raw", "mp3", "ogg"])
def test_audio_through_a_pipe_says_no_length_and_is_whole(tmp_path, format):
    reader = Reader(tmp_path / "pipe")
    wav.write(reader.path, TONE, RATE, format=format)
    data = reader.result()
    if format == "raw":
        audio = np.frombuffer(data, "<i2") / 32768
    else:
        audio, rate = wav.read(data)
        assert rate == RATE
    if format == "wav":  # the length of a stream, by ffmpeg's and sox's convention
        assert data[4:8] == data[40:44] == b"\xff" * 4
    if format in ("wav", "raw"):
        np.testing.assert_allclose(audio, TONE, atol=1 / 32768)
    assert 0 <= len(audio) - len(TONE) < 4 * 1152
    assert kind(reader.path) == stat.S_IFIFO


def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "target.wav"
    (tmp_path / "link.wav").symlink_to("second.wav")
    (tmp_path / "second.wav").symlink_to(Path("real") / "target.wav")
    for samples in (1000, 2000):  # at first there is nothing at its end
        wav.write(tmp_path / "link.wav", TONE[:samples], RATE)
        assert len(wav.read(target)[0]) == samples
    assert (tmp_path / "link.wav").is_symlink() and (tmp_path / "second.wav").is_symlink()
    assert os.listdir(tmp_path / "real") == ["target.wav"]
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UsageError, match="circle"):
        write_output(tmp_path / "circle", "text")


def test_a_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.json"
    path.touch(mode=0o600)
    path.chmod(0o640)
    write_output(path, "new")
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == 0o640


def test_only_a_regular_file_where_nothing_else_will_do(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(UsageError, match="not a regular file"):
        check_destination(tmp_path / "pipe.safetensors", regular=True)
    assert not check_destination(tmp_path / "new.safetensors", regular=True).direct


@pytest.mark.parametrize(
    ("name", "message"), [("folder", "folder"), ("none/a", "does not exist"), ("a\0b", "NUL|null")]
)
def test_what_cannot_be_an_output_is_found_first(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=message):
        check_destination(tmp_path / name)


def test_the_names_of_stdout():
    assert all(is_stdout(Path(name)) for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"))
    assert not any(is_stdout(name) for name in (Path("a.wav"), Path("/dev/null"), Path("1"), Path("/dev/fd/2"), None))


def test_leftovers_of_killed_runs_go_with_the_next_run_to_that_name(tmp_path):
    code = (
        "import os, sys, signal\nfrom pathlib import Path\nfrom pytorch_to_mlx.outputs import Output\n"
        "Output(Path(sys.argv[1])).file.write(b'half')\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "a.wav"
    subprocess.run([sys.executable, "-c", code, str(path)])
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(".a.wav.") and leftover.suffix == ".part"
    strangers = {".b.wav.0123456789ab.part", ".a.wav.notes.part", "a.wav.0123456789ab.part"}
    for name in strangers:
        (tmp_path / name).touch()
    with open_output(path) as living:  # what a living run writes is no leftover
        living.file.write(b"long")
        write_output(path, "short")
    assert path.read_bytes() == b"long"
    assert set(os.listdir(tmp_path)) == {"a.wav", *strangers}


def test_a_temporary_is_locked_while_it_is_written(tmp_path):
    output = Output(tmp_path / "a")
    assert output.temporary is not None
    with open(output.temporary) as again, pytest.raises(BlockingIOError):
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    output.discard()
    assert not os.listdir(tmp_path)


def test_a_mounted_file_that_cannot_be_renamed_onto_is_written_in_place(tmp_path, monkeypatch):
    def busy(*_):
        raise OSError(16, "Device or resource busy")  # EBUSY, as rename(2) says for a mount point

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "replace", busy)
    write_output(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new" and os.listdir(tmp_path) == ["a"]


STDOUT = """
import sys, numpy as np
from pathlib import Path
from pytorch_to_mlx.audio import speak
from pytorch_to_mlx.tasks import Speech
from pytorch_to_mlx.cli import verbs
import typer

def synthesize(*, output: Path | None = None, format: str | None = None) -> dict:
    output, format = speak.destination(output, format, False)
    pieces = (Speech(np.full(2400, 0.25, np.float32), 24_000) for _ in range(3))
    totals = speak.deliver(pieces, 24_000, output=output, format=format, play=False)
    return {"samples": totals.n_samples}

app = typer.Typer()
verbs.add(app, "synthesize", synthesize)
app()
"""


@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1"])
@pytest.mark.parametrize("format", [None, "raw", "mp3"])
@pytest.mark.parametrize("to_file", [False, True])
def test_audio_to_stdout_and_the_summary_to_stderr(tmp_path, output, format, to_file):
    command = [sys.executable, "-c", STDOUT, "--output", output, *(["--format", format] if format else [])]
    with open(tmp_path / "stdout", "w+b") as stdout:
        done = subprocess.run(
            command, stdout=stdout if to_file else subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
        )
        data = (tmp_path / "stdout").read_bytes() if to_file else done.stdout
    assert done.returncode == 0 and b"samples: 7200" in done.stderr, done.stderr
    samples = np.frombuffer(data, "<i2") / 32768 if format == "raw" else wav.read(data)[0]
    assert 0 <= len(samples) - 7200 < 4 * 1152 and abs(samples[3600:4800].mean() - 0.25) < 0.02
    assert os.listdir(tmp_path) == ["stdout"]


class Notes:
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def track(self, items, what, total):
        yield from items


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("format", wav.FORMATS)
def test_an_interrupted_run_keeps_the_finished_sentences(tmp_path, end, format):
    def pieces():
        for _ in range(3):
            yield Speech(TONE, RATE)
        raise end

    notes, path = Notes(), tmp_path / f"a.{format}"
    with listening(notes), pytest.raises(end):
        speak.deliver(pieces(), RATE, output=path, format=format, play=False, n_pieces=80)
    assert notes.lines == [f"interrupted, 3 of 80 pieces spoken; '{path}' holds them"]
    assert 0 <= len(wav.read(path)[0]) - 3 * len(TONE) < 4 * 1152
    assert os.listdir(tmp_path) == [path.name]


def test_a_run_that_is_interrupted_at_once_leaves_nothing(tmp_path):
    def pieces():
        yield from ()
        raise KeyboardInterrupt

    notes = Notes()
    with listening(notes), pytest.raises(KeyboardInterrupt):
        speak.deliver(pieces(), RATE, output=tmp_path / "a.wav", format="wav", play=False)
    assert notes.lines == ["interrupted, 0 pieces spoken"] and not os.listdir(tmp_path)


FULL = """
import resource, signal, sys, numpy as np
from pathlib import Path
from pytorch_to_mlx.audio import speak
from pytorch_to_mlx.errors import MachineError
from pytorch_to_mlx.tasks import Speech
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
noise = np.random.default_rng(0).uniform(-0.5, 0.5, (80, 24_000)).astype(np.float32)
path = Path(sys.argv[1])
try:
    speak.deliver((Speech(audio, 24_000) for audio in noise), 24_000, output=path, format=None, play=False)
except MachineError as error:
    sys.exit(f"{error.exit_code} {error}")
"""


@pytest.mark.parametrize("format", wav.FORMATS)
def test_a_full_disk_keeps_the_finished_sentences(tmp_path, format):
    """The limit is on the size of a file, which write(2) refuses as a full disk does: a part, then an error."""
    path = tmp_path / f"a.{format}"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert done.stderr.startswith("6 ") and len(done.stderr.splitlines()) == 1, done.stderr
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (80, RATE)).astype(np.float32).reshape(-1)
    audio, _ = wav.read(path)
    assert len(audio) > 2 * RATE and os.listdir(tmp_path) == [path.name]
    if format in ("wav", "flac"):
        np.testing.assert_allclose(audio, noise[: len(audio)], atol=1 / 32768)
    if format == "wav":
        assert len(audio) == 4 * RATE  # as many whole pieces of 48,000 bytes as 200,000 hold


def test_a_full_device_is_the_machine(tmp_path):
    null_device(tmp_path / "null")
    os.mknod(tmp_path / "full", stat.S_IFCHR | 0o666, os.makedev(1, 7))  # major 1, minor 7: every write says ENOSPC
    with pytest.raises(MachineError, match="No space left"):
        wav.write(tmp_path / "full", TONE, RATE, format="wav")
    assert kind(tmp_path / "full") == stat.S_IFCHR
