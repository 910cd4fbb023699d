"""What `benchmark` measures: both sides on the same five seconds of speech.

torch is imported inside the functions of its side: our side is measured without it.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from weakref import finalize

import mlx.core as mx
import numpy as np

from ....weights import load_model
from ..config import CONFIGS, Parts
from ..flow.stream import FlowStream
from ..lm.decoder import Decoder
from ..lm.prefix import Prefix
from ..lm.qwen2 import Qwen2LM
from ..model import Model
from ..prepared import FLOW, LM, Prepared, prepared_arrays
from ..release.files import flow_noise, open_release, version_of
from ..streaming import Clock, stream_audio, stream_mels
from ..versions import COSYVOICE3
from ..vocoder.stream import HiftStream
from ..weights import WEIGHTS
from .audio import build_flow, build_hift
from .audio_version3 import build_causal_hift, build_dit_flow
from .cases import audio_inputs
from .lm import build_lm, special_rows
from .taps import torch_f0, torch_source
from .version1 import build_regulated_flow, build_transformer_lm

N_PROMPT_TEXT = 14  # tokens of what the prompt says
PARTS = ("llm", "flow", "hift")  # those that are PyTorch in the original
SIZES = {"llm": "lm", "flow": "flow", "hift": "hift"}
BUILDERS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "cosyvoice": {"llm": build_transformer_lm, "flow": build_regulated_flow, "hift": build_hift},
    "cosyvoice2": {"llm": build_lm, "flow": build_flow, "hift": build_hift},
    "cosyvoice3": {"llm": partial(build_lm, version=COSYVOICE3), "flow": build_dit_flow, "hift": build_causal_hift},
}


def load_ours(path: Path) -> Model:
    """Load our model from a converted folder, or from the release."""
    from ....backend.native import kernels

    packed = False if hasattr(kernels(), "quantized_matmul") else None
    version = version_of(path)
    sizes = CONFIGS[version.model_type].from_dict
    opening = partial(open_release, version=version)
    options = {"sizes": sizes, "weight_map": WEIGHTS[version.model_type], "open_release": opening}
    return load_model(path, lambda config: Model(sizes(config)), **options, dequantize=packed)[0]


def read_config(path: Path) -> Parts:
    """Read our config of the release."""
    version = version_of(path)
    with open_release(path, version) as checkpoint:
        return CONFIGS[version.model_type].from_dict(checkpoint.config or {})


def load_original(part: str, config: Parts, folder: Path) -> Any:
    """Load a part of the release into the original's class."""
    import torch

    make, sizes = BUILDERS[config.version.model_type][part], getattr(config, SIZES[part])
    model = make(sizes)
    state = torch.load(folder / config.version.parts[part], map_location="cpu", weights_only=True)
    model.load_state_dict({name.replace("generator.", "") if part == "hift" else name: v for name, v in state.items()})
    return model.eval()


class Work:
    """Five seconds of speech after a prompt of three: 125 tokens, 250 frames."""

    def __init__(self, config: Parts) -> None:
        self.config = config
        rng = np.random.default_rng(0)
        words, speech = min(config.lm.vocab_size, 151_643), config.lm.speech_token_size
        self.text = rng.integers(0, words, 34).tolist()
        self.prompt = rng.integers(0, speech, 75).tolist()
        self.speech = rng.integers(0, speech, 125).tolist()
        self.inputs = audio_inputs(config, 125, 75)
        self.mel = (np.cumsum(rng.standard_normal((1, 250, config.flow.n_mels)) * 0.2, axis=1) - 4).astype(np.float32)
        self.clock = Clock()  # of the last stream
        self._folder = Path(tempfile.mkdtemp())
        finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.audio_s = 250 * config.hift.samples_per_frame / config.sample_rate

    def ours(self, model: Model) -> dict[str, Callable[[], Any]]:
        """Return our workloads: each part, their total, and the stream."""
        noise, source_noise = flow_noise(self.config.flow.n_mels), mx.array(self.inputs["noise"])
        arrays = [mx.array(self.inputs[name]) for name in ("tokens", "prompt_tokens", "prompt_mel", "speaker")]
        mx.eval(noise, source_noise, arrays)
        mel = mx.array(self.mel)

        def speech_tokens(prefix: Prefix | None = None) -> Iterator[int]:
            """Yield fixed tokens, at the cost of drawing each."""
            decoder = Decoder(model.lm)
            x = model.lm.embed_prompt(self.text, self.prompt)
            decoder.draw(decoder.read(x if prefix is None else x[:, prefix.begin(decoder.cache, self.text) :]))
            yield self.speech[0]
            for token in self.speech[1:]:
                decoder.draw(decoder.read(model.lm.embed_speech([token])))
                yield token

        def language_model() -> None:
            for _ in speech_tokens():
                pass

        def flow() -> mx.array:
            return model.flow(*arrays, noise=noise)

        def vocoder() -> mx.array:
            return model.hift(mel, source_noise)

        def stream(prepared: Prepared | None = None) -> Iterator[np.ndarray]:
            """Everything in pieces, the prompt's share of the flow included unless a saved speaker has it."""
            self.clock, prefix, memory = Clock(), None, None
            with self.clock.part("flow_prompt"):
                if prepared is not None:
                    assert isinstance(model.lm, Qwen2LM)  # version 1 prepares nothing
                    prefix = Prefix.from_arrays(model.lm, prepared.part(LM, {}))
                    memory = prepared.part(FLOW, {})
                flow = FlowStream(model.flow, *arrays[1:], noise=noise, memory=memory)
            mels = stream_mels(model, speech_tokens(prefix), flow, arrays[1].shape[1], self.clock)
            yield from stream_audio(mels, HiftStream(model.hift, model.hift.noise(0)), self.clock)

        def stream_of_saved_speaker() -> Iterator[np.ndarray]:
            """The stream of a speaker whose file was written before."""
            path = self._folder / "speaker.safetensors"
            if not path.exists():
                assert isinstance(model.lm, Qwen2LM)
                read = Prefix.read(model.lm, self.text[:N_PROMPT_TEXT])
                flow = FlowStream(model.flow, *arrays[1:], noise=noise)
                Prepared(prepared_arrays(flow.arrays(), read.arrays())).write(path)
            yield from stream(Prepared(path))

        return {
            **by_part(language_model, lambda: mx.eval(flow()), lambda: mx.eval(vocoder())),
            "stream": stream,
            "stream of a saved speaker": stream_of_saved_speaker,
        }

    def torch(self, parts: dict[str, Any]) -> dict[str, Callable[[], Any]]:
        """Return the original's workloads: each part, and their total."""
        import torch

        llm, flow_, hift = (parts[name] for name in PARTS)
        tokens, prompt = (torch.from_numpy(self.inputs[name]) for name in ("tokens", "prompt_tokens"))
        prompt_mel, speaker = (torch.from_numpy(self.inputs[name]) for name in ("prompt_mel", "speaker"))
        lengths = [torch.tensor([x.shape[1]]) for x in (tokens, prompt, prompt_mel)]
        mel = torch.from_numpy(self.mel).transpose(1, 2)

        def language_model() -> None:
            with torch.inference_mode():
                text = llm.llm.model.model.embed_tokens(torch.tensor(self.text))
                sos, task = special_rows(llm)
                rows = [sos, text, task]
                x = torch.cat([*rows, llm.speech_embedding(torch.tensor(self.prompt))])[None]
                cache, drawn = None, []
                for token in self.speech:
                    ones = torch.ones((1, x.shape[1], x.shape[1]), dtype=torch.bool)
                    y, cache = llm.llm.forward_one_step(x, masks=ones, cache=cache)
                    scores = llm.llm_decoder(y[:, -1]).log_softmax(dim=-1)
                    drawn.append(int(llm.sampling(scores.squeeze(0), drawn, 25)))
                    x = llm.speech_embedding.weight[token].reshape(1, 1, -1)

        def flow() -> None:
            with torch.inference_mode():
                flow_.inference(tokens, lengths[0], prompt, lengths[1], prompt_mel, lengths[2], speaker, False, True)

        def vocoder() -> None:
            with torch.inference_mode():
                f0 = torch_f0(hift, mel)
                hift.decode(x=mel, s=torch_source(hift, f0, self.inputs["noise"])[:, None])

        return by_part(language_model, flow, vocoder)


def by_part(*parts: Callable[[], Any]) -> dict[str, Callable[[], Any]]:
    def total() -> None:
        for part in parts:
            part()

    return {**dict(zip(("language model", "flow", "vocoder"), parts, strict=True)), "total": total}
