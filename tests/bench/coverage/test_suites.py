"""The suites: what they import exists, and each has cases."""

from importlib.util import find_spec

import pytest

from pytorch_to_mlx.bench.coverage.results import SUITES
from pytorch_to_mlx.bench.coverage.suites import IMPORTS, IMPORTS_OF, measure, names


@pytest.mark.parametrize("suite", SUITES)
def test_modules_of_this_package_that_a_suite_imports_exist(suite):
    ours = [module for module in (*IMPORTS, *IMPORTS_OF.get(suite, ())) if module.startswith("pytorch_to_mlx")]
    assert ours and all(find_spec(module) for module in ours)


@pytest.mark.parametrize(
    ("suite", "case"),
    [
        ("ops", "as_strided.partial_views"),
        ("huggingface", "qwen2_moe"),
        ("packages", "snac: decoder of a neural codec"),
        ("cost", "BERT base"),
        ("runtime", "ViT-B/16 (2 images)"),
        ("wild", "jik876/hifi-gan"),
    ],
)
def test_cases(suite, case):
    assert case in names(suite)


def test_a_case_of_ops_is_measured_with_few_samples():
    assert measure("ops", "nn.functional.relu", limit=2) | {"reasons": {}} == {
        "name": "nn.functional.relu", "samples": 2, "passed": 2, "number_reads": 0, "reasons": {}, "ok": True,
    }  # fmt: skip
