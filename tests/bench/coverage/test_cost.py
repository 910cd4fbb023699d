"""The cost of a conversion, and the first difference that it found."""

import torch

from pytorch_to_mlx.bench.coverage import cost
from pytorch_to_mlx.codegen.reports.conversion import Conversion


def test_a_conversion_is_timed_with_its_proof(monkeypatch):
    monkeypatch.setitem(cost.MODELS, "linear", lambda: (torch.nn.Linear(4, 3), {"input": torch.randn(2, 4)}))
    case = cost.measure_cost("linear")
    assert case["ok"] and case["reason"] == "" and case["parameters"] == 15
    assert case["weights_mib"] == 60 / 2**20 and case["wall_s"] > 0 and case["cpu_s"] > 0


def test_the_first_difference_is_the_reason():
    outputs = [{"ok": True, "why": ""}, {"ok": False, "why": "error 1.0e+00 against 1.0e-05"}]
    assert cost.first_difference(Conversion("x", "X", outputs=outputs)) == "error 1.0e+00 against 1.0e-05"
    submodules = [{"ok": False, "why": "shape (1,) instead of (2,)"}]
    conversion = Conversion("x", "X", outputs=outputs[:1], submodules=submodules)
    assert cost.first_difference(conversion) == "shape (1,) instead of (2,)"
    assert cost.first_difference(Conversion("x", "X", outputs=outputs[:1])) == ""
