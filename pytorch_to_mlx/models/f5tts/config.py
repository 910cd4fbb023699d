"""The sizes of F5-TTS and E2-TTS, and what tensors do not say: which heads rotate, and whether padding is masked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ...config import from_dict, number
from ...errors import FormatError

SAMPLE_RATE = 24000
N_FFT, HOP_LENGTH, N_MELS = 1024, 256, 100
HEAD_DIM = 64  # of every model: a default in the original, which no configuration changes
THETA = 10000.0  # of rotary positions, and of the text's
MAX_FRAMES = 65536
MAX_TEXT_FRAMES = 8192  # rows of the original's table of text positions

# What the tensors of a DiT do not say: v0 and v1 have the same names and shapes.
VARIANTS: dict[str, dict[str, Any]] = {
    "v0": {"variant": "v0", "text_mask_padding": False, "rotates": "first"},
    "v1": {"variant": "v1", "text_mask_padding": True, "rotates": "all"},
}
IGNORED = frozenset({"mel_spec_type"})


@dataclass(frozen=True)
class Config:
    """One model: DiT is F5-TTS, UNetT is E2-TTS. The defaults are F5TTS_v1_Base.

    vocab_size: entries of vocab.txt; the table has a row more, for the filler. rotates: the heads with positions.
    text_mask_padding: the text's padding is zero instead of the filler's row. text_average_upsampling: the text is
    stretched to the length of the audio after it was encoded. num_text_layers: ConvNeXt V2 blocks; 0 for E2-TTS.
    """

    backbone: Literal["DiT", "UNetT"] = "DiT"
    variant: Literal["v0", "v1", "custom"] = "v1"
    tokenizer: str = "pinyin"
    hidden_size: int = 1024
    num_hidden_layers: int = 22
    num_attention_heads: int = 16
    intermediate_size: int = 2048
    text_hidden_size: int = 512
    num_text_layers: int = number(4, low=0, high=1000)
    vocab_size: int = 2545
    n_mels: int = N_MELS
    text_mask_padding: bool = True
    text_average_upsampling: bool = False
    rotates: Literal["all", "first"] = "all"
    qk_norm: bool = False
    long_skip_connection: bool = False
    skip_connect_type: Literal["concat", "add", "none"] = "concat"

    def __post_init__(self) -> None:
        if self.hidden_size % 16:
            raise ValueError(f"hidden_size {self.hidden_size} does not divide into 16 groups")
        if self.num_text_layers and self.text_hidden_size % 2:
            raise ValueError(f"text_hidden_size {self.text_hidden_size} must be even: it holds sines and cosines")
        if self.text_average_upsampling and not self.text_mask_padding:
            raise ValueError("text_average_upsampling needs text_mask_padding")
        if self.backbone == "UNetT":
            if self.num_hidden_layers % 2:
                raise ValueError(f"a UNetT has pairs of layers, not {self.num_hidden_layers}")
            if self.long_skip_connection or self.text_average_upsampling or self.num_text_layers:
                raise ValueError("text layers, text_average_upsampling and long_skip_connection are the DiT's alone")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises: FormatError that lists every problem, or that asks for the variant."""
        if isinstance(data, Mapping) and data.get("backbone", "DiT") == "DiT" and data.get("variant", "") is None:
            raise FormatError(
                "nothing says whether this is v0 or v1 of F5-TTS: their tensors are alike, and as the other it speaks "
                "gibberish",
                fix="convert it with --variant v0 (F5TTS_Base, and what was fine-tuned from it) or --variant v1 "
                "(F5TTS_v1_Base), or put the model's .yaml beside it",
            )
        return from_dict(cls, data, ignored=IGNORED)

    @classmethod
    def tiny(cls, **changes: Any) -> "Config":
        """Return small sizes for tests; `changes` replace some of them."""
        sizes = cls(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            text_hidden_size=16,
            num_text_layers=2,
            vocab_size=40,
        )
        return replace(sizes, **changes)
