"""Several prompts in one batch of mlx-lm, where a batch gives what each prompt gives alone."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any, cast

import numpy as np

from ...tasks import Completion
from .decoding import Options, TextStream
from .tokenizer import Tokenizer

PROBE_LENGTHS, PROBE_TOKENS = (1, 6), 3
PROBE_TOLERANCE = 1e-3  # of a log probability


def generate_together(
    model: Any, rows: Sequence[Sequence[int]], options: Options, tokenizer: Tokenizer
) -> list[Completion]:
    """Return the completion of each prompt, the likeliest tokens, computed together."""
    start = perf_counter()
    tokens, _ = _run(model, rows, options.max_tokens, tokenizer.eos)
    seconds = (perf_counter() - start) / len(rows)
    return [_completion(row, ids, options, tokenizer, seconds) for row, ids in zip(rows, tokens, strict=True)]


def _completion(
    row: Sequence[int], ids: list[int], options: Options, tokenizer: Tokenizer, seconds: float
) -> Completion:
    """Return the completion of one row. seconds: its share of the batch."""
    text, pieces, n_read = TextStream(tokenizer.decode, options.stop), [], 0
    reason = "length"
    for token in ids:
        n_read += 1
        if token in tokenizer.eos:
            reason = "end"
            break
        pieces.append(text.add(token))
        if text.is_stopped:
            reason = "stop"
            break
    return Completion(
        "".join([*pieces, text.finish()]), tuple(ids[:n_read]), len(row), reason, prefill_s=0.0, decode_s=seconds
    )


def _run(
    model: Any, rows: Sequence[Sequence[int]], max_tokens: int, eos: Sequence[int] | frozenset[int]
) -> tuple[list[list[int]], list[list[float]]]:
    """Return the likeliest tokens after each row, those that end it included, and their log probabilities."""
    from mlx_lm.generate import BatchGenerator

    generator = BatchGenerator(model, stop_tokens=[[token] for token in eos], max_tokens=max_tokens)
    numbers = generator.insert([list(row) for row in rows])
    tokens: dict[int, list[int]] = {number: [] for number in numbers}
    log_probs: dict[int, list[float]] = {number: [] for number in numbers}
    while responses := generator.next_generated():
        for response in responses:
            tokens[response.uid].append(int(response.token))
            log_probs[response.uid].append(cast(float, response.logprobs[response.token].item()))
    generator.close()
    return [tokens[number] for number in numbers], [log_probs[number] for number in numbers]


def is_batchable(model: Any, n_tokens: int) -> bool:
    """Return whether prompts of different lengths give together what they give alone, by trying it.

    Some architectures ignore the padding; the caches of others cannot be put together. n_tokens: to draw prompts from.
    """
    draws = np.random.default_rng(0)
    rows = [draws.integers(0, n_tokens, length).tolist() for length in PROBE_LENGTHS]
    try:
        together, log_probs = _run(model, rows, PROBE_TOKENS, ())
    except (ValueError, TypeError, AttributeError, NotImplementedError, IndexError):
        return False
    alone = [_run(model, [row], PROBE_TOKENS, ()) for row in rows]
    pairs = zip(log_probs, alone, strict=True)
    difference = max(np.abs(np.subtract(ours, theirs[0])).max() for ours, (_, theirs) in pairs)
    return together == [tokens[0] for tokens, _ in alone] and bool(difference < PROBE_TOLERANCE)
