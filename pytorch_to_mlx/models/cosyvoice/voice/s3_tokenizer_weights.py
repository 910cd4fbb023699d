"""The rules for every tensor of speech_tokenizer_v2.onnx, under the names that `checkpoint.onnx` gives them."""

from ....weights import CONV1D, Rule, rename
from ..rules import weight_and_bias

S3_TOKENIZER: tuple[Rule, ...] = (
    *weight_and_bias("conv{}", "conv{}", CONV1D),
    *weight_and_bias("blocks.{}.attn.query", "blocks.{}.attn.query"),
    rename("blocks.{}.attn.key.weight", "blocks.{}.attn.key.weight"),
    *weight_and_bias("blocks.{}.attn.value", "blocks.{}.attn.value"),
    *weight_and_bias("blocks.{}.attn.out", "blocks.{}.attn.out"),
    rename("blocks.{}.attn.fsmn_block.weight", "blocks.{}.attn.memory.weight", CONV1D),
    *weight_and_bias("blocks.{}.attn_ln", "blocks.{}.attn_ln"),
    *weight_and_bias("blocks.{}.mlp.0", "blocks.{}.mlp1"),
    *weight_and_bias("blocks.{}.mlp.2", "blocks.{}.mlp2"),
    *weight_and_bias("blocks.{}.mlp_ln", "blocks.{}.mlp_ln"),
    *weight_and_bias("quantizer.project_in", "project"),
)
