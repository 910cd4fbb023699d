"""Compare with the original: silero-vad's TorchScript model as it is shipped, on the same audio.

torch is imported inside the functions of its side: our side is measured without it.
"""

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from ...audio.examples import speech as sentence
from ...audio.resample import resample
from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...errors import MissingExtraError
from ...taps import record_taps
from .model import Model
from .pipeline import VADPipeline, load
from .weights import is_tinygrad_file, open_release

SHIPPED = "silero_vad.jit of the package silero-vad, as it is"
# The package has no TorchScript of the network in its safetensors: their name there -> its in the TorchScript.
TORCHSCRIPT_NAMES = {
    "stft_conv.weight": "stft.forward_basis_buffer",
    **{f"conv{n}.{role}": f"encoder.{n - 1}.reparam_conv.{role}" for n in range(1, 5) for role in ("weight", "bias")},
    **{f"lstm_cell.{part}": f"decoder.rnn.{part}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    **{f"final_conv.{role}": f"decoder.decoder.2.{role}" for role in ("weight", "bias")},
}
Taps = dict[str, np.ndarray]


class Reference(Contract):
    """Both sides of Silero VAD. The cases are real speech and a chirp with noise, at every sample rate of the model."""

    def __init__(self, ours: Model, source_path: Path) -> None:
        self.pipeline = VADPipeline(ours)
        self.original, self.weights_from = build_original(source_path)
        self.wide = build_original(source_path)[0].double()

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(load(mlx_path or source_path).model, source_path)

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        samples = minute(16000)
        if side == "ours":
            pipeline = load(mlx_path or source_path)
            return lambda: pipeline.detect(samples)
        model, _ = build_original(source_path)
        return lambda: torch_probabilities(model, samples, 16000)

    def cases(self) -> list[Case]:
        rates = self.pipeline.model.config.sample_rates
        return [
            Case(f"{name} {rate} Hz", {"samples": samples, "rate": rate})
            for rate in rates
            for name, samples in (("speech", speech(rate)), ("chirp", chirp(rate)))
        ]

    def mlx(self, case: Case) -> Taps:
        with record_taps() as taps:
            probabilities = self.pipeline.model(mx.array(whole_chunks(case))[None], case.inputs["rate"])
        mx.eval(probabilities)
        arrays = {name: np.array(value) for name, value in taps.items()}
        return {name: value if name == "magnitude" else value[0] for name, value in arrays.items()}

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        import torch

        rate, samples = case.inputs["rate"], torch.from_numpy(whole_chunks(case))
        model = self.original if dtype == "float32" else self.wide
        network = model._model if rate == 16000 else model._model_8k
        taps = torch_taps(network, samples.to(getattr(torch, dtype)), rate)
        if dtype == "float32":  # the same steps, as the released program runs them
            taps["probability"] = torch_probabilities(self.original, samples.numpy(), rate)
        return taps

    def workloads(self) -> dict[str, Workload]:
        samples = minute(16000)
        chunk = samples[:512]
        stream = self.pipeline.stream()
        self.original.reset_states()
        return {
            "detect": Workload(
                lambda: self.pipeline.detect(samples),
                lambda: torch_segments(self.original, samples),
                len(samples) / 16000,
            ),
            "stream-chunk": Workload(lambda: stream.feed(chunk), lambda: torch_chunk(self.original, chunk), 0.032),
        }


def torch_taps(network: Any, samples: Any, rate: int) -> Taps:
    """Run one network chunk by chunk in the dtype of its weights, and return its taps. Shapes: samples [L]."""
    import torch

    chunk = rate * 32 // 1000
    context = chunk // 8
    padded = torch.nn.functional.pad(samples, (context, 0))
    state, taps = None, {name: [] for name in ("magnitude", "features", "hidden", "probability")}
    with torch.no_grad():
        for start in range(0, len(samples), chunk):
            x = padded[None, None, start : start + context + chunk]
            x = torch.nn.functional.pad(x, (0, context), "reflect")
            x = torch.nn.functional.conv1d(x, network.stft.forward_basis_buffer, stride=chunk // 4)
            real, imaginary = x.chunk(2, dim=1)
            x = torch.sqrt(real**2 + imaginary**2)
            taps["magnitude"].append(x[0].T)
            x = network.encoder(x)[..., 0]
            taps["features"].append(x[0])
            state = network.decoder.rnn(x, state)
            taps["hidden"].append(state[0][0])
            last = getattr(network.decoder.decoder, "2")
            x = torch.nn.functional.conv1d(torch.relu(state[0][..., None]), last.weight, last.bias)
            taps["probability"].append(torch.sigmoid(x)[0, 0, 0])
    return {name: torch.stack(values).numpy() for name, values in taps.items()}


def torch_probabilities(model: Any, samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the original's probability for each chunk. Shapes: samples [L] -> [N]."""
    import torch

    with torch.no_grad():
        return model.audio_forward(torch.from_numpy(samples), rate)[0].numpy()


def torch_segments(model: Any, samples: np.ndarray, **options: Any) -> list[dict[str, int]]:
    """Return the original's stretches of speech, in samples. Shapes: samples [L]."""
    import silero_vad
    import torch

    return silero_vad.get_speech_timestamps(torch.from_numpy(samples), model, **options)


def torch_chunk(model: Any, chunk: np.ndarray) -> float:
    """Return the original's probability for the next chunk of its stream. Shapes: chunk [512]."""
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(chunk), 16000).item()


def build_original(source_path: Path) -> tuple[Any, str]:
    """Return the released TorchScript model, and where its weights come from.

    They are its own, whatever the source holds; only for the safetensors, another network, they are read from that
    file by torch's names.

    Raises: MissingExtraError without torch or the package silero-vad.
    """
    try:
        import torch

        path = resources.files("silero_vad") / "data" / "silero_vad.jit"
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "validate", needed_for="comparing with PyTorch") from None
    released = torch.jit.load(str(path), map_location="cpu").eval()
    with open_release(source_path) as checkpoint:
        if not is_tinygrad_file(checkpoint):
            return released, SHIPPED
        state = {theirs: torch.from_numpy(np.array(checkpoint[name])) for name, theirs in TORCHSCRIPT_NAMES.items()}
    released._model.load_state_dict(state)
    return released, f"{Path(checkpoint.files[0].path).name}, read by torch's names into silero_vad.jit"


def whole_chunks(case: Case) -> np.ndarray:
    """Return the samples of a case, padded to whole chunks. Shapes: -> [L] float32."""
    samples = case.inputs["samples"]
    return np.pad(samples, (0, -len(samples) % (case.inputs["rate"] * 32 // 1000)))


def speech(rate: int) -> np.ndarray:
    """Return real speech with silence around it. Shapes: -> [L] float32."""
    return np.pad(resample(sentence(), 16000, rate), rate // 4)


def chirp(rate: int) -> np.ndarray:
    """Return a rising tone with a little noise, 4 s. Shapes: -> [L] float32."""
    time = np.arange(4 * rate, dtype=np.float32) / rate
    noise = np.random.default_rng(0).standard_normal(len(time), dtype=np.float32)
    return (0.3 * np.sin(2 * np.pi * (100 + 300 * time) * time) + 0.02 * noise).astype(np.float32)


def minute(rate: int) -> np.ndarray:
    """Return 60 seconds of speech and pauses. Shapes: -> [60 · rate] float32."""
    turn = np.pad(speech(rate), (0, rate))
    return np.tile(turn, 60 * rate // len(turn) + 1)[: 60 * rate]
