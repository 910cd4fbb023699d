"""Ops with a lowering stay whole, others are decomposed, and refused ops too."""

import torch

from pytorch_to_mlx.codegen.capture.decompose import decompositions
from pytorch_to_mlx.codegen.lowering.ops import table


def test_ops_with_a_lowering_stay_whole():
    whole = {op for op, lowering in table().items() if not lowering.why_not}
    by_name = {str(op) for op in decompositions()}
    assert not whole & by_name and "aten.layer_norm.default" in whole
    everything = {str(op) for op in torch.export.default_decompositions()}
    assert by_name == everything - whole and by_name
