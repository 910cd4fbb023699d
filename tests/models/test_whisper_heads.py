"""`whisper train-head` and `whisper head` from a manifest to answers, on a tiny model and made-up recordings."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import soundfile
from mlx.utils import tree_flatten

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.cli.output import plain
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.heads.file import load_head
from pytorch_to_mlx.heads.train import Trainer
from pytorch_to_mlx.models.whisper import head_commands, trunk
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.model import Model
from pytorch_to_mlx.weights import write_folder

SHORT = {"epochs": 2, "batch_s": 2.0, "save_every": 2}
PITCHES = {"low": 150.0, "high": 600.0}


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory):
    mx.random.seed(4)
    weights: dict[str, mx.array] = dict(tree_flatten(Model(Config.tiny()).parameters()))
    for name in ("encoder.conv1.weight", "encoder.conv2.weight"):
        weights[name] *= 4  # so that the layers tell more of the sound than of the positions
    return write_folder(tmp_path_factory.mktemp("whisper") / "tiny", config=Config.tiny().to_dict(), weights=weights)


def tone(hz, seconds, seed):
    time = np.arange(round(seconds * 16000)) / 16000
    noise = 0.01 * np.random.default_rng(seed).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * hz * time) + noise).astype(np.float32)


@pytest.fixture
def data(tmp_path):
    """Tones of two heights by six speakers; the label, the text, the phonemes and F0 follow from the height."""
    rows = []
    for number in range(36):
        name = "low" if number // 6 % 2 else "high"
        hz = PITCHES[name] * (1 + 0.02 * (number % 5))
        seconds = 0.2 + 0.02 * (number % 6)
        wav.write(tmp_path / f"{number}.wav", tone(hz, seconds, number), 16000)
        rows.append(
            {
                "audio": f"{number}.wav", "speaker": f"s{number % 6}", "labels": {"language": name, "singing": name},
                "text": f"{name} {'abcdef'[number // 6]}{'abcdef'[number % 6]}", "phonemes": list(name),
                "f0": [round(hz, 2)] * round(seconds * 50),
            }
        )  # fmt: skip
    path = tmp_path / "data.jsonl"

    def write(change=lambda rows: None):
        change(rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def train(whisper_folder, data, name="language", **options):
    output = options.pop("output", data.with_name(f"{name}.safetensors"))
    options = {**SHORT, **options}
    return head_commands.train_head(name, data=data, output=output, model=str(whisper_folder), **options)


def test_a_head_is_trained_measured_and_asked(whisper_folder, data, tmp_path):
    report = train(whisper_folder, data(), epochs=12, learning_rate=1e-2, augment=False, plot=tmp_path / "curves.svg")
    entry = json.loads(json.dumps(plain(report)))
    assert entry["problems"] == [] and entry["split"] == "speaker" and entry["shared"] == []
    assert sum(entry["clips"].values()) == 36 and entry["speakers"]["test"] == 1 and entry["layers"] == [1]
    assert entry["test"]["language"]["figures"]["macro_f1"][0] == 1.0 and entry["best"] >= 1
    assert any(line.startswith("test language macro_f1: 1.0000") for line in report.lines())
    assert (tmp_path / "curves.svg").read_text().count("<svg") == 1
    splits = [json.loads(line) for line in (tmp_path / "language.splits.jsonl").read_text().splitlines()]
    assert len(splits) == 36 and not (tmp_path / "language.safetensors.training").exists()

    new = wav.write(tmp_path / "new.wav", np.concatenate([tone(155, 0.4, 70), tone(620, 0.3, 71)]), 16000)
    asked = head_commands.head([str(new)], head=[report.path], model=str(whisper_folder))
    [entry] = asked.to_dict()
    assert [(a["value"], a["start_s"], a["end_s"]) for a in entry["answers"]] == [("low", 0, 0.4), ("high", 0.4, 0.7)]
    assert entry["duration_s"] == pytest.approx(0.7) and entry["answers"][0]["probability"] > 0.5
    lines = list(head_commands.head([str(new)], head=[report.path], model=str(whisper_folder)).lines())
    assert len(lines) == 2 and lines[0].startswith("[    0.00 –     0.40 s] language: low  (")


@pytest.mark.parametrize("name", ["ctc", "drafts", "phonemes", "pitch", "singing", "multi"])
def test_every_kind_of_head_answers(whisper_folder, data, tmp_path, name):
    report = train(whisper_folder, data(), name, epochs=1)
    recording = str(tmp_path / "0.wav")
    for beam_size in (1, 4):
        asked = head_commands.head([recording], head=[report.path], model=str(whisper_folder), beam_size=beam_size)
        answers = asked.to_dict()[0]["answers"]
        outputs = {answer["output"] for answer in answers}
        expected = {"ctc": {"text"}, "drafts": {"draft"}, "multi": {"text", "phonemes", "pitch", "singing", "language"}}
        assert outputs == expected.get(name, {name}) == set(report.report["test"])
    if name in ("pitch", "multi"):
        assert sum(answer["output"] == "pitch" for answer in answers) == 10  # 0.2 s


def test_a_second_head_computes_no_features_again(whisper_folder, data, monkeypatch):
    path = data()
    train(whisper_folder, path, epochs=1)
    index = next(Path(f"{path}.features").glob("*/index.jsonl"))
    before = index.read_text()
    monkeypatch.setattr(trunk, "layer_outputs", None)  # would fail if it were called
    train(whisper_folder, path, "singing", epochs=1)
    assert index.read_text() == before and len(before.splitlines()) == 36


def test_another_model_is_refused_by_name(whisper_folder, data, tmp_path):
    path = data()
    report = train(whisper_folder, path, epochs=1)
    mx.random.seed(5)
    weights: dict[str, mx.array] = dict(tree_flatten(Model(Config.tiny()).parameters()))
    other = write_folder(tmp_path / "other", config=Config.tiny().to_dict(), weights=weights)
    with pytest.raises(FormatError, match="trained on another model than 'other'"):
        head_commands.head([str(tmp_path / "0.wav")], head=[report.path], model=str(other))
    with pytest.raises(FormatError, match="made with another trunk"):
        train(other, path, "singing")


def test_bad_data_is_listed_and_the_rest_is_used(whisper_folder, data, tmp_path):
    def spoil(rows):
        wav.write(tmp_path / "long.wav", tone(200, 0.5, 0), 16000)
        wav.write(tmp_path / "short.wav", tone(200, 0.05, 0), 16000)
        wav.write(tmp_path / "slow.wav", tone(200, 0.5, 0), 4000)
        (tmp_path / "text.wav").write_text("not audio")
        soundfile.write(tmp_path / "nan.wav", np.array([np.nan] * 4000, np.float32), 16000, subtype="FLOAT")
        extra = ("long", "short", "slow", "text", "nan", "none")
        rows += [{"audio": f"{name}.wav", "text": "low", "speaker": "x"} for name in extra]
        rows[0]["text"] = None
        rows[1]["text"] = "low " * 40
        rows[2]["sample_rate"] = 44100
        for row in rows:
            row["split"] = "train" if row["speaker"] in ("s0", "s1", "s2", "x") else "dev"
        rows[5]["text"] = "low ж"

    report = train(whisper_folder, data(spoil), "ctc")
    expected = {
        "0.wav": "'text' missing", "1.wav": "needs", "2.wav": "recorded at 16000 Hz, the manifest says 44100",
        "5.wav": "no label for 'ж'", "long.wav": "s", "short.wav": "at least 0.1 s", "slow.wav": "at least 8000",
        "text.wav": "", "nan.wav": "NaN", "none.wav": "there is no file",
    }  # fmt: skip
    problems = "\n".join(report.problems)
    assert len(report.problems) == len(expected), problems
    for name, message in expected.items():
        [problem] = [problem for problem in report.problems if name in problem]
        assert problem.startswith("line ") and message in problem, problem
    assert sum(report.report["clips"].values()) == 32 and report.report["test"] == {}
    assert any(line.startswith("left out: 10 clips") for line in report.lines())


def test_a_killed_run_goes_on_by_the_same_command(whisper_folder, data, monkeypatch):
    path = data()
    expected = train(whisper_folder, path, "ctc", output=path.with_name("whole.safetensors"), epochs=3)
    step, left = Trainer._step, [4]

    def failing(self, *args):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(Trainer, "_step", failing)
    with pytest.raises(KeyboardInterrupt):
        train(whisper_folder, path, "ctc", epochs=3)
    assert list(path.with_name("ctc.safetensors.training").iterdir())
    with pytest.raises(UsageError, match="begun with another seed"):
        train(whisper_folder, path, "ctc", epochs=3, seed=1, output=path.with_name("ctc.safetensors"))
    report = train(whisper_folder, path, "ctc", epochs=3)
    assert report.path.read_bytes() == expected.path.read_bytes()


def test_a_file_is_replaced_only_by_force(whisper_folder, data):
    path = data()
    train(whisper_folder, path, epochs=1)
    with pytest.raises(UsageError, match="the file exists"):
        train(whisper_folder, path, epochs=1)
    assert train(whisper_folder, path, epochs=1, seed=3, force=True).report["options"]["seed"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "speakers"}, "no head is called 'speakers'"),
        ({"epochs": 0}, "epochs must be between"),
        ({"pieces": 1}, "pieces must be between"),
        ({"output": Path("head.bin")}, "name a .safetensors file"),
        ({"plot": Path("curves.docx")}, "not the ending of a picture"),
        ({"seed": -1}, "seed must be between"),
    ],
    ids=str,
)
def test_wrong_options(whisper_folder, data, options, message):
    with pytest.raises(UsageError, match=message):
        train(whisper_folder, data(), **options)


def test_wrong_data(whisper_folder, data, tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        train(whisper_folder, tmp_path / "none.jsonl")
    with pytest.raises(FormatError, match="no clip of the training part has what the head learns") as raised:
        train(whisper_folder, data(), "emotion")
    assert raised.value.details == ("'labels: emotion' is missing in every line",)


def test_files_that_are_not_heads(whisper_folder, data, tmp_path):
    report = train(whisper_folder, data(), epochs=1)
    with pytest.raises(FormatError, match="not a trained head"):
        load_head(whisper_folder / "model.safetensors")
    with open_checkpoint(report.path) as checkpoint:
        header = dict(checkpoint.extra)
        weights = {name: checkpoint[name] for name in checkpoint}
    harms = {
        "fit the model": ({**weights, "extra": mx.zeros(1)}, header),
        "NaN": ({**weights, "norm_in.weight": mx.full((32,), float("nan"))}, header),
        "1 problem": (weights, {**header, "config": header["config"].replace('"hidden_size": 64', '"hidden_size": 0')}),
        "layers, blocks": (weights, {**header, "config": header["config"].replace('blocks": 0', 'blocks": 900')}),
        "JSON": (weights, {**header, "report": ""}),
    }  # fmt: skip
    for message, (arrays, metadata) in harms.items():
        mx.save_safetensors(str(tmp_path / "harm.safetensors"), arrays, metadata)
        with pytest.raises((FormatError, CheckError), match=message):
            load_head(tmp_path / "harm.safetensors")
    with pytest.raises(UsageError, match="beam_size is 0"):
        head_commands.head([str(tmp_path / "0.wav")], head=[report.path], model=str(whisper_folder), beam_size=0)
