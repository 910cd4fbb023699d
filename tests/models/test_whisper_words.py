"""Word times in segments, and which words look hallucinated: values worked out by hand from openai-whisper's rules."""

import pytest

from pytorch_to_mlx.models.whisper.timing import WordTime
from pytorch_to_mlx.models.whisper.words import add_words, hallucinated_from, is_anomaly, word_anomaly
from pytorch_to_mlx.tasks import Segment, Word

EOT = 100


def word_times(*spans):
    """Words of one token each, with the ids 1, 2, …"""
    return [WordTime(f" {n}", (n,), start, end, 0.9) for n, (start, end) in enumerate(spans, 1)]


def times(segment):
    return [(word.start_s, word.end_s) for word in segment.words]


def test_words_go_to_the_segments_of_their_tokens():
    segments = [Segment(" a b", 10.0, 12.0, tokens=(200, 1, 2, 201)), Segment(" c", 12.0, 14.0, tokens=(201, 3, 202))]
    words = [
        WordTime(" a", (1,), 0.0, 0.3, 0.9),
        WordTime(" b", (2,), 0.3, 0.6, 0.9),
        WordTime(" c", (3,), 0.6, 1.0, 0.9),
    ]
    first, second = add_words(segments, words, eot=EOT, offset_s=10.0, last_speech_s=10.0)
    assert times(first) == [(10.0, 10.3), (10.3, 10.6)] and times(second) == [(10.6, 11.0)]
    assert (first.start_s, first.end_s) == (10.0, 10.6), "a segment takes the times of its words"


def test_a_word_that_spans_the_pause_before_it_is_shortened():
    """Words last 0.3 s; the first one may last 0.6 s."""
    words = [
        WordTime(" a", (1,), 0.0, 3.0, 0.9),
        WordTime(" b", (2,), 3.0, 3.3, 0.9),
        WordTime(" c", (3,), 3.3, 3.6, 0.9),
    ]
    (segment,) = add_words([Segment(" a b c", 0.0, 5.0, tokens=(1, 2, 3))], words, eot=EOT, offset_s=0, last_speech_s=0)
    assert times(segment) == [(pytest.approx(2.4), 3.0), (3.0, 3.3), (3.3, 3.6)]
    assert segment.start_s == pytest.approx(2.4)


@pytest.mark.parametrize(
    ("word", "score"),
    [
        (Word("fine", 0.0, 0.5, 0.9), 0.0),
        (Word("improbable", 0.0, 0.5, 0.1), 1.0),
        (Word("short", 0.0, 0.033, 0.1), 2.5),
        (Word("long", 0.0, 3.0, 0.9), 1.0),
    ],
    ids=lambda value: getattr(value, "text", ""),
)
def test_anomaly_of_a_word(word, score):
    assert word_anomaly(word) == pytest.approx(score)


def segment(start_s, end_s, probability=0.9):
    return Segment(" x", start_s, end_s, words=(Word(" x", start_s, end_s, probability),))


def test_punctuation_does_not_count_as_a_word():
    comma = Word(",", 0.0, 0.01, 0.0)
    assert not is_anomaly(Segment(" x,", 0, 1, words=(Word(" x", 0, 0.5, 0.9), comma, comma)))
    assert not is_anomaly(None) and not is_anomaly(Segment("", 0, 1))


@pytest.mark.parametrize(("next_start_s", "expected"), [(20.0, 1), (10.5, None)], ids=["silence after", "speech after"])
def test_a_hallucination_stands_between_silences(next_start_s, expected):
    segments = [segment(0.0, 1.0), segment(10.0, 10.03, 0.1), segment(next_start_s, next_start_s + 1)]
    window = {"window_start_s": 0.0, "window_end_s": 30.0, "content_end_s": 30.0}
    assert hallucinated_from(segments, threshold_s=2.0, last_speech_s=0.0, **window) == expected
