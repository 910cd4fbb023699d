"""Run a weight map over a checkpoint, forward and backward; the five laws hold here for every model."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import mlx.core as mx

from ..errors import CheckError, FormatError
from ..progress import track
from ..units import count_text
from .numbers import cast, dtype_name
from .rules import Captures, Index, Rule, WeightMap

# A dict of arrays, or an open Checkpoint: a mapping that also has its `source` and the headers, `infos()`.
Source = Mapping[str, mx.array]


@dataclass(frozen=True)
class Step:
    """One use of a rule: the tensors `sources` become the arrays `targets`."""

    rule: Rule
    sources: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass
class Plan:
    """Which rule takes which tensor, decided from names alone.

    aliases: for a tied tensor that is not stored, the name of the one stored in its place.
    unmatched and twice: tensors of no rule and of several. dead: rules without a tensor. incomplete: a line for each
    fold that lacks a tensor. clashes: weights that several rules write. used: the rules that took a tensor.
    """

    steps: list[Step] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    twice: dict[str, list[Rule]] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    clashes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Return whether the laws hold: every tensor has one rule and every rule its tensors."""
        return not (self.unmatched or self.twice or self.dead or self.incomplete or self.clashes)


@dataclass
class Report:
    """What a weight map did, for the conversion report and the README of the converted folder.

    tensors: how many were read. The other fields name tensors or weights, with the reason or the partners.
    """

    tensors: int = 0
    dropped: dict[str, str] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    folded: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kept_float32: list[str] = field(default_factory=list)
    narrowed: list[str] = field(default_factory=list)


@dataclass
class Applied:
    """Our weights, and the report."""

    weights: dict[str, mx.array]
    report: Report


def make_plan(weight_map: WeightMap, names: Iterable[str]) -> Plan:
    """Match every tensor name with its one rule (laws 1 and 2); nothing is read."""
    plan = Plan()
    stored = set(names)
    ties = [rule for rule in weight_map.rules if rule.kind == "tie"]
    for rule in ties:
        _plan_tie(rule, stored, plan)
    tied = {step.sources[0] for step in plan.steps}
    rules = [rule for rule in weight_map.rules if rule.kind != "tie"]
    index = Index(((n, place), p) for n, rule in enumerate(rules) for place, p in enumerate(rule.sources))
    uses: dict[tuple[int, Captures], dict[int, str]] = defaultdict(dict)
    for name in sorted((stored - set(plan.aliases.values())) | set(plan.aliases)):
        hits = index.find(name)
        if len(hits) + (name in tied) > 1:
            plan.twice[name] = [*(rules[n] for n, _, _ in hits), *(tie for tie in ties if tie.sources[0].matches(name))]
        elif hits:
            number, place, captures = hits[0]
            uses[number, captures][place] = name
        elif name not in tied:
            plan.unmatched.append(name)
    for (number, captures), tensors in uses.items():
        _plan_step(rules[number], captures, tensors, plan)
    required = {_key(rule) for rule in weight_map.rules if not rule.optional}
    plan.dead = sorted(required - plan.used)
    n_writers = Counter(target for step in plan.steps if step.rule.kind != "tie" for target in step.targets)
    plan.clashes = sorted(target for target, count in n_writers.items() if count > 1)
    return plan


def _plan_tie(rule: Rule, stored: set[str], plan: Plan) -> None:
    """Compare a tied tensor with the one it must equal; where that one is not stored, the first tied one stands in."""
    for name in sorted(stored):
        captures = rule.sources[0].match(name)
        if captures is None:
            continue
        to = rule.targets[0].fill(captures)
        plan.used.add(_key(rule))
        if to in stored or to in plan.aliases:
            plan.steps.append(Step(rule, (name, to), ()))
        else:
            plan.aliases[to] = name


def _plan_step(rule: Rule, captures: Captures, tensors: dict[int, str], plan: Plan) -> None:
    """Add one use of a rule; `tensors` are the names at the positions of its sources."""
    plan.used.add(_key(rule))
    missing = [p.fill(captures) for place, p in enumerate(rule.sources) if place not in tensors]
    if missing:
        plan.incomplete.append(f"{rule.sources[min(tensors)].fill(captures)} is there without {', '.join(missing)}")
        return
    targets = tuple(pattern.fill(captures) for pattern in rule.targets)
    plan.steps.append(Step(rule, tuple(tensors[place] for place in range(len(rule.sources))), targets))


def _key(rule: Rule) -> str:
    return rule.group or str(rule)


def dead_rules(weight_map: WeightMap, *checkpoints: Iterable[str]) -> list[str]:
    """Return the rules that none of the published checkpoints needs (law 2); each checkpoint is its tensor names."""
    used = set().union(*(make_plan(weight_map, names).used for names in checkpoints))
    return sorted({_key(rule) for rule in weight_map.rules} - used)


def check_plan(plan: Plan, source: Source, *, family: str | None = None, file: str | None = None) -> None:
    """Refuse a plan that breaks a law; the message names the `family` and the `file` of the rules.

    Raises: FormatError that lists every tensor and rule for which the laws do not hold.
    """
    if plan.complete:
        return
    of = f" of '{family}'" if family else ""
    counts = [
        (plan.unmatched, f"checkpoint tensor matches no rule{of}", f"checkpoint tensors match no rule{of}"),
        (plan.twice, "tensor matches two rules", "tensors match two rules"),
        (plan.incomplete, "fold lacks a tensor", "folds lack a tensor"),
        (plan.clashes, "weight is written by two rules", "weights are written by two rules"),
        (plan.dead, f"rule{of} matches no tensor", f"rules{of} match no tensor"),
    ]
    names = sorted(source)
    details = [f"no rule: {line}" for line in grouped(plan.unmatched, _describer(source))]
    details += [f"two rules: {name}  {' and '.join(map(str, rules))}" for name, rules in sorted(plan.twice.items())]
    details += [f"fold: {line}" for line in plan.incomplete]
    details += [f"written twice: {name}" for name in plan.clashes]
    details += [f"no tensor: {rule}{_nearest(rule, names)}" for rule in plan.dead]
    raise FormatError(
        ", ".join(count_text(len(items), one, many) for items, one, many in counts if items),
        where=getattr(source, "source", None),
        fix="this checkpoint differs from the ones this port was made for: "
        f"add rules to {file or 'the weight map'}, or run: pytorch-to-mlx analyze SOURCE",
        details=details,
    )


def _describer(source: Source) -> Callable[[str], str]:
    """Return a function from a tensor's name to its dtype and shape, from headers where the source has them."""
    infos = getattr(source, "infos", dict)()
    if infos:
        return lambda name: f"{infos[name].dtype} {list(infos[name].shape)}"
    return lambda name: f"{dtype_name(source[name].dtype)} {list(source[name].shape)}"


def grouped(names: Iterable[str], describe: Callable[[str], str]) -> list[str]:
    """Return one line for all names that differ only in numbers: the first, described, and how many more there are."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in names:
        kinds[".".join("{}" if part.isdigit() else part for part in name.split("."))].append(name)
    lines = []
    for same in kinds.values():
        more = f"   (+{len(same) - 1} more)" if len(same) > 1 else ""
        lines.append(f"{same[0]}   {describe(same[0])}{more}")
    return lines


def _nearest(rule: str, names: list[str]) -> str:
    """Return a hint at the tensor whose name is most like the source of a dead rule; "" if none is."""
    source = rule.partition("(")[2].partition(" ->")[0].rstrip(")")
    matches = get_close_matches(source, names[:2000], n=1, cutoff=0.8)
    return f"   (nearest tensor: {matches[0]})" if matches else ""


def apply(
    weight_map: WeightMap,
    source: Source,
    *,
    dtype: mx.Dtype | None = None,
    allow_nonfinite: bool = False,
    family: str | None = None,
) -> Applied:
    """Turn a checkpoint's tensors into our weights, one after the other, evaluated.

    dtype: of all floating-point weights; None keeps each as it is. float64 always narrows, to float32.
    family: the name of the family, for error messages.
    Raises: FormatError listing every tensor without exactly one rule, every dead rule and every wrong shape;
    CheckError listing every tensor that holds NaN or Inf, that the dtype cannot hold, or that is tied but differs.
    """
    plan = make_plan(weight_map, list(source))
    check_plan(plan, source, family=family, file=weight_map.file)
    weights: dict[str, mx.array] = {}
    report = Report(tensors=len(source))
    # A Checkpoint reads float64 as float32 by itself.
    stored = {name: info.stored_dtype for name, info in getattr(source, "infos", dict)().items()}
    wrong_shapes: list[str] = []
    wrong_values: list[str] = []
    contradictions: list[str] = []
    for step in track(plan.steps, "reading weights", len(plan.steps)):
        arrays = [source[plan.aliases.get(name, name)] for name in step.sources]
        for target, array in _forward(step, arrays, wrong_shapes).items():
            target_dtype = weight_map.dtype_of(target, dtype)
            weights[target] = cast(target, array, target_dtype, wrong_values, allow_nonfinite=allow_nonfinite)
            if target_dtype is not dtype:
                report.kept_float32.append(target)
            if array.dtype == mx.float64 or any(stored.get(name) == "float64" for name in step.sources):
                report.narrowed.append(target)
        _record(step, arrays, report, contradictions)
    where = getattr(source, "source", None)
    if wrong_shapes:
        what = count_text(len(wrong_shapes), "tensor has the wrong shape", "tensors have the wrong shape")
        raise FormatError(what, where=where, details=wrong_shapes)
    if wrong_values or contradictions:
        count = len(wrong_values) + len(contradictions)
        own = "the checkpoint has weights of its own where this family has none: no option converts them"
        raise CheckError(
            count_text(count, "tensor cannot be converted", "tensors cannot be converted"),
            where=where,
            fix="use another --dtype, or --allow-nonfinite if you know why" if wrong_values else own,
            details=wrong_values + contradictions,
        )
    return Applied({name: weights[name] for name in sorted(weights)}, report)


def _forward(step: Step, arrays: list[mx.array], problems: list[str]) -> dict[str, mx.array]:
    """Return the targets of one step; none of them, and a line in `problems`, where a shape does not fit the rule."""
    rule = step.rule
    shapes = [array.shape for array in arrays]
    problem, targets = "", arrays if rule.kind == "rename" else []
    if rule.combine is not None and rule.kind == "fold":
        problem = rule.combine.check(shapes)
        targets = [] if problem else [rule.combine.join(arrays)]
    elif rule.combine is not None and rule.kind == "split":
        problem = rule.combine.cut_check(shapes[0], len(step.targets))
        targets = [] if problem else rule.combine.cut(arrays[0], len(step.targets))
    for layout in rule.layouts:
        problem = problem or next((p for array in targets if (p := layout.problem(array.shape))), "")
        targets = [] if problem else [layout.to_mlx(array) for array in targets]
    if problem:
        problems.append(f"{', '.join(step.sources)} {' and '.join(str(list(s)) for s in shapes)}: {problem}")
    return dict(zip(step.targets if targets else (), targets, strict=True))


def _record(step: Step, arrays: list[mx.array], report: Report, problems: list[str]) -> None:
    """Enter a step into the report; a line in `problems` for a drop or tie whose values are not what it relies on."""
    first = step.sources[0]
    if step.rule.kind == "drop":
        report.dropped[first] = step.rule.why
        value = step.rule.equals
        if value is not None and not mx.all(arrays[0] == value).item():
            problems.append(f"{first} is not {value:g} everywhere, so it cannot be left out")
    elif step.rule.kind == "fold":
        report.folded[step.targets[0]] = step.sources
    elif step.rule.kind == "tie":
        one, other = arrays
        report.tied[first] = step.sources[1]
        if one.dtype != other.dtype or not mx.array_equal(one, other, equal_nan=True).item():
            problems.append(f"{first} should equal {step.sources[1]} and does not")


def invert(weight_map: WeightMap, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Turn our weights back into the reference's state_dict, by the rules read from right to left.

    Of an `either` the first rule that fits is used; a fold is undone in one of the ways that give the same result.
    Dropped tensors do not come back; tied ones do where the tie has no wildcards.
    Raises: FormatError listing the weights that no rule, or more than one, can have written.
    """
    problems: list[str] = []
    uses: dict[tuple[int, Captures], dict[int, str]] = defaultdict(dict)
    rules = weight_map.rules
    writers = ((n, rule) for n, rule in enumerate(rules) if rule.kind != "tie")
    index = Index(((n, place), p) for n, rule in writers for place, p in enumerate(rule.targets))
    for name in sorted(weights):
        hits, groups = [], set()
        for hit in index.find(name):
            group = rules[hit[0]].group
            if not group or group not in groups:
                hits.append(hit)
            groups.add(group)
        if len(hits) == 1:
            number, place, captures = hits[0]
            uses[number, captures][place] = name
        else:
            written_by = " and ".join(str(rules[n]) for n, _, _ in hits) or "no rule"
            problems.append(f"{name} is written by {written_by}")
    state: dict[str, mx.array] = {}
    for (number, captures), names in uses.items():
        rule = rules[number]
        missing = [p.fill(captures) for place, p in enumerate(rule.targets) if place not in names]
        if missing:
            problems.append(f"{rule.targets[min(names)].fill(captures)} is there without {', '.join(missing)}")
            continue
        arrays = [weights[names[place]] for place in range(len(rule.targets))]
        sources = [pattern.fill(captures) for pattern in rule.sources]
        state.update(zip(sources, _backward(rule, arrays), strict=True))
    if problems:
        raise FormatError("the weights cannot be turned back into the checkpoint's tensors", details=problems)
    for rule in rules:
        if rule.kind != "tie" or rule.optional:
            continue
        source, target = rule.sources[0], rule.targets[0].text
        if not source.wildcards and target in state:
            state[source.text] = state[target]
    return state


def _backward(rule: Rule, arrays: list[mx.array]) -> list[mx.array]:
    """Return the sources of one use of a rule from its targets."""
    for layout in reversed(rule.layouts):
        arrays = [layout.to_torch(a) for a in arrays]
    if rule.combine is None:
        return arrays
    if rule.kind == "split":
        return [rule.combine.join(arrays)]
    return rule.combine.cut(arrays[0], len(rule.sources))
