"""Every number and name in which the versions of CosyVoice differ: one entry for each version that is ported.

The sizes of the networks are not here: a release's yaml gives them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .release import v2


@dataclass(frozen=True)
class SpecialTokens:
    """The rows of the speech vocabulary that are not speech: `count` of them, after the last speech token.

    eos, fill and guarded count from the first of these rows; sos and task are rows of `llm_embedding`.
    """

    count: int
    eos: int  # ends the speech
    fill: int  # asks for more text
    guarded: int  # the only one that the original forbids while speech is shorter than its minimum
    sos: int
    task: int


@dataclass(frozen=True)
class Version:
    """One version of CosyVoice.

    parts: the file of each network. classes: what the yaml builds, and where. fields: our config's field -> the yaml's.
    expected: yaml values that the port relies on; "=NAME" stands for the value of our field NAME.
    """

    name: str
    model_type: str  # in a converted folder's config.json
    hub_id: str
    yaml: str
    qwen_folder: str  # with the language model's config.json and the tokenizer's files
    tokenizer_files: tuple[str, str, str]  # vocabulary, merges, special tokens
    parts: Mapping[str, str]
    classes: Mapping[str, str]
    fields: Mapping[str, str]
    expected: Mapping[str, Any]
    tags: tuple[str, ...]  # added to Qwen2's special tokens, in the order of their ids
    speech_tokens: int
    special: SpecialTokens
    token_rate: int  # speech tokens per second
    sample_rate: int
    n_fft: int  # of the prompt's mel spectrogram, as are the next two
    hop_length: int
    f_max: float | None  # None: half the sample rate


COSYVOICE2 = Version(
    name="CosyVoice 2",
    model_type="cosyvoice2",
    hub_id="FunAudioLLM/CosyVoice2-0.5B",
    yaml="cosyvoice2.yaml",
    qwen_folder="CosyVoice-BlankEN",
    tokenizer_files=("vocab.json", "merges.txt", "tokenizer_config.json"),
    parts={
        "llm": "llm.pt",
        "flow": "flow.pt",
        "hift": "hift.pt",
        "campplus": "campplus.onnx",
        "speech_tokenizer": "speech_tokenizer_v2.onnx",
    },
    classes=v2.CLASSES,
    fields=v2.FIELDS,
    expected=v2.EXPECTED,
    tags=(
        "<|endofprompt|>", "[breath]", "<strong>", "</strong>", "[noise]", "[laughter]", "[cough]", "[clucking]",
        "[accent]", "[quick_breath]", "<laughter>", "</laughter>", "[hissing]", "[sigh]", "[vocalized-noise]",
        "[lipsmack]", "[mn]",
    ),
    speech_tokens=6561,
    special=SpecialTokens(count=3, eos=0, fill=2, guarded=0, sos=0, task=1),
    token_rate=25,
    sample_rate=24000,
    n_fft=1920,
    hop_length=480,
    f_max=8000.0,
)  # fmt: skip

# A tensor of each part that tells the versions apart, those not ported included; the first one present decides.
DISTINCTIVE_TENSORS: dict[str, dict[str, str]] = {
    "llm": {
        "CosyVoice 1": "text_embedding.weight",
        "CosyVoice 2": "llm_embedding.weight",
        "CosyVoice 3": "speech_embedding.weight",
    },
    "flow": {
        "CosyVoice 1": "length_regulator.model.0.weight",
        "CosyVoice 2": "encoder.up_layer.conv.weight",
        "CosyVoice 3": "decoder.estimator.transformer_blocks.0.attn.to_q.weight",
    },
    "hift": {"CosyVoice 2": "m_source.l_linear.weight"},
    "campplus": {"CosyVoice 2": "xvector.dense.linear.weight"},
    "speech_tokenizer": {"CosyVoice 2": "quantizer.project_in.bias"},
}
