"""Silero VAD's card."""

from ...card import ModelCard, Published, Tap

_NOTE = "snakers4/silero-vad, version 6.2; in the PyPI package silero-vad, what its load_silero_vad() runs"
_OTHER_NETWORK = "in the same package, for its tinygrad example: other weights that hear otherwise; 16 kHz, safetensors"

_WHY = (
    "where a chirp begins, a feature of 48 is a difference of larger numbers: from PyTorch's own float64 magnitudes "
    "its float32 features err by 2.0e-3 there, ours by 3.8e-4. Each convolution alone errs less than PyTorch's"
)

CARD = ModelCard(
    name="vad",
    task="voice-activity-detection",
    summary="Silero VAD: where there is speech in a recording or a stream",
    checkpoints=(
        Published(
            "packaged:silero-vad",
            "MIT",
            packaged="silero-vad",
            note=f"{_NOTE}; 16 kHz and 8 kHz, ONNX",
            names=("silero-vad", "vad"),
            nbytes=2.33e6,
        ),
        Published(
            "packaged:silero-vad-onnx",
            "MIT",
            packaged="silero-vad-onnx",
            note="another name of the same",
            nbytes=2.33e6,
        ),
        Published("packaged:silero-vad-16k", "MIT", packaged="silero-vad-16k", note=_OTHER_NETWORK, nbytes=1.24e6),
    ),
    fingerprint=(
        ("stft_conv.weight", "conv{}.weight", "lstm_cell.weight_ih", "final_conv.weight"),
        ("If_0_then_branch__Inline_0__stft.forward_basis_buffer", "If_0_then_branch__Inline_0__decoder.rnn.weight_ih"),
    ),
    taps=(
        Tap("magnitude"),
        Tap("features", max_abs=2.5e-3, why=_WHY),
        Tap("hidden", max_abs=6e-5, why=_WHY),
        Tap("probability"),
    ),
    model_types=("silero-vad",),
    verbs={"detect": "commands:detect"},
    files=("config.json", ("*.safetensors", "*.onnx")),
)
CARDS = (CARD,)
