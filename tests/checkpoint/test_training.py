"""Checkpoints as training programs save them: the weights are found, the rest is left unread and said.

The right values are the tensors that torch.save was given.
"""

import argparse
import datetime
import enum
import pathlib
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from checkpoint.hostile import Call, read_all, torch_zip

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.checkpoint.training import wrapping_prefix
from pytorch_to_mlx.errors import FormatError, UnsafeError


class Mode(enum.Enum):
    FAST = 1


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))


def trained():
    net = model()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return net, optimizer.state_dict(), scheduler.state_dict()


def assert_weights(path, state):
    read = read_all(path)
    assert read.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(np.array(read[name]), tensor.numpy())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", ["model_state_dict", "state_dict", "model", "ema", "module"])
def test_the_weights_beside_what_training_leaves(tmp_path, key, zipped):
    net, optimizer, scheduler = trained()
    path = tmp_path / "last.pt"
    saved = {
        key: net.state_dict(),
        "epoch": 3,
        "optimizer": optimizer,
        "lr_scheduler": scheduler,
        "best": np.float64(1),
    }
    saved |= {"best": np.float64(1), "torch_rng_state": torch.get_rng_state()}
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    assert_weights(path, net.state_dict())
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.extra["epoch"] == 3
        assert checkpoint.notes == [
            "left out, of training: 'optimizer', 'torch_rng_state'",
            f"the weights are those of '{key}'",
        ]


def test_weights_before_their_average(tmp_path):
    net = model()
    torch.save({"ema": model().state_dict(), "model": net.state_dict()}, tmp_path / "x.pt")
    assert_weights(tmp_path / "x.pt", net.state_dict())
    with open_checkpoint(tmp_path / "x.pt") as checkpoint:
        assert checkpoint.notes == ["the weights are those of 'model', not 'ema'"]


def test_an_optimizer_of_another_name_and_parts_of_a_model(tmp_path):
    """Parts that are all needed stay; an optimizer is known by its state and param_groups."""
    net, optimizer, _ = trained()
    parts = {"encoder": net.state_dict(), "decoder": net.state_dict(), "generator_adam": optimizer}
    torch.save(parts, tmp_path / "x.pt")
    expected = {f"{part}.{name}": t for part in ("encoder", "decoder") for name, t in net.state_dict().items()}
    assert_weights(tmp_path / "x.pt", expected)
    torch.save({"model": net.state_dict(), "vocoder": net.state_dict()}, tmp_path / "two.pt")
    with open_checkpoint(tmp_path / "two.pt") as checkpoint:  # which is meant cannot be told
        assert not checkpoint.notes and "vocoder.0.weight" in checkpoint.names()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_prefixes_of_wrappers(tmp_path, prefix, suffix):
    state = model().state_dict()
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    path = tmp_path / f"x.{suffix}"
    if suffix == "pt":
        torch.save(wrapped, path)
    else:
        from safetensors.torch import save_file

        save_file(wrapped, path)
    assert_weights(path, state)
    torch.save({**wrapped, "other": torch.ones(1)}, tmp_path / "some.pt")
    assert f"{prefix}0.weight" in read_all(tmp_path / "some.pt")


def test_a_prefix_goes_only_where_the_names_are_then_known():
    names = ["net.core.a", "net.core.b"]
    assert wrapping_prefix(names, lambda rest: rest == ["a", "b"]) == "net.core."
    assert wrapping_prefix(names, lambda rest: rest == names) == ""
    assert wrapping_prefix(names, lambda rest: False) == ""


def test_enums_as_python_3_11_0_to_3_11_3_wrote_them(tmp_path):
    """Those versions pickled a member as getattr(class, name); getattr of anything else stays refused."""
    member = b"cbuiltins\ngetattr\ncmy_module\nMode\nX\x04\x00\x00\x00FAST\x86R"
    state = model().state_dict()
    torch.save({"model": state, "mode": "PLACE"}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    with_enum = (tmp_path / "x.pt").read_bytes().replace(b"X\x05\x00\x00\x00PLACE", member, 1)
    (tmp_path / "x.pt").write_bytes(with_enum)
    assert_weights(tmp_path / "x.pt", state)
    for target in (b"cos\nsystem\n", b"X\x01\x00\x00\x00x"):
        (tmp_path / "x.pt").write_bytes(with_enum.replace(b"cmy_module\nMode\n", target))
        with pytest.raises(UnsafeError):
            read_all(tmp_path / "x.pt")


OBJECTS = {
    "namespace": argparse.Namespace(lr=0.1, mode=Mode.FAST),
    "path": pathlib.PurePosixPath("a/b"),
    "enum": Mode.FAST,
    "time": datetime.datetime(2020, 1, 2),
    "numpy": np.arange(3),
    "scalar": np.float32(2),
    "default": defaultdict(list, a=[1]),
    "set": {1, 2},
    "frozen": frozenset([3]),
    "keys": {Mode.FAST: 1},
    "class": argparse.Namespace,
    "complex": 1j,
    "bytes": b"abc",
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_that_holds_no_tensor_is_left_unread(tmp_path, kind, protocol):
    state = model().state_dict()
    torch.save({"state_dict": state, "args": OBJECTS[kind]}, tmp_path / "x.pt", pickle_protocol=protocol)
    assert_weights(tmp_path / "x.pt", state)


def test_an_object_that_holds_a_tensor_is_refused(tmp_path):
    """A whole pickled module, or a tensor hidden in an object: something would be missing."""
    net = model()
    for value in (net, {"state_dict": net.state_dict(), "args": argparse.Namespace(mean=[torch.ones(2)])}):
        torch.save(value, tmp_path / "x.pt")
        with pytest.raises(UnsafeError, match=r"is not on the allowlist; nothing was run"):
            read_all(tmp_path / "x.pt")


def test_code_beside_weights_is_refused(tmp_path, canary):
    """The file is refused, as before, where what it names would run something."""
    import os

    state = OrderedDict(model().state_dict())
    torch.save({"state_dict": state, "args": Call(os.system, f"touch {canary}")}, tmp_path / "x.pt")
    with pytest.raises(UnsafeError, match=r"posix.system' is not on the allowlist"):
        read_all(tmp_path / "x.pt")
    body = b"\x80\x02}X\x01\x00\x00\x00acargparse\nNamespace\n)\x81}X\x01\x00\x00\x00bcos\nsystem\nsbs."
    with pytest.raises(UnsafeError, match=r"os.system"):
        read_all(torch_zip(tmp_path / "y.pt", body))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_dtype_that_mlx_lacks_is_unsupported_not_unsafe(tmp_path, zipped):
    torch.save({"a": torch.ones(2, dtype=torch.complex128)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(FormatError, match=r"complex128, which MLX does not have") as caught:
        read_all(tmp_path / "x.pt")
    assert caught.value.exit_code == 4
