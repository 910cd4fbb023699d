"""Calls of one module with different code become different methods of its class."""

import ast

from toy_graph import call, node

from pytorch_to_mlx.codegen.emit.class_methods import ClassMethods
from pytorch_to_mlx.codegen.emit.draft import Draft


def draft(source, path="block", **constants):
    result = Draft(call(path, node("y", "exp.default")))
    result.results = [ast.parse(source, mode="eval").body]
    result.constants = {name: ast.Constant(value) for name, value in constants.items()}
    return result


def test_equal_code_is_one_method():
    methods, drafts = ClassMethods(), [draft("mx.exp(1)"), draft("mx.exp(2)"), draft("mx.exp(1)")]
    for item in drafts:
        methods.add_call(item)
    assert [item.method for item in drafts] == ["__call__", "call_1", "__call__"]
    assert methods.by_path() == {"block": drafts[:2]}
    other = draft("mx.exp(2)", "other")
    methods.add_call(other)
    assert other.method == "__call__"


def test_provisional_names_do_not_make_code_different():
    first, second = draft("0"), draft("0")
    for item, size in ((first, "$s0"), (second, "$s7")):
        item.sizes, item.suggestions = [size], {size: "length"}
        item.results = [ast.Name(size)]
    methods = ClassMethods()
    methods.add_call(first)
    methods.add_call(second)
    assert methods.by_path() == {"block": [first]}


def test_constants_of_methods_do_not_collide():
    methods = ClassMethods()
    methods.add_root(draft("self._mask + 1", "", _mask=1), "encode")
    second = draft("self._mask + other._mask", "", _mask=2)
    methods.add_root(second, "decode")
    assert list(second.constants) == ["_mask_"] and second.method == "decode"
    assert ast.unparse(second.results[0]) == "self._mask_ + other._mask"
    third = draft("self._mask", "", _mask=1)  # the same value: the same attribute
    methods.add_root(third, "__call__")
    assert list(third.constants) == ["_mask"]
