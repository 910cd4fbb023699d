"""The complete story of every tensor of hift.pt, without a prefix."""

from ....weights import CONV1D, CONV_TRANSPOSE1D, Layout, Rule, rename, weight_norm
from ....weights.rules import Rules
from .f0 import F0_LAYERS


def res_block(source: str, target: str) -> list[Rules]:
    rules: list[Rules] = []
    for i in (1, 2):
        rules += [
            weight_norm(f"{source}.convs{i}.{{}}", f"{target}.convs{i}.{{}}", CONV1D),
            rename(f"{source}.activations{i}.{{}}.alpha", f"{target}.alphas{i}.{{}}"),
        ]
    return rules


def plain(source: str, target: str, *layouts: Layout) -> list[Rule]:
    return [rename(f"{source}.{name}", f"{target}.{name}", *layouts) for name in ("weight", "bias")]


HIFT: tuple[Rules, ...] = (
    weight_norm("conv_pre", "conv_pre", CONV1D),
    weight_norm("ups.{}", "ups.{}", CONV_TRANSPOSE1D),
    *plain("source_downs.{}", "source_downs.{}", CONV1D),
    *res_block("source_resblocks.{}", "source_blocks.{}"),
    *res_block("resblocks.{}", "blocks.{}"),
    weight_norm("conv_post", "conv_post", CONV1D),
    *plain("m_source.l_linear", "source.linear"),
    *(weight_norm(f"f0_predictor.condnet.{2 * i}", f"f0_predictor.convs.{i}", CONV1D) for i in range(F0_LAYERS)),
    *plain("f0_predictor.classifier", "f0_predictor.classifier"),
)
