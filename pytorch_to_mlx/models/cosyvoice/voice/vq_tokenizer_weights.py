"""The rules for every tensor of speech_tokenizer_v1.onnx, under the names that `checkpoint.onnx` gives them."""

from ....weights import CONV1D, Rule, rename
from ..rules import weight_and_bias

VQ_TOKENIZER: tuple[Rule, ...] = (
    *weight_and_bias("conv{}", "conv{}", CONV1D),
    rename("positional_embedding", "positional_embedding"),
    *weight_and_bias("blocks.{}.attn.query", "blocks.{}.query"),
    rename("blocks.{}.attn.key.weight", "blocks.{}.key.weight"),
    *weight_and_bias("blocks.{}.attn.value", "blocks.{}.value"),
    *weight_and_bias("blocks.{}.attn.out", "blocks.{}.out"),
    *weight_and_bias("blocks.{}.attn_ln", "blocks.{}.attn_ln"),
    *weight_and_bias("blocks.{}.mlp.0", "blocks.{}.mlp1"),
    *weight_and_bias("blocks.{}.mlp.2", "blocks.{}.mlp2"),
    *weight_and_bias("blocks.{}.mlp_ln", "blocks.{}.mlp_ln"),
    rename("quantizer.rq.model.layers.0._codebook.weight", "codebook"),
)
