"""CosyVoice: text to speech tokens, to a mel spectrogram, to samples, in the voice of a recording."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .config import Parts
from .flow.dit_flow import DiTFlow, DiTFlowConfig
from .flow.flow import Flow, FlowConfig
from .flow.regulated import RegulatedFlow, RegulatedFlowConfig
from .lm.decoder import SpeechLM
from .lm.qwen2 import Qwen2LM
from .lm.transformer import TransformerLM, TransformerLMConfig
from .vocoder.causal_hift import CausalHift
from .vocoder.config import CausalHiftConfig, HiftConfig
from .vocoder.hift import Hift
from .vocoder.sampled_hift import SampledHift, SampledHiftConfig
from .voice.campplus import CamPPlus
from .voice.s3_tokenizer import SpeechTokenizer, WindowedTokenizer
from .voice.vq_tokenizer import VQTokenizer, VQTokenizerConfig

# The network of each class of sizes.
FLOWS: Mapping[type, Callable[[Any], nn.Module]] = {
    RegulatedFlowConfig: RegulatedFlow,
    FlowConfig: Flow,
    DiTFlowConfig: DiTFlow,
}
VOCODERS: Mapping[type[HiftConfig], Callable[[Any], Hift]] = {
    SampledHiftConfig: SampledHift,
    HiftConfig: Hift,
    CausalHiftConfig: CausalHift,
}


class Model(nn.Module):
    """The five networks. The pipeline connects them; `__call__` runs each once, for tests and measurements."""

    def __init__(self, config: Parts) -> None:
        super().__init__()
        self._config = config
        self.lm: SpeechLM = (
            TransformerLM(config.lm)
            if isinstance(config.lm, TransformerLMConfig)
            else Qwen2LM(config.lm, config.version.special)
        )
        self.flow: Any = FLOWS[type(config.flow)](config.flow)
        self.hift = VOCODERS[type(config.hift)](config.hift)
        self.campplus = CamPPlus(config.campplus)
        self.speech_tokenizer: WindowedTokenizer = (
            VQTokenizer(config.speech_tokenizer)
            if isinstance(config.speech_tokenizer, VQTokenizerConfig)
            else SpeechTokenizer(config.speech_tokenizer)
        )

    @property
    def config(self) -> Parts:
        """The sizes that it was built with."""
        return self._config

    def __call__(
        self,
        text: Sequence[int],
        speech: Sequence[int],
        fbank: mx.array,
        log_mel: mx.array,
        prompt_mel: mx.array,
        flow_noise: mx.array,
        source_noise: mx.array,
    ) -> dict[str, mx.array]:
        """Return the audio of `speech` in the voice of a recording, and its logits after `text`.

        Shapes: fbank [1, T, 80], log_mel [1, T, 128] and prompt_mel [1, F, 80] of the recording, flow_noise
        [1, >= F + frames(L), 80], source_noise [1, frames(L) · samples_per_frame, harmonics + 1] -> logits
        [1, L + 2 or 3 + text, V], audio [1, frames(L) · samples_per_frame].
        """
        speaker = self.campplus(fbank)
        prompt = self.speech_tokenizer(log_mel)
        n_frames, n_tokens = self.config.flow.align(prompt_mel.shape[1], prompt.shape[1])
        prompt, prompt_mel = prompt[:, :n_tokens], prompt_mel[:, :n_frames]
        logits = self.lm.logits(self.lm(self.lm.embed_prompt(text, speech, speaker)))
        mel = self.flow(mx.array([list(speech)]), prompt, prompt_mel, speaker, noise=flow_noise)
        return {"logits": logits, "audio": self.hift(mel, source_noise)}
