"""Metrics beside mir_eval, jiwer and scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn

from pytorch_to_mlx.heads import metrics

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "head_metrics.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["pitch"], ids=["0", "1"])
def test_pitch_is_mir_evals(case):
    reference, f0, voiced = (np.array(case[name]) for name in ("reference", "f0", "voiced"))
    counts = [
        metrics.pitch_counts(reference[part], f0[part], voiced[part] > 0) for part in (slice(90), slice(90, None))
    ]
    scores = metrics.pitch_scores(np.array(counts))
    for name, expected in case["scores"].items():
        assert scores[name] == pytest.approx(expected, abs=1e-9), name
    wrong = np.abs(f0 / np.where(reference > 0, reference, f0) - 1) > 0.2
    assert scores["gross_error"] == pytest.approx(wrong.sum() / (reference > 0).sum())


def test_frames_that_are_not_known_do_not_count():
    reference = np.array([np.nan, 100.0, 0.0])
    scores = metrics.pitch_scores(metrics.pitch_counts(reference, np.array([1.0, 100, 100]), np.array([True] * 3)))
    assert scores["raw_pitch_accuracy"] == scores["voicing_recall"] == scores["voicing_false_alarm"] == 1
    assert np.isnan(metrics.pitch_scores(np.zeros((1, 7)))["raw_pitch_accuracy"])


@pytest.mark.parametrize("case", GOLDEN["text"], ids=range(6))
def test_error_rates_are_jiwers(case):
    pairs = list(zip(case["reference"], case["answer"], strict=True))
    letters = [metrics.error_counts(reference, answer) for reference, answer in pairs]
    words = [metrics.error_counts(reference.split(), answer.split()) for reference, answer in pairs]
    assert metrics.error_rate(np.array(letters)) == pytest.approx(case["cer"], abs=1e-12)
    assert metrics.error_rate(np.array(words)) == pytest.approx(case["wer"], abs=1e-12)


def test_error_rates_of_nothing():
    assert np.isnan(metrics.error_rate(np.array([[3, 0]]))) and np.isnan(metrics.error_rate(np.zeros((0, 2))))


def test_phonemes_without_marks():
    assert metrics.plain_phonemes(["ˈp", "ɹ", "ˈ", "iː", " "]) == ["p", "ɹ", "i"]


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_scikit_learns(seed):
    random = np.random.default_rng(seed)
    reference = random.integers(0, 4, 60)
    answer = np.where(random.random(60) < 0.6, reference, random.integers(0, 4, 60))
    matrix = metrics.confusion(np.append(reference, -1), np.append(answer, 2), 5)
    assert np.array_equal(matrix, sklearn.confusion_matrix(reference, answer, labels=range(5)))
    expected = sklearn.f1_score(reference, answer, average="macro", labels=np.unique(reference))
    assert metrics.macro_f1(matrix) == pytest.approx(expected)
    assert metrics.balanced_accuracy(matrix) == pytest.approx(sklearn.balanced_accuracy_score(reference, answer))
    scores = random.integers(0, 10, 60) + 3 * (reference > 1)  # with ties
    assert metrics.roc_auc(reference > 1, scores) == pytest.approx(sklearn.roc_auc_score(reference > 1, scores))


def test_classes_of_nothing():
    empty = metrics.confusion(np.array([-1]), np.array([0]), 3)
    assert not empty.any() and np.isnan(metrics.macro_f1(empty)) and np.isnan(metrics.balanced_accuracy(empty))
    assert np.isnan(metrics.roc_auc(np.array([True]), np.array([1.0])))


def test_intervals_are_over_speakers():
    """Clips of one speaker are alike: the interval over speakers is far wider than one over clips."""
    random = np.random.default_rng(0)
    speakers = np.repeat(np.arange(20), 50)
    values = random.standard_normal(20)[speakers] + 0.1 * random.standard_normal(1000)

    def mean(places):
        return {"mean": values[places].mean()}

    by_speaker = metrics.bootstrap(mean, speakers.tolist())["mean"]
    by_clip = metrics.bootstrap(mean, range(1000))["mean"]
    expected = 2 * 1.96 * values.reshape(20, 50).mean(1).std() / np.sqrt(20)
    assert by_speaker.high - by_speaker.low == pytest.approx(expected, rel=0.1) and by_speaker.n_groups == 20
    assert by_speaker.low < by_speaker.value == values.mean() < by_speaker.high
    assert by_clip.high - by_clip.low < 0.4 * expected
    one = metrics.bootstrap(mean, ["anna"] * 1000)["mean"]
    assert (one.low, one.high, one.n_groups) == (by_clip.low, by_clip.high, 1000)
    bare = metrics.bootstrap(mean, speakers.tolist(), n_draws=0)["mean"]
    assert bare.value == bare.low == bare.high == values.mean()


def test_draws_without_a_value_are_left_out():
    def statistic(places):
        return {"first": 1.0 if 0 in places else float("nan"), "never": float("nan")}

    figures = metrics.bootstrap(statistic, ["a", "b"], n_draws=50)
    assert (figures["first"].low, figures["first"].high) == (1, 1) and np.isnan(figures["never"].low)
