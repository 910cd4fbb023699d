"""generate/sample.py: what is drawn, and that repetition is avoided."""

import numpy as np
import pytest

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.generate.sample import Sampler, draw, nucleus, softmax


def uniforms(*values):
    given = iter(values)
    return lambda: next(given)


@pytest.mark.parametrize(
    ("probs", "kept"), [([0.5, 0.29, 0.1, 0.06, 0.05], [0, 1, 2]), ([0.5, 0.3, 0.2], [0, 1]), ([0.2, 0.8], [1])]
)
def test_nucleus_keeps_the_one_that_crosses(probs, kept):
    assert nucleus(np.array(probs, np.float32), 25, 0.8)[0].tolist() == kept


def test_nucleus_keeps_top_k_at_most_and_one_at_least():
    probs = np.full(100, 0.01, np.float32)
    assert nucleus(probs, 25, 0.8)[0].tolist() == list(range(25))
    assert nucleus(probs, 25, 0.0)[0].tolist() == [0]
    assert nucleus(probs[:3], 25, 1.0)[0].tolist() == [0, 1, 2]


def test_draw_follows_the_weights():
    weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    assert [draw(weights, u) for u in (0.0, 0.2499, 0.25, 0.9999999)] == [1, 1, 3, 3]


def test_temperature_zero_takes_the_likeliest():
    assert Sampler(temperature=0)(np.log(np.array([0.1, 0.5, 0.4])), [1, 1], uniforms()) == 1


def test_temperature_sharpens():
    log_probs = np.log(np.array([0.6, 0.4], np.float32))
    sampler = [Sampler(temperature=t, top_p=1.0, win_size=0) for t in (0.1, 10.0)]
    assert [s(log_probs, [], uniforms(0.7)) for s in sampler] == [0, 1]


def test_a_repeated_token_is_drawn_again_from_all():
    log_probs = np.log(np.array([0.9, 0.04, 0.06], np.float32))
    assert Sampler()(log_probs, [0], uniforms(0.5, 0.1)) == 1
    assert Sampler()(log_probs, [0], uniforms(0.5, 0.9)) == 2
    assert Sampler()(log_probs, [0] + [1] * 10, uniforms(0.5)) == 0, "outside the window"
    assert Sampler(win_size=0)(log_probs, [0], uniforms(0.5)) == 0
    assert Sampler(win_size=4, tau_r=0.5)(log_probs, [0, 1, 2, 1], uniforms(0.5)) == 0, "under tau_r"
    assert np.isfinite(log_probs).all(), "the caller's scores stay"


def test_softmax_is_a_distribution():
    assert softmax(np.array([1000.0, 1000.0], np.float32)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"temperature": float("nan")}, {"top_p": 2}, {"top_k": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        Sampler(**wrong)
