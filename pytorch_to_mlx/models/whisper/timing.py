"""Word times from cross-attention: dynamic time warping over the heads that follow the audio.

Reference: openai-whisper 20250625, whisper/timing.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .model import Model
from .tokenizer import Tokenizer

TOKENS_PER_SECOND = 50
MEDIAN_WIDTH = 7
SENTENCE_END = ".。!！?？"
PREPEND = "\"'“¿([{-"
APPEND = "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True)
class WordTime:
    """A word with its tokens; times in seconds from the start of the window."""

    word: str
    tokens: tuple[int, ...]
    start: float
    end: float
    probability: float

    @property
    def duration(self) -> float:
        """Return the duration in seconds."""
        return self.end - self.start


def median_filter(x: np.ndarray, width: int = MEDIAN_WIDTH) -> np.ndarray:
    """Return the running median over the last axis with reflected edges; input up to half the width is unchanged.

    Shapes: x [..., T] -> [..., T].
    """
    half = width // 2
    if x.shape[-1] <= half:
        return x
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)], mode="reflect")
    return np.median(sliding_window_view(padded, width, axis=-1), axis=-1)


def dtw(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cheapest monotonic path through a cost matrix, as its row and column indices.

    Computed along anti-diagonals, whose cells do not depend on each other. At a tie the path goes along the row, as the
    reference's does.
    Shapes: cost [N, M] -> two of [path]. Source: Sakoe & Chiba 1978.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf, dtype=np.float32)
    total[0, 0] = 0
    trace = np.full((rows + 1, columns + 1), -1, dtype=np.int8)
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        both, up, left = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        choice = np.where((both < up) & (both < left), 0, np.where((up < both) & (up < left), 1, 2))
        best = np.choose(choice, (both, up, left))
        total[i, j] = cost[i - 1, j - 1] + best
        trace[i, j] = choice
    trace[0, :] = 2
    trace[:, 0] = 1
    i, j, path = rows, columns, []
    while i > 0 or j > 0:
        path.append((i - 1, j - 1))
        step = trace[i, j]
        i, j = i - (step != 2), j - (step != 1)
    steps = np.array(path[::-1])
    return steps[:, 0], steps[:, 1]


def align_words(
    model: Model,
    tokenizer: Tokenizer,
    audio: mx.array,
    text_tokens: Sequence[int],
    n_frames: int,
    *,
    language: str,
    task: str = "transcribe",
) -> list[WordTime]:
    """Align text with one encoded window and return its words. n_frames: mel frames of the window that hold sound.

    Shapes: audio [1, S, D].
    """
    if not text_tokens:
        return []
    start = tokenizer.sot_sequence(language, task)
    tokens = [*start, tokenizer.no_timestamps, *text_tokens, tokenizer.eot]
    scores: list[mx.array] = []
    logits, _ = model.decoder(mx.array([tokens]), model.decoder.start(audio), scores)
    config = model.config
    half = config.n_text_layer // 2
    heads = config.alignment_heads or [
        (n, h) for n in range(half, config.n_text_layer) for h in range(config.n_text_head)
    ]
    weights = mx.stack([scores[layer][0, head] for layer, head in heads])[:, :, : n_frames // 2]
    weights = np.array(mx.softmax(weights.astype(mx.float32), axis=-1))  # [heads, tokens, frames]
    text = np.array(mx.softmax(logits[0, len(start) :, : tokenizer.eot], axis=-1))
    probabilities = text[np.arange(len(text_tokens)), list(text_tokens)]

    mean, deviation = weights.mean(axis=-2, keepdims=True), weights.std(axis=-2, keepdims=True)
    matrix = median_filter((weights - mean) / deviation).mean(axis=0)[len(start) : -1]
    row, column = dtw(-matrix.astype(np.float64))

    words, groups = tokenizer.split_words([*text_tokens, tokenizer.eot], language)
    if len(groups) <= 1:
        return []
    bounds = np.concatenate([[0], np.cumsum([len(group) for group in groups[:-1]])])
    jumps = np.concatenate([[True], np.diff(row) > 0])
    times = column[jumps] / TOKENS_PER_SECOND
    return [
        WordTime(word, tuple(group), float(times[a]), float(times[b]), float(probabilities[a:b].mean()))
        for word, group, a, b in zip(words[:-1], groups[:-1], bounds[:-1], bounds[1:], strict=True)
    ]


def typical_duration(words: Sequence[WordTime]) -> float:
    """Return the median duration of a word in seconds, at most 0.7."""
    durations = [word.duration for word in words if word.duration]
    return min(0.7, float(np.median(durations))) if durations else 0.0


def shorten_at_sentence_ends(words: Sequence[WordTime], longest: float) -> list[WordTime]:
    """Shorten full stops, and the words after them, to `longest` seconds: alignment gives them the pause between."""
    result = list(words)
    for i in range(1, len(result)):
        if result[i].duration > longest:
            if result[i].word in SENTENCE_END:
                result[i] = replace(result[i], end=result[i].start + longest)
            elif result[i - 1].word in SENTENCE_END:
                result[i] = replace(result[i], start=result[i].end - longest)
    return result


def merge_punctuation(words: Sequence[WordTime], prepend: str = PREPEND, append: str = APPEND) -> list[WordTime]:
    """Join opening marks with the next word and closing marks with the one before; their own entries become empty."""
    result = list(words)
    following = len(result) - 1
    for previous in range(len(result) - 2, -1, -1):
        left, right = result[previous], result[following]
        if left.word.startswith(" ") and left.word.strip() in prepend:
            result[following] = replace(right, word=left.word + right.word, tokens=left.tokens + right.tokens)
            result[previous] = replace(left, word="", tokens=())
        else:
            following = previous
    previous = 0
    for following in range(1, len(result)):
        left, right = result[previous], result[following]
        if not left.word.endswith(" ") and right.word in append:
            result[previous] = replace(left, word=left.word + right.word, tokens=left.tokens + right.tokens)
            result[following] = replace(right, word="", tokens=())
        else:
            previous = following
    return result
