"""Repeated calls become loops only where a loop computes the same."""

import ast

import pytest

from pytorch_to_mlx.codegen.emit.layers import Layer
from pytorch_to_mlx.codegen.emit.loops import roll_loops
from pytorch_to_mlx.codegen.emit.module_tree import Place
from pytorch_to_mlx.codegen.emit.naming import Method


def module(**lists):
    """A module with lists of linear layers of these lengths."""
    root = Place("")
    for name, length in lists.items():
        items = {str(i): Place(f"{name}.{i}", layer=Layer("Linear")) for i in range(length)}
        root.children[name] = Place(name, items)
    return root


def rolled(source, place, result="x"):
    names = {part.id for part in ast.walk(ast.parse(source)) if isinstance(part, ast.Name)}
    method = Method("__call__", ["x"], ast.parse(source).body, [ast.Name(result)], names)
    statements = roll_loops(method, place).statements
    return "\n".join(ast.unparse(ast.fix_missing_locations(statement)) for statement in statements)


def test_calls_in_a_row_become_a_loop():
    source = "x = self.blocks[0](x, mask)\nx = self.blocks[1](x, mask)\nx = self.blocks[2](x, mask)"
    assert rolled(source, module(blocks=3)) == "for block in self.blocks:\n    x = block(x, mask)"


def test_a_round_may_have_several_statements():
    source = "\n".join(f"y = self.layers[{i}](x)\nx = x + mx.tanh(y)" for i in range(2))
    assert rolled(source, module(layers=2)) == "for layer in self.layers:\n    y = layer(x)\n    x = x + mx.tanh(y)"


def test_the_first_round_may_start_from_another_variable():
    source = "y = self.layers[0](x)\ny = self.layers[1](y)\ny = self.layers[2](y)"
    assert rolled(source, module(layers=3)) == "y = x\nfor layer in self.layers:\n    y = layer(y)"


def test_the_loop_variable_is_new():
    source = "block = mx.abs(x)\nx = self.blocks[0](x, block)\nx = self.blocks[1](x, block)"
    text = "block = mx.abs(x)\nfor block_ in self.blocks:\n    x = block_(x, block)"
    assert rolled(source, module(blocks=2)) == text


def test_a_list_inside_an_item_is_part_of_the_round():
    root = module(blocks=2)
    for place in root.children["blocks"].children.values():
        place.layer = None
        place.children["norms"] = Place("", {str(i): Place("", layer=Layer("LayerNorm")) for i in range(2)})
    source = "\n".join(f"x = self.blocks[{i}].norms[{j}](x)" for i in range(2) for j in range(2))
    assert rolled(source, root) == "for block in self.blocks:\n    x = block.norms[0](x)\n    x = block.norms[1](x)"


@pytest.mark.parametrize(
    "source",
    [
        "x = self.layers[0](x)\nx = self.layers[1](x)",  # not all items
        "x = self.layers[0](x)\nx = self.layers[2](x)\nx = self.layers[1](x)",
        "x = self.layers[0](x)\nx = self.layers[1](x)\nx = mx.exp(self.layers[2](x))",
        "x = self.layers[0](x, 1)\nx = self.layers[1](x, 2)\nx = self.layers[2](x, 3)",
        "a = self.layers[0](x)\nb = self.layers[1](x)\nc = self.layers[2](x)",  # every result is kept
        "x = self.layers[0](x, a)\nx = self.layers[1](x, b)\nx = self.layers[2](x, b)",  # b is not set by a round
        "x = self.layers[0](x, self.layers[1])\nx = self.layers[1](x)\nx = self.layers[2](x)",
    ],
)
def test_what_is_no_loop_stays(source):
    assert rolled(source, module(layers=3)) == source


def test_calls_of_two_lists_stay():
    source = "x = self.a[0](self.b[0](x))\nx = self.a[1](self.b[1](x))"
    assert rolled(source, module(a=2, b=2)) == source
