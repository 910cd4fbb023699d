"""The op table, against torch: a cross-section of torch's own op samples, and the laws of the table itself."""

import inspect

import mlx.core as mx
import numpy as np
import pytest
import torch
import torch.nn.modules.linear_cross_entropy  # it registers the ops of torch_nn
import transformers.integrations.moe  # noqa: F401  it registers an op

from pytorch_to_mlx.bench.coverage.op_samples import entries, entry_name, measure, trace
from pytorch_to_mlx.codegen.capture import packed  # noqa: F401  it registers an op
from pytorch_to_mlx.codegen.capture.tensors import to_mlx
from pytorch_to_mlx.codegen.graph import Meta, Unsupported
from pytorch_to_mlx.codegen.lowering.interpret import run
from pytorch_to_mlx.codegen.lowering.ops import lower, lowers, table
from pytorch_to_mlx.codegen.proof.compare import agree

CROSS_SECTION = (
    "add cat cov cumsum div.floor_rounding equal fft.rfft gather grid_sampler_2d hash_tensor histogramdd index_put "
    "linalg.eig linalg.ldl_factor linalg.ldl_solve linalg.qr masked_select narrow nn.functional.embedding_bag "
    "nn.functional.avg_pool2d nn.functional.conv_transpose2d nn.functional.gelu nn.functional.group_norm "
    "nn.functional.interpolate.bicubic nn.functional.pad.reflect nn.functional.scaled_dot_product_attention pow "
    "scatter_reduce.mean softmax sort special.i1e split std_mean topk tril unique where"
).split()


@pytest.mark.parametrize("name", CROSS_SECTION)
def test_agrees_with_torch(name):
    entry = next(entry for entry in entries() if entry_name(entry) == name)
    result = measure(entry, limit=3)
    refused = sum(count for reason, count in result.reasons.items() if "random numbers" in reason)
    assert result.passed + refused == result.samples, result.reasons


def schema_of(op: str):
    namespace, name, overload = op.split(".")
    packet = getattr(getattr(torch.ops, namespace), name, None)
    op_overload = getattr(packet, overload, None)
    return None if op_overload is None else op_overload._schema


def test_every_entry_is_an_op_of_torch():
    missing = [op for op in table() if schema_of(op) is None]
    assert not missing, f"no such overload: {missing}"


def _one(value):
    """[1, 1] and 1 mean the same to torch, and so do no axes and None."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return (values[0] if len(set(values)) == 1 else values) or None


def test_defaults_are_torch_s_own():
    """An argument that a graph leaves out must mean to the lowering what it means to torch."""
    wrong = []
    for op, lowering in table().items():
        parameters = inspect.signature(lowering.function).parameters
        for argument in schema_of(op).arguments:
            ours = parameters.get("x" if argument.name in ("self", "input") else argument.name)
            if ours is None or not argument.has_default_value() or ours.default is inspect.Parameter.empty:
                continue
            default, mine = _one(argument.default_value), _one(ours.default)
            if argument.name in ("dtype", "unbiased"):  # the announced result says the dtype; None means unbiased too
                continue
            if default != mine:
                wrong.append(f"{op}: {argument.name} is {default!r} in torch, {mine!r} here")
    assert not wrong, "\n".join(wrong)


def test_unknown_argument_is_an_error_that_names_it():
    x = mx.zeros([2, 2])
    with pytest.raises(Unsupported, match="argument rcond"):
        lower("aten.linalg_lstsq.default", {"x": x, "b": x, "rcond": 0.1}, None)
    with pytest.raises(Unsupported, match="has no lowering"):
        lower("aten.not_an_op.default", {"x": x}, None)
    with pytest.raises(Unsupported, match="random"):
        lower("aten.rand.default", {"size": [2]}, Meta((2,), "float32"))


def test_an_op_is_registered_once():
    with pytest.raises(ValueError, match="registered twice"):
        lowers("add.Tensor")(lambda x, other: x)


def test_numbers_that_steer_a_trace_are_computed_by_mlx():
    graph, numbers, _ = trace(lambda x: x + x.sum().item(), [torch.tensor([1.0, 2.0])])
    assert numbers == [3.0]
    assert run(graph, [mx.array([1.0, 4.0])])[1] == [5.0]


def test_a_result_that_is_not_given_cannot_be_used():
    graph, *_ = trace(lambda x: torch.ops.aten.log_sigmoid_forward(x)[1] + 1, [torch.ones(3)])
    with pytest.raises(Unsupported, match="result 1 of"):
        run(graph, [to_mlx(torch.ones(3))])


def test_where_float64_overflows_alone_float32_is_the_truth():
    ours, narrow, wide = (np.array(pair, np.float32) for pair in ((1, 2.5), (1, 2), (1, np.nan)))
    assert not agree(ours, narrow, wide).ok
    assert agree(narrow, narrow, wide).ok
