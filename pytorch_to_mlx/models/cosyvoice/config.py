"""The architecture numbers of all parts, as our config.json nests them; release/ gets them from the yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...config import from_dict, number
from .flow.flow import FlowConfig
from .lm.config import LMConfig
from .vocoder.config import HiftConfig
from .voice.campplus import CamPPlusConfig
from .voice.s3_tokenizer import SpeechTokenizerConfig


@dataclass(frozen=True)
class MelConfig:
    """The prompt's mel spectrogram. f_max: None is half the sample rate."""

    n_fft: int = 1920
    hop_length: int = 480
    n_mels: int = 80
    f_min: float = number(0.0, low=0)
    f_max: float | None = number(8000.0, low=1)


@dataclass(frozen=True)
class Config:
    sample_rate: int = 24000
    lm: LMConfig = field(default_factory=LMConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    hift: HiftConfig = field(default_factory=HiftConfig)
    campplus: CamPPlusConfig = field(default_factory=CamPPlusConfig)
    speech_tokenizer: SpeechTokenizerConfig = field(default_factory=SpeechTokenizerConfig)
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
                f"hift makes {self.hift.samples_per_frame} samples a frame at {self.hift.sample_rate} Hz, "
                f"mel has {self.mel.hop_length} at {self.sample_rate} Hz"
            )
        if self.campplus.embedding_size != self.flow.speaker_dim:
            sizes = self.campplus.embedding_size, self.flow.speaker_dim
            raise ValueError("campplus gives {} numbers of a voice, flow takes {}".format(*sizes))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises FormatError that lists every problem."""
        return from_dict(cls, data)

    @classmethod
    def tiny(cls) -> "Config":
        return cls(
            lm=LMConfig.tiny(),
            flow=FlowConfig.tiny(),
            hift=HiftConfig.tiny(),
            campplus=CamPPlusConfig.tiny(),
            speech_tokenizer=SpeechTokenizerConfig.tiny(),
        )
