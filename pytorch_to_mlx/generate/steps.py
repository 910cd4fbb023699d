"""Run the decoder of an encoder-decoder step by step, for `search.generate`."""

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
import numpy as np

from ..nn.cache import DecoderState


class EncoderDecoder(Protocol):
    """What a model offers to be searched."""

    def encode(self, tokens: mx.array, mask: mx.array | None = None) -> DecoderState: ...
    def decode(self, tokens: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]: ...
    def logits(self, hidden: mx.array, words: mx.array | None = None) -> mx.array: ...


class DecoderSteps:
    """The decoder over some sentences, encoded together.

    sources: their ids, without padding. padding: the id that fills them up. words: for each sentence the ids that its
    sequences may hold, from a shortlist; the others get -inf.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        sources: Sequence[Sequence[int]],
        *,
        padding: int,
        words: Sequence[np.ndarray] | None = None,
        vocab_size: int = 0,
    ) -> None:
        self.model, self.vocab_size = model, vocab_size
        self.words = None if words is None else [mx.array(ids) for ids in words]
        longest = max(map(len, sources))
        tokens = np.full((len(sources), longest), padding, np.int32)
        is_token = np.zeros((len(sources), 1, 1, longest), bool)
        for row, source in enumerate(sources):
            tokens[row, : len(source)] = source
            is_token[row, ..., : len(source)] = True
        self.state = model.encode(mx.array(tokens), None if is_token.all() else mx.array(is_token))

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Return the logits after one more token in every row. Shapes: tokens [rows, L] -> [rows, V] float32."""
        hidden, self.state = self.model.decode(mx.array(tokens), self.state)
        last = hidden[:, -1]
        if self.words is None:
            logits = self.model.logits(last)
            mx.eval(logits, [layer.past for layer in self.state.layers])
            return np.array(logits)
        rows = mx.split(last, len(self.words))
        some = [self.model.logits(part, ids) for part, ids in zip(rows, self.words, strict=True)]
        mx.eval(some, [layer.past for layer in self.state.layers])
        return np.concatenate([self._spread(part, ids) for part, ids in zip(some, self.words, strict=True)])

    def _spread(self, logits: mx.array, ids: mx.array) -> np.ndarray:
        """Return the logits of some words in their places among all. Shapes: logits [rows, n], ids [n] -> [rows, V]."""
        every = np.full((logits.shape[0], self.vocab_size), -np.inf, np.float32)
        every[:, np.array(ids)] = np.array(logits)
        return every

    def select(self, sentences: Sequence[int], rows: Sequence[int]) -> None:
        """Go on with these of the sentences and these of the rows."""
        self.state = self.state.select(sentences, rows)
        if self.words is not None:
            self.words = [self.words[place] for place in sentences]
