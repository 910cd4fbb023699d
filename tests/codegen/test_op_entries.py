"""Every entry of torch's own op tests as a user has it: a module around its first sample goes through `convert`.

The op samples are traced by make_fx at fixed sizes; `convert` traces with torch.export, and sizes stay dynamic. Right
is what PyTorch computes: the proof of the conversion compares with it, at other sizes too where the op takes them.
"""

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from pytorch_to_mlx import convert
from pytorch_to_mlx.bench.coverage.op_samples import entries, entry_name, measure
from pytorch_to_mlx.errors import FormatError

# torch.export has no shapes for the results of these, or their result is a number that decides the trace; or they
# change the statistics or the sizes of their inputs.
REFUSED = set(
    "allclose corrcoef cov equal geqrf histogramdd linalg.lstsq nn.functional.instance_norm resize_ resize_as_".split()
)
SAMPLE = ("cholesky", "cross", "msort", "native_batch_norm", "pinverse", "slice", "solve_triangular", "var_mean")
ENTRIES = {entry_name(entry): entry for entry in entries()}


class Sample(nn.Module):
    """Calls an op on the arguments of a sample, with other tensors in place of its own."""

    def __init__(self, entry):
        super().__init__()
        torch.manual_seed(0)
        sample = next(iter(entry.sample_inputs("cpu", torch.float32, requires_grad=False)))
        self.entry = entry
        self.flat, self.spec = tree_flatten((sample.input, sample.args, sample.kwargs))
        self.places = [place for place, item in enumerate(self.flat) if isinstance(item, torch.Tensor)]

    def tensors(self):
        return tuple(self.flat[place].detach() for place in self.places)

    def forward(self, *tensors):
        flat = list(self.flat)
        for place, tensor in zip(self.places, tensors, strict=True):
            flat[place] = tensor
        first, args, kwargs = tree_unflatten(flat, self.spec)
        return self.entry(first, *args, **kwargs)


def check(name, folder):
    module = Sample(ENTRIES[name])
    if name in REFUSED:
        with pytest.raises(FormatError):
            convert(module, folder, example_inputs=module.tensors())
    else:
        convert(module, folder, example_inputs=module.tensors()).check()


@pytest.mark.parametrize("name", [name for name in ENTRIES if name.rpartition(".")[2] in SAMPLE or name in SAMPLE])
def test_a_cross_section_of_entries(tmp_path, name):
    check(name, tmp_path / "out")


@pytest.mark.full
@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_that_has_a_lowering(tmp_path, name):
    if not measure(ENTRIES[name], 1).ok:
        pytest.skip("its first sample has no lowering, or none that agrees: the coverage of ops counts it")
    check(name, tmp_path / "out")
