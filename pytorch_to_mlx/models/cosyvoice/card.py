"""The cards of CosyVoice's versions."""

from ...card import ModelCard, Published, Tap

TAPS = (
    Tap("log_mel"),
    Tap("speaker"),
    Tap("speech_tokens", "exact"),
    Tap("lm_hidden"),
    Tap("lm_logits"),
    Tap("greedy_tokens", "exact"),
    Tap("drawn_tokens", "exact"),
    Tap("encoder"),
    *(Tap(f"step {step + 1}") for step in range(10)),
    Tap("mel"),
    Tap("f0"),
    Tap("source"),
    Tap("audio"),
)
# What to download: all that a release needs, or all of a converted folder; the speech tokenizer's file is a version's.
FILES = (
    "*.yaml", "llm.pt", "flow.pt", "hift.pt", "campplus.onnx", "spk2info.pt",
    "CosyVoice-BlankEN/*.json", "CosyVoice-BlankEN/merges.txt",
    "*.safetensors", "*.safetensors.index.json", "config.json", "vocab.json", "merges.txt", "speakers/*",
)  # fmt: skip

CARD = ModelCard(
    name="cosyvoice2",
    task="text-to-speech",
    summary="CosyVoice 2 (0.5B): zero-shot voices, instructions, voice conversion, streaming; 24 kHz.",
    checkpoints=(
        Published(
            "FunAudioLLM/CosyVoice2-0.5B",
            "Apache-2.0",
            note="cosyvoice2.yaml, llm.pt, flow.pt, hift.pt, two .onnx, CosyVoice-BlankEN/",
            names=("cosyvoice2",),
        ),
    ),
    fingerprint=(
        (
            "llm.llm_decoder.weight",
            "flow.decoder.estimator.time_mlp.linear_1.weight",
            "flow.encoder.up_layer.conv.weight",
            "hift.m_source.l_linear.weight",
        ),
    ),
    taps=TAPS,
    model_types=("cosyvoice2",),
    verbs={
        "synthesize": "commands:synthesize",
        "convert-voice": "commands:convert_voice",
        "speakers": "commands:speakers",
    },
    extra="cosyvoice",
    files=(*FILES, "speech_tokenizer_v2.onnx"),
    marker="cosyvoice2.yaml",
)

CARD3 = ModelCard(
    name="cosyvoice3",
    task="text-to-speech",
    summary="CosyVoice 3 (0.5B): as version 2, with phonemes in the text, instructions and dialects; 24 kHz.",
    checkpoints=(
        Published(
            "FunAudioLLM/Fun-CosyVoice3-0.5B-2512",
            "Apache-2.0",
            note="cosyvoice3.yaml, llm.pt (or FOLDER/llm.rl.pt), flow.pt, hift.pt, two .onnx, CosyVoice-BlankEN/",
            names=("cosyvoice3",),
        ),
    ),
    fingerprint=(
        (
            "llm.llm_decoder.weight",
            "flow.decoder.estimator.transformer_blocks.{}.attn_norm.linear.weight",
            "hift.m_source.l_linear.weight",
        ),
    ),
    taps=TAPS,
    model_types=("cosyvoice3",),
    verbs={
        "synthesize": "commands_version3:synthesize",
        "convert-voice": "commands_version3:convert_voice",
        "speakers": "commands_version3:speakers",
        "instructions": "commands_version3:instructions",
    },
    extra="cosyvoice",
    files=(*FILES, "speech_tokenizer_v3.onnx"),
    marker="cosyvoice3.yaml",
)

CARD1 = ModelCard(
    name="cosyvoice",
    task="text-to-speech",
    summary="CosyVoice 1 (300M, -SFT, -Instruct): preset and zero-shot voices, voice conversion, streaming; 22.05 kHz.",
    checkpoints=(
        Published(
            "FunAudioLLM/CosyVoice-300M",
            "Apache-2.0",
            note="cosyvoice.yaml, llm.pt, flow.pt, hift.pt, two .onnx; 50 tokens a second, or 25",
            names=("cosyvoice",),
        ),
        Published("FunAudioLLM/CosyVoice-300M-SFT", "Apache-2.0", note="preset speakers in spk2info.pt"),
        Published("FunAudioLLM/CosyVoice-300M-Instruct", "Apache-2.0", note="preset speakers, instructions"),
    ),
    fingerprint=(
        (
            "llm.text_encoder_affine_layer.weight",
            "flow.length_regulator.model.0.weight",
            "hift.m_source.l_linear.weight",
        ),
    ),
    taps=tuple(
        tap for before in TAPS for tap in ((before, Tap("regulator")) if before.name == "encoder" else (before,))
    ),
    model_types=("cosyvoice",),
    verbs={
        "synthesize": "commands_version1:synthesize",
        "convert-voice": "commands_version1:convert_voice",
        "speakers": "commands_version1:speakers",
    },
    uses=("whisper",),
    extra="cosyvoice",
    files=(
        "*.yaml", "llm.pt", "flow.pt", "hift.pt", "campplus.onnx", "speech_tokenizer_v1.onnx", "spk2info.pt",
        "*.safetensors", "*.safetensors.index.json", "config.json", "speakers/*",
    ),
    marker="cosyvoice.yaml",
)  # fmt: skip
CARDS = (CARD, CARD3, CARD1)
