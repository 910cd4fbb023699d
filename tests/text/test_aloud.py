import sys

import pytest

from pytorch_to_mlx.errors import MissingExtraError
from pytorch_to_mlx.text.aloud import guess_language, read_aloud


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("I paid $5 at 7am, 3.14 times.", "I paid five dollars at seven AM, three point one four times."),
        ("On the 21st of May 2024 at 7:30.", "On the twenty-first of May twenty twenty-four at seven thirty."),
        ("The 1990s and the '80s.", "The nineteen nineties and the eighties."),
        (
            "R&B, MP3, agent 007, 1,250 men",
            "R and B, MP three, agent zero zero seven, one thousand two hundred fifty men",
        ),
        ("2 + 2 = 4; 50% off", "two plus two equals four; fifty percent off"),
        ("10 men, Привет 5", "ten men, Привет five"),
        ("Nothing to change — “really”?", "Nothing to change — “really”?"),
    ],
)
def test_english_has_no_digits_left(written, said):
    assert read_aloud(written, "en", extra="f5-tts") == said


def test_chinese_keeps_forced_readings():
    said = read_aloud("我有2个重(chong2)庆的5%，10:30。", "zh", extra="f5-tts-zh")
    assert said == "我有两个重(chong2)庆的百分之五，十点三十分。"


def test_another_language_stays_as_it_is():
    assert read_aloud("5 Äpfel", "none", extra="f5-tts") == "5 Äpfel"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello 5 times", "en"),
        ("A word such as café, in a sentence of more than fifty letters, is no matter at all.", "en"),
        ("Das ist schön und größer", "none"),
        ("Привет", "none"),
        ("今天 5", "zh"),
        ("日本語の5", "none"),
        ("12", "en"),
    ],
)
def test_the_language_is_guessed_from_the_letters(text, language):
    assert guess_language(text) == language


def test_a_missing_package_is_named(monkeypatch):
    from pytorch_to_mlx.text import wetext

    monkeypatch.setitem(sys.modules, "wetext", None)
    wetext._normalizer.cache_clear()
    with pytest.raises(MissingExtraError, match=r"wetext.*f5-tts-zh"):
        read_aloud("第5", "zh", extra="f5-tts-zh")


def test_a_missing_package_of_english_is_named_with_the_extra(monkeypatch):
    monkeypatch.setattr("pytorch_to_mlx.text.aloud.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="f5-tts"):
        read_aloud("5 apples", "en", extra="f5-tts")
