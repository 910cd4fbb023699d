"""ADDING_A_MODEL.md, done: its code blocks become a family, and every step of the page runs."""

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np

from pytorch_to_mlx import registry
from pytorch_to_mlx.cli import main

PAGE = Path(__file__).parent.parent / "ADDING_A_MODEL.md"


def steps() -> list[list[str]]:
    """The command lines of the page's last section."""
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


def test_every_step_runs(tone, monkeypatch, capsys):
    for words in steps():
        if words[0] == "benchmark":  # its other processes would not find the family in this folder
            words += ["--no-fresh", "--runs", "1"]
        monkeypatch.setattr(sys, "argv", ["pytorch-to-mlx", *words])
        assert main(words) == 0, (words, capsys.readouterr())
    out = capsys.readouterr().out
    assert "pass" in out and "real-time factor" in out


def test_verb_of_the_family(tone, capsys):
    import soundfile

    assert main(["tone", "convert", "--hf-path", "tonenet", "--output", "m"]) == 0
    soundfile.write("a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 4000), 16000)
    capsys.readouterr()
    assert main(["tone", "classify", "a.wav", "--model", "m", "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["tone"] < 12


def test_wrong_weights_are_found_at_the_first_tap(tone, capsys):
    """validate can fail: another norm diverges at `frames`, with exit code 5."""
    assert main(["convert", "tonenet", "--mlx-path", "m"]) == 0
    weights = mx.load("m/model.safetensors")
    weights["norm.weight"] = weights["norm.weight"] * 1.001
    mx.save_safetensors("m/model.safetensors", weights, {"format": "mlx"})
    capsys.readouterr()
    assert main(["validate", "tonenet", "--mlx-path", "m"]) == 5
    assert "differs from PyTorch first at tap 'frames'" in capsys.readouterr().err
    weights["norm.weight"] = weights["norm.weight"] / 1.001  # all taps agree, but it is another file
    mx.save_safetensors("m/model.safetensors", weights, {"format": "mlx"})
    assert main(["validate", "tonenet", "--mlx-path", "m"]) == 5
    assert "not as the conversion wrote" in capsys.readouterr().err


def test_it_is_a_family_like_every_other(tone, tmp_path):
    """The free tests of tests/test_every_model.py on the page's family."""
    import test_every_model as free

    spec = importlib.util.spec_from_file_location("test_tone", tone / "tests" / "models" / "test_tone.py")
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    config, model = registry.family("tone").config.tiny(), free.build("tone")
    single, both = model(**tests.tiny_inputs(config)), model(**tests.tiny_inputs(config, batch=2))
    np.testing.assert_allclose(np.array(both[1:]), np.array(single), rtol=1e-5, atol=1e-6)
    free.test_config_is_read_back("tone")
    free.test_card_says_enough("tone")
    weights = {name: mx.random.normal(p.shape) for name, p in free.flat(model).items()}
    free.test_laws_of_the_weight_map("tone", weights)
    free.test_unmatched_tensor_names_the_file_of_the_rules("tone")
    free.test_write_and_load("tone", weights, tmp_path)
    free.test_quantize_and_rebuild("tone", weights)
