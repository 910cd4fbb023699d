"""Sentences, placeholders and subtitles: what is cut can be put together again."""

import random
import re
import time

import pytest

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.text.placeholders import around, came_through, placeholders
from pytorch_to_mlx.text.sentences import Part, fit, is_long_word, repeats, split_sentences
from pytorch_to_mlx.text.srt import balanced, read_srt


def sentences(text, **options):
    parts = split_sentences(text, **options)
    assert "".join(part.text for part in parts) == text
    return [part.text for part in parts if part.is_sentence]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("One!\n\n  Two...  Three", ["One!", "Two...", "Three"]),
        ("Mr. Smith met Dr. Jones.", ["Mr. Smith met Dr. Jones."]),
        ("It was J. R. R. Tolkien. He wrote.", ["It was J. R. R. Tolkien.", "He wrote."]),
        ("See No. 5 and p. 12. Then go.", ["See No. 5 and p. 12.", "Then go."]),
        ("O art. 5 diz isso. A Sra. Silva sabe.", ["O art. 5 diz isso.", "A Sra. Silva sabe."]),
        ("I said no. 5 people left.", ["I said no. 5 people left."]),  # cannot be known
        ("Pi is 3.14. e.g. this one.", ["Pi is 3.14. e.g. this one."]),
        ('"Really?" she asked. "Yes."', ['"Really?" she asked.', '"Yes."']),
        ("Wait... what? Yes!", ["Wait... what?", "Yes!"]),
        ("これは文です。次の文！終わり", ["これは文です。", "次の文！", "終わり"]),
        ("यह है। वह था।", ["यह है।", "वह था।"]),
        ("كيف حالك؟ بخير.", ["كيف حالك؟", "بخير."]),
        ("www.example.com is it", ["www.example.com is it"]),
        ("--- 12 ---\n* item", ["* item"]),
        ("a\r\nb\u2028c", ["a", "b", "c"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


def test_whole_lines():
    assert sentences("One. Two.\n\n  Three. ", whole_lines=True) == ["One. Two.", "Three."]


def test_nothing_is_lost():
    """2,000 random texts of sentence marks, white space, letters and odd characters."""
    dice = random.Random(0)
    alphabet = [
        "a",
        "B",
        "é",
        " ",
        "  ",
        "\n",
        "\r\n",
        ".",
        "...",
        "!",
        "?",
        "。",
        "；",
        '"',
        ")",
        "1",
        "Mr.",
        "\u2028",
        "😀",
        "\x00",
    ]
    for _ in range(2000):
        text = "".join(dice.choices(alphabet, k=dice.randrange(40)))
        for part in sentences(text):
            assert part == part.strip() and re.search(r"[^\W\d_]", part)


def words(text):
    return len(text.split())


def test_long_sentences_are_cut_to_fit():
    text = "one two three four, five six seven; eight nine ten eleven twelve thirteen"
    parts = fit(text, words, 4)
    assert "".join(part.text for part in parts) == text
    assert all(words(part.text) <= 4 for part in parts if part.is_sentence)
    assert parts[0] == Part("one two three four,", True)


def test_a_hundred_thousand_characters_without_a_break():
    parts = fit("x" * 100_000, len, 128)
    assert "".join(part.text for part in parts) == "x" * 100_000 and max(len(part.text) for part in parts) <= 128


@pytest.mark.parametrize(
    ("tokens", "source", "expected"),
    [
        ([1, 2, 3, 4], [], False),
        ([5, 5, 5], [], False),
        ([5, 5, 5, 5], [], True),
        ([1, 7, 8, 9, 7, 8, 9], [], False),
        ([1, 7, 8, 9, 7, 8, 9, 7, 8, 9], [], True),
        ([6, 6, 6, 6, 6], [3, 3, 3, 3], False),  # the source laughs too
        (list(range(12)) * 3, [], True),
        (list(range(13)) * 3, [], False),
        ([], [], False),
    ],
)
def test_loops(tokens, source, expected):
    assert repeats(tokens, source) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi {{name}}, {0} and ${total}", ["{{name}}", "{0}", "${total}"]),
        ("%s of %d and %(name)s or %1$s, %.2f", ["%s", "%d", "%(name)s", "%1$s", "%.2f"]),
        ('<b>bold</b><br/><a href="x">', ["<b>", "</b>", "<br/>", '<a href="x">']),
        ("a &amp; b &#39;", ["&amp;", "&#39;"]),
        ("50% sure, 100 % safe, a < b > c, 5 & 6", []),
        ("{ not one } { }", []),
    ],
)
def test_placeholders(text, expected):
    assert list(placeholders(text).elements()) == expected


def test_whether_placeholders_came_through():
    assert came_through("Hi {{name}} {{name}}", "{{name}}, olá {{name}}")
    assert not came_through("Hi {{name}}", "Olá {{nome}}")
    assert not came_through("Hi {{name}}", "{{name}} {{name}}")
    assert came_through("Hi", "Olá %s")  # what the source lacks is not looked for


def test_around_placeholders():
    parts = around("Hi {{name}}, welcome to <b>Rio</b>!", lambda text: [Part(text, True)])
    assert "".join(part.text for part in parts) == "Hi {{name}}, welcome to <b>Rio</b>!"
    assert [part.text for part in parts if part.is_sentence] == ["Hi", ", welcome to", "Rio"]


SRT = """1
00:00:01,000 --> 00:00:02,000
Hello there,
my friend.

2
00:00:03,000 --> 00:00:04,000 X1:40
Bye


3
00:00:05,000 --> 00:00:06,000

"""


def test_subtitles():
    cues = read_srt(SRT, where="a.srt")
    assert [cue.text() for cue in cues] == ["Hello there, my friend.", "Bye", ""]
    assert "".join(cue.head + "\n".join(cue.lines) + cue.end for cue in cues) == SRT
    assert cues[0].filled("Olá, meu caro amigo.").splitlines()[2:] == ["Olá, meu", "caro amigo.", ""]
    assert "".join(c.head + "\n".join(c.lines) + c.end for c in read_srt(SRT.rstrip("\n"), where="a")) == SRT.rstrip(
        "\n"
    )


def test_no_subtitles():
    with pytest.raises(FormatError, match=r"a\.srt: a subtitle without times: 'Hello'"):
        read_srt("Hello\nthere\n", where="a.srt")
    assert read_srt("", where="a.srt") == []


def test_balanced_lines():
    assert balanced("one two three four five six seven", 3) == ["one two three", "four five six", "seven"]
    assert balanced("word", 2) == ["word"] and balanced("one two", 1) == ["one two"]


def test_what_is_too_long_for_a_word_stays():
    """A key of 600 characters amid a sentence; Thai and Japanese have no spaces, and stay sentences."""
    key = "aB3-" * 150
    parts = split_sentences(f"The key {key} is new.\n{'กขค' * 200}\n{'かな' * 300}")
    assert [part.text for part in parts if is_long_word(part)] == [key]
    assert [part.text for part in parts if part.is_sentence] == ["The key", "is new.", "กขค" * 200, "かな" * 300]
    assert not is_long_word(Part("-" * 600, False)) and not is_long_word(Part(key, True))


@pytest.mark.parametrize(
    "text", ["a" + "." * 200_000 + "b", "a" * 200_000 + "! b", "e.g. " * 40_000, "x, y. " * 40_000]
)
def test_time_grows_with_the_text(text):
    started = time.process_time()
    assert "".join(part.text for part in split_sentences(text)) == text
    assert time.process_time() - started < 5
