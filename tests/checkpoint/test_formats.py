"""Every reader against the reference writer, bit for bit, dtype by dtype."""

import json

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import CheckError, FormatError, MachineError

DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
]
NEW_DTYPES = [torch.uint16, torch.uint32, torch.uint64]


def bits(array: mx.array) -> bytes:
    return np.array(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array).tobytes()


def torch_bits(tensor: torch.Tensor) -> bytes:
    tensor = tensor.contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy().tobytes()


def sample(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    raw = torch.randint(0, 256, (*shape, dtype.itemsize), dtype=torch.uint8)
    if dtype == torch.bool:
        return raw[..., 0] > 127
    return raw.view(dtype)[..., 0]  # every bit pattern, NaNs and infinities included


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check(ckpt, tensors):
    assert sorted(ckpt.names()) == sorted(tensors)
    for name, tensor in tensors.items():
        info = ckpt.infos()[name]
        array = ckpt[name]
        assert info.shape == array.shape == tuple(tensor.shape)
        assert info.dtype == str(array.dtype).removeprefix("mlx.core.") == name_of(tensor.dtype)
        assert info.nbytes == array.nbytes
        assert bits(array) == torch_bits(tensor), name


# PyTorch itself cannot write its newer dtypes in its legacy format.
CASES = [(writer, dtype) for writer in ("safetensors", "torch", "legacy") for dtype in DTYPES]
CASES += [(writer, dtype) for writer in ("safetensors", "torch") for dtype in NEW_DTYPES]


@pytest.mark.parametrize(("writer", "dtype"), CASES, ids=lambda case: case if isinstance(case, str) else name_of(case))
def test_bit_exact(tmp_path, writer, dtype):
    tensors = {"a.weight": sample(dtype, 3, 5), "scalar": sample(dtype), "empty": sample(dtype, 0, 4)}
    if writer == "safetensors":
        path = tmp_path / "x.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        path = tmp_path / "x.pth"
        torch.save(tensors, path, _use_new_zipfile_serialization=writer == "torch")
    with open_checkpoint(path) as ckpt:
        check(ckpt, tensors)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_torch_strides_offsets_and_shared_storages(tmp_path, legacy):
    base = torch.randn(6, 8)
    tensors = {
        "transposed": base.T,
        "rows": base[2:4],
        "column": base[:, 3],
        "steps": base[::2, 1::3],
        "whole": base,
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "channels_last": torch.randn(1, 3, 4, 5).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(3)),
    }
    torch.save(tensors, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    with open_checkpoint(tmp_path / "x.pt") as ckpt:
        check(ckpt, {name: tensor.detach() for name, tensor in tensors.items()})


def test_torch_nested_dicts_are_joined_and_the_rest_is_extra(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    module(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    saved = {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "name": "tiny",
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "losses": [0.5, 0.25],
        "layers": [{"w": torch.ones(2)}],
    }
    torch.save(saved, tmp_path / "x.pt")
    with open_checkpoint(tmp_path / "x.pt") as ckpt:
        assert set(ckpt) >= {"model.0.weight", "model.1.running_mean", "model.1.num_batches_tracked", "layers.0.w"}
        assert not any(name.startswith("optimizer") for name in ckpt), "training state is not the model's"
        np.testing.assert_array_equal(np.array(ckpt["model.0.weight"]), module[0].weight.detach().numpy())
        expected = {
            "epoch": 3,
            "name": "tiny",
            "size": [2, 3],
            "dtype": "float16",
            "device": "cpu",
            "losses": [0.5, 0.25],
        }
        assert {key: ckpt.extra[key] for key in expected} == expected


def test_torch_bare_tensor(tmp_path):
    voice = torch.randn(5, 1, 4)
    torch.save(voice, tmp_path / "voice.pt")
    with open_checkpoint(tmp_path / "voice.pt") as ckpt:
        check(ckpt, {"tensor": voice})


def test_torch_proto_4(tmp_path):
    tensors = {f"layer.{index}": torch.randn(2) for index in range(300)}
    torch.save(tensors, tmp_path / "x.pt", pickle_protocol=4)
    with open_checkpoint(tmp_path / "x.pt") as ckpt:
        check(ckpt, tensors)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_float64_becomes_float32_and_says_so(tmp_path, suffix):
    tensor = torch.tensor([1 / 3, float("inf"), float("nan"), -0.0], dtype=torch.float64)
    path = tmp_path / f"x{suffix}"
    save_file({"w": tensor}, path) if suffix == ".safetensors" else torch.save({"w": tensor}, path)
    with open_checkpoint(path) as ckpt:
        info = ckpt.infos()["w"]
        assert (info.dtype, info.stored_dtype, info.nbytes) == ("float32", "float64", 16)
        assert bits(ckpt["w"]) == torch_bits(tensor.float())


def test_float64_that_overflows_is_refused(tmp_path):
    save_file({"w": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "x.safetensors")
    with open_checkpoint(tmp_path / "x.safetensors") as ckpt, pytest.raises(CheckError, match="'w': 1 float64"):
        ckpt["w"]


@pytest.mark.parametrize("compressed", [False, True])
def test_npz(tmp_path, compressed):
    arrays = {
        "a": np.random.randn(3, 4).astype(np.float32),
        "fortran": np.asfortranarray(np.random.randn(2, 3, 4).astype(np.float16)),
        "scalar": np.array(7, np.int64),
        "big": np.arange(6, dtype=">i4").reshape(2, 3),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.uint8),
    }
    (np.savez_compressed if compressed else np.savez)(tmp_path / "x.npz", **arrays)
    with open_checkpoint(tmp_path / "x.npz") as ckpt:
        assert sorted(ckpt) == sorted(arrays)
        for name, array in arrays.items():
            assert ckpt[name].shape == array.shape == ckpt.infos()[name].shape
            np.testing.assert_array_equal(np.array(ckpt[name]), array)


def test_npy(tmp_path):
    array = np.asfortranarray(np.random.randn(2, 3).astype(np.float32))
    np.save(tmp_path / "voice.npy", array)
    with open_checkpoint(tmp_path / "voice.npy") as ckpt:
        np.testing.assert_array_equal(np.array(ckpt["voice"]), array)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_sharded_folder(tmp_path, kind):
    tensors = {f"layers.{index}.weight": torch.randn(4, 4) for index in range(5)}
    stem = "model" if kind == "safetensors" else "pytorch_model"
    weight_map = {}
    for shard, names in enumerate([list(tensors)[:2], list(tensors)[2:]], 1):
        file = f"{stem}-{shard:05}-of-00002.{kind}"
        part = {name: tensors[name] for name in names}
        save_file(part, tmp_path / file) if kind == "safetensors" else torch.save(part, tmp_path / file)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": 5 * 64}, "weight_map": weight_map}
    (tmp_path / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text('{"model_type": "tiny"}')
    with open_checkpoint(tmp_path) as ckpt:
        check(ckpt, tensors)
        assert ckpt.config == {"model_type": "tiny"} and ckpt.folder == tmp_path


def test_mlx_folder(tmp_path):
    weights = {"a": mx.random.normal((3, 2)).astype(mx.bfloat16), "b": mx.arange(4)}
    mx.save_safetensors(str(tmp_path / "model.safetensors"), weights, {"format": "mlx"})
    with open_checkpoint(tmp_path) as ckpt:
        assert ckpt.kind == "mlx" and ckpt.extra == {"format": "mlx"}
        assert all(bits(ckpt[name]) == bits(weights[name]) for name in weights)


def test_folder_with_two_candidates_is_not_guessed(tmp_path):
    for name in ("a", "b"):
        save_file({"w": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(FormatError, match=r"2 \.safetensors files"):
        open_checkpoint(tmp_path)


def test_budget_from_headers(tmp_path):
    save_file({"a": torch.zeros(1000), "b": torch.zeros(1000)}, tmp_path / "x.safetensors")
    with pytest.raises(MachineError, match=r"needs 8 KB of memory, has 7\.9 KB"):
        open_checkpoint(tmp_path / "x.safetensors", max_bytes=7900)
    with open_checkpoint(tmp_path / "x.safetensors", max_bytes=8000) as ckpt:
        assert ckpt["a"].shape == (1000,)


def test_safetensors_as_mlx_writes_it_without_metadata(tmp_path):
    array = mx.arange(6).reshape(2, 3)
    mx.save_safetensors(str(tmp_path / "a.safetensors"), {"a": array})  # its header says "__metadata__": null
    with open_checkpoint(tmp_path / "a.safetensors") as checkpoint:
        assert mx.array_equal(checkpoint["a"], array)
