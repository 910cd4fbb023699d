"""Compare with the original: openai-whisper 20250625 on the same weights and the same audio.

torch is imported inside the functions of its side: our side is measured without it.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from ...audio.examples import speech
from ...audio.mel import mel_filters, whisper_log_mel
from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...errors import MissingExtraError
from ...taps import record_taps
from ...weights import invert
from .decoding import DecodingOptions, decode
from .model import Model
from .pipeline import WhisperPipeline, load
from .tokenizer import Tokenizer
from .weights import WEIGHTS, is_openai_file, open_release

if TYPE_CHECKING:
    from whisper.model import Whisper

STEPS = 24  # decoder steps of the decoding workload
Taps = dict[str, np.ndarray]


class Reference(Contract):
    """Both sides of Whisper. The cases are a real sentence, a chirp with noise, and a short click."""

    def __init__(self, ours: Model, original: "Whisper", weights_from: str = "") -> None:
        self.pipeline = WhisperPipeline(ours)
        self.originals = {"float32": original}
        self.weights_from = weights_from

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(load(mlx_path or source_path).model, *load_original(source_path))

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        if side == "ours":
            pipeline = load(mlx_path or source_path)
            return lambda: pipeline.transcribe(speech(), language="en", temperature=0.0)
        model, _ = load_original(source_path)
        return lambda: model.transcribe(speech(), language="en", temperature=0.0, fp16=False)

    def cases(self) -> list[Case]:
        return [Case(name, {"samples": samples}) for name, samples in signals().items()]

    def mlx(self, case: Case) -> Taps:
        model, tokenizer = self.pipeline.model, self.pipeline.tokenizer
        window = 2 * model.config.n_audio_ctx
        mel = whisper_log_mel(mx.array(case.inputs["samples"]), model.config.n_mels, padding=480000)[:window]
        with record_taps() as taps:
            audio = model.encoder(mel[None])
            [result] = decode(model, tokenizer, audio, DecodingOptions(language="en"))
            model(mel[None], mx.array([prompt_and_text(tokenizer, result.tokens)]))
        arrays = {name: np.array(value) for name, value in taps.items()}
        return {**arrays, "mel": np.array(mel), "tokens": np.array(result.tokens)}

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        import torch
        import whisper

        if dtype not in self.originals:
            self.originals[dtype] = to_float64(self.originals["float32"])
        model, tokenizer = self.originals[dtype], self.pipeline.tokenizer
        torch_dtype = getattr(torch, dtype)
        window = 2 * model.dims.n_audio_ctx
        mel = torch_mel(case.inputs["samples"], model.dims.n_mels, torch_dtype)[:, :window]
        taps: Taps = {"mel": mel.T.numpy()}

        def conv(module: Any, args: Any, out: Any) -> None:
            taps["encoder.conv"] = torch.nn.functional.gelu(out).transpose(1, 2).numpy()

        hook = model.encoder.conv2.register_forward_hook(conv)
        with torch.no_grad():
            audio = model.encoder(mel[None])
            options = whisper.DecodingOptions(language="en", fp16=False)
            result = whisper.decode(self.originals["float32"], audio.float(), options)[0]  # type: ignore[index]
            logits = model.decoder(torch.tensor([prompt_and_text(tokenizer, result.tokens)]), audio)
        hook.remove()
        return taps | {"encoder": audio.numpy(), "logits": logits.numpy(), "tokens": np.array(result.tokens)}

    def workloads(self) -> dict[str, Workload]:
        import torch

        ours, theirs = self.pipeline, self.originals["float32"]
        samples = speech()
        seconds = len(samples) / 16000
        window = 2 * ours.model.config.n_audio_ctx
        mel = whisper_log_mel(mx.array(samples), ours.model.config.n_mels, padding=480000)[None, :window]
        torch_input = torch.from_numpy(np.array(mel).transpose(0, 2, 1))
        audio = ours.model.encoder(mel)
        mx.eval(mel, audio)
        encoded = torch.from_numpy(np.array(audio))

        @torch.no_grad()
        def encode() -> Any:
            return theirs.encoder(torch_input)

        return {
            "transcribe": Workload(
                lambda: ours.transcribe(samples, language="en", temperature=0.0),
                lambda: theirs.transcribe(samples, language="en", temperature=0.0, fp16=False),
                seconds,
            ),
            "encoder": Workload(lambda: mx.eval(ours.model.encoder(mel)), encode, 30.0),
            f"decoder-{STEPS}-tokens": Workload(
                lambda: decode_steps(ours.model, audio), lambda: torch_decode_steps(theirs, encoded), None
            ),
        }


def decode_steps(model: Model, audio: mx.array) -> None:
    """Run STEPS tokens through the decoder, one at a time. Shapes: audio [1, S, D]."""
    cache = model.decoder.start(audio)
    for step in range(STEPS):
        logits, cache = model.decoder(mx.array([[step]]), cache)
        mx.eval(logits, [layer.text for layer in cache])


def torch_decode_steps(model: "Whisper", audio: Any) -> None:
    """Run STEPS tokens through the original's decoder, one at a time. Shapes: audio [1, S, D]."""
    import torch

    cache, hooks = model.install_kv_cache_hooks()
    with torch.no_grad():
        for step in range(STEPS):
            model.decoder(torch.tensor([[step]]), audio, kv_cache=cache)
    for hook in hooks:
        hook.remove()


def signals() -> dict[str, np.ndarray]:
    """Return the samples of each case by name. Shapes: -> [L] float32 at 16 kHz each."""
    time = np.arange(5 * 16000, dtype=np.float32) / 16000
    noise = np.random.default_rng(0).standard_normal(len(time), dtype=np.float32)
    chirp = 0.3 * np.sin(2 * np.pi * (100 + 300 * time) * time) + 0.01 * noise
    click = np.zeros(1601, np.float32)
    click[800] = 0.5
    return {"speech": speech(), "chirp": chirp.astype(np.float32), "click": click}


def prompt_and_text(tokenizer: Tokenizer, tokens: Iterable[int]) -> list[int]:
    """Return the start sequence and the tokens of a transcript, at most 100."""
    return [*tokenizer.sot_sequence("en", "transcribe"), *(int(token) for token in tokens)][:100]


def torch_mel(samples: np.ndarray, n_mels: int, dtype: Any) -> Any:
    """Return the original's features; in float64 its steps are computed in float64 with its float32 filters.

    Shapes: samples [L] -> [M, T].
    """
    import torch
    from whisper.audio import log_mel_spectrogram

    if dtype == torch.float32:
        return log_mel_spectrogram(torch.from_numpy(samples), n_mels, padding=480000)
    padded = torch.nn.functional.pad(torch.from_numpy(samples).double(), (0, 480000))
    window = torch.hann_window(400, dtype=torch.float64)
    power = torch.stft(padded, 400, 160, window=window, return_complex=True)[:, :-1].abs() ** 2
    filters = torch.from_numpy(np.array(mel_filters(16000, 400, n_mels)).T).double()
    log_mel = torch.clamp(filters @ power, min=1e-10).log10()
    return (torch.maximum(log_mel, log_mel.max() - 8.0) + 4.0) / 4.0


def load_original(source_path: Path) -> tuple["Whisper", str]:
    """Return openai-whisper's model, and where its weights come from: a file as OpenAI's is read by torch itself."""
    model = load(source_path).model
    with open_release(source_path) as checkpoint:
        file, is_openai = Path(checkpoint.files[0].path), is_openai_file(checkpoint)
    reference = build(model)
    state = read_state(file) if is_openai else {}
    if state.keys() != reference.state_dict().keys():  # another layout, or names that training changed
        return build_original(model), f"{file.name}, through our weight map and back"
    reference.load_state_dict({name: value.float() for name, value in state.items()})
    return reference, f"{file.name}, read by torch.load"


def read_state(file: Path) -> dict[str, Any]:
    """Read the weights of OpenAI's file by torch; none if it holds objects that torch does not read safely."""
    import pickle

    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)["model_state_dict"]
    except pickle.UnpicklingError:
        return {}


def build_original(model: Model) -> "Whisper":
    """Build openai-whisper's model with our weights."""
    reference = build(model)
    import torch

    weights = dict(tree_flatten(model.parameters()))
    state = {name: torch.from_numpy(np.array(w.astype(mx.float32))) for name, w in invert(WEIGHTS, weights).items()}
    reference.load_state_dict(state)
    return reference


def build(model: Model) -> "Whisper":
    """Build openai-whisper's model in the sizes of ours, with random weights.

    Raises: MissingExtraError without a package that it needs.
    """
    try:
        import torch
        from whisper.model import ModelDimensions, Whisper
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "validate", needed_for="comparing with PyTorch") from None
    sizes = asdict(model.config)
    heads = sizes.pop("alignment_heads")
    reference = Whisper(ModelDimensions(**sizes))
    if heads:
        mask = torch.zeros(sizes["n_text_layer"], sizes["n_text_head"], dtype=torch.bool)
        mask[tuple(zip(*heads, strict=True))] = True
        reference.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    return reference.eval()


def to_float64(model: "Whisper") -> "Whisper":
    """Return a copy in float64, with plain layer norms: openai-whisper's compute in float32."""
    import torch

    wide = copy.deepcopy(model).double()
    for module in wide.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.__class__ = torch.nn.LayerNorm
    return wide
