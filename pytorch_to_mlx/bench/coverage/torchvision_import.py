"""timm imports torchvision, whose Linux wheels hold operators for CUDA alone: its import asks for these names."""

import sys
from importlib import import_module
from importlib.util import find_spec

import torch

OPERATORS = ("nms", "qnms")
_LIBRARIES: list[torch.library.Library] = []  # torch forgets a library that nobody holds


def import_torchvision() -> None:
    """Import torchvision, if it is there."""
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _LIBRARIES.append(library := torch.library.Library("torchvision", "DEF"))
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")


import_torchvision()
