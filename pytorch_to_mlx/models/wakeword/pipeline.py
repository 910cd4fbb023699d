"""From audio to detections, 80 ms at a time."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio import live
from ...backend.dtype import compute_dtype
from ...checkpoint import open_checkpoint
from ...checkpoint.json_file import parse_json
from ...config import from_dict
from ...errors import FormatError, UsageError
from ...tasks import Detection
from ...weights import apply, load_into, load_model
from .config import FRAME, SAMPLE_RATE, Config, Keyword
from .model import Classifier, Model
from .weights import KEYWORDS, WEIGHTS, open_keyword, open_release

FRAME_S = FRAME / SAMPLE_RATE
WARM_UP = 5  # frames whose scores count as 0: as the reference, while the stream is young
MOST_FRAMES = 50  # computed at once
PADDING_S = 1.0  # of silence around a recording: a word that ends with it is scored after it


class Stream:
    """Audio in pieces of any length; scores for every frame of 80 ms, in the order of `labels`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.labels = [label for keyword in model._config.keywords for label in keyword.labels if label]
        self.frames = 0
        self._columns = [bool(label) for keyword in model._config.keywords for label in keyword.labels]
        self._rest = np.zeros(0, np.float32)
        self._state = model.start()

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """The scores of the frames that `samples` complete; what is left over waits for more.

        Shapes: samples [L] at 16 kHz, int16 or float in [-1, 1] -> [N, labels] float32.
        Raises: FormatError for samples of another shape or that are not finite.
        """
        pcm = np.concatenate([self._rest, as_pcm(samples)])
        whole = len(pcm) // FRAME * FRAME
        self._rest = pcm[whole:]
        blocks = [
            self._scores(pcm[at : min(at + MOST_FRAMES * FRAME, whole)]) for at in range(0, whole, MOST_FRAMES * FRAME)
        ]
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.labels)), np.float32)

    def _scores(self, pcm: np.ndarray) -> np.ndarray:
        scores, self._state = self.model(mx.array(pcm)[None], self._state)
        mx.eval(scores, self._state)
        made = np.concatenate([np.array(score)[0] for score in scores.values()], axis=1)[:, self._columns]
        made[: max(0, WARM_UP - self.frames)] = 0.0
        self.frames += len(made)
        return made


def as_pcm(samples: np.ndarray) -> np.ndarray:
    """Samples as the 16-bit numbers that the models were trained on. Shapes: [L] -> [L] float32."""
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
    """When a score counts: as it passes the threshold, for `patience` frames in a row, and not within `refractory_s`
    seconds after the same label was heard; a score that stays up is one word."""

    threshold: float = 0.5
    patience: int = 1
    refractory_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"the threshold is {self.threshold}; it goes from 0 to 1")
        if self.patience < 1 or not 0 <= self.refractory_s < float("inf"):
            raise UsageError("patience is a number of frames from 1, the refractory time 0 seconds or more")


class Trigger:
    """Scores in, detections out: the rules of one stream, applied frame by frame."""

    def __init__(self, labels: Sequence[str], rules: Rules) -> None:
        self.labels, self.rules = labels, rules
        self._above = np.zeros(len(labels), int)
        self._deaf_until = np.full(len(labels), -np.inf)

    def __call__(self, time_s: float, scores: np.ndarray) -> list[Detection]:
        """Shapes: scores [labels] of the frame that ends at time_s."""
        self._above = np.where(scores >= self.rules.threshold, self._above + 1, 0)
        found = (self._above == self.rules.patience) & (time_s >= self._deaf_until)
        self._deaf_until[found] = time_s + self.rules.refractory_s
        return [Detection(self.labels[i], round(time_s, 3), float(scores[i])) for i in np.flatnonzero(found).tolist()]


@dataclass(frozen=True)
class Detections:
    """What was heard in a recording. scores: of every frame, whose ends are at times_s. Shapes: scores [N, labels]."""

    audio: str
    detections: tuple[Detection, ...]
    labels: tuple[str, ...]
    times_s: np.ndarray
    scores: np.ndarray
    duration_s: float
    processing_s: float

    def rows(self) -> list[dict[str, Any]]:
        return [{"time s": d.time_s, "heard": d.label, "score": d.score} for d in self.detections]

    def highest(self) -> dict[str, float]:
        """The highest score of each label."""
        return {label: float(self.scores[:, i].max(initial=0)) for i, label in enumerate(self.labels)}

    def summary(self) -> str:
        best = sorted(self.highest().items(), key=lambda item: -item[1])[:3]
        highest = ", ".join(f"{label} {score:.3f}" for label, score in best)
        speed = self.duration_s / self.processing_s if self.processing_s else 0.0
        heard = f"{len(self.detections)} detections" if self.detections else "nothing heard"
        return f"{self.audio}: {heard} in {self.duration_s:.1f} s ({speed:.0f}x real time); highest scores: {highest}"

    def to_dict(self) -> dict[str, Any]:
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
    """A loaded chain: `detect` for a recording, `listen` for what has no end, `Stream(pipeline.model)` for scores."""

    sample_rate = SAMPLE_RATE

    def __init__(self, model: Model) -> None:
        self.model = model

    def select(self, keywords: Sequence[str]) -> None:
        """Listen for these keywords alone, in this order.

        keywords: names of its own, and files of others (.safetensors of `train`, .onnx of openWakeWord's trainers).
        Raises: UsageError for an unknown name, FormatError for a file that is not a classifier of this chain.
        """
        self.model = with_keywords(self.model, keywords)

    @property
    def labels(self) -> list[str]:
        return Stream(self.model).labels

    def detect(
        self, audio: str | Path | bytes | np.ndarray, *, padding_s: float = PADDING_S, **rules: Any
    ) -> Detections:
        """Detect in a whole recording; rules are those of Rules.

        Shapes: audio, if an array, [L] at 16 kHz.
        Raises: FormatError for audio that cannot be read, UsageError for rules that make no sense.
        """
        if not 0 <= padding_s <= 60:
            raise UsageError(f"padding is {padding_s} s; it goes from 0 to 60")
        stream = self._stream()
        trigger = Trigger(stream.labels, Rules(**rules))
        name = str(audio) if isinstance(audio, (str, Path)) else "audio"
        blocks = iter([audio]) if isinstance(audio, np.ndarray) else live.from_file(audio, SAMPLE_RATE, block_s=4.0)
        silence = np.zeros(round(padding_s * SAMPLE_RATE), np.int16)
        found, tracks, samples, began = [], [stream.feed(silence)], 0, perf_counter()
        for block in blocks:
            samples += len(block)
            tracks.append(stream.feed(block))
        # the end of the recording may have begun a frame
        tracks.append(stream.feed(np.concatenate([silence, np.zeros(FRAME - 1, np.int16)])))
        scores = np.concatenate(tracks)
        times = (np.arange(len(scores)) + 1) * FRAME_S - padding_s
        for time_s, frame in zip(times, scores, strict=True):
            found += trigger(float(time_s), frame)
        took = perf_counter() - began
        return Detections(name, tuple(found), tuple(stream.labels), times, scores, samples / SAMPLE_RATE, took)

    def listen(self, blocks: Iterable[np.ndarray], **rules: Any) -> Iterator[Detection]:
        """Detections as they are heard in blocks of samples at 16 kHz, as audio.live gives them; memory is bounded."""
        stream = self._stream()
        trigger = Trigger(stream.labels, Rules(**rules))
        return self._listen(stream, trigger, blocks)

    def _stream(self) -> Stream:
        if not self.model._config.keywords:
            raise UsageError("there is no keyword to listen for", fix="name one with --keyword")
        return Stream(self.model)

    def _listen(self, stream: Stream, trigger: Trigger, blocks: Iterable[np.ndarray]) -> Iterator[Detection]:
        for block in blocks:
            before = stream.frames
            for number, frame in enumerate(stream.feed(block), before + 1):
                yield from trigger(number * FRAME_S, frame)


def load(path: Path, *, dequantize: bool | None = None) -> WakewordPipeline:
    """Load a converted folder, or a folder of the ONNX files, with all its keywords."""
    return WakewordPipeline(load_chain(path, dequantize=dequantize))


def load_chain(path: Path, *, dequantize: bool | None = None) -> Model:
    """Load the mel spectrogram, the embedding and the classifiers of a folder."""
    return load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )[0]


def with_keywords(model: Model, keywords: Sequence[str]) -> Model:
    """The same chain with the named keywords alone, in this order."""
    config = model._config
    known = {keyword.name: keyword for keyword in config.keywords}
    width = config.channels[-1]
    chosen: dict[str, tuple[Keyword, Classifier]] = {}
    for name in keywords:
        if name in known:
            keyword, classifier = known[name], model.keywords[name]
        elif Path(name).suffix in (".onnx", ".safetensors"):
            keyword, classifier = load_keyword(Path(name), width)
        else:
            raise UsageError(
                f"there is no keyword '{name}'", fix=f"known: {', '.join(known)}; or name a .safetensors or .onnx file"
            )
        if keyword.name in chosen:
            raise UsageError(f"the keyword '{keyword.name}' is named twice")
        chosen[keyword.name] = keyword, classifier
    try:
        model._config = replace(config, keywords=tuple(keyword for keyword, _ in chosen.values()))
    except ValueError as error:
        raise UsageError(str(error)) from None
    model.keywords = {name: classifier for name, (_, classifier) in chosen.items()}
    return model


def load_keyword(path: Path, feature_size: int) -> tuple[Keyword, Classifier]:
    """One classifier from its file. Raises FormatError for what is none, or is one of other embeddings."""
    if path.suffix == ".onnx":
        keyword, checkpoint = open_keyword(path, feature_size)
        with checkpoint:
            prefix = f"keywords.{keyword.name}."
            applied = apply(KEYWORDS, checkpoint, family="wakeword").weights
            weights = {name.removeprefix(prefix): weight for name, weight in applied.items()}
    else:
        with open_checkpoint(path) as checkpoint:
            keyword = read_header(checkpoint.extra, where=path)
            weights = {name: checkpoint[name] for name in checkpoint}
    classifier = Classifier(keyword, feature_size)
    weights = {name: array.astype(compute_dtype(array.dtype)) for name, array in weights.items()}
    return keyword, load_into(classifier, weights, where=path)


HEADER = "wakeword"


def read_header(extra: Mapping[str, Any], *, where: Path) -> Keyword:
    """What a classifier's file says about it."""
    if not isinstance(header := extra.get(HEADER), str):
        raise FormatError("is no keyword: its header does not describe one", where=where, fix="make it with `train`")
    return from_dict(Keyword, parse_json(header.encode(), where=where), where=where)


def header(keyword: Keyword) -> dict[str, str]:
    """What `read_header` reads, for the file's metadata."""
    return {"format": "mlx", HEADER: json.dumps(asdict(keyword))}
