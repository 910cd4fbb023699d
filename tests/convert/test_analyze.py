"""What `analyze` says of checkpoints that would and would not convert."""

import json

import pytest
import torch
import toy_net
import toy_torch

from pytorch_to_mlx.analyze import analyze
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError, UsageError


def test_a_checkpoint_that_would_convert(source, net):
    found = analyze(source)
    assert (found.family, found.kind, found.convertible, found.converted) == ("toy-net", "torch", True, False)
    state = net.state_dict()
    numbers = sum(t.numel() for t in state.values())
    assert (found.tensors, found.parameters) == (len(state), numbers)
    assert found.dtypes == {
        "float32": {"tensors": len(state) - 1, "parameters": numbers - 1, "bytes": 4 * (numbers - 1)},
        "int64": {"tensors": 1, "parameters": 1, "bytes": 8},
    }
    assert found.bytes == 4 * (numbers - 1) + 8
    assert found.sizes.keys() == {"float32", "float16", "bfloat16"}  # rows of 32 are no group of 64
    assert found.dropped == {"steps": "counts training steps"}
    assert found.config_ignored == ["novelty"]
    assert "would convert" in found.summary() and "family toy-net" in found.summary()
    assert {"tensor": "lin.0.bias   float32 [32]   (+1 more)"} in found.rows()
    assert json.loads(json.dumps(found.to_json()))["contents"][1]["shape"] == [50, 32]


def test_a_converted_folder(tmp_path, source):
    found = analyze(convert(source, tmp_path / "out"))
    assert found.converted and found.convertible and found.kind == "mlx" and "already converted" in found.summary()
    packed = analyze(convert(source, tmp_path / "packed", quantize=True, q_group_size=32))
    assert packed.quantization == {"bits": 8, "group_size": 32, "mode": "affine"}
    assert packed.parameters == found.parameters
    assert packed.sizes == {**found.sizes, "as stored": (tmp_path / "packed" / "model.safetensors").stat().st_size}


def test_tensors_without_rules_and_rules_without_tensors(source, net):
    state = net.state_dict()
    state |= {f"adapter.{i}.weight": torch.zeros(2, 3) for i in range(3)}
    del state["head.bias"], state["steps"], state["rnn.bias_ih_l0"]
    torch.save(state, source / "net.pth")
    found = analyze(source)
    assert not found.convertible
    assert found.unmatched == ["adapter.0.weight   float32 [2, 3]   (+2 more)"]
    assert found.dead_rules == ["drop(steps)"]
    assert found.problems == [
        "3 tensors match no rule",
        "1 rules match no tensor",
        "rnn.bias_hh_l0 is there without rnn.bias_ih_l0",
    ]
    assert "would not convert: 3 problems" in found.summary()
    assert "no rule: adapter.0.weight   float32 [2, 3]   (+2 more)" in found.summary()


def test_c48_bad_numbers_are_a_problem_not_a_crash(source, net):
    toy_torch.write_checkpoint(source, net, config={**toy_net.CONFIG, "hidden_size": -1, "vocab_size": "x"})
    found = analyze(source)
    assert not found.convertible and "2 problems in the configuration" in found.problems[0]


def test_c50_unknown_family(tmp_path, family):
    folder = toy_torch.write_checkpoint(
        tmp_path / "other", torch.nn.Linear(4, 3), config={"architectures": ["ToyNets"]}
    )
    found = analyze(folder)
    assert (found.family, found.convertible, found.tensors, found.parameters) == (None, False, 2, 15)
    assert "belongs to no supported family (its config.json says ToyNets)" in found.problems[0]
    assert "nearest: toy-net" in found.problems[0]


def test_what_is_no_checkpoint(tmp_path, family):
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")
    with pytest.raises(FormatError, match="HTML"):
        analyze(tmp_path / "page.pth")
    with pytest.raises(UsageError, match="no such file"):
        analyze(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no model family"):
        analyze(tmp_path / "page.pth", family="nothing")
