"""Results on disk, their counts, and the reasons of cases that do not pass."""

from pytorch_to_mlx.bench.coverage.results import Coverage, append, read, reason, summarize


def test_the_last_line_of_a_case_counts(tmp_path):
    append(tmp_path, "timm", {"cases": 3})
    append(tmp_path, "timm", {"name": "a", "ok": False, "reason": "not built: x"})
    append(tmp_path, "timm", {"name": "a", "ok": True})
    coverage = read(tmp_path)
    counts = summarize("timm", coverage.suites["timm"], coverage.sizes["timm"])
    assert (counts["cases"], counts["measured"], counts["passed"]) == (3, 1, 1)


def test_samples_of_ops_are_counted_beside_the_cases():
    cases = [
        {"name": "a", "ok": True, "samples": 3, "passed": 3, "reasons": {}},
        {"name": "b", "ok": False, "samples": 5, "passed": 4, "reasons": {"error 1.0e+00 against 1.0e-05": 1}},
    ]
    counts = summarize("ops", cases, 677)
    assert (counts["cases"], counts["measured"], counts["passed"], counts["of measured"]) == (677, 2, 1, "50.0 %")
    assert (counts["samples"], counts["samples passed"]) == (8, 7)
    assert reason(cases[1]) == "4 of 5 samples; 1× error 1.0e+00 against 1.0e-05"
    assert Coverage({"ops": cases}).summary() == f"ops b: {reason(cases[1])}"


def test_conversion_times_are_medians_of_cpu_time_alone():
    steps = dict.fromkeys(("built", "exported", "converted", "matched", "dynamic"), True)
    times = [("cpu", 1.0), ("cpu", 3.0), ("cpu", 4.0), ("wall", 100.0)]
    cases = [
        steps
        | {"name": str(i), "ok": True, "clock": clock, "seconds": {"capture": s, "generate": 1.0, "first size": 9.0}}
        for i, (clock, s) in enumerate(times)
    ]
    assert summarize("timm", cases, 4)["median conversion, CPU s"] == 4.0
    assert summarize("timm", cases[3:], 1)["median conversion, CPU s"] is None
