"""Find the smallest config that still works: all rules together, else as many of them as the model survives."""

import copy
from collections.abc import Callable
from typing import Any

from ....codegen.sources.example_inputs import parts
from .fields import set_field
from .linked_fields import update_image_fields, update_linked_fields, use_smallest_scale
from .open_fields import fill_open_fields, make_layers_equal
from .rules import DEEPER, GROUPS, WIDER, Group, changes, rule_groups


def reduce_config(config: Any, works: Callable[[Any], bool]) -> Any:
    """Return a config that is as small as the rules make it and for which `works` is true.

    All groups together usually work; else with the fields that the config leaves open filled in, or with equal layers;
    else all groups but one; else as many as work one after another.
    """
    sizes = (GROUPS, *(rule_groups(*widths) for widths in WIDER), *(rule_groups(layers=count) for count in DEEPER))
    variants = (
        config,
        fill_open_fields(config),
        make_layers_equal(config),
        fill_open_fields(make_layers_equal(config)),
    )
    starts = {repr(start): start for start in variants}
    for groups in sizes:
        for start in starts.values():
            if works(candidate := apply_rules(start, groups)):
                return candidate
    for groups in (GROUPS, rule_groups(*WIDER[-1])):
        for omitted in groups[1:]:
            if works(candidate := apply_rules(config, tuple(group for group in groups if group is not omitted))):
                return _reduce_further(candidate, works)
    best = apply_rules(config, GROUPS[:1])
    if not works(best):
        best = copy.deepcopy(config)
    return _reduce_further(best, works)


def _reduce_further(best: Any, works: Callable[[Any], bool]) -> Any:
    """Apply whatever else still works, group by group, and field by field where a whole group does not work."""
    for group in GROUPS:
        names = sorted(reducible_fields(best, group))
        if not names:
            continue
        whole = apply_rules(best, (group,))
        if works(whole):
            best = whole
            continue
        for name in names if len(names) > 1 else ():
            candidate = apply_rules(best, (group,), name)
            if works(candidate):
                best = candidate
    return best


def reducible_fields(config: Any, group: Group) -> set[str]:
    """Return the fields of a config, and of configs inside it, that a group would change."""
    return {name for part in parts(config) for name, _ in changes(part, group)}


def apply_rules(config: Any, groups: tuple[Group, ...], only: str | None = None) -> Any:
    """Return a copy with the rules of some groups applied and linked fields updated; `only`: to one field.

    A value that the config refuses is not set.
    """
    reduced = copy.deepcopy(config)
    for part in parts(reduced):
        if only is None:
            use_smallest_scale(part)
        before = {name: value for name, value in vars(part).items() if type(value) is int}
        for group in groups:
            for name, value in list(changes(part, group)):
                if only in (None, name):
                    set_field(part, name, value)
        update_linked_fields(part, before)
    for old, new in zip(parts(config), parts(reduced), strict=True):
        update_image_fields(old, new)
    return reduced
