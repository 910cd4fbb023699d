"""How fast generated source is: beside PyTorch and, where this project has one, beside the hand-written port."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import torch

from ...backend import describe, patch_mlx, unpatch_mlx
from ...bench.measure import alternate
from ..conversion import convert_module, load_generated
from ..sources import ModuleSource
from ..tensors import to_mlx
from .cost import bert, vit

RUNS = 5


@dataclass(frozen=True)
class Part:
    """A module at the size of the real model with random weights, its inputs, and the port's call if there is one."""

    module: torch.nn.Module
    args: tuple[torch.Tensor, ...] = ()
    kwargs: dict[str, torch.Tensor] = field(default_factory=dict)
    port: Callable[[], Any] | None = None


def whisper_encoder() -> Part:
    from whisper.model import AudioEncoder as Original

    from ...models.whisper.config import Config
    from ...models.whisper.model import AudioEncoder

    mel = torch.randn(1, 80, 3000)
    ours, frames = AudioEncoder(Config()), mx.array(mel.mT.numpy())
    return Part(Original(80, 1500, 512, 8, 6), (mel,), port=lambda: ours(frames))


def whisper_decoder() -> Part:
    from whisper.model import TextDecoder as Original

    from ...models.whisper.config import Config
    from ...models.whisper.model import TextDecoder

    tokens, audio = torch.randint(0, 50000, (1, 24)), torch.randn(1, 1500, 512)
    original = Original(51865, 448, 512, 8, 6)
    torch.nn.init.normal_(original.positional_embedding, std=0.02)
    ours, ids, frames = TextDecoder(Config()), mx.array(tokens.numpy()), mx.array(audio.numpy())
    return Part(original, (tokens, audio), port=lambda: ours(ids, ours.start(frames))[0])


def kokoro_plbert() -> Part:
    from kokoro.modules import CustomAlbert
    from transformers import AlbertConfig

    from ...models.kokoro.config import PlBertConfig
    from ...models.kokoro.plbert import PlBert

    sizes = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2048, "max_position_embeddings": 512}
    ids = torch.randint(1, 178, (1, 120))
    ours, phonemes = PlBert(PlBertConfig(), 178), mx.array(ids.numpy())
    original = CustomAlbert(AlbertConfig(vocab_size=178, num_hidden_layers=12, **sizes))
    return Part(original, (), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, lambda: ours(phonemes))


def kokoro_style_block() -> Part:
    from kokoro.istftnet import AdainResBlk1d

    from ...models.kokoro.blocks import StyleBlock

    x, style = torch.randn(1, 1090, 400), torch.randn(1, 128)
    ours, steps, voice = StyleBlock(1090, 1024, 128), mx.array(x.mT.numpy()), mx.array(style.numpy())
    return Part(AdainResBlk1d(1090, 1024, style_dim=128), (x, style), port=lambda: ours(steps, voice))


def kokoro_snake_block() -> Part:
    from kokoro.istftnet import AdaINResBlock1

    from ...models.kokoro.blocks import SnakeBlock

    x, style = torch.randn(1, 128, 3000), torch.randn(1, 128)
    ours, steps, voice = SnakeBlock(128, 7, (1, 3, 5), 128), mx.array(x.mT.numpy()), mx.array(style.numpy())
    return Part(AdaINResBlock1(128, 7, (1, 3, 5), 128), (x, style), port=lambda: ours(steps, voice))


PARTS: dict[str, Callable[[], Part]] = {
    "Whisper base encoder (30 s)": whisper_encoder,
    "Whisper base decoder (24 tokens)": whisper_decoder,
    "Kokoro PL-BERT (120 phonemes)": kokoro_plbert,
    "Kokoro AdainResBlk1d (400 steps)": kokoro_style_block,
    "Kokoro AdaINResBlock1 (3000 steps)": kokoro_snake_block,
    "BERT base (2 x 9 tokens)": lambda: Part(bert()[0], (), bert()[1]),
    "ViT-B/16 (2 images)": lambda: Part(vit()[0], (), vit()[1]),
}


def measure_runtime(name: str) -> dict[str, Any]:
    """Median milliseconds of a call, the sides taking turns: PyTorch, the generated source on the fast BLAS, the same
    with the kernels under MLX's functions (`patch_mlx`), and the port."""
    torch.set_num_threads(describe(measure=False).threads)
    torch.manual_seed(0)
    part = PARTS[name]()
    module = part.module.eval()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        done = convert_module(ModuleSource(module, part.args, part.kwargs), Path(folder) / "mlx")
        model = load_generated(Path(folder) / "mlx")
    args = [to_mlx(x) for x in part.args]
    kwargs = {key: to_mlx(x) for key, x in part.kwargs.items()}

    def original() -> Any:
        with torch.inference_mode():
            return module(*part.args, **part.kwargs)

    def patched() -> Any:
        patch_mlx()
        try:
            result = model(*args, **kwargs)
            mx.eval(result)
        finally:
            unpatch_mlx()
        return result

    sides = {"torch": original, "generated": lambda: model(*args, **kwargs), "patched": patched}
    if part.port:
        sides["port"] = part.port
    times = alternate(sides, runs=RUNS)
    return {
        "name": name,
        "ok": done.ok,
        "reason": "" if done.ok else next(one["why"] for one in [*done.outputs, *done.submodules] if not one["ok"]),
        "convert_cpu_s": time.process_time() - start,
        "milliseconds": {side: 1000 * timing.wall_s for side, timing in times.items()},
    }
