"""Vocos's card."""

from ...card import ModelCard, Published, Tap

CARD = ModelCard(
    name="vocos",
    task="vocoding",
    summary="Vocos: the vocoder of F5-TTS; mel spectrograms to audio by an inverse Fourier transform, 24 kHz.",
    checkpoints=(
        Published(
            "charactr/vocos-mel-24khz",
            "MIT",
            note="config.yaml, pytorch_model.bin; of mels of 100 bands, not of EnCodec's tokens",
            names=("vocos", "vocos-mel-24khz"),
            nbytes=54.3e6,
        ),
    ),
    fingerprint=(("backbone.convnext.{}.gamma", "backbone.convnext.{}.pwconv1.weight", "head.out.weight"),),
    taps=(
        Tap("log_mel"),
        Tap("features"),
        Tap("audio"),
    ),
    model_types=("vocos",),
    verbs={"resynthesize": "commands:resynthesize"},
    files=("config.json", "config.yaml", ("*.safetensors", "pytorch_model.bin")),
)
CARDS = (CARD,)
