"""What `benchmark` measures of version 1: both sides on the same five seconds of speech.

torch is imported inside the functions of its side: our side is measured without it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np

from ..config import Parts
from ..flow.regulated import RegulatedFlow
from ..lm.decoder import Decoder
from ..model import Model
from ..options import Options
from ..overlap import NOISE_FRAMES, FlowWindows
from ..speakers import Speaker
from ..streaming import Clock, stream_audio
from ..vocoder.hift import normal_noise
from ..vocoder.stream import HiftStream
from .cases_version1 import audio_inputs
from .version1 import flow_taps, torch_source
from .workloads import PARTS, Work, by_part

TEXT, PROMPT_S, SPEECH_S = 34, 3, 5


class Work1(Work):
    """Five seconds of speech after a prompt of three: 250 tokens at 50 Hz, 430 frames."""

    def __init__(self, config: Parts) -> None:
        self.config = config
        rng, rate = np.random.default_rng(0), config.flow.token_rate
        speech = config.lm.speech_token_size
        self.text = rng.integers(0, min(config.lm.vocab_size, 50_000), TEXT).tolist()
        self.prompt = rng.integers(0, speech, PROMPT_S * rate).tolist()
        self.speech = rng.integers(0, speech, SPEECH_S * rate).tolist()
        self.inputs = audio_inputs(config, SPEECH_S * rate, PROMPT_S * rate)
        n_frames, mels = config.flow.frames(SPEECH_S * rate), config.flow.n_mels
        self.mel = (np.cumsum(rng.standard_normal((1, n_frames, mels)) * 0.2, axis=1) - 4).astype(np.float32)
        self.clock = Clock()  # of the last stream
        self.audio_s = n_frames * config.hift.samples_per_frame / config.sample_rate

    def ours(self, model: Model) -> dict[str, Callable[[], Any]]:
        """Return our workloads: each part, their total, and the stream."""
        flow_, hift, inputs = model.flow, model.hift, self.inputs
        assert isinstance(flow_, RegulatedFlow)
        arrays = [mx.array(inputs[name]) for name in ("tokens", "prompt_tokens", "prompt_mel", "speaker")]
        noise, source_noise, mel = (mx.array(x) for x in (inputs["flow_noise"], inputs["noise"], self.mel))
        mx.eval(arrays, noise, source_noise, mel)

        def speech_tokens() -> Iterator[int]:
            """Yield fixed tokens, at the cost of drawing each."""
            decoder = Decoder(model.lm)
            decoder.draw(decoder.read(model.lm.embed_prompt(self.text, self.prompt, arrays[3])))
            yield self.speech[0]
            for token in self.speech[1:]:
                decoder.draw(decoder.read(model.lm.embed_speech([token])))
                yield token

        def language_model() -> None:
            for _ in speech_tokens():
                pass

        def stream() -> Iterator[np.ndarray]:
            self.clock = Clock()
            speaker = Speaker(arrays[3], arrays[2], tuple(self.prompt))
            frame_noise = normal_noise(0, NOISE_FRAMES, self.config.mel.n_mels)
            windows = FlowWindows(flow_, speaker, frame_noise, Options(stream=True))
            mels = (mel for mel, _ in windows.mels(speech_tokens(), self.clock))
            yield from stream_audio(mels, HiftStream(hift, hift.noise(0)), self.clock)

        parts = by_part(
            language_model, lambda: mx.eval(flow_(*arrays, noise=noise)), lambda: mx.eval(hift(mel, source_noise))
        )
        return {**parts, "stream": stream}

    def torch(self, parts: dict[str, Any]) -> dict[str, Callable[[], Any]]:
        """Return the original's workloads: each part, and their total."""
        import torch

        llm, flow_, hift = (parts[name] for name in PARTS)
        mel = torch.from_numpy(self.mel).transpose(1, 2)

        def language_model() -> None:
            with torch.inference_mode():
                encoded, _ = llm.encode(llm.text_embedding(torch.tensor([self.text])), torch.tensor([TEXT]))
                voice = torch.nn.functional.normalize(torch.from_numpy(self.inputs["speaker"]), dim=1)
                sos, task = (llm.llm_embedding.weight[None, row : row + 1] for row in (0, 1))
                prompt = llm.speech_embedding(torch.tensor([self.prompt]))
                x = torch.cat([sos, llm.spk_embed_affine_layer(voice)[None], encoded, task, prompt], dim=1)
                offset, drawn = 0, []
                caches = {"att_cache": torch.zeros((0, 0, 0, 0)), "cnn_cache": torch.zeros((0, 0, 0, 0))}
                for token in self.speech:
                    mask = torch.tril(torch.ones((1, x.shape[1], x.shape[1]))).to(torch.bool)
                    y, *cached = llm.llm.forward_chunk(x, offset, -1, att_mask=mask, **caches)
                    caches = dict(zip(caches, cached, strict=True))
                    scores = llm.llm_decoder(y[:, -1]).log_softmax(dim=-1)
                    drawn.append(int(llm.sampling(scores.squeeze(0), drawn, 25)))
                    offset += x.shape[1]
                    x = llm.speech_embedding.weight[token].reshape(1, 1, -1)

        def flow() -> None:
            flow_taps(flow_, self.inputs)

        def vocoder() -> None:
            with torch.inference_mode():
                f0 = hift.f0_predictor(mel)
                phases = np.zeros(self.inputs["noise"].shape[-1], np.float32)
                source = torch_source(hift, f0, self.inputs["noise"], phases)
                hift.decode(x=mel, s=source[:, None])

        return by_part(language_model, flow, vocoder)
