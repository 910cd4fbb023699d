"""The development half: a fixed side for each name, and results of no other."""

import json
from pathlib import Path

import pytest

from pytorch_to_mlx.bench.coverage.development_half import development_half

RESULTS = Path(__file__).parents[3] / "benchmarks" / "coverage"


def test_a_name_keeps_its_side_when_others_are_added():
    names = ["bert", "clip", "gpt2", "llama", "qwen2_moe", "swin", "t5", "vit"]
    half = development_half(names)
    assert 0 < len(half) < len(names) and half == sorted(half)
    assert all(development_half([name]) == [name] * (name in half) for name in names)


@pytest.mark.parametrize("suite", ["huggingface", "timm"])
def test_no_result_is_of_the_other_half(suite):
    lines = map(json.loads, (RESULTS / f"{suite}.jsonl").read_text().splitlines())
    names = {line["name"] for line in lines if "name" in line}
    assert names and development_half(names) == sorted(names)
