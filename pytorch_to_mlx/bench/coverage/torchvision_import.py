"""Import torchvision, which timm needs, where its Linux wheel needs CUDA: the operators that it names are declared."""

import sys
from importlib import import_module
from importlib.util import find_spec

import torch

OPERATORS = ("nms", "qnms")
_LIBRARIES: list[torch.library.Library] = []  # a library that nobody refers to is unregistered


def import_torchvision() -> None:
    """Import torchvision, if it is installed."""
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
