"""The table itself: names, refusals, and the dtype of results. Its entries: test_ops.py."""

import ast
import re

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.graph import Meta, Unsupported
from pytorch_to_mlx.codegen.lowering.ops import op_table
from pytorch_to_mlx.codegen.lowering.recorder import Recorded
from pytorch_to_mlx.errors import UsageError


@pytest.fixture(autouse=True)
def the_table_stays(monkeypatch):
    monkeypatch.setattr(op_table, "_TABLE", dict(op_table.table()))


def test_a_result_is_passed_to_those_that_take_it():
    exp, relu, result = op_table.find("aten.exp.default"), op_table.find("aten.relu.default"), Meta((2,), "float32")
    assert exp.bind({"x": 1}, result) == {"x": 1, "result": result}
    assert relu.bind({"x": 1}, result) == {"x": 1}
    with pytest.raises(Unsupported, match=r"relu\.default: argument other=2 is not implemented"):
        relu.bind({"x": 1, "other": 2}, result)


def test_a_user_s_op_may_be_registered_again_and_a_refused_one_for_the_first_time():
    for function in (mx.sin, mx.cos):
        op_table.register_user("own.wave.default", function)
        assert op_table.find("own.wave.default").function is function
    op_table.register_user("aten.rand.default", mx.zeros)
    assert op_table.find("aten.rand.default").module == op_table.USER
    with pytest.raises(UsageError, match=r"aten\.relu\.default has a lowering already, in activation"):
        op_table.register_user("aten.relu.default", mx.sin)


def test_a_reason_is_given_for_what_is_refused():
    op_table.refuse("it has no MLX form", "odd.default", "own.odd.default")
    for op in ("aten.odd.default", "own.odd.default"):
        with pytest.raises(Unsupported, match=f"^{re.escape(op)} is refused: it has no MLX form"):
            op_table.lower(op, {}, None)


def test_results_get_the_announced_dtype():
    x = mx.array([1, 2])
    assert op_table.conform(x, Meta((2,), "int32")) is x
    assert op_table.conform(x, Meta((2,), "float16")).dtype == mx.float16
    parts = op_table.conform((x, None), (Meta((2,), "int64"), None))
    assert parts[0].dtype == mx.int64 and parts[1] is None
    written = op_table.conform(Recorded(ast.Name("x"), x), Meta((2,), "float32"))
    assert ast.unparse(written.tree) == "x.astype(mx.float32)"
