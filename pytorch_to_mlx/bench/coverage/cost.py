"""Measure what a conversion costs: models of about 100M parameters through all of `convert`, the proof included."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...codegen.convert_module import convert_module
from ...codegen.reports.conversion import Conversion
from ...codegen.sources.module_source import ModuleSource

Built = tuple[torch.nn.Module, dict[str, torch.Tensor]]
"""A module and its kwargs."""


def bert() -> Built:
    """Build BERT base with random weights, and a batch of 2 texts of 9 tokens."""
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig()), {"input_ids": torch.randint(3, 30000, (2, 9))}


def vit() -> Built:
    """Build ViT-B/16 with random weights, and a batch of 2 images."""
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig()), {"pixel_values": torch.randn(2, 3, 224, 224)}


MODELS: dict[str, Callable[[], Built]] = {"BERT base": bert, "ViT-B/16": vit}


def measure_cost(name: str) -> dict[str, Any]:
    """Return the CPU and wall seconds of one conversion, and the size of the weights; `run` adds the peak memory."""
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        conversion = convert_module(ModuleSource(model.eval(), (), inputs), Path(folder) / "mlx")
    return {
        "name": name,
        "ok": conversion.ok,
        "reason": first_difference(conversion),
        "parameters": conversion.parameters,
        "weights_mib": sum(p.nbytes for p in model.parameters()) / 2**20,
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
    }


def first_difference(conversion: Conversion) -> str:
    """Return why the first output or submodule that differs does so; "" if all agree."""
    checks = [*conversion.outputs, *conversion.submodules]
    return next((check["why"] for check in checks if not check["ok"]), "")
