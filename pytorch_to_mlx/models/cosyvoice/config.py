"""The sizes of all parts, nested as in our config.json; release/ reads them from the original's files.

A version has a class of its own: the class of a part's sizes decides which network it is, see model.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from ...config import from_dict, number
from .flow.dit_flow import DiTFlowConfig
from .flow.flow import FlowConfig
from .flow.regulated import RegulatedFlowConfig
from .lm.config import LMConfig
from .lm.transformer import TransformerLMConfig
from .text.whisper_tokenizer import NUM_LANGUAGES, WHISPER_SIZE
from .versions import COSYVOICE1, COSYVOICE2, COSYVOICE3, Version
from .vocoder.config import CausalHiftConfig, HiftConfig
from .vocoder.sampled_hift import SampledHiftConfig
from .voice.campplus import CamPPlusConfig
from .voice.s3_tokenizer import SpeechTokenizerConfig
from .voice.vq_tokenizer import VQTokenizerConfig


@dataclass(frozen=True)
class MelConfig:
    """The prompt's mel spectrogram. f_max: None is half the sample rate."""

    n_fft: int = COSYVOICE2.n_fft
    hop_length: int = COSYVOICE2.hop_length
    n_mels: int = 80
    f_min: float = number(0.0, low=0)
    f_max: float | None = number(COSYVOICE2.f_max, low=1)


@dataclass(frozen=True)
class Parts:
    """The whole model, of any version. Raises ValueError if the parts contradict each other."""

    version: ClassVar[Version]

    lm: LMConfig | TransformerLMConfig
    flow: Any
    hift: HiftConfig
    speech_tokenizer: SpeechTokenizerConfig | VQTokenizerConfig
    sample_rate: int = COSYVOICE2.sample_rate
    campplus: CamPPlusConfig = field(default_factory=CamPPlusConfig)
    mel: MelConfig = field(default_factory=MelConfig)

    def __post_init__(self) -> None:
        tokens = (self.lm.speech_token_size, self.flow.vocab_size, self.speech_tokenizer.codebook_size)
        if len(set(tokens)) > 1:
            raise ValueError("lm, flow and speech_tokenizer have {}, {} and {} speech tokens".format(*tokens))
        mels = (self.mel.n_mels, self.flow.n_mels, self.hift.n_mels)
        if len(set(mels)) > 1:
            raise ValueError("mel, flow and hift have {}, {} and {} mel bands".format(*mels))
        if self.hift.samples_per_frame != self.mel.hop_length or self.hift.sample_rate != self.sample_rate:
            raise ValueError(
                f"hift makes {self.hift.samples_per_frame} samples per frame at {self.hift.sample_rate} Hz, "
                f"mel has {self.mel.hop_length} at {self.sample_rate} Hz"
            )
        if self.campplus.embedding_size != self.flow.speaker_dim:
            sizes = self.campplus.embedding_size, self.flow.speaker_dim
            raise ValueError("campplus gives {} numbers for a voice, flow takes {}".format(*sizes))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read config.json. Raises: FormatError that lists every problem."""
        return from_dict(cls, data)


@dataclass(frozen=True)
class Config(Parts):
    """The whole of version 2."""

    version: ClassVar[Version] = COSYVOICE2

    lm: LMConfig = field(default_factory=LMConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    hift: HiftConfig = field(default_factory=HiftConfig)
    speech_tokenizer: SpeechTokenizerConfig = field(default_factory=SpeechTokenizerConfig)

    @classmethod
    def tiny(cls) -> "Config":
        """Return small sizes for tests."""
        return cls(
            lm=LMConfig.tiny(),
            flow=FlowConfig.tiny(),
            hift=HiftConfig.tiny(),
            campplus=CamPPlusConfig.tiny(),
            speech_tokenizer=SpeechTokenizerConfig.tiny(),
        )


@dataclass(frozen=True)
class Config3(Parts):
    """The whole of version 3."""

    version: ClassVar[Version] = COSYVOICE3

    lm: LMConfig = field(default_factory=LMConfig)
    flow: DiTFlowConfig = field(default_factory=DiTFlowConfig)
    hift: CausalHiftConfig = field(default_factory=CausalHiftConfig)
    speech_tokenizer: SpeechTokenizerConfig = field(default_factory=lambda: SpeechTokenizerConfig(n_audio_layer=12))
    mel: MelConfig = field(default_factory=lambda: MelConfig(f_max=COSYVOICE3.f_max))

    @classmethod
    def tiny(cls) -> "Config3":
        """Return small sizes for tests."""
        return cls(
            lm=LMConfig.tiny(),
            flow=DiTFlowConfig.tiny(),
            hift=CausalHiftConfig.tiny(),
            campplus=CamPPlusConfig.tiny(),
            speech_tokenizer=SpeechTokenizerConfig.tiny(),
        )


@dataclass(frozen=True)
class Config1(Parts):
    """The whole of version 1."""

    version: ClassVar[Version] = COSYVOICE1

    lm: TransformerLMConfig = field(default_factory=TransformerLMConfig)
    flow: RegulatedFlowConfig = field(default_factory=RegulatedFlowConfig)
    hift: SampledHiftConfig = field(default_factory=SampledHiftConfig)
    speech_tokenizer: VQTokenizerConfig = field(default_factory=VQTokenizerConfig)
    sample_rate: int = COSYVOICE1.sample_rate
    mel: MelConfig = field(default_factory=lambda: MelConfig(COSYVOICE1.n_fft, COSYVOICE1.hop_length))

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = self.speech_tokenizer.token_rate, self.flow.token_rate
        if rates[0] != rates[1]:
            raise ValueError("speech_tokenizer gives {} tokens a second, flow takes {}".format(*rates))
        if (self.flow.sample_rate, self.flow.hop_length) != (self.sample_rate, self.mel.hop_length):
            raise ValueError("flow and mel have different frames")
        if self.lm.vocab_size == WHISPER_SIZE and self.lm.num_languages != NUM_LANGUAGES:
            rows, tags = f"{WHISPER_SIZE} rows for {NUM_LANGUAGES} languages", self.lm.num_languages
            raise ValueError(f"the text embedding has {rows}, the text tokenizer has {tags}")

    @classmethod
    def tiny(cls) -> "Config1":
        """Return small sizes for tests."""
        return cls(
            lm=TransformerLMConfig.tiny(),
            flow=RegulatedFlowConfig.tiny(),
            hift=SampledHiftConfig(base_channels=64, f0_channels=32),
            campplus=CamPPlusConfig.tiny(),
            speech_tokenizer=VQTokenizerConfig.tiny(),
        )


CONFIGS: Mapping[str, type[Config1] | type[Config] | type[Config3]] = {
    "cosyvoice": Config1,
    "cosyvoice2": Config,
    "cosyvoice3": Config3,
}
