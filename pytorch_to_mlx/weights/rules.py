"""The rule language: how the tensor names and axes of a checkpoint become those of our model. Data, not code.

In a pattern `{}` is one number, `*` is one name part (or the rest of one), `**` is one or more parts. What they match
in a source is put, in order, into the same signs of the target.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import mlx.core as mx

from .layouts import CONCAT, WEIGHT_NORM, Fold, Layout

_SIGN = re.compile(r"\{\}|\*\*|\*")
_REGEX = {"{}": r"(\d+)", "*": r"([^.]+)", "**": r"(.+)"}
Captures: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pattern:
    """A tensor name with signs for what differs between layers."""

    text: str

    def __str__(self) -> str:
        return self.text

    @cached_property
    def signs(self) -> tuple[str, ...]:
        return tuple(_SIGN.findall(self.text))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        pieces, at = [], 0
        for sign in _SIGN.finditer(self.text):
            pieces += [re.escape(self.text[at : sign.start()]), _REGEX[sign.group()]]
            at = sign.end()
        return re.compile("".join([*pieces, re.escape(self.text[at:])]))

    def match(self, name: str) -> Captures | None:
        """What each sign stands for in `name`, grouped by sign; None if the name does not match whole."""
        found = self._regex.fullmatch(name)
        return None if found is None else by_sign(zip(self.signs, found.groups(), strict=True))

    def matches(self, name: str) -> bool:
        """Return whether the whole of `name` fits this pattern."""
        return self._regex.fullmatch(name) is not None

    def fill(self, captures: Captures) -> str:
        """The name that these captures give."""
        queues = {sign: iter([text for s, text in captures if s == sign]) for sign in _REGEX}
        return _SIGN.sub(lambda sign: next(queues[sign.group()]), self.text)


def by_sign(captures) -> Captures:
    """Captures in one canonical order, so that those of patterns with their signs in another order compare equal."""
    return tuple(sorted(captures, key=lambda pair: list(_REGEX).index(pair[0])))


class Index:
    """Patterns by what they match; those without signs are looked up, not tried."""

    def __init__(self, patterns: Iterable[tuple[tuple[int, int], Pattern]]) -> None:
        self._plain: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._signed: list[tuple[tuple[int, int], Pattern]] = []
        for place, pattern in patterns:
            if pattern.signs:
                self._signed.append((place, pattern))
            else:
                self._plain[pattern.text].append(place)

    def find(self, name: str) -> list[tuple[int, int, Captures]]:
        """(rule, place in it, captures) of every pattern that matches `name`, in the order of the rules."""
        found: list[tuple[int, int, Captures]] = [(*place, ()) for place in self._plain.get(name, ())]
        for place, pattern in self._signed:
            captures = pattern.match(name)
            if captures is not None:
                found.append((*place, captures))
        return sorted(found)


@dataclass(frozen=True)
class Rule:
    """One line of a weight map; made by `rename`, `fold`, `split`, `tie` and `drop`.

    optional: no tensor of this checkpoint need match, because only another published checkpoint has it.
    group: rules of one `either`; it is enough that one of them matches.
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
            signs = {tuple(sorted(p.signs)) for p in (*self.sources, *self.targets)}
            if len(signs) > 1:
                raise ValueError(f"{self}: both sides need the same number of {{}}, * and **")
        if self.combine is not None and self.combine.parts not in (None, len(self.sources)):
            if self.kind == "fold":
                raise ValueError(f"{self}: {self.combine.name} folds {self.combine.parts} tensors")

    def __str__(self) -> str:
        sides = [", ".join(map(str, side)) for side in (self.sources, self.targets) if side]
        return f"{self.kind}({' -> '.join(sides)})"


Rules: TypeAlias = "Rule | tuple[Rule, ...]"


def rename(source: str, target: str, *layouts: Layout, optional: bool = False) -> Rule:
    """One tensor to one array, with its axes as the layouts say."""
    return Rule("rename", (Pattern(source),), (Pattern(target),), layouts, optional=optional)


def fold(sources: tuple[str, ...], target: str, combine: Fold, *layouts: Layout, optional: bool = False) -> Rule:
    """Several tensors computed into one array (WEIGHT_NORM, LSTM_BIAS, CONCAT), then the layouts."""
    return Rule("fold", tuple(map(Pattern, sources)), (Pattern(target),), layouts, combine, optional=optional)


def split(
    source: str, targets: tuple[str, ...], *layouts: Layout, combine: Fold = CONCAT, optional: bool = False
) -> Rule:
    """One tensor cut into several arrays (fused query, key and value), each with the layouts; the reverse of `fold`."""
    return Rule("split", (Pattern(source),), tuple(map(Pattern, targets)), layouts, combine, optional=optional)


def tie(source: str, *, to: str, optional: bool = False) -> Rule:
    """A tensor that must equal the checkpoint's tensor `to`, of which one is kept.

    A checkpoint that stores only one of the two is fine: the one there is stands for `to`.
    """
    return Rule("tie", (Pattern(source),), (Pattern(to),), optional=optional)


def drop(source: str, *, why: str, equals: float | None = None, optional: bool = False) -> Rule:
    """A tensor left out on purpose; refused if it is not all `equals`, where leaving it out relies on that."""
    return Rule("drop", (Pattern(source),), why=why, equals=equals, optional=optional)


def either(*rules: Rules) -> tuple[Rule, ...]:
    """Rules for checkpoints that store the same thing in different ways: one of them must match, not all.

    The first is how the reference implementation stores it; `invert` takes that one.
    """
    flat = flatten(rules)
    group = f"either({', '.join(map(str, flat))})"
    return tuple(replace(rule, group=group) for rule in flat)


def weight_norm(source: str, target: str, *layouts: Layout, optional: bool = False) -> tuple[Rule, ...]:
    """A module under weight norm: `.weight_g/_v`, torch's parametrization, or already folded; its `.bias` too."""
    new = (f"{source}.parametrizations.weight.original0", f"{source}.parametrizations.weight.original1")
    rules = either(
        fold((f"{source}.weight_g", f"{source}.weight_v"), f"{target}.weight", WEIGHT_NORM, *layouts),
        fold(new, f"{target}.weight", WEIGHT_NORM, *layouts),
        rename(f"{source}.weight", f"{target}.weight", *layouts),
        rename(f"{source}.bias", f"{target}.bias"),
    )
    return tuple(replace(rule, optional=optional) for rule in rules)


def flatten(rules) -> tuple[Rule, ...]:
    flat: list[Rule] = []
    for rule in rules:
        flat.extend([rule] if isinstance(rule, Rule) else flatten(rule))
    return tuple(flat)


class WeightMap:
    """The complete story of every tensor of a family's checkpoints.

    keep_float32: patterns of our weight names that stay in float32 whatever dtype the rest is converted to.
    file: where the rules are written, `__file__`; an error about them names it.
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
        """The dtype that one weight gets when all are to become `dtype` (None: stay as they are)."""
        keep = dtype is not None and any(pattern.matches(name) for pattern in self.keep_float32)
        return mx.float32 if keep else dtype
