"""The page of coverage results."""

from pytorch_to_mlx.bench.coverage import Coverage, page
from pytorch_to_mlx.bench.coverage.report import _kind, costs, rough_references, times


def test_run_times_are_a_line_for_each_module():
    part = {"name": "a", "ok": True, "milliseconds": {"torch": 6.0, "generated": 12.0, "patched": 3.0, "port": 2.0}}
    rows = times([part, {"name": "b", "ok": False, "reason": "crashed"}])
    assert rows[-2:] == ["| a | 6.0 | 12.0 (0.50) | 3.0 (2.00) | 2.0 (3.00) |", ""]
    part["milliseconds"].pop("port")
    assert times([part])[-2] == "| a | 6.0 | 12.0 (0.50) | 3.0 (2.00) |  |"


def test_costs_are_a_line_for_each_model():
    case = {"name": "a", "parameters": 1000, "wall_s": 2.04, "cpu_s": 3.0, "peak_mib": 900, "weights_mib": 300}
    assert costs([case, {"name": "b"}])[2:] == ["| a | 1,000 | 2.0 | 3.0 | 900 | 3.00 |", ""]


def test_the_page_says_that_a_suite_is_a_development_half():
    text = page(Coverage({"huggingface": [], "timm": [], "packages": []}))
    hugging_face, timm, packages = text.split("\n## ")[1:]
    assert "The converter is developed on them" in hugging_face and "development half" in timm
    assert "half" not in packages


def test_reasons_are_counted_by_kind():
    cases = [
        {"name": name, "ok": False, "reason": why}
        for name, why in (
            ("a", "FormatError: transformers/models/a/b.py:7: torch.export cannot capture AModel: it | fails; more"),
            ("b", "FormatError: transformers/models/c/d.py:99: torch.export cannot capture BModel: it | fails"),
            ("c", "not built: ValueError: x"),
        )
    ]
    lines = page(Coverage({"packages": cases})).splitlines()
    assert "| torch.export cannot capture it: it \\| fails | 2 |" in lines and "| not built | 1 |" in lines
    assert lines[lines.index("| failed | why |") + 2].startswith("| a | FormatError: transformers/models/a/b.py:7:")
    assert _kind("took longer than 300 s of CPU time") == "took longer"


def test_cases_whose_reference_is_rough_are_named():
    cases = [
        {"name": "a", "ok": True, "errors": [{"torch_float32_error": 1e-7}, {"torch_float32_error": 0.01}]},
        {"name": "b", "ok": True, "errors": [{"torch_float32_error": 1e-7}]},
        {"name": "c", "ok": False, "errors": [{"torch_float32_error": 0.5}]},
    ]
    assert (
        rough_references(cases)[0].startswith("In 1 of the passed cases")
        and "They are a." in rough_references(cases)[0]
    )
    assert rough_references(cases[1:]) == []
