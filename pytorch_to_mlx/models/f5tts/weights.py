"""The rules for every tensor of F5-TTS (DiT) and E2-TTS (UNetT), without the prefixes that release.py takes off.

What one of the two lacks is optional: loading is strict, so that nothing which is missing is missed.
"""

from ...weights import CONCAT, CONV1D, Layout, Rule, WeightMap, drop, fold, rename, rotary_halves
from .config import HEAD_DIM

# One number for each channel: [1, 1, D] -> [D].
LAST = Layout(
    "LAST",
    3,
    lambda a: a.reshape(-1),
    lambda a: a[None, None],
    lambda shape: "" if shape[0] == shape[1] == 1 else "the first two axes must be 1",
    passes_bias=False,
)
QKV_WEIGHT, QKV_BIAS = (rotary_halves(HEAD_DIM, rank, fused=True) for rank in (2, 1))
HEAD = rotary_halves(HEAD_DIM, 1)
DIT_LAYER, UNETT_LAYER = "backbone.blocks.{}", "backbone.layers.{}"


def attention(theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the rules of one attention: queries, keys and values become one matrix, whose pairs are halves."""
    parts = ("to_q", "to_k", "to_v")

    def fused(kind: str, layout: Layout) -> Rule:
        sources = tuple(f"{theirs}.{part}.{kind}" for part in parts)
        return fold(sources, f"{ours}.qkv_proj.{kind}", CONCAT, layout, optional=True)

    return (
        fused("weight", QKV_WEIGHT),
        fused("bias", QKV_BIAS),
        rename(f"{theirs}.to_out.0.*", f"{ours}.o_proj.*", optional=True),
        rename(f"{theirs}.q_norm.weight", f"{ours}.q_norm.weight", HEAD, optional=True),
        rename(f"{theirs}.k_norm.weight", f"{ours}.k_norm.weight", HEAD, optional=True),
    )


def dit() -> tuple[Rule, ...]:
    """Return the rules of the DiT's layers, and of what comes after them."""
    theirs = "transformer.transformer_blocks.{}"
    return (
        rename(f"{theirs}.attn_norm.linear.*", f"{DIT_LAYER}.time_proj.*", optional=True),
        *attention(f"{theirs}.attn", DIT_LAYER),
        rename(f"{theirs}.ff.ff.0.0.*", f"{DIT_LAYER}.up_proj.*", optional=True),
        rename(f"{theirs}.ff.ff.2.*", f"{DIT_LAYER}.down_proj.*", optional=True),
        rename("transformer.long_skip_connection.weight", "backbone.skip_proj.weight", optional=True),
        rename("transformer.norm_out.linear.*", "backbone.time_proj.*", optional=True),
    )


def unett() -> tuple[Rule, ...]:
    """Return the rules of the UNetT's layers, and of what comes after them."""
    theirs = "transformer.layers.{}"
    return (
        rename(f"{theirs}.0.weight", f"{UNETT_LAYER}.skip_proj.weight", optional=True),
        rename(f"{theirs}.1.g", f"{UNETT_LAYER}.attention_norm.weight", optional=True),
        *attention(f"{theirs}.2", UNETT_LAYER),
        rename(f"{theirs}.3.g", f"{UNETT_LAYER}.norm.weight", optional=True),
        rename(f"{theirs}.4.ff.0.0.*", f"{UNETT_LAYER}.up_proj.*", optional=True),
        rename(f"{theirs}.4.ff.2.*", f"{UNETT_LAYER}.down_proj.*", optional=True),
        rename("transformer.norm_out.g", "backbone.norm.weight", optional=True),
    )


TEXT, BLOCK = "transformer.text_embed", "transformer.text_embed.text_blocks.{}"
WEIGHTS = WeightMap(
    rename("transformer.time_embed.time_mlp.0.*", "time.proj1.*"),
    rename("transformer.time_embed.time_mlp.2.*", "time.proj2.*"),
    rename(f"{TEXT}.text_embed.weight", "text.embedding.weight"),
    rename(f"{BLOCK}.dwconv.*", "text.layers.{}.conv.*", CONV1D, optional=True),
    rename(f"{BLOCK}.norm.*", "text.layers.{}.norm.*", optional=True),
    rename(f"{BLOCK}.pwconv1.*", "text.layers.{}.up_proj.*", optional=True),
    rename(f"{BLOCK}.grn.*", "text.layers.{}.*", LAST, optional=True),
    rename(f"{BLOCK}.pwconv2.*", "text.layers.{}.down_proj.*", optional=True),
    rename("transformer.input_embed.proj.*", "input_proj.*"),
    rename("transformer.input_embed.conv_pos_embed.conv1d.0.*", "positions.conv1.*", CONV1D),
    rename("transformer.input_embed.conv_pos_embed.conv1d.2.*", "positions.conv2.*", CONV1D),
    drop("transformer.rotary_embed.inv_freq", why="computed, to the same bits; a file in half precision rounds them"),
    *dit(),
    *unett(),
    rename("transformer.proj_out.*", "backbone.out_proj.*"),
    file=__file__,
)
