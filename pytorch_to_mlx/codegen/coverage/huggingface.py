"""Hugging Face: every model type of MODEL_MAPPING, made tiny, converted and compared at two sizes."""

import contextlib
import copy
import hashlib
import warnings
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

import torch
from torch import nn

from ..capture import quiet
from .inputs import candidates, realize
from .modules import ModuleResult, measure_module, randomize
from .op_samples import FAILURES
from .shrink import parts, shrink

MOST_TRIED = 40
SIZES = ((2, 7, 64), (3, 11, 96))  # batch, length, image side
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
            first = ((), realize(shapes, config, 0))
            others = second_cases(model, config, shapes)
        except FAILURES as error:
            result.reason = f"not built: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return result
        return measure_module(result, model, first, others)


def build(name: str) -> tuple[nn.Module, Any, dict[str, tuple]]:
    """A tiny model of a type with random weights, its config, and the shapes of inputs that it accepts."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(name)
    found: dict[str, tuple] = {}

    def works(candidate: Any) -> bool:
        nonlocal found
        try:
            with torch.device("meta"):
                model = AutoModel.from_config(copy.deepcopy(candidate)).eval()
            device = "meta"
            if sum(p.numel() for p in model.parameters()) <= SMALL:
                model, device = AutoModel.from_config(copy.deepcopy(candidate)).eval(), "cpu"
            with torch.no_grad():
                shapes = accepted(model, candidate, found, device)
        except FAILURES:
            return False
        found = shapes
        return True

    small = shrink(config, works)
    for part in parts(small):
        if hasattr(part, "use_cache"):
            part.use_cache = False
    with torch.device("meta"):
        count = sum(p.numel() for p in AutoModel.from_config(copy.deepcopy(small)).parameters())
    if count > MOST_PARAMETERS:
        raise ValueError(f"the smallest config that works still has {count} parameters")
    torch.manual_seed(0)
    model = AutoModel.from_config(copy.deepcopy(small)).eval()
    randomize(model)
    with torch.no_grad():
        return model, small, accepted(model, small, found, "cpu")


def accepted(model: nn.Module, config: Any, first: Mapping[str, tuple], device: str) -> dict[str, tuple]:
    """The first set of inputs on which the model runs."""
    error: BaseException | None = None
    for shapes in islice(chain([first] if first else [], candidates(model, config, *SIZES[0])), MOST_TRIED):
        inputs = realize(shapes, config, 0, device)
        if device == "meta":
            inputs.pop("attention_mask", None)  # its values are asked for
        try:
            model(**inputs)
        except FAILURES as one:
            error = error or one
            continue
        return dict(shapes)
    raise error or ValueError("forward takes no input that is known here")


def second_cases(model: nn.Module, config: Any, shapes: Mapping[str, tuple]) -> list[tuple[tuple, dict[str, Any]]]:
    """Inputs of other sizes that the original accepts: batch and length or image, then each alone."""
    found = []
    for batch, rest in ((True, True), (True, False), (False, True)):
        larger = {name: (kind, _grown(shape, name, batch, rest)) for name, (kind, shape) in shapes.items()}
        if larger == dict(shapes):
            continue
        inputs = realize(larger, config, 1)
        with contextlib.suppress(*FAILURES), torch.no_grad():
            model(**copy.deepcopy(inputs))
            found.append(((), inputs))
    return found


def _grown(shape: tuple, name: str, batch: bool, rest: bool) -> tuple:
    (count, length, _), (count2, length2, _) = SIZES
    sizes = list(shape)
    if batch and shape[0] == count:
        sizes[0] = count2
    for axis in range(1, len(sizes) if rest else 0):
        if sizes[axis] == length:
            sizes[axis] = length2
        elif "pixel" in name and axis >= len(sizes) - 2:
            sizes[axis] += sizes[axis] // 2
        elif name == "input_values" and axis == len(sizes) - 1:
            sizes[axis] += 1600
    return tuple(sizes)
