"""Names of the original as attributes and list places of generated modules."""

import ast

import pytest

from pytorch_to_mlx.codegen.paths import (
    access,
    current_module_lists,
    is_module_list,
    is_path,
    mlx_parts,
    module_lists,
    safe_name,
)


@pytest.mark.parametrize("name, expected", [
    ("weight", "weight"), ("_hidden", "hidden_"), ("class", "class_"), ("update", "update_"), ("1st", "1st_"),
    ("a-b", "a_b_"), ("__", "value_"),
])  # fmt: skip
def test_safe_names(name, expected):
    assert safe_name(name) == expected


def test_numbers_are_places_in_lists():
    assert ast.unparse(access("", "blocks.3.norm.weight")) == "self.blocks[3].norm.weight"
    assert ast.unparse(access("blocks.3", "blocks.3.norm.weight")) == "self.norm.weight"
    assert ast.unparse(access("a", "a")) == "self" and mlx_parts("") == []


def test_numbered_children_beside_code_are_a_list_of_layers():
    assert not is_module_list("stack")
    with module_lists(frozenset({"stack"})):
        assert current_module_lists() == {"stack"}
        assert mlx_parts("stack.0.weight") == ["stack", "layers", "0", "weight"]
        assert ast.unparse(access("stack", "stack.0.weight")) == "self.layers[0].weight"
        assert mlx_parts("other.0") == ["other", "0"]
    assert mlx_parts("stack.0") == ["stack", "0"]


@pytest.mark.parametrize("text, expected", [
    ("self.a.b[0]", True), ("x", True), ("x[i]", False), ("f(x).a", False), ("a + b", False),
])  # fmt: skip
def test_what_costs_nothing(text, expected):
    assert is_path(ast.parse(text, mode="eval").body) is expected
