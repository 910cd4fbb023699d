"""Shard indexes that point outside, or disagree with their shards (faults 23 and 56)."""

import json

import pytest
import torch
from checkpoint.hostile import assert_refused, read_all
from safetensors.torch import save_file

from pytorch_to_mlx.errors import FormatError


@pytest.mark.parametrize(
    "target", ["../../x.safetensors", "C:x.safetensors", "/abs.safetensors", "x.bin", "x", "a\\b.safetensors", 3, None]
)
def test_index_points_outside_the_folder(tmp_path, target):
    """Fault 23."""
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": target}}))
    assert_refused(lambda: read_all(tmp_path), FormatError, index)


def test_shard_is_a_link_out_of_the_folder(tmp_path):
    """Fault 23."""
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"w": torch.zeros(1)}, tmp_path / "secret.safetensors")
    (folder / "a.safetensors").symlink_to(tmp_path / "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "a.safetensors"}}))
    assert_refused(lambda: read_all(folder), FormatError, "a.safetensors", "symbolic link")


@pytest.fixture
def sharded(tmp_path):
    """Two good shards, and a function that writes the index with changes."""
    tensors = {"a": torch.ones(4), "b": torch.ones(2), "c": torch.ones(2)}
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    save_file({"a": tensors["a"]}, tmp_path / first)
    save_file({"b": tensors["b"], "c": tensors["c"]}, tmp_path / second)

    def write(total: object = 32, **changes):
        weight_map = {"a": first, "b": second, "c": second, **changes}
        weight_map = {name: shard for name, shard in weight_map.items() if shard is not None}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        return tmp_path

    write.folder, write.first, write.second = tmp_path, first, second
    return write


def test_good_index_is_read(sharded):
    assert sorted(read_all(sharded())) == ["a", "b", "c"]


def test_missing_shard(sharded):
    """Fault 56."""
    (sharded.folder / sharded.second).unlink()
    error = assert_refused(
        lambda: read_all(sharded()), FormatError, "model.safetensors.index.json", "1 shard is missing"
    )
    assert sharded.second in str(error)


def test_extra_shard(sharded):
    """Fault 56."""
    save_file({"d": torch.ones(1)}, sharded.folder / "model-00003-of-00003.safetensors")
    error = assert_refused(lambda: read_all(sharded()), FormatError, "not in the index")
    assert "model-00003-of-00003.safetensors" in str(error)


def test_key_in_two_shards(sharded):
    """Fault 56."""
    save_file({"a": torch.ones(4), "b": torch.ones(2)}, sharded.folder / sharded.first)
    assert_refused(lambda: read_all(sharded()), FormatError, "'b' is in", sharded.first, sharded.second)


def test_key_not_in_its_shard(sharded):
    """Fault 56."""
    assert_refused(lambda: read_all(sharded(c=sharded.first)), FormatError, "'c'", "the index says")
    assert_refused(lambda: read_all(sharded(z=sharded.first)), FormatError, "'z' is not in", sharded.first)


def test_key_that_the_index_does_not_name(sharded):
    """Fault 56."""
    assert_refused(lambda: read_all(sharded(c=None)), FormatError, "'c' is in", "not in the index")


@pytest.mark.parametrize("total", [10**12, 33, -1, 1, "32", [32], True])
def test_wrong_total_size(sharded, total):
    """Fault 56."""
    assert_refused(lambda: read_all(sharded(total=total)), FormatError, "total_size")


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": None}], ids=str)
def test_no_weight_map(sharded, index):
    """Fault 56."""
    (sharded.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_refused(lambda: read_all(sharded.folder), FormatError, "no weight_map")
