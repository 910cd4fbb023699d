"""Train a head on cached features. A killed run goes on from its last state, to the same bits.

Everything that is drawn at random follows from the seed, the epoch and the batch, so the state holds no generator.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from time import monotonic
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from ..config import MAX_REPEATS, from_dict, number
from ..errors import CheckError, FormatError, UsageError
from ..progress import measure, note
from ..tasks import check_seed
from .cache import FeatureCache
from .config import Config
from .evaluate import Score, evaluate, main_score
from .examples import Batch, Example, plan_batches, read_batch
from .features import FRAME_S
from .losses import head_loss
from .model import Head
from .saved_state import SavedStates


@dataclass(frozen=True)
class Options:
    """How to train. batch_s: seconds of audio in a batch. warmup: share of the training in which the rate rises.

    patience: epochs without a better score after which it ends. save_every: steps from one saved state to the next.
    Raises: UsageError for values out of range.
    """

    epochs: int = 20
    batch_s: float = 24.0
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    patience: int = 5
    save_every: int = 200
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        ranges = {
            "epochs": (1, MAX_REPEATS), "batch_s": (1, 3600), "learning_rate": (0, 1), "warmup": (0, 1),
            "weight_decay": (0, 1), "clip_norm": (1e-6, 1e6), "patience": (1, 10_000), "save_every": (1, 10**9),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} must be between {low:g} and {high:g}, not {getattr(self, name)}")

    @property
    def max_frames(self) -> int:
        """Return the frames of a batch, with padding."""
        return round(self.batch_s / FRAME_S)


@dataclass(frozen=True)
class Epoch:
    """One pass over the training part. score: on the development part, higher is better; figures: its parts."""

    number: int
    steps: int
    loss: float
    score: float
    figures: dict[str, float]


@dataclass(frozen=True)
class Progress:
    """How far a run is, as its state says it. loss: the sum over this epoch's steps.

    best: number of the epoch with the best score, of equals the last; risen: of the first with it; 0 before any.
    """

    epoch: int = number(0, low=0)
    batch: int = number(0, low=0)
    step: int = number(0, low=0)
    best: int = number(0, low=0)
    risen: int = number(0, low=0)
    loss: float = 0.0
    epochs: tuple[Epoch, ...] = ()


@dataclass(frozen=True)
class Training:
    """A finished training. best: the number of the epoch whose weights the head has."""

    head: Head
    epochs: tuple[Epoch, ...]
    best: int
    took_s: float


def new_head(config: Config, seed: int) -> Head:
    """Return a head with weights drawn from the seed; MLX's own generator is shared by the whole process."""
    head, random = Head(config), np.random.default_rng([seed, 0])
    weights: dict[str, mx.array] = dict(tree_flatten(head.parameters()))
    for name, weight in weights.items():
        if weight.ndim == 2:
            bound = 1 / math.sqrt(weight.shape[1])
            weights[name] = mx.array(random.uniform(-bound, bound, weight.shape).astype(np.float32))
        elif name.endswith(".bias"):
            weights[name] = mx.zeros_like(weight)
    head.update(tree_unflatten(list(weights.items())))
    return head


def rate(options: Options, progress: float) -> float:
    """Return the learning rate after a share of the training: a straight rise, then half a cosine down to 0.

    Source: Loshchilov & Hutter 2017, "SGDR", eq. 5, without restarts.
    """
    if progress < options.warmup:
        return options.learning_rate * progress / options.warmup
    rest = (progress - options.warmup) / max(1e-9, 1 - options.warmup)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


def data_digest(examples: Sequence[Example]) -> str:
    """Return the sha256 of what is trained on: recordings and targets, in order."""
    digest = sha256()
    for example in examples:
        targets = {
            name: target.tolist() if isinstance(target, np.ndarray) else target
            for name, target in example.targets.items()
        }
        digest.update(f"{example.clip.id} {example.key} {example.n_frames} {targets}\n".encode())
    return digest.hexdigest()


class Trainer:
    """One training run: its state, and the steps that change it."""

    def __init__(
        self,
        config: Config,
        train: Sequence[Example],
        dev: Sequence[Example],
        cache: FeatureCache,
        options: Options,
        states: SavedStates,
    ) -> None:
        if not train or not dev:
            missing = "training" if not train else "development"
            raise UsageError(f"no clip is left in the {missing} part", fix="give more data, or another split")
        self.config, self.train, self.dev, self.cache, self.options = config, train, dev, cache, options
        self.states = states
        self.head = new_head(config, options.seed)
        self.best_weights = dict(tree_flatten(self.head.parameters()))
        self.optimizer = optim.AdamW(learning_rate=0.0, weight_decay=options.weight_decay, bias_correction=True)
        self.optimizer.init(self.head.trainable_parameters())
        self.progress = Progress()
        self._gradients = nn.value_and_grad(self.head, self._loss)
        if state := states.read():
            self._restore(*state)
            note(f"going on after step {self.progress.step}, in epoch {self.progress.epoch + 1}")

    def _loss(self, head: Head, batch: Batch, key: mx.array) -> mx.array:
        lengths = batch.lengths.tolist()
        logits = head(mx.array(batch.features), mx.array(batch.lengths), key)
        return head_loss(self.config, head.loss_scales, logits, batch.targets, lengths)

    def _arrays(self) -> dict[str, mx.array]:
        parts = {
            "head": dict(tree_flatten(self.head.parameters())),
            "best": self.best_weights,
            "optimizer": dict(tree_flatten(self.optimizer.state)),
        }
        return {f"{part}.{name}": array for part, some in parts.items() for name, array in some.items()}

    def _restore(self, arrays: dict[str, mx.array], progress: dict[str, Any]) -> None:
        """Take over a state. Raises: FormatError for one that does not fit the head."""
        self.progress = from_dict(Progress, progress, where=self.states.folder)
        ours = {name: array.shape for name, array in self._arrays().items()}
        theirs = {name: array.shape for name, array in arrays.items()}
        if ours != theirs:
            differing = sorted(ours.keys() ^ theirs.keys()) or [name for name in ours if ours[name] != theirs[name]]
            raise FormatError("the state does not fit the head", where=self.states.folder, details=differing)
        parts: dict[str, dict[str, mx.array]] = {"head": {}, "best": {}, "optimizer": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        self.head.load_weights(list(parts["head"].items()), strict=True)
        self.best_weights = parts["best"]
        self.optimizer.state = tree_unflatten(list(parts["optimizer"].items()))

    def save(self) -> None:
        """Write the state."""
        self.states.save(self.progress.step, self._arrays(), asdict(self.progress))

    def run(self) -> Training:
        """Train until the last epoch, or until the score has stopped rising; the head has the best epoch's weights."""
        start, options = monotonic(), self.options
        total_s = options.epochs * sum(example.n_frames for example in self.train) * FRAME_S
        with measure("training", total_s) as move_to:
            while not self.is_done:
                self._run_epoch(lambda share: move_to(total_s * share))
        self.head.load_weights(list(self.best_weights.items()), strict=True)
        return Training(self.head, self.progress.epochs, self.progress.best, monotonic() - start)

    @property
    def is_done(self) -> bool:
        """Return whether the last epoch is over, or `patience` epochs without a better score."""
        done = self.progress
        return done.epoch >= self.options.epochs or done.epoch - done.risen >= self.options.patience

    def _run_epoch(self, move_to: Callable[[float], None]) -> None:
        options, epoch = self.options, self.progress.epoch
        order = np.random.default_rng([options.seed, 1, epoch])
        groups = plan_batches(self.train, options.max_frames, order)
        for place in range(self.progress.batch, len(groups)):
            loss = self._step(groups[place], place, (epoch + place / len(groups)) / options.epochs)
            before = self.progress
            self.progress = replace(before, batch=place + 1, step=before.step + 1, loss=before.loss + loss)
            if self.progress.step % options.save_every == 0:
                self.save()
            move_to((epoch + (place + 1) / len(groups)) / options.epochs)
        scores = evaluate(self.head, self.dev, self.cache, options.max_frames, n_draws=0)
        self._finish_epoch(len(groups), scores)
        self.save()

    def _step(self, group: Sequence[Example], place: int, share: float) -> float:
        """Take one step, with the learning rate after a `share` of the training; return the loss before it."""
        options = self.options
        random = np.random.default_rng([options.seed, 2, self.progress.epoch, place])
        batch = read_batch(group, self.cache, random if options.augment else None)
        key = mx.random.key(int(random.integers(1 << 63)))
        loss, gradients = self._gradients(self.head, batch, key)
        gradients, norm = optim.clip_grad_norm(gradients, options.clip_norm)
        if not math.isfinite(float(mx.array(norm)) + float(loss)):
            clips = ", ".join(example.clip.id for example in group[:3])
            raise CheckError(
                f"the loss is not finite at step {self.progress.step + 1}",
                fix="lower --learning-rate",
                details=[f"clips: {clips}, …"],
            )
        self.optimizer.learning_rate = rate(options, share)
        self.optimizer.update(self.head, gradients)
        mx.eval(self.head.parameters(), self.optimizer.state)
        return loss.item()

    def _finish_epoch(self, steps: int, scores: Sequence[Score]) -> None:
        figures = {
            f"{score.output}.{name}": figure.value
            for score in scores
            for name, figure in score.figures.items()
            if math.isfinite(figure.value)
        }
        done = self.progress
        epoch = Epoch(done.epoch + 1, steps, done.loss / steps, main_score(scores), figures)
        before = done.epochs[done.best - 1].score if done.best else -math.inf
        if epoch.score >= before:
            self.best_weights = dict(tree_flatten(self.head.parameters()))
        best = epoch.number if epoch.score >= before else done.best
        risen = epoch.number if epoch.score > before else done.risen
        self.progress = Progress(epoch.number, 0, done.step, best, risen, 0.0, (*done.epochs, epoch))
        shown = ", ".join(f"{name} {value:.3f}" for name, value in list(figures.items())[:3])
        note(f"epoch {epoch.number} of {self.options.epochs}: loss {epoch.loss:.4f}, {shown}")
