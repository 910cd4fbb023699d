"""The suites: which cases there are, and how one of them is measured."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_LIBRARIES: list[Any] = []  # torch forgets a library that nobody holds

IMPORTS = ("torch", "pytorch_to_mlx.codegen.conversion", "pytorch_to_mlx.codegen.generate")
_TRANSFORMERS = ("transformers", "transformers.exporters.exporter_dynamo", "transformers.modeling_utils")
IMPORTS_OF = {"huggingface": ("torch._dynamo", "torch.export", *_TRANSFORMERS)}
"""What takes seconds to import: once in the process that the cases' processes are forked from."""


def preload(suite: str) -> None:
    """Import what every case of a suite needs."""
    for module in (*IMPORTS, *IMPORTS_OF.get(suite, ())):
        import_module(module)
    import torch

    torch.set_num_threads(1)
    if suite != "ops":
        _torchvision()
    if suite == "timm":
        import_module("timm")


def _torchvision() -> None:
    """timm imports torchvision, whose Linux wheels hold operators for CUDA alone: its import asks for these names."""
    import torch

    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _LIBRARIES.append(library := torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")


def names(suite: str) -> list[str]:
    """Every case of a suite, by a rule that nobody can bend: none is left out because it fails."""
    if suite == "ops":
        from .op_samples import entries, entry_name

        return [entry_name(entry) for entry in entries()]
    if suite == "huggingface":
        from .huggingface import model_types

        return model_types()
    if suite == "timm":
        from .timm_models import families

        return families()
    from .packages import MODULES

    return sorted(MODULES)


def measure(suite: str, name: str, limit: int | None = None) -> dict[str, Any]:
    """One case. limit: at most so many samples of an op."""
    if suite == "ops":
        from .op_samples import entries, entry_name
        from .op_samples import measure as measure_entry

        entry = next(entry for entry in entries() if entry_name(entry) == name)
        return measure_entry(entry, limit).as_dict()
    return _module(suite)(name).as_dict()


def _module(suite: str) -> Callable[[str], Any]:
    if suite == "huggingface":
        from .huggingface import measure_type

        return measure_type
    if suite == "timm":
        from .timm_models import measure_family

        return measure_family
    from .packages import measure_package

    return measure_package
