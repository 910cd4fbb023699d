"""validate/files.py: two recordings, two checkpoints."""

import json

import mlx.core as mx
import numpy as np
import pytest
import soundfile

from pytorch_to_mlx.errors import CheckError, FormatError
from pytorch_to_mlx.validate.files import compare_files


def checkpoint(path, **tensors):
    mx.save_safetensors(str(path), {name: mx.array(values) for name, values in tensors.items()})
    return path


def test_checkpoints_tensor_by_tensor(tmp_path):
    ours = checkpoint(tmp_path / "a.safetensors", same=[1.0, 2], close=[1.0, 2], off=[1.0, 2], zero=[0.0], mine=[1.0])
    theirs = checkpoint(tmp_path / "b.safetensors", same=[1.0, 2], close=[1.0, 2.000002], off=[1.0, 3], zero=[0.0])
    result = compare_files(ours, theirs)
    assert {r.name: r.passed for r in result.results} == {"same": True, "close": True, "off": False, "zero": True}
    assert result.only == (f"only in {ours}: mine",) and not result.same
    assert result.summary().splitlines()[0] == "4 compared: 2 equal, 1 within the tolerance, 1 differ"
    assert [(row["name"], row[""]) for row in result.rows()[:2]] == [("off", "differs"), ("close", "close")]
    with pytest.raises(CheckError) as error:
        result.check()
    assert list(error.value.details) == [
        f"only in {ours}: mine",
        "off: relative error 3.33e-01 > 1.00e-05 at [1]: ours 2, b.safetensors 3",
    ]
    assert json.loads(json.dumps(compare_files(ours, ours).check().to_dict(), default=vars))["same"]


def test_bfloat16_is_compared_exactly(tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, value in zip(paths, (1.0, 1.0078125), strict=True):
        mx.save_safetensors(str(path), {"w": mx.array([value], mx.bfloat16)})
    assert compare_files(*paths, tolerance="bfloat16").same
    assert not compare_files(*paths, tolerance="exact").same and compare_files(paths[0], paths[0]).same


def test_recordings(tmp_path):
    sound = np.sin(np.arange(800) / 9) / 2
    paths = {name: tmp_path / f"{name}.wav" for name in ("a", "noisy", "slow")}
    soundfile.write(paths["a"], sound, 16000, subtype="FLOAT")
    soundfile.write(paths["noisy"], sound + 1e-3, 16000, subtype="FLOAT")
    soundfile.write(paths["slow"], sound, 8000, subtype="FLOAT")
    assert compare_files(paths["a"], paths["a"]).same
    assert not compare_files(paths["noisy"], paths["a"]).same
    assert compare_files(paths["noisy"], paths["a"], tolerance="bfloat16").same
    other_rate = compare_files(paths["slow"], paths["a"])
    assert other_rate.only == ("sample rates 8000 and 16000 Hz",) and not other_rate.same
    with pytest.raises(FormatError, match="one is audio, the other is not"):
        compare_files(paths["a"], tmp_path / "b.safetensors")


def test_recordings_of_other_lengths_are_compared_where_both_have_samples(tmp_path):
    """The words of two files, neither of which is PyTorch's; the figures were nan, and are those of the common part."""
    sound = np.sin(np.arange(800) / 9) / 2
    soundfile.write(tmp_path / "a.wav", sound, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", sound[:640] * 1.1, 16000, subtype="FLOAT")
    result = compare_files(tmp_path / "a.wav", tmp_path / "b.wav")
    with pytest.raises(CheckError) as error:
        result.check()
    [lengths, failure] = error.value.details
    assert lengths == "lengths 800 and 640 samples (0.050 and 0.040 s); only what both have is compared"
    assert "b.wav 0." in failure and "PyTorch" not in str(error.value)
    assert result.results[0].relative == pytest.approx(0.1 / 1.1, rel=1e-3)
    assert not compare_files(tmp_path / "a.wav", tmp_path / "a.wav").only
