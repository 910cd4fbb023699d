"""Decode 30-second windows: greedy, sampled (best of n), or beam search.

Reference: openai-whisper 20250625, whisper/decoding.py. The rules on logits run in NumPy: one row of the vocabulary
comes back from MLX for every token in any case, because the rules depend on the tokens so far.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ...errors import UsageError
from ...generate.beam import BeamSearch, Tokens, length_normalised
from ...generate.logits import TimestampRules, log_softmax, suppress
from .model import Cache, Model, select
from .tokenizer import Tokenizer

SECONDS_PER_WINDOW = 30


@dataclass(frozen=True)
class DecodingOptions:
    """How to decode one window; names and defaults are openai-whisper's.

    temperature 0 takes the best token (or beam_size beams); above 0 it samples best_of times.
    length_penalty: None ranks by log probability per token, else alpha of Google NMT.
    suppress_tokens: ids, where -1 stands for all symbols that are not spoken. max_initial_timestamp in seconds.
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
    """The transcript of one window. avg_logprob: summed log probability per token, the end token included."""

    tokens: tuple[int, ...]
    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    temperature: float
    compression_ratio: float


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of its zlib compression; repetitive text is high."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def detect_language(model: Model, tokenizer: Tokenizer, audio: mx.array) -> dict[str, float]:
    """Probabilities of the languages. Shapes: audio [1, S, D], encoded. English-only models know one."""
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
    """Decode encoded windows, all at once. Shapes: audio [B, S, D] -> B results. rng: for temperatures above 0."""
    language = options.language
    if language is None:
        language = next(iter(detect_language(model, tokenizer, audio[:1])))
    return _Task(model, tokenizer, options, language).run(audio, rng or np.random.default_rng(0))


Pool = list[tuple[Tokens, float]]


class _Task:
    def __init__(self, model: Model, tokenizer: Tokenizer, options: DecodingOptions, language: str) -> None:
        self.model, self.tokenizer, self.options, self.language = model, tokenizer, options, language
        config = model._config
        self.n_ctx = config.n_text_ctx
        self.sample_len = options.sample_len or self.n_ctx // 2
        self.initial = self._initial_tokens()
        self.suppressed = self._suppressed()
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
        tokens = self.tokenizer.sot_sequence(self.language, self.options.task)
        if self.options.without_timestamps:
            tokens += (self.tokenizer.no_timestamps,)
        if self.options.prefix:
            room = max(self.n_ctx // 2 - self.sample_len, 0)
            tokens += self.options.prefix[-room:]
        if self.options.prompt:
            tokens = (self.tokenizer.sot_prev, *self.options.prompt[-(self.n_ctx // 2 - 1) :], *tokens)
        return tokens

    def _suppressed(self) -> list[int]:
        tokenizer, chosen = self.tokenizer, set(self.options.suppress_tokens)
        if not chosen:
            return []
        if -1 in chosen:
            chosen |= set(tokenizer.non_speech)
        chosen |= {tokenizer.special(n) for n in ("transcribe", "translate", "startoflm", "startofprev", "nospeech")}
        return sorted((chosen | {tokenizer.sot}) - {-1})

    def _filter(self, logits: np.ndarray, sampled: Sequence[Tokens]) -> None:
        if self.options.suppress_blank and not sampled[0]:
            suppress(logits, [*self.tokenizer.encode(" "), self.tokenizer.eot])
        if self.suppressed:
            suppress(logits, self.suppressed)
        if self.rules:
            self.rules.apply(logits, sampled)

    def run(self, audio: mx.array, rng: np.random.Generator) -> list[DecodingResult]:
        windows = audio.shape[0]
        logits, cache = self.model.decoder(mx.array([self.initial] * windows), self.model.decoder.start(audio))
        mx.eval(logits)
        at_sot = np.array(logits[:, self.initial.index(self.tokenizer.sot)])
        no_speech = np.exp(log_softmax(at_sot))[:, self.tokenizer.no_speech]
        first = np.array(logits[:, -1])
        if self.options.beam_size is not None:
            pools = self._beams(first, cache)
        else:
            pools = self._samples(first, cache, rng)
        return [self._best(pool, float(silence)) for pool, silence in zip(pools, no_speech, strict=True)]

    def _best(self, pool: Pool, no_speech: float) -> DecodingResult:
        ranked = []
        for sampled, total in pool:
            tokens = sampled[: sampled.index(self.tokenizer.eot)]
            ranked.append((length_normalised(total, len(tokens), self.options.length_penalty), tokens, total))
        _, tokens, total = max(ranked, key=lambda item: item[0])
        text = self.tokenizer.decode(tokens).strip()
        return DecodingResult(
            tokens,
            text,
            self.language,
            total / (len(tokens) + 1),
            no_speech,
            self.options.temperature,
            compression_ratio(text),
        )

    def _steps(self) -> range:
        """sample_len tokens in all, within the positions of the model."""
        return range(min(self.sample_len, self.n_ctx - len(self.initial) + 1))

    def _samples(self, logits: np.ndarray, cache: Cache, rng: np.random.Generator) -> list[Pool]:
        """Greedy or sampled sequences of every window, each closed by the end token."""
        count, eot = self.options.best_of or 1, self.tokenizer.eot
        groups = [_Samples(count) for _ in logits]
        alive = groups
        logits, cache = np.repeat(logits, count, axis=0), select(cache, np.repeat(np.arange(len(groups)), count))
        for step in self._steps():
            if step:
                logits, cache = self._step([row for group in alive for row in group.rows], cache)
            self._filter(logits, [row for group in alive for row in group.rows])
            log_probs = log_softmax(logits)
            for place, group in enumerate(alive):
                for index, row in enumerate(group.rows):
                    if row and row[-1] == eot:
                        continue
                    at = place * count + index
                    token = self._choose(logits[at], log_probs[at], rng)
                    group.rows[index] = (*row, token)
                    group.sums[index] += float(log_probs[at, token])
            going = [place for place, group in enumerate(alive) if any(row[-1] != eot for row in group.rows)]
            alive, cache = [alive[place] for place in going], _kept(cache, going, len(alive), count)
            if not alive:
                break
        return [
            [(row if row[-1] == eot else (*row, eot), total) for row, total in zip(g.rows, g.sums, strict=True)]
            for g in groups
        ]

    def _choose(self, logits: np.ndarray, log_probs: np.ndarray, rng: np.random.Generator) -> int:
        if self.options.temperature == 0:
            return int(logits.argmax())
        noise = rng.gumbel(size=logits.shape)  # the argmax of logits / T plus Gumbel noise is a sample
        return int((log_probs / self.options.temperature + noise).argmax())

    def _beams(self, logits: np.ndarray, cache: Cache) -> list[Pool]:
        size = self.options.beam_size or 1
        groups = [_Beams(BeamSearch(size, self.tokenizer.eot, self.options.patience or 1.0), size) for _ in logits]
        alive = groups
        logits, cache = np.repeat(logits, size, axis=0), select(cache, np.repeat(np.arange(len(groups)), size))
        for step in self._steps():
            if step:
                logits, cache = self._step([row for group in alive for row in group.rows], cache)
            self._filter(logits, [row for group in alive for row in group.rows])
            log_probs, sources = log_softmax(logits), []
            for place, group in enumerate(alive):
                own = slice(place * size, (place + 1) * size)
                group.rows, group.sums, found = group.search.update(group.rows, group.sums, log_probs[own])
                sources += [place * size + source for source in found]
            if sources != list(range(len(sources))):
                cache = select(cache, sources)
            going = [place for place, group in enumerate(alive) if not group.search.is_finished]
            alive, cache = [alive[place] for place in going], _kept(cache, going, len(alive), size)
            if not alive:
                break
        return [group.search.candidates(group.rows, group.sums) for group in groups]

    def _step(self, rows: Sequence[Tokens], cache: Cache) -> tuple[np.ndarray, Cache]:
        """Logits after the last token of every row. Rows that have ended go on with the end token, unheard."""
        logits, cache = self.model.decoder(mx.array([[row[-1]] for row in rows]), cache)
        mx.eval(logits, [layer.text for layer in cache])
        return np.array(logits[:, -1]), cache


class _Samples:
    """The sequences of one window and their summed log probabilities."""

    def __init__(self, count: int) -> None:
        self.rows: list[Tokens] = [()] * count
        self.sums = [0.0] * count


class _Beams(_Samples):
    def __init__(self, search: BeamSearch, size: int) -> None:
        super().__init__(size)
        self.search = search


def _kept(cache: Cache, windows: list[int], all_windows: int, rows: int) -> Cache:
    """The cache of the windows that go on; each has `rows` neighbouring rows of text and one of audio."""
    if len(windows) in (0, all_windows):
        return cache
    index = mx.array(windows)
    kept = select(cache, [window * rows + row for window in windows for row in range(rows)])
    return [layer._replace(cross_k=layer.cross_k[index], cross_v=layer.cross_v[index]) for layer in kept]
