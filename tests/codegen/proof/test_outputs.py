"""codegen/proof/outputs.py: the outputs of both sides on the same inputs."""

import mlx.core as mx
import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.proof.outputs import check_outputs, flat_arrays, import_source, reference_outputs


class Rotate(nn.Module):
    """Complex outputs beside real and whole ones."""

    def forward(self, x):
        return {"turned": torch.polar(torch.ones_like(x), x), "sizes": [x.abs(), (x > 0).sum()]}


class Ours:
    """Rotate in MLX; `error` is added to the imaginary part."""

    def __init__(self, error=0.0, n_outputs=3):
        self.error, self.n_outputs = error, n_outputs
        self.n_resets = 0

    def __call__(self, x):
        outputs = [mx.cos(x) + 1j * (mx.sin(x) + self.error), mx.abs(x), mx.sum(x > 0).astype(mx.int64)]
        return tuple(outputs[: self.n_outputs])

    def reset(self):
        self.n_resets += 1


def check(ours):
    agreements = check_outputs(ours, Rotate(), (torch.tensor([0.5, -2.0]),), {}, reset=ours.reset)
    assert ours.n_resets == 1
    return [agreement.ok for agreement in agreements], agreements


def test_every_output_is_compared():
    assert check(Ours())[0] == [True, True, True]
    oks, agreements = check(Ours(error=1e-3))
    assert oks == [False, True, True] and "PyTorch (float64)" in agreements[0].why


def test_a_missing_output_is_one_failure():
    oks, agreements = check(Ours(n_outputs=2))
    assert oks == [False] and agreements[0].why == "2 outputs, PyTorch gives 3"


def test_reference_in_both_precisions():
    x = torch.tensor([0.1, 0.7])
    float32, float64 = reference_outputs(Rotate(), (x,), {})
    assert [t.dtype for t in float32] == [torch.complex64, torch.float32, torch.int64]
    assert [t.dtype for t in float64] == [torch.complex128, torch.float64, torch.int64]
    torch.testing.assert_close(float64[0].imag, x.double().sin(), rtol=1e-15, atol=0)


def test_a_module_for_float32_alone_has_no_float64_reference():
    class Float32Only(nn.Module):
        def forward(self, x):
            return torch.cat([x, torch.ones(1, dtype=torch.float32)]).view(torch.int32).view(torch.float32)

    class Refusing(nn.Module):
        def forward(self, x):
            if x.dtype != torch.float32:
                raise TypeError("float32 only")
            return x + 1

    float32, float64 = reference_outputs(Refusing(), (torch.ones(2),), {})
    assert float32[0].tolist() == [2, 2] and float64 is None
    float32, float64 = reference_outputs(Float32Only(), (torch.ones(2),), {})  # its float64 output is twice as long
    assert float32[0].shape == (3,) and float64 is None


def test_arrays_of_a_tree_in_order():
    tree = {"b": mx.array(1), "a": [mx.array(2), (mx.array(3), None)]}
    assert [array.item() for array in flat_arrays(tree)] == [1, 2, 3]


def test_sources_of_one_name_are_modules_of_their_own(tmp_path):
    paths = []
    for number in (1, 2):
        paths.append(tmp_path / str(number) / "model.py")
        paths[-1].parent.mkdir()
        paths[-1].write_text(f"NUMBER = {number}\n")
    first, second = map(import_source, paths)
    assert (first.NUMBER, second.NUMBER) == (1, 2)
    paths[0].write_text("raise ValueError('broken')")
    with pytest.raises(ValueError, match="broken"):
        import_source(paths[0])
