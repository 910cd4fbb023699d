"""Token by token with mlx-lm's loop: samplers as transformers', stop strings, a cache that is used on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import mlx.core as mx
import numpy as np

from ...errors import UsageError
from ...generate.options import GenerationOptions
from ...generate.processors import apply_processors, processors
from ...tasks import check_seed

KV_BITS = (2, 3, 4, 6, 8)
KV_GROUPS = (64, 32)  # numbers that share a scale; the first that divides a head
MAX_STOPS = 64


@dataclass(frozen=True)
class Options:
    """How to generate.

    temperature: 0 takes the likeliest token. top_p: 1, top_k: 0 and min_p: 0 leave nothing out. repetition_penalty:
    above 1 makes tokens less likely that the text holds. stop: texts that end the answer, which are not part of it.
    kv_bits: bits of a number in the cache of keys and values. draft_tokens: what a draft model proposes at a time.

    Raises: UsageError for values that no model takes.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    kv_bits: int | None = None
    draft_tokens: int = 3

    def __post_init__(self) -> None:
        ranges = {
            "max_tokens": (1, 1_000_000), "temperature": (0, 100), "top_p": (0, 1), "top_k": (0, 1_000_000),
            "min_p": (0, 1), "repetition_penalty": (0.01, 100), "draft_tokens": (1, 64),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise UsageError(f"{name} must be between {low} and {high}, not {value!r:.40}")
        if self.top_p == 0:
            raise UsageError("top_p must be above 0", fix="temperature 0 takes the likeliest token")
        if self.kv_bits is not None and self.kv_bits not in KV_BITS:
            raise UsageError(f"kv_bits must be one of {', '.join(map(str, KV_BITS))}, not {self.kv_bits!r:.40}")
        if len(self.stop) > MAX_STOPS or not all(isinstance(text, str) and text for text in self.stop):
            raise UsageError(f"stop takes up to {MAX_STOPS} texts, none of them empty")
        check_seed(self.seed)

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Options":
        """Return options by name. Raises: UsageError for a name that there is none of."""
        names = [field.name for field in fields(cls)]
        if unknown := sorted(options.keys() - set(names)):
            raise UsageError(f"no option is called '{unknown[0]}'", fix=f"options: {', '.join(names)}")
        stop = options.get("stop") or ()
        return cls(**{**options, "stop": (stop,) if isinstance(stop, str) else tuple(stop)})

    @property
    def is_greedy(self) -> bool:
        """Return whether each token is the likeliest one as the model has it."""
        return self.temperature == 0 and self.repetition_penalty == 1


def sampling(options: Options, prompt: Sequence[int]) -> dict[str, Any]:
    """Return the sampler and the rules on logits for mlx-lm's loops, of a text that begins with `prompt`."""
    if options.is_greedy:
        return {}
    settings = GenerationOptions(
        do_sample=options.temperature > 0,
        temperature=options.temperature or 1.0,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p or None,
        repetition_penalty=options.repetition_penalty,
    )
    rules = processors(settings, source=(), n_prompt=len(prompt), limit=len(prompt) + options.max_tokens)
    history = list(prompt[:-1])  # mlx-lm tells a rule the tokens from the last one of the prompt on

    def narrow(tokens: mx.array, logits: mx.array) -> mx.array:
        rows = [history + np.array(tokens).tolist()]
        return mx.array(apply_processors(rules, rows, np.array(logits.astype(mx.float32))))

    return {"logits_processors": [narrow], **({"sampler": _drawn(options.seed)} if options.temperature > 0 else {})}


def _drawn(seed: int) -> Callable[[mx.array], mx.array]:
    """Return a sampler whose draws depend on the seed alone."""
    key = mx.random.key(seed)

    def draw(scores: mx.array) -> mx.array:
        nonlocal key
        key, now = mx.random.split(key)
        return mx.random.categorical(scores, key=now)

    return draw


def token_stream(
    model: Any,
    prompt: Sequence[int],
    options: Options,
    cache: list[Any],
    draft: Any = None,
    *,
    whole: Sequence[int] | None = None,
    kv_group: int = KV_GROUPS[0],
) -> Iterator[int]:
    """Yield up to max_tokens tokens after `prompt`. cache: of the model, and of the draft after it; filled in place.

    When a token is yielded the cache holds it too; with a draft it may hold less by one.
    whole: the prompt with what the cache holds of it, which the rules on logits know. kv_group: numbers of a quantized
    cache that share a scale.
    """
    from mlx_lm.generate import generate_step, speculative_generate_step

    more = sampling(options, prompt if whole is None else whole)
    if options.kv_bits is not None:
        more |= {"kv_bits": options.kv_bits, "kv_group_size": kv_group, "quantized_kv_start": 0}
    ids = mx.array(list(prompt), mx.uint32)
    shared = {"max_tokens": options.max_tokens, "prompt_cache": cache, **more}
    if draft is None:
        yield from (int(token) for token, _ in generate_step(ids, model, **shared))
    else:
        steps = speculative_generate_step(ids, model, draft, num_draft_tokens=options.draft_tokens, **shared)
        yield from (int(token) for token, *_ in steps)


class TextStream:
    """Tokens become text as they come; joined, the pieces are the whole text.

    A piece ends where a character is complete, and where it cannot be the beginning of a stop string.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode, self._stop = decode, stop
        self._ids: list[int] = []
        self._start = self._read = 0
        self._held = ""
        self.is_stopped = False

    def add(self, token: int) -> str:
        """Return the text that is certain now."""
        self._ids.append(token)
        return self._certain(self._new_text(), is_last=False)

    def finish(self) -> str:
        """Return the rest of the text."""
        return "" if self.is_stopped else self._certain(self._new_text(is_last=True), is_last=True)

    def _new_text(self, is_last: bool = False) -> str:
        """Return what the last tokens add; the tokens before them are decoded too, because spaces depend on them."""
        before = self._decode(self._ids[self._start : self._read])
        now = self._decode(self._ids[self._start :])
        if len(now) <= len(before) or (now.endswith("\ufffd") and not is_last):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return now[len(before) :]

    def _certain(self, text: str, *, is_last: bool) -> str:
        self._held += text
        places = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if places:
            self.is_stopped = True
            certain, self._held = self._held[: min(places)], ""
            return certain
        n_held = 0 if is_last else max((_overlap(self._held, stop) for stop in self._stop), default=0)
        certain, self._held = self._held[: len(self._held) - n_held], self._held[len(self._held) - n_held :]
        return certain


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` are the beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
