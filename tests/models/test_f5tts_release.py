"""Checkpoints of F5-TTS and E2-TTS in every layout: which weights are taken, and which model it is."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
import torch
import yaml
from command import run
from golden.f5_networks import reference_mel
from mlx.utils import tree_flatten
from models.f5tts_release import LAYOUTS, VOCAB, expected_weights, original_state, save, tiny_e2

from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.f5tts.config import VARIANTS, Config
from pytorch_to_mlx.models.f5tts.release import is_release, load_networks, open_release

TINY = Config.tiny()
ARCH = {"dim": 32, "depth": 2, "heads": 2, "ff_mult": 2, "text_dim": 16, "conv_layers": 2}


def write_yaml(folder, arch=None, **model):
    content = {
        "hydra": {"run": {"dir": "ckpts/${model.name}"}},
        "model": {"backbone": "DiT", "arch": arch or ARCH, **model},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(content))


def config_of(path) -> Config:
    with open_release(path) as checkpoint:
        return Config.from_dict(checkpoint.config)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_weights(layout, tmp_path):
    path = save(tmp_path / "F5TTS_v1_Base", layout, TINY)
    model, vocab = load_networks(path)
    weights = dict(tree_flatten(model.parameters()))
    expected = expected_weights(TINY)
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)
    assert vocab == VOCAB.encode() and model.config == TINY


def test_e2_needs_no_variant(tmp_path):
    path = save(tmp_path / "any", "released", tiny_e2())
    assert config_of(path) == tiny_e2()


@pytest.mark.parametrize(
    ("folder", "variant"),
    [
        ("F5TTS_v1_Base", "v1"), ("F5TTS_Base", "v0"), ("F5TTS_v1_Base_no_zero_init", "v1"), ("f5-tts_small", "v0"),
        ("F5TTS_v1_Custom_Prune_1000000", "v1"),
    ],
)  # fmt: skip
def test_variant_by_name(folder, variant, tmp_path):
    save(tmp_path / folder, "flat", TINY)
    for path in (tmp_path / folder, tmp_path / folder / "model_last.pt"):
        config = config_of(path)
        assert {key: getattr(config, key) for key in VARIANTS[variant]} == VARIANTS[variant]


def test_variant_is_asked_for_without_name_and_yaml(tmp_path):
    path = save(tmp_path / "mine", "flat", TINY)
    with pytest.raises(FormatError, match=r"nothing says whether this is v0 or v1.*--variant v0 .*--variant v1"):
        load_networks(path)


def test_yaml_comes_before_the_name(tmp_path):
    save(tmp_path / "F5TTS_v1_Base", "flat", TINY)
    write_yaml(tmp_path / "F5TTS_v1_Base", ARCH | {"text_mask_padding": False, "pe_attn_head": 1}, tokenizer="char")
    config = config_of(tmp_path / "F5TTS_v1_Base")
    assert (config.variant, config.text_mask_padding, config.rotates) == ("v0", False, "first")
    assert config.tokenizer == "char"


def test_yaml_of_neither(tmp_path):
    save(tmp_path / "mine", "flat", TINY)
    write_yaml(tmp_path / "mine", ARCH | {"pe_attn_head": 1, "text_embedding_average_upsampling": True})
    config = config_of(tmp_path / "mine")
    assert (config.variant, config.rotates, config.text_average_upsampling) == ("custom", "first", True)


@pytest.mark.parametrize(
    ("arch", "model", "message"),
    [
        ({"dim": 64}, {}, "dim is 64, of the tensors 32"),
        ({"depth": 22, "heads": 16}, {}, "depth is 22, of the tensors 2"),
        ({"pe_attn_head": 4}, {}, "pe_attn_head is 4; supported: 1, null"),
        ({}, {"backbone": "UNetT"}, "backbone is 'UNetT', of the tensors DiT"),
        ({}, {"mel_spec": {"mel_spec_type": "bigvgan"}}, "BigVGAN's, for a vocoder of 67 times the work of Vocos"),
        ({"text_mask_padding": "maybe"}, {}, "text_mask_padding must be a bool"),
    ],
)
def test_yaml_that_does_not_fit(arch, model, message, tmp_path):
    path = save(tmp_path / "mine", "flat", TINY)
    write_yaml(tmp_path / "mine", ARCH | arch, **model)
    with pytest.raises(FormatError, match=message):
        config_of(path)


def test_bigvgan_is_refused_by_name(tmp_path):
    path = save(tmp_path / "F5TTS_Base_bigvgan", "flat", TINY)
    with pytest.raises(FormatError, match=r"BigVGAN's.*not ported; the models with Vocos"):
        config_of(path)


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        (VOCAB + "extra\n", r"vocab.txt has 41 entries, the model's table 40 \(and one for the filler\)"),
        (VOCAB.replace("b\n", "a\n", 1), "vocab.txt has 39 entries, the model's table 40"),
        (None, "there is no vocab.txt beside the model, whose table has 40 entries"),
    ],
)
def test_vocabulary_of_another_model(vocab, message, tmp_path):
    path = save(tmp_path / "F5TTS_Base", "flat", TINY, vocab)
    with pytest.raises(FormatError, match=message):
        config_of(path)


def test_a_release_without_vocabulary_has_the_package_s(monkeypatch, tmp_path):
    from pytorch_to_mlx.models.f5tts import release as module

    entries = " \n" + "".join(f"{i}\n" for i in range(2544))
    (tmp_path / "vocab.txt").write_text(entries)
    monkeypatch.setattr(module, "find", lambda name: {"f5-vocab": tmp_path}[name])
    path = save(tmp_path / "F5TTS_Base", "flat", replace(TINY, vocab_size=2545), None)
    with open_release(path) as checkpoint:
        assert checkpoint.config["vocab_size"] == 2545
        assert "there is no vocab.txt beside it; that of the package f5-tts is taken" in checkpoint.notes
    assert load_networks(path)[1] == entries.encode()
    folder = convert(path, tmp_path / "mlx")
    assert (folder / "vocab.txt").read_text() == entries
    (folder / "vocab.txt").unlink()
    assert load_networks(folder)[1] == entries.encode()


def test_where_the_package_is_missing_it_is_named(monkeypatch, tmp_path):
    from importlib import metadata

    monkeypatch.setenv("PYTORCH_TO_MLX_CACHE", str(tmp_path / "cache"))

    def missing(package):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    path = save(tmp_path / "F5TTS_Base", "flat", replace(TINY, vocab_size=2545), None)
    with pytest.raises(FormatError, match=r"of its release there, or run: pip install --no-deps f5-tts==1\.1\.22"):
        config_of(path)


def test_vocabulary_without_a_last_line_break_and_with_crlf(tmp_path):
    for i, vocab in enumerate((VOCAB.removesuffix("\n"), VOCAB.replace("\n", "\r\n"))):
        assert config_of(save(tmp_path / str(i) / "F5TTS_Base", "flat", TINY, vocab)).vocab_size == 40


def test_release_of_several_models(tmp_path):
    save(tmp_path / "F5TTS_v1_Base", "released", TINY)
    assert is_release(tmp_path) and config_of(tmp_path) == TINY
    save(tmp_path / "F5TTS_Base", "released", TINY)
    with pytest.raises(FormatError, match=r"2 models in one folder.*name one of them"):
        config_of(tmp_path)
    assert config_of(tmp_path / "F5TTS_Base").variant == "v0"


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("transformer.transformer_blocks.0.attn_norm_c.linear.weight", (4, 4), "an MMDiT"),
        ("transformer.proj_out.weight", (80, 32), "a model for mels of 80 bands, not 100"),
        ("transformer.proj_out.weight", (3,), "not a checkpoint of F5-TTS or E2-TTS"),
        ("transformer.time_embed.extra", (3,), "1 checkpoint tensor"),
        ("transformer.rotary_embed.inv_freq", (32,), "its rotary frequencies are not those of the original"),
    ],
)
def test_other_networks(name, shape, message, tmp_path):
    folder = tmp_path / "F5TTS_Base"
    save(folder, "flat", TINY)
    torch.save(original_state(TINY) | {name: torch.zeros(shape)}, folder / "model_last.pt")
    with pytest.raises(FormatError, match=message):
        load_networks(folder)


def test_conversion_asks_for_the_variant_and_records_it(tmp_path):
    source, folder = save(tmp_path / "mine", "training", TINY), tmp_path / "mlx"
    with pytest.raises(FormatError, match="nothing says whether this is v0 or v1"):
        convert(source, folder)
    assert not folder.exists()
    convert(source, folder, variant="v0")
    model, vocab = load_networks(folder)
    assert (model.config.variant, model.config.rotates, vocab) == ("v0", "first", VOCAB.encode())
    weights, expected = dict(tree_flatten(model.parameters())), expected_weights(TINY)
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)
    with pytest.raises(UsageError, match="a converted folder says which variant it is"):
        convert(folder, tmp_path / "again", variant="v1")
    with pytest.raises(UsageError, match="f5-tts has no variant 'v2'; variants: v0, v1"):
        convert(source, tmp_path / "other", variant="v2")


@pytest.mark.parametrize("options", [{"q_bits": 8}, {"q_bits": 4}, {"dtype": "float16"}, {"dtype": "bfloat16"}])
def test_smaller_weights_sound_alike(options, tmp_path):
    source = save(tmp_path / "F5TTS_v1_Base", "released", TINY)
    small, _ = load_networks(
        convert(source, tmp_path / "small", **options, **({"q_group_size": 32} if "q_bits" in options else {}))
    )
    cond = mx.array(reference_mel())
    mel, exact = (model.sample(cond, [1, 2, 3], 31, steps=4) for model in (small, load_networks(source)[0]))
    distance = float(mx.abs(mel - exact).max() / mx.abs(exact).max())
    assert 0 < distance < {"q_bits": 0.3 if options.get("q_bits") == 4 else 0.03, "dtype": 0.02}[next(iter(options))]


def test_release_of_e2_by_the_command_line(tmp_path):
    source, folder = save(tmp_path / "E2TTS_Base", "pruned", tiny_e2()), tmp_path / "e2"
    done = run("f5-tts", "convert", "--hf-path", source, "--mlx-path", folder)
    assert done.returncode == 0, done.stderr
    assert load_networks(folder)[0].config == tiny_e2()
    mine = save(tmp_path / "mine", "flat", TINY)
    asked = run("f5-tts", "convert", "--hf-path", mine, "--mlx-path", tmp_path / "x")
    assert asked.returncode == 4 and b"--variant v0" in asked.stderr
