"""What `benchmark` measures: both sides on the same five seconds of speech."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ....weights import load_model
from ..config import Config
from ..flow.stream import FlowStream
from ..lm.decoding import Decoder, sampler_of
from ..model import Model
from ..release.files import flow_noise
from ..streaming import Clock, audio_of, mels_of
from ..vocoder.stream import HiftStream
from ..weights import WEIGHTS, open_release
from .audio import build_flow, build_hift
from .cases import audio_inputs
from .lm import build_lm
from .taps import torch_source

PARTS = ("llm", "flow", "hift")


def ours(path: Path) -> Model:
    """Our model from a converted folder, or from the release."""
    from ....backend.native import kernels

    packed = False if hasattr(kernels(), "quantized_matmul") else None
    build = lambda config: Model(Config.from_dict(config))  # noqa: E731
    return load_model(path, build, weight_map=WEIGHTS, open_release=open_release, dequantize=packed)[0]


def read_config(path: Path) -> Config:
    with open_release(path) as checkpoint:
        return Config.from_dict(checkpoint.config or {})


def original_part(part: str, config: Config, folder: Path) -> Any:
    """The original's class with the weights of the release."""
    import torch

    build: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "llm": (build_lm, config.lm), "flow": (build_flow, config.flow), "hift": (build_hift, config.hift),
    }  # fmt: skip
    make, sizes = build[part]
    model = make(sizes)
    state = torch.load(folder / f"{part}.pt", map_location="cpu", weights_only=True)
    model.load_state_dict({name.replace("generator.", "") if part == "hift" else name: v for name, v in state.items()})
    return model.eval()


class Work:
    """Five seconds of speech after a prompt of three: 125 tokens, 250 frames; what `benchmark` measures."""

    def __init__(self, config: Config) -> None:
        self.config = config
        rng = np.random.default_rng(0)
        words, speech = min(config.lm.vocab_size, 151_643), config.lm.speech_token_size
        self.text = rng.integers(0, words, 34).tolist()
        self.prompt = rng.integers(0, speech, 75).tolist()
        self.said = rng.integers(0, speech, 125).tolist()
        self.inputs = audio_inputs(config, 125, 75)
        self.mel = (np.cumsum(rng.standard_normal((1, 250, config.flow.n_mels)) * 0.2, axis=1) - 4).astype(np.float32)
        self.clock = Clock()  # of the last stream
        self.audio_s = 250 * config.hift.samples_per_frame / config.sample_rate

    def ours(self, model: Model) -> dict[str, Callable[[], Any]]:
        noise, source_noise = flow_noise(self.config.flow.n_mels), mx.array(self.inputs["noise"])
        arrays = [mx.array(self.inputs[name]) for name in ("tokens", "prompt_tokens", "prompt_mel", "speaker")]
        mx.eval(noise, source_noise, arrays)
        mel = mx.array(self.mel)

        def spoken() -> Iterator[int]:
            decoder = Decoder(model.lm, sampler_of(model.lm), np.random.default_rng(0).random)
            decoder.draw(decoder.read(model.lm.prompt(self.text, self.prompt)))
            yield self.said[0]
            for token in self.said[1:]:
                decoder.draw(decoder.read(model.lm.speech([token])))
                yield token

        def language_model() -> None:
            for _ in spoken():
                pass

        def flow() -> mx.array:
            return model.flow(*arrays, noise=noise)

        def vocoder() -> mx.array:
            return model.hift(mel, source_noise)

        def stream() -> Iterator[np.ndarray]:
            """All of it in pieces; the prompt's share of the flow too."""
            self.clock = Clock()
            with self.clock.part("flow_prompt"):
                flow = FlowStream(model.flow, *arrays[1:], noise=noise)
            mels = mels_of(model, spoken(), flow, arrays[1].shape[1], self.clock)
            yield from audio_of(mels, HiftStream(model.hift, model.hift.noise(0)), self.clock)

        return {**_works(language_model, lambda: mx.eval(flow()), lambda: mx.eval(vocoder())), "stream": stream}

    def torch(self, parts: dict[str, Any]) -> dict[str, Callable[[], Any]]:
        import torch

        llm, flow_, hift = (parts[name] for name in PARTS)
        tokens, prompt = (torch.from_numpy(self.inputs[name]) for name in ("tokens", "prompt_tokens"))
        prompt_mel, speaker = (torch.from_numpy(self.inputs[name]) for name in ("prompt_mel", "speaker"))
        lengths = [torch.tensor([x.shape[1]]) for x in (tokens, prompt, prompt_mel)]
        mel = torch.from_numpy(self.mel).transpose(1, 2)

        def language_model() -> None:
            with torch.inference_mode():
                text = llm.llm.model.model.embed_tokens(torch.tensor(self.text))
                rows = [llm.llm_embedding.weight[:1], text, llm.llm_embedding.weight[1:]]
                x = torch.cat([*rows, llm.speech_embedding(torch.tensor(self.prompt))])[None]
                cache, said = None, []
                for token in self.said:
                    ones = torch.ones((1, x.shape[1], x.shape[1]), dtype=torch.bool)
                    y, cache = llm.llm.forward_one_step(x, masks=ones, cache=cache)
                    scores = llm.llm_decoder(y[:, -1]).log_softmax(dim=-1)
                    said.append(int(llm.sampling(scores.squeeze(0), said, 25)))
                    x = llm.speech_embedding.weight[token].reshape(1, 1, -1)

        def flow() -> None:
            with torch.inference_mode():
                flow_.inference(tokens, lengths[0], prompt, lengths[1], prompt_mel, lengths[2], speaker, False, True)

        def vocoder() -> None:
            with torch.inference_mode():
                f0 = hift.f0_predictor(mel)
                hift.decode(x=mel, s=torch_source(hift, f0, self.inputs["noise"])[:, None])

        return _works(language_model, flow, vocoder)


def _works(*parts: Callable[[], Any]) -> dict[str, Callable[[], Any]]:
    def total() -> None:
        for part in parts:
            part()

    return {**dict(zip(("language model", "flow", "vocoder"), parts, strict=True)), "total": total}
