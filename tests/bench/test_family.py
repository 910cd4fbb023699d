"""A family's workloads, on our side alone and beside PyTorch."""

import pytest

from pytorch_to_mlx.bench import benchmark, family
from pytorch_to_mlx.contract import Workload
from pytorch_to_mlx.errors import UsageError


def test_both_sides_are_measured_and_profiled(tone):
    result = benchmark("tonenet", family="tone", against="torch", runs=1, fresh=False, profile=True)
    workloads = {m.workload for m in result.measurements}
    assert workloads and all(m.ours > 0 and m.torch > 0 for m in result.measurements)
    assert {m.measure for m in result.measurements} >= {"wall", "CPU"}
    sides = ("ours by stage", "ours by op", "torch by op")
    assert set(result.profile) == {f"{workload}: {side}" for workload in workloads for side in sides}
    assert result.threads.keys() == {"ours", "torch"} and result.what == "tone"


def test_ours_alone_is_the_largest_workload(tone):
    result = benchmark("tonenet", family="tone", runs=1, fresh=False)
    assert [(m.workload, m.measure) for m in result.measurements][:2] == [("largest", "wall"), ("largest", "CPU")]
    assert all(m.torch is None for m in result.measurements)


def test_wrong_use_is_refused_before_anything_is_built(tone):
    with pytest.raises(UsageError, match="tone is measured beside torch"):
        benchmark("tonenet", family="tone", against="onnxruntime")
    with pytest.raises(UsageError, match="runs must be at least 1, not 0"):
        benchmark("tonenet", family="tone", runs=0)


def test_an_unknown_workload_is_refused(tone):
    with pytest.raises(UsageError, match="no workload is called 'dance'"):
        benchmark("tonenet", family="tone", against="torch", workloads=["dance"])


def test_a_long_workload_is_not_warmed_up(tone, monkeypatch):
    calls = []
    works = {
        "long": Workload(lambda: calls.append("long"), None, warmups=0),
        "short": Workload(lambda: calls.append("short"), None),
    }
    monkeypatch.setattr(family, "_select", lambda *_: works)
    benchmark("tonenet", family="tone", runs=2, fresh=False)
    assert calls == ["long"] * 2 + ["short"] * 3
