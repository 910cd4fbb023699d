"""The rules of a stream by hand; those of a recording are compared with silero-vad in test_vad.py."""

import pytest

from pytorch_to_mlx.models.vad.segments import Boundaries, VADOptions, speech_segments

RATE, CHUNK = 16000, 512


def boundaries(probabilities, **options):
    rules = Boundaries(RATE, VADOptions(**options))
    updates = [rules.update(number * CHUNK, p) for number, p in enumerate(probabilities)]
    return [(number, update) for number, update in enumerate(updates) if update is not None]


def test_start_and_end_are_padded():
    """30 ms are 480 samples; the silence from sample 1024 on is 100 ms long in the chunk at 3072."""
    assert boundaries([0.1, 0.9, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]) == [(1, ("start", 32)), (6, ("end", 1504))]
    assert boundaries([0.9]) == [(0, ("start", 0))], "nothing lies before the stream"


@pytest.mark.parametrize(
    ("middle", "expected"),
    [(0.6, [(0, "start")]), (0.4, [(0, "start"), (5, "end")])],
    ids=["speech resets the pause", "between the thresholds it goes on"],
)
def test_a_pause_ends_only_at_the_threshold(middle, expected):
    result = boundaries([0.9, 0.1, 0.1, middle, 0.1, 0.1])
    assert [(number, kind) for number, (kind, _) in result] == expected


def test_the_lower_threshold():
    assert VADOptions(threshold=0.5).lower == pytest.approx(0.35)
    assert VADOptions(threshold=0.1).lower == 0.01 and VADOptions(neg_threshold=0.2).lower == 0.2


def test_neighbours_share_a_short_silence():
    """Speech in chunks 0-9 and 14-23, 2048 samples apart, with a padding of 200 ms (3200 samples)."""
    probabilities = [0.9] * 10 + [0.1] * 4 + [0.9] * 10 + [0.1] * 30
    options = VADOptions(min_silence_duration_ms=30, speech_pad_ms=200)
    n_samples = len(probabilities) * CHUNK
    middle = (10 * CHUNK + 14 * CHUNK) // 2
    assert speech_segments(probabilities, n_samples, RATE, CHUNK, options) == [(0, middle), (middle, 24 * CHUNK + 3200)]
