"""Cheap mistakes in `kokoro synthesize` are found before the weights, which take seconds, are read.

What is right is the order: the reader of weights is replaced by one that fails, and is never reached.
"""

from pathlib import Path

import pytest

from pytorch_to_mlx import checkpoint
from pytorch_to_mlx.checkpoint import Located
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.kokoro import commands, pipeline


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """A model's folder (with the shipped voices), whose weights must not be read."""

    def read(*_, **__):
        raise AssertionError("the weights were read")

    monkeypatch.setattr(pipeline, "load_model", read)
    monkeypatch.setattr(checkpoint, "locate", lambda source, *_, **__: Located(tmp_path / "model", str(source)))
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"text": ""}, UsageError, "no text to speak"),
        ({"text": " \n\t"}, UsageError, "no text to speak"),
        ({"text": "...\n— 😀"}, UsageError, "only punctuation"),
        ({"text": "\ud800"}, FormatError, "not Unicode"),
        ({"text": None, "phonemes": " "}, UsageError, "no phonemes"),
        ({"speed": 0}, UsageError, "not 0"),
        ({"speed": float("nan")}, UsageError, "not nan"),
        ({"seed": -1}, UsageError, "not -1"),
        ({"what": "hello again"}, UsageError, "the text is given twice"),
        ({"subtitles": Path("a.txt")}, UsageError, "subtitles are .srt or .vtt"),
        ({"subtitles": Path("none/a.srt")}, UsageError, "its folder does not exist"),
        ({"phonemes_out": Path("model")}, UsageError, "it is a folder"),
        ({"output": Path("none/a.wav")}, UsageError, "its folder does not exist"),
        ({"output": Path("model")}, UsageError, "it is a folder"),
        ({"voice": "af_hart"}, UsageError, "did you mean af_heart"),
        ({"voice": "af_heart:2+am_nobody:1"}, UsageError, "no voice 'am_nobody'"),
        ({"voice": "af_heart:x"}, UsageError, "not a number"),
        ({"lang_code": "xx"}, UsageError, "unknown language 'xx'"),
    ],
)
def test_a_cheap_mistake(no_weights, options, error, message):
    with pytest.raises(error, match=message):
        commands.synthesize(options.pop("what", None), **{"text": "hello", "model": "x", **options})
    assert [path.name for path in Path().iterdir()] == ["model"]


def test_the_weights_come_last(no_weights):
    with pytest.raises(AssertionError, match="the weights were read"):
        commands.synthesize(text="hello", model="x")
