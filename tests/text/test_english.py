"""Written English is said as its spelled-out sentence is; what means something else is left alone."""

from pathlib import Path

import pytest

from pytorch_to_mlx.text import phonemes
from pytorch_to_mlx.text.english.normalize import normalize
from pytorch_to_mlx.text.phonemes import phonemize
from pytorch_to_mlx.text.split import join

DATA = Path(__file__).parent / "data"
BRITISH = """
It is 50p now.	It is fifty pence now.
It costs £150.	It costs one hundred and fifty pounds.
It was 5/1/2024.	It was the fifth of January twenty twenty-four.
It was 2024-01-05.	It was the fifth of January twenty twenty-four.
Come on 25 December.	Come on the twenty-fifth of December.
Come on Dec. 25.	Come on December the twenty-fifth.
It is 5km off.	It is five kilometres off.
It holds 2 L.	It holds two litres.
It ends at 7.30pm.	It ends at seven thirty PM.
He owes -£5.	He owes minus five pounds.
"""


def forms():
    """Read tables of kinds: {kind: [(written, spelled out)]}. The spelled-out sentences were written by hand."""
    kinds, rows = {}, []
    for line in (DATA / "english_forms.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            rows = kinds.setdefault(line[2:], [])
        else:
            rows.append(tuple(line.split("\t")))
    return kinds


def said(text, code="a", *, normalized=True):
    return [join(tokens) for tokens in phonemize(text, code, normalized=normalized)]


@pytest.fixture(scope="module")
def misaki():
    pytest.importorskip("misaki.en", reason="English phonemes need the extra 'kokoro'")


@pytest.fixture
def lines(monkeypatch):
    """What is reported, line by line."""
    reported = []
    monkeypatch.setattr(phonemes, "note", reported.append)
    return reported


def test_there_are_two_hundred_forms():
    assert sum(map(len, forms().values())) >= 200


@pytest.mark.parametrize("kind", forms())
def test_written_forms_are_said_as_spelled_out(misaki, kind):
    """The right value: misaki's phonemes of the spelled-out sentence, without our rules."""
    rows = forms()[kind]
    expected = {written: said(spelled_out, normalized=False) for written, spelled_out in rows}
    assert {written: said(written) for written, _ in rows} == expected


def test_british_forms_are_said_as_spelled_out(misaki):
    rows = [line.split("\t") for line in BRITISH.strip().splitlines()]
    expected = {written: said(spelled_out, "b", normalized=False) for written, spelled_out in rows}
    assert {written: said(written, "b") for written, _ in rows} == expected


@pytest.mark.parametrize("british", [False, True])
def test_what_means_something_else_is_left_alone(british):
    """Scores, versions, names with numbers, telephone and flight numbers, hyphens, pronouns and what misaki says."""
    lines = (DATA / "english_left_alone.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 90
    assert [normalize(line, british=british).text for line in lines] == lines


@pytest.mark.parametrize(
    "text",
    [
        "He owes -$5, and it wasn’t 5'10\" tall.",
        "Now 😀, at 7am. The cafe\u0301 in 你好 here.",
        "😀 Hi “there” — it is 20 °C (or 1/2 of it)…",
        "Read pp. 12-15 on 2024-01-05; e.g. at home.",
    ],
)
def test_tokens_join_to_the_written_text(misaki, text):
    (tokens,) = phonemize(text, "a", normalized=True)
    assert "".join(token.text + " " * token.space for token in tokens) == text


def test_a_written_word_is_one_token(misaki):
    (tokens,) = phonemize("He owes -$5 at 7am, wasn’t it -5°C?", "a", normalized=True)
    words = {token.text: token.phonemes for token in tokens}
    assert words["-$5"] == said("minus five dollars")[0] and "-5°C" in words and "7am" in words and "wasn’t" in words


@pytest.mark.parametrize("code", ["a", "e"])
def test_lines_of_punctuation_are_left_out(misaki, code):
    assert said("...\n—\n\n* * *\nMi.", code) == said("Mi.", code)
    assert said("...", code) == []


def test_markup_stays(misaki):
    assert said("[Kokoro](/kˈOkəɹO/) at [7am](/sˈɛvən/).") == said(
        "[Kokoro](/kˈOkəɹO/) at [7am](/sˈɛvən/).", normalized=False
    )


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [("a", "I say 你好 and привет, 你好!", "你好 привет"), ("j", "Hello.", "Hello"), ("z", "我用Python。", "Python")],
)
def test_words_of_another_script_are_named_once(lines, code, text, words):
    list(phonemize(text, code, normalized=True))
    (line,) = lines
    assert line.endswith(f": {words}")


def test_words_of_the_own_script_are_not_named(misaki, lines):
    list(phonemize("Zoë naïve α 5 μm 😀 [x](/θ/)", "a", normalized=True))
    list(phonemize("cafe\u0301 ñandú", "e", normalized=True))
    assert lines == []


def test_other_languages_are_composed(misaki):
    assert said("cafe\u0301", "e") == said("café", "e")


def test_every_character_has_its_stretch():
    """What is said refers to all that is written, whatever the character (U+0000 to U+2FFF, and emoji)."""
    for start in (*range(0, 0x3000, 256), *range(0x1F300, 0x1FB00, 256)):
        characters = [chr(code) for code in range(start, start + 256)]
        for written in ("x " + " ".join(characters), "a" + "a".join(characters), "5" + "5".join(characters)):
            spoken = normalize(written)
            assert "".join(written[a:b] for a, b in spoken.stretches) == written


@pytest.mark.parametrize(
    "unit", [" ", "1", "-", "1-", "$1.5 ", "e\u0301", "😀 ", "1/2 ", "I V X ", "+1 (", "a@", "12:30 ", "你"]
)
def test_a_long_text_takes_linear_time(unit):
    """Quadratic rules took 0.9 s for 5,000 spaces; all of these take under 0.1 s on a free machine."""
    from time import process_time

    start = process_time()
    normalize((unit * 5000)[:5000])
    assert process_time() - start < 0.7
