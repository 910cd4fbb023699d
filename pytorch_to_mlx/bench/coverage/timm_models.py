"""timm: the development half of the module families, a small shallow model of each, converted and compared."""

import contextlib
import copy
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ...codegen.capture.patches import quiet
from ...codegen.sources.example_inputs import FAILURES
from .development_half import development_half
from .modules import Case, ModuleResult, measure_module, not_built, randomize

LIGHT = (
    "atto", "femto", "pico", "nano", "tiny", "xxs", "xs", "_050", "_035", "mini", "18", "26", "small", "_s", "b0", "_t",
)  # fmt: skip
"""What the names of small models contain."""
MOST_COUNTED = 12
"""Models of a family whose parameters are counted."""
IMAGE = 128
BLOCKS = 3
"""The most equal blocks in a stage: one before a change, one at it, one after."""


def families() -> list[str]:
    """Return the development half of timm's modules that have models."""
    import timm

    return development_half(name for name in timm.list_modules() if timm.list_models(module=name))


def smallest(family: str) -> str:
    """Return the model of a family with the fewest parameters, among those whose names promise to be light."""
    import timm

    names = timm.list_models(module=family)
    ranked = sorted(names, key=lambda name: (not any(word in name for word in LIGHT), len(name), name))
    counts: dict[str, int] = {}
    for name in ranked[:MOST_COUNTED]:
        with contextlib.suppress(*FAILURES), torch.device("meta"):
            counts[name] = sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters())
    return min(counts, key=counts.__getitem__) if counts else ranked[0]


def measure_family(family: str) -> ModuleResult:
    """Measure how far the smallest model of one family comes."""
    result = ModuleResult(family)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result.model = smallest(family)
            model, (first, *others) = build(result.model)
        except FAILURES as error:
            result.reason = not_built(error)
            return result
        return measure_module(result, model, first, others)


def build(name: str) -> tuple[nn.Module, list[Case]]:
    """Return a model with random weights, as shallow as its class lets it be built and run, and inputs for it.

    Raises: RuntimeError if it takes no image.
    """
    import timm

    few = shallow_settings(name)
    for settings in (few, {word: value for word, value in few.items() if word != "img_size"}, {}):
        torch.manual_seed(0)
        with contextlib.suppress(*FAILURES):
            model = timm.create_model(name, pretrained=False, num_classes=10, **settings).eval()
            randomize(model)
            if cases := image_cases(model, settings.get("img_size", model.default_cfg["input_size"][-1])):
                return model, cases
    raise RuntimeError(f"{name} takes no image")


def shallow_settings(name: str) -> dict[str, Any]:
    """Return fewer blocks for every stage and a small image, as keyword arguments of the model's own class."""
    import timm

    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
        with record_arguments(type(model)) as arguments:
            timm.create_model(name, pretrained=False)
    settings: dict[str, Any] = {}
    for word, value in arguments.items():
        if word in ("depth", "layers") and isinstance(value, int):
            settings[word] = min(value, BLOCKS)
        elif word in ("depths", "layers", "serial_depths") and all(isinstance(count, int) for count in value):
            settings[word] = type(value)(min(count, BLOCKS) for count in value)
    if arguments.get("img_size"):
        settings["img_size"] = IMAGE
    return settings


@contextlib.contextmanager
def record_arguments(kind: type) -> Iterator[dict[str, Any]]:
    """Record the arguments of the next instance of a class, by parameter name, defaults included."""
    original: Any = kind.__init__
    arguments: dict[str, Any] = {}

    def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(original).bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments.update(bound.arguments)
        original(self, *args, **kwargs)

    kind.__init__ = recorded
    try:
        yield arguments
    finally:
        kind.__init__ = original


def image_cases(model: nn.Module, size: int) -> list[Case]:
    """Return batches of images that the original accepts: the first of two, the others of three.

    The first is small and not square, or else as the model wants it. The last has the size of the first, for models
    that take images of that size alone.
    """
    generator = torch.Generator().manual_seed(0)

    def try_shapes(*shapes: tuple[int, ...]) -> Iterator[Case]:
        for shape in shapes:
            image = torch.randn(shape, generator=generator)
            with contextlib.suppress(*FAILURES), torch.no_grad():
                copy.deepcopy(model)(image)
                yield (image,), {}

    first = next(try_shapes((2, 3, IMAGE + 32, IMAGE + 64), (2, 3, size, size)), None)
    if first is None:
        return []
    others = ((IMAGE + 64, IMAGE + 32), (IMAGE + 96, IMAGE + 128), (size, size), first[0][0].shape[2:])
    return [first, *try_shapes(*((3, 3, *sides) for sides in others))]
