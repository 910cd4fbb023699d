"""Train a new keyword on the frozen embeddings, from clips of it and recordings of anything else.

The method is openWakeWord's (openwakeword/train.py): clips of the word over changing backgrounds, every frame of other
sound as what it is not, and a price on mistakes of the second kind that rises while training. One fifth of the clips is
held out, and what the word scores there is the report.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from ...audio import wav
from ...audio.live import from_file
from ...errors import FormatError, MachineError, UsageError
from ...progress import note, track
from ...weights import load_into
from .config import FRAME, NAME, SAMPLE_RATE, START_FEATURES, Keyword
from .model import Classifier, Model
from .pipeline import FRAME_S, MOST_FRAMES, PADDING_S, Rules, Trigger, as_pcm, header, load_chain, load_keyword

SEGMENT_S = 10.0  # other recordings are cut into pieces of this length, each trained on or held out
AFTER_S = 0.32  # so long after its end the word is to be heard
QUIET_DB = 30.0  # under the loudest 10 ms of a clip: not the word
MIN_CLIPS = 5
MAX_WORD_S = 3.0
BATCH = 256
NEGATIVE_PRICE = 8.0  # of a frame taken for the word, at the end of training; 1 at its start


@dataclass(frozen=True)
class Trained:
    """The new keyword, and how it does on what it was not trained on.

    recall: share of the held-out clips of the word that are heard. false_accepts: how often it is heard in the held-out
    rest. accuracy: the mean of recall and the share of that rest's pieces of 10 s that stay silent.
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
    chain: Model | Path,
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
) -> Trained:
    """Train the keyword `name` and write it to `output`, a .safetensors file that `load(keywords=[…])` takes.

    positive: folder of clips, each the word once. negative: folder of recordings without it. variants: backgrounds and
    shifts that each clip is heard with. The same seed gives the same file.
    Raises: UsageError for too few clips, FormatError for audio that cannot be read or is silent.
    """
    began = perf_counter()
    check(name, output, hidden, steps, variants, seed)
    rules = Rules(threshold=threshold)
    model = chain if isinstance(chain, Model) else load_chain(chain)
    random = np.random.default_rng(seed)
    words = [spoken(path) for path in track(files_in(positive), "reading the word")]
    others = [piece for path in track(files_in(negative), "reading the rest") for piece in pieces(path)]
    if len(words) < MIN_CLIPS or len(others) < 2:
        raise UsageError(
            f"{len(words)} clips of the word and {len(others)} pieces of other sound are too few",
            fix=f"give at least {MIN_CLIPS} clips, better hundreds, and 20 s of other sound, better hours",
        )
    held_words, words = held_out(words, random)
    held_others, others = held_out(others, random)
    longest = max(len(word) for word in [*words, *held_words]) / SAMPLE_RATE
    num_frames = min(max(16, int(np.ceil((longest + AFTER_S) / FRAME_S))), START_FEATURES + 1)
    keyword = Keyword(name, "dnn", num_frames, (hidden, hidden), True, (name,))
    examples = Examples(model, num_frames)
    for word in track(words, "listening to the word", len(words)):
        examples.add_word(word, others, variants, random)
    for other in track([*others, *hisses(random)], "listening to the rest", len(others)):
        examples.add_other(other)
        examples.add_other(disturbed(other, others, random))
    classifier = fit(keyword, model._config.channels[-1], examples, steps, random)
    recall, accepts, silent = evaluate(model, keyword, classifier, held_words, held_others, rules)
    save(output, keyword, classifier, model._config.channels[-1])
    hours = sum(map(len, held_others)) / SAMPLE_RATE / 3600
    return Trained(
        path=output,
        keyword=name,
        seconds=round(num_frames * FRAME_S + 0.7, 2),
        clips=len(words),
        other_s=sum(map(len, others)) / SAMPLE_RATE,
        held_out_clips=len(held_words),
        held_out_other_s=hours * 3600,
        recall=recall,
        false_accepts=accepts,
        false_accepts_per_hour=accepts / hours,
        accuracy=(recall + silent) / 2,
        took_s=perf_counter() - began,
    )


def check(name: str, output: Path, hidden: int, steps: int, variants: int, seed: int) -> None:
    """Raises: UsageError for what cannot be trained or written, before anything is read."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a keyword", fix="a letter, then letters, digits, _ and -")
    if output.suffix != ".safetensors" or not output.parent.is_dir():
        raise UsageError(f"cannot write '{output}'", fix="name a .safetensors file in a folder that exists")
    for what, value, most in (("hidden", hidden, 1024), ("steps", steps, 10**6), ("variants", variants, 1000)):
        if not 1 <= value <= most:
            raise UsageError(f"{what} is {value}; it goes from 1 to {most}")
    if not 0 <= seed < 2**64:
        raise UsageError(f"seed is {seed}; it goes from 0 to 2**64 - 1")


def files_in(folder: Path) -> list[Path]:
    """The audio files of a folder and the folders in it, in the order of their names."""
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=folder)
    endings = {f".{ending}" for ending in wav.FORMATS}
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not found:
        raise UsageError(
            "there is no audio in this folder", where=folder, fix=f"audio files end in {' '.join(endings)}"
        )
    return found


def spoken(path: Path) -> np.ndarray:
    """A clip without the silence around the word, as 16-bit numbers. Shapes: -> [L] float32."""
    pcm = as_pcm(np.concatenate([np.zeros(0, np.float32), *from_file(path, SAMPLE_RATE)]))
    step = SAMPLE_RATE // 100
    power = np.square(pcm[: len(pcm) // step * step].reshape(-1, step)).mean(axis=1)
    if not power.size or power.max() < 100:  # 10 of 32768
        raise FormatError("the clip is silent", where=path)
    loud = np.flatnonzero(power > power.max() / 10 ** (QUIET_DB / 10))
    word = pcm[loud[0] * step : (loud[-1] + 1) * step]
    if len(word) > MAX_WORD_S * SAMPLE_RATE:
        what = f"the word takes {len(word) / SAMPLE_RATE:.1f} s; {MAX_WORD_S:g} s can be learnt"
        raise FormatError(what, where=path, fix="cut the clip to the word alone")
    return word


def pieces(path: Path) -> Iterator[np.ndarray]:
    """A recording in pieces of 10 s, as 16-bit numbers; what is under half a second is left out."""
    size = round(SEGMENT_S * SAMPLE_RATE)
    rest = np.zeros(0, np.float32)
    for block in from_file(path, SAMPLE_RATE, block_s=SEGMENT_S):
        rest = np.concatenate([rest, as_pcm(block)])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest) >= SAMPLE_RATE // 2:
        yield rest


def hisses(random: np.random.Generator) -> list[np.ndarray]:
    """Silence and noises, which no folder of speech has."""
    size = 4 * SAMPLE_RATE
    noises = [level * random.standard_normal(size) for level in (0, 3, 30, 300, 3000)]
    return [np.rint(noise).clip(-32768, 32767).astype(np.float32) for noise in noises]


def held_out(items: Sequence[np.ndarray], random: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A fifth of the items, and the others."""
    order = random.permutation(len(items))
    count = max(1, len(items) // 5)
    return [items[i] for i in order[:count]], [items[i] for i in order[count:]]


class Examples:
    """Embeddings of everything heard, and the frames at which the word has ended, or has not been said."""

    def __init__(self, model: Model, num_frames: int) -> None:
        self.model, self.num_frames = model, num_frames
        self.tracks: list[np.ndarray] = []
        self.ends: dict[bool, list[np.ndarray]] = {True: [], False: []}
        self.total = 0

    def add_word(
        self, word: np.ndarray, others: Sequence[np.ndarray], variants: int, random: np.random.Generator
    ) -> None:
        """The word in front of changing backgrounds, at changing places of the frame and changing loudness."""
        lead = (self.num_frames + 10) * FRAME
        length = -(-(lead + FRAME + len(word) + round(AFTER_S * SAMPLE_RATE)) // FRAME) * FRAME
        batch, starts = np.zeros((variants, length), np.float32), lead + random.integers(0, FRAME, variants)
        for row, start in zip(batch, starts, strict=True):
            row[:] = background(length, word, others, random)
            row[start : start + len(word)] += word
            row *= 10 ** (random.uniform(-12, 3) / 20)
        np.clip(np.rint(batch), -32768, 32767, out=batch)
        ends = (np.arange(length // FRAME) + 1) * FRAME
        for track_, start in zip(self.embeddings(batch), starts, strict=True):
            end = start + len(word)
            heard = (ends >= end) & (ends <= end + AFTER_S * SAMPLE_RATE)
            not_yet = ends < start + len(word) // 2
            self.add(track_, heard, not_yet)

    def add_other(self, piece: np.ndarray) -> None:
        """Other sound, after silence: the word is not all that ever begins."""
        joined = np.concatenate([np.zeros((self.num_frames + 10) * FRAME, np.float32), piece])
        (track_,) = self.embeddings(joined[None, : len(joined) // FRAME * FRAME])
        self.add(track_, np.zeros(len(track_), bool), np.ones(len(track_), bool))

    def add(self, track_: np.ndarray, heard: np.ndarray, not_heard: np.ndarray) -> None:
        full = np.arange(len(track_)) >= self.num_frames - 1
        for label, chosen in ((True, heard), (False, not_heard)):
            self.ends[label].append(np.flatnonzero(chosen & full) + self.total)
        self.tracks.append(track_)
        self.total += len(track_)

    def embeddings(self, pcm: np.ndarray) -> np.ndarray:
        """The embedding of every frame. Shapes: pcm [B, 1280 · N] -> [B, N, D]."""
        state, found = self.model.start(len(pcm)), []
        for at in range(0, pcm.shape[1], MOST_FRAMES * FRAME):
            block = mx.array(pcm[:, at : at + MOST_FRAMES * FRAME])
            features, state = self.model.features(block, state)
            mx.eval(features, state)
            found.append(np.array(features.astype(mx.float32))[:, -(block.shape[1] // FRAME) :])
        return np.concatenate(found, axis=1)

    def batches(self, steps: int, random: np.random.Generator) -> Iterator[tuple[mx.array, mx.array]]:
        """Half of each batch is the word. Shapes: -> [BATCH, num_frames, D], [BATCH]."""
        everything = np.concatenate(self.tracks)
        positive, negative = (np.concatenate(self.ends[label]) for label in (True, False))
        steps_back = np.arange(1 - self.num_frames, 1)
        labels = mx.array([1.0] * (BATCH // 2) + [0.0] * (BATCH // 2))
        for _ in range(steps):
            ends = np.concatenate([random.choice(where, BATCH // 2) for where in (positive, negative)])
            yield mx.array(everything[ends[:, None] + steps_back]), labels


def background(length: int, word: np.ndarray, others: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Silence, near silence, noise, or other sound 5 to 25 dB under the word. Shapes: -> [length] float32."""
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


def disturbed(other: np.ndarray, others: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """The same at another loudness and before another background, as the word is heard. Shapes: [L] -> [L]."""
    louder = (other + background(len(other), other, others, random)) * 10 ** (random.uniform(-12, 3) / 20)
    return np.clip(np.rint(louder), -32768, 32767).astype(np.float32)


def fit(keyword: Keyword, feature_size: int, examples: Examples, steps: int, random: np.random.Generator) -> Classifier:
    """Adam with a cosine schedule on the cross entropy, frames without the word costing more and more."""
    classifier = start(Classifier(keyword, feature_size), random)
    schedule = optim.cosine_decay(1e-3, steps)
    optimizer = optim.AdamW(learning_rate=schedule, weight_decay=1e-2)

    def loss(module: Classifier, x: mx.array, labels: mx.array, price: float) -> mx.array:
        logits = module.logits(x[None])[0, :, 0]
        costs = nn.losses.binary_cross_entropy(logits, labels, with_logits=True)
        return mx.mean(costs * mx.where(labels > 0.5, 1.0, price))

    step = nn.value_and_grad(classifier, loss)
    for number, (x, labels) in enumerate(track(examples.batches(steps, random), "training", steps)):
        price = 1.0 + (NEGATIVE_PRICE - 1.0) * number / steps
        value, gradients = step(classifier, x, labels, price)
        optimizer.update(classifier, gradients)
        mx.eval(classifier.parameters(), optimizer.state)
        if number + 1 == steps:
            note(f"loss {value.item():.4f} after {steps} steps")
    return classifier


def start(classifier: Classifier, random: np.random.Generator) -> Classifier:
    """New weights from our own generator: MLX's is shared by the whole process."""
    fresh: dict[str, mx.array] = dict(tree_flatten(classifier.parameters()))
    for name, weight in fresh.items():
        if weight.ndim == 2:
            bound = 1 / np.sqrt(weight.shape[1])
            weight = mx.array(random.uniform(-bound, bound, weight.shape).astype(np.float32))
        fresh[name] = weight if ".norms." in name or weight.ndim == 2 else mx.zeros_like(weight)
    classifier.update(tree_unflatten(list(fresh.items())))
    return classifier


def evaluate(
    model: Model,
    keyword: Keyword,
    classifier: Classifier,
    words: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    rules: Rules,
) -> tuple[float, int, float]:
    """On what was held out: the share of words heard, false accepts, and the share of other pieces without one."""
    examples = Examples(model, keyword.num_frames)

    def heard(pcm: np.ndarray) -> int:
        whole = np.concatenate([pcm, np.zeros(-len(pcm) % FRAME, np.float32)])
        (track_,) = examples.embeddings(whole[None])
        ends = np.arange(keyword.num_frames - 1, len(track_))
        if not len(ends):
            return 0
        windows = track_[ends[:, None] + np.arange(1 - keyword.num_frames, 1)]
        scores = np.array(classifier(mx.array(windows)[None]))[0]
        trigger = Trigger(keyword.labels, rules)
        return sum(len(trigger(float(end + 1) * FRAME_S, score)) for end, score in zip(ends, scores, strict=True))

    lead = np.zeros((keyword.num_frames + 10) * FRAME, np.float32)
    after = np.zeros(round(PADDING_S * SAMPLE_RATE), np.float32)
    hits = [heard(np.concatenate([lead, word, after])) > 0 for word in track(words, "held-out clips", len(words))]
    accepts = [heard(np.concatenate([lead, other])) for other in track(others, "held-out rest", len(others))]
    return float(np.mean(hits)), sum(accepts), float(np.mean([not count for count in accepts]))


def save(path: Path, keyword: Keyword, classifier: Classifier, feature_size: int) -> None:
    """Write the file whole or not at all, and read it back. Raises MachineError if the disk does not take it."""
    weights: dict[str, Any] = dict(tree_flatten(classifier.parameters()))
    temporary = path.with_name(f".{path.stem[:40]}.{token_hex(6)}.safetensors")
    try:
        with temporary.open("wb") as file:
            mx.save_safetensors(file, {name: weights[name] for name in sorted(weights)}, header(keyword))
            file.flush()
            os.fsync(file.fileno())
        again, module = load_keyword(temporary, feature_size)
        load_into(module, weights, where=temporary)
        if again != keyword:
            raise FormatError("does not read back as it was written", where=path)
        os.replace(temporary, path)
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=path) from error
    finally:
        temporary.unlink(missing_ok=True)
