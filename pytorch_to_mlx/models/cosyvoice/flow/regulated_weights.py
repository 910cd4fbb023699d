"""The rules for every tensor of version 1's flow.pt."""

from ....weights import CONV1D, CONV_TRANSPOSE1D, POINTWISE, rename
from ....weights.rules import Rules
from ..rules import weight_and_bias
from .regulated import LAYERS
from .weights import ESTIMATOR, conformer, conv_block, stage

NORM = 1  # the norm's number in a convolution block

REGULATED_FLOW: tuple[Rules, ...] = (
    rename("input_embedding.weight", "embedding.weight"),
    *weight_and_bias("spk_embed_affine_layer", "speaker_proj"),
    *weight_and_bias("encoder.embed.out.0", "encoder.embed.proj"),
    *weight_and_bias("encoder.embed.out.1", "encoder.embed.norm"),
    *conformer("encoder.encoders.{}", "encoder.layers.{}"),
    *weight_and_bias("encoder.after_norm", "encoder.norm"),
    *weight_and_bias("encoder_proj", "encoder_proj"),
    # length regulator
    *(weight_and_bias(f"length_regulator.model.{3 * i}", f"regulator.convs.{i}", CONV1D) for i in range(LAYERS)),
    *(weight_and_bias(f"length_regulator.model.{3 * i + 1}", f"regulator.norms.{i}") for i in range(LAYERS)),
    *weight_and_bias(f"length_regulator.model.{3 * LAYERS}", "regulator.proj", POINTWISE),
    # estimator
    *weight_and_bias(f"{ESTIMATOR}.time_mlp.linear_1", "estimator.time_proj1"),
    *weight_and_bias(f"{ESTIMATOR}.time_mlp.linear_2", "estimator.time_proj2"),
    *stage(f"{ESTIMATOR}.down_blocks.{{}}", "estimator.down.{}", NORM),
    *weight_and_bias(f"{ESTIMATOR}.down_blocks.0.2.conv", "estimator.halve", CONV1D),
    *weight_and_bias(f"{ESTIMATOR}.down_blocks.1.2", "estimator.down_conv", CONV1D),
    *stage(f"{ESTIMATOR}.mid_blocks.{{}}", "estimator.mid.{}", NORM),
    *stage(f"{ESTIMATOR}.up_blocks.{{}}", "estimator.up.{}", NORM),
    *weight_and_bias(f"{ESTIMATOR}.up_blocks.0.2.conv", "estimator.double", CONV_TRANSPOSE1D),
    *weight_and_bias(f"{ESTIMATOR}.up_blocks.1.2", "estimator.up_conv", CONV1D),
    *conv_block(f"{ESTIMATOR}.final_block", "estimator.final_block", NORM),
    *weight_and_bias(f"{ESTIMATOR}.final_proj", "estimator.final_proj", POINTWISE),
)
