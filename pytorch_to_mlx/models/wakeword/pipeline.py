"""Audio in, detections out: recordings, and streams of 80 ms frames."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio import live
from ...backend.dtype import compute_dtype
from ...backend.native import one_thread
from ...backend.replay import replay
from ...checkpoint import open_checkpoint
from ...checkpoint.json_file import parse_json
from ...config import from_dict
from ...errors import FormatError, UsageError
from ...forks import require_own_threads
from ...tasks import Detection
from ...units import count_text
from ...weights import apply, load_into, load_model
from .config import FRAME, SAMPLE_RATE, Config, Keyword
from .model import Classifier, Model
from .weights import KEYWORDS, WEIGHTS, open_keyword, open_release

FRAME_S = FRAME / SAMPLE_RATE
WARM_UP = 5  # first frames of a stream, whose scores are set to 0 as in the reference
MAX_FRAMES = 50  # computed at once
PADDING_S = 1.0  # silence around a recording: a word at its end is scored in the frames after it


class Stream:
    """A stream to feed with pieces of audio of any length; scores every frame of 80 ms, in the order of `labels`.

    n_frames: frames scored so far.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.labels = [label for keyword in model.config.keywords for label in keyword.labels if label]
        self.n_frames = 0
        self._columns = [bool(label) for keyword in model.config.keywords for label in keyword.labels]
        self._rest = np.zeros(0, np.float32)
        self._state = model.start()
        self._step = replay(model.__call__)

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Add audio; return the scores of the frames that it completes.

        Shapes: samples [L] at 16 kHz, int16 or float in [-1, 1] -> [N, labels] float32.
        Raises: FormatError for samples of another shape or that are not finite.
        """
        require_own_threads()
        pcm = np.concatenate([self._rest, as_pcm(samples)])
        n_whole = len(pcm) // FRAME * FRAME
        self._rest = pcm[n_whole:]
        step = MAX_FRAMES * FRAME
        blocks = [self._score(pcm[start : min(start + step, n_whole)]) for start in range(0, n_whole, step)]
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.labels)), np.float32)

    def _score(self, pcm: np.ndarray) -> np.ndarray:
        """Return the scores of whole frames. Shapes: pcm [1280 · N] -> [N, labels]."""
        with one_thread() if len(pcm) == FRAME else nullcontext():
            by_keyword, self._state = self._step(mx.array(pcm)[None], self._state)
            mx.eval(by_keyword, self._state)
        scores = np.concatenate([np.array(score)[0] for score in by_keyword.values()], axis=1)[:, self._columns]
        scores[: max(0, WARM_UP - self.n_frames)] = 0.0
        self.n_frames += len(scores)
        return scores


def as_pcm(samples: np.ndarray) -> np.ndarray:
    """Return samples as 16-bit numbers, which the models were trained on.

    Shapes: samples [L], int16 or float in [-1, 1] -> [L] float32.
    Raises: FormatError for samples of another shape or type, or that are not finite.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise FormatError(f"samples have the shape {list(samples.shape)}, expected [L], mono at {SAMPLE_RATE} Hz")
    if samples.dtype == np.int16:
        return samples.astype(np.float32)
    if samples.dtype.kind != "f" or not np.isfinite(samples).all():
        raise FormatError("the samples are not 16-bit or finite floating-point numbers")
    return np.clip(np.rint(samples.astype(np.float32) * 32768), -32768, 32767)


@dataclass(frozen=True)
class Rules:
    """When a score is a detection: when `patience` consecutive frames have reached the threshold.

    A score that stays up is one word, and the same label is not detected again within `refractory_s` seconds.
    Raises: UsageError for values out of range.
    """

    threshold: float = 0.5
    patience: int = 1
    refractory_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"threshold must be above 0 and at most 1, not {self.threshold}")
        if self.patience < 1 or not 0 <= self.refractory_s < float("inf"):
            raise UsageError("patience must be at least 1 frame, and the refractory time 0 seconds or more")


class Trigger:
    """The rules for one stream, applied frame by frame: scores in, detections out."""

    def __init__(self, labels: Sequence[str], rules: Rules) -> None:
        self.labels, self.rules = labels, rules
        self._n_above = np.zeros(len(labels), int)  # consecutive frames that reached the threshold
        self._refractory_until = np.full(len(labels), -np.inf)

    def __call__(self, time_s: float, scores: np.ndarray) -> list[Detection]:
        """Return the detections in the frame that ends at time_s. Shapes: scores [labels]."""
        self._n_above = np.where(scores >= self.rules.threshold, self._n_above + 1, 0)
        detected = (self._n_above == self.rules.patience) & (time_s >= self._refractory_until)
        self._refractory_until[detected] = time_s + self.rules.refractory_s
        return [
            Detection(self.labels[i], round(time_s, 3), float(scores[i])) for i in np.flatnonzero(detected).tolist()
        ]


class DetectionStream:
    """A stream to feed with pieces of audio of any length; memory is bounded."""

    def __init__(self, model: Model, rules: Rules) -> None:
        self._scores = Stream(model)
        self._trigger = Trigger(self._scores.labels, rules)

    def feed(self, samples: np.ndarray) -> list[Detection]:
        """Add audio; return the detections that it makes certain.

        Shapes: samples [L] at 16 kHz, int16 or float in [-1, 1]. Raises: what `Stream.feed` raises.
        """
        first = self._scores.n_frames + 1
        return [
            detection
            for number, frame in enumerate(self._scores.feed(samples), first)
            for detection in self._trigger(number * FRAME_S, frame)
        ]


@dataclass(frozen=True)
class Detections:
    """The detections in a recording, and the scores of every frame; frames end at times_s.

    Shapes: scores [N, labels], times_s [N].
    """

    audio: str
    detections: tuple[Detection, ...]
    labels: tuple[str, ...]
    times_s: np.ndarray
    scores: np.ndarray
    duration_s: float
    processing_s: float

    def lines(self) -> Iterator[str]:
        """Yield a line with the number of detections, the speed and the highest scores, and one for each detection."""
        yield self.summary()
        for detection in self.detections:
            yield from detection.lines()

    def highest(self) -> dict[str, float]:
        """Return the highest score of each label."""
        return {label: float(self.scores[:, i].max(initial=0)) for i, label in enumerate(self.labels)}

    def summary(self) -> str:
        """Return one line: the number of detections, the speed and the highest scores."""
        best = sorted(self.highest().items(), key=lambda item: -item[1])[:3]
        highest = ", ".join(f"{label} {score:.3f}" for label, score in best)
        speed = self.duration_s / self.processing_s if self.processing_s else 0.0
        result = count_text(len(self.detections), "detection") if self.detections else "nothing heard"
        return f"{self.audio}: {result} in {self.duration_s:.1f} s ({speed:.0f}x real time); highest scores: {highest}"

    def to_dict(self) -> dict[str, Any]:
        """Return the detections and scores, for JSON."""
        return {
            "audio": self.audio,
            "duration_s": self.duration_s,
            "processing_s": self.processing_s,
            "detections": [asdict(d) for d in self.detections],
            "highest": self.highest(),
            "frame_s": FRAME_S,
            "times_s": [round(float(t), 3) for t in self.times_s],
            "scores": {label: self.scores[:, i].tolist() for i, label in enumerate(self.labels)},
        }


class WakewordPipeline:
    """A loaded openWakeWord: `detect` for a recording, `listen` for audio without end."""

    sample_rate = SAMPLE_RATE

    def __init__(self, model: Model) -> None:
        self.model = model

    def select(self, keywords: Sequence[str]) -> None:
        """Listen for these keywords alone, in this order.

        keywords: names of the model's own, or files (.safetensors of `train`, .onnx of openWakeWord's trainers).
        Raises: UsageError for an unknown or repeated name, FormatError for a file that is not a classifier of these
        embeddings.
        """
        select_keywords(self.model, keywords)

    @property
    def labels(self) -> list[str]:
        """Return the labels that are listened for."""
        return Stream(self.model).labels

    def detect(
        self, audio: str | Path | bytes | np.ndarray, *, padding_s: float = PADDING_S, **rules: Any
    ) -> Detections:
        """Detect in a whole recording; rules are those of Rules.

        padding_s: silence to put before and after the recording.
        Shapes: audio, if an array, [L] at 16 kHz.
        Raises: FormatError for audio that cannot be read, UsageError for a value out of range.
        """
        if not 0 <= padding_s <= 60:
            raise UsageError(f"padding must be between 0 and 60 s, not {padding_s}")
        self._require_keywords()
        stream = Stream(self.model)
        trigger = Trigger(stream.labels, Rules(**rules))
        name = str(audio) if isinstance(audio, (str, Path)) else "audio"
        blocks = iter([audio]) if isinstance(audio, np.ndarray) else live.from_file(audio, SAMPLE_RATE, block_s=4.0)
        silence = np.zeros(round(padding_s * SAMPLE_RATE), np.int16)
        parts, n_samples, start = [stream.feed(silence)], 0, perf_counter()
        for block in blocks:
            n_samples += len(block)
            parts.append(stream.feed(block))
        # The end of the recording may lie within a frame: complete it.
        parts.append(stream.feed(np.concatenate([silence, np.zeros(FRAME - 1, np.int16)])))
        scores = np.concatenate(parts)
        times_s = (np.arange(len(scores)) + 1) * FRAME_S - padding_s
        detections = [
            detection
            for time_s, frame in zip(times_s, scores, strict=True)
            for detection in trigger(float(time_s), frame)
        ]
        return Detections(
            audio=name,
            detections=tuple(detections),
            labels=tuple(stream.labels),
            times_s=times_s,
            scores=scores,
            duration_s=n_samples / SAMPLE_RATE,
            processing_s=perf_counter() - start,
        )

    def listen(self, blocks: Iterable[np.ndarray], **rules: Any) -> Iterator[Detection]:
        """Yield detections as soon as they are certain; memory is bounded. rules are those of Rules.

        Shapes: blocks [L] each, at 16 kHz, int16 or float in [-1, 1].
        Raises: UsageError for a value out of range or without a keyword, and what `Stream.feed` raises.
        """
        stream = self.stream(**rules)
        return (detection for block in blocks for detection in stream.feed(block))

    def stream(self, **rules: Any) -> DetectionStream:
        """Return a stream to feed with pieces of audio. rules are those of Rules.

        Raises: UsageError for a value out of range or without a keyword.
        """
        self._require_keywords()
        return DetectionStream(self.model, Rules(**rules))

    def _require_keywords(self) -> None:
        """Raise UsageError if there is no keyword to listen for."""
        require_own_threads()
        if not self.model.config.keywords:
            raise UsageError("there is no keyword to listen for", fix="name one with --keyword")


def load(path: Path, *, dequantize: bool | None = None) -> WakewordPipeline:
    """Load a converted folder, or a folder of the ONNX files, with all its keywords; no convert step is needed."""
    return WakewordPipeline(load_networks(path, dequantize=dequantize))


def load_networks(path: Path, *, dequantize: bool | None = None) -> Model:
    """Load the mel spectrogram, the embedding and the classifiers of a folder."""
    return load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )[0]


def select_keywords(model: Model, keywords: Sequence[str]) -> None:
    """Give a model the named keywords alone, in this order; see `WakewordPipeline.select`."""
    own = {keyword.name: keyword for keyword in model.config.keywords}
    width = model.config.channels[-1]
    classifiers: dict[Keyword, Classifier] = {}
    for name in keywords:
        if name in own:
            keyword, classifier = own[name], model.keywords[name]
        elif Path(name).suffix in (".onnx", ".safetensors"):
            keyword, classifier = load_keyword(Path(name), width)
        else:
            raise UsageError(
                f"there is no keyword '{name}'", fix=f"known: {', '.join(own)}; or name a .safetensors or .onnx file"
            )
        if keyword.name in {other.name for other in classifiers}:
            raise UsageError(f"the keyword '{keyword.name}' is named twice")
        classifiers[keyword] = classifier
    try:
        model.replace_keywords(classifiers)
    except ValueError as error:
        raise UsageError(str(error)) from None


def load_keyword(path: Path, feature_size: int) -> tuple[Keyword, Classifier]:
    """Load one classifier from its file. Raises: FormatError for another file, or a classifier of other embeddings."""
    if path.suffix == ".onnx":
        keyword, checkpoint = open_keyword(path, feature_size)
        with checkpoint:
            prefix = f"keywords.{keyword.name}."
            with_prefix = apply(KEYWORDS, checkpoint, family="wakeword").weights
            weights = {name.removeprefix(prefix): weight for name, weight in with_prefix.items()}
    else:
        with open_checkpoint(path) as checkpoint:
            keyword = read_header(checkpoint.extra, where=path)
            weights = {name: checkpoint[name] for name in checkpoint}
    classifier = Classifier(keyword, feature_size)
    weights = {name: array.astype(compute_dtype(array.dtype)) for name, array in weights.items()}
    return keyword, load_into(classifier, weights, where=path)


HEADER = "wakeword"


def read_header(extra: Mapping[str, Any], *, where: Path) -> Keyword:
    """Read a keyword from the metadata of a classifier's file. Raises: FormatError if it is missing or malformed."""
    if not isinstance(header := extra.get(HEADER), str):
        raise FormatError("not a keyword: its header does not describe one", where=where, fix="make it with `train`")
    return from_dict(Keyword, parse_json(header.encode(), where=where), where=where)


def header(keyword: Keyword) -> dict[str, str]:
    """Return the metadata of a classifier's file, for `read_header`."""
    return {"format": "mlx", HEADER: json.dumps(asdict(keyword))}
