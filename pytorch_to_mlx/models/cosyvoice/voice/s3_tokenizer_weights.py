"""The story of every tensor of speech_tokenizer_v2.onnx, under the names that `checkpoint.onnx` gives them."""

from ....weights import CONV1D, Rule, rename


def _both(source: str, target: str, *layouts) -> tuple[Rule, ...]:
    return tuple(rename(f"{source}.{name}", f"{target}.{name}", *layouts) for name in ("weight", "bias"))


S3_TOKENIZER: tuple[Rule, ...] = (
    *_both("conv{}", "conv{}", CONV1D),
    *_both("blocks.{}.attn.query", "blocks.{}.attn.query"),
    rename("blocks.{}.attn.key.weight", "blocks.{}.attn.key.weight"),
    *_both("blocks.{}.attn.value", "blocks.{}.attn.value"),
    *_both("blocks.{}.attn.out", "blocks.{}.attn.out"),
    rename("blocks.{}.attn.fsmn_block.weight", "blocks.{}.attn.memory.weight", CONV1D),
    *_both("blocks.{}.attn_ln", "blocks.{}.attn_ln"),
    *_both("blocks.{}.mlp.0", "blocks.{}.mlp1"),
    *_both("blocks.{}.mlp.2", "blocks.{}.mlp2"),
    *_both("blocks.{}.mlp_ln", "blocks.{}.mlp_ln"),
    *_both("quantizer.project_in", "project"),
)
