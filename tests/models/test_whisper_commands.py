"""`transcribe`: every option reaches the pipeline under its own name, and impossible combinations are refused."""

import inspect
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pytorch_to_mlx import checkpoint
from pytorch_to_mlx.audio import live, wav
from pytorch_to_mlx.checkpoint import Located
from pytorch_to_mlx.cli.output import show
from pytorch_to_mlx.errors import FormatError, MachineError, UsageError
from pytorch_to_mlx.models.whisper import commands, pipeline
from pytorch_to_mlx.models.whisper.stream import StreamUpdate
from pytorch_to_mlx.progress import listening
from pytorch_to_mlx.tasks import Segment, Word

SEGMENT = Segment(" Hello.", 0.0, 1.0, words=(Word(" Hello.", 0.25, 0.75, 0.9),))
OWN = {
    "audio", "model", "output_dir", "output_format", "max_line_width", "max_line_count", "max_words_per_line",
    "highlight_words", "force", "stream", "step", "raw", "sample_rate", "microphone", "device", "verbose",
}  # fmt: skip


class Hello:
    """A transcription of one second of "Hello."."""

    duration_s, language, when_moved = 1.0, "en", None

    def __iter__(self):
        self.when_moved(1.0)
        yield SEGMENT


class Terminal:
    """A listener of somebody who watches."""

    on_terminal = True

    def __init__(self):
        self.notes, self.positions = [], []
        self.note = self.notes.append

    @contextmanager
    def measure(self, what, total_s):
        self.notes.append(f"{what}: {total_s} s")
        yield self.positions.append


@pytest.fixture
def calls(monkeypatch):
    """The options of every call of a pipeline that transcribes anything as "Hello."."""
    calls = []

    class Pipeline:
        def segments(self, audio, **options):
            calls.append(options)
            return Hello()

        def listen(self, blocks, **options):
            calls.append({**options, "n_samples": sum(map(len, blocks))})
            yield StreamUpdate((Word(" Hello.", 0.5, 1.0, 0.9),), " Then", 2.0, 0.1, 1.1, "en")
            yield StreamUpdate((), "", 2.0, 0.1, None, "en")

    monkeypatch.setattr(pipeline, "load", lambda path, **options: Pipeline())
    monkeypatch.setattr(checkpoint, "locate", lambda source, *_, **options: Located(Path("x"), "x"))
    return calls


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A working folder with a.wav, b.wav and more/a.wav; nothing reads them."""
    (tmp_path / "more").mkdir()
    for name in ("a.wav", "b.wav", "more/a.wav"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)


VALUES = {
    "task": "translate", "language": "de", "temperature": [0.1], "beam_size": 2, "best_of": 3, "patience": 1.5,
    "length_penalty": 0.5, "initial_prompt": "a", "carry_initial_prompt": True, "hotwords": "b",
    "condition_on_previous_text": False, "word_timestamps": True, "prepend_punctuations": "(",
    "append_punctuations": ")", "clip_timestamps": [1.0], "compression_ratio_threshold": 2.0, "logprob_threshold": -2.0,
    "no_speech_threshold": 0.5, "hallucination_silence_threshold": 2.0, "suppress_tokens": [7], "seed": 5,
}  # fmt: skip


def test_every_option_reaches_the_pipeline(calls, recordings):
    parameters = inspect.signature(commands.transcribe).parameters
    assert all(value != parameters[name].default for name, value in VALUES.items())
    assert parameters.keys() - OWN - VALUES.keys() == {"vad_filter", "batch_size"}
    list(commands.transcribe(["a.wav"], **VALUES).lines())
    list(commands.transcribe(["a.wav"], vad_filter=True, batch_size=4).lines())
    assert calls[0] == {**VALUES, "vad_filter": False, "batch_size": 1} and len(calls[0]) == 23
    assert (calls[1]["vad_filter"], calls[1]["batch_size"]) == (True, 4)


def test_lists_and_numbers_become_tuples():
    options = pipeline.transcribe_options(temperature=[0.0, 0.4], clip_timestamps=3, suppress_tokens=[-1, 7])
    assert options.temperature == (0.0, 0.4) and options.clip_timestamps == (3.0,)
    assert options.decoding.suppress_tokens == (-1, 7)
    assert pipeline.transcribe_options(temperature=None).temperature == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    with pytest.raises(UsageError, match="unknown option 'beams'"):
        pipeline.transcribe_options(beams=3)


def test_files_are_written_and_named_in_a_folder_that_is_made(calls, recordings):
    report = commands.transcribe(["more/a.wav", "b.wav"], output_dir=Path("new/out"), output_format="srt")
    assert list(report.lines()) == ["new/out/a.srt", "new/out/b.srt"] and report.check() is report
    assert "Hello." in Path("new/out/a.srt").read_text()
    assert [entry["audio"] for entry in report.to_dict()] == ["more/a.wav", "b.wav"] and len(calls) == 2


def test_two_recordings_of_one_name_are_refused_before_the_work(calls, recordings):
    """One would overwrite the other: an error that names both, also where only the case differs, as on a Mac."""
    Path("A.flac").write_bytes(b"")
    for other in ("more/a.wav", "A.flac", "a.wav"):
        with pytest.raises(UsageError, match=rf"'a.wav' and '{other}' would both be written to out/[aA].txt"):
            commands.transcribe(["a.wav", other], output_dir=Path("out"))
    assert not calls and not Path("out").exists()


def test_transcripts_that_are_there_stay_without_force(calls, recordings):
    Path("out").mkdir()
    Path("out/a.srt").write_text("another recording of this name")
    for output_format in ("srt", "all"):
        with pytest.raises(UsageError, match=r"out/a.srt: exists already; add --force"):
            commands.transcribe(["b.wav", "a.wav"], output_dir=Path("out"), output_format=output_format)
    assert Path("out/a.srt").read_text() == "another recording of this name" and not calls
    list(commands.transcribe(["a.wav"], output_dir=Path("out"), output_format="srt", force=True).lines())
    assert "Hello." in Path("out/a.srt").read_text()


def test_each_is_delivered_when_it_is_done_and_a_bad_one_is_reported(calls, recordings, monkeypatch, capsys):
    """The text of a.wav comes before b.wav is begun; the exit code is that of the failure."""
    done = []

    def segments(self, audio, **options):
        done.append(audio)
        if audio == "b.wav":
            raise FormatError("not audio", where="b.wav")
        return Hello()

    monkeypatch.setattr(type(pipeline.load(None)), "segments", segments)
    report = commands.transcribe(["a.wav", "b.wav", "more/a.wav"])
    lines = report.lines()
    assert [next(lines), next(lines)] == ["==> a.wav <==", "Hello."] and done == ["a.wav"]
    assert list(lines) == ["==> more/a.wav <==", "Hello."] and done == ["a.wav", "b.wav", "more/a.wav"]
    assert report.to_dict()[1] == {"audio": "b.wav", "error": "b.wav: not audio"}
    with pytest.raises(FormatError, match=r"1 of 3 recordings failed\n  b.wav: not audio"):
        report.check()
    with pytest.raises(FormatError, match=r"^b.wav: not audio$"):
        list(commands.transcribe(["b.wav"]).lines())


def test_on_a_terminal_segments_are_shown_with_their_times(calls, recordings, monkeypatch):
    """As openai-whisper's `verbose` prints them: `[00:00.000 --> 00:01.000]`, before what comes after is decoded."""
    timed = "[00:00.000 --> 00:01.000] Hello."
    with listening(terminal := Terminal()):
        assert list(commands.transcribe(["a.wav"]).lines()) == ["Hello."], "the text is piped"
        assert terminal.notes == ["a.wav: 1.0 s of audio in en", "transcribing a.wav: 1.0 s"]
        assert terminal.positions == [1.0]
        list(commands.transcribe(["a.wav"], output_dir=Path("out")).lines())
        assert terminal.notes[-1] == timed
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert list(commands.transcribe(["a.wav"]).lines()) == [timed]
    assert list(commands.transcribe(["a.wav"]).lines()) == ["Hello."], "--quiet"
    assert list(commands.transcribe(["a.wav"], verbose=True).lines()) == [timed]


def test_times_of_words_are_printed(calls, recordings):
    lines = commands.transcribe(["a.wav"], word_timestamps=True).lines()
    assert list(lines) == ["Hello.", "  [00:00.250 --> 00:00.750] Hello."]
    update = StreamUpdate((Word(" Hello.", 0.5, 1.0, 0.9),), "", 2.0, 0.1, 1.1, "en")
    step = commands.StreamStep(update, words=True)
    assert step.lines() == ("[    0.50 s, after 1.1 s] Hello.", "  [00:00.500 --> 00:01.000] Hello.")


def test_a_stream_as_json_is_a_line_for_each_step(capsys):
    """JSON lines: what a program reads while it comes."""
    update = StreamUpdate((Word(" Hello.", 0.5, 1.0, 0.9),), " Then", 2.0, 0.1, 1.1, "en")
    show(iter([commands.StreamStep(update)] * 2), as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["committed"] for line in lines] == [" Hello.", " Hello."]


def test_a_stream_gets_its_options_and_prints_what_is_final(calls, tmp_path):
    path = wav.write(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    first, last = commands.transcribe([str(path)], stream=True, step=2.0, language="de", vad_filter=True)
    assert calls == [
        {"task": "transcribe", "language": "de", "beam_size": None, "initial_prompt": None, "step_s": 2.0,
         "condition_on_previous_text": True, "vad_filter": True, "n_samples": 16000, "patience": None,
         "length_penalty": None, "suppress_tokens": None, "compression_ratio_threshold": 2.4,
         "logprob_threshold": -1.0, "no_speech_threshold": 0.6}
    ]  # fmt: skip
    assert first.lines() == ("[    0.50 s, after 1.1 s] Hello.",) and last.lines() == ()
    assert first.to_dict()["words"] == [{"word": " Hello.", "start": 0.5, "end": 1.0}]
    assert last.to_dict()["latency_s"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give audio files"),
        ({"raw": True}, "--raw needs --stream"),
        ({"audio": ["a.wav"], "device": "3"}, "--device needs --stream"),
        ({"stream": True, "audio": ["a.wav"], "best_of": 3}, "--stream does not take --best-of"),
        ({"stream": True, "audio": ["a.wav"], "output_dir": Path("o")}, "--stream does not take --output-dir"),
        ({"stream": True, "audio": ["a.wav"], "temperature": [0.0]}, "--stream does not take --temperature"),
        ({"stream": True, "audio": ["a.wav"], "patience": 2.0}, "patience is 2.0"),
        ({"audio": ["a.wav"], "max_line_width": 20}, "subtitle layout needs word timestamps"),
        ({"audio": ["a.wav"], "output_dir": Path("b.wav")}, "is not a folder"),
        ({"audio": ["a.wav", "nothere.wav"]}, "nothere.wav: there is no such file"),
        ({"audio": ["no.wav", "nothere.wav"]}, "2 files do not exist\n  no.wav\n  nothere.wav"),
        ({"audio": ["more"]}, "more: is a folder"),
        ({"audio": ["-", "-"]}, "given more than once"),
        ({"audio": ["a.wav"], "language": "klingon"}, "klingon"),
        ({"audio": ["a.wav"], "batch_size": 0}, "batch_size is 0"),
        ({"audio": ["a.wav"], "batch_size": 2, "clip_timestamps": [3.0]}, "cannot be combined"),
        ({"stream": True, "audio": ["nothere.wav"]}, "there is no such file"),
        ({"stream": True, "audio": ["a.wav"], "step": 0.0}, "step_s is 0"),
        ({"stream": True}, "exactly one input"),
        ({"stream": True, "audio": ["a.wav", "b.wav"]}, "exactly one input"),
        ({"stream": True, "audio": ["a.wav"], "raw": True}, "exactly one input"),
        ({"stream": True, "raw": True, "microphone": True}, "exactly one input"),
    ],
)
def test_wrong_use_is_found_before_the_model_is_loaded(calls, recordings, monkeypatch, options, message):
    monkeypatch.setattr(pipeline, "load", lambda path: pytest.fail("the model was loaded"))
    with pytest.raises(UsageError, match=message):
        list(commands.transcribe(**options))
    assert not calls


def test_a_folder_that_cannot_be_written_to_is_found_first(calls, recordings):
    with pytest.raises(MachineError, match=r"/proc/out: cannot be made"):
        commands.transcribe(["a.wav"], output_dir=Path("/proc/out"))
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
