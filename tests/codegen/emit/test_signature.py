"""Arguments and results of the model in the original's structure."""

import ast
from types import SimpleNamespace

import mlx.core as mx
import pytest
import torch
from sympy import Symbol
from torch import nn
from torch.utils import _pytree as pytree
from toy_graph import call, graph, node

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.codegen.emit.draft import Draft
from pytorch_to_mlx.codegen.emit.signature import model_arguments, nest_inputs, nest_outputs
from pytorch_to_mlx.codegen.graph import Sym
from pytorch_to_mlx.codegen.lowering.sizes import size_tree

ONE = torch.ones(1)


class Paired(nn.Module):
    def forward(self, x, states, *, mask):
        return x


def text(tree):
    return ast.unparse(ast.fix_missing_locations(tree)).replace("%", "v")


def draft_of(*inputs):
    """A draft whose arguments are inputs, and which returns a product of all."""
    draft = Draft(call("", node("y", "mul.Tensor"), inputs=inputs))
    draft.args = [draft.fresh_name(item.name) for item in inputs]
    return draft


def test_plain_containers_stay_and_classes_give_their_tensors():
    cache = pytree.tree_map(lambda x: x, SimpleNamespace())
    assert model_arguments((ONE, [ONE, (ONE, {"k": ONE})]), {"mask": ONE}) == [ONE, [ONE, (ONE, {"k": ONE})], ONE]
    assert model_arguments((3, None, cache, [ONE, 3]), {}) == [3, ONE]  # a list with a number is no list of tensors


def test_a_container_is_one_parameter():
    draft = draft_of(*(node(name, "input") for name in ("x", "left", "right", "mask")))
    draft.results = [ast.Name(name) for name in draft.args]
    entry = SimpleNamespace(name="forward", args=(ONE, {"left": ONE, "right": ONE}), kwargs={"mask": ONE})
    nest_inputs(draft, entry, Paired())
    assert [draft.suggestions[name] for name in draft.args] == ["x", "states", "mask"]
    states = draft.args[1].replace("%", "v")
    assert [text(result) for result in draft.results] == ["v1", f"{states}['left']", f"{states}['right']", "v4"]


def test_arguments_without_containers_stay():
    draft = draft_of(node("x", "input"), node("states", "input"))
    nest_inputs(draft, SimpleNamespace(name="forward", args=(ONE, ONE), kwargs={}), Paired())
    assert draft.args == ["%1", "%2"] and list(draft.suggestions) == ["%1", "%2"]


class Scaled(nn.Module):
    def forward(self, x, scale, y, *, mode="sum"):
        return x * scale + y if mode == "sum" else x


def test_numbers_flags_and_text_are_parameters_that_are_checked(tmp_path):
    """In their place among the arguments; keywords last, with the example's value as their default."""
    x = torch.randn(2, 3)
    result = convert(Scaled(), tmp_path / "out", example_inputs=((x, 2.5, x), {"mode": "sum"}))
    result.check()
    assert result.fixed == ["scale is 2.5 only", "mode is 'sum' only"]
    assert "result = model(x, scale, y, mode='sum')" in (tmp_path / "out" / "README.md").read_text()
    model, ones = load_generated(tmp_path / "out"), mx.ones([4, 3])
    assert model(ones, 2.5, ones).tolist() == model(ones, 2.5, ones, mode="sum").tolist() == [[3.5] * 3] * 4
    with pytest.raises(ValueError, match=r"scale is 2\.5 only, not 3\.0: convert again"):
        model(ones, 3.0, ones)
    with pytest.raises(ValueError, match="mode is 'sum' only, not 'none'"):
        model(ones, 2.5, ones, mode="none")


def nested(tree, outputs, updates=None):
    """The expression that returns these outputs in the structure of a tree."""
    nodes = [item for item in outputs if not isinstance(item, (int, Sym))]
    draft = Draft(call("", *nodes))
    draft.call.outputs = nodes
    draft.results = [ast.Name(item.name) for item in nodes]
    draft.number_results = [size_tree(item.expr) for item in outputs if isinstance(item, Sym)]
    captured = SimpleNamespace(updates=updates or {}, out_spec=pytree.tree_structure(tree))
    nest_outputs(draft, SimpleNamespace(captured=captured), graph(outputs=tuple(outputs)))
    return [text(tree) for tree in draft.trees()]


def test_results_have_the_structure_of_the_original():
    a, b = node("a", "exp.default"), node("b", "exp.default")
    assert nested(0, [a]) == ["a"]
    assert nested((0, [1]), [a, b]) == ["(a, [b])"]
    assert nested({"first": 0, "rest": (1, 2)}, [a, b, 7]) == ["{'first': a, 'rest': (b, 7)}"]
    assert nested((0, 1), [a, Sym(Symbol("s0") + 1)]) == ["(a, $s0 + 1)"]


def test_changed_buffers_are_written_back():
    a, state = node("a", "exp.default"), node("state", "exp.default")
    draft = Draft(call("", a, state))
    draft.call.outputs = [a, state]
    draft.results = [ast.Name("a"), ast.Name("state")]
    captured = SimpleNamespace(updates={"norm.steps": state}, out_spec=pytree.tree_structure(0))
    nest_outputs(draft, SimpleNamespace(captured=captured), graph(outputs=(a,)))
    assert [text(tree) for tree in draft.trees()] == ["self.norm.steps = state", "a"]
