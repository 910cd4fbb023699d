"""The suites: which cases there are, and how one of them is measured."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

_LIBRARIES: list[Any] = []  # torch forgets a library that nobody holds


def preload(suite: str) -> None:
    """Import what every case of a suite needs, before its process is forked."""
    import torch

    from .. import conversion, generate  # noqa: F401

    torch.set_num_threads(1)
    if suite != "ops":
        _torchvision()
    if suite == "huggingface":
        import torch._dynamo
        import torch.export
        import transformers
        import transformers.exporters.exporter_dynamo
        import transformers.modeling_utils  # noqa: F401
    elif suite == "timm":
        import timm  # noqa: F401


def _torchvision() -> None:
    """timm imports torchvision, whose wheels have no CPU operators: without these two names its import fails."""
    import torch

    if find_spec("torchvision") is None or hasattr(torch.ops.torchvision, "nms"):
        return
    _LIBRARIES.append(library := torch.library.Library("torchvision", "DEF"))
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


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
