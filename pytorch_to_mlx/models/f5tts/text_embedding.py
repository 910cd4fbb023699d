"""The text of an utterance as one row for each frame of its audio.

Source: SWivid/F5-TTS@2ae2c9b, `TextEmbedding` of f5_tts/model/backbones/dit.py and unett.py.
"""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ...errors import UsageError
from ...nn.convnext import ConvNeXtV2Block
from ...nn.rope import rotary_tables
from .config import MAX_TEXT_FRAMES, THETA, Config


class TextEmbedding(nn.Module):
    """Embed the tokens, which stand at the first frames, and the filler after them; then ConvNeXt V2 over the frames.

    The blocks see the number of frames (their norm runs over them), so that one text has other rows in another length.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        self.embedding = nn.Embedding(config.vocab_size + 1, config.text_hidden_size)  # row 0 is the filler
        self.layers = [
            ConvNeXtV2Block(config.text_hidden_size, 2 * config.text_hidden_size) for _ in range(config.num_text_layers)
        ]

    def __call__(self, ids: Sequence[int], frames: int, *, is_dropped: bool = False) -> mx.array:
        """Embed one text; tokens beyond the frames are cut off, as in the original.

        is_dropped: as for the unconditional velocity, with the filler in place of every token; where padding is masked,
        that of the text still is.
        Shapes: ids [L] of the vocabulary -> [1, frames, D].
        Raises: UsageError for an id outside the vocabulary, or more frames than the original has positions for.
        """
        config = self._config
        rows = np.zeros(frames, np.int32)
        rows[: len(ids)] = np.array(ids[:frames], np.int32) + 1
        if rows.min(initial=0) < 0 or rows.max(initial=0) > config.vocab_size:
            raise UsageError(f"the text has a token outside 0 … {config.vocab_size - 1}")
        is_text = (mx.array(rows) > 0)[None, :, None]
        x = self.embedding(mx.array(np.zeros_like(rows) if is_dropped else rows)[None])  # [1, T, D]
        if not self.layers:
            return x
        if frames > MAX_TEXT_FRAMES:
            raise UsageError(f"{frames} frames are more than the {MAX_TEXT_FRAMES} that F5-TTS has text positions for")
        tables = rotary_tables(mx.arange(frames), config.text_hidden_size, THETA)
        x = x + mx.concatenate(list(tables), axis=-1).astype(x.dtype)
        x = self._masked(x, is_text)
        for layer in self.layers:
            x = self._masked(layer(x), is_text)
        if config.text_average_upsampling and len(ids):
            x = x[:, mx.array(stretched(min(len(ids), frames), frames))]
        return x

    def _masked(self, x: mx.array, is_text: mx.array) -> mx.array:
        return mx.where(is_text, x, 0) if self._config.text_mask_padding else x


def stretched(n_tokens: int, frames: int) -> np.ndarray:
    """Return the token of each frame: all as often as the others, the last ones once more. Shapes: -> [frames]."""
    repeats = np.full(n_tokens, frames // n_tokens)
    repeats[n_tokens - frames % n_tokens :] += 1
    return np.repeat(np.arange(n_tokens), repeats)
