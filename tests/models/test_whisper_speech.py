"""Whisper on what is speech only, and on many windows at once: real speech, real weights."""

import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.audio.examples import speech
from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.whisper import batched
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.decoding import DecodingOptions, DecodingResult, decode
from pytorch_to_mlx.models.whisper.model import Model
from pytorch_to_mlx.models.whisper.speech_only import SpeechOnly
from pytorch_to_mlx.models.whisper.tokenizer import Tokenizer
from pytorch_to_mlx.models.whisper.transcribe import TranscribeOptions
from pytorch_to_mlx.tasks import Segment, Span, Word

LIBRIVOX = Path(__file__).parent.parent / "data" / "librivox"
TEXT = " Go forward 10 meters."
QUICK_S, FULL = (1, 4, 7, 15), pytest.mark.full


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


def clip(name: str) -> np.ndarray:
    return wav.read(LIBRIVOX / f"{name}.flac")[0].astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * 16000), np.float32)


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


def test_windows_hold_stretches_without_their_pauses():
    spans = [Span(0, 10), Span(12, 22), Span(27, 36), Span(37, 67), Span(69, 70), Span(76, 77)]
    joined = SpeechOnly(np.zeros(770, np.float32), spans, 10)
    assert joined.windows(30.0) == [Span(0, 29), Span(29, 59), Span(59, 61)]
    assert SpeechOnly(np.zeros(10, np.float32), [], 10).windows(30.0) == []


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ((0.4, 8.1), (7.2, 14.6)),  # its end lies a little after the seam: no speech of the next stretch is in it
        ((0.4, 7.8), (7.2, 14.6)),
        ((7.6, 14.0), (27.0, 33.2)),  # its start lies a little before the seam
        ((7.8, 14.0), (27.0, 33.2)),
        ((0.4, 9.0), (7.2, 28.2)),  # speech of both stretches
        ((7.5, 7.7), (14.3, 14.5)),
    ],
)
def test_a_segment_does_not_run_over_silence_that_was_cut_out(segment, expected):
    """Silence 6.8 s, speech until 14.6 s, silence, speech from 27 to 34.8 s. Joined, the seam is at 7.8 s."""
    joined = SpeechOnly(np.zeros(400, np.float32), [Span(6.8, 14.6), Span(27.0, 34.8)], 10)
    moved = joined.segment(Segment(" a", *segment))
    assert (moved.start_s, moved.end_s) == pytest.approx(expected)


def test_a_sentence_before_a_long_pause_ends_where_it_is_said(tiny_en):
    """7 s of silence, a sentence of 7.1 s, 13 s of silence, the sentence, 3 s of silence."""
    sentence = clip("0870")
    samples = np.concatenate([silence(7), sentence, silence(13), sentence, silence(3)])
    first, *_, last = tiny_en.transcribe(samples, vad_filter=True, temperature=0.0).segments
    assert 6.5 < first.start_s < first.end_s < 7 + 7.1 + 0.6
    assert 26.5 < last.start_s < last.end_s <= len(samples) / 16000


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
@pytest.mark.parametrize("pause_s", [s if s in QUICK_S else pytest.param(s, marks=FULL) for s in range(1, 16)])
def test_a_batch_hears_every_sentence_whatever_the_pauses(name, pause_s):
    """The right words are those of one window after the other."""
    model, pause = load(f"packaged:{name}"), silence(pause_s)
    samples = np.concatenate([clip("0880"), pause, clip("0870"), pause, clip("0920"), pause])
    one_by_one = model.transcribe(samples, vad_filter=True, temperature=0.0, language="en")
    batch = model.transcribe(samples, batch_size=4, temperature=0.0, language="en")
    words, expected = (re.findall(r"[a-z0-9']+", found.text.lower()) for found in (batch, one_by_one))
    assert words == expected and len(words) >= 44


def test_a_batch_decodes_on_where_text_stops(tiny_en, monkeypatch):
    """A window whose text ends early with a pair of timestamps is decoded again from there, and in order."""
    begin, calls = tiny_en.tokenizer.timestamp_begin, []
    texts = [[" one", " three", " four"], [" two"]]  # of the first round: three windows; of the second

    def decode(model, tokenizer, audio, options, rng):
        calls.append(audio.shape[0])
        words = texts[len(calls) - 1][: audio.shape[0]]
        ends = [(begin + 100, begin + 100)] if len(calls) == 1 else [(begin + 400,)]
        closed = (begin + 400,)
        return [
            DecodingResult(
                (begin, *tokenizer.encode(word), *(ends[0] if number == 0 else closed)), word, "en", -0.1, 0.0, 0.0, 1.0
            )
            for number, word in enumerate(words)
        ]

    monkeypatch.setattr(batched, "decode_with_fallback", decode)
    speech_only = SpeechOnly(np.zeros(90 * 16000, np.float32), [Span(0, 30), Span(30, 60), Span(60, 90)], 16000)
    options = TranscribeOptions(decoding=DecodingOptions(language="en"))
    heard = batched.BatchedTranscription(tiny_en.model, tiny_en.tokenizer, speech_only, options, 3)
    assert [segment.text for segment in heard] == [" one", " two", " three", " four"] and calls == [3, 1]


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


@pytest.mark.parametrize("options", [{}, {"vad_filter": True}, {"batch_size": 2}], ids=str)
def test_progress_is_in_seconds_of_the_recording(tiny_en, sparse, options):
    """The last window ends with the recording, or with its last speech: the third clip, which ends in some silence."""
    samples, length = sparse
    transcription, positions = tiny_en.segments(samples, temperature=0.0, **options), []
    transcription.when_moved = positions.append
    assert list(transcription) and positions and positions == sorted(positions)
    last_clip_s = 4 + 2 * (length + 18)
    if options:
        assert last_clip_s + 1 < positions[-1] < last_clip_s + length + 0.5
    else:
        assert abs(positions[-1] - len(samples) / 16000) < 0.01  # a frame of the mel


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
