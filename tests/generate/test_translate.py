"""Texts through a translator: a toy that spells words backwards, one character for each token."""

from dataclasses import replace

import numpy as np
import pytest

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.generate.options import GenerationOptions
from pytorch_to_mlx.generate.search import Steps
from pytorch_to_mlx.generate.translate import Engine, stream_text, translate_texts
from pytorch_to_mlx.progress import listening

EOS, START, V = 0, 1, 0x10000
LOOP = "loop"  # this word is said without end
LOSE = "{{lost}}"  # this placeholder does not come through


class ToySteps(Steps):
    """Gives the answer's next character a logit of 25, and x one of 24; the others get 0."""

    batches: list[int]

    def __init__(self, sources, batches):
        self.answers = [answer(source) for source in sources]
        self.rows = [[] for _ in sources]
        self.sentences = list(range(len(sources)))
        batches.append(len(sources))

    def step(self, tokens):
        self.rows = [[*row, int(t[-1])] for row, t in zip(self.rows, tokens, strict=True)]
        per = len(self.rows) // len(self.sentences)
        logits = np.zeros((len(self.rows), V), np.float32)
        for place, row in enumerate(self.rows):
            ids = [*self.answers[self.sentences[place // per]], EOS]
            logits[place, ord("x")] = 24
            logits[place, ids[min(len(row) - 1, len(ids) - 1)]] = 25
        return logits

    def select(self, sentences, rows):
        self.sentences = [self.sentences[n] for n in sentences]
        self.rows = [list(self.rows[n]) for n in rows]


def answer(source):
    text = "".join(map(chr, source[:-1]))
    if text == LOOP:
        return [ord(c) for c in "no " * 50]
    return [ord(c) for c in " ".join(w if "{{" in w else w[::-1] for w in text.replace(LOSE, "?").split(" "))]


@pytest.fixture
def engine():
    batches = []
    engine = Engine(
        encode=lambda text: [*map(ord, text), EOS],
        decode=lambda ids: "".join(map(chr, ids)),
        start=lambda sources: ToySteps(sources, batches),
        prompt=(START,),
        max_source=40,
        max_target=60,
        options=GenerationOptions(eos=(EOS,), max_length=60),
    )
    object.__setattr__(engine, "batches", batches)
    return engine


def translate(engine, text, **options):
    [result] = translate_texts(engine, [text], **options)
    return result


def test_all_that_lies_between_stays(engine):
    text = "  One two. Three!\n\n---\r\n\tFour\n"
    result = translate(engine, text)
    assert result.text == "  enO .owt !eerhT\n\n---\r\n\truoF\n" and result.source == text
    assert "".join(sentence.source for sentence in result.sentences) == text
    assert result.is_complete and not result.repeats


@pytest.mark.parametrize("text", ["", " \n ", "12 + 3 = 15", "..."])
def test_nothing_to_translate(engine, text):
    assert translate(engine, text).text == text and engine.batches == []


def test_without_splitting(engine):
    assert translate(engine, "Ab cd. Ef gh.\nIj", split=False).text == "bA .dc fE .hg\njI"


def test_batches_by_length(engine):
    """Seven sentences of two texts in batches of three; the results stand in the order of the texts."""
    results = translate_texts(engine, ["A. Bb. Ccc. Dddd.", "Eeeee. Ffffff. G."], batch_size=3)
    assert engine.batches == [3, 3, 1]
    assert [r.text for r in results] == [".A .bB .ccC .dddD", ".eeeeE .fffffF .G"]


def test_a_sentence_that_is_too_long_is_cut(engine):
    text = " ".join(f"word{n}" for n in range(60))
    result = translate(engine, text)
    assert result.text.split() == [w[::-1] for w in text.split()]
    assert all(s.n_source <= 40 for s in result.sentences)


def test_placeholders_come_through(engine):
    """{{kept}} is kept by the model; around {{lost}}, which is not, the text is cut and translated in parts."""
    assert translate(engine, "Hi {{kept}} you").text == "iH {{kept}} uoy"
    result = translate(engine, "Hi {{lost}} you. Bye")
    assert result.text == "iH {{lost}} .uoy eyB"


def test_loops_are_flagged(engine):
    notes = []

    class Listener:
        on_terminal = False
        note = staticmethod(notes.append)

    with listening(Listener()):
        result = translate(engine, LOOP)
    assert result.repeats and not result.is_complete
    assert any("words in a loop, first 'loop'" in text for text in notes) and any("cut off" in text for text in notes)
    assert result.to_dict()["repeats"] is True
    assert not translate(engine, LOOP, no_repeat_ngram_size=2).repeats


def test_n_best(engine):
    """Each of the others has one x in place of a character: its log probability is 1 lower."""
    result = translate(engine, "abc", n_best=3, length_penalty=0.0)
    [sentence] = result.sentences
    assert sentence.candidates[0].text == "cba" == result.text and len(sentence.candidates) == 3
    assert {c.text for c in sentence.candidates[1:]} <= {"xba", "cxa", "cbx", "cbax"}
    gap = sentence.candidates[0].log_prob - sentence.candidates[1].log_prob
    assert gap == pytest.approx(1.0, abs=1e-5)
    assert result.lines()[0] == f"{sentence.candidates[0].score:9.4f}  cba" and len(result.lines()) == 3


def test_sampling_repeats_with_its_seed(engine):
    runs = [translate(engine, "abcdefgh", temperature=2.0, seed=seed).text for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("options", [{}, {"beam_size": 3}])
@pytest.mark.parametrize("text", ["One two three. Four\nfive {{lost}} six!", "", "word"])
def test_streamed_pieces_are_the_text(engine, text, options):
    pieces = list(stream_text(engine, text, **options))
    assert "".join(pieces) == translate(engine, text, **options).text
    if text.startswith("One") and not options:
        assert pieces[:3] == ["enO", " owt", " .eerht"]


def test_max_tokens(engine):
    result = translate(engine, "abcdef", max_tokens=3)
    assert result.text == "fed" and not result.is_complete


def test_half_characters_are_replaced(engine):
    assert translate(engine, "a\ud800b").text == "b\ufffda"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"n_best": 0}, "n_best is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"beam_size": 0}, "beam_size is 0"),
        ({"beams": 3}, "unknown option 'beams'"),
    ],
)
def test_wrong_options(engine, options, word):
    with pytest.raises(UsageError, match=word):
        translate(engine, "a", **options)


def test_what_is_no_text(engine):
    with pytest.raises(UsageError, match="must be a string, not bytes"):
        translate_texts(engine, [b"a"])
    with pytest.raises(UsageError, match="10000001 characters"):
        translate(engine, "a" * 10_000_001)


def test_characters_that_the_model_does_not_know_are_told(engine):
    notes = []

    class Listener:
        on_terminal = False
        note = staticmethod(notes.append)

    limited = replace(engine, encode=lambda text: [*(ord(c) if c.isascii() else 1 for c in text), EOS], unknown=1)
    with listening(Listener()):
        result = translate(limited, "a 鬱 b")
        assert translate(limited, "a b").sentences[0].n_unknown == 0
    assert result.sentences[0].n_unknown == 1 and result.to_dict()["sentences"][0]["n_unknown"] == 1
    assert notes == ["warning: 1 place has characters that the model does not know, first in 'a 鬱 b'"]
