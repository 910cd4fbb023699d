"""The feature cache: what goes in comes out, killed runs go on, and damage and other trunks are named."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx.errors import FormatError, MachineError
from pytorch_to_mlx.heads.cache import FeatureCache, Form

FORM = Form("a" * 64, (0, 2), 4)


def features(seed, n_frames=5):
    return np.random.default_rng(seed).standard_normal((n_frames, 2, 4)).astype(np.float16)


@pytest.fixture
def cache(tmp_path):
    cache = FeatureCache(tmp_path / "cache", FORM, shard_bytes=250)
    for seed in range(5):
        cache.add(f"key{seed}", features(seed, 4 + seed), 0.1 * seed)
    return cache


def test_features_come_back(cache):
    again = FeatureCache(cache.folder, FORM)
    for seed in range(5):
        assert f"key{seed}" in again and np.array_equal(again.read(f"key{seed}"), features(seed, 4 + seed))
    assert "other" not in again and again.describe() == {"recordings": 5, "hours": 0.0, "layers": [0, 2]}
    assert len(list(cache.folder.glob("features-*.f16"))) == 2  # 16 bytes a frame, at most 250 a file


def test_what_is_added_later_is_read_through_the_same_cache(cache):
    cache.read("key4")
    cache.add("late", features(9, 2), 1.0)
    assert np.array_equal(cache.read("late"), features(9, 2))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"trunk": "b" * 64}, "trunk"),
        ({"layers": (0, 3)}, "layers"),
        ({"width": 8}, "width"),
        ({"version": 2}, "version"),
    ],
)
def test_another_form_is_refused_by_name(cache, change, name):
    with pytest.raises(FormatError, match=f"made with another {name}"):
        FeatureCache(cache.folder, replace(FORM, **change))


def test_a_flipped_byte_is_named(cache):
    shard = cache.folder / "features-00000.f16"
    data = bytearray(shard.read_bytes())
    data[3] ^= 1
    shard.write_bytes(data)
    again = FeatureCache(cache.folder, FORM)
    with pytest.raises(FormatError, match="not what was written"):
        again.read("key0")
    assert np.array_equal(again.read("key1"), features(1, 5))


@pytest.mark.parametrize("cut", [1, 20, 90])
def test_an_unfinished_line_is_cut_off_and_its_features_replaced(cache, cut):
    index = cache.folder / "index.jsonl"
    os.truncate(index, index.stat().st_size - cut)
    with open(cache.folder / "features-00001.f16", "ab") as file:
        file.write(b"unfinished")
    again = FeatureCache(cache.folder, FORM, shard_bytes=250)
    assert list(again.entries) == ["key0", "key1", "key2", "key3"]
    again.add("key4", features(4, 8), 0.4)
    assert np.array_equal(FeatureCache(cache.folder, FORM).read("key4"), features(4, 8))


def damage(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage("meta.json", "{"), "line 1"),
        (damage("meta.json", "{}"), "trunk is missing"),
        (damage("index.jsonl", "[]\n"), "an object is expected"),
        (damage("index.jsonl", '{"sha256": "x", "shard": 0, "offset": -1, "frames": 2, "seconds": 1}\n'), "below"),
        (lambda folder: os.truncate(folder / "features-00000.f16", 100), "ends before its features"),
        (lambda folder: (folder / "features-00001.f16").unlink(), "ends before its features"),
        (lambda folder: (folder / "meta.json").unlink(), "no meta.json"),
    ],
    ids=["meta", "meta empty", "index", "offset", "cut", "gone", "no meta"],
)
def test_damaged_folders(cache, harm, message):
    harm(cache.folder)
    with pytest.raises(FormatError, match=message):
        FeatureCache(cache.folder, FORM)


def test_features_that_float16_cannot_hold(cache):
    with pytest.raises(FormatError, match="not finite"):
        cache.add("large", np.full((1, 2, 4), 1e6), 0.1)
    with pytest.raises(ValueError, match="shape"):
        cache.add("narrow", np.zeros((1, 2, 3)), 0.1)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be written"):
        FeatureCache(tmp_path / "file", FORM)


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pytorch_to_mlx.heads.cache import FeatureCache, Form
cache = FeatureCache(Path(sys.argv[1]), Form("a" * 64, (0, 2), 4), shard_bytes=400)
left, fsync = int(sys.argv[2]), os.fsync

def counting(file):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(file)

os.fsync = counting
for seed in range(60):
    if f"key{seed}" not in cache:
        features = np.random.default_rng(seed).standard_normal((5 + seed % 3, 2, 4)).astype(np.float16)
        cache.add(f"key{seed}", features, 0.1)
"""


def test_a_killed_run_loses_nothing_that_it_had_finished(tmp_path):
    """Killed while features are written, while the index is, and then not."""
    counts = []
    for left in (7, 12, 10**6):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "c"), str(left)]
        done = subprocess.run(command, capture_output=True, timeout=300)
        assert done.returncode == (-signal.SIGKILL if left < 100 else 0), done.stderr
        cache = FeatureCache(tmp_path / "c", FORM, shard_bytes=400)
        counts.append(len(cache.entries))
        for seed in range(counts[-1]):
            assert np.array_equal(cache.read(f"key{seed}"), features(seed, 5 + seed % 3))
    assert counts[0] in (3, 4) and counts[0] < counts[1] < counts[2] == 60
    lines = Path(tmp_path / "c" / "index.jsonl").read_text().splitlines()
    assert len({json.loads(line)["sha256"] for line in lines}) == len(lines) == 60
