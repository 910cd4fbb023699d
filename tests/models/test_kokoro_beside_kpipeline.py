"""Our pipeline beside kokoro's KPipeline: one random KModel, saved as the release is, speaks the same texts in both."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from kpipeline import kpipeline_class

from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.kokoro import reference
from pytorch_to_mlx.models.kokoro.config import Config
from pytorch_to_mlx.models.kokoro.weights import PUBLISHED_CONFIG

TEXTS = [
    ("a", "Hello, world! This is PyTorch to MLX."),
    ("a", "It cost $12.50 on 3/4/2021; doesn't he know?\nA second paragraph, then: “quoted” (really)."),
    ("b", "The colour of water."),
    ("a", "The keeper walked along the shore every evening; he watched the waves, and waited. " * 8),
    ("e", "¿Hola, cómo estás? Tengo muchos libros en mi casa."),
    ("j", "こんにちは、世界。"),
    ("z", "你好，世界。"),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Ours, loaded from the files of a release, and a function that makes KPipelines on the same KModel."""
    folder = tmp_path_factory.mktemp("release")
    published = json.loads(PUBLISHED_CONFIG.read_text())
    tiny = Config.tiny()
    positions = replace(tiny.plbert, max_position_embeddings=512)
    vocoder = replace(tiny.istftnet, upsample_initial_channel=512)
    config = replace(
        tiny, hidden_dim=512, plbert=positions, istftnet=vocoder, n_token=published["n_token"],
        vocab=published["vocab"], decoder_dim=1024, decoder_residual_dim=64,
    )  # fmt: skip
    torch.manual_seed(0)
    model = reference.build(config)
    parts = {name: part.state_dict() for name, part in model.named_children()}
    released = {name: {f"module.{key}": value for key, value in part.items()} for name, part in parts.items()}
    torch.save(released, folder / "kokoro-v1_0.pth")
    sizes = {k: v for k, v in asdict(config).items() if k not in ("decoder_dim", "decoder_residual_dim")}
    (folder / "config.json").write_text(json.dumps(sizes))
    voices = {name: 0.3 * torch.randn(510, 1, 2 * config.style_dim) for name in ("af_one", "af_two")}
    (folder / "voices").mkdir()
    for name, voice in voices.items():
        torch.save(voice, folder / "voices" / f"{name}.pt")
    with kpipeline_class() as make:

        def original(code):
            pipeline = make(code, repo_id="hexgrad/Kokoro-82M", model=model)
            pipeline.voices = dict(voices)
            return pipeline

        yield load(folder), original


@pytest.mark.parametrize(("code", "text"), TEXTS)
def test_the_same_pieces_durations_and_word_times(both, code, text):
    ours, original = both
    expected = list(original(code)(text, voice="af_one"))
    found = list(ours.generate(text, voice="af_one", lang_code=code, text_frontend=False))
    assert [piece.phonemes for piece in found] == [result.phonemes for result in expected]
    assert [piece.text for piece in found] == [result.graphemes for result in expected]
    samples = ours.model.config.samples_per_frame
    assert [len(piece.audio) for piece in found] == [int(r.pred_dur.sum()) * samples for r in expected]
    for piece, result in zip(found, expected, strict=True):
        times = [
            (token.text, token.start_ts, token.end_ts)
            for token in result.tokens or []
            if token.phonemes.strip(' ;:,.!?—…"“”()')
        ]
        spoken = [(word.text, word.start_s - piece.start_s, word.end_s - piece.start_s) for word in piece.words]
        assert [word[0] for word in spoken] == [word[0] for word in times]
        np.testing.assert_allclose([word[1:] for word in spoken], [word[1:] for word in times], atol=1e-9)


@pytest.mark.parametrize("speed", [0.5, 1.3])
def test_speed_and_blend(both, speed):
    ours, original = both
    (expected,) = original("a")(TEXTS[0][1], voice="af_one,af_two", speed=speed)
    (found,) = ours.generate(TEXTS[0][1], voice="af_one,af_two", speed=speed, text_frontend=False)
    assert len(found.audio) == int(expected.pred_dur.sum()) * ours.model.config.samples_per_frame
