"""The rules for every tensor of version 1's llm.pt."""

from ....weights import CONCAT, fold, rename
from ....weights.rules import Rules
from ..flow.weights import conformer
from ..rules import weight_and_bias

LAYER, OURS = "llm.encoders.{}", "layers.{}"

TRANSFORMER_LM: tuple[Rules, ...] = (
    rename("text_embedding.weight", "embed_tokens.weight"),
    *weight_and_bias("text_encoder.embed.out.0", "text_encoder.embed.proj"),
    *weight_and_bias("text_encoder.embed.out.1", "text_encoder.embed.norm"),
    *conformer("text_encoder.encoders.{}", "text_encoder.layers.{}"),
    *weight_and_bias("text_encoder.after_norm", "text_encoder.norm"),
    *weight_and_bias("text_encoder_affine_layer", "text_proj"),
    *weight_and_bias("spk_embed_affine_layer", "speaker_proj"),
    rename("llm_embedding.weight", "llm_embedding.weight"),
    rename("speech_embedding.weight", "speech_embedding.weight"),
    *weight_and_bias("llm.embed.out.0", "embed_proj"),
    *weight_and_bias("llm.embed.out.1", "embed_norm"),
    *(
        fold(tuple(f"{LAYER}.self_attn.linear_{x}.{name}" for x in "qkv"), f"{OURS}.attention.qkv_proj.{name}", CONCAT)
        for name in ("weight", "bias")
    ),
    *weight_and_bias(f"{LAYER}.self_attn.linear_out", f"{OURS}.attention.o_proj"),
    rename(f"{LAYER}.self_attn.linear_pos.weight", f"{OURS}.attention.pos_proj.weight"),
    rename(f"{LAYER}.self_attn.pos_bias_u", f"{OURS}.attention.pos_bias_u"),
    rename(f"{LAYER}.self_attn.pos_bias_v", f"{OURS}.attention.pos_bias_v"),
    *weight_and_bias(f"{LAYER}.norm1", f"{OURS}.attention_norm"),
    *weight_and_bias(f"{LAYER}.norm2", f"{OURS}.norm"),
    *weight_and_bias(f"{LAYER}.feed_forward.w_1", f"{OURS}.up_proj"),
    *weight_and_bias(f"{LAYER}.feed_forward.w_2", f"{OURS}.down_proj"),
    *weight_and_bias("llm.after_norm", "norm"),
    *weight_and_bias("llm_decoder", "llm_decoder"),
)
