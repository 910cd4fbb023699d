"""The rules for every tensor of flow.pt."""

from ....weights import CONCAT, CONV1D, POINTWISE, drop, fold, rename, rotary_halves
from ....weights.rules import Rules
from ..rules import weight_and_bias
from .dit import HEAD_DIM


def conformer(source: str, target: str) -> list[Rules]:
    """Return the rules of one conformer layer."""
    rules: list[Rules] = [
        rename(f"{source}.self_attn.linear_pos.weight", f"{target}.attention.pos_proj.weight"),
        rename(f"{source}.self_attn.pos_bias_u", f"{target}.attention.pos_bias_u"),
        rename(f"{source}.self_attn.pos_bias_v", f"{target}.attention.pos_bias_v"),
        *weight_and_bias(f"{source}.norm_mha", f"{target}.attention_norm"),
        *weight_and_bias(f"{source}.norm_ff", f"{target}.norm"),
        *weight_and_bias(f"{source}.feed_forward.w_1", f"{target}.up_proj"),
        *weight_and_bias(f"{source}.feed_forward.w_2", f"{target}.down_proj"),
    ]
    for theirs, ours in (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o")):
        rules += weight_and_bias(f"{source}.self_attn.linear_{theirs}", f"{target}.attention.{ours}_proj")
    return rules


def conv_block(source: str, target: str, norm: int = 2) -> list[Rules]:
    """Return the rules of a convolution and its norm, which has this number in the original's block."""
    return [
        *weight_and_bias(f"{source}.block.0", f"{target}.conv", CONV1D),
        *weight_and_bias(f"{source}.block.{norm}", f"{target}.norm"),
    ]


def stage(source: str, target: str, norm: int = 2) -> list[Rules]:
    """Return the rules of a residual block and its transformer layers. norm: see `conv_block`."""
    layer, ours = f"{source}.1.{{}}", f"{target}.layers.{{}}"
    return [
        *conv_block(f"{source}.0.block1", f"{target}.resnet.block1", norm),
        *conv_block(f"{source}.0.block2", f"{target}.resnet.block2", norm),
        *weight_and_bias(f"{source}.0.mlp.1", f"{target}.resnet.time_proj"),
        *weight_and_bias(f"{source}.0.res_conv", f"{target}.resnet.shortcut", POINTWISE),
        *weight_and_bias(f"{layer}.norm1", f"{ours}.attention_norm"),
        rename(f"{layer}.attn1.to_q.weight", f"{ours}.q_proj.weight"),
        fold(tuple(f"{layer}.attn1.to_{x}.weight" for x in "kv"), f"{ours}.kv_proj.weight", CONCAT),
        *weight_and_bias(f"{layer}.attn1.to_out.0", f"{ours}.o_proj"),
        *weight_and_bias(f"{layer}.norm3", f"{ours}.norm"),
        *weight_and_bias(f"{layer}.ff.net.0.proj", f"{ours}.up_proj"),
        *weight_and_bias(f"{layer}.ff.net.2", f"{ours}.down_proj"),
    ]


def lookahead(source: str, target: str) -> list[Rules]:
    """Return the rules of the two convolutions that look ahead."""
    return [rule for i in (1, 2) for rule in weight_and_bias(f"{source}.conv{i}", f"{target}.conv{i}", CONV1D)]


ESTIMATOR = "decoder.estimator"

FLOW: tuple[Rules, ...] = (
    rename("input_embedding.weight", "embedding.weight"),
    *weight_and_bias("spk_embed_affine_layer", "speaker_proj"),
    # encoder
    *weight_and_bias("encoder.embed.out.0", "encoder.embed.proj"),
    *weight_and_bias("encoder.embed.out.1", "encoder.embed.norm"),
    *lookahead("encoder.pre_lookahead_layer", "encoder.lookahead"),
    *conformer("encoder.encoders.{}", "encoder.layers.{}"),
    *weight_and_bias("encoder.up_layer.conv", "encoder.up_conv", CONV1D),
    *weight_and_bias("encoder.up_embed.out.0", "encoder.up_embed.proj"),
    *weight_and_bias("encoder.up_embed.out.1", "encoder.up_embed.norm"),
    *conformer("encoder.up_encoders.{}", "encoder.up_layers.{}"),
    *weight_and_bias("encoder.after_norm", "encoder.norm"),
    *weight_and_bias("encoder_proj", "encoder_proj"),
    # estimator
    *weight_and_bias(f"{ESTIMATOR}.time_mlp.linear_1", "estimator.time_proj1"),
    *weight_and_bias(f"{ESTIMATOR}.time_mlp.linear_2", "estimator.time_proj2"),
    *stage(f"{ESTIMATOR}.down_blocks.0", "estimator.down"),
    *weight_and_bias(f"{ESTIMATOR}.down_blocks.0.2", "estimator.down_conv", CONV1D),
    *stage(f"{ESTIMATOR}.mid_blocks.{{}}", "estimator.mid.{}"),
    *stage(f"{ESTIMATOR}.up_blocks.0", "estimator.up"),
    *weight_and_bias(f"{ESTIMATOR}.up_blocks.0.2", "estimator.up_conv", CONV1D),
    *conv_block(f"{ESTIMATOR}.final_block", "estimator.final_block"),
    *weight_and_bias(f"{ESTIMATOR}.final_proj", "estimator.final_proj", POINTWISE),
)

_BLOCK, _OURS = f"{ESTIMATOR}.transformer_blocks.{{}}", "estimator.blocks.{}"

DIT_FLOW: tuple[Rules, ...] = (
    rename("input_embedding.weight", "embedding.weight"),
    *weight_and_bias("spk_embed_affine_layer", "speaker_proj"),
    *lookahead("pre_lookahead_layer", "lookahead"),
    *weight_and_bias(f"{ESTIMATOR}.time_embed.time_mlp.0", "estimator.time_embed.proj1"),
    *weight_and_bias(f"{ESTIMATOR}.time_embed.time_mlp.2", "estimator.time_embed.proj2"),
    *weight_and_bias(f"{ESTIMATOR}.input_embed.proj", "estimator.input_proj"),
    *weight_and_bias(f"{ESTIMATOR}.input_embed.conv_pos_embed.conv1.0", "estimator.positions.conv1", CONV1D),
    *weight_and_bias(f"{ESTIMATOR}.input_embed.conv_pos_embed.conv2.0", "estimator.positions.conv2", CONV1D),
    drop(f"{ESTIMATOR}.rotary_embed.inv_freq", why="computed: 10000^(-2i / 64)"),
    *weight_and_bias(f"{_BLOCK}.attn_norm.linear", f"{_OURS}.time_proj"),
    *(
        fold(
            tuple(f"{_BLOCK}.attn.to_{x}.{part}" for x in "qkv"),
            f"{_OURS}.qkv_proj.{part}",
            CONCAT,
            rotary_halves(HEAD_DIM, rank, fused=True),
        )
        for part, rank in (("weight", 2), ("bias", 1))
    ),
    *weight_and_bias(f"{_BLOCK}.attn.to_out.0", f"{_OURS}.o_proj"),
    *weight_and_bias(f"{_BLOCK}.ff.ff.0.0", f"{_OURS}.up_proj"),
    *weight_and_bias(f"{_BLOCK}.ff.ff.2", f"{_OURS}.down_proj"),
    *weight_and_bias(f"{ESTIMATOR}.norm_out.linear", "estimator.final_time_proj"),
    *weight_and_bias(f"{ESTIMATOR}.proj_out", "estimator.final_proj"),
)
