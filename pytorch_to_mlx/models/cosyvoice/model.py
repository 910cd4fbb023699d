"""CosyVoice: text to speech tokens, to a mel spectrogram, to samples, in the voice of a recording."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .config import Parts
from .flow.causal import CausalFlow, CausalFlowConfig
from .flow.dit_flow import DiTFlow, DiTFlowConfig
from .flow.flow import Flow, FlowConfig
from .lm.qwen2 import Qwen2LM
from .vocoder.causal_hift import CausalHift
from .vocoder.config import CausalHiftConfig, HiftConfig
from .vocoder.hift import Hift
from .voice.campplus import CamPPlus
from .voice.s3_tokenizer import SpeechTokenizer

# The network of each class of sizes.
FLOWS: Mapping[type[CausalFlowConfig], Callable[[Any], CausalFlow]] = {FlowConfig: Flow, DiTFlowConfig: DiTFlow}
VOCODERS: Mapping[type[HiftConfig], Callable[[Any], Hift]] = {HiftConfig: Hift, CausalHiftConfig: CausalHift}


class Model(nn.Module):
    """The five networks. The pipeline connects them; `__call__` runs each once, for tests and measurements."""

    def __init__(self, config: Parts) -> None:
        super().__init__()
        self._config = config
        self.lm = Qwen2LM(config.lm, config.version.special)
        self.flow = FLOWS[type(config.flow)](config.flow)
        self.hift = VOCODERS[type(config.hift)](config.hift)
        self.campplus = CamPPlus(config.campplus)
        self.speech_tokenizer = SpeechTokenizer(config.speech_tokenizer)

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

        Shapes: fbank [1, T, 80], log_mel [1, T, 128] and prompt_mel [1, 2 P, 80] of the recording, flow_noise
        [1, >= 2 (P + L), 80], source_noise [1, 2 L · samples_per_frame, harmonics + 1] -> logits [1, L + 2 + text, V],
        audio [1, 2 L · samples_per_frame].
        """
        speaker = self.campplus(fbank)
        prompt = self.speech_tokenizer(log_mel)[:, : prompt_mel.shape[1] // self.config.flow.token_mel_ratio]
        logits = self.lm.logits(self.lm(self.lm.embed_prompt(text, speech)))
        mel = self.flow(mx.array([list(speech)]), prompt, prompt_mel, speaker, noise=flow_noise)
        return {"logits": logits, "audio": self.hift(mel, source_noise)}
