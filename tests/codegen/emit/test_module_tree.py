"""The tree of modules, layers and weights, and what instances of a class have in common."""

import ast

from toy_graph import call, node

from pytorch_to_mlx.codegen.emit.draft import Draft
from pytorch_to_mlx.codegen.emit.layers import Layer
from pytorch_to_mlx.codegen.emit.module_tree import Instance, Place, build_module_tree
from pytorch_to_mlx.codegen.emit.naming import Method
from pytorch_to_mlx.codegen.graph import Meta
from pytorch_to_mlx.codegen.paths import module_lists

META = Meta((4,), "float32")


def draft(path=""):
    return Draft(call(path, node("y", "exp.default")))


def test_places_in_the_order_of_the_original():
    layers = {"out": Layer("Linear"), "blocks.1": Layer("Linear"), "blocks.0": Layer("Linear")}
    order = {"blocks.0": 0, "blocks.1": 1, "scale": 2, "out": 3}
    root = build_module_tree({"": [draft()]}, layers, {"out.weight": META, "scale": META}, order)
    assert list(root.children) == ["blocks", "scale", "out"] and root.is_generated
    blocks = root.children["blocks"]
    assert blocks.is_list and not blocks.is_generated and list(blocks.children) == ["0", "1"]
    assert root.children["scale"].weight == META
    assert root.children["out"].children == {}  # the weight of a layer is no place of its own
    assert [place.path for place in root.walk()] == ["blocks.0", "blocks.1", "blocks", "scale", "out", ""]


def test_numbered_children_of_a_module_with_code_are_its_layers():
    with module_lists(frozenset({"", "stack"})):
        root = build_module_tree({"": [draft()], "stack": [draft("stack")]}, {"stack.0": Layer("Linear")}, {}, {})
    stack = root.children["stack"]
    assert list(stack.children) == ["layers"] and stack.children["layers"].path == "stack.layers"
    assert stack.children["layers"].is_list and stack.children["layers"].children["0"].path == "stack.0"


def test_a_list_has_numbers_only():
    assert not Place("a", {"0": Place("a.0"), "norm": Place("a.norm")}).is_list
    assert not Place("a").is_list


def instance(source):
    return Instance(Place(""), [], [Method("__call__", ["x"], ast.parse(source).body, [ast.Name("x")])])


def test_instances_of_a_class_differ_in_literals_only():
    one = instance("x = f(x, 3, True)\nx = x * 0.5")
    assert [literal.value for literal in one.literals()] == [3, True, 0.5]
    assert one.skeleton() == instance("x = f(x, -4, False)\nx = x * (1, 2)").skeleton()
    assert one.skeleton() != instance("x = g(x, 3, True)\nx = x * 0.5").skeleton()
    assert one.skeleton() != instance("x = f(x, 3)\nx = x * 0.5").skeleton()
    places = instance("x = self.norms[1](x)")
    assert places.literals() == [] and places.skeleton() != instance("x = self.norms[0](x)").skeleton()
