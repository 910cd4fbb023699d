"""What a conversion costs: models of about 100M parameters through `convert` whole, with the proof; time and memory."""

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


def bert() -> Built:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig()), {"input_ids": torch.randint(3, 30000, (2, 9))}


def vit() -> Built:
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig()), {"pixel_values": torch.randn(2, 3, 224, 224)}


MODELS: dict[str, Callable[[], Built]] = {"BERT base": bert, "ViT-B/16": vit}


def measure_cost(name: str) -> dict[str, Any]:
    """Seconds of CPU and of the clock, and the size of the weights; the peak of memory is the process's own."""
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        done = convert_module(ModuleSource(model.eval(), (), inputs), Path(folder) / "mlx")
    return {
        "name": name,
        "ok": done.ok,
        "reason": first_difference(done),
        "parameters": done.parameters,
        "weights_mib": sum(p.nbytes for p in model.parameters()) / 2**20,
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
    }


def first_difference(done: Conversion) -> str:
    """Why the first output or submodule that differs does so; nothing if all agree."""
    return "" if done.ok else next(one["why"] for one in [*done.outputs, *done.submodules] if not one["ok"])
