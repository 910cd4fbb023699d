"""`transcribe`: every option reaches the pipeline under its own name, and impossible combinations are refused."""

import inspect
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pytorch_to_mlx import checkpoint
from pytorch_to_mlx.audio import live, wav
from pytorch_to_mlx.checkpoint import Located
from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.models.whisper import commands, pipeline
from pytorch_to_mlx.models.whisper.stream import StreamUpdate
from pytorch_to_mlx.tasks import Segment, Transcript, Word

TRANSCRIPT = Transcript(" Hello.", "en", (Segment(" Hello.", 0.0, 1.0),))
OWN = {
    "audio", "model", "output_dir", "output_format", "max_line_width", "max_line_count", "max_words_per_line",
    "highlight_words", "stream", "step", "raw", "sample_rate", "microphone", "device",
}  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """The options of every call of a pipeline that transcribes anything as "Hello."."""
    calls = []

    class Pipeline:
        def segments(self, audio, **options):
            calls.append(options)
            return SimpleNamespace(duration_s=1.0, language="en", finish=lambda: TRANSCRIPT)

        def listen(self, blocks, **options):
            calls.append({**options, "n_samples": sum(map(len, blocks))})
            yield StreamUpdate((Word(" Hello.", 0.5, 1.0, 0.9),), " Then", 2.0, 0.1, 1.1, "en")
            yield StreamUpdate((), "", 2.0, 0.1, None, "en")

    monkeypatch.setattr(pipeline, "load", lambda path, **options: Pipeline())
    monkeypatch.setattr(checkpoint, "locate", lambda source, *_, **options: Located(Path("x"), "x"))
    return calls


def test_every_option_reaches_the_pipeline(calls):
    parameters = inspect.signature(commands.transcribe).parameters
    values = {name: object() for name in parameters.keys() - OWN}
    commands.transcribe(["a.wav"], **values)
    assert calls == [values] and len(values) == 23


def test_lists_and_numbers_become_tuples():
    options = pipeline.transcribe_options(temperature=[0.0, 0.4], clip_timestamps=3, suppress_tokens=[-1, 7])
    assert options.temperature == (0.0, 0.4) and options.clip_timestamps == (3.0,)
    assert options.decoding.suppress_tokens == (-1, 7)
    assert pipeline.transcribe_options(temperature=None).temperature == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    with pytest.raises(UsageError, match="unknown option 'beams'"):
        pipeline.transcribe_options(beams=3)


def test_files_are_written_and_named(calls, tmp_path):
    report = commands.transcribe(["a/one.wav", "two.flac"], output_dir=tmp_path, output_format="srt")
    assert report.lines() == (str(tmp_path / "one.srt"), str(tmp_path / "two.srt"))
    assert "Hello." in (tmp_path / "one.srt").read_text()
    assert [entry["audio"] for entry in report.to_dict()] == ["a/one.wav", "two.flac"]


def test_a_stream_gets_its_options_and_prints_what_is_final(calls, tmp_path):
    path = wav.write(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    first, last = commands.transcribe([str(path)], stream=True, step=2.0, language="de", vad_filter=True)
    assert calls == [
        {"task": "transcribe", "language": "de", "beam_size": None, "initial_prompt": None, "step_s": 2.0,
         "condition_on_previous_text": True, "vad_filter": True, "n_samples": 16000}
    ]  # fmt: skip
    assert first.lines() == ("[    0.50 s, after 1.1 s] Hello.",) and last.lines() == ()
    assert first.to_dict()["words"] == [{"word": " Hello.", "start": 0.5, "end": 1.0}]
    assert last.to_dict()["latency_s"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give audio files"),
        ({"raw": True}, "give audio files"),
        ({"audio": ["a.wav"], "max_line_width": 20}, "subtitle layout needs word timestamps"),
        ({"audio": ["a.wav"], "output_dir": Path("nowhere")}, "is not a folder"),
        ({"stream": True}, "exactly one input"),
        ({"stream": True, "audio": ["a.wav", "b.wav"]}, "exactly one input"),
        ({"stream": True, "audio": ["a.wav"], "raw": True}, "exactly one input"),
        ({"stream": True, "raw": True, "microphone": True}, "exactly one input"),
    ],
)
def test_wrong_use(calls, options, message):
    with pytest.raises(UsageError, match=message):
        list(commands.transcribe(**options))
    assert not calls


def test_the_microphone_ends_with_ctrl_c(calls, monkeypatch):
    def microphone(rate, *, device):
        assert (rate, device) == (16000, 3)
        yield np.zeros(100, np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr(live, "from_microphone", microphone)
    monkeypatch.setattr(live, "prefetch", lambda blocks: blocks)
    assert len(list(commands.transcribe(stream=True, microphone=True, device="3"))) == 2
    assert calls[0]["n_samples"] == 100
