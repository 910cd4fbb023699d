"""Windows of a recording: where their text is cut, when they are decoded again, what the next one is prompted with."""

from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.models.whisper import transcribe
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.decoding import DecodingOptions, DecodingResult
from pytorch_to_mlx.models.whisper.model import Model
from pytorch_to_mlx.models.whisper.tokenizer import Tokenizer
from pytorch_to_mlx.models.whisper.transcribe import Prompt, TranscribeOptions, Transcription, decode_with_fallback
from pytorch_to_mlx.tasks import Segment, Word

BEGIN = Tokenizer(True).timestamp_begin  # in the tiny model a timestamp step is 30 s / 20 = 1.5 s, 150 mel frames


def result(tokens=(), **changes):
    values = {"avg_logprob": -0.1, "no_speech_prob": 0.0, "temperature": 0.0, "compression_ratio": 1.0}
    return DecodingResult(tokens=tuple(tokens), text="", language="en", **{**values, **changes})


@pytest.fixture(scope="module")
def transcription():
    options = TranscribeOptions(decoding=DecodingOptions(language="en"))
    return Transcription(Model(Config.tiny()), Tokenizer(True), mx.zeros(16000), options)


@pytest.mark.parametrize(
    ("tokens", "expected", "next_seek"),
    [
        ((BEGIN, 1, BEGIN + 2, BEGIN + 2, 3, BEGIN + 4), [(1.0, 4.0), (4.0, 7.0)], 3100),
        ((BEGIN, 1, BEGIN + 2, BEGIN + 2, 3), [(1.0, 4.0)], 400),
        ((1, 2), [(1.0, 31.0)], 3100),
        ((1, 2, BEGIN + 6), [(1.0, 10.0)], 3100),
    ],
    ids=["closed", "open end", "no timestamps", "one timestamp"],
)
def test_tokens_are_cut_at_pairs_of_timestamps(transcription, tokens, expected, next_seek):
    segments, seek = transcription._segments(result(tokens), 100, 3000)
    assert [(segment.start_s, segment.end_s) for segment in segments] == expected and seek == next_seek


def test_no_time_lies_after_the_end_of_the_recording(transcription):
    """The model's timestamps go to 30 s, whatever it heard: here one second."""
    word = Word(" late", 0.9, 1.4)
    moved = transcription.restore(Segment(" late", 0.9, 29.98, words=(word,)))
    assert (moved.start_s, moved.end_s) == (0.9, 1.0) and moved.words == (Word(" late", 0.9, 1.0),)


def test_only_implausible_windows_are_decoded_again(monkeypatch):
    """The second window repeats itself until the temperature is 0.4; the third is silent, which is plausible."""
    calls = []

    def decode(model, tokenizer, audio, options, rng):
        windows = audio[:, 0, 0].tolist()
        calls.append((options.temperature, options.beam_size, options.best_of, windows))
        ratios = {1.0: 1.0, 2.0: 9.0 if options.temperature < 0.4 else 1.0, 3.0: 1.0}
        return [
            result((int(window),), temperature=options.temperature, compression_ratio=ratios[window],
                   avg_logprob=-2.0 if window == 3 else -0.1, no_speech_prob=0.9 if window == 3 else 0.0)
            for window in windows
        ]  # fmt: skip

    monkeypatch.setattr(transcribe, "decode", decode)
    options = TranscribeOptions(decoding=DecodingOptions(beam_size=5))
    results = decode_with_fallback(
        None, None, mx.array([1.0, 2.0, 3.0])[:, None, None], options, np.random.default_rng(0)
    )
    assert [(r.tokens, r.temperature) for r in results] == [((1,), 0.0), ((2,), 0.4), ((3,), 0.0)]
    assert calls == [(0.0, 5, None, [1.0, 2.0, 3.0]), (0.2, None, 5, [2.0]), (0.4, None, 5, [2.0])]


def prompt(**options):
    tokenizer = SimpleNamespace(encode=lambda text: [ord(c) for c in text.strip()])
    return Prompt(tokenizer, TranscribeOptions(**options), n_text_ctx=24)


def test_a_window_is_prompted_with_the_text_before_it():
    text = prompt(initial_prompt="ab")
    assert text.tokens() == (97, 98)
    text.add([Segment("", 0, 1, tokens=(1, 2)), Segment("", 1, 2, tokens=(3,))], result())
    assert text.tokens() == (97, 98, 1, 2, 3)


def test_text_of_a_high_temperature_is_not_a_prompt():
    text = prompt()
    text.add([Segment("", 0, 1, tokens=(1, 2))], result(temperature=0.8))
    assert text.tokens() == ()
    text.add([Segment("", 0, 1, tokens=(3,))], result())
    assert text.tokens() == (3,)


def test_hotwords_and_a_carried_prompt_stay_in_front():
    text = prompt(initial_prompt="ab", hotwords="c", condition_on_previous_text=False)
    assert text.tokens() == (97, 98, 32, 99)
    text = prompt(initial_prompt="ab", carry_initial_prompt=True)
    text.add([Segment("", 0, 1, tokens=tuple(range(20)))], result())
    assert text.tokens() == (97, 98, *range(11, 20)), "24 // 2 - 1 tokens in all"
