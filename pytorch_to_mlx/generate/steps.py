"""Run the decoder of an encoder-decoder step by step, for `search.generate`."""

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
import numpy as np

from ..cancel import check_cancelled
from ..nn.cache import DecoderState
from ..nn.output import OutputLayer
from .candidates import Candidates, best_candidates
from .search import Steps


class EncoderDecoder(Protocol):
    """What a model offers to be searched."""

    def encode(self, tokens: mx.array, mask: mx.array | None = None) -> DecoderState: ...
    def decode(self, tokens: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]: ...
    @property
    def output(self) -> OutputLayer: ...


class DecoderSteps(Steps):
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
    ) -> None:
        self.model, self.words = model, words
        self.vocab_size = model.output.n_vocab
        # By sentence where each has its own words, else one for all.
        self.outputs = [model.output] if words is None else [model.output.rows(mx.array(ids)) for ids in words]
        longest = max(map(len, sources))
        tokens = np.full((len(sources), longest), padding, np.int32)
        is_token = np.zeros((len(sources), 1, 1, longest), bool)
        for row, source in enumerate(sources):
            tokens[row, : len(source)] = source
            is_token[row, ..., : len(source)] = True
        self._unnormalized: list[mx.array] = []  # what the output layer read, [1, D] each
        self.state = model.encode(mx.array(tokens), None if is_token.all() else mx.array(is_token))

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Return the logits after one more token in every row. Shapes: tokens [rows, L] -> [rows, V] float32."""
        return self._logits(self._decode(tokens))

    def best(self, tokens: np.ndarray, count: int, *, normalized: bool = True) -> Candidates:
        """Do a step, and return only the likeliest tokens. Shapes: tokens [rows, L]."""
        last = self._decode(tokens)
        if not normalized and self.words is None and len(last) == 1:
            quick = self.outputs[0].best_of_row(last, count)
            if quick is not None:
                self._unnormalized.append(last)
                return Candidates(*quick, np.zeros(1, np.float32), self.vocab_size)
        if self.words is not None and min(map(len, self.words)) < count:
            return best_candidates(self._logits(last), count)
        parts = mx.split(last, len(self.outputs)) if len(self.outputs) > 1 else [last]
        best = [output.best(part, count) for output, part in zip(self.outputs, parts, strict=True)]
        mx.eval(best)
        logits, ids, log_sums = (
            np.concatenate([np.array(array) for array in kind]) for kind in zip(*best, strict=True)
        )
        if self.words is not None:
            of_rows = np.split(ids, len(self.words))
            ids = np.concatenate([words[part] for words, part in zip(self.words, of_rows, strict=True)])
        return Candidates(logits, ids, log_sums, self.vocab_size)

    def log_sums(self) -> np.ndarray:
        """Return log Σ e^(logit - greatest) of the steps so far that have none, and forget them. Shapes: -> [steps]."""
        hidden, self._unnormalized = self._unnormalized, []
        return np.array(self.outputs[0].best(mx.concatenate(hidden), 1)[2]) if hidden else np.zeros(0, np.float32)

    def _decode(self, tokens: np.ndarray) -> mx.array:
        """Return what the output layer reads after the last token of each row. Shapes: [rows, L] -> [rows, D]."""
        check_cancelled()
        hidden, self.state = self.model.decode(mx.array(tokens), self.state)
        return hidden[:, -1]

    def _logits(self, last: mx.array) -> np.ndarray:
        if self.words is None:
            return np.array(self.outputs[0].logits(last))
        parts = mx.split(last, len(self.words))
        some = [output.logits(part) for output, part in zip(self.outputs, parts, strict=True)]
        mx.eval(some)
        return np.concatenate([self._spread(part, ids) for part, ids in zip(some, self.words, strict=True)])

    def _spread(self, logits: mx.array, ids: np.ndarray) -> np.ndarray:
        """Return the logits of some words in their places among all. Shapes: logits [rows, n], ids [n] -> [rows, V]."""
        every = np.full((logits.shape[0], self.vocab_size), -np.inf, np.float32)
        every[:, ids] = np.array(logits)
        return every

    def select(self, sentences: Sequence[int], rows: Sequence[int]) -> None:
        """Go on with these of the sentences and these of the rows."""
        self.state = self.state.select(sentences, rows)
        if self.words is not None:
            self.words = [self.words[place] for place in sentences]
            self.outputs = [self.outputs[place] for place in sentences]
