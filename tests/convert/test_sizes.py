"""What `analyze` promises of the size of a conversion is what `convert` writes, and a packed file reads back."""

import json
from dataclasses import asdict

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from pytorch_to_mlx import registry
from pytorch_to_mlx.analyze import analyze
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.progress import listening
from pytorch_to_mlx.weights import invert, read_folder, write_folder
from pytorch_to_mlx.weights.pack import pack

OPTIONS = {
    "float32": {"dtype": "float32"},
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "8-bit": {"q_bits": 8},
    "4-bit": {"q_bits": 4},
}


class Wide(nn.Module):
    """Layers with rows that are, and are not, whole groups of 64."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 32)
        self.conv = nn.Conv1d(43, 8, 3)
        self.rnn = nn.LSTM(64, 16)
        self.norm = nn.LayerNorm(32)


def tiny(name: str, folder, *, released: bool = False):
    """A tiny model of a family as a converted folder; as the original's checkpoint if `released`."""
    family = registry.family(name)
    config = family.config.tiny()
    weights = dict(tree_flatten(family.model(config).parameters()))
    data = json.loads(json.dumps({"model_type": family.card.model_types[0], **asdict(config)}))
    if not released:
        return write_folder(folder, config=data, weights=weights)
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), invert(family.weights, weights))
    (folder / "config.json").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize("name", registry.names())
def test_analyze_promises_what_convert_writes(name, tmp_path):
    """The right value is the sum of the bytes in the folder that `convert` wrote."""
    source = tiny(name, tmp_path / "tiny")
    promised = analyze(source).sizes
    assert {"float32", "float16", "bfloat16"} - registry.family(name).refused_dtypes.keys() <= promised.keys()
    for kind, n_bytes in promised.items():
        assert n_bytes == written(convert(source, tmp_path / kind, **OPTIONS[kind]))


@pytest.mark.parametrize("name", ["kokoro", "whisper"])
def test_the_same_for_a_checkpoint_of_the_original(name, tmp_path):
    source = tiny(name, tmp_path / "tiny", released=True)
    promised = analyze(source, family=name).sizes
    assert len(promised) >= 3
    for kind, n_bytes in promised.items():
        assert n_bytes == written(convert(source, tmp_path / kind, family=name, **OPTIONS[kind]))


def written(folder) -> int:
    with open_checkpoint(folder, as_stored=True) as checkpoint:
        return checkpoint.nbytes()


def test_convolutions_and_lstms_are_packed_in_the_file_and_widened(tmp_path):
    """8 bits: an error of less than one step, the range over 255, by the affine form of MLX."""
    model = Wide()
    model.set_dtype(mx.float16)
    plain = dict(tree_flatten(model.parameters()))
    done = pack(model, bits=4)
    assert done.layers.layers == ["linear"] and done.rows == ["conv.weight", "rnn.Wx"]  # rows of 129 and of 64
    assert done.weights["conv.weight"].shape == (8, 192 // 4) and done.weights["norm.weight"].dtype == mx.float16
    config, back = read_folder(write_folder(tmp_path / "out", config=done.config, weights=done.weights))
    assert config == {"quantization": {"bits": 4, "group_size": 64, "mode": "affine"}}
    for name in done.rows:
        assert back[name].shape == plain[name].shape and back[name].dtype == mx.float16
        step = float(plain[name].max() - plain[name].min()) / 255
        assert 0 < np.abs(np.array(back[name] - plain[name])).max() < step
    assert mx.array_equal(back["rnn.Wh"], plain["rnn.Wh"])  # rows of 16 would grow


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 4},
        {"group_size": 48},
        {"shapes": {"conv.weight": [8, 3, 99]}},
        {"shapes": {"none": [8]}},
        {"shapes": 1},
    ],
)
def test_a_config_that_contradicts_the_packed_weights(tmp_path, change):
    model = Wide()
    model.set_dtype(mx.float16)
    done = pack(model)
    done.config["quantization_in_file"] |= change
    folder = tmp_path / "out"
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), done.weights, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(done.config))
    with pytest.raises(FormatError, match=r"packed|quantization_in_file|scales"):
        open_checkpoint(folder)


def test_bits_imply_quantization_and_the_sizes_are_said(tmp_path):
    """`--q-bits 8` without -q was ignored; the sizes are those of the two files."""
    notes: list[str] = []

    class Listener:
        note = staticmethod(notes.append)

        def track(self, items, what, total):
            return iter(items)

    source = tiny("whisper", tmp_path / "src")
    with listening(Listener()):
        out = convert(source, tmp_path / "out", family="whisper", q_group_size=32)
    assert json.loads((out / "config.json").read_text())["quantization"]["group_size"] == 32
    assert any(text.startswith("weights: ") and "written" in text and "% of it packed" in text for text in notes)
