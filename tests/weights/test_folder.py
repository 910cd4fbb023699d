"""What a converted folder holds, and that it is read back and compared before it appears (faults 90 and 94)."""

import json

import mlx.core as mx
import pytest
from weights.folders import CONFIG, names, same

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import CheckError, FormatError
from pytorch_to_mlx.weights import folder as folder_module
from pytorch_to_mlx.weights import read_folder, write_folder


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


def test_tensor_larger_than_a_shard(tmp_path, weights):
    dest = write_folder(tmp_path / "out", config=CONFIG, weights=weights, max_shard_bytes=1)
    assert same(read_folder(dest)[1], weights)


def test_same_input_gives_the_same_bytes(tmp_path, weights):
    one, two = (write_folder(tmp_path / name, config=CONFIG, weights=weights) for name in "ab")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a\\b", "a\0b", "./a", "a//b", "CONFIG.json", "model-1.safetensors"]
)
def test_file_names_stay_inside_and_do_not_clash(tmp_path, weights, name):
    with pytest.raises(FormatError):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, files={name: b""})
    assert names(tmp_path) == []


def test_names_that_differ_in_case_only(tmp_path, weights):
    """Fault 94."""
    with pytest.raises(FormatError, match="two files"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, files={"voices/A.txt": b"", "voices/a.txt": b""})


def test_arrays_go_into_safetensors_only(tmp_path, weights):
    with pytest.raises(FormatError, match=r"holds arrays but is not a \.safetensors"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, files={"a.npz": {"x": mx.ones(1)}})


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "voices/a.safetensors", "README.md"])
@pytest.mark.parametrize("at", [0, 3, 20, -1])
def test_flipped_bit(tmp_path, old, weights, monkeypatch, file, at):
    """Fault 90: one bit changes on the disk after the file was flushed."""
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


def test_lost_shard(tmp_path, weights, monkeypatch):
    """Fault 90."""
    real = folder_module.flush

    def lose(path):
        real(path)
        if path.name.startswith("model-00002"):
            path.unlink()

    monkeypatch.setattr(folder_module, "flush", lose)
    with pytest.raises(CheckError, match="does not read back"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights, max_shard_bytes=1000)
    assert names(tmp_path) == []


def test_unexpected_tensor(tmp_path, weights, monkeypatch):
    """Fault 90."""
    real = folder_module._write_arrays
    monkeypatch.setattr(
        folder_module,
        "_write_arrays",
        lambda path, arrays, names: real(path, arrays | {"z": mx.ones(1)}, [*names, "z"]),
    )
    with pytest.raises(CheckError, match="it holds other tensors"):
        write_folder(tmp_path / "out", config=CONFIG, weights=weights)
    assert names(tmp_path) == []
