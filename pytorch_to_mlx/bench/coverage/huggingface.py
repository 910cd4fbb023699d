"""Hugging Face: the development half of the model types, each reduced, converted and compared at two sizes."""

import contextlib
import copy
import inspect
import time
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...codegen.capture.patches import quiet
from ...codegen.sources.example_inputs import FAILURES, parts
from ...codegen.sources.transformers_model import SIZES, find_inputs, prepare_inputs
from .development_half import development_half
from .modules import ModuleResult, measure_module, not_built, randomize
from .reduce import add_missing_field, reduce_config

LONGEST_SEARCH_S = 60  # of CPU time, for a reduced config; after that the smallest one that worked is taken
MOST_PARAMETERS = 150_000_000
MOST_ON_CPU = 10_000_000
"""Parameters of a model that is tried on the CPU; larger ones are tried on the meta device, which reads no values."""


def model_types() -> list[str]:
    """Return the development half of the types of MODEL_MAPPING."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return development_half(MODEL_MAPPING_NAMES)


def measure_type(name: str) -> ModuleResult:
    """Measure how far a reduced model of one type comes."""
    result = ModuleResult(name)
    torch.manual_seed(0)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model, config, shapes = build(name)
            first = ((), prepare_inputs(model, shapes, config, 0))
            others = other_cases(model, config, shapes)
        except FAILURES as error:
            result.reason = not_built(error)
            return result
        return measure_module(result, model, first, others)


def build(name: str) -> tuple[nn.Module, Any, dict[str, tuple]]:
    """Return a reduced model of a type with random weights, its config, and the shapes of inputs that it accepts.

    Raises: ValueError if the smallest config that works has more than MOST_PARAMETERS.
    """
    model_class, config = class_and_config(name)
    shapes: dict[str, tuple] = {}
    end = time.process_time() + LONGEST_SEARCH_S

    def works(candidate: Any) -> bool:
        if time.process_time() > end:
            return False
        try:
            return runs(candidate)
        except FAILURES as error:
            return add_missing_field(candidate, error) and works(candidate)

    def runs(candidate: Any) -> bool:
        nonlocal shapes
        model, device = new_meta_model(candidate), "meta"
        if _n_parameters(model) <= MOST_ON_CPU:
            model, device = new_model(candidate), "cpu"
        with torch.no_grad():
            shapes = find_inputs(model, candidate, shapes, device)
        return True

    def new_model(config: Any) -> nn.Module:
        return model_class._from_config(copy.deepcopy(config)).eval()

    def new_meta_model(config: Any) -> nn.Module:
        with torch.device("meta"):
            return new_model(config)

    reduced = reduce_config(config, works)
    for part in parts(reduced):
        if hasattr(part, "use_cache"):
            part.use_cache = False
    count = _n_parameters(new_meta_model(reduced))
    if count > MOST_PARAMETERS:
        raise ValueError(f"the smallest config that works still has {count} parameters")
    torch.manual_seed(0)
    model = new_model(reduced)
    randomize(model)
    with torch.no_grad():
        return model, reduced, find_inputs(model, reduced, shapes, "cpu")


def class_and_config(name: str) -> tuple[Any, Any]:
    """Return the model class of a type, and the config it takes: for some types one inside the config of the type."""
    from transformers import MODEL_MAPPING, AutoConfig

    config = AutoConfig.for_model(name)
    classes = MODEL_MAPPING[type(config)]
    model_class = classes[0] if isinstance(classes, tuple) else classes
    config_class = inspect.signature(model_class.__init__).parameters["config"].annotation
    fitting = (part for part in parts(config) if isinstance(config_class, type) and isinstance(part, config_class))
    return model_class, next(fitting, config)


def other_cases(model: nn.Module, config: Any, shapes: Mapping[str, tuple]) -> list[tuple[tuple, dict[str, Any]]]:
    """Return inputs of other sizes that the original accepts: batch and length or image, then each alone."""
    cases = []
    for batch, rest in ((True, True), (True, False), (False, True)):
        larger = {name: (kind, _larger(shape, name, batch, rest, shapes)) for name, (kind, shape) in shapes.items()}
        if larger == dict(shapes):
            continue
        inputs = prepare_inputs(model, larger, config, 1)
        with contextlib.suppress(*FAILURES), torch.no_grad():
            model(**copy.deepcopy(inputs))
            cases.append(((), inputs))
    return cases


def _n_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _larger(shape: tuple, name: str, batch: bool, rest: bool, shapes: Mapping[str, tuple]) -> tuple:
    """Return the shape of one input at the second of SIZES. batch, rest: which axes grow. shapes: of all inputs."""
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
        elif any(word in name for word in ("feature", "audio_mel")) and sizes[axis] % (8 * length) == 0:  # frames
            sizes[axis] += 8 * length
        elif name == "input_values" and axis == len(sizes) - 1:
            sizes[axis] += 1600
    return tuple(sizes)
