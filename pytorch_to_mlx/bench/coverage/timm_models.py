"""timm: one model, small and shallow, of every chosen module family, converted and compared at two sizes."""

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
from .huggingface import chosen
from .modules import Case, ModuleResult, measure_module, randomize

LIGHT = (
    "atto",
    "femto",
    "pico",
    "nano",
    "tiny",
    "xxs",
    "xs",
    "_050",
    "_035",
    "mini",
    "18",
    "26",
    "small",
    "_s",
    "b0",
    "_t",
)
MOST_TRIED = 12
IMAGE = 128
BLOCKS = 3
"""At most so many equal blocks in a stage: one before a change, one at it, one after."""


def families() -> list[str]:
    """timm's model modules whose sha256 begins with an even hexadecimal digit."""
    import timm

    return chosen([name for name in timm.list_modules() if timm.list_models(module=name)])


def smallest(family: str) -> str:
    """The model of a family with the fewest parameters, among those whose names promise to be light."""
    import timm

    names = timm.list_models(module=family)
    ranked = sorted(names, key=lambda name: (not any(word in name for word in LIGHT), len(name), name))
    counts: dict[str, int] = {}
    for name in ranked[:MOST_TRIED]:
        with contextlib.suppress(*FAILURES), torch.device("meta"):
            counts[name] = sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters())
    return min(counts, key=counts.__getitem__) if counts else ranked[0]


def measure_family(family: str) -> ModuleResult:
    """One module family through the whole path."""
    result = ModuleResult(family)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result.model = smallest(family)
            model, (first, *others) = build(result.model)
        except FAILURES as error:
            result.reason = f"not built: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return result
        return measure_module(result, model, first, others)


def build(name: str) -> tuple[nn.Module, list[Case]]:
    """A model with random weights, as shallow as its class lets it be built and run, and inputs for it."""
    import timm

    few = shallow(name)
    for settings in (few, {word: value for word, value in few.items() if word != "img_size"}, {}):
        torch.manual_seed(0)
        with contextlib.suppress(*FAILURES):
            model = timm.create_model(name, pretrained=False, num_classes=10, **settings).eval()
            randomize(model)
            if cases := _cases(model, settings.get("img_size", model.default_cfg["input_size"][-1])):
                return model, cases
    raise RuntimeError(f"{name} takes no image")


def shallow(name: str) -> dict[str, Any]:
    """Fewer blocks in every stage and small images, in the words of the model's own class."""
    import timm

    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
        with arguments_of(type(model)) as given:
            timm.create_model(name, pretrained=False)
    settings: dict[str, Any] = {}
    for word, value in given.items():
        if isinstance(value, int) and word in ("depth", "layers"):
            settings[word] = min(value, BLOCKS)
        elif word in ("depths", "layers", "serial_depths") and all(isinstance(part, int) for part in value):
            settings[word] = type(value)(min(part, BLOCKS) for part in value)
    if given.get("img_size"):
        settings["img_size"] = IMAGE
    return settings


@contextlib.contextmanager
def arguments_of(kind: type) -> Iterator[dict[str, Any]]:
    """What the next instance of a class is made with, by parameter name, defaults included."""
    original, given = kind.__init__, {}

    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(original).bind(self, *args, **kwargs)
        bound.apply_defaults()
        given.update(bound.arguments)
        original(self, *args, **kwargs)

    kind.__init__ = noted
    try:
        yield given
    finally:
        kind.__init__ = original


def _cases(model: nn.Module, size: int) -> list[Case]:
    """Images that the original accepts: two that are small and not square, or else as it wants them; then threes.

    The last are of the first size: for models that take images of that size alone.
    """
    generator = torch.Generator().manual_seed(0)

    def accepted(*shapes: tuple[int, ...]) -> Iterator[Case]:
        for shape in shapes:
            image = torch.randn(shape, generator=generator)
            with contextlib.suppress(*FAILURES), torch.no_grad():
                copy.deepcopy(model)(image)
                yield (image,), {}

    first = next(accepted((2, 3, IMAGE + 32, IMAGE + 64), (2, 3, size, size)), None)
    if first is None:
        return []
    others = ((IMAGE + 64, IMAGE + 32), (IMAGE + 96, IMAGE + 128), (size, size), first[0][0].shape[2:])
    return [first, *accepted(*((3, 3, *sides) for sides in others))]
