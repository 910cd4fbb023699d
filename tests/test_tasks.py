"""The checks that models of a task share."""

import numpy as np
import pytest

from pytorch_to_mlx.errors import CheckError, UsageError
from pytorch_to_mlx.tasks import Candidate, Speech, TranslatedSentence, Translation, check_seed, check_speed


def test_checked_speech_is_float32():
    speech = Speech(np.array([0.5, -0.25]), 24000, "hi", start_s=1.0).checked()
    assert speech.audio.dtype == np.float32 and speech.audio.tolist() == [0.5, -0.25]
    assert (speech.sample_rate, speech.text, speech.start_s) == (24000, "hi", 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_audio_that_is_not_finite_is_refused(value):
    with pytest.raises(CheckError, match="the model made audio that is not finite; its weights are damaged"):
        Speech(np.array([0.0, value], np.float32), 24000).checked()


@pytest.mark.parametrize("speed", [0.24, 4.01, 0.0, -1.0, float("nan"), float("inf")])
def test_speeds_out_of_range(speed):
    with pytest.raises(UsageError, match=f"speed must be between 0.25 and 4.0, not {speed}"):
        check_speed(speed)


def test_speeds_in_range():
    for speed in (0.25, 1, 4.0):
        check_speed(speed)


@pytest.mark.parametrize(("seed", "bits"), [(-1, 64), (2**64, 64), (2**32, 32)])
def test_seeds_out_of_range(seed, bits):
    with pytest.raises(UsageError, match=rf"seed must be between 0 and 2\*\*{bits} - 1, not {seed}"):
        check_seed(seed, bits)


def test_seeds_in_range():
    for seed, bits in ((0, 32), (2**32 - 1, 32), (2**32, 64), (2**64 - 1, 64)):
        check_seed(seed, bits)


def translation(*sentences: TranslatedSentence) -> Translation:
    return Translation("".join(s.text for s in sentences), "a b", "en", "pt", sentences)


def test_a_translation_says_what_became_of_its_sentences():
    done = TranslatedSentence("a", (Candidate("x", -1.0, -2.0, (5, 6)), Candidate("y", -1.5, -3.0, (7,))), n_source=2)
    cut = TranslatedSentence("b", (Candidate("zzz", -9.0, -9.0, (8,) * 9, is_complete=False),), repeats=True)
    both = translation(done, TranslatedSentence(" "), cut)
    assert (both.text, both.repeats, both.is_complete) == ("x zzz", True, False)
    assert both.lines() == ("  -1.0000  x", "  -1.5000  y", "  -9.0000  zzz")
    report = both.to_dict()
    assert (report["src"], report["tgt"], report["repeats"], report["is_complete"]) == ("en", "pt", True, False)
    assert [s["tokens"] for s in report["sentences"]] == [[2, 2], [0, 9]]
    assert report["sentences"][0]["candidates"][1] == {"text": "y", "score": -1.5, "log_prob": -3.0}


def test_a_translation_is_printed_as_its_text():
    one = Translation(
        "x\n", "a\n", sentences=(TranslatedSentence("a", (Candidate("x", -1.0, -1.0),)), TranslatedSentence("\n"))
    )
    assert one.lines() == ("x",) and "src" not in one.to_dict() and one.is_complete and not one.repeats
