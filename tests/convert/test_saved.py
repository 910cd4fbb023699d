"""Checkpoints of families as people save them convert to the same weights; a checkpoint of another family is named.

The right values are the weights of the same model saved plainly.
"""

import json
from dataclasses import asdict

import mlx.core as mx
import numpy as np
import pytest
import torch
from mlx.utils import tree_flatten

from pytorch_to_mlx import load, registry
from pytorch_to_mlx.cli import main
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import CheckError, FormatError
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.weights import invert, read_folder


def state_of(name, config) -> tuple[dict[str, torch.Tensor], dict[str, mx.array]]:
    """A tiny model as the original spells it, and as we do."""
    family = registry.family(name)
    mx.random.seed(0)
    ours = dict(tree_flatten(family.model(config).parameters()))
    state = {key: torch.from_numpy(np.array(array)) for key, array in invert(family.weights, ours).items()}
    return state, ours


def same(folder, weights) -> bool:
    read = read_folder(folder)[1]
    return read.keys() == weights.keys() and all(mx.array_equal(read[name], weights[name]) for name in weights)


WRAPPED = {
    "bare": lambda state: state,
    "parallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "lightning": lambda state: {"state_dict": {f"model.{n}": t for n, t in state.items()}, "optimizer_states": [{}]},
    "compiled": lambda state: {"ema": {f"_orig_mod.{name}": tensor for name, tensor in state.items()}, "step": 4},
    "own": lambda state: {"model": {f"asr.net.{name}": tensor for name, tensor in state.items()}},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_whisper_without_a_config_takes_its_sizes_from_the_shapes(how, tmp_path):
    config = Config(80, 20, 128, 2, 2, 51865, 24, 128, 2, 1)
    state, ours = state_of("whisper", config)
    torch.save(WRAPPED[how](state), tmp_path / "x.pt")
    out = convert(tmp_path / "x.pt", tmp_path / "out")
    assert same(out, ours)
    assert Config.from_dict(json.loads((out / "config.json").read_text())) == config


def test_sizes_that_cannot_be_told(tmp_path):
    """A width of 32 is not a number of heads of 64."""
    torch.save(state_of("whisper", Config.tiny())[0], tmp_path / "x.pt")
    with pytest.raises(FormatError, match=r"x.pt: there is no config.json.*put the model's config.json beside"):
        convert(tmp_path / "x.pt", tmp_path / "out")
    (tmp_path / "config.json").write_text(json.dumps(Config.tiny().to_dict()))
    convert(tmp_path / "x.pt", tmp_path / "out")


@pytest.mark.parametrize("how", WRAPPED)
def test_kokoro_with_its_config_beside(how, tmp_path):
    config = registry.family("kokoro").config.tiny()
    state, ours = state_of("kokoro", config)
    torch.save(WRAPPED[how](state), tmp_path / "x.pth")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "kokoro", **asdict(config)}))
    assert same(convert(tmp_path / "x.pth", tmp_path / "out", family="kokoro"), ours)


def test_no_family_and_no_config(tmp_path):
    torch.save({"a.weight": torch.ones(2)}, tmp_path / "x.pt")
    with pytest.raises(FormatError, match=r"no supported family \(there is no config.json, and no family has"):
        convert(tmp_path / "x.pt", tmp_path / "out")


def test_a_head_of_its_own_is_not_a_matter_of_dtype(tmp_path):
    """Hugging Face's proj_out must equal the embedding; no option converts one that differs."""
    state, _ = state_of("whisper", Config.tiny())
    state |= {"decoder.projection.weight": torch.zeros(51865, 32)}
    state["decoder.embeddings.weight"] = state.pop("decoder.token_embedding.weight")
    torch.save(state, tmp_path / "x.pt")
    (tmp_path / "config.json").write_text(json.dumps(Config.tiny().to_dict()))
    with pytest.raises(CheckError, match=r"weights of its own where this family has none") as caught:
        convert(tmp_path / "x.pt", tmp_path / "out", family="whisper")
    assert "--dtype" not in str(caught.value)


def test_a_checkpoint_of_another_family_is_named(tmp_path):
    """`kokoro --model` of a Whisper listed 204 tensors that match no rule."""
    state, _ = state_of("whisper", Config.tiny())
    torch.save(state, tmp_path / "x.pt")
    said = r"this is a whisper checkpoint, not one of kokoro; use the whisper commands"
    for act in (
        lambda: load(tmp_path / "x.pt", family="kokoro"),
        lambda: convert(tmp_path / "x.pt", tmp_path / "out", family="kokoro"),
        lambda: registry.verb(registry.card("kokoro"), "synthesize")(
            text="Hi", output=tmp_path / "x.wav", model=str(tmp_path / "x.pt")
        ),
    ):
        with pytest.raises(FormatError, match=said):
            act()


def test_what_is_left_out_is_said(tmp_path, capsys):
    state, _ = state_of("whisper", Config.tiny())
    torch.save({"model": {f"module.{name}": t for name, t in state.items()}, "optimizer": {}}, tmp_path / "x.pt")
    (tmp_path / "config.json").write_text(json.dumps(Config.tiny().to_dict()))
    assert main(["convert", str(tmp_path / "x.pt"), "--mlx-path", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert said.count("the weights are those of 'model'") == said.count("the prefix 'module.' of all tensors") == 1


def test_the_sizes_of_hugging_faces_layout(tmp_path):
    """The right sizes are those of the config that transformers built the model with."""
    transformers = pytest.importorskip("transformers")
    sizes = {"d_model": 128, "encoder_layers": 1, "decoder_layers": 2, "vocab_size": 51865, "num_mel_bins": 80}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 512, "decoder_ffn_dim": 512}
    lengths = {"max_source_positions": 20, "max_target_positions": 24}
    model = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**sizes, **heads, **lengths))
    torch.save(model.state_dict(), tmp_path / "x.bin")
    out = convert(tmp_path / "x.bin", tmp_path / "out")
    config = Config.from_dict(json.loads((out / "config.json").read_text()))
    assert config == Config(80, 20, 128, 2, 1, 51865, 24, 128, 2, 2)
