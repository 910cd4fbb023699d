"""The suites: which cases each has, and how one of them is measured."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

IMPORTS = ("torch", "networkx", "pytorch_to_mlx.codegen.convert_module", "pytorch_to_mlx.codegen.emit.generate")
_TRANSFORMERS = ("transformers", "transformers.exporters.exporter_dynamo", "transformers.modeling_utils")
_VISION_AND_AUDIO = tuple(f"pytorch_to_mlx.bench.coverage.{name}_import" for name in ("torchvision", "torchaudio"))
IMPORTS_OF = {
    "huggingface": (*_VISION_AND_AUDIO, "torch._dynamo", "torch.export", *_TRANSFORMERS),
    "timm": _VISION_AND_AUDIO,
    "cost": (*_VISION_AND_AUDIO, *_TRANSFORMERS),
    "runtime": (*_VISION_AND_AUDIO, *_TRANSFORMERS),
    "packages": _VISION_AND_AUDIO,
    "wild": _VISION_AND_AUDIO,
}
"""Modules that take seconds to import: imported once, in the process that the cases' processes are forked from."""


def preload(suite: str) -> None:
    """Import what every case of a suite needs, and compute on one thread."""
    for module in (*IMPORTS, *IMPORTS_OF.get(suite, ())):
        import_module(module)
    import torch

    torch.set_num_threads(1)
    if suite == "timm":
        import_module("timm")


def names(suite: str) -> list[str]:
    """Return the names of all cases of a suite. None is left out because it fails."""
    if suite == "ops":
        from .op_samples import entries, entry_name

        return [entry_name(entry) for entry in entries()]
    if suite == "huggingface":
        from .huggingface import model_types

        return model_types()
    if suite == "timm":
        from .timm_models import families

        return families()
    if suite == "cost":
        from .cost import MODELS

        return sorted(MODELS)
    if suite == "runtime":
        from .runtime import parts

        return sorted(parts())
    if suite == "wild":
        from .wild import repositories

        return sorted(repositories())
    from .packages import MODULES

    return sorted(MODULES)


def measure(suite: str, name: str, limit: int | None = None) -> dict[str, Any]:
    """Measure one case and return its result. limit: the most samples of an op."""
    if suite == "ops":
        from .op_samples import entries, entry_name
        from .op_samples import measure as measure_entry

        entry = next(entry for entry in entries() if entry_name(entry) == name)
        return measure_entry(entry, limit).as_dict()
    if suite == "cost":
        from .cost import measure_cost

        return measure_cost(name)
    if suite == "runtime":
        from .runtime import measure_runtime

        return measure_runtime(name)
    return _module(suite)(name).as_dict()


def _module(suite: str) -> Callable[[str], Any]:
    if suite == "huggingface":
        from .huggingface import measure_type

        return measure_type
    if suite == "timm":
        from .timm_models import measure_family

        return measure_family
    if suite == "wild":
        from .wild import measure_repository

        return measure_repository
    from .packages import measure_package

    return measure_package
