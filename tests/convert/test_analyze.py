"""`analyze` on checkpoints that would convert, and on those that would not."""

import json

import mlx.core as mx
import pytest
import torch
import toy_net
import toy_torch

from pytorch_to_mlx.analyze import analyze
from pytorch_to_mlx.analyze.checkpoint import Analysis
from pytorch_to_mlx.checkpoint.base import TensorInfo
from pytorch_to_mlx.cli import main
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError


def test_a_checkpoint_that_would_convert(source, net):
    analysis = analyze(source)
    assert (analysis.family, analysis.kind, analysis.convertible, analysis.converted) == (
        "toy-net",
        "torch",
        True,
        False,
    )
    state = net.state_dict()
    numbers = sum(t.numel() for t in state.values())
    assert (analysis.tensors, analysis.parameters) == (len(state), numbers)
    assert analysis.dtypes == {
        "float32": {"tensors": len(state) - 1, "parameters": numbers - 1, "bytes": 4 * (numbers - 1)},
        "int64": {"tensors": 1, "parameters": 1, "bytes": 8},
    }
    assert analysis.bytes == 4 * (numbers - 1) + 8
    assert analysis.sizes.keys() == {"float32", "float16", "bfloat16"}  # rows of 32 are no group of 64
    assert analysis.dropped == {"steps": "counts training steps"}
    assert analysis.config_ignored == ["novelty"]
    assert "would convert" in analysis.summary() and "family toy-net" in analysis.summary()
    assert {"tensor": "lin.0.bias   float32 [32]   (+1 more)"} in analysis.rows()
    assert json.loads(json.dumps(analysis.to_dict()))["contents"][1]["shape"] == [50, 32]


def test_a_converted_folder(tmp_path, source):
    analysis = analyze(convert(source, tmp_path / "out"))
    assert (
        analysis.converted
        and analysis.convertible
        and analysis.kind == "mlx"
        and "already converted" in analysis.summary()
    )
    packed = analyze(convert(source, tmp_path / "packed", quantize=True, q_group_size=32))
    assert packed.quantization == {"bits": 8, "group_size": 32, "mode": "affine"}
    assert packed.parameters == analysis.parameters
    assert packed.sizes == {**analysis.sizes, "as stored": (tmp_path / "packed" / "model.safetensors").stat().st_size}


def test_tensors_without_rules_and_rules_without_tensors(source, net):
    state = net.state_dict()
    state |= {f"adapter.{i}.weight": torch.zeros(2, 3) for i in range(3)}
    del state["head.bias"], state["steps"], state["rnn.bias_ih_l0"]
    torch.save(state, source / "net.pth")
    analysis = analyze(source)
    assert not analysis.convertible
    assert analysis.unmatched == ["adapter.0.weight   float32 [2, 3]   (+2 more)"]
    assert analysis.dead_rules == ["drop(steps)"]
    assert analysis.problems == [
        "3 tensors match no rule",
        "1 rule matches no tensor",
        "rnn.bias_hh_l0 is there without rnn.bias_ih_l0",
    ]
    assert "would not convert: 3 problems" in analysis.summary()
    assert "no rule: adapter.0.weight   float32 [2, 3]   (+2 more)" in analysis.summary()


def test_c48_bad_numbers_are_a_problem_not_a_crash(source, net):
    toy_torch.write_checkpoint(source, net, config={**toy_net.CONFIG, "hidden_size": -1, "vocab_size": "x"})
    analysis = analyze(source)
    assert not analysis.convertible and "2 problems in the configuration" in analysis.problems[0]


def test_c50_unknown_family(tmp_path, family):
    folder = toy_torch.write_checkpoint(
        tmp_path / "other", torch.nn.Linear(4, 3), config={"architectures": ["ToyNets"]}
    )
    analysis = analyze(folder)
    assert (analysis.family, analysis.convertible, analysis.tensors, analysis.parameters) == (None, False, 2, 15)
    assert "belongs to no supported family (its config.json says ToyNets)" in analysis.problems[0]
    assert "nearest: toy-net" in analysis.problems[0]


def test_other_files_are_refused(tmp_path, family):
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")
    with pytest.raises(FormatError, match="HTML"):
        analyze(tmp_path / "page.pth")
    with pytest.raises(UsageError, match="no such file"):
        analyze(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no model family is called 'nothing'"):
        analyze(tmp_path / "page.pth", family="nothing")


def test_of_very_many_names_the_first_are_shown():
    """400,000 names that differ in more than numbers took minutes to lay out."""
    contents = [TensorInfo.of(f"a{number}x.weight", "float32", (1,)) for number in range(5000)]
    result = Analysis("big.safetensors", "safetensors", None, contents=contents, problems=["no family"])
    rows = result.rows()
    assert len(rows) == 1001 and rows[999] == {"tensor": "a999x.weight   float32 [1]"}
    assert rows[1000] == {"tensor": "… and 4000 more kinds of names; all are in --json"}
    assert len(result.to_dict()["contents"]) == 5000
    with pytest.raises(CheckError, match=r"big.safetensors: would not convert\n  no family"):
        result.check()


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--check"], 5)])
def test_exit_code_5_is_asked_for(tmp_path, capsys, options, code):
    mx.save_safetensors(str(tmp_path / "a.safetensors"), {"w": mx.zeros(2)})
    assert main(["analyze", str(tmp_path / "a.safetensors"), *options]) == code
    out, err = capsys.readouterr()
    assert "would not convert: 1 problem" in out and ("error: " in err) == bool(code)
