"""The card of T5 and MADLAD-400."""

from ...card import ModelCard, Published, Tap

# Licences: a copy of MADLAD-400 3B's model card says Apache-2.0; the other cards were not at hand.
CARD = ModelCard(
    name="madlad",
    task="translation",
    summary="MADLAD-400, into 400 languages, and its architecture: T5, mT5, FLAN-T5, ByT5",
    checkpoints=(
        Published("google/madlad400-3b-mt", "Apache-2.0", names=("3b", "madlad"), nbytes=11.8e9),
        Published("google/madlad400-7b-mt", "Apache-2.0", names=("7b",)),
        Published("google/madlad400-10b-mt", "Apache-2.0", names=("10b",)),
        Published("google-t5/t5-small", "Apache-2.0", names=("t5-small",), nbytes=242e6),
        Published("google-t5/t5-base", "Apache-2.0", names=("t5-base",)),
        Published("google/flan-t5-base", "Apache-2.0", names=("flan-t5-base",)),
        Published("google/flan-t5-large", "Apache-2.0", names=("flan-t5-large",)),
        Published("google/byt5-small", "Apache-2.0", names=("byt5-small",)),
    ),
    fingerprint=(
        (
            "encoder.block.{}.layer.0.SelfAttention.q.weight",
            "decoder.block.{}.layer.1.EncDecAttention.q.weight",
            "encoder.final_layer_norm.weight",
        ),
    ),
    taps=(Tap("encoder"), Tap("logits"), Tap("tokens", "exact"), Tap("beams", "exact")),
    model_types=("t5", "mt5", "umt5"),
    verbs={"translate": "commands:translate", "languages": "commands:languages"},
    uses=("marian",),
    extra="madlad",
    files=(
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "tokenizer.json",
        "spiece.model",
        (
            "model*.safetensors|model.safetensors.index.json",
            "pytorch_model*.bin|pytorch_model.bin.index.json",
        ),
    ),
)
CARDS = (CARD,)
