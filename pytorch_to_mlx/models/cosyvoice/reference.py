"""The original beside ours: CosyVoice's own classes on the same weights and the same noise.

torch is imported inside the functions of its side: our side is measured without it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import mlx.core as mx
import numpy as np

from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...generate.sample import Sampler
from ...nn.stream import Stream
from ...taps import record_taps
from ...weights import load_model
from .campplus import speaker_features
from .config import Config
from .flow import FlowStream
from .hift import HiftStream
from .lm_decoding import Decoder, sampler_of, speech_tokens
from .model import Model
from .original import original
from .original_audio import build_flow, build_hift
from .reference_lm import build_lm, draws_as_released, lm_taps, lm_tokens
from .s3_tokenizer import tokenizer_features
from .source import flow_noise
from .streaming import Clock, audio_of, mels_of
from .weights import WEIGHTS, open_release

Taps = dict[str, np.ndarray]
PARTS = ("llm", "flow", "hift")
TOKENS = 40  # that both sides say: the original takes 0.2 s for one


class Reference(Contract):
    """Both sides, open. The original's CAM++ and speech tokenizer are ONNX files, run as it does, by onnxruntime.

    The original's other parts are read when a case needs them, and kept no longer than that: in float64 the language
    model takes 4 GB.
    """

    def __init__(self, model: Model, config: Config, folder: Path) -> None:
        self.model, self.config, self.folder = model, config, folder
        self.originals: dict[str, Any] = {}
        self.seen: dict[tuple[str, str], Taps] = {}  # what PyTorch gave for the last case

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(ours(mlx_path or source_path), read_config(source_path), source_path)

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        work = Work(read_config(source_path))
        if side == "ours":
            return work.ours(ours(mlx_path or source_path))["total"]
        return work.torch({part: original_part(part, work.config, source_path) for part in PARTS})["total"]

    def cases(self) -> list[Case]:
        return list(cases(self.config))

    def not_compared(self) -> dict[str, str]:
        why = "cosyvoice2-eu draws otherwise; use FunAudioLLM/CosyVoice"
        return {} if draws_as_released() else {"drawn_tokens": why}

    def mlx(self, case: Case) -> Taps:
        theirs = self._torch(case, "float32")
        kind = str(case.inputs["kind"])
        return {"voice": self._voice, "lm": self._lm, "audio": self._audio}[kind](case.inputs, theirs)

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        return self._torch(case, dtype)

    def workloads(self) -> dict[str, Workload]:
        work = Work(self.config)
        ours, theirs = work.ours(self.model), work.torch(self._parts("float32", *PARTS))
        works = {name: Workload(ours[name], theirs[name], work.audio_s) for name in theirs}
        return works | {"stream": Workload(ours["stream"], None, work.audio_s, lambda: work.clock.first)}

    # Ours; each stage is given what float32 PyTorch gave it.

    def _voice(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        audio = inputs["audio"]
        log_mel = tokenizer_features(audio)
        speaker = self.model.campplus(mx.array(np.array(speaker_features(audio))))
        ids = self.model.speech_tokenizer(mx.array(theirs["log_mel"]))
        return {name: np.array(v) for name, v in (("log_mel", log_mel), ("speaker", speaker), ("speech_tokens", ids))}

    def _lm(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        lm = self.model.lm
        with record_taps() as taps:
            lm.logits(lm(lm.prompt(inputs["text"], inputs["speech"])))
        prompt = {name: inputs[name] for name in ("prompt_text", "prompt_speech")}
        said = {}
        for name, sampler in (("greedy_tokens", Sampler(temperature=0)), ("drawn_tokens", sampler_of(lm))):
            if name not in theirs:
                continue
            uniform = np.random.default_rng(inputs["seed"]).random
            tokens = speech_tokens(
                lm,
                inputs["text"],
                **prompt,
                sampler=sampler,
                uniform=uniform,
                max_ratio=inputs["ratio"],
                as_original=True,
            )
            said[name] = np.array(list(tokens))
        return {name: np.array(taps[name]) for name in ("lm_hidden", "lm_logits")} | said

    def _audio(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        flow, hift = self.model.flow, self.model.hift
        noise = flow_noise(self.config.flow.n_mels)
        arrays = (mx.array(inputs[name]) for name in ("tokens", "prompt_tokens", "prompt_mel", "speaker"))
        with record_taps() as taps:
            flow(*arrays, noise=noise, streaming=inputs["streaming"])
            f0 = hift.f0_predictor(mx.array(theirs["mel"]), Stream())
            source = hift.source(mx.array(theirs["f0"]), mx.array(inputs["noise"]))
            audio = hift.decode(mx.array(theirs["mel"]), mx.array(theirs["source"]), Stream())
        names = ("encoder", *(f"step {i + 1}" for i in range(10)), "mel")
        return {
            **{name: np.array(taps[name]) for name in names},
            "f0": np.array(f0),
            "source": np.array(source),
            "audio": np.array(audio),
        }

    # The original.

    def _torch(self, case: Case, dtype: str) -> Taps:
        if (case.name, dtype) not in self.seen:
            self.seen = {key: taps for key, taps in self.seen.items() if key[0] == case.name}
            self.seen[case.name, dtype] = self._run(case.inputs, dtype)
        return self.seen[case.name, dtype]

    def _run(self, inputs: Mapping[str, Any], dtype: str) -> Taps:
        kind = inputs["kind"]
        if kind == "voice":
            return voice_taps(self.folder, inputs["audio"]) if dtype == "float32" else {}
        if kind == "lm":
            model = self._parts(dtype, "llm")["llm"]
            taps = lm_taps(model, inputs["text"], inputs["speech"])
            if dtype == "float32":
                prompt = inputs["text"], inputs["prompt_text"], inputs["prompt_speech"]
                uniform = np.random.default_rng(inputs["seed"]).random
                taps["greedy_tokens"] = np.array(lm_tokens(model, *prompt, None, inputs["ratio"]))
                if draws_as_released():
                    taps["drawn_tokens"] = np.array(lm_tokens(model, *prompt, uniform, inputs["ratio"]))
            return taps
        given = self.seen.get((inputs["name"], "float32"))
        taps = audio_taps(**self._parts(dtype, "flow", "hift"), inputs=inputs, given=given)
        if dtype == "float64":
            del taps["source"]  # its phase is a sum over all samples, whose rounding is part of the value
        return taps

    def _parts(self, dtype: str, *names: str) -> dict[str, Any]:
        """These parts of the original in this precision, and no others in memory."""
        self.originals = {name: part for name, part in self.originals.items() if name in names}
        for name in names:
            if name not in self.originals:
                self.originals[name] = original_part(name, self.config, self.folder)
            cast(self.originals[name], dtype)
        return self.originals


def ours(path: Path) -> Model:
    """Our model from a converted folder, or from the release."""
    from ...backend.native import kernels

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


def cast(model: Any, dtype: str) -> None:
    """Change the precision in place, of the constants that are no buffers too; float64 and back loses nothing."""
    import torch

    wanted = getattr(torch, dtype)
    model.to(wanted)
    for holder, name in ((model, "stft_window"), (getattr(model, "decoder", None), "rand_noise")):
        if isinstance(getattr(holder, name, None), torch.Tensor):
            setattr(holder, name, getattr(holder, name).to(wanted))


def voice_taps(folder: Path, audio: np.ndarray) -> Taps:
    """What the release's two ONNX files make of a recording, with openai-whisper's features and our filter bank."""
    import torch
    import whisper
    from onnxruntime import InferenceSession

    def session(name: str) -> Any:
        return InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])

    log_mel = whisper.log_mel_spectrogram(torch.from_numpy(audio), n_mels=128)[None].numpy()
    tokenizer, campplus = session("speech_tokenizer_v2.onnx"), session("campplus.onnx")
    names = [i.name for i in tokenizer.get_inputs()]
    length = np.array([log_mel.shape[2]], np.int32)
    (ids,) = tokenizer.run(None, dict(zip(names, (log_mel, length), strict=True)))
    fbank = np.array(speaker_features(audio))  # beside torchaudio's in tests/golden/cosyvoice_audio.npz
    (speaker,) = campplus.run(None, {campplus.get_inputs()[0].name: fbank})
    return {"log_mel": log_mel.swapaxes(1, 2), "speaker": speaker, "speech_tokens": ids.reshape(1, -1)}


def audio_taps(flow: Any, hift: Any, inputs: Mapping[str, Any], given: Taps | None) -> Taps:
    """Mel and audio of tokens. given: the mel, pitch and source of another precision to start the later stages from."""
    import torch

    taps: Taps = {}
    dtype = flow.encoder_proj.weight.dtype

    def before_step(module: Any, args: Any) -> None:
        taps[f"step {sum(name.startswith('step') for name in taps)}"] = _features_last(args[0][:1])

    hooks = [
        flow.encoder_proj.register_forward_hook(lambda _, args, y: taps.update(encoder=y.numpy())),
        flow.decoder.estimator.register_forward_pre_hook(before_step),
        flow.decoder.register_forward_hook(lambda _, args, y: taps.update({"step 10": _features_last(y[0])})),
    ]
    tokens, prompt = (torch.from_numpy(inputs[name]) for name in ("tokens", "prompt_tokens"))
    prompt_mel, speaker = (torch.from_numpy(inputs[name]).to(dtype) for name in ("prompt_mel", "speaker"))
    lengths = [torch.tensor([x.shape[1]]) for x in (tokens, prompt, prompt_mel)]
    try:
        with torch.inference_mode(), masks_in_float64():
            mel, _ = flow.inference(
                tokens, lengths[0], prompt, lengths[1], prompt_mel, lengths[2], speaker, inputs["streaming"], True
            )
    finally:
        for hook in hooks:
            hook.remove()
    del taps["step 0"]  # the noise
    taps["mel"] = _features_last(mel)
    start = taps if given is None else given
    with torch.inference_mode():
        x = torch.from_numpy(start["mel"]).transpose(1, 2).to(dtype)
        f0 = taps["f0"] = hift.f0_predictor(x).numpy()
        source = torch_source(hift, torch.from_numpy(start.get("f0", f0)).to(dtype), inputs["noise"])
        taps["source"] = source.numpy()
        taps["audio"] = hift.decode(x=x, s=torch.from_numpy(start["source"]).to(dtype)[:, None]).numpy()
    return taps


def torch_source(hift: Any, f0: Any, noise: np.ndarray) -> Any:
    """The harmonic source of a pitch, with this noise. Shapes: f0 [1, T] -> [1, L]."""
    import torch

    def injected(like: Any) -> Any:
        return torch.from_numpy(noise).to(like) if like.shape[-1] == noise.shape[-1] else torch.zeros_like(like)

    with patch.object(torch, "randn_like", injected):
        source, _, _ = hift.m_source(hift.f0_upsamp(f0[:, None]).transpose(1, 2))
    return source[..., 0]


@contextmanager
def masks_in_float64() -> Iterator[None]:
    """The original turns masks into biases in 32 and 16 bit only."""
    (decoder,) = original("cosyvoice.flow.decoder")
    with patch.object(decoder, "mask_to_bias", lambda mask, dtype: (1 - mask.to(dtype)) * -1e10):
        yield


def _features_last(x: Any) -> np.ndarray:
    return x.transpose(1, 2).clone().numpy()


def cases(config: Config) -> Iterator[Case]:
    """Recordings, sequences of tokens and voices; made up, because no package carries real weights to go with."""
    for seed, seconds in enumerate((1.0, 3.3)):
        yield _case(f"a voice of {seconds} s", "voice", audio=recording(seconds, seed))
    lm, speech = config.lm, config.lm.speech_token_size
    words = min(lm.vocab_size, 151_643)
    for seed, (text, prompt_text, prompt_speech) in enumerate(((20, 14, 75), (10, 0, 0))):
        rng = np.random.default_rng(seed)
        inputs = {"text": rng.integers(0, words, text).tolist(), "speech": rng.integers(0, speech, 100).tolist()}
        inputs |= {"prompt_text": rng.integers(0, words, prompt_text).tolist()}
        inputs |= {"prompt_speech": rng.integers(0, speech, prompt_speech).tolist()}
        name = f"language model, {text} words after {prompt_text}"
        yield _case(name, "lm", seed=seed, ratio=TOKENS / text, **inputs)
    for name, tokens, prompt, streaming in (
        ("speech of 3 s", 75, 50, False),
        ("speech of 1 s without a prompt", 25, 0, False),
        ("speech of 3 s as in a stream", 75, 60, True),
    ):
        yield _case(name, "audio", **audio_inputs(config, tokens, prompt), streaming=streaming)


def _case(name: str, kind: str, **inputs: Any) -> Case:
    return Case(name, {"kind": kind, "name": name, **inputs})


def audio_inputs(config: Config, tokens: int, prompt: int) -> dict[str, Any]:
    rng = np.random.default_rng(tokens + prompt)
    size, mels = config.flow.vocab_size, config.flow.n_mels
    samples = 2 * tokens * config.hift.samples_per_frame
    steps = np.cumsum(rng.standard_normal((1, 2 * prompt, mels)) * 0.2, axis=1)
    return {
        "tokens": rng.integers(0, size, (1, tokens)),
        "prompt_tokens": rng.integers(0, size, (1, prompt)),
        "prompt_mel": (steps - 4).astype(np.float32),
        "speaker": rng.standard_normal((1, config.flow.speaker_dim), dtype=np.float32),
        "noise": rng.standard_normal((1, samples, config.hift.nb_harmonics + 1), dtype=np.float32),
    }


def recording(seconds: float, seed: int, rate: int = 16000) -> np.ndarray:
    """Gliding harmonics between pauses of noise. Shapes: -> [L] float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.9 * t + seed)) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    loud = np.clip(np.sin(2 * np.pi * 1.7 * t) + 0.5, 0, 1)
    return (0.15 * tone * loud + 0.005 * rng.standard_normal(len(t))).astype(np.float32)


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
