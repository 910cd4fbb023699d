"""The complete story of every tensor of flow.pt, without a prefix."""

from ....weights import CONCAT, CONV1D, POINTWISE, Layout, Rule, fold, rename
from ....weights.rules import Rules


def both(source: str, target: str, *layouts: Layout) -> list[Rule]:
    return [rename(f"{source}.{name}", f"{target}.{name}", *layouts) for name in ("weight", "bias")]


def conformer(source: str, target: str) -> list[Rules]:
    rules: list[Rules] = [
        rename(f"{source}.self_attn.linear_pos.weight", f"{target}.attention.pos_proj.weight"),
        rename(f"{source}.self_attn.pos_bias_u", f"{target}.attention.pos_bias_u"),
        rename(f"{source}.self_attn.pos_bias_v", f"{target}.attention.pos_bias_v"),
        *both(f"{source}.norm_mha", f"{target}.attention_norm"),
        *both(f"{source}.norm_ff", f"{target}.norm"),
        *both(f"{source}.feed_forward.w_1", f"{target}.up_proj"),
        *both(f"{source}.feed_forward.w_2", f"{target}.down_proj"),
    ]
    for theirs, ours in (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o")):
        rules += both(f"{source}.self_attn.linear_{theirs}", f"{target}.attention.{ours}_proj")
    return rules


def conv_block(source: str, target: str) -> list[Rule]:
    return [*both(f"{source}.block.0", f"{target}.conv", CONV1D), *both(f"{source}.block.2", f"{target}.norm")]


def stage(source: str, target: str) -> list[Rule]:
    layer, ours = f"{source}.1.{{}}", f"{target}.layers.{{}}"
    return [
        *conv_block(f"{source}.0.block1", f"{target}.resnet.block1"),
        *conv_block(f"{source}.0.block2", f"{target}.resnet.block2"),
        *both(f"{source}.0.mlp.1", f"{target}.resnet.time_proj"),
        *both(f"{source}.0.res_conv", f"{target}.resnet.shortcut", POINTWISE),
        *both(f"{layer}.norm1", f"{ours}.attention_norm"),
        fold(tuple(f"{layer}.attn1.to_{x}.weight" for x in "qkv"), f"{ours}.qkv_proj.weight", CONCAT),
        *both(f"{layer}.attn1.to_out.0", f"{ours}.o_proj"),
        *both(f"{layer}.norm3", f"{ours}.norm"),
        *both(f"{layer}.ff.net.0.proj", f"{ours}.up_proj"),
        *both(f"{layer}.ff.net.2", f"{ours}.down_proj"),
    ]


ESTIMATOR = "decoder.estimator"

FLOW: tuple[Rules, ...] = (
    rename("input_embedding.weight", "embedding.weight"),
    *both("spk_embed_affine_layer", "speaker_proj"),
    # encoder
    *both("encoder.embed.out.0", "encoder.embed.proj"),
    *both("encoder.embed.out.1", "encoder.embed.norm"),
    *both("encoder.pre_lookahead_layer.conv1", "encoder.lookahead.conv1", CONV1D),
    *both("encoder.pre_lookahead_layer.conv2", "encoder.lookahead.conv2", CONV1D),
    *conformer("encoder.encoders.{}", "encoder.layers.{}"),
    *both("encoder.up_layer.conv", "encoder.up_conv", CONV1D),
    *both("encoder.up_embed.out.0", "encoder.up_embed.proj"),
    *both("encoder.up_embed.out.1", "encoder.up_embed.norm"),
    *conformer("encoder.up_encoders.{}", "encoder.up_layers.{}"),
    *both("encoder.after_norm", "encoder.norm"),
    *both("encoder_proj", "encoder_proj"),
    # estimator
    *both(f"{ESTIMATOR}.time_mlp.linear_1", "estimator.time_proj1"),
    *both(f"{ESTIMATOR}.time_mlp.linear_2", "estimator.time_proj2"),
    *stage(f"{ESTIMATOR}.down_blocks.0", "estimator.down"),
    *both(f"{ESTIMATOR}.down_blocks.0.2", "estimator.down_conv", CONV1D),
    *stage(f"{ESTIMATOR}.mid_blocks.{{}}", "estimator.mid.{}"),
    *stage(f"{ESTIMATOR}.up_blocks.0", "estimator.up"),
    *both(f"{ESTIMATOR}.up_blocks.0.2", "estimator.up_conv", CONV1D),
    *conv_block(f"{ESTIMATOR}.final_block", "estimator.final_block"),
    *both(f"{ESTIMATOR}.final_proj", "estimator.final_proj", POINTWISE),
)
