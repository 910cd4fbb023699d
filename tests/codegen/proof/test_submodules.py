"""codegen/proof/submodules.py and truth.py: one wrong layer, one wrong op, and nothing else, are named."""

from dataclasses import replace
from functools import partial, wraps

import mlx.core as mx
import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.methods import size_hints
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.codegen.emit.generate import generate
from pytorch_to_mlx.codegen.emit.weights import reload
from pytorch_to_mlx.codegen.lowering.ops import op_table
from pytorch_to_mlx.codegen.proof.submodules import check_submodules, first_wrong_op, submodule
from pytorch_to_mlx.codegen.proof.truth import Truth
from pytorch_to_mlx.codegen.sources.module_source import ModuleSource
from pytorch_to_mlx.weights import write_folder


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)) for _ in range(2)])
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.norm(x)


@pytest.fixture
def converted(tmp_path):
    """The entry of a small net, its generated source, the model, and the function that reloads the weights."""
    torch.manual_seed(0)
    module = Net().eval()
    source = ModuleSource(module, (torch.randn(2, 5, 8),))
    entry = source.entries()[0]
    generated = generate([entry], module)
    files = {"model.py": generated.source.encode()}
    folder = write_folder(tmp_path / "net", config={"sizes": generated.sizes}, weights=generated.weights, files=files)
    model = load_generated(folder)
    return entry, generated, model, partial(reload, model, folder)


def test_every_call_agrees_and_a_wrong_weight_shows_where_it_is(converted):
    entry, generated, model, reset = converted
    hints = size_hints(entry)
    checks = check_submodules(generated, entry, model, hints, reset)
    assert all(check.ok for check in checks), checks
    paths = [check.path for check in checks]
    assert {"blocks.0.0", "blocks.0.2", "blocks.1.0", "blocks.1.2", "norm"} <= set(paths)
    assert {check.method for check in checks} == {"forward"}
    assert all(0 < check.scale for check in checks)

    def spoil(path):
        reset(path)
        layer = submodule(model, "blocks.1.0")
        layer.weight = layer.weight + mx.eye(8) * 0.01

    spoil("")
    wrong = [check for check in check_submodules(generated, entry, model, hints, spoil) if not check.ok]
    assert "blocks.1.0" in {check.path for check in wrong}
    assert not {"blocks.0.0", "blocks.0.2", "blocks.1.2", "norm"} & {check.path for check in wrong}
    assert wrong[-1].as_dict()["class_name"].endswith("Linear") and "relative error" in wrong[-1].why


def test_the_first_wrong_op(converted, monkeypatch):
    entry, *_ = converted
    hints = size_hints(entry)
    assert first_wrong_op(entry, hints) is None
    table = op_table.table()
    lowering = table["aten.gelu.default"]

    @wraps(lowering.function)
    def wrong(*args, **kwargs):
        return lowering.function(*args, **kwargs) * 1.001

    monkeypatch.setitem(table, "aten.gelu.default", replace(lowering, function=wrong))
    found = first_wrong_op(entry, hints)
    assert found is not None
    assert (found.op, found.module) == ("aten.gelu.default", "blocks.0.1")
    assert "relative error 1.0e-03 > 1.0e-05 at [" in found.why


def test_truth_in_both_precisions(converted):
    entry, *_ = converted
    graph = entry.captured.graph
    names: list[str] = []
    truth = Truth(entry, {node.name for node in graph.nodes}).run(names.append)
    assert names == list(truth.values)
    (result,) = graph.output.inputs()
    module, (x,) = Net(), entry.args
    module.load_state_dict(entry.captured.weights)
    with torch.no_grad():
        torch.testing.assert_close(truth.float32(result), module(x), rtol=0, atol=0)
        exact = module.double()(x.double())
    torch.testing.assert_close(truth.float64(result, {}), exact, rtol=1e-13, atol=1e-13)
    weight = next(node for node in graph.nodes if node.op == "weight")
    assert torch.equal(truth.float32(weight), entry.captured.weights[weight.args[0]])


def test_the_arbiter_starts_from_the_known_values(converted):
    """An error that float32 made before a node is not held against the node."""
    entry, *_ = converted
    (result,) = entry.captured.graph.output.inputs()
    truth = Truth(entry, {result.name, *(node.name for node in result.inputs() if node.op != "weight")}).run()
    (before,) = (node for node in result.inputs() if node.op != "weight")
    moved = truth.float32(before) + 1
    norm = nn.LayerNorm(8).double()
    torch.testing.assert_close(
        truth.float64(result, {before.name: moved}), norm(moved.double()), rtol=1e-13, atol=1e-13
    )
