"""Decode 30-second windows: greedy, sampled (best of n), or beam search.

Reference: openai-whisper 20250625, whisper/decoding.py. The rules on logits run in NumPy: they depend on the tokens so
far, so one row of logits comes back from MLX for every token in any case.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ...cancel import check_cancelled
from ...errors import UsageError
from ...generate.beam import BeamSearch, Tokens, length_normalised
from ...generate.logits import TimestampRules, log_softmax, suppress
from .model import Cache, Model, select
from .tokenizer import Tokenizer

SECONDS_PER_WINDOW = 30


@dataclass(frozen=True)
class DecodingOptions:
    """How to decode one window; names and defaults are openai-whisper's.

    temperature: 0 takes the likeliest token (or beam_size beams); above 0 best_of sequences are sampled.
    length_penalty: None ranks by log probability per token, a number is alpha of Wu et al. 2016 (Google NMT), eq. 14.
    suppress_tokens: ids, where -1 stands for all symbols that are not spoken. max_initial_timestamp: in seconds.
    Raises: UsageError for values out of range or that exclude each other.
    """

    task: str = "transcribe"
    language: str | None = None
    temperature: float = 0.0
    sample_len: int | None = None
    best_of: int | None = None
    beam_size: int | None = None
    patience: float | None = None
    length_penalty: float | None = None
    prompt: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    suppress_tokens: tuple[int, ...] = (-1,)
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp: float | None = 1.0

    def __post_init__(self) -> None:
        if self.task not in ("transcribe", "translate"):
            raise UsageError(f"task is '{self.task}'", fix="use transcribe or translate")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature is {self.temperature}", fix="use a number from 0 up")
        if self.beam_size is not None and self.best_of is not None:
            raise UsageError("beam_size and best_of exclude each other")
        if self.best_of is not None and self.temperature == 0:
            raise UsageError("best_of needs a temperature above 0")
        if self.patience is not None and (self.beam_size is None or not self.patience > 0):
            raise UsageError(f"patience is {self.patience}", fix="give a number above 0, together with beam_size")
        if self.length_penalty is not None and not 0 <= self.length_penalty <= 1:
            raise UsageError(f"length_penalty is {self.length_penalty}", fix="use a number from 0 to 1")
        for name in ("beam_size", "best_of", "sample_len"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 1000:
                raise UsageError(f"{name} is {value}", fix="use 1 to 1000")


@dataclass(frozen=True)
class DecodingResult:
    """The transcript of one window. avg_logprob: log probability per token, the end token included."""

    tokens: tuple[int, ...]
    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    temperature: float
    compression_ratio: float


def compression_ratio(text: str) -> float:
    """Return the bytes of a text over those of its zlib compression, which is high for repetitive text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def detect_language(model: Model, tokenizer: Tokenizer, audio: mx.array) -> dict[str, float]:
    """Return the probability of each language, the likeliest first; English-only models know one.

    Shapes: audio [1, S, D], encoded.
    """
    if not tokenizer.multilingual:
        return {"en": 1.0}
    logits, _ = model.decoder(mx.array([[tokenizer.sot]]), model.decoder.start(audio))
    codes = list(tokenizer.languages)
    row = np.array(logits[0, -1])[[tokenizer.languages[code] for code in codes]]
    probabilities = np.exp(log_softmax(row[None])[0])
    return dict(sorted(zip(codes, probabilities.tolist(), strict=True), key=lambda item: -item[1]))


def decode(
    model: Model,
    tokenizer: Tokenizer,
    audio: mx.array,
    options: DecodingOptions,
    rng: np.random.Generator | None = None,
) -> list[DecodingResult]:
    """Decode encoded windows, all at once. rng: for temperatures above 0, by default seeded with 0.

    Shapes: audio [B, S, D] -> B results.
    """
    language = options.language
    if language is None:
        language = next(iter(detect_language(model, tokenizer, audio[:1])))
    return _Task(model, tokenizer, options, language).run(audio, rng or np.random.default_rng(0))


Pool = list[tuple[Tokens, float]]


class _Task:
    """The decoding of some windows with the same options, step by step until each has its end token."""

    def __init__(self, model: Model, tokenizer: Tokenizer, options: DecodingOptions, language: str) -> None:
        self.model, self.tokenizer, self.options, self.language = model, tokenizer, options, language
        config = model.config
        self.n_ctx = config.n_text_ctx
        self.sample_len = options.sample_len or self.n_ctx // 2
        self.initial = self._initial_tokens()
        self.suppressed_ids = self._suppressed_ids()
        self.rules = None
        if not options.without_timestamps:
            steps_per_second = config.n_audio_ctx / SECONDS_PER_WINDOW
            first = options.max_initial_timestamp
            self.rules = TimestampRules(
                tokenizer.timestamp_begin,
                tokenizer.eot,
                tokenizer.no_timestamps,
                round(first * steps_per_second) if first else None,
            )

    def _initial_tokens(self) -> Tokens:
        """Return the prompt, the start sequence and the prefix."""
        tokens = self.tokenizer.sot_sequence(self.language, self.options.task)
        if self.options.without_timestamps:
            tokens += (self.tokenizer.no_timestamps,)
        if self.options.prefix:
            room = max(self.n_ctx // 2 - self.sample_len, 0)
            tokens += self.options.prefix[-room:]
        if self.options.prompt:
            tokens = (self.tokenizer.sot_prev, *self.options.prompt[-(self.n_ctx // 2 - 1) :], *tokens)
        return tokens

    def _suppressed_ids(self) -> list[int]:
        tokenizer, ids = self.tokenizer, set(self.options.suppress_tokens)
        if not ids:
            return []
        if -1 in ids:
            ids |= set(tokenizer.non_speech)
        ids |= {tokenizer.special(n) for n in ("transcribe", "translate", "startoflm", "startofprev", "nospeech")}
        return sorted((ids | {tokenizer.sot}) - {-1})

    def _apply_rules(self, logits: np.ndarray, rows: Sequence[Tokens]) -> None:
        """Suppress in place what may not follow the tokens of each row. Shapes: logits [rows, V]."""
        if self.options.suppress_blank and not rows[0]:
            suppress(logits, [*self.tokenizer.encode(" "), self.tokenizer.eot])
        if self.suppressed_ids:
            suppress(logits, self.suppressed_ids)
        if self.rules:
            self.rules.apply(logits, rows)

    def run(self, audio: mx.array, rng: np.random.Generator) -> list[DecodingResult]:
        """Decode each window. Shapes: audio [B, S, D] -> B results."""
        n_windows = audio.shape[0]
        logits, cache = self.model.decoder(mx.array([self.initial] * n_windows), self.model.decoder.start(audio))
        mx.eval(logits)
        at_sot = np.array(logits[:, self.initial.index(self.tokenizer.sot)])
        no_speech = np.exp(log_softmax(at_sot))[:, self.tokenizer.no_speech]
        first = np.array(logits[:, -1])
        if self.options.beam_size is not None:
            pools = self._beams(first, cache)
        else:
            pools = self._samples(first, cache, rng)
        return [self._best(pool, float(p)) for pool, p in zip(pools, no_speech, strict=True)]

    def _best(self, pool: Pool, no_speech_prob: float) -> DecodingResult:
        """Return the result of one window: the candidate with the highest score after the length penalty."""
        candidates = []
        for row, total in pool:
            tokens = row[: row.index(self.tokenizer.eot)]
            candidates.append((length_normalised(total, len(tokens), self.options.length_penalty), tokens, total))
        _, tokens, total = max(candidates, key=lambda item: item[0])
        text = self.tokenizer.decode(tokens).strip()
        return DecodingResult(
            tokens,
            text,
            self.language,
            total / (len(tokens) + 1),
            no_speech_prob,
            self.options.temperature,
            compression_ratio(text),
        )

    def _steps(self) -> range:
        """Return the steps: sample_len tokens in all, within the positions of the model."""
        return range(min(self.sample_len, self.n_ctx - len(self.initial) + 1))

    def _samples(self, logits: np.ndarray, cache: Cache, rng: np.random.Generator) -> list[Pool]:
        """Return greedy or sampled sequences of every window, each closed by the end token. Shapes: logits [B, V]."""
        count, eot = self.options.best_of or 1, self.tokenizer.eot
        groups = [_Samples(count) for _ in logits]
        active = groups
        logits, cache = np.repeat(logits, count, axis=0), select(cache, np.repeat(np.arange(len(groups)), count))
        for step in self._steps():
            if step:
                logits, cache = self._step([row for group in active for row in group.rows], cache)
            self._apply_rules(logits, [row for group in active for row in group.rows])
            log_probs = log_softmax(logits)
            for place, group in enumerate(active):
                for index, row in enumerate(group.rows):
                    if row and row[-1] == eot:
                        continue
                    at = place * count + index
                    token = self._choose(logits[at], log_probs[at], rng)
                    group.rows[index] = (*row, token)
                    group.sums[index] += float(log_probs[at, token])
            unfinished = [place for place, group in enumerate(active) if any(row[-1] != eot for row in group.rows)]
            cache = _select_windows(cache, unfinished, len(active), count)
            active = [active[place] for place in unfinished]
            if not active:
                break
        return [
            [(row if row[-1] == eot else (*row, eot), total) for row, total in zip(g.rows, g.sums, strict=True)]
            for g in groups
        ]

    def _choose(self, logits: np.ndarray, log_probs: np.ndarray, rng: np.random.Generator) -> int:
        """Return the likeliest token, or one sampled at the temperature. Shapes: logits and log_probs [V]."""
        if self.options.temperature == 0:
            return int(logits.argmax())
        noise = rng.gumbel(size=logits.shape)  # Gumbel-max: argmax(log p / T + noise) is a sample
        return int((log_probs / self.options.temperature + noise).argmax())

    def _beams(self, logits: np.ndarray, cache: Cache) -> list[Pool]:
        """Return the finished beams of every window. Shapes: logits [B, V]."""
        size = self.options.beam_size or 1
        groups = [_Beams(BeamSearch(size, self.tokenizer.eot, self.options.patience or 1.0), size) for _ in logits]
        active = groups
        logits, cache = np.repeat(logits, size, axis=0), select(cache, np.repeat(np.arange(len(groups)), size))
        for step in self._steps():
            if step:
                logits, cache = self._step([row for group in active for row in group.rows], cache)
            self._apply_rules(logits, [row for group in active for row in group.rows])
            log_probs, parents = log_softmax(logits), []  # the row that each new beam continues
            for place, group in enumerate(active):
                own = slice(place * size, (place + 1) * size)
                group.rows, group.sums, own_parents = group.search.update(group.rows, group.sums, log_probs[own])
                parents += [place * size + parent for parent in own_parents]
            if parents != list(range(len(parents))):
                cache = select(cache, parents)
            unfinished = [place for place, group in enumerate(active) if not group.search.is_finished]
            cache = _select_windows(cache, unfinished, len(active), size)
            active = [active[place] for place in unfinished]
            if not active:
                break
        return [group.search.candidates(group.rows, group.sums) for group in groups]

    def _step(self, rows: Sequence[Tokens], cache: Cache) -> tuple[np.ndarray, Cache]:
        """Return the logits after the last token of every row; finished rows repeat the end token and are ignored.

        Shapes: -> [rows, V].
        """
        check_cancelled()
        logits, cache = self.model.decoder(mx.array([[row[-1]] for row in rows]), cache)
        mx.eval(logits, [layer.text for layer in cache])
        return np.array(logits[:, -1]), cache


class _Samples:
    """The sequences of one window and their summed log probabilities."""

    def __init__(self, count: int) -> None:
        self.rows: list[Tokens] = [()] * count
        self.sums = [0.0] * count


class _Beams(_Samples):
    """The beams of one window and their search."""

    def __init__(self, search: BeamSearch, size: int) -> None:
        super().__init__(size)
        self.search = search


def _select_windows(cache: Cache, windows: list[int], n_windows: int, rows: int) -> Cache:
    """Return the cache of some of n_windows windows; each has `rows` neighbouring rows of text and one of audio."""
    if len(windows) in (0, n_windows):
        return cache
    index = mx.array(windows)
    layers = select(cache, [window * rows + row for window in windows for row in range(rows)])
    return [layer._replace(cross_k=layer.cross_k[index], cross_v=layer.cross_v[index]) for layer in layers]
