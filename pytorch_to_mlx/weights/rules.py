"""The rule language: how the tensor names and axes of a checkpoint become those of our model. Data, not code.

In a pattern the wildcard `{}` stands for one number, `*` for one name part (or the rest of one), `**` for one or more
parts. What a wildcard matches in a source is put, in order, into the same wildcard of the target.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import mlx.core as mx

from .layouts import CONCAT, WEIGHT_NORM, Fold, Layout

_WILDCARD = re.compile(r"\{\}|\*\*|\*")
_REGEX = {"{}": r"(\d+)", "*": r"([^.]+)", "**": r"(.+)"}
# What the wildcards of a pattern matched: (wildcard, text) pairs, all {} first, then * and **, each kind in its order.
Captures: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pattern:
    """A tensor name with wildcards for what differs between layers."""

    text: str

    def __str__(self) -> str:
        return self.text

    @cached_property
    def wildcards(self) -> tuple[str, ...]:
        """Return the wildcards in their order, such as `("{}", "*")`."""
        return tuple(_WILDCARD.findall(self.text))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        pieces, end = [], 0
        for wildcard in _WILDCARD.finditer(self.text):
            pieces += [re.escape(self.text[end : wildcard.start()]), _REGEX[wildcard.group()]]
            end = wildcard.end()
        return re.compile("".join([*pieces, re.escape(self.text[end:])]))

    def matches(self, name: str) -> bool:
        """Return whether the whole of `name` fits this pattern."""
        return self._regex.fullmatch(name) is not None

    def match(self, name: str) -> Captures | None:
        """Return what each wildcard stands for in `name`; None if the whole name does not fit."""
        hit = self._regex.fullmatch(name)
        return None if hit is None else _ordered(zip(self.wildcards, hit.groups(), strict=True))

    def fill(self, captures: Captures) -> str:
        """Return the name in which each wildcard is replaced by what it captured elsewhere."""
        texts = {wildcard: iter([text for w, text in captures if w == wildcard]) for wildcard in _REGEX}
        return _WILDCARD.sub(lambda wildcard: next(texts[wildcard.group()]), self.text)


def _ordered(captures: Iterable[tuple[str, str]]) -> Captures:
    """Sort captures by kind of wildcard, so that patterns with their wildcards in another order compare equal."""
    return tuple(sorted(captures, key=lambda pair: list(_REGEX).index(pair[0])))


class Index:
    """The patterns of all rules, to find those that match a name; patterns without wildcards are looked up, not tried.

    A pattern is known by (number of its rule, its position in the rule).
    """

    def __init__(self, patterns: Iterable[tuple[tuple[int, int], Pattern]]) -> None:
        self._by_name: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._with_wildcards: list[tuple[tuple[int, int], Pattern]] = []
        for key, pattern in patterns:
            if pattern.wildcards:
                self._with_wildcards.append((key, pattern))
            else:
                self._by_name[pattern.text].append(key)

    def find(self, name: str) -> list[tuple[int, int, Captures]]:
        """Return (rule, position, captures) of every pattern that matches `name`, in the order of the rules."""
        hits: list[tuple[int, int, Captures]] = [(*key, ()) for key in self._by_name.get(name, ())]
        for key, pattern in self._with_wildcards:
            captures = pattern.match(name)
            if captures is not None:
                hits.append((*key, captures))
        return sorted(hits)


@dataclass(frozen=True)
class Rule:
    """One line of a weight map; `rename`, `fold`, `split`, `tie` and `drop` make it.

    layouts: axis changes of every target, in order. combine: how a fold joins its sources or a split cuts its source.
    why, equals: of a drop, the reason, and the value that every element must have.
    optional: no tensor need match, because only another published checkpoint has it.
    group: the name of the `either` that this rule is part of; one match in the group is enough.

    Raises: ValueError for a drop without a reason, sides with different wildcards, and a fold of the wrong size.
    """

    kind: Literal["rename", "fold", "split", "tie", "drop"]
    sources: tuple[Pattern, ...]
    targets: tuple[Pattern, ...] = ()
    layouts: tuple[Layout, ...] = ()
    combine: Fold | None = None
    why: str = ""
    equals: float | None = None
    optional: bool = False
    group: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.kind == "drop" and not self.why.strip():
            raise ValueError(f"drop({self.sources[0]}) does not say why")
        if self.kind in {"rename", "fold", "split"}:
            wildcards = {tuple(sorted(p.wildcards)) for p in (*self.sources, *self.targets)}
            if len(wildcards) > 1:
                raise ValueError(f"{self}: both sides need the same number of {{}}, * and **")
        if self.combine is not None and self.combine.parts not in (None, len(self.sources)):
            if self.kind == "fold":
                raise ValueError(f"{self}: {self.combine.name} folds {self.combine.parts} tensors")

    def __str__(self) -> str:
        sides = [", ".join(map(str, side)) for side in (self.sources, self.targets) if side]
        return f"{self.kind}({' -> '.join(sides)})"


Rules: TypeAlias = "Rule | tuple[Rule, ...]"


def rename(source: str, target: str, *layouts: Layout, optional: bool = False) -> Rule:
    """Map one tensor to one array, its axes changed by the layouts."""
    return Rule("rename", (Pattern(source),), (Pattern(target),), layouts, optional=optional)


def fold(sources: tuple[str, ...], target: str, combine: Fold, *layouts: Layout, optional: bool = False) -> Rule:
    """Compute one array from several tensors (WEIGHT_NORM, LSTM_BIAS, CONCAT), then apply the layouts."""
    return Rule("fold", tuple(map(Pattern, sources)), (Pattern(target),), layouts, combine, optional=optional)


def split(
    source: str, targets: tuple[str, ...], *layouts: Layout, combine: Fold = CONCAT, optional: bool = False
) -> Rule:
    """Cut one tensor into several arrays (fused query, key and value), each with the layouts; the reverse of `fold`."""
    return Rule("split", (Pattern(source),), tuple(map(Pattern, targets)), layouts, combine, optional=optional)


def tie(source: str, *, to: str, optional: bool = False) -> Rule:
    """Require that a tensor equals the checkpoint's tensor `to`, and keep one of them.

    A checkpoint may store only one of the two; that one then stands for `to`.
    """
    return Rule("tie", (Pattern(source),), (Pattern(to),), optional=optional)


def drop(source: str, *, why: str, equals: float | None = None, optional: bool = False) -> Rule:
    """Leave a tensor out on purpose; with `equals`, only if every element has that value."""
    return Rule("drop", (Pattern(source),), why=why, equals=equals, optional=optional)


def either(*rules: Rules) -> tuple[Rule, ...]:
    """Group rules for checkpoints that store the same thing in different ways: one of them must match, not all.

    The first says how the reference implementation stores it; `invert` uses that one.
    """
    flat = flatten(rules)
    group = " or ".join(map(str, flat))
    return tuple(replace(rule, group=group) for rule in flat)


def weight_norm(source: str, target: str, *layouts: Layout, optional: bool = False) -> tuple[Rule, ...]:
    """Map a module under weight norm, stored as `.weight_g/_v`, as a parametrization or folded; its `.bias` too."""
    parametrization = (f"{source}.parametrizations.weight.original0", f"{source}.parametrizations.weight.original1")
    rules = either(
        fold((f"{source}.weight_g", f"{source}.weight_v"), f"{target}.weight", WEIGHT_NORM, *layouts),
        fold(parametrization, f"{target}.weight", WEIGHT_NORM, *layouts),
        rename(f"{source}.weight", f"{target}.weight", *layouts),
        rename(f"{source}.bias", f"{target}.bias"),
    )
    return tuple(replace(rule, optional=optional) for rule in rules)


def flatten(rules: Iterable[Rules]) -> tuple[Rule, ...]:
    """Return the rules one after the other, those of nested tuples included."""
    flat: list[Rule] = []
    for rule in rules:
        flat.extend([rule] if isinstance(rule, Rule) else flatten(rule))
    return tuple(flat)


class WeightMap:
    """The complete story of every tensor of a family's checkpoints.

    keep_float32: patterns of our weight names that stay in float32 whatever dtype the rest is converted to.
    file: the source file of the rules, `__file__`; an error about them names it.

    Raises: ValueError if two rules have the same sources.
    """

    def __init__(self, *rules: Rules, keep_float32: tuple[str, ...] = (), file: str | None = None) -> None:
        self.rules = flatten(rules)
        self.file = file
        self.keep_float32 = tuple(map(Pattern, keep_float32))
        seen: set[tuple[Pattern, ...]] = set()
        for rule in self.rules:
            if rule.sources in seen:
                raise ValueError(f"two rules have the source {rule.sources[0]}")
            seen.add(rule.sources)

    def dtype_of(self, name: str, dtype: mx.Dtype | None) -> mx.Dtype | None:
        """Return the dtype of one weight when all are converted to `dtype` (None: each stays as it is)."""
        keep = dtype is not None and any(pattern.matches(name) for pattern in self.keep_float32)
        return mx.float32 if keep else dtype
