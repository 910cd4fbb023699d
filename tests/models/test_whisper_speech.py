"""Whisper on what is speech only, and on many windows at once: real speech, real weights."""

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.audio.examples import speech
from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.decoding import DecodingOptions, decode
from pytorch_to_mlx.models.whisper.model import Model
from pytorch_to_mlx.models.whisper.speech_only import SpeechOnly, speech_windows
from pytorch_to_mlx.models.whisper.tokenizer import Tokenizer
from pytorch_to_mlx.tasks import Segment, Span, Word

TEXT = " Go forward 10 meters."


@pytest.fixture(scope="module")
def tiny_en():
    return load("packaged:whisper-tiny.en")


@pytest.fixture(scope="module")
def sparse():
    """Three sentences in a minute: at 4 s, 24.6 s and 45.2 s."""
    pause = np.zeros(4 * 16000, np.float32)
    sentence = speech()
    gap = np.zeros(18 * 16000, np.float32)
    return np.concatenate([pause, sentence, gap, sentence, gap, sentence, pause]), len(sentence) / 16000


def test_times_are_those_of_the_recording():
    samples = np.arange(100, dtype=np.float32)
    speech = SpeechOnly(samples, [Span(1.0, 3.0), Span(6.0, 7.0)], 10)
    assert speech.samples.tolist() == [*range(10, 30), *range(60, 70)]
    assert [speech.time(t) for t in (0, 1.9, 2.0, 2.5, 3.0)] == [1.0, 2.9, 6.0, 6.5, 7.0]
    assert [speech.time(t, is_end=True) for t in (2.0, 2.1, 3.0)] == [3.0, 6.1, 7.0]
    words = (Word(" a", 1.5, 2.1), Word(" b", 2.05, 2.4))
    moved = speech.segment(Segment(" a b", 1.5, 2.4, words=words))
    assert [(w.start_s, w.end_s) for w in moved.words] == [(2.5, 3.1), (6.05, 6.4)]
    assert (moved.start_s, moved.end_s) == (2.5, 6.4)
    assert len(SpeechOnly(samples, [], 10).samples) == 0


def test_windows_join_neighbours():
    spans = [Span(0, 10), Span(11, 20), Span(22, 31), Span(40, 70), Span(71, 80)]
    assert speech_windows(spans, 30.0) == [Span(0, 20), Span(22, 31), Span(40, 70), Span(71, 80)]


def test_silence_is_left_out_and_times_stay(tiny_en, sparse):
    samples, length = sparse
    found = tiny_en.transcribe(samples, vad_filter=True, word_timestamps=True, temperature=0.0)
    words = [w for s in found.segments for w in s.words]
    assert found.text.count("forward") == 3 and len(words) == 12
    for number, start in enumerate((4, 4 + length + 18, 4 + 2 * (length + 18))):
        own = words[4 * number : 4 * number + 4]
        assert start - 0.1 < own[0].start_s < own[-1].end_s < start + length + 0.1, own


@pytest.mark.parametrize("options", [{}, {"beam_size": 3}, {"word_timestamps": True}], ids=str)
def test_windows_at_once_are_windows_one_by_one(tiny_en, sparse, options):
    samples, length = sparse
    one = list(tiny_en.segments(samples, batch_size=2, temperature=0.0, **options))
    clips = [(4 + n * (length + 18) - 0.4, 4 + n * (length + 18) + length + 0.4) for n in range(3)]
    assert [segment.text for segment in one] == [TEXT] * 3
    for segment, (start, end) in zip(one, clips, strict=True):
        assert start <= segment.start_s < segment.end_s <= end + 0.1
        assert not options.get("word_timestamps") or segment.words[0].text == " Go"


@pytest.mark.parametrize("options", [{}, {"beam_size": 3}, {"temperature": 3.0, "best_of": 2}], ids=str)
def test_a_batch_decodes_as_its_windows_do(options):
    """Windows end at different steps and leave the batch; the others must not notice."""
    config = Config.tiny()
    mx.random.seed(3)
    model = Model(config)
    model.update({"decoder": {"positional_embedding": mx.random.normal((config.n_text_ctx, config.n_text_state))}})
    ends = mx.where(mx.arange(config.n_vocab)[:, None] == Tokenizer(True).eot, 4.0, 1.0)  # a text of random length
    model.decoder.token_embedding.weight = model.decoder.token_embedding.weight * ends
    audio = 3 * mx.random.normal((5, config.n_audio_ctx, config.n_audio_state))
    given = DecodingOptions(language="en", suppress_blank=False, without_timestamps=True, **options)
    whole = decode(model, Tokenizer(True), audio, given, np.random.default_rng(0))
    if "temperature" in options:  # the noise is drawn in another order
        again = decode(model, Tokenizer(True), audio, given, np.random.default_rng(0))
        assert [r.tokens for r in whole] == [r.tokens for r in again]
        return
    single = [decode(model, Tokenizer(True), audio[n : n + 1], given)[0] for n in range(5)]
    assert [r.tokens for r in whole] == [r.tokens for r in single] and len({len(r.tokens) for r in whole}) > 2
    assert [r.avg_logprob for r in whole] == pytest.approx([r.avg_logprob for r in single], abs=1e-4)


def test_nothing_but_silence_is_no_text(tiny_en):
    for options in ({"vad_filter": True}, {"batch_size": 4}):
        found = tiny_en.transcribe(np.zeros(40 * 16000, np.float32), **options)
        assert found.text == "" and found.segments == ()


@pytest.mark.parametrize(
    "options",
    [
        {"vad_filter": True, "clip_timestamps": (1.0, 2.0)},
        {"batch_size": 0},
        {"batch_size": 2, "word_timestamps": True, "hallucination_silence_threshold": 1.0},
    ],
    ids=str,
)
def test_options_that_contradict_each_other_are_refused(tiny_en, options):
    with pytest.raises(UsageError):
        tiny_en.segments(speech(), **options)
