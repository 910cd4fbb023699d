"""The run-time suite: which modules it times, and the sides of one."""

import mlx.core as mx
import mlx.nn
import torch

from pytorch_to_mlx.bench.coverage import runtime


def test_the_suite_has_two_models_of_transformers_and_the_families_parts():
    assert sorted(runtime.parts()) == [
        "BERT base (2 x 9 tokens)",
        "Kokoro AdaINResBlock1 (3000 steps)",
        "Kokoro AdainResBlk1d (400 steps)",
        "Kokoro PL-BERT (120 phonemes)",
        "ViT-B/16 (2 images)",
        "Whisper base decoder (24 tokens)",
        "Whisper base encoder (30 s)",
    ]


def test_every_side_of_a_module_is_timed(monkeypatch):
    port, frames = mlx.nn.Linear(4, 3), mx.ones((2, 4))
    part = torch.nn.Linear(4, 3), (torch.randn(2, 4),), {}, lambda: port(frames)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # the other tests keep theirs
    monkeypatch.setattr(runtime, "parts", lambda: {"linear": lambda: part})
    case = runtime.measure_runtime("linear")
    assert case["ok"] and not case["reason"]
    assert list(case["milliseconds"]) == ["torch", "generated", "patched", "port"]
    assert all(0 < milliseconds < 1000 for milliseconds in case["milliseconds"].values())
