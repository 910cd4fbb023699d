"""Names come from the lines of the user's own source that computed a value."""

import importlib.util

import pytest
from toy_graph import call, node, weight

from pytorch_to_mlx.codegen.emit.source_names import SourceNames, short_name
from pytorch_to_mlx.codegen.graph import Line, Node

SOURCE = """
class Child:
    def forward(self, x):
        inner = x * 2
        return inner


class Model:
    def forward(self, x):
        hidden = (
            x + 1
        )
        GATE = hidden * 2
        hidden += 1
        self.state = hidden
        math = x
        left, right = hidden.chunk(2)
        _, state = helper(hidden)
        child = self.child(hidden)
        return left + right
"""
FIRST = {text.strip(): number for number, text in enumerate(SOURCE.splitlines(), 1)}


@pytest.fixture
def names(tmp_path):
    """Names in the source above, and a way to place a node on a line of it."""
    file = tmp_path / "names_source.py"
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("names_source", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.Model.__module__ = module.Child.__module__ = "names_source"
    import sys

    sys.modules["names_source"] = module

    def at(*lines, name="value", op="mul.Tensor", path="", **kwargs):
        placed = node(name, op, path=path, **kwargs)
        placed.trace = tuple(Line(str(file), FIRST[line]) for line in lines)
        return placed

    try:
        yield SourceNames({"": module.Model(), "child": module.Child()}, {}), at
    finally:
        del sys.modules["names_source"]


@pytest.mark.parametrize(
    "line, name",
    [
        ("x + 1", "hidden"),  # inside a statement of three lines
        ("GATE = hidden * 2", "gate"),
        ("hidden += 1", "hidden"),
        ("self.state = hidden", None),
        ("math = x", None),  # generated source imports a module of this name
        ("return left + right", None),
    ],
)
def test_a_value_has_the_name_it_is_assigned_to(names, line, name):
    source_names, at = names
    value = at(line)
    assert source_names.target_name(value, call("", value)) == name


def test_the_parts_of_a_tuple_get_its_names(names):
    source_names, at = names
    chunks = at("left, right = hidden.chunk(2)", name="chunks", op="chunk.default")
    parts = [Node(f"part{i}", "getitem", (chunks, i), trace=chunks.trace) for i in range(2)]
    total = at("return left + right", name="total", x=parts[0], other=parts[1])
    whole = call("", chunks, *parts, total)
    assert [source_names.target_name(part, whole) for part in parts] == ["left", "right"]
    only = at("_, state = helper(hidden)", name="only")
    after = at("return left + right", name="after", x=only)
    assert source_names.target_name(only, call("", only, after)) == "state"


def test_a_value_of_a_child_is_named_by_the_caller(names):
    source_names, at = names
    value = at("child = self.child(hidden)", "inner = x * 2", path="child")
    assert source_names.target_name(value, call("", value)) == "child"
    assert source_names.target_name(value, call("child", value)) == "inner"


def test_a_statement_ends_between_two_lines(names):
    source_names, at = names
    value = at("x + 1")
    same, later = at("hidden = (", name="same", x=value), at("GATE = hidden * 2", name="later", x=value)
    assert source_names.ends_statement(value, later, call("", value, later))
    assert not source_names.ends_statement(value, same, call("", value, same))
    unnamed = at("return left + right")
    assert not source_names.ends_statement(unnamed, later, call("", unnamed, later))


def test_arguments_have_the_names_of_parameters(names):
    source_names, at = names
    value = at("x + 1")
    child = call("child", value, inputs=(value,))
    assert SourceNames({}, {("child", 0): {value: "states"}}).argument_name(child, value) == "states"
    assert source_names.argument_name(child, value) == "hidden"  # what the caller calls it
    assert source_names.argument_name(child, node("mask", "input")) == "mask"
    assert source_names.argument_name(child, weight("norm.weight")) == "norm_weight"
    assert source_names.argument_name(child, node("value", "mul.Tensor")) == "x"


@pytest.mark.parametrize(
    "op, name",
    [("linear.default", "y"), ("add.Tensor", "x"), ("_softmax.default", "softmax"), ("index_select.default", "x")],
)
def test_short_name(op, name):
    assert short_name(node("value", op)) == name
    assert short_name(node("value", "input")) == "x"
