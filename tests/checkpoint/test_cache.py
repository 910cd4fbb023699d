"""The cache of installed weights: what others, or a damaged disk, do to it is found; the pins are the right values."""

import os
import stat

import pytest
from checkpoint.hostile import assert_refused
from command import run

from pytorch_to_mlx.checkpoint import packaged
from pytorch_to_mlx.errors import MachineError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTORCH_TO_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def spoil(path):
    """Flip one bit, and put size and time back as they were."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_a_lock_that_is_a_link_is_refused(cache, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (cache / "packaged").mkdir(parents=True)
    (cache / "packaged" / "kokoro-vocab.lock").symlink_to(tmp_path / "precious")
    assert_refused(lambda: packaged.find("kokoro-vocab"), MachineError, "cache")
    assert (tmp_path / "precious").read_text() == "precious"


def test_only_the_owner_can_write(cache, monkeypatch):
    mask = os.umask(0)
    try:
        folder = packaged.find("kokoro-vocab")
    finally:
        os.umask(mask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (cache, folder.parent)] == [0o700, 0o700]
    assert stat.S_IMODE((folder.parent / "kokoro-vocab.lock").stat().st_mode) == 0o600
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    if cache.stat().st_uid:  # what root wrote is trusted
        assert_refused(lambda: packaged.find("kokoro-vocab"), MachineError, "belongs to another user")


def test_the_cache_of_another_user_is_refused(cache, monkeypatch):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    cache.mkdir()
    os.chown(cache, 12345, 12345)
    assert_refused(lambda: packaged.find("kokoro-vocab"), MachineError, "belongs to another user")


def test_a_change_is_found_though_size_and_time_are_put_back(cache):
    folder = packaged.find("kokoro-vocab")
    good = (folder / "vocab.json").read_bytes()
    spoil(folder / "vocab.json")
    assert (packaged.find("kokoro-vocab") / "vocab.json").read_bytes() == good


def test_the_pins_count_and_not_the_stamp(cache):
    folder = packaged.find("kokoro-vocab")
    good, stamp = (folder / "vocab.json").read_bytes(), folder.parent / f"{folder.name}.json"
    spoil(folder / "vocab.json")
    digest = packaged._sha256(folder / "vocab.json")
    numbers = [*packaged._stat(folder / "vocab.json"), digest]
    stamp.write_text(packaged.json.dumps(packaged.json.loads(stamp.read_text()) | {"vocab.json": numbers}))
    assert (packaged.find("kokoro-vocab") / "vocab.json").read_bytes() == good


def test_a_file_beside_the_pinned_ones_is_noticed(cache):
    (packaged.find("kokoro-vocab") / "config.json").write_text("{}")
    assert not (packaged.find("kokoro-vocab") / "config.json").exists()


def test_a_stamp_keeps_the_dots_of_its_name(cache):
    """ "tiny.en-PIN" is not a name with an ending, so that another "tiny.*" has a stamp of its own."""
    folder = packaged.find("whisper-tiny.en")
    assert (folder.parent / f"{folder.name}.json").is_file()


def test_doctor_hashes_everything(cache):
    folder = packaged.find("kokoro-vocab")
    assert run("doctor", "--verify").returncode == 0
    spoil(folder / "vocab.json")
    done = run("doctor", "--verify")
    assert done.returncode == 5 and b"vocab.json" in done.stderr
