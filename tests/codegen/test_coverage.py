"""The coverage suites: results on disk, their page, a case that crashes, the shrinker."""

import os
from pathlib import Path

import pytest

from pytorch_to_mlx.codegen.coverage import page, read, run
from pytorch_to_mlx.codegen.coverage.huggingface import build
from pytorch_to_mlx.codegen.coverage.report import append, summarize
from pytorch_to_mlx.codegen.coverage.suites import preload
from pytorch_to_mlx.errors import UsageError

ROOT = Path(__file__).parent.parent.parent


def test_page_is_current():
    text = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert text == page(read(ROOT / "benchmarks" / "coverage")), "run: pytorch-to-mlx benchmark coverage"


def test_the_last_line_of_a_case_counts(tmp_path):
    append(tmp_path, "timm", {"cases": 3})
    append(tmp_path, "timm", {"name": "a", "ok": False, "reason": "not built: x"})
    append(tmp_path, "timm", {"name": "a", "ok": True})
    coverage = read(tmp_path)
    counts = summarize("timm", coverage.suites["timm"], coverage.sizes["timm"])
    assert (counts["cases"], counts["measured"], counts["right"]) == (3, 1, 1)


def crash(*_):
    os._exit(7)


def test_a_case_that_crashes_costs_one_case():
    case = run.one_case("ops", "nn.functional.relu", None, 60, measured=crash)
    assert not case["ok"] and "7" in case["reason"]


def test_measured_cases_are_not_measured_again(tmp_path):
    first = run.run(["ops"], results=tmp_path, only=["nn.functional.relu"])
    assert [case["ok"] for case in first.suites["ops"]] == [True]
    before = (tmp_path / "ops.jsonl").read_text()
    run.run(["ops"], results=tmp_path, only=["nn.functional.relu"])
    assert (tmp_path / "ops.jsonl").read_text() == before
    with pytest.raises(UsageError, match="no suite"):
        run.run(["everything"], results=tmp_path)


@pytest.mark.parametrize("name", ["qwen2_moe", "clip", "swin"])
def test_models_become_tiny(name):
    preload("huggingface")
    model, _, shapes = build(name)
    assert sum(p.numel() for p in model.parameters()) < 200_000 and shapes
