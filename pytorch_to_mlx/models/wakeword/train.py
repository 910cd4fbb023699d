"""Train a new keyword on the frozen embeddings, from clips of it and recordings of anything else.

Clips of the word over changing backgrounds are the positive examples, every frame of other sound is a negative one, and
the weight of the negative ones in the loss rises while training. One fifth of both is held out for the report.
Source: dscripka/openWakeWord, openwakeword/train.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from ...audio import ffmpeg, wav
from ...audio.live import from_file
from ...errors import FormatError, UsageError
from ...outputs import open_output
from ...progress import note, track
from ...tasks import check_seed
from ...weights import load_into
from .config import FRAME, NAME, SAMPLE_RATE, START_FEATURES, Keyword
from .model import Classifier, Model
from .pipeline import FRAME_S, MAX_FRAMES, PADDING_S, Rules, Trigger, as_pcm, header, load_keyword, load_networks

SEGMENT_S = 10.0  # other recordings are cut into segments of this length, each trained on or held out
AFTER_S = 0.32  # time after the end of the word in which its frames are positive
QUIET_DB = 30.0  # under the loudest 10 ms of a clip: silence, not the word
MIN_CLIPS = 5
MAX_WORD_S = 3.0
BATCH = 256
NEGATIVE_WEIGHT = 8.0  # of a negative frame in the loss, at the end of training; 1 at its start


@dataclass(frozen=True)
class TrainingReport:
    """The new keyword, and how it does on held-out audio.

    recall: share of the held-out clips in which the word is detected. false_accepts: detections in the other held-out
    audio. accuracy: the mean of recall and the share of segments of that audio without a detection.
    """

    path: Path
    keyword: str
    seconds: float
    clips: int
    other_s: float
    held_out_clips: int
    held_out_other_s: float
    recall: float
    false_accepts: int
    false_accepts_per_hour: float
    accuracy: float
    took_s: float


def train(
    networks: Model | Path,
    positive: Path,
    negative: Path,
    output: Path,
    *,
    name: str,
    hidden: int = 32,
    steps: int = 1500,
    variants: int = 8,
    threshold: float = 0.5,
    seed: int = 0,
) -> TrainingReport:
    """Train the keyword `name` and write it to `output`, a .safetensors file for `WakewordPipeline.select`.

    networks: a loaded model, or the folder to load it from. positive: folder of clips, each the word once. negative:
    folder of recordings without it. variants: copies of each clip, each shifted and over another background. The same
    seed gives the same file.
    Raises: UsageError for options out of range and too few clips, FormatError for audio that cannot be read or is
    silent, MachineError if the file cannot be written.
    """
    start = perf_counter()
    check_options(name, output, hidden, steps, variants, seed)
    rules = Rules(threshold=threshold)
    model = networks if isinstance(networks, Model) else load_networks(networks)
    random = np.random.default_rng(seed)
    words = [trim_silence(path) for path in track(audio_files(positive), "reading the word")]
    others = [segment for path in track(audio_files(negative), "reading the rest") for segment in segments(path)]
    if len(words) < MIN_CLIPS or len(others) < 2:
        raise UsageError(
            f"{len(words)} clips of the word and {len(others)} segments of other sound are too few",
            fix=f"give at least {MIN_CLIPS} clips, better hundreds, and 20 s of other sound, better hours",
        )
    test_words, words = hold_out(words, random)
    test_others, others = hold_out(others, random)
    longest_s = max(len(word) for word in [*words, *test_words]) / SAMPLE_RATE
    num_frames = min(max(16, int(np.ceil((longest_s + AFTER_S) / FRAME_S))), START_FEATURES + 1)
    keyword = Keyword(name, "dnn", num_frames, (hidden, hidden), True, (name,))
    examples = Examples(model, num_frames)
    for word in track(words, "listening to the word", len(words)):
        examples.add_word(word, others, variants, random)
    for other in track([*others, *noise_clips(random)], "listening to the rest", len(others)):
        examples.add_other(other)
        examples.add_other(augment(other, others, random))
    classifier = fit(keyword, model.config.channels[-1], examples, steps, random)
    recall, false_accepts, true_rejects = evaluate(model, keyword, classifier, test_words, test_others, rules)
    save(output, keyword, classifier, model.config.channels[-1])
    hours = sum(map(len, test_others)) / SAMPLE_RATE / 3600
    return TrainingReport(
        path=output,
        keyword=name,
        seconds=round(num_frames * FRAME_S + 0.7, 2),
        clips=len(words),
        other_s=sum(map(len, others)) / SAMPLE_RATE,
        held_out_clips=len(test_words),
        held_out_other_s=hours * 3600,
        recall=recall,
        false_accepts=false_accepts,
        false_accepts_per_hour=false_accepts / hours,
        accuracy=(recall + true_rejects) / 2,
        took_s=perf_counter() - start,
    )


def check_options(name: str, output: Path, hidden: int, steps: int, variants: int, seed: int) -> None:
    """Raises: UsageError for options out of range, before anything is read."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a keyword", fix="use a letter, then letters, digits, _ and -")
    if output.suffix != ".safetensors" or not output.parent.is_dir():
        raise UsageError(f"cannot write '{output}'", fix="name a .safetensors file in a folder that exists")
    for option, value, highest in (("hidden", hidden, 1024), ("steps", steps, 10**6), ("variants", variants, 1000)):
        if not 1 <= value <= highest:
            raise UsageError(f"{option} must be between 1 and {highest}, not {value}")
    check_seed(seed)


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files of a folder and its subfolders, sorted by name. Raises: UsageError if there are none."""
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=folder)
    endings = {f".{ending}" for ending in (*wav.FORMATS, "opus", *(ffmpeg.ENDINGS if ffmpeg.find() else ()))}
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not files:
        raise UsageError(
            "there is no audio in this folder", where=folder, fix=f"audio files end in {' '.join(sorted(endings))}"
        )
    return files


def trim_silence(path: Path) -> np.ndarray:
    """Read a clip without the silence around the word, as 16-bit numbers.

    Shapes: -> [L] float32. Raises: FormatError for a silent clip, or a word longer than MAX_WORD_S.
    """
    pcm = as_pcm(np.concatenate([np.zeros(0, np.float32), *from_file(path, SAMPLE_RATE)]))
    step = SAMPLE_RATE // 100
    power = np.square(pcm[: len(pcm) // step * step].reshape(-1, step)).mean(axis=1)
    if not power.size or power.max() < 100:  # 10 of 32768
        raise FormatError("the clip is silent", where=path)
    loud = np.flatnonzero(power > power.max() / 10 ** (QUIET_DB / 10))
    word = pcm[loud[0] * step : (loud[-1] + 1) * step]
    if len(word) > MAX_WORD_S * SAMPLE_RATE:
        what = f"the word takes {len(word) / SAMPLE_RATE:.1f} s; at most {MAX_WORD_S:g} s can be learnt"
        raise FormatError(what, where=path, fix="cut the clip to the word alone")
    return word


def segments(path: Path) -> Iterator[np.ndarray]:
    """Yield a recording in segments of 10 s, as 16-bit numbers; a rest under half a second is left out.

    Shapes: -> [L] float32 each.
    """
    size = round(SEGMENT_S * SAMPLE_RATE)
    rest = np.zeros(0, np.float32)
    for block in from_file(path, SAMPLE_RATE, block_s=SEGMENT_S):
        rest = np.concatenate([rest, as_pcm(block)])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest) >= SAMPLE_RATE // 2:
        yield rest


def noise_clips(random: np.random.Generator) -> list[np.ndarray]:
    """Return silence and white noise of four levels, which folders of speech lack. Shapes: -> [64000] float32 each."""
    size = 4 * SAMPLE_RATE
    noises = [level * random.standard_normal(size) for level in (0, 3, 30, 300, 3000)]
    return [np.rint(noise).clip(-32768, 32767).astype(np.float32) for noise in noises]


def hold_out(items: Sequence[np.ndarray], random: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return a random fifth of the items, at least one, and the others."""
    order = random.permutation(len(items))
    count = max(1, len(items) // 5)
    return [items[i] for i in order[:count]], [items[i] for i in order[count:]]


class Examples:
    """Embeddings of all training audio, and the frames at which the word has ended (positive) or not been said."""

    def __init__(self, model: Model, num_frames: int) -> None:
        self.model, self.num_frames = model, num_frames
        self.sequences: list[np.ndarray] = []  # embeddings of one piece of audio each, [N, D]
        self.ends: dict[bool, list[np.ndarray]] = {True: [], False: []}  # positive and negative frames, in all of them
        self.n_total = 0

    def add_word(
        self, word: np.ndarray, others: Sequence[np.ndarray], variants: int, random: np.random.Generator
    ) -> None:
        """Add the word over changing backgrounds, at changing places of the frame and changing loudness.

        Shapes: word [L] as 16-bit numbers.
        """
        lead = (self.num_frames + 10) * FRAME
        length = -(-(lead + FRAME + len(word) + round(AFTER_S * SAMPLE_RATE)) // FRAME) * FRAME
        batch, starts = np.zeros((variants, length), np.float32), lead + random.integers(0, FRAME, variants)
        for row, start in zip(batch, starts, strict=True):
            row[:] = background(length, word, others, random)
            row[start : start + len(word)] += word
            row *= 10 ** (random.uniform(-12, 3) / 20)
        np.clip(np.rint(batch), -32768, 32767, out=batch)
        ends = (np.arange(length // FRAME) + 1) * FRAME
        for sequence, start in zip(self.embeddings(batch), starts, strict=True):
            end = start + len(word)
            after = (ends >= end) & (ends <= end + AFTER_S * SAMPLE_RATE)
            before = ends < start + len(word) // 2
            self.add(sequence, positive=after, negative=before)

    def add_other(self, segment: np.ndarray) -> None:
        """Add other sound after silence, so that a beginning alone is not taken for the word.

        Shapes: segment [L] as 16-bit numbers.
        """
        joined = np.concatenate([np.zeros((self.num_frames + 10) * FRAME, np.float32), segment])
        (sequence,) = self.embeddings(joined[None, : len(joined) // FRAME * FRAME])
        self.add(sequence, positive=np.zeros(len(sequence), bool), negative=np.ones(len(sequence), bool))

    def add(self, sequence: np.ndarray, *, positive: np.ndarray, negative: np.ndarray) -> None:
        """Add embeddings and their examples. Shapes: sequence [N, D], positive and negative [N] bool."""
        is_full = np.arange(len(sequence)) >= self.num_frames - 1
        for label, frames in ((True, positive), (False, negative)):
            self.ends[label].append(np.flatnonzero(frames & is_full) + self.n_total)
        self.sequences.append(sequence)
        self.n_total += len(sequence)

    def embeddings(self, pcm: np.ndarray) -> np.ndarray:
        """Return the embedding of every frame. Shapes: pcm [B, 1280 · N] -> [B, N, D]."""
        state, parts = self.model.start(len(pcm)), []
        for start in range(0, pcm.shape[1], MAX_FRAMES * FRAME):
            block = mx.array(pcm[:, start : start + MAX_FRAMES * FRAME])
            features, state = self.model.features(block, state)
            mx.eval(features, state)
            parts.append(np.array(features.astype(mx.float32))[:, -(block.shape[1] // FRAME) :])
        return np.concatenate(parts, axis=1)

    def batches(self, steps: int, random: np.random.Generator) -> Iterator[tuple[mx.array, mx.array]]:
        """Yield inputs and labels; half of each batch is the word. Shapes: -> [BATCH, num_frames, D], [BATCH]."""
        features = np.concatenate(self.sequences)
        positive, negative = (np.concatenate(self.ends[label]) for label in (True, False))
        steps_back = np.arange(1 - self.num_frames, 1)
        labels = mx.array([1.0] * (BATCH // 2) + [0.0] * (BATCH // 2))
        for _ in range(steps):
            ends = np.concatenate([random.choice(frames, BATCH // 2) for frames in (positive, negative)])
            yield mx.array(features[ends[:, None] + steps_back]), labels


def background(length: int, word: np.ndarray, others: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Return silence, near silence, noise, or other sound, the last two 5 to 25 dB under the word.

    Shapes: word [L] and others [L'] each -> [length] float32.
    """
    kind = random.integers(4)
    if kind < 2:
        return (random.standard_normal(length) * (random.uniform(1, 10) if kind else 0)).astype(np.float32)
    if kind == 2:
        sound = random.standard_normal(length)
    else:
        other = others[int(random.integers(len(others)))]
        sound = np.resize(np.roll(other, random.integers(len(other))), length)
    level = np.sqrt(np.mean(np.square(word))) / 10 ** (random.uniform(5, 25) / 20)
    return (sound * level / max(1.0, float(np.sqrt(np.mean(np.square(sound)))))).astype(np.float32)


def augment(other: np.ndarray, others: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Return other sound at another loudness over another background, as the word is. Shapes: other [L] -> [L]."""
    mixture = (other + background(len(other), other, others, random)) * 10 ** (random.uniform(-12, 3) / 20)
    return np.clip(np.rint(mixture), -32768, 32767).astype(np.float32)


def fit(keyword: Keyword, feature_size: int, examples: Examples, steps: int, random: np.random.Generator) -> Classifier:
    """Train a classifier: AdamW with a cosine schedule on the cross entropy, the weight of negative frames rising."""
    classifier = init_weights(Classifier(keyword, feature_size), random)
    schedule = optim.cosine_decay(1e-3, steps)
    optimizer = optim.AdamW(learning_rate=schedule, weight_decay=1e-2)

    def loss(module: Classifier, x: mx.array, labels: mx.array, negative_weight: float) -> mx.array:
        logits = module.logits(x[None])[0, :, 0]
        losses = nn.losses.binary_cross_entropy(logits, labels, with_logits=True)
        return mx.mean(losses * mx.where(labels > 0.5, 1.0, negative_weight))

    step = nn.value_and_grad(classifier, loss)
    for number, (x, labels) in enumerate(track(examples.batches(steps, random), "training", steps)):
        negative_weight = 1.0 + (NEGATIVE_WEIGHT - 1.0) * number / steps
        value, gradients = step(classifier, x, labels, negative_weight)
        optimizer.update(classifier, gradients)
        mx.eval(classifier.parameters(), optimizer.state)
        if number + 1 == steps:
            note(f"loss {value.item():.4f} after {steps} steps")
    return classifier


def init_weights(classifier: Classifier, random: np.random.Generator) -> Classifier:
    """Draw new weights from `random`; MLX's own generator is shared by the whole process."""
    weights: dict[str, mx.array] = dict(tree_flatten(classifier.parameters()))
    for name, weight in weights.items():
        if weight.ndim == 2:
            bound = 1 / np.sqrt(weight.shape[1])
            weight = mx.array(random.uniform(-bound, bound, weight.shape).astype(np.float32))
        weights[name] = weight if ".norms." in name or weight.ndim == 2 else mx.zeros_like(weight)
    classifier.update(tree_unflatten(list(weights.items())))
    return classifier


def evaluate(
    model: Model,
    keyword: Keyword,
    classifier: Classifier,
    words: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    rules: Rules,
) -> tuple[float, int, float]:
    """Return the share of words that are detected, the detections in other segments, and the share of those without."""
    examples = Examples(model, keyword.num_frames)

    def count_detections(pcm: np.ndarray) -> int:
        whole_frames = np.concatenate([pcm, np.zeros(-len(pcm) % FRAME, np.float32)])
        (sequence,) = examples.embeddings(whole_frames[None])
        ends = np.arange(keyword.num_frames - 1, len(sequence))
        if not len(ends):
            return 0
        windows = sequence[ends[:, None] + np.arange(1 - keyword.num_frames, 1)]
        scores = np.array(classifier(mx.array(windows)[None]))[0]
        trigger = Trigger(keyword.labels, rules)
        return sum(len(trigger(float(end + 1) * FRAME_S, score)) for end, score in zip(ends, scores, strict=True))

    lead = np.zeros((keyword.num_frames + 10) * FRAME, np.float32)
    tail = np.zeros(round(PADDING_S * SAMPLE_RATE), np.float32)
    word_counts = [
        count_detections(np.concatenate([lead, word, tail])) for word in track(words, "held-out clips", len(words))
    ]
    other_counts = [
        count_detections(np.concatenate([lead, other])) for other in track(others, "held-out rest", len(others))
    ]
    return float(np.mean(np.array(word_counts) > 0)), sum(other_counts), float(np.mean(np.array(other_counts) == 0))


def save(path: Path, keyword: Keyword, classifier: Classifier, feature_size: int) -> None:
    """Write the file whole or not at all, and read it back. Raises: MachineError if it cannot be written."""
    weights: dict[str, Any] = dict(tree_flatten(classifier.parameters()))
    with open_output(path, regular=True, ending=".safetensors") as output:
        mx.save_safetensors(output.file, {name: weights[name] for name in sorted(weights)}, header(keyword))
        output.file.flush()
        assert output.temporary is not None  # it is a regular file
        keyword_read, module = load_keyword(output.temporary, feature_size)
        load_into(module, weights, where=path)
        if keyword_read != keyword:
            raise FormatError("does not read back as it was written", where=path)
