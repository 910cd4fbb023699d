"""Hugging Face types, reduced and measured whole; and their inputs of other sizes."""

import pytest

from pytorch_to_mlx.bench.coverage.huggingface import _larger, build, measure_type
from pytorch_to_mlx.bench.coverage.suites import preload


def test_packed_images_are_exported_with_transformers_own_patches():
    preload("huggingface")
    assert measure_type("qwen3_vl_vision").ok


def test_experts_are_exported_all_at_once_where_transformers_can_choose():
    result = measure_type("openai_privacy_filter")
    assert result.ok and "transformers.exporters" in result.how


@pytest.mark.parametrize("name", ["qwen2_moe", "clip", "swin", "audioflamingo3_encoder", "qwen3_vl_vision"])
def test_models_are_reduced(name):
    preload("huggingface")
    model, _, shapes = build(name)
    assert sum(p.numel() for p in model.parameters()) < 200_000 and shapes


@pytest.mark.parametrize(
    ("name", "shape", "batch", "rest", "larger"),
    [
        ("input_ids", (2, 7), True, True, (3, 11)),
        ("input_ids", (2, 7), True, False, (3, 7)),
        ("input_ids", (2, 7), False, True, (2, 11)),
        ("pixel_values", (2, 3, 64, 64), False, True, (2, 3, 96, 96)),
        ("input_values", (2, 2800), True, True, (3, 4400)),
        ("input_features", (2, 80, 112), True, True, (3, 80, 168)),
    ],
)
def test_inputs_of_other_sizes(name, shape, batch, rest, larger):
    assert _larger(shape, name, batch, rest, {name: ("noise", shape)}) == larger


def test_lists_of_patches_grow_with_the_images():
    shapes = {"pixel_values": ("noise", (32, 12)), "grid_thw": ("grid", (2, 3))}
    assert _larger((32, 12), "pixel_values", False, True, shapes) == (48, 12)
