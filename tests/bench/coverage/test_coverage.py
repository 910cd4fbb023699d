"""The coverage suites: results on disk, their page, a case that crashes, the shrinker."""

import os

import pytest

from pytorch_to_mlx.bench.coverage import measure, page, read, run
from pytorch_to_mlx.bench.coverage.huggingface import build, measure_type
from pytorch_to_mlx.bench.coverage.report import append, summarize, times
from pytorch_to_mlx.bench.coverage.shrink import lacking, shrink
from pytorch_to_mlx.bench.coverage.suites import preload
from pytorch_to_mlx.cli import general
from pytorch_to_mlx.errors import UsageError


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
    found = general.benchmark("coverage", suite=["ops"], only=["nn.functional.relu"])
    assert [case["ok"] for case in found.suites["ops"]] == [True]
    assert not list(tmp_path.iterdir())
    general.benchmark("coverage", suite=["ops"], only=["nn.functional.relu"], output=tmp_path / "results")
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "ops.jsonl"]
    with pytest.raises(UsageError, match="which cases failed"):
        measure(["ops"], failed=True)
    with pytest.raises(UsageError, match="not a folder"):
        measure(["ops"], tmp_path / "results" / "ops.jsonl")


def test_named_and_failed_cases_are_measured_again(tmp_path):
    append(tmp_path, "ops", {"cases": 677})
    for name, right in (("abs", False), ("nn.functional.relu", True)):
        append(tmp_path, "ops", {"name": name, "ok": right, "samples": 1, "right": int(right), "reason": "old"})
    found = run.run(["ops"], results=tmp_path, only=["nn.functional.relu"])
    again = {case["name"]: "versions" in case for case in found.suites["ops"]}
    assert again == {"abs": False, "nn.functional.relu": True}
    found = run.run(["ops"], results=tmp_path, failed=True, within_s=0)
    assert len(found.suites["ops"]) == 2
    assert "1 cases at" in page(found) and "1 cases before commits" in page(found)
    with pytest.raises(UsageError, match="no case 'nothing'"):
        run.run(["ops"], results=tmp_path, only=["nothing"])


class Config:
    """What the shrinker sees of a config."""

    def __init__(self, **fields):
        vars(self).update(fields)


def test_fields_that_belong_together_shrink_together():
    config = Config(
        vocab_size=1000,
        pad_token_id=999,
        hidden_size=512,
        num_attention_heads=8,
        head_dim=64,
        rope_parameters={"mrope_section": [8, 12, 12]},
        qk_nope_head_dim=48,
        qk_rope_head_dim=16,
        qk_head_dim=64,
    )
    small = shrink(config, lambda candidate: True)
    assert small.pad_token_id < small.vocab_size
    assert 2 * sum(small.rope_parameters["mrope_section"]) == small.head_dim
    assert small.qk_head_dim == small.qk_nope_head_dim + small.qk_rope_head_dim
    assert (config.vocab_size, config.rope_parameters["mrope_section"]) == (1000, [8, 12, 12])


def test_what_a_config_leaves_open_is_filled_in():
    config = Config(num_hidden_layers=9, layer_types=None, head_dim=None, num_experts_per_tok=None)
    small = shrink(config, lambda candidate: candidate.head_dim is not None)
    assert len(small.layer_types) == small.num_hidden_layers == 2 and small.num_experts_per_tok == 2


def test_layers_that_stay_are_of_every_kind_in_turn():
    config = Config(num_hidden_layers=6, kinds=["a", "a", "a", "b", "b", "b"])
    small = shrink(config, lambda candidate: candidate.kinds.count("b") == 2)
    assert small.kinds == ["a", "a", "b", "b"]


def test_timm_backbones_become_timms_own_tiny_ones():
    small = shrink(Config(architecture="mobilenetv5_300m_enc", width_coefficient=2.0), lambda candidate: True)
    assert (small.architecture, small.width_coefficient) == ("test_efficientnet", 1.0)


def test_feature_maps_shrink_with_the_image():
    config = Config(image_size=[1024, 1024], backbone_feature_sizes=[[256, 256], [64, 64]])
    assert shrink(config, lambda candidate: True).backbone_feature_sizes == [[16, 16], [4, 4]]


def test_attention_wider_than_the_model_stays_so():
    config = Config(hidden_size=3712, attention_hidden_size=7424, num_attention_heads=16, attention_head_dim=464)
    small = shrink(config, lambda candidate: True)
    assert small.attention_hidden_size == 2 * small.hidden_size
    assert small.attention_head_dim * small.num_attention_heads == small.attention_hidden_size


def test_a_field_that_the_code_asks_for_is_added():
    config = Config(hidden_size=8)
    assert lacking(config, AttributeError("'Config' object has no attribute 'image_start_token_id'"))
    assert config.image_start_token_id and not lacking(config, AttributeError("'Config' object has no attribute 'x'"))


def test_packed_images_are_exported_with_transformers_own_patches():
    preload("huggingface")
    assert measure_type("qwen3_vl_vision").ok


def test_experts_are_exported_all_at_once_where_transformers_can_choose():
    found = measure_type("openai_privacy_filter")
    assert found.ok and "transformers.exporters" in found.how


@pytest.mark.parametrize("name", ["qwen2_moe", "clip", "swin", "audioflamingo3_encoder", "qwen3_vl_vision"])
def test_models_become_tiny(name):
    preload("huggingface")
    model, _, shapes = build(name)
    assert sum(p.numel() for p in model.parameters()) < 200_000 and shapes


def test_run_times_are_a_line_for_each_module():
    part = {"name": "a", "ok": True, "milliseconds": {"torch": 6.0, "generated": 12.0, "patched": 3.0, "port": 2.0}}
    rows = times([part, {"name": "b", "ok": False, "reason": "crashed"}])
    assert rows[-2:] == ["| a | 6.0 | 12.0 (0.50) | 3.0 (2.00) | 2.0 (3.00) |", ""]
    part["milliseconds"].pop("port")
    assert times([part])[-2] == "| a | 6.0 | 12.0 (0.50) | 3.0 (2.00) |  |"
