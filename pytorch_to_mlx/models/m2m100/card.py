"""The card of NLLB-200 and M2M100."""

from ...card import ModelCard, Published, Tap

# The model card of distilled-1.3B says CC-BY-NC, no commercial use. Those of M2M100 were not at hand.
_NLLB = "CC-BY-NC-4.0"
_NOTE = "not for commercial use"

CARD = ModelCard(
    name="nllb",
    task="translation",
    summary="NLLB-200 and M2M100: translation between any two of 202 or 100 languages",
    checkpoints=(
        Published("facebook/nllb-200-distilled-600M", _NLLB, names=("600M", "nllb"), nbytes=2.46e9, note=_NOTE),
        Published("facebook/nllb-200-distilled-1.3B", _NLLB, names=("distilled-1.3B",), note=_NOTE),
        Published("facebook/nllb-200-1.3B", _NLLB, names=("1.3B",), note=_NOTE),
        Published("facebook/nllb-200-3.3B", _NLLB, names=("3.3B",), note=_NOTE),
        Published("facebook/m2m100_418M", "MIT", names=("m2m100-418M", "m2m100")),
        Published("facebook/m2m100_1.2B", "MIT", names=("m2m100-1.2B",)),
    ),
    fingerprint=(
        (
            "model.shared.weight",
            "model.encoder.layers.{}.self_attn.q_proj.weight",
            "model.decoder.layers.{}.encoder_attn.q_proj.weight",
            "model.encoder.layer_norm.weight",
        ),
    ),
    taps=(Tap("encoder"), Tap("logits"), Tap("tokens", "exact"), Tap("beams", "exact")),
    model_types=("m2m_100", "nllb-moe"),
    verbs={"translate": "commands:translate", "languages": "commands:languages"},
    uses=("marian",),
    extra="nllb",
    files=(
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "vocab.json",
        "tokenizer.json",
        "sentencepiece.bpe.model",
        (
            "model*.safetensors|model.safetensors.index.json",
            "pytorch_model*.bin|pytorch_model.bin.index.json",
        ),
    ),
)
CARDS = (CARD,)
