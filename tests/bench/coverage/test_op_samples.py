"""Samples of torch's op tests: agreement, differences, and numbers read from tensors."""

import mlx.core as mx
import pytest
import torch

from pytorch_to_mlx.bench.coverage.op_samples import EntryResult, compare_outputs, entries, entry_name, measure


@pytest.fixture(scope="module")
def by_name():
    return {entry_name(entry): entry for entry in entries()}


def test_all_samples_of_an_entry_pass(by_name):
    result = measure(by_name["nn.functional.relu"])
    assert result.ok and result.passed == result.samples > 1 and result.number_reads == 0
    assert measure(by_name["nn.functional.relu"], limit=1).samples == 1


def test_ops_that_draw_compute_from_the_same_noise(by_name):
    assert measure(by_name["bernoulli"], limit=2).passed == 2
    result = measure(by_name["nn.functional.rrelu"])  # its noise is not handed out
    assert result.passed == 2 and all("it is random" in why for why in result.reasons)


def test_singular_vectors_are_compared_by_what_they_determine():
    x = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    u, s, v = (mx.array(factor.numpy()) for factor in torch.svd(x))
    assert compare_outputs("svd", torch.svd, [x], [-u, s, -v]) == ""
    assert "relative error" in compare_outputs("svd", torch.svd, [x], [-u, s, v])


def test_samples_that_read_a_number_are_counted(by_name):
    result = measure(by_name["equal"], limit=3)
    assert result.passed == result.number_reads == result.samples == 3


def test_reasons_are_counted():
    result = EntryResult("x")
    for reason in ("", "a", "a", "b"):
        result.record(reason)
    assert (result.samples, result.passed, result.reasons, result.ok) == (4, 1, {"a": 2, "b": 1}, False)
    assert not EntryResult("no samples").ok


def test_differences_are_named():
    x = torch.tensor([1.0, 2.0])
    assert compare_outputs("exp", torch.exp, [x], [mx.exp(mx.array([1.0, 2.0]))]) == ""
    assert compare_outputs("exp", torch.exp, [x], [mx.array([1.0, 2.0])]) == "relative error 7.3e-01 > 1.0e-05"
    assert compare_outputs("exp", torch.exp, [x], [mx.array([1.0])]) == "shape [1], PyTorch's is [2]"
    assert compare_outputs("exp", torch.exp, [x], []) == "0 outputs instead of 1"
    assert compare_outputs("empty_like", torch.empty_like, [x], [mx.array([5.0, 7.0])]) == ""
