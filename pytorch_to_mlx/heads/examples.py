"""Clips and their cached features as training examples, and examples as batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FormatError
from .cache import FeatureCache
from .card import Question
from .config import Config, Output
from .ctc import frames_needed
from .features import FRAME_S
from .losses import NO_LABEL
from .manifest import Clip
from .splits import normalize_text
from .vocabulary import Vocabulary, characters, phonemes, pieces

_SHIFT_FRAMES = 2  # that a list of F0 may be longer or shorter than the features
_BUCKET = 25  # frames: batches are padded to multiples, so that few shapes occur
MASK_FRAMES, MASK_CHANNELS = 12, 40  # at most, of SpecAugment


@dataclass(frozen=True)
class Example:
    """One clip as it is trained on. targets: by output, as `losses.Targets` has them; None where there is no label."""

    clip: Clip
    key: str
    n_frames: int
    targets: Mapping[str, Any]


def make_outputs(questions: Sequence[Question], clips: Sequence[Clip], n_pieces: int = 512) -> tuple[Output, ...]:
    """Return the outputs with the labels that occur in these clips (those of training); a question without is left out.

    Raises: FormatError if no question has labels, or has too many.
    """
    outputs = []
    for question in questions:
        labels = _labels(question, clips, n_pieces)
        if labels is None:
            continue
        try:
            outputs.append(Output(question.name, question.kind, labels, question.unit))
        except ValueError as error:
            raise FormatError(str(error)) from None
    if not outputs:
        raise FormatError(
            "no clip of the training part has what the head learns",
            details=[f"'{_source(question)}' is missing in every line" for question in questions],
        )
    return tuple(outputs)


def _labels(question: Question, clips: Sequence[Clip], n_pieces: int) -> tuple[str, ...] | None:
    """Return the labels of a question, none for pitch; None if no clip answers it."""
    if question.kind == "pitch":
        return () if any(clip.f0 is not None for clip in clips) else None
    if question.unit == "phoneme":
        return phonemes(clip.phonemes for clip in clips if clip.phonemes) or None
    if question.kind == "ctc":
        texts = [text for clip in clips if (text := ctc_text(clip, question))]
        return (characters(texts) if question.unit == "character" else pieces(texts, n_pieces)) if texts else None
    spans = {span[2] for clip in clips for span in clip.spans.get(question.name, ())}
    return tuple(sorted({clip.labels[question.name] for clip in clips if question.name in clip.labels} | spans)) or None


def ctc_text(clip: Clip, output: Output | Question) -> str | None:
    """Return the text that CTC learns: letters normalised, pieces as they are written."""
    if clip.text is None:
        return None
    return normalize_text(clip.text) if output.unit == "character" else " ".join(clip.text.split())


def _source(output: Output | Question) -> str:
    """Return which key of a manifest's line has the label."""
    if output.kind == "ctc":
        return "phonemes" if output.unit == "phoneme" else "text"
    return "f0" if output.kind == "pitch" else f"labels: {output.name}"


def make_examples(
    clips: Sequence[Clip], keys: Mapping[str, str], cache: FeatureCache, config: Config
) -> tuple[list[Example], list[str]]:
    """Return the examples, and what is wrong with the clips that are left out."""
    examples: list[Example] = []
    problems: list[str] = []
    vocabularies = {output.name: Vocabulary(output.labels) for output in config.outputs if output.kind == "ctc"}
    for clip in clips:
        if clip.id not in keys:
            continue  # its recording is listed already
        n_frames = cache.entries[keys[clip.id]].frames
        try:
            targets = {
                output.name: _target(output, clip, n_frames, vocabularies.get(output.name)) for output in config.outputs
            }
            if all(target is None for target in targets.values()):
                raise FormatError(" and ".join(f"'{_source(output)}'" for output in config.outputs) + " missing")
        except FormatError as error:
            problems.append(f"{clip.place}: {error.what}")
            continue
        examples.append(Example(clip, keys[clip.id], n_frames, targets))
    return examples, problems


def _target(output: Output, clip: Clip, n_frames: int, vocabulary: Vocabulary | None) -> Any:
    """Return the target of one output, or None. Raises: FormatError for a label that cannot be learnt."""
    if vocabulary is not None:
        return _ctc_target(output, clip, n_frames, vocabulary)
    if output.kind == "pitch":
        return _pitch_target(clip, n_frames)
    numbers = {label: number for number, label in enumerate(output.labels)}
    label, spans = clip.labels.get(output.name), clip.spans.get(output.name)
    if unknown := {label, *(span[2] for span in spans or ())} - {None, *numbers}:
        raise FormatError(f"'{output.name}' is {min(map(repr, unknown))}, which does not occur in training")
    if output.kind == "clip":
        return None if label is None else numbers[label]
    if label is None and spans is None:
        return None
    frames = np.full(n_frames, NO_LABEL if label is None else numbers[label])
    middles = (np.arange(n_frames) + 0.5) * FRAME_S
    for start, end, name in spans or ():
        frames[(middles >= start) & (middles < end)] = numbers[name]
    return frames


def _ctc_target(output: Output, clip: Clip, n_frames: int, vocabulary: Vocabulary) -> list[int] | None:
    if output.unit == "phoneme":
        target = None if clip.phonemes is None else vocabulary.encode_items(clip.phonemes)
    else:
        text = ctc_text(clip, output)
        target = None if text is None else vocabulary.encode(text)
    if not target:
        return None
    if frames_needed(target) > n_frames:
        raise FormatError(
            f"its {output.name} of {len(target)} labels needs {frames_needed(target)} frames, it has {n_frames}"
        )
    return target


def _pitch_target(clip: Clip, n_frames: int) -> np.ndarray | None:
    if clip.f0 is None:
        return None
    if abs(len(clip.f0) - n_frames) > _SHIFT_FRAMES:
        raise FormatError(f"'f0' has {len(clip.f0)} values, the recording {n_frames} frames of 20 ms")
    f0 = np.full(n_frames, np.nan)
    f0[: len(clip.f0)] = clip.f0[:n_frames]
    return f0


@dataclass(frozen=True)
class Batch:
    """Examples of similar length. Shapes: features [B, T, layers, width] float16, lengths [B]."""

    examples: tuple[Example, ...]
    features: np.ndarray
    lengths: np.ndarray

    @property
    def targets(self) -> dict[str, list[Any]]:
        """Return the targets of each output, row by row."""
        return {name: [example.targets[name] for example in self.examples] for name in self.examples[0].targets}


def plan_batches(
    examples: Sequence[Example], max_frames: int, random: np.random.Generator | None = None
) -> list[list[Example]]:
    """Return the examples in groups of similar length, each of at most `max_frames` frames with its padding.

    random: of the order of the groups, and of equally long examples; without it they are sorted by length.
    """
    order = list(range(len(examples))) if random is None else random.permutation(len(examples)).tolist()
    order.sort(key=lambda place: _padded(examples[place].n_frames))
    groups: list[list[Example]] = []
    for place in order:
        frames = _padded(examples[place].n_frames)
        if not groups or (len(groups[-1]) + 1) * frames > max_frames:
            groups.append([])
        groups[-1].append(examples[place])
    return groups if random is None else [groups[place] for place in random.permutation(len(groups))]


def _padded(n_frames: int) -> int:
    return -(-n_frames // _BUCKET) * _BUCKET


def read_batch(examples: Sequence[Example], cache: FeatureCache, random: np.random.Generator | None = None) -> Batch:
    """Return a batch with its features. random: of the masks of SpecAugment, over channels and, where
    no frame has a label of its own, over frames; none without.

    Source: Park et al. 2019, "SpecAugment", section 2.
    """
    n_frames = _padded(max(example.n_frames for example in examples))
    features = np.zeros((len(examples), n_frames, len(cache.form.layers), cache.form.width), np.float16)
    for row, example in zip(features, examples, strict=True):
        row[: example.n_frames] = cache.read(example.key)
        if random is not None:
            by_frame = any(isinstance(target, np.ndarray) for target in example.targets.values())
            for _ in range(0 if by_frame else 1 + example.n_frames // 100):
                _mask(row[: example.n_frames], MASK_FRAMES, random)
            _mask(np.moveaxis(row, 2, 0), MASK_CHANNELS, random)
    return Batch(tuple(examples), features, np.array([example.n_frames for example in examples]))


def _mask(x: np.ndarray, most: int, random: np.random.Generator) -> None:
    """Set some neighbours along the first axis to zero: at most `most`, and at most a quarter."""
    size = int(random.integers(0, min(most, len(x) // 4) + 1))
    start = int(random.integers(0, len(x) - size + 1))
    x[start : start + size] = 0


def batches(examples: Sequence[Example], cache: FeatureCache, max_frames: int) -> Iterator[Batch]:
    """Yield all examples, sorted by length, for evaluation."""
    for group in plan_batches(examples, max_frames):
        yield read_batch(group, cache)
