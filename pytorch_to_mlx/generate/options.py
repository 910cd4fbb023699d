"""How a sequence is generated: the options of transformers' generate(), under its names and with its defaults."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..errors import UsageError

MAX_LENGTH = 100_000
LENGTH_FACTOR = 4.0  # tokens for each of the source, where a checkpoint states no length
DEFAULT_NEW_TOKENS = 20  # where neither max_length nor max_new_tokens is given
# What this port does not do; a value that would change nothing is taken.
REFUSED: dict[str, tuple[Any, ...]] = {
    "guidance_scale": (None, 1, 1.0),
    "watermarking_config": (None,),
    "penalty_alpha": (None,),
    "dola_layers": (None,),
    "constraints": (None,),
    "force_words_ids": (None,),
    "num_beam_groups": (None, 1),
    "diversity_penalty": (None, 0, 0.0),
    "low_memory": (None, False),
}
FRACTIONS = frozenset(
    "max_length_factor length_penalty temperature top_h top_p min_p typical_p epsilon_cutoff eta_cutoff "
    "repetition_penalty encoder_repetition_penalty".split()
)  # options that need not be whole numbers
Ids = tuple[int, ...]
AllowedTokens = Callable[[int, Sequence[int]], Sequence[int]]


@dataclass(frozen=True)
class GenerationOptions:
    """The options of transformers' `GenerationConfig` that apply to an encoder and a decoder, checked.

    eos: the ids that end a sequence. Lengths count the decoder's start, but min_new_tokens and max_new_tokens do not.
    max_length_factor: a sequence may hold this many times the tokens of its source. bad_words_ids, sequence_bias:
    sequences of ids, the latter with what is added to the score of its last id. prefix_allowed_tokens_fn: the ids that
    may follow, by number of the sentence and sequence so far.
    Raises: UsageError for values out of range, or that contradict each other.
    Source: transformers 5.23, generation/configuration_utils.py.
    """

    eos: Ids = ()
    num_beams: int = 1
    num_return_sequences: int = 1
    do_sample: bool = False
    max_length: int | None = None
    max_new_tokens: int | None = None
    max_length_factor: float | None = None
    min_length: int = 0
    min_new_tokens: int = 0
    early_stopping: bool | Literal["never"] = False
    length_penalty: float = 1.0
    sequence_bias: tuple[tuple[Ids, float], ...] = ()
    encoder_repetition_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[Ids, ...] = ()
    prefix_allowed_tokens_fn: AllowedTokens | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: Ids = ()
    remove_invalid_values: bool = False
    exponential_decay_length_penalty: tuple[int, float] | None = None
    suppress_tokens: Ids = ()
    begin_suppress_tokens: Ids = ()
    temperature: float = 1.0
    top_h: float | None = None
    top_k: int = 50
    top_p: float = 1.0
    min_p: float | None = None
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    renormalize_logits: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("num_beams", 1, 1000), ("num_return_sequences", 1, 1000), ("max_length", 1, MAX_LENGTH),
            ("max_new_tokens", 1, MAX_LENGTH), ("max_length_factor", 0.01, 1000), ("min_length", 0, MAX_LENGTH),
            ("min_new_tokens", 0, MAX_LENGTH), ("length_penalty", -100, 100), ("no_repeat_ngram_size", 0, MAX_LENGTH),
            ("encoder_no_repeat_ngram_size", 0, MAX_LENGTH), ("temperature", 1e-6, 1000), ("top_h", 1e-6, 1),
            ("top_k", 0, 1 << 31), ("top_p", 0, 1), ("min_p", 0, 1), ("typical_p", 1e-6, 1), ("epsilon_cutoff", 0, 1),
            ("eta_cutoff", 0, 1), ("repetition_penalty", 1e-6, 1000), ("encoder_repetition_penalty", 1e-6, 1000),
        ):  # fmt: skip
            value = getattr(self, name)
            kind = int | float if name in FRACTIONS else int
            if value is not None and (not isinstance(value, kind) or not low <= value <= high):
                raise UsageError(f"{name} is {value!r:.40}", fix=f"use {low} to {high}")
        if self.num_return_sequences > self.num_beams and not self.do_sample:
            what = f"num_return_sequences is {self.num_return_sequences}, with {self.num_beams} beams"
            raise UsageError(what, fix="ask for as many beams at least")
        if self.early_stopping not in (True, False, "never"):
            raise UsageError(f"early_stopping is {self.early_stopping!r}", fix="use True, False or 'never'")

    @property
    def is_beam_search(self) -> bool:
        """Return whether several sequences are followed at once."""
        return self.num_beams > 1

    def limit(self, n_source: int, n_prompt: int, most: int) -> int:
        """Return the length at which a sequence of a source of n_source tokens ends, its prompt included.

        most: what the model can hold.
        """
        if self.max_new_tokens is not None:
            limit = n_prompt + self.max_new_tokens
        elif self.max_length is not None:
            limit = self.max_length
        else:
            limit = most if self.max_length_factor is not None else n_prompt + DEFAULT_NEW_TOKENS
        if self.max_length_factor is not None:
            limit = min(limit, n_prompt + math.ceil(self.max_length_factor * n_source))
        return max(n_prompt + 1, min(limit, most))

    def check_ids(self, vocab_size: int) -> None:
        """Refuse ids that a vocabulary of this size does not have. Raises: UsageError."""
        words = [word for word, _ in self.sequence_bias] + list(self.bad_words_ids)
        ids = [*self.eos, *self.forced_eos_token_id, *self.suppress_tokens, *self.begin_suppress_tokens]
        ids += [] if self.forced_bos_token_id is None else [self.forced_bos_token_id]
        for number in [*ids, *(number for word in words for number in word)]:
            if type(number) is not int or not 0 <= number < vocab_size:
                raise UsageError(f"id {number!r:.40} is beyond the vocabulary of {vocab_size}")

    def changed(self, values: Mapping[str, Any]) -> "GenerationOptions":
        """Return the options with others as a user or a generation_config.json gives them; None changes nothing.

        Raises: UsageError for an unknown option, one that is not ported, and values out of range.
        """
        known = {field.name for field in fields(self)}
        for name, neutral in REFUSED.items():
            if values.get(name, neutral[0]) not in neutral:
                raise UsageError(f"{name} is not ported", fix="leave it out")
        names = {name for name, value in values.items() if value is not None} - REFUSED.keys()
        if unknown := names - known:
            raise UsageError(f"unknown option '{min(unknown)}'", fix=f"options: {', '.join(sorted(known))}")
        if "max_length" in names and "max_new_tokens" not in names:
            values = {**values, "max_new_tokens": None}
            names.add("max_new_tokens")
        plain: dict[str, Any] = {}
        for name in names:
            try:
                plain[name] = _plain(name, values[name])
            except (TypeError, ValueError):
                raise UsageError(f"{name} is {values[name]!r:.40}", fix="see transformers' GenerationConfig") from None
        return replace(self, **plain)


def options_of(generation: Mapping[str, Any], config: Mapping[str, Any], eos: Ids) -> GenerationOptions:
    """Return the defaults of a checkpoint: generation_config.json first, then what config.json holds of it.

    Options that are not ported are left out: a caller who asks for them is refused. Where no length is stated,
    transformers stops after 20 tokens, in the middle of a sentence; here the source's length decides.
    """
    known = {field.name for field in fields(GenerationOptions)}
    merged = {**config, **{name: value for name, value in generation.items() if value is not None}}
    values = {name: value for name, value in merged.items() if name in known and value is not None}
    if not values.keys() & {"max_length", "max_new_tokens", "max_length_factor"}:
        values["max_length_factor"] = LENGTH_FACTOR
    return GenerationOptions(eos=eos).changed(values)


def _plain(name: str, value: Any) -> Any:
    """Return a value as the dataclass holds it: lists as tuples, one id of several as a tuple."""
    if name in ("forced_eos_token_id", "eos", "suppress_tokens", "begin_suppress_tokens"):
        return (value,) if isinstance(value, int) else tuple(value)
    if name == "bad_words_ids":
        return tuple(map(tuple, value))
    if name == "sequence_bias":
        pairs = value.items() if isinstance(value, Mapping) else value
        return tuple((tuple(ids), float(bias)) for ids, bias in pairs)
    if name == "exponential_decay_length_penalty":
        start, factor = value
        return int(start), float(factor)
    return value
