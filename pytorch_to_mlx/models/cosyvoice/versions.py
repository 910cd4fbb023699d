"""Every number and name in which the versions of CosyVoice differ: one entry for each version that is ported.

The sizes of the networks are not here: a release's yaml gives them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .release import v1, v2, v3
from .text.phonemes import PHONEMES


@dataclass(frozen=True)
class SpecialTokens:
    """The rows of the speech vocabulary that are not speech: `count` of them, after the last speech token.

    eos, fill and guarded count from the first of these rows; so do sos and task, or they are rows of `llm_embedding`.
    """

    count: int
    eos: int  # ends the speech
    fill: int  # asks for more text
    guarded: int  # the only one that the original forbids while speech is shorter than its minimum
    sos: int
    task: int
    merged: bool = False  # sos and task are rows of the speech vocabulary too, whose scores have no bias


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
    qwen_folder: str  # with the language model's config.json and the tokenizer's files; "": there is none
    tokenizer_files: tuple[str, ...]  # vocabulary, merges, special tokens
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
    system_prompt: str = ""  # every text stands after this and <|endofprompt|>; "": neither is needed
    hears_speaker: bool = False  # the language model is given the speaker's embedding
    fixed_noise: bool = True  # every mel starts from the same noise
    other_llms: tuple[str, ...] = ()  # files that a release also has for its language model
    silent_tokens: frozenset[int] = frozenset()  # silence and breath: of a long run only the first few are spoken


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

COSYVOICE3 = replace(
    COSYVOICE2,
    name="CosyVoice 3",
    model_type="cosyvoice3",
    hub_id="FunAudioLLM/Fun-CosyVoice3-0.5B-2512",
    yaml="cosyvoice3.yaml",
    parts={**COSYVOICE2.parts, "speech_tokenizer": "speech_tokenizer_v3.onnx"},
    classes=v3.CLASSES,
    fields=v3.FIELDS,
    expected=v3.EXPECTED,
    tags=(*COSYVOICE2.tags, "<|endofsystem|>", *PHONEMES),
    special=SpecialTokens(count=200, eos=1, fill=3, guarded=0, sos=0, task=2, merged=True),
    f_max=None,
    other_llms=("llm.rl.pt",),
    system_prompt="You are a helpful assistant.",
    silent_tokens=frozenset({1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323}),
)

COSYVOICE1 = replace(
    COSYVOICE2,
    name="CosyVoice 1",
    model_type="cosyvoice",
    hub_id="FunAudioLLM/CosyVoice-300M",
    yaml="cosyvoice.yaml",
    qwen_folder="",
    tokenizer_files=(),
    parts={**COSYVOICE2.parts, "speech_tokenizer": "speech_tokenizer_v1.onnx"},
    classes=v1.CLASSES,
    fields=v1.FIELDS,
    expected=v1.EXPECTED,
    tags=(),
    speech_tokens=4096,
    special=SpecialTokens(count=1, eos=0, fill=0, guarded=0, sos=0, task=1),
    token_rate=50,  # or 25: see the flow's config
    sample_rate=22050,
    n_fft=1024,
    hop_length=256,
    hears_speaker=True,
    fixed_noise=False,
)

VERSIONS: Mapping[str, Version] = {version.model_type: version for version in (COSYVOICE1, COSYVOICE2, COSYVOICE3)}

# A tensor of each part that tells the versions apart, those not ported included; the first one present decides.
# With a number it is the size of the tensor's last axis. EVERY: the part is the same in all of them.
EVERY = "every version"
DISTINCTIVE_TENSORS: dict[str, dict[str, str | tuple[str, int]]] = {
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
    "hift": {
        "CosyVoice 3": ("conv_pre.parametrizations.weight.original1", 5),
        "CosyVoice 2": "ups.2.bias",
        "CosyVoice 1": "m_source.l_linear.weight",
    },
    "campplus": {EVERY: "xvector.dense.linear.weight"},
    "speech_tokenizer": {
        "CosyVoice 3": "blocks.6.attn.query.weight",
        "CosyVoice 2": "quantizer.project_in.bias",
        "CosyVoice 1": "blocks.0.attn.query.weight",
    },
}
