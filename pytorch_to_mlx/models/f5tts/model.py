"""F5-TTS and E2-TTS: a text and the mel of a recording to a mel that goes on in its voice.

Source: Chen et al. 2024, "F5-TTS"; Eskimez et al. 2024, "E2 TTS"; SWivid/F5-TTS@2ae2c9b, f5_tts/model/cfm.py `sample`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ...audio.torch_random import TorchRandom
from ...errors import UsageError
from ...generate.flow import EVALUATIONS, solve
from ...nn.dit import ConvPositions, TimeEmbedding
from ...nn.linear import linear
from ...nn.rope import rotary_tables
from ...nn.stream import Stream
from ...taps import tap
from .backbones import DiT, UNetT
from .config import HEAD_DIM, MAX_FRAMES, THETA, Config
from .schedule import evaluation_times, is_guided, times
from .text_embedding import TextEmbedding


@dataclass(frozen=True)
class Item:
    """One utterance. frames: of the whole mel, that of the recording included; see `total_frames`.

    keep: False at frames of the recording's mel that are to be replaced; None keeps all.
    noise: what the mel begins as; else it is drawn as PyTorch draws it on a CPU after torch.manual_seed(seed).

    Shapes: cond [N, n_mels], the recording's mel; ids [L] of the vocabulary; noise [frames, n_mels]; keep [N].
    """

    cond: mx.array
    ids: Sequence[int]
    frames: int
    seed: int = 0
    noise: mx.array | None = None
    keep: Sequence[bool] | None = None


def total_frames(frames: int, n_reference: int, n_ids: int) -> int:
    """Return how many frames are made where `frames` are asked for: more than of the recording, and than tokens."""
    return min(max(frames, n_reference + 1, n_ids + 1), MAX_FRAMES)


class Model(nn.Module):
    """Solve the flow from noise to a mel, with classifier-free guidance: both velocities are computed as one batch."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        size = config.hidden_size
        self.text = TextEmbedding(config)
        self.time = TimeEmbedding(size)
        self.input_proj = nn.Linear(2 * config.n_mels + config.text_hidden_size, size)
        self.positions = ConvPositions(size, padding=(15, 15))
        self.backbone = DiT(config) if config.backbone == "DiT" else UNetT(config)

    @property
    def config(self) -> Config:
        """The sizes that it was built with."""
        return self._config

    def __call__(self, cond: mx.array, ids: Sequence[Sequence[int]], frames: int, **options: Any) -> mx.array:
        """Return a mel for each of several recordings and texts, all of the same lengths; options as `sample_batch`.

        Shapes: cond [B, N, n_mels], ids [B, L] -> [B, total_frames, n_mels] float32.
        """
        items = [Item(one, text, frames) for one, text in zip(cond, ids, strict=True)]
        return mx.stack(self.sample_batch(items, **options))

    def sample(
        self,
        cond: mx.array,
        ids: Sequence[int],
        frames: int,
        *,
        seed: int = 0,
        noise: mx.array | None = None,
        keep: Sequence[bool] | None = None,
        **options: Any,
    ) -> mx.array:
        """Return one mel; the arguments are those of `Item`, the options those of `sample_batch`.

        Shapes: -> [total_frames, n_mels] float32.
        """
        return self.sample_batch([Item(cond, ids, frames, seed, noise, keep)], **options)[0]

    def sample_batch(
        self,
        items: Sequence[Item],
        *,
        steps: int = 32,
        guidance: float = 2.0,
        sway: float | None = -1.0,
        method: str = "euler",
        when_moved: Callable[[float], None] = lambda share: None,
    ) -> list[mx.array]:
        """Return the mel of each item, evaluated; what is kept of the recording is its own.

        Each text is embedded in its own length and padding is seen by nothing, so that no item depends on the others.

        Args:
            steps: of the solver; 5, 6, 7, 10, 12 and 16 are at the times of empirically pruned step sampling
            guidance: how far to go from the unconditional velocity; 0 computes none
            sway: below 0 more of the steps are near the noise; None or 0 leaves the times alone
            method: 'euler' or 'midpoint', which computes two velocities a step
            when_moved: is called before each velocity, and at the end, with the share of the steps that are done
        Shapes: -> of each item [total_frames, n_mels] float32.
        Raises: UsageError for arguments out of range, ids outside the vocabulary, or a mel of the wrong shape.
        """
        if method not in EVALUATIONS:
            raise UsageError(f"no solver is called {method!r:.40}", fix=f"solvers: {', '.join(EVALUATIONS)}")
        if not 0 <= guidance <= 100:
            raise UsageError(f"guidance is {guidance}", fix="give 0 to 100")
        grid = times(steps, sway)
        lengths = [self._checked_length(item) for item in items]
        longest, guided = max(lengths), is_guided(guidance)
        kept = [_kept(item, length) for item, length in zip(items, lengths, strict=True)]
        conds = [_pad(item.cond.astype(mx.float32), length) for item, length in zip(items, lengths, strict=True)]
        rows = mx.stack([_pad(mx.where(k, c, 0), longest) for k, c in zip(kept, conds, strict=True)])
        text = self._embed(items, lengths, longest, is_dropped=False)
        if guided:
            rows = mx.concatenate([rows, mx.zeros_like(rows)])
            text = mx.concatenate([text, self._embed(items, lengths, longest, is_dropped=True)])
        at_times = self.backbone.prepare(self.time(evaluation_times(grid, method)))
        prefix = self.backbone.prefix
        rotation = rotary_tables(mx.arange(longest + prefix), HEAD_DIM, THETA)
        is_frame, mask = _padding(lengths, prefix, 2 if guided else 1)
        conditions = mx.concatenate([rows.astype(text.dtype), text], axis=-1)
        mx.eval(conditions, rotation, at_times)

        def velocity(x: mx.array, _: float, evaluation: int) -> mx.array:
            when_moved(evaluation // EVALUATIONS[method] / steps)  # the steps before this one are computed
            both = mx.concatenate([x, x]) if guided else x
            h = linear(self.input_proj, mx.concatenate([both.astype(text.dtype), conditions], axis=-1))
            h = self.positions(h, Stream(), is_frame)
            v = self.backbone(h, at_times[evaluation], rotation, mask).astype(mx.float32)
            if not guided:
                return tap("velocity", v)
            conditional, unconditional = mx.split(v, 2)
            return tap("velocity", conditional + (conditional - unconditional) * guidance)

        noise = mx.stack([_pad(_noise(item, length), longest) for item, length in zip(items, lengths, strict=True)])
        y = solve(velocity, noise, grid, method)
        mels = [
            mx.where(k, c, y[i, :length]) for i, (k, c, length) in enumerate(zip(kept, conds, lengths, strict=True))
        ]
        mx.eval(mels)
        when_moved(1.0)
        for mel in mels:
            tap("mel", mel)
        return mels

    def _checked_length(self, item: Item) -> int:
        if item.cond.ndim != 2 or item.cond.shape[1] != self.config.n_mels:
            raise UsageError(f"a mel of shape {list(item.cond.shape)}, expected [frames, {self.config.n_mels}]")
        length = total_frames(item.frames, len(item.cond), len(item.ids))
        if item.noise is not None and item.noise.shape != (length, self.config.n_mels):
            raise UsageError(f"noise of shape {list(item.noise.shape)}, expected {[length, self.config.n_mels]}")
        if item.keep is not None and len(item.keep) != len(item.cond):
            raise UsageError(f"keep has {len(item.keep)} frames, the recording {len(item.cond)}")
        return length

    def _embed(self, items: Sequence[Item], lengths: list[int], longest: int, *, is_dropped: bool) -> mx.array:
        texts = [
            _pad(self.text(item.ids, length, is_dropped=is_dropped)[0], longest)
            for item, length in zip(items, lengths, strict=True)
        ]
        return tap("unconditional text" if is_dropped else "text", mx.stack(texts))


def _kept(item: Item, length: int) -> mx.array:
    """Return where the mel is the recording's. Shapes: -> [length, 1] bool."""
    n_reference = min(len(item.cond), length)
    keep = [True] * n_reference if item.keep is None else [bool(k) for k in item.keep[:n_reference]]
    return mx.array(keep + [False] * (length - n_reference))[:, None]


def _noise(item: Item, length: int) -> mx.array:
    if item.noise is not None:
        return item.noise.astype(mx.float32)
    return mx.array(TorchRandom(item.seed).randn(length, item.cond.shape[1]))


def _pad(x: mx.array, length: int) -> mx.array:
    """Cut or lengthen with zeros. Shapes: x [N, D] -> [length, D]."""
    return mx.pad(x[:length], [(0, max(length - len(x), 0)), (0, 0)])


def _padding(lengths: list[int], prefix: int, repeats: int) -> tuple[mx.array | None, mx.array | None]:
    """Return which rows are frames and which are attended to; None for both where no item is padded.

    Shapes: -> [B, T, 1] and [B, 1, 1, prefix + T] bool, B = repeats · items.
    """
    if min(lengths) == max(lengths):
        return None, None
    position = mx.arange(-prefix, max(lengths))
    attended = position < mx.array(lengths * repeats)[:, None]  # [B, prefix + T]
    return attended[:, prefix:, None], attended[:, None, None]
