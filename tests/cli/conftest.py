"""A toy family whose folder brings its commands, and the command line in this process."""

import importlib
import sys

import pytest

from pytorch_to_mlx import registry

TOY = {
    "__init__.py": "",
    "card.py": """
from pytorch_to_mlx.card import ModelCard, Published, Tap
CARD = ModelCard(
    name="toy-voice", task="text-to-speech", summary="A toy.", checkpoints=(Published("org/toy", "MIT"),),
    fingerprint=(("toy.{}.weight",),), taps=(Tap("audio"),), model_types=("toy",),
    verbs={"synthesize": "commands:synthesize", "fail": "commands:fail", "pieces": "commands:pieces"},
)
CARDS = (CARD,)
""",
    "commands.py": '''
from collections.abc import Iterator
from pathlib import Path
from pytorch_to_mlx.errors import UnsafeError
from pytorch_to_mlx.progress import note, track


def synthesize(text: str, *, voice: str = "one", speed: float = 1.0, output: Path = Path("out.wav"),
               lang_code: str | None = None, loud: bool = True, words: tuple[str, ...] = ()) -> dict:
    """Speak [text].

    Args:
        loud: shout

    Example: pytorch-to-mlx toy-voice synthesize --text hi
    """
    note("speaking")
    list(track(range(3), "pieces"))
    return {"text": text, "voice": voice, "speed": speed, "output": output, "lang_code": lang_code, "loud": loud,
            "words": list(words), "score": float("nan")}


def fail(kind: str, /) -> None:
    """Fail.

    Example: pytorch-to-mlx toy-voice fail bug
    """
    if kind == "bug":
        raise KeyError("not\\x1b[31m there")
    if kind == "disk":
        raise OSError(28, "No space left on device")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "memory":
        raise MemoryError
    raise UnsafeError("os.system is not on the allow-list", where="evil.pt", details=["posix.system", "\\x1b[2J"])


def pieces(*, count: int = 3) -> Iterator[dict]:
    """Give pieces.

    Example: pytorch-to-mlx toy-voice pieces
    """
    yield from ({"piece": number} for number in range(count))
''',
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A model folder `toy_voice` that exists only for this test."""
    folder = tmp_path / "models" / "toy_voice"
    folder.mkdir(parents=True)
    for name, text in TOY.items():
        (folder / name).write_text(text)
    models = importlib.import_module("pytorch_to_mlx.models")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder.parent)])
    monkeypatch.setattr(registry, "MODELS", folder.parent)
    registry.names.cache_clear()
    yield folder
    registry.names.cache_clear()
    for name in [name for name in sys.modules if name.startswith("pytorch_to_mlx.models.toy_voice")]:
        del sys.modules[name]


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run in this process: (exit code, stdout, stderr)."""
    import signal

    from pytorch_to_mlx.cli import main

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["pytorch-to-mlx", *arguments])
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    signal.signal(signal.SIGTERM, before)
