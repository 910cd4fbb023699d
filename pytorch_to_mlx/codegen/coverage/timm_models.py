"""timm: one model, the smallest, of every chosen module family, converted and compared at two sizes."""

import contextlib
import copy
import warnings
from typing import Any

import torch
from torch import nn

from ..capture import quiet
from .huggingface import chosen
from .modules import ModuleResult, measure_module, randomize
from .op_samples import FAILURES

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
    import timm

    result = ModuleResult(family)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            name = smallest(family)
            result.model = name
            torch.manual_seed(0)
            model = timm.create_model(name, pretrained=False, num_classes=10).eval()
            randomize(model)
            first, *others = _cases(model, model.default_cfg.get("input_size", (3, 224, 224)))
        except FAILURES as error:
            result.reason = f"not built: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return result
        return measure_module(result, model, first, others)


def _cases(model: nn.Module, size: tuple[int, int, int]) -> list[tuple[tuple, dict[str, Any]]]:
    """A batch of two; then a batch of three, larger where the original accepts that."""
    channels, height, width = size
    generator = torch.Generator().manual_seed(0)
    cases: list[tuple[tuple, dict[str, Any]]] = [((torch.randn(2, channels, height, width, generator=generator),), {})]
    for grow in (64, 0):
        image = torch.randn(3, channels, height + grow, width + grow, generator=generator)
        with contextlib.suppress(*FAILURES), torch.no_grad():
            copy.deepcopy(model)(image)
            cases.append(((image,), {}))
    return cases
