"""Compare with the original: openWakeWord 0.5.1, which runs the ONNX files with onnxruntime on one thread.

There is no PyTorch original: the networks were published as ONNX. `torch` of the contract is, in float32, the package
openwakeword, frame by frame with its own buffering, and in float64 the same networks written in PyTorch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import mlx.core as mx
import numpy as np

from ...audio import wav
from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...errors import MachineError, MissingExtraError, UsageError
from ...taps import watch_taps
from ...weights import is_converted
from . import graph
from .config import FRAME, FRAME_ROWS, N_MELS, OVERLAP, SAMPLE_RATE, START_FEATURES, WINDOW, Keyword
from .model import FLOOR, LOWEST_POWER, POOLS, RANGE_DB, SLOPE, VERIFIED_FROM, Model, noise
from .pipeline import WARM_UP, Stream, WakewordPipeline, load_networks
from .weights import EMBEDDING, MEL, OTHERS, open_release

if TYPE_CHECKING:
    from openwakeword.model import Model as Original

DATA = Path(__file__).parent / "data"
Taps = dict[str, np.ndarray]
SECONDS = 10
THREADS = 1  # of onnxruntime


class Reference(Contract):
    """Both sides of openWakeWord. The cases are "Hey Jarvis!" (data/hey_jarvis.flac, by Kokoro), noise, and a click."""

    threads = THREADS
    weights_from = "the release's ONNX files, run by onnxruntime; in float64 their tensors by the names in them"

    def __init__(self, model: Model, source: Path) -> None:
        self.model, self.source = model, source
        self.original = Networks(source, model)
        self.float64 = Float64Networks(model, source)

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        if is_converted(source_path):
            raise UsageError("the reference needs the ONNX files", where=source_path)
        return cls(load_networks(mlx_path or source_path), source_path)

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        model = load_networks(mlx_path or source_path)
        return _our_workload(model) if side == "ours" else _original_workload(Networks(source_path, model))

    def cases(self) -> list[Case]:
        return [Case(name, {"pcm": pcm}) for name, pcm in signals().items()]

    def mlx(self, case: Case) -> Taps:
        """Return our taps of all frames, computed one frame at a time as the original does."""
        rows: dict[str, list[np.ndarray]] = {"mel": [], "embedding": []}

        def record(name: str, value: Any) -> None:
            if name in rows:
                new = value[:, -(len(value[0]) if value.shape[1] != WINDOW else 5) :]  # not the ones before the start
                rows[name].append(np.array(new.astype(mx.float32))[0])

        stream = Stream(self.model)
        with watch_taps(record):
            scores = [stream.feed(frame) for frame in frames(case.inputs["pcm"])]
        return {name: np.concatenate(parts) for name, parts in rows.items()} | {"scores": np.concatenate(scores)}

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        run = self.float64 if dtype == "float64" else self.original.taps
        return run(case.inputs["pcm"])

    def workloads(self) -> dict[str, Workload]:
        pipeline, pcm = WakewordPipeline(self.model), speech(SECONDS)
        return {
            "stream, 80 ms at a time": Workload(
                _our_workload(self.model), _original_workload(self.original), float(SECONDS)
            ),
            "recording": Workload(
                lambda: pipeline.detect(pcm, padding_s=0), _original_workload(self.original), float(SECONDS)
            ),
        }


def frames(pcm: np.ndarray) -> list[np.ndarray]:
    """Cut samples into whole frames. Shapes: pcm [L] -> [1280] each."""
    return [pcm[at : at + FRAME] for at in range(0, len(pcm) - FRAME + 1, FRAME)]


def signals() -> dict[str, np.ndarray]:
    """Return the samples of each case by name. Shapes: -> [L] int16 at 16 kHz each."""
    random = np.random.default_rng(0)
    click = np.zeros(2 * SAMPLE_RATE, np.int16)
    click[9000] = 20_000
    return {
        "hey-jarvis": speech(4),
        "noise": (random.standard_normal(3 * SAMPLE_RATE) * 3000).astype(np.int16),
        "loud": (random.uniform(-1, 1, 2 * SAMPLE_RATE) * 32767).astype(np.int16),
        "click": click,
    }


def speech(seconds: int) -> np.ndarray:
    """Return the recording after one second of faint noise, repeated. Shapes: -> [L] int16."""
    recording = np.rint(wav.read(DATA / "hey_jarvis.flac")[0] * 32768).astype(np.int16)
    pause = np.random.default_rng(1).integers(-20, 20, SAMPLE_RATE).astype(np.int16)
    return np.resize(np.concatenate([pause, recording]), seconds * SAMPLE_RATE)


class Networks:
    """The ONNX files in onnxruntime on one thread: through the package openwakeword (`taps`), and alone (`stream`).

    Raises: MissingExtraError without onnxruntime.
    """

    def __init__(self, source: Path, model: Model) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime", "validate", needed_for="comparing with onnxruntime") from error
        folder = source if source.is_dir() else source.parent
        files = {graph.keyword_name(file): file for file in sorted(folder.glob("*.onnx")) if file.stem not in OTHERS}
        self.keywords = {k.name: k for k in model.config.keywords}
        self.width = model.config.channels[-1]
        self.files = {name: str(files[name]) for name in (MEL, EMBEDDING, *self.keywords)}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        self.run = {
            name: _runner(onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]))
            for name, file in self.files.items()
        }

    def taps(self, pcm: np.ndarray) -> Taps:
        """Run the package openwakeword, a frame at a time, and return its taps. Shapes: pcm [L] int16."""
        original = self.package()
        features = original.preprocessor
        features.feature_buffer = features._get_embeddings(noise().astype(np.int16))
        mel, embedding, scores = [], [], []
        for number, frame in enumerate(frames(pcm)):
            prediction: Any = original.predict(frame)
            for history in original.prediction_buffer.values():
                # 0.5.1 appends a score once for every model after it, and so ends the warm-up early; 0.6 once a frame.
                while len(history) > min(number + 1, WARM_UP):
                    history.pop()
            mel.append(features.melspectrogram_buffer[-(FRAME_ROWS if number else 5) :])
            embedding.append(features.feature_buffer[-1])
            scores.append([prediction[label] for label in self.labels()])
        return {"mel": np.concatenate(mel), "embedding": np.stack(embedding), "scores": np.array(scores)}

    def package(self) -> "Original":
        """Return the package's model over the files. Raises: MissingExtraError or MachineError without the package."""
        try:
            from openwakeword.model import Model as Original
        except ModuleNotFoundError as error:
            if error.name != "openwakeword":
                raise MissingExtraError(
                    str(error.name), "validate", needed_for="comparing with openWakeWord"
                ) from error
            raise MachineError(
                "comparing needs the package 'openwakeword'", fix="run: pip install --no-deps openwakeword==0.5.1"
            ) from error
        return Original(
            wakeword_models=[self.files[name] for name in self.keywords],
            inference_framework="onnx",
            melspec_model_path=self.files[MEL],
            embedding_model_path=self.files[EMBEDDING],
        )

    def labels(self) -> list[str]:
        """Return the package's names for our labels: the file's for one class, numbers for several."""
        return [
            str(number) if len(keyword.labels) > 1 else Path(self.files[keyword.name]).stem
            for keyword in self.keywords.values()
            for number, label in enumerate(keyword.labels)
            if label
        ]

    def stream(self, pcm: np.ndarray) -> np.ndarray:
        """Return the scores of onnxruntime alone, without the package around it. Shapes: pcm [L] -> [N, classes]."""
        rows = np.ones((WINDOW, N_MELS), np.float32)
        rest = np.zeros(0, np.float32)
        features = np.zeros((START_FEATURES, self.width), np.float32)
        scores = []
        for frame in frames(pcm):
            samples = np.concatenate([rest, frame.astype(np.float32)])
            rest = samples[-OVERLAP:]
            mel = self.run[MEL](samples[None])[0, 0] / 10 + 2
            rows = np.concatenate([rows, mel])[-WINDOW:]
            new = self.run[EMBEDDING](rows[None, :, :, None])[0, 0]
            features = np.concatenate([features, new])[-START_FEATURES - 1 :]
            scores.append([self.run[k.name](features[None, -k.num_frames :])[0] for k in self.keywords.values()])
        return np.array([np.concatenate(frame) for frame in scores])


def _runner(session: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of the one input and output of an onnxruntime session."""
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


class Float64Networks:
    """The networks written in PyTorch in float64, over the whole input at once, on the tensors of the ONNX files."""

    def __init__(self, model: Model, source: Path) -> None:
        import torch

        with open_release(source) as release:
            self.state = {name: torch.from_numpy(np.array(release[name])).double() for name in release.names()}
        self.keywords = model.config.keywords

    def __call__(self, pcm: np.ndarray) -> Taps:
        """Return the taps of all frames. Shapes: pcm [L] int16."""
        import torch

        start = self.mel(noise())
        features = self.embed(torch.cat([start])[: WINDOW + (START_FEATURES - 1) * FRAME_ROWS])
        at = [slice(max(0, end - FRAME - OVERLAP), end) for end in range(FRAME, len(pcm) + 1, FRAME)]
        mel = torch.cat([self.mel(pcm[part]) for part in at])
        new = self.embed(torch.cat([torch.ones(WINDOW - 5, N_MELS, dtype=torch.float64), mel]))
        features = torch.cat([features, new])
        scores = torch.cat([self.scores(keyword, features, len(new)) for keyword in self.keywords], dim=1)
        scores[:WARM_UP] = 0
        return {"mel": mel.numpy(), "embedding": new.numpy(), "scores": scores.numpy()}

    def mel(self, pcm: np.ndarray) -> Any:
        """Return mel rows. Shapes: pcm [L] -> [(L - 512) // 160 + 1, 32]."""
        import torch

        x = torch.from_numpy(pcm.astype(np.float64))[None, None]
        conv = torch.nn.functional.conv1d
        real, imag = (conv(x, self.state[f"mel.0.stft.conv_{part}.weight"], stride=160) for part in ("real", "imag"))
        power = (real**2 + imag**2)[0].T @ self.state["mel.1.melW"]
        decibels = 10 * torch.log10(power.clamp(min=LOWEST_POWER))
        return decibels.clamp(min=decibels.max() - RANGE_DB) / 10 + 2

    def embed(self, rows: Any) -> Any:
        """Return the embeddings of windows of 76 rows, 8 apart. Shapes: rows [T, 32] -> [N, D]."""
        import torch

        x = rows.unfold(0, WINDOW, FRAME_ROWS).transpose(1, 2)[:, None]  # [N, 1, 76, 32]
        for number in range(20):
            name = f"embedding.model.conv2d_{number}" if number else "embedding.model.conv2d"
            weight = self.state[f"{name}.weight"]
            x = torch.nn.functional.conv2d(x, weight, self.state.get(f"{name}.bias"), padding=(0, weight.shape[3] // 2))
            if number < 19:
                x = torch.nn.functional.leaky_relu(x, SLOPE).clamp(min=FLOOR)
            if number in POOLS:
                x = torch.nn.functional.max_pool2d(x, POOLS[number])
        return x.flatten(1)

    def scores(self, keyword: Keyword, features: Any, count: int) -> Any:
        """Return the scores of the last frames, without classes that have no label.

        Shapes: features [F, D] -> [count, labels].
        """
        import torch

        x = features.unfold(0, keyword.num_frames, 1)[-count:].transpose(1, 2)  # [count, num_frames, D]
        logits = self.recurrent(keyword, x) if keyword.kind == "rnn" else self.dense(keyword, "dense", x.flatten(1))
        if len(keyword.labels) > 1:
            named = [number for number, label in enumerate(keyword.labels) if label]
            return torch.softmax(torch.relu(logits), dim=1)[:, named]
        score = torch.sigmoid(logits)
        if not keyword.verifier_sizes:
            return score
        verified = torch.sigmoid(self.dense(keyword, "verifier", x.flatten(1)))
        return torch.where(score >= VERIFIED_FROM, verified, score)

    def dense(self, keyword: Keyword, part: str, x: Any) -> Any:
        """Return the logits of linear layers. Shapes: x [N, D] -> [N, classes]."""
        import torch

        here = f"keywords.{keyword.name}.{part}"
        last = len(keyword.verifier_sizes if part == "verifier" else keyword.hidden_sizes)
        for number in range(last + 1):
            linear = [self.state[f"{here}.linear.{number}.{role}"] for role in ("weight", "bias")]
            x = torch.nn.functional.linear(x, *linear)
            if number < last and keyword.layer_norm:
                weight, bias = (self.state[f"{here}.norm.{number}.{role}"] for role in ("weight", "bias"))
                x = torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias)
            x = torch.relu(x) if number < last else x
        return x

    def recurrent(self, keyword: Keyword, x: Any) -> Any:
        """Return the logits of LSTMs. Shapes: x [N, num_frames, D] -> [N, classes]."""
        import torch

        here = f"keywords.{keyword.name}"
        for layer, size in enumerate(keyword.hidden_sizes):
            lstm = torch.nn.LSTM(x.shape[-1], size, batch_first=True, bidirectional=True, dtype=torch.float64)
            prefix = f"{here}.lstm."
            lstm.load_state_dict({
                name.removeprefix(prefix).replace(f"_l{layer}", "_l0"): value
                for name, value in self.state.items()
                if name.startswith(prefix) and f"_l{layer}" in name
            })  # fmt: skip
            with torch.no_grad():
                x = lstm(x)[0]
        return torch.nn.functional.linear(x[:, -1], *(self.state[f"{here}.out.{role}"] for role in ("weight", "bias")))


def _our_workload(model: Model) -> Callable[[], Any]:
    pcm = frames(speech(SECONDS))
    stream = Stream(model)
    return lambda: [stream.feed(frame) for frame in pcm]


def _original_workload(networks: Networks) -> Callable[[], Any]:
    pcm = speech(SECONDS)
    return lambda: networks.stream(pcm)
