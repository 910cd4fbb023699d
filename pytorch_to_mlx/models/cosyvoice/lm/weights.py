"""The rules for every tensor of llm.pt; version 3 also has one tuned by reinforcement learning, llm.rl.pt."""

from ....weights import drop, rename
from ....weights.rules import Rules

MERGED_LM: tuple[Rules, ...] = (
    rename("llm.model.model.embed_tokens.weight", "embed_tokens.weight"),
    *(
        rename(f"llm.model.model.layers.{{}}.self_attn.{name}", f"layers.{{}}.self_attn.{name}")
        for name in (
            "q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias",
            "o_proj.weight",
        )
    ),
    *(
        rename(f"llm.model.model.layers.{{}}.{name}.weight", f"layers.{{}}.{name}.weight")
        for name in (
            "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm",
        )
    ),
    rename("llm.model.model.norm.weight", "norm.weight"),
    drop("llm.model.lm_head.weight", why="text is read, never written: only llm_decoder is used", optional=True),
    rename("speech_embedding.weight", "speech_embedding.weight"),
    rename("llm_decoder.weight", "llm_decoder.weight"),
)  # fmt: skip

LM: tuple[Rules, ...] = (
    *MERGED_LM,
    rename("llm_embedding.weight", "llm_embedding.weight"),
    rename("llm_decoder.bias", "llm_decoder.bias"),
)
