"""F5-TTS's card."""

from ...card import ModelCard, Published, Tap

_NOTE = "code MIT; the weights are not for commercial use"

CARD = ModelCard(
    name="f5-tts",
    task="text-to-speech",
    summary="F5-TTS v0 and v1, E2-TTS: the voice of a recording by flow matching; English and Chinese, 24 kHz.",
    checkpoints=(
        Published(
            "SWivid/F5-TTS",
            "CC-BY-NC-4.0",
            note=f"F5TTS_v1_Base: .safetensors and vocab.txt; {_NOTE}",
            names=("f5-tts", "f5-tts-v1"),
            nbytes=1.35e9,
        ),
        Published(
            "SWivid/E2-TTS",
            "CC-BY-NC-4.0",
            note=f"E2TTS_Base: .safetensors and vocab.txt; {_NOTE}",
            names=("e2-tts",),
            nbytes=1.33e9,
        ),
    ),
    fingerprint=tuple(
        (
            f"{prefix}transformer.text_embed.text_embed.weight",
            f"{prefix}transformer.input_embed.conv_pos_embed.conv1d.0.weight",
        )
        for prefix in ("", "**.")
    ),
    taps=(
        Tap("log_mel"),
        Tap("text"),
        Tap("unconditional text"),
        Tap("velocity"),
        *(Tap(f"step {step + 1}") for step in range(7)),
        Tap("mel"),
    ),
    model_types=("f5-tts",),
    verbs={"synthesize": "commands:synthesize", "edit": "commands:edit"},
    uses=("vocos", "whisper"),
    extra="f5-tts",
    files=(
        ("F5TTS_v1_Base/*.safetensors", "E2TTS_Base/*.safetensors", "*.safetensors", "*.pt"),
        ("F5TTS_v1_Base/vocab.txt", "E2TTS_Base/vocab.txt", "vocab.txt"),
        "*.yaml", "*.json", "vocos/*",
    ),
)  # fmt: skip
CARDS = (CARD,)
