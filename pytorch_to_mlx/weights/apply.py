"""Run a weight map over a checkpoint, forward and back. The laws are enforced here, for every model."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import mlx.core as mx

from ..errors import CheckError, FormatError
from ..progress import track
from .numbers import cast, dtype_name
from .rules import Captures, Index, Rule, WeightMap

# A dict of arrays, or an open Checkpoint (a Mapping that also knows its `source` and the headers, `infos()`).
Source = Mapping[str, mx.array]


@dataclass(frozen=True)
class Step:
    """One use of a rule: these tensors become these arrays."""

    rule: Rule
    sources: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass
class Plan:
    """Which rule takes which tensor, from names alone.

    aliases: the names that a tensor is stored under in place of the tied one. problems: a line for each broken law.
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
        return not (self.unmatched or self.twice or self.dead or self.incomplete or self.clashes)


@dataclass
class Report:
    """What a weight map did: for the conversion report and the README of the converted folder."""

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
    there = set(names)
    ties = [rule for rule in weight_map.rules if rule.kind == "tie"]
    for rule in ties:
        _tie(rule, there, plan)
    compared = {step.sources[0] for step in plan.steps}
    rules = [rule for rule in weight_map.rules if rule.kind != "tie"]
    index = Index(((n, place), p) for n, rule in enumerate(rules) for place, p in enumerate(rule.sources))
    folds: dict[tuple[int, Captures], dict[int, str]] = defaultdict(dict)
    for name in sorted((there - set(plan.aliases.values())) | set(plan.aliases)):
        hits = index.find(name)
        if len(hits) + (name in compared) > 1:
            plan.twice[name] = [rules[n] for n, _, _ in hits] + [t for t in ties if t.sources[0].matches(name)]
        elif hits:
            number, place, captures = hits[0]
            folds[number, captures][place] = name
        elif name not in compared:
            plan.unmatched.append(name)
    for (number, captures), found in folds.items():
        _step(rules[number], captures, found, plan)
    _find_dead(weight_map, plan)
    writers = Counter(target for step in plan.steps if step.rule.kind != "tie" for target in step.targets)
    plan.clashes = sorted(target for target, count in writers.items() if count > 1)
    return plan


def _tie(rule: Rule, there: set[str], plan: Plan) -> None:
    """Compare a tied tensor with the one it must equal; where that one is absent, the first tied one stands for it."""
    for name in sorted(there):
        captures = rule.sources[0].match(name)
        if captures is None:
            continue
        to = rule.targets[0].fill(captures) if rule.targets[0].signs else rule.targets[0].text
        plan.used.add(_key(rule))
        if to in there or to in plan.aliases:
            plan.steps.append(Step(rule, (name, to), ()))
        else:
            plan.aliases[to] = name


def _step(rule: Rule, captures: Captures, found: dict[int, str], plan: Plan) -> None:
    plan.used.add(_key(rule))
    missing = [p.fill(captures) for place, p in enumerate(rule.sources) if place not in found]
    if missing:
        plan.incomplete.append(f"{rule.sources[min(found)].fill(captures)} is there without {', '.join(missing)}")
        return
    targets = tuple(pattern.fill(captures) for pattern in rule.targets)
    plan.steps.append(Step(rule, tuple(found[place] for place in range(len(rule.sources))), targets))


def _key(rule: Rule) -> str:
    return rule.group or str(rule)


def _find_dead(weight_map: WeightMap, plan: Plan) -> None:
    needed = {_key(rule) for rule in weight_map.rules if not rule.optional}
    plan.dead = sorted(needed - plan.used)


def dead_rules(weight_map: WeightMap, *checkpoints: Iterable[str]) -> list[str]:
    """Law 2 over all published checkpoints, each given by its names: the rules that none of them needs."""
    used = set().union(*(make_plan(weight_map, names).used for names in checkpoints))
    return sorted({_key(rule) for rule in weight_map.rules} - used)


def check_plan(plan: Plan, source: Source, *, family: str | None = None, file: str | None = None) -> None:
    """Refuse a plan that breaks a law; `family` and `file` say whose rules these are and where they are written.

    Raises: FormatError that lists every tensor and rule for which the laws do not hold.
    """
    if plan.complete:
        return
    of = f" of '{family}'" if family else ""
    said, details = [], []
    describe = _describer(source)

    def say(lines: list[str], one: str, many: str) -> None:
        if lines:
            said.append(f"{len(lines)} {one if len(lines) == 1 else many}")

    say(plan.unmatched, f"checkpoint tensor matches no rule{of}", f"checkpoint tensors match no rule{of}")
    details += [f"no rule: {line}" for line in grouped(plan.unmatched, describe)]
    say(list(plan.twice), "tensor matches two rules", "tensors match two rules")
    details += [f"two rules: {name}  {' and '.join(map(str, rules))}" for name, rules in sorted(plan.twice.items())]
    say(plan.incomplete, "fold lacks a tensor", "folds lack a tensor")
    details += [f"fold: {line}" for line in plan.incomplete]
    say(plan.clashes, "weight is written by two rules", "weights are written by two rules")
    details += [f"written twice: {name}" for name in plan.clashes]
    say(plan.dead, f"rule{of} matches no tensor", f"rules{of} match no tensor")
    near = sorted(source)
    details += [f"no tensor: {rule}{_nearest(rule, near)}" for rule in plan.dead]
    where = getattr(source, "source", None)
    fix = (
        "this checkpoint differs from the ones this port was made for: "
        f"add rules to {file or 'the weight map'}, or run: pytorch-to-mlx analyze SOURCE"
    )
    raise FormatError(", ".join(said), where=where, fix=fix, details=details)


def _describer(source: Source):
    infos = getattr(source, "infos", dict)()
    if infos:
        return lambda name: f"{infos[name].dtype} {list(infos[name].shape)}"
    return lambda name: f"{dtype_name(source[name].dtype)} {list(source[name].shape)}"


def grouped(names: Iterable[str], describe) -> list[str]:
    """One line per name that differs from the others in more than numbers: the first, and how many more."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in names:
        kinds[".".join("{}" if part.isdigit() else part for part in name.split("."))].append(name)
    lines = []
    for same in kinds.values():
        more = f"   (+{len(same) - 1} more)" if len(same) > 1 else ""
        lines.append(f"{same[0]}   {describe(same[0])}{more}")
    return lines


def _nearest(rule: str, names: list[str]) -> str:
    source = rule.partition("(")[2].partition(" ->")[0].rstrip(")")
    near = get_close_matches(source, names[:2000], n=1, cutoff=0.8)
    return f"   (nearest tensor: {near[0]})" if near else ""


def apply(
    weight_map: WeightMap,
    source: Source,
    *,
    dtype: mx.Dtype | None = None,
    allow_nonfinite: bool = False,
    family: str | None = None,
) -> Applied:
    """Turn a checkpoint's tensors into our weights, one after the other, evaluated.

    dtype: what floating-point weights become; float64 always narrows, to float32.
    Raises: FormatError listing every tensor without exactly one rule, every dead rule and every wrong shape;
    CheckError listing every tensor that holds NaN or Inf, or that the dtype cannot hold, or that is tied but differs.
    """
    plan = make_plan(weight_map, list(source))
    check_plan(plan, source, family=family, file=weight_map.file)
    weights: dict[str, mx.array] = {}
    report = Report(tensors=len(source))
    # A Checkpoint reads float64 as float32 by itself.
    stored = {name: info.stored_dtype for name, info in getattr(source, "infos", dict)().items()}
    shapes: list[str] = []
    values: list[str] = []
    for step in track(plan.steps, "converting", len(plan.steps)):
        arrays = [source[plan.aliases.get(name, name)] for name in step.sources]
        for target, array in _forward(step, arrays, shapes).items():
            wanted = weight_map.dtype_of(target, dtype)
            weights[target] = cast(target, array, wanted, values, allow_nonfinite=allow_nonfinite)
            if wanted is not dtype:
                report.kept_float32.append(target)
            if array.dtype == mx.float64 or any(stored.get(name) == "float64" for name in step.sources):
                report.narrowed.append(target)
        _note(step, arrays, report, values)
    where = getattr(source, "source", None)
    if shapes:
        raise FormatError(f"{len(shapes)} tensors have the wrong shape", where=where, details=shapes)
    if values:
        fix = "use another --dtype, or --allow-nonfinite if you know why"
        raise CheckError(f"{len(values)} tensors cannot be converted", where=where, fix=fix, details=values)
    return Applied({name: weights[name] for name in sorted(weights)}, report)


def _forward(step: Step, arrays: list[mx.array], problems: list[str]) -> dict[str, mx.array]:
    """The arrays of one step in our layout; none, and a line in `problems`, where a shape does not fit the rule."""
    rule = step.rule
    shapes = [a.shape for a in arrays]
    problem = ""
    if rule.kind == "fold" and rule.combine is not None:
        problem = rule.combine.check(shapes)
        made = [] if problem else [rule.combine.join(arrays)]
    elif rule.kind == "split" and rule.combine is not None:
        problem = rule.combine.cut_check(shapes[0], len(step.targets))
        made = [] if problem else rule.combine.cut(arrays[0], len(step.targets))
    else:
        made = arrays if rule.kind == "rename" else []
    for layout in rule.layouts:
        problem = problem or next((p for a in made if (p := layout.problem(a.shape))), "")
        made = [] if problem else [layout.to_mlx(a) for a in made]
    if problem:
        problems.append(f"{', '.join(step.sources)} {' and '.join(str(list(s)) for s in shapes)}: {problem}")
    return dict(zip(step.targets if made else (), made, strict=True))


def _note(step: Step, arrays: list[mx.array], report: Report, values: list[str]) -> None:
    if step.rule.kind == "drop":
        report.dropped[step.sources[0]] = step.rule.why
        if (wanted := step.rule.equals) is not None and not mx.all(arrays[0] == wanted).item():
            values.append(f"{step.sources[0]} is not {wanted:g} everywhere, so it cannot be left out")
    elif step.rule.kind == "fold":
        report.folded[step.targets[0]] = step.sources
    elif step.rule.kind == "tie":
        one, other = arrays
        report.tied[step.sources[0]] = step.sources[1]
        if one.dtype != other.dtype or not mx.array_equal(one, other, equal_nan=True).item():
            values.append(f"{step.sources[0]} should equal {step.sources[1]} and does not")


def invert(weight_map: WeightMap, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Our weights back as the reference's state_dict: the way that `apply` reads, run backwards.

    Of an `either` its first rule that fits is used; a fold is undone into one of the ways that give the same result;
    dropped tensors do not come back, tied ones do where the tie names them without signs.
    Raises: FormatError that lists weights which no rule, or more than one, can have written.
    """
    problems: list[str] = []
    found: dict[tuple[int, Captures], dict[int, str]] = defaultdict(dict)
    rules = weight_map.rules
    written = ((n, rule) for n, rule in enumerate(rules) if rule.kind != "tie")
    index = Index(((n, place), p) for n, rule in written for place, p in enumerate(rule.targets))
    for name in sorted(weights):
        hits, groups = [], set()
        for hit in index.find(name):
            group = rules[hit[0]].group
            if not group or group not in groups:
                hits.append(hit)
            groups.add(group)
        if len(hits) == 1:
            number, place, captures = hits[0]
            found[number, captures][place] = name
        else:
            writers = " and ".join(str(rules[n]) for n, _, _ in hits) or "no rule"
            problems.append(f"{name} is written by {writers}")
    state: dict[str, mx.array] = {}
    for (number, captures), places in found.items():
        rule = rules[number]
        missing = [p.fill(captures) for place, p in enumerate(rule.targets) if place not in places]
        if missing:
            problems.append(f"{rule.targets[min(places)].fill(captures)} is there without {', '.join(missing)}")
            continue
        arrays = [weights[places[place]] for place in range(len(rule.targets))]
        names = [pattern.fill(captures) for pattern in rule.sources]
        state.update(zip(names, _backward(rule, arrays), strict=True))
    if problems:
        raise FormatError("the weights cannot be put back into the checkpoint's names", details=problems)
    for rule in weight_map.rules:
        if rule.kind == "tie" and not rule.optional and not rule.sources[0].signs and rule.targets[0].text in state:
            state[rule.sources[0].text] = state[rule.targets[0].text]
    return state


def _backward(rule: Rule, arrays: list[mx.array]) -> list[mx.array]:
    for layout in reversed(rule.layouts):
        arrays = [layout.to_torch(a) for a in arrays]
    if rule.combine is None:
        return arrays
    if rule.kind == "split":
        return [rule.combine.join(arrays)]
    return rule.combine.cut(arrays[0], len(rule.sources))
