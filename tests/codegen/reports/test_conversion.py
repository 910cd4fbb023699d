"""codegen/reports/conversion.py: what the texts of a generated folder say."""

import json

import pytest

from pytorch_to_mlx.codegen.reports.conversion import Conversion, plain_json, readme_text, report_text
from pytorch_to_mlx.errors import CheckError

RIGHT = {"ok": True, "error": 2e-7, "torch_float32_error": 1e-7, "scale": 2.5, "why": ""}
WRONG = {**RIGHT, "ok": False, "error": 0.25, "why": "relative error 2.5e-01 > 1.0e-05 at [1]: ours 2, PyTorch 1"}
OP = {"op": "aten.gelu.default", "module": "blocks.0", "where": "net.py:12", "why": "relative error 1.0e-03 > 1.0e-05"}


def submodule(path, class_name, result):
    return {"method": "forward", "path": path, "call": 0, "class_name": f"torch.nn.{class_name}", **result}


def conversion(output=RIGHT, layer=RIGHT, **fields):
    submodules = [submodule("a", "Linear", RIGHT), submodule("b", "Linear", layer), submodule("n", "LayerNorm", RIGHT)]
    return Conversion(
        "net.py:build", "Net", folder="out", captured="torch.export", parameters=1234, source_lines=50,
        outputs=[{"size": "as captured", **RIGHT}, {"size": "s0=3", **output}], submodules=submodules, **fields,
    )  # fmt: skip


def test_a_conversion_that_agrees():
    result = conversion(versions={"mlx": "0.32.4", "torch": "2.13.0"})
    result.check()
    assert result.ok and result.to_dict()["ok"]
    assert result.rows() == [
        {"class": "Linear", "calls": 2, "error": "2.0e-07", "agrees": "yes"},
        {"class": "LayerNorm", "calls": 1, "error": "2.0e-07", "agrees": "yes"},
    ]
    assert result.summary().splitlines() == [
        "Net: 1,234 parameters, 50 lines of source",
        "outputs as captured: error 2.0e-07 (PyTorch float32 1.0e-07), agrees",
        "outputs s0=3: error 2.0e-07 (PyTorch float32 1.0e-07), agrees",
        "out",
    ]
    text = report_text(result)
    assert "1e-05 is allowed, or 2 times the error of PyTorch's own float32 if that is more" in text
    assert "| s0=3 | 2.0e-07 | 1.0e-07 | 2.5 | yes |" in text and "| `n` | LayerNorm | 2.0e-07 |" in text
    assert "3 of 3 calls agree" in text and "**" not in text and "## First op" not in text
    assert text.endswith("Compared with mlx 0.32.4, torch 2.13.0.\n")


def test_every_difference_is_named():
    result = conversion(WRONG, WRONG, wrong_op=OP)
    op = "aten.gelu.default at net.py:12 (in module blocks.0): relative error 1.0e-03 > 1.0e-05"
    with pytest.raises(CheckError, match="Net in MLX differs from PyTorch") as error:
        result.check()
    assert list(error.value.details) == [
        f"outputs s0=3: {WRONG['why']}",
        f"b (torch.nn.Linear): {WRONG['why']}",
        f"first op that differs: {op}",
    ]
    assert result.rows()[0] == {"class": "Linear", "calls": 2, "error": "2.5e-01", "agrees": "no"}
    assert f"DIFFERS: {WRONG['why']}" in result.summary()
    text = report_text(result)
    assert f"| `b` | Linear | 2.5e-01 | 1.0e-07 | 2.5 | **no**: {WRONG['why']} |" in text
    assert "2 of 3 calls agree" in text and f"## First op that differs\n\n{op}\n" in text


def test_the_rest_of_the_report_is_only_there_if_it_says_something():
    plain = report_text(conversion())
    full = report_text(
        conversion(
            renamed={"_w": "w_"}, replaced={"blocks.0": "MyAttention"}, unused=["pooler.bias"], updated=["count"],
            quantization={"bits": 4, "error": 0.02},
        )
    )  # fmt: skip
    for part in (
        "## Weights renamed\n\n- `_w → w_`\n",
        "## Replaced by a registered module\n\n- `blocks.0: MyAttention`\n",
        "## Weights that no captured method reads\n\n- `pooler.bias`\n",
        "## Buffers that a call updates\n\n- `count`\n",
        "## Quantization\n\nQuantized to 4 bits: outputs differ by 2.0e-02.",
    ):
        assert part in full and part.splitlines()[0] not in plain


def test_readme_says_how_to_call_it():
    tokens = {"dtype": "int64", "shape": ["s0", 8]}
    one = {"__call__": {"arguments": ["ids"], "inputs": {"ids": tokens}}}
    text = readme_text(conversion(), {"methods": one})
    assert "result = model(ids)\n" in text and "| `ids` | int64 | [s0, 8] |" in text
    assert "It agrees with PyTorch: see report.md." in text
    two = {"encode": {"arguments": ["ids"], "inputs": {"ids": tokens}}, "reset": {"arguments": [], "inputs": {}}}
    text = readme_text(conversion(WRONG), {"methods": two})
    assert "result = model.encode(ids)\nresult = model.reset()\n" in text
    assert "| method | input | dtype | shape |\n|---|---|---|---|\n| `encode` | `ids` | int64 | [s0, 8] |" in text
    assert "**It differs from PyTorch**" in text


def test_strict_json():
    tree = {1: (float("nan"), float("-inf")), "ok": [True, 2.5, None]}
    assert plain_json(tree) == {"1": ["nan", "-inf"], "ok": [True, 2.5, None]}
    failed = conversion({**WRONG, "error": float("inf")})
    assert json.loads(json.dumps(failed.to_dict(), allow_nan=False))["outputs"][1]["error"] == "inf"


def test_the_report_says_what_the_proof_ran_on():
    sentence = "with the CPU kernels of pytorch-to-mlx-cpu under MLX's functions"
    assert sentence in report_text(conversion(has_kernels=True)) and sentence not in report_text(conversion())
