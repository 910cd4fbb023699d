"""Provisional names become readable ones, and no value is overwritten before its last use."""

import ast

from pytorch_to_mlx.codegen.emit.call_tree import Call
from pytorch_to_mlx.codegen.emit.draft import Draft
from pytorch_to_mlx.codegen.emit.naming import choose_names


def draft_of(*values, args=("x",), result=None):
    """A draft that computes f(...) of earlier names. values: (suggestion, indices of the names that it uses)."""
    draft = Draft(Call("", 0, "toys.Root"))
    names = [draft.fresh_name(name) for name in args]
    draft.args = list(names)
    for suggestion, used in values:
        value = ast.Call(ast.Name("f"), [ast.Name(names[i]) for i in used], [])
        names.append(draft.fresh_name(suggestion))
        draft.assign(ast.Name(names[-1]), value)
    draft.results = [ast.Name(names[i]) for i in (result or [-1])]
    return draft


def text(method):
    trees = [*method.statements, *method.results]
    return [ast.unparse(ast.fix_missing_locations(tree)) for tree in trees]


def test_a_name_is_used_again_after_its_last_use():
    method = choose_names(draft_of(("x", [0]), ("x", [1])))
    assert method.args == ["x"] and text(method) == ["x = f(x)", "x = f(x)", "x"]


def test_a_value_in_use_keeps_its_name():
    method = choose_names(draft_of(("x", [0]), ("y", [0, 1])))
    assert text(method) == ["x_2 = f(x)", "y = f(x, x_2)", "y"]
    method = choose_names(draft_of(("x", [0]), result=[0, 1]))  # a result is used after all statements
    assert text(method) == ["x_2 = f(x)", "x", "x_2"]


def test_targets_of_one_statement_differ():
    draft = draft_of()
    first, second = draft.fresh_name("h"), draft.fresh_name("h")
    draft.assign(ast.Tuple([ast.Name(first), ast.Name(second)]), ast.Name(draft.args[0]))
    draft.results = [ast.Name(second)]
    assert text(choose_names(draft)) == ["h, h_2 = x", "h_2"]


def test_names_that_generated_source_uses_are_free():
    draft = draft_of(("max", [0]), ("attention", [1]))
    draft.helpers = {"attention"}
    assert text(choose_names(draft)) == ["max_2 = f(x)", "attention_2 = f(max_2)", "attention_2"]
    assert draft_of(("lambda", [0])).suggestions["%2"] == "lambda_"


def test_sizes_are_parameters_after_the_arguments():
    draft = draft_of(("y", [0]))
    draft.sizes = ["$s0", "$s1"]
    draft.suggestions["$s0"] = "length"
    draft.results = [ast.BinOp(ast.Name("$s0"), ast.Add(), ast.Name("$s1"))]
    method = choose_names(draft)
    assert method.args == ["x", "length", "size"] and text(method)[-1] == "length + size"
    assert method.locals == {"x", "y", "length", "size"}


def test_the_draft_stays_as_it_is():
    draft = draft_of(("y", [0]))
    choose_names(draft)
    assert draft.results[0].id == "%2" and draft.statements[0].targets[0].id == "%2"


def test_a_value_whose_name_is_in_use_is_called_after_what_made_it():
    draft = Draft(Call("", 0, "toys.Root"))
    states = draft.fresh_name("states")
    draft.args = [states]
    normed = draft.fresh_name("states", "norm_output")
    draft.assign(ast.Name(normed), ast.parse("self.norm(1)", mode="eval").body)
    third = draft.fresh_name("states", "norm_output")
    draft.assign(ast.Name(third), ast.parse("self.norm(2)", mode="eval").body)
    draft.results = [ast.Name(states), ast.Name(normed), ast.Name(third)]
    method = choose_names(draft)
    assert [ast.unparse(result) for result in method.results] == ["states", "norm_output", "states_2"]
