"""Modules with example inputs: from a factory, and in memory."""

import warnings

import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.sources.module_source import call_factory, from_object
from pytorch_to_mlx.errors import UsageError

HEAD = "import torch\nfrom torch import nn\nx = torch.ones(2, 4)\n"


def factory(tmp_path, result):
    path = tmp_path / "net_source.py"
    path.write_text(f"{HEAD}def build():\n    return {result}\n")
    return call_factory(f"{path}:build", str(path), "build")


@pytest.mark.parametrize("result, n_args, kwargs", [
    ("nn.Linear(4, 3), x", 1, []),
    ("nn.Linear(4, 3), (x,)", 1, []),
    ("nn.Linear(4, 3), (), {'input': x}", 0, ["input"]),
    ("nn.Linear(4, 3), ((), {'input': x})", 0, ["input"]),
])  # fmt: skip
def test_what_a_factory_returns(tmp_path, result, n_args, kwargs):
    source = factory(tmp_path, result)
    assert (len(source.args), list(source.kwargs), source.methods) == (n_args, kwargs, {})
    assert source.class_name == "Linear" and source.text.endswith("net_source.py:build")


def test_a_factory_may_return_example_inputs_by_method(tmp_path):
    source = factory(tmp_path, "nn.LSTM(4, 3), {'forward': x}")
    ((args, kwargs),) = source.methods.values()
    assert torch.equal(args[0], torch.ones(2, 4)) and kwargs == {}


@pytest.mark.parametrize("result", ["x", "[nn.Linear(4, 3), x]", "(nn.Linear(4, 3),)", "(x, x)", "1 / 0"])
def test_other_results_are_refused(tmp_path, result):
    with pytest.raises(UsageError, match="ZeroDivisionError" if "/" in result else r"must return .*, found \w+"):
        factory(tmp_path, result)


def test_factories_that_do_not_exist():
    with pytest.raises(UsageError, match="no Python module 'no_such_package'"):
        call_factory("no_such_package:build", "no_such_package", "build")
    with pytest.raises(UsageError, match="json has no function 'build'"):
        call_factory("json:build", "json", "build")


def test_a_module_in_memory():
    x = torch.ones(2, 4)
    assert from_object(nn.Linear(4, 3), x, None).args == (x,)
    source = from_object(nn.Linear(4, 3), ((), {"input": x}), None)
    assert source.args == () and source.kwargs == {"input": x} and source.text == ""
    assert list(from_object(nn.Linear(4, 3), (), {"forward": x}).methods) == ["forward"]
    (entry,) = source.entries()
    assert entry.name == "forward" and [node.op for node in entry.captured.graph.inputs()] == ["input"]


def test_warnings_to_authors_of_what_a_factory_calls_are_not_shown(tmp_path):
    """Old weight_norm, say: its name is going to change, and whoever converts another's code cannot change it."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        factory(tmp_path, "nn.utils.weight_norm(nn.Linear(4, 3)), x")
    assert shown == []
