"""When a score is a detection, what samples become, and how keywords are replaced."""

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.wakeword.config import Config, Keyword
from pytorch_to_mlx.models.wakeword.model import Classifier, Model, windows
from pytorch_to_mlx.models.wakeword.pipeline import Rules, Trigger, WakewordPipeline, as_pcm, header, read_header

SCORES = np.array([[0.2, 0.9], [0.6, 0.9], [0.7, 0.1], [0.8, 0.9], [0.9, 0.9], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"refractory_s": 10}, [("b", 0), ("a", 1)]),
        ({"refractory_s": 2}, [("b", 0), ("a", 1), ("b", 3)]),
        ({"patience": 3, "refractory_s": 10}, [("a", 3), ("b", 5)]),
        ({"threshold": 0.95}, []),
    ],
    ids=str,
)
def test_rules(rules, expected):
    trigger = Trigger(["a", "b"], Rules(**rules))
    detections = [detection for t, row in enumerate(SCORES) for detection in trigger(float(t), row)]
    assert [(detection.label, detection.time_s) for detection in detections] == expected


@pytest.mark.parametrize(
    "rules", [{"threshold": 0}, {"threshold": float("nan")}, {"patience": 0}, {"refractory_s": -1}], ids=str
)
def test_wrong_rules(rules):
    with pytest.raises(UsageError):
        Rules(**rules)


def test_samples_become_16_bit_numbers():
    assert as_pcm(np.array([0.0, 0.5, 1.0, -1.0, 2.0])).tolist() == [0, 16384, 32767, -32768, 32767]
    assert as_pcm(np.array([-3, 7], np.int16)).tolist() == [-3, 7]
    for wrong in (np.zeros((2, 5)), np.array([np.inf]), np.zeros(5, np.int64)):
        with pytest.raises(FormatError):
            as_pcm(wrong)


def test_windows_end_at_the_last_embeddings():
    features = mx.arange(5)[None, :, None].astype(mx.float32)
    assert windows(features, 3, 2)[..., 0].tolist() == [[[1, 2, 3], [2, 3, 4]]]
    assert windows(features, 2, 1)[..., 0].tolist() == [[[3, 4]]]


def test_keywords_that_cannot_stand_together_change_nothing():
    model = Model(Config.tiny())
    first, second = Keyword("one", labels=("same",)), Keyword("two", labels=("same",))
    with pytest.raises(ValueError, match="two labels are called same"):
        model.replace_keywords({keyword: Classifier(keyword, 32) for keyword in (first, second)})
    assert model.config == Config.tiny() and set(model.keywords) == {k.name for k in Config.tiny().keywords}


def test_select_keeps_order_and_refuses_unknown_names():
    pipeline = WakewordPipeline(Model(Config.tiny()))
    pipeline.select(["several", "plain"])
    assert pipeline.labels == ["one", "two", "plain"]
    for names, message in ((["normed"], "no keyword 'normed'"), (["plain", "plain"], "named twice")):
        with pytest.raises(UsageError, match=message):
            pipeline.select(names)
    pipeline.select([])
    with pytest.raises(UsageError, match="no keyword to listen for"):
        pipeline.listen([])


def test_a_keyword_goes_through_the_header_of_its_file(tmp_path):
    keyword = Keyword("mine", num_frames=20, hidden_sizes=(8,), layer_norm=True, labels=("mine",))
    assert read_header(header(keyword), where=tmp_path) == keyword
    with pytest.raises(FormatError, match="not a keyword"):
        read_header({}, where=tmp_path)
