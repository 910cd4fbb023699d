"""What `validate --q-bits` asks of a translator, for any `Engine`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..errors import UsageError
from ..text.examples import sentences
from .search import generate
from .translate import Engine

MAX_NEW_TOKENS = 64


class EngineTokens:
    """The `contract.TokenModel` of one direction of a translator. A source is the ids of a sentence."""

    def __init__(self, engine: Engine) -> None:
        forced = engine.options.forced_bos_token_id
        self.engine = engine
        self.prompt = [*engine.prompt, *([] if forced is None else [forced])]
        self.options = replace(
            engine.options, num_beams=1, num_return_sequences=1, max_new_tokens=MAX_NEW_TOKENS, forced_bos_token_id=None
        )

    def sources(self, n: int, lines: Sequence[str] = ()) -> list[list[int]]:
        """Return the ids of each line, or of n English sentences.

        Raises: UsageError for a line that is longer than the model's input.
        """
        sources = [self.engine.encode(line) for line in lines or sentences(n)]
        for number, source in enumerate(sources, 1):
            if len(source) > self.engine.max_source:
                what = f"input {number} has {len(source)} tokens, the model reads {self.engine.max_source}"
                raise UsageError(what, fix="give sentences")
        return sources

    def generate(self, sources: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """Return the tokens of greedy search, after a language that is forced; at most MAX_NEW_TOKENS."""
        prompts = [self.prompt] * len(sources)
        results = generate(
            self.engine.start(sources), sources, self.options, prompts=prompts, most=self.engine.max_target
        )
        return [best.ids for [best] in results]

    def logits(self, sources: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
        """Yield the logits before each token; of sequences that have ended, whatever comes. Shapes: -> [rows, V]."""
        steps = self.engine.start(sources)
        last = np.array([self.prompt] * len(sources))
        for step in range(max(map(len, tokens))):
            yield np.asarray(steps.step(last), np.float32)
            last = np.array([[row[min(step, len(row) - 1)]] for row in tokens])

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of generated tokens."""
        return self.engine.decode([token for token in tokens if token not in self.options.eos])


class ExamplePipeline(Protocol):
    """A translator's pipeline that knows one direction to be examined in."""

    def example_engine(self) -> Engine: ...


def token_model(pipeline: ExamplePipeline) -> EngineTokens:
    """Return what is asked of a translator."""
    return EngineTokens(pipeline.example_engine())
