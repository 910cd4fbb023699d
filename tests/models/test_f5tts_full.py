"""F5-TTS, E2-TTS and Vocos at full size with seeded random weights against the originals, PyTorch's float64 as arbiter.

Needs the packages f5-tts 1.1.22 and vocos 0.1.0 (pip install --no-deps, with torchdiffeq, x-transformers, einx,
frozendict). Two seconds of audio, so that float64 ends today, and ten once; the networks' sizes are the published ones.
"""

import gc
from importlib.util import find_spec

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.f5tts_release import save, tiny_e2
from parity import assert_close

from pytorch_to_mlx.audio.torch_random import TorchRandom
from pytorch_to_mlx.models.f5tts.card import CARD
from pytorch_to_mlx.models.f5tts.config import VARIANTS, Config
from pytorch_to_mlx.models.f5tts.model import Item, Model
from pytorch_to_mlx.models.f5tts.reference import Reference, build_network, torch_sample
from pytorch_to_mlx.models.f5tts.weights import WEIGHTS
from pytorch_to_mlx.models.vocos.config import Config as VocosConfig
from pytorch_to_mlx.models.vocos.model import Model as Vocos
from pytorch_to_mlx.models.vocos.reference import build_vocos
from pytorch_to_mlx.models.vocos.weights import WEIGHTS as VOCOS_WEIGHTS
from pytorch_to_mlx.taps import watch_taps
from pytorch_to_mlx.validate.run import run
from pytorch_to_mlx.weights import apply, load_into

pytestmark = pytest.mark.full
FRAMES, N_REFERENCE, N_TOKENS = 188, 94, 40
E2 = VARIANTS["v0"] | {"backbone": "UNetT", "text_hidden_size": 100, "num_text_layers": 0}
NETWORKS = {
    "F5TTS_v1_Base": Config(),
    "F5TTS_Base": Config(**VARIANTS["v0"]),
    "E2TTS_Base": Config(**E2, num_hidden_layers=24, intermediate_size=4096),
}
STEPS = (4, 7, 8, 16, 32)


def needs(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")


def seeded(module: torch.nn.Module) -> torch.nn.Module:
    """Random weights everywhere, also where the original begins with zeros."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.ndim > 1 and p.shape[:2] != (1, 1):
                p.copy_(torch.randn(p.shape, generator=generator) / np.prod(p.shape[1:]) ** 0.5)
            else:
                p.copy_(
                    (0.1 * torch.randn(p.shape, generator=generator)) + name.endswith(("norm.weight", ".g", "gamma"))
                )
    return module.eval().requires_grad_(False)


def state_of(module: torch.nn.Module) -> dict[str, mx.array]:
    return {name: mx.array(value.numpy()) for name, value in module.state_dict().items()}


def our_taps(model: Model, cond: np.ndarray, ids: list[int], frames: int, steps: int) -> dict[str, np.ndarray]:
    taps: dict[str, np.ndarray] = {}
    with watch_taps(lambda name, value: taps.__setitem__(name, np.array(value))):
        model.sample(mx.array(cond), ids, frames, steps=steps)
    return taps


def inputs(config: Config, n_reference: int, n_tokens: int) -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(0)
    cond = (random.standard_normal((n_reference, 100)) - 3).astype(np.float32)
    return cond, random.integers(0, config.vocab_size, n_tokens).tolist()


@pytest.mark.parametrize(
    ("name", "times", "counts"),
    [*((name, 1, STEPS) for name in NETWORKS), ("F5TTS_v1_Base", 5, (4,))],
    ids=[*NETWORKS, "F5TTS_v1_Base, 10 s"],
)
def test_every_step(name, times, counts):
    """Text embeddings, velocities and the mel after every step, at 4, 7 (pruned), 8, 16 and 32 steps."""
    needs("f5_tts")
    config, frames = NETWORKS[name], FRAMES * times
    original = seeded(build_network(config))
    model = load_into(Model(config), apply(WEIGHTS, state_of(original)).weights)
    cond, ids = inputs(config, N_REFERENCE * times, N_TOKENS * times)
    options = {"guidance": 2.0, "sway": -1.0, "method": "euler"}
    ours = {steps: our_taps(model, cond, ids, frames, steps) for steps in counts}
    del model
    gc.collect()
    sides = []
    for dtype in (torch.float32, torch.float64):
        original = original.to(dtype)
        sides.append({n: torch_sample(original, cond, ids, frames, {**options, "steps": n}, dtype) for n in counts})
    for steps in counts:
        narrow, wide = sides[0][steps], sides[1][steps]
        names = [tap for tap in ours[steps] if tap in wide]
        assert len(names) == steps + 4
        for tap in names:
            result = assert_close(ours[steps][tap], narrow[tap], wide[tap], name=f"{steps} steps: {tap}")
        print(f"{name} {steps} steps: mel {result.relative:.2e}, PyTorch's float32 {result.torch_relative:.2e}")


@pytest.mark.parametrize("name", ["F5TTS_v1_Base", "F5TTS_Base"])
def test_batch_is_each_alone(name):
    """Two texts of different lengths, after recordings of different lengths."""
    config = NETWORKS[name]
    mx.random.seed(0)
    model = Model(config)
    cond, ids = inputs(config, N_REFERENCE, N_TOKENS)
    items = [Item(mx.array(cond), ids, FRAMES, seed=1), Item(mx.array(cond[:70]), ids[:25], 150, seed=2)]
    together = model.sample_batch(items, steps=4)
    for item, mel in zip(items, together, strict=True):
        [alone] = model.sample_batch([item], steps=4)
        error = float(mx.abs(mel - alone).max() / mx.abs(alone).max())
        print(f"{name}, batch of two, {item.frames} frames: {error:.2e}")
        assert error <= 2e-6


def test_vocos():
    needs("vocos")
    original = seeded(build_vocos(VocosConfig()))
    model = load_into(Vocos(VocosConfig()), apply(VOCOS_WEIGHTS, state_of(original)).weights)
    mel = (np.random.default_rng(0).standard_normal((1, 469, 100)) - 3).astype(np.float32)
    ours = model(mx.array(mel))
    assert ours.shape == (1, 468 * 256)
    sides = [original.to(dtype).decode(torch.from_numpy(mel).to(dtype).transpose(1, 2)).numpy()
             for dtype in (torch.float32, torch.float64)]  # fmt: skip
    result = assert_close(ours, *sides)
    print(f"Vocos: {result.relative:.2e}, PyTorch's float32 {result.torch_relative:.2e}")


def test_noise_is_torch_s():
    """937 frames: not a multiple of 16 numbers."""
    torch.manual_seed(5)
    np.testing.assert_allclose(TorchRandom(5).randn(937, 100), torch.randn(937, 100).numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("folder", ["F5TTS_v1_Base", "F5TTS_Base", "E2TTS_Base"])
def test_validate(folder, tmp_path):
    """The verb's own cases, on a tiny release: three ways to guide and to step, each tap against float64."""
    needs("f5_tts")
    source = save(tmp_path / folder, "released", tiny_e2() if folder.startswith("E2") else Config.tiny())
    report = run(Reference.open(source), CARD.taps, family="f5-tts", source=folder)
    assert report.passed


def test_workloads(tmp_path):
    """Both sides of `benchmark` run."""
    needs("f5_tts")
    workloads = Reference.open(save(tmp_path / "F5TTS_v1_Base", "released", Config.tiny())).workloads()
    assert list(workloads) == [f"sample-{steps}-steps" for steps in (4, 7, 8, 32)]
    for work in workloads.values():
        assert work.ours().shape == (937, 100) and work.torch()[0].shape == (1, 937, 100)
