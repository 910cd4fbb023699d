"""The rules for every tensor of hift.pt."""

from ....weights import CONV1D, CONV_TRANSPOSE1D, Layout, rename, weight_norm
from ....weights.rules import Rules
from ..rules import weight_and_bias
from .config import F0_LAYERS


def res_block(source: str, target: str) -> list[Rules]:
    """Return the rules of one residual block."""
    rules: list[Rules] = []
    for i in (1, 2):
        rules += [
            weight_norm(f"{source}.convs{i}.{{}}", f"{target}.convs{i}.{{}}", CONV1D),
            rename(f"{source}.activations{i}.{{}}.alpha", f"{target}.alphas{i}.{{}}"),
        ]
    return rules


def hift(up: Layout) -> tuple[Rules, ...]:
    """Return the rules of a vocoder whose upsampling convolutions have this layout."""
    return (
        weight_norm("conv_pre", "conv_pre", CONV1D),
        weight_norm("ups.{}", "ups.{}", up),
        *weight_and_bias("source_downs.{}", "source_downs.{}", CONV1D),
        *res_block("source_resblocks.{}", "source_blocks.{}"),
        *res_block("resblocks.{}", "blocks.{}"),
        weight_norm("conv_post", "conv_post", CONV1D),
        *weight_and_bias("m_source.l_linear", "source.linear"),
        *(weight_norm(f"f0_predictor.condnet.{2 * i}", f"f0_predictor.convs.{i}", CONV1D) for i in range(F0_LAYERS)),
        *weight_and_bias("f0_predictor.classifier", "f0_predictor.classifier"),
    )


HIFT = hift(CONV_TRANSPOSE1D)
CAUSAL_HIFT = hift(CONV1D)
