"""What `validate --q-bits` asks of a language model."""

from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from ...text.examples import sentences
from .decoding import Options, token_stream
from .pipeline import LlamaPipeline

N_TOKENS = 32


class LlamaTokens:
    """The `contract.TokenModel` of a pipeline. A source is the ids of a prompt, by its chat template if it has one."""

    def __init__(self, pipeline: LlamaPipeline) -> None:
        self.pipeline = pipeline

    def sources(self, n: int, lines: Sequence[str] = ()) -> list[list[int]]:
        """Return the ids of each line, or of n English sentences as prompts."""
        return [self.pipeline.ids_of(line) for line in lines or sentences(n)]

    def generate(self, sources: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """Return the likeliest tokens after each prompt, the one that ends it included; at most N_TOKENS."""
        return [tuple(self._tokens(source)) for source in sources]

    def _tokens(self, source: Sequence[int]) -> Iterator[int]:
        model = self.pipeline.model
        for token in token_stream(model, source, Options(max_tokens=N_TOKENS), _cache(model)):
            yield token
            if token in self.pipeline.tokenizer.eos:
                return

    def logits(self, sources: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
        """Yield the logits before each token; of texts that have ended, those before their last. Shapes: [rows, V]."""
        model = self.pipeline.model
        caches = [_cache(model) for _ in sources]
        rows = [self._next(source, cache) for source, cache in zip(sources, caches, strict=True)]
        for step in range(max(map(len, tokens))):
            yield np.stack(rows)
            for number, row in enumerate(tokens):
                if step + 1 < len(row):
                    rows[number] = self._next(row[step : step + 1], caches[number])

    def _next(self, ids: Sequence[int], cache: list) -> np.ndarray:
        logits = self.pipeline.model(mx.array([list(ids)]), cache=cache)[0, -1]
        return np.array(logits.astype(mx.float32))

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of generated tokens."""
        return self.pipeline.tokenizer.decode(tokens)


def _cache(model: Any) -> list:
    from mlx_lm.models.cache import make_prompt_cache

    return make_prompt_cache(model)
