"""Hugging Face: every model type of MODEL_MAPPING, made tiny, converted and compared at two sizes."""

import contextlib
import copy
import hashlib
import inspect
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ...codegen.capture.patches import quiet
from ...codegen.sources.example_inputs import FAILURES, parts
from ...codegen.sources.transformers_model import SIZES, find_inputs, prepare_inputs
from .modules import ModuleResult, measure_module, randomize
from .reduce import add_missing_field, reduce_config

LONGEST_SEARCH_S = 60  # of CPU time, for a tiny config; what was found by then is taken
MOST_PARAMETERS = 150_000_000
SMALL = 10_000_000  # models up to this are tried on the CPU, larger ones on the meta device, which reads no values


def chosen(names: Iterator[str] | list[str]) -> list[str]:
    """The names whose sha256 begins with an even hexadecimal digit."""
    return sorted(n for n in names if int(hashlib.sha256(n.encode()).hexdigest()[0], 16) % 2 == 0)


def model_types() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return chosen(list(MODEL_MAPPING_NAMES))


def measure_type(name: str) -> ModuleResult:
    """One model type through the whole path."""
    result = ModuleResult(name)
    torch.manual_seed(0)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model, config, shapes = build(name)
            first = ((), prepare_inputs(model, shapes, config, 0))
            others = second_cases(model, config, shapes)
        except FAILURES as error:
            result.reason = f"not built: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return result
        return measure_module(result, model, first, others)


def build(name: str) -> tuple[nn.Module, Any, dict[str, tuple]]:
    """A tiny model of a type with random weights, its config, and the shapes of inputs that it accepts."""
    kind, config = kind_and_config(name)
    found: dict[str, tuple] = {}

    end = time.process_time() + LONGEST_SEARCH_S

    def works(candidate: Any) -> bool:
        if time.process_time() > end:
            return False
        try:
            return tried(candidate)
        except FAILURES as error:
            return add_missing_field(candidate, error) and works(candidate)

    def tried(candidate: Any) -> bool:
        nonlocal found
        with torch.device("meta"):
            model = kind._from_config(copy.deepcopy(candidate)).eval()
        device = "meta"
        if sum(p.numel() for p in model.parameters()) <= SMALL:
            model, device = kind._from_config(copy.deepcopy(candidate)).eval(), "cpu"
        with torch.no_grad():
            found = find_inputs(model, candidate, found, device)
        return True

    small = reduce_config(config, works)
    for part in parts(small):
        if hasattr(part, "use_cache"):
            part.use_cache = False
    with torch.device("meta"):
        count = sum(p.numel() for p in kind._from_config(copy.deepcopy(small)).parameters())
    if count > MOST_PARAMETERS:
        raise ValueError(f"the smallest config that works still has {count} parameters")
    torch.manual_seed(0)
    model = kind._from_config(copy.deepcopy(small)).eval()
    randomize(model)
    with torch.no_grad():
        return model, small, find_inputs(model, small, found, "cpu")


def kind_and_config(name: str) -> tuple[Any, Any]:
    """The model class of a type, and the config it is made with: for some types it is one inside that of the type."""
    from transformers import MODEL_MAPPING, AutoConfig

    config = AutoConfig.for_model(name)
    kinds = MODEL_MAPPING[type(config)]
    kind = kinds[0] if isinstance(kinds, tuple) else kinds
    wanted = inspect.signature(kind.__init__).parameters["config"].annotation
    fitting = (part for part in parts(config) if isinstance(wanted, type) and isinstance(part, wanted))
    return kind, next(fitting, config)


def second_cases(model: nn.Module, config: Any, shapes: Mapping[str, tuple]) -> list[tuple[tuple, dict[str, Any]]]:
    """Inputs of other sizes that the original accepts: batch and length or image, then each alone."""
    found = []
    for batch, rest in ((True, True), (True, False), (False, True)):
        larger = {name: (kind, _grown(shape, name, batch, rest, shapes)) for name, (kind, shape) in shapes.items()}
        if larger == dict(shapes):
            continue
        inputs = prepare_inputs(model, larger, config, 1)
        with contextlib.suppress(*FAILURES), torch.no_grad():
            model(**copy.deepcopy(inputs))
            found.append(((), inputs))
    return found


def _grown(shape: tuple, name: str, batch: bool, rest: bool, shapes: Mapping[str, tuple]) -> tuple:
    (count, length, _), (count2, length2, _) = SIZES
    sizes = list(shape)
    if batch and shape[0] % count == 0:
        sizes[0] = shape[0] * count2 // count
    if "grid_thw" in shapes:  # more images, and so more patches
        return (shape[0] * count2 // count, *shape[1:])
    for axis in range(1, len(sizes) if rest else 0):
        if sizes[axis] == length:
            sizes[axis] = length2
        elif "pixel" in name and axis >= len(sizes) - 2:
            sizes[axis] += sizes[axis] // 2
        elif name == "input_values" and axis == len(sizes) - 1:
            sizes[axis] += 1600
    return tuple(sizes)
