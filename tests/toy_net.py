"""A made-up family, not in the package, and a way to install it for a test. Its PyTorch original: toy_torch.py."""

import importlib
import sys
from pathlib import Path

FILES = {
    "__init__.py": "",
    "card.py": """
from pytorch_to_mlx.card import ModelCard, Published, Tap
CARD = ModelCard(
    name="toy-net", task="text-to-speech", summary="A toy", model_types=("toy-net", "toy-old"),
    checkpoints=(Published("org/toy-net", "MIT"),), taps=(Tap("y"),),
    fingerprint=(("up.bias", "lin.{}.weight"), ("up.conv.weight", "layers.{}.weight")),
)
CARDS = (CARD,)
""",
    "config.py": """
from dataclasses import dataclass
from pytorch_to_mlx.config import from_dict
IGNORED, EXPECTED = frozenset({"lr"}), {"act": "tanh"}
@dataclass(frozen=True)
class Config:
    hidden_size: int
    vocab_size: int
    num_hidden_layers: int = 2
    @classmethod
    def from_dict(cls, data):
        return from_dict(cls, data, ignored=IGNORED, expected=EXPECTED)
""",
    "model.py": """
import mlx.core as mx
import mlx.nn as nn
class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.embed = nn.Embedding(config.vocab_size, d)
        self.up = nn.Conv1d(d, d, 3, padding=1)
        self.layers = [nn.Linear(d, d) for _ in range(config.num_hidden_layers)]
        self.rnn = nn.LSTM(d, d)
        self.head = nn.Linear(d, 3)
        self._scale = mx.array(2.0)
    def __call__(self, ids):
        x = self.up(self.embed(ids))
        for layer in self.layers:
            x = mx.tanh(layer(x))
        return self.head(self.rnn(x)[0]) * self._scale
""",
    "weights.py": """
from pytorch_to_mlx.weights import CONV1D, LSTM_BIAS, WeightMap, drop, fold, rename, tie, weight_norm
WEIGHTS = WeightMap(
    rename("embed.weight", "embed.weight"),
    weight_norm("up", "up", CONV1D),
    rename("lin.{}.*", "layers.{}.*"),
    rename("rnn.weight_ih_l0", "rnn.Wx"),
    rename("rnn.weight_hh_l0", "rnn.Wh"),
    fold(("rnn.bias_ih_l0", "rnn.bias_hh_l0"), "rnn.bias", LSTM_BIAS),
    rename("head.*", "head.*"),
    tie("embed_copy.weight", to="embed.weight"),
    drop("steps", why="counts training steps"),
    keep_float32=("head.*",),
)
def extra_files(path, config):
    folder = path if path.is_dir() else path.parent
    voices = folder / "voices.txt"
    return {"voices/list.txt": voices.read_bytes()} if voices.exists() else {}
""",
    "family.py": """
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.contract import Family
from . import weights
from .card import CARD
from .config import EXPECTED, IGNORED, Config
from .model import Model
def load(path, *, dequantize=None):
    return path
def extra_files(path, config):
    return weights.extra_files(path, config)
def reference():
    raise NotImplementedError
FAMILIES = (Family(CARD, Config, Model, weights.WEIGHTS, vars(weights).get("open_release", open_checkpoint), load,
                   reference, IGNORED, EXPECTED, extra_files=extra_files),)
""",
}
# The same family as a release of two files, which only its own reader can put together.
OPEN_RELEASE = """
from pytorch_to_mlx.checkpoint import Checkpoint, open_checkpoint, read_config
from pytorch_to_mlx.errors import FormatError
def open_release(path):
    if not (path / "part_a.pt").exists():
        raise FormatError("no part_a.pt", where=path)
    parts = [open_checkpoint(path / f"part_{x}.pt") for x in "ab"]
    entries = {k: v for p in parts for k, v in p.entries.items()}
    files = [f for p in parts for f in p.files]
    return Checkpoint(str(path), "torch", entries, folder=path, config=read_config(path), files=files)
"""
CONFIG = {"hidden_size": 32, "vocab_size": 50, "act": "tanh", "lr": 0.1, "novelty": 1}


def install(models: Path) -> None:
    """Make `models` the folder in which the registry finds families. For a test's own process, or with monkeypatch."""
    from pytorch_to_mlx import registry

    package = importlib.import_module("pytorch_to_mlx.models")
    package.__path__ = [*package.__path__, str(models)]
    registry.MODELS = models
    registry.names.cache_clear()


def write_family(models: Path, *, open_release: bool = False) -> Path:
    folder = models / "toy_net"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text + (OPEN_RELEASE if open_release and name == "weights.py" else ""))
    return folder


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith("pytorch_to_mlx.models.toy_net")]:
        del sys.modules[name]
