"""Releases of CosyVoice 2, whole and broken, and what goes into a converted folder beside the weights."""

import os
import shutil

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.cosyvoice import release

from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError, UnsafeError
from pytorch_to_mlx.models.cosyvoice.release.files import extra_files, is_release, open_release
from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return release.write_release(tmp_path_factory.mktemp("release"), release.TINY)


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to break."""
    return shutil.copytree(whole, tmp_path / "release", copy_function=os.link)


def rewrite(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.unlink()
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_parts_under_their_names(whole):
    with open_release(whole) as checkpoint:
        names = checkpoint.names()
        assert {name.partition(".")[0] for name in names} == set(COSYVOICE2.parts)
        assert "llm.llm.model.model.embed_tokens.weight" in names and "speech_tokenizer.conv1.weight" in names
        assert checkpoint["campplus.head.conv1.weight"].shape == (4, 1, 3, 3)
        assert [file.path.name for file in checkpoint.files] == list(COSYVOICE2.parts.values())
        tiny = release.TINY
        config = checkpoint.config
    assert is_release(whole) and config["model_type"] == "cosyvoice2"
    assert config["lm"]["vocab_size"] == tiny.vocab_size and config["lm"]["num_hidden_layers"] == 2
    assert config["flow"]["encoder"] == {
        "hidden_size": tiny.input_size,
        "num_attention_heads": tiny.attention_heads,
        "intermediate_size": tiny.linear_units,
        "num_hidden_layers": tiny.num_blocks,
        "lookahead": 3,
    }
    assert config["campplus"]["block_layers"] == list(tiny.campplus_layers)
    assert config["speech_tokenizer"]["attn_norm_eps"] == 1e-6 and config["speech_tokenizer"]["mlp_norm_eps"] == 1e-5
    assert config["mel"] == {"n_fft": 1920, "hop_length": 480, "n_mels": 80, "f_min": 0, "f_max": 8000}


@pytest.mark.parametrize("name", ["hift.pt", "campplus.onnx", "CosyVoice-BlankEN/merges.txt"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FormatError, match=r"a file is missing from this release; take all files(.|\n)*" + name):
        open_release(folder)


def test_another_version(folder):
    (folder / "cosyvoice2.yaml").rename(folder / "cosyvoice3.yaml")
    with pytest.raises(FormatError, match=r"no cosyvoice2.yaml: it has 'cosyvoice3.yaml'"):
        open_release(folder)
    assert not is_release(folder)


@pytest.mark.parametrize(
    ("part", "key", "message"),
    [
        ("flow", "decoder.estimator.transformer_blocks.0.attn.to_q.weight", "part of CosyVoice 3, not of CosyVoice 2"),
        ("flow", "length_regulator.model.0.weight", "part of CosyVoice 1, not of CosyVoice 2"),
        ("llm", "speech_embedding.weight", "part of CosyVoice 3, not of CosyVoice 2"),
        ("hift", "input_embedding.weight", "not the hift part"),
    ],
)
def test_a_part_of_another_model(folder, part, key, message):
    (folder / f"{part}.pt").unlink()
    torch.save({key: torch.zeros(3, 4)}, folder / f"{part}.pt")
    with pytest.raises(FormatError, match=rf"{part}\.pt: .*{message}; take all files"):
        open_release(folder)


def test_exchanged_onnx_files(folder):
    one, other = folder / "campplus.onnx", folder / "speech_tokenizer_v2.onnx"
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)
    with pytest.raises(FormatError, match=r"campplus\.onnx: not the campplus part"):
        open_release(folder)


@pytest.mark.parametrize("name", ["speech_tokenizer_v2.onnx", "campplus.onnx", "llm.pt"])
def test_a_cut_file(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(FormatError, match=rf"{name}: .*; .*"):
        open_release(folder)


@pytest.mark.parametrize(
    "line",
    [
        "x: !apply:os.system [touch canary]",
        "x: !new:subprocess.Popen\n    args: [touch, canary]",
        "x: !!python/object/apply:os.system [touch canary]",
        "x: !include:/etc/hostname",
    ],
)
def test_a_yaml_that_asks_to_run_something(folder, line, monkeypatch):
    monkeypatch.chdir(folder)
    rewrite(folder / "cosyvoice2.yaml", "sample_rate: 24000\n", f"sample_rate: 24000\n{line}\n")
    with pytest.raises(UnsafeError, match=r"cosyvoice2\.yaml: .*; take the yaml of the original release"):
        open_release(folder)
    assert not (folder / "canary").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("solver: 'euler'", "solver: 'midpoint'", "solver is 'midpoint', this port was made for 'euler'"),
        ("flow.decoder.CausalConditionalDecoder", "flow.decoder.ConditionalDecoder", "flow.decoder.estimator is"),
        ("        win_size: 10\n", "", "llm.sampling.win_size is missing"),
        ("channels: [32]", "channels: [32, 32]", "made for one number"),
        ("<chunk_size> * <token_mel_ratio>", "<chunk_size> * 3", "is not the encoder's chunk times token_mel_ratio"),
        ("    center: False", "    center: True", "feat_extractor.center is 'True'"),
    ],
)
def test_a_yaml_of_another_model(folder, old, new, message):
    rewrite(folder / "cosyvoice2.yaml", old, new)
    with pytest.raises(FormatError, match=r"cosyvoice2\.yaml: 1 value is not those of CosyVoice 2") as raised:
        open_release(folder)
    assert message in str(raised.value)


def test_every_problem_at_once(folder):
    rewrite(folder / "cosyvoice2.yaml", "solver: 'euler'", "solver: 'midpoint'")
    rewrite(folder / "CosyVoice-BlankEN" / "config.json", '"hidden_act": "silu"', '"hidden_act": "gelu"')
    rewrite(folder / "CosyVoice-BlankEN" / "config.json", '  "rope_theta": 1000000.0,\n', "")
    with pytest.raises(FormatError, match="3 values") as raised:
        open_release(folder)
    assert len(raised.value.details) == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "where"),
    [
        ("CosyVoice-BlankEN/config.json", '"num_hidden_layers": 2', '"num_hidden_layers": 3', "llm.pt"),
        ("cosyvoice2.yaml", "num_mid_blocks: 1", "num_mid_blocks: 2", "flow.pt"),
        ("cosyvoice2.yaml", "cond_channels: 32", "cond_channels: 64", "hift.pt"),
    ],
)
def test_sizes_that_contradict_the_weights(folder, file, old, new, where):
    rewrite(folder / file, old, new)
    with pytest.raises(FormatError, match=rf"{where}: \d tensors? contradicts? cosyvoice2\.yaml or"):
        open_release(folder)


def test_names_that_training_leaves(folder):
    """The vocoder of a training run has `generator.` before its names, and runs save numbers beside the weights."""
    state = torch.load(folder / "hift.pt", weights_only=True)
    (folder / "hift.pt").unlink()
    torch.save({**{f"generator.{name}": t for name, t in state.items()}, "epoch": 3, "step": 7}, folder / "hift.pt")
    with open_release(folder) as checkpoint:
        assert "hift.conv_pre.bias" in checkpoint.names()
        assert not any("epoch" in name or "generator" in name for name in checkpoint.names())


def test_extra_files(whole):
    with open_release(whole) as checkpoint:
        files = extra_files(whole, checkpoint.config)
    assert files.keys() == {"vocab.json", "merges.txt", "tokenizer_config.json", "noise.safetensors"}
    noise = files["noise.safetensors"]["flow"]
    torch.manual_seed(0)
    theirs = torch.randn([1, 80, 15000])
    np.testing.assert_allclose(np.array(noise), theirs.numpy().swapaxes(1, 2), rtol=0, atol=5e-7)


def speakers_of(folder, info):
    torch.save(info, folder / "spk2info.pt")
    with open_release(folder) as checkpoint:
        files = extra_files(folder, checkpoint.config)
    return {name: arrays for name, arrays in files.items() if name.startswith("speakers/")}


def test_speakers(folder):
    saved = {
        "prompt_text": torch.tensor([[5, 6]], dtype=torch.int32),
        "prompt_text_len": torch.tensor([2], dtype=torch.int32),
        "llm_prompt_speech_token": torch.tensor([[1, 2, 3]], dtype=torch.int32),
        "llm_prompt_speech_token_len": torch.tensor([3], dtype=torch.int32),
        "flow_prompt_speech_token": torch.tensor([[1, 2, 3]], dtype=torch.int32),
        "flow_prompt_speech_token_len": torch.tensor([3], dtype=torch.int32),
        "prompt_speech_feat": torch.randn(1, 6, 80),
        "prompt_speech_feat_len": torch.tensor([6], dtype=torch.int32),
        "llm_embedding": torch.ones(1, 192),
        "flow_embedding": torch.ones(1, 192),
    }
    files = speakers_of(folder, {"中文女": {"embedding": torch.zeros(1, 192)}, "my.voice": saved})
    assert files.keys() == {"speakers/中文女.safetensors", "speakers/my.voice.safetensors"}
    assert files["speakers/中文女.safetensors"]["embedding"].shape == (1, 192)
    mine = files["speakers/my.voice.safetensors"]
    assert {name: (a.shape, a.dtype) for name, a in mine.items()} == {
        "embedding": ((1, 192), mx.float32),
        "prompt_text": ((2,), mx.int32),
        "speech_tokens": ((3,), mx.int32),
        "mel": ((1, 6, 80), mx.float32),
    }
    assert mine["speech_tokens"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ({"../up": {"embedding": torch.zeros(1, 192)}}, "not a known field of a speaker with a usable name"),
        ({"a": {"embedding": torch.zeros(1, 5)}}, "the embedding has 5 numbers, the model takes 192"),
        ({"a": {"prompt_text": torch.tensor([[1]])}}, "no embedding"),
        ({"a": {"embedding": torch.full((1, 192), float("nan"))}}, "embedding is not finite"),
        (
            {"a": {"embedding": torch.zeros(1, 192), "flow_prompt_speech_token": torch.tensor([[6561]])}},
            "speech_tokens has ids outside 0 … 6560",
        ),
        ({"a": {"embedding": torch.zeros(1, 192), "secret": torch.zeros(1)}}, "'a.secret' is not a known field"),
    ],
)
def test_speakers_that_cannot_be_used(folder, info, problem):
    with pytest.raises(FormatError, match=r"spk2info\.pt: 1 entry cannot be used; save the speakers again") as raised:
        speakers_of(folder, info)
    assert problem in str(raised.value)


def test_convert_names_the_broken_file_and_leaves_nothing(folder, tmp_path):
    (folder / "hift.pt").unlink()
    with pytest.raises(FormatError, match=r"a file is missing from this release; take all files(.|\n)*hift\.pt"):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
