"""The time of a call of ours, by stage and by op."""

import time

import mlx.core as mx

from pytorch_to_mlx.backend import ops
from pytorch_to_mlx.bench.profile import REST, seconds_by_op, seconds_by_stage
from pytorch_to_mlx.taps import tap


def model():
    x = mx.ones((64, 64))
    x = tap("first", ops.linear(x, x))
    return tap("second", ops.softmax(x))


def test_profile_names_stages_and_ops():
    assert list(seconds_by_stage(model)) == ["first", "second", REST]
    before = ops.linear
    spent = seconds_by_op(model)
    assert {"linear", "softmax", REST} == spent.keys() and all(s >= 0 for s in spent.values())
    assert ops.linear is before


def test_a_stage_counts_what_comes_before_its_tap():
    def slow_second_stage():
        tap("first", mx.ones(3))
        time.sleep(0.05)
        tap("second", mx.ones(3))

    seconds = seconds_by_stage(slow_second_stage)
    assert seconds["second"] >= 0.05 > seconds["first"] + seconds[REST]
