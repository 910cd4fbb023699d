"""Cases in processes of their own: results stay on disk, crashes cost one case, nothing is measured twice."""

import os

import pytest

from pytorch_to_mlx.bench.coverage import measure, page, run
from pytorch_to_mlx.bench.coverage.results import append
from pytorch_to_mlx.cli import general
from pytorch_to_mlx.errors import UsageError


def crash(*_):
    os._exit(7)


def test_a_case_that_crashes_costs_one_case():
    case = run.measure_case("ops", "nn.functional.relu", None, 60, measure=crash)
    assert not case["ok"] and "7" in case["reason"]


def test_measured_cases_are_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "names", lambda suite: ["nn.functional.relu"])
    first = run.run(["ops"], results=tmp_path)
    assert [case["ok"] for case in first.suites["ops"]] == [True]
    before = (tmp_path / "ops.jsonl").read_text()
    run.run(["ops"], results=tmp_path)
    assert (tmp_path / "ops.jsonl").read_text() == before
    with pytest.raises(UsageError, match="no suite"):
        run.run(["everything"], results=tmp_path)


def test_nothing_is_written_where_no_output_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coverage = general.benchmark("coverage", suite=["ops"], only=["nn.functional.relu"])
    assert [case["ok"] for case in coverage.suites["ops"]] == [True]
    assert not list(tmp_path.iterdir())
    general.benchmark("coverage", suite=["ops"], only=["nn.functional.relu"], output=tmp_path / "results")
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "ops.jsonl"]
    with pytest.raises(UsageError, match="which cases failed"):
        measure(["ops"], failed=True)
    with pytest.raises(UsageError, match="not a folder"):
        measure(["ops"], tmp_path / "results" / "ops.jsonl")


def test_named_and_failed_cases_are_measured_again(tmp_path):
    append(tmp_path, "ops", {"cases": 677})
    for name, passed in (("abs", False), ("nn.functional.relu", True)):
        append(tmp_path, "ops", {"name": name, "ok": passed, "samples": 1, "passed": int(passed), "reason": "old"})
    coverage = run.run(["ops"], results=tmp_path, only=["nn.functional.relu"])
    again = {case["name"]: "versions" in case for case in coverage.suites["ops"]}
    assert again == {"abs": False, "nn.functional.relu": True}
    coverage = run.run(["ops"], results=tmp_path, failed=True, within_s=0)
    assert len(coverage.suites["ops"]) == 2
    assert "1 cases at" in page(coverage) and "1 cases before commits" in page(coverage)
    with pytest.raises(UsageError, match="no case 'nothing'"):
        run.run(["ops"], results=tmp_path, only=["nothing"])


def test_cases_start_in_the_order_of_their_hashes():
    names = [f"case {i}" for i in range(50)]
    order = sorted(names, key=run._hash)
    assert order != names and order == sorted(reversed(names), key=run._hash)
