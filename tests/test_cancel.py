"""Work is stopped at its next evaluation, and is the same whether or not somebody could stop it."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.cancel import Cancelled, cancellable, check_cancelled, unless_cancelled
from pytorch_to_mlx.generate.flow import euler
from pytorch_to_mlx.generate.options import GenerationOptions
from pytorch_to_mlx.generate.search import generate
from pytorch_to_mlx.generate.steps import DecoderSteps
from pytorch_to_mlx.models.kokoro.config import Config as KokoroConfig
from pytorch_to_mlx.models.kokoro.model import Model as Kokoro
from pytorch_to_mlx.models.marian.config import Config as MarianConfig
from pytorch_to_mlx.models.marian.model import Model as Marian
from pytorch_to_mlx.models.whisper.config import Config as WhisperConfig
from pytorch_to_mlx.models.whisper.model import Model as Whisper
from pytorch_to_mlx.models.whisper.pipeline import WhisperPipeline


def test_nothing_is_stopped_where_nobody_can():
    check_cancelled()
    value = mx.ones(2) + 1
    assert unless_cancelled(value) is value


def test_only_the_block_is_stopped():
    with cancellable(lambda: True):
        with pytest.raises(Cancelled):
            check_cancelled()
        with cancellable(lambda: False):
            check_cancelled()
        with pytest.raises(Cancelled):
            unless_cancelled(mx.ones(2))
    check_cancelled()


def speak():
    config = KokoroConfig.tiny()
    model = Kokoro(config)
    ids, style = [0, *range(1, 27), 0], 0.1 * mx.ones((1, 2 * config.style_dim))
    return lambda: np.array(model(ids, style, key=mx.random.key(0)).audio)


def transcribe():
    pipeline = WhisperPipeline(Whisper(replace(WhisperConfig.tiny(), n_audio_ctx=1500)))
    return lambda: pipeline.transcribe(np.zeros(16_000, np.float32), language="en", temperature=0.0, sample_len=9).text


def translate():
    config = MarianConfig.tiny()
    model, options = Marian(config), GenerationOptions(eos=(config.eos_token_id,), num_beams=2, max_new_tokens=9)

    def run():
        steps = DecoderSteps(model, [[3, 4, 5, 0]], padding=config.pad_token_id)
        return [h.ids for h in generate(steps, [[3, 4, 5, 0]], options, prompts=[[5]], most=20)[0]]

    return run


def solve():
    return lambda: np.array(euler(lambda x, t, step: -x, mx.ones(3), [k / 8 for k in range(9)]))


@pytest.mark.parametrize(("build", "most_work"), [(speak, 0.2), (transcribe, 0.4), (translate, 0.4), (solve, 0.2)])
def test_work_is_stopped_between_evaluations(build, most_work):
    """At the first look and at the middle one; between two looks is `most_work` of the whole at most."""
    run = build()
    looks = []
    with cancellable(lambda: looks.append(1) or False):
        watched = run()
    assert np.array_equal(watched, run()) and 1 / len(looks) <= most_work
    for last in (1, len(looks) // 2):
        looks.clear()
        with cancellable(lambda last=last: looks.append(1) or len(looks) == last), pytest.raises(Cancelled):
            run()
        assert len(looks) == last
