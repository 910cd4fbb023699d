"""openWakeWord's card."""

from ...card import ModelCard, Published, Tap

CARD = ModelCard(
    name="wakeword",
    task="keyword-spotting",
    summary="openWakeWord: wake words in a stream, 80 ms at a time; train your own on the same embeddings.",
    checkpoints=(
        Published(
            "packaged:openwakeword",
            "CC-BY-NC-SA-4.0",
            packaged="openwakeword",
            names=("openwakeword",),
            nbytes=8.49e6,
            note="ONNX, in the PyPI package openwakeword 0.5.1; the embedding network alone is Google's, Apache-2.0",
        ),
    ),
    fingerprint=(
        ("mel.0.stft.conv_real.weight", "mel.1.melW", "embedding.model.conv2d_{}.weight"),
        ("mel.stft.weight", "mel.filters", "embedding.convs.{}.weight"),
    ),
    taps=(
        Tap("mel"),
        Tap("embedding"),
        Tap(
            "scores",
            max_abs=2e-5,
            why="a steep sigmoid over 1536 numbers of up to 60 amplifies the embedding's rounding",
        ),
    ),
    model_types=("wakeword",),
    verbs={"detect": "commands:detect", "train": "commands:train", "keywords": "commands:keywords"},
    files=(("*.onnx", "*.safetensors"), "config.json"),
    reference="onnxruntime",
)
CARDS = (CARD,)
