"""Wake words against openWakeWord and onnxruntime: a small release through the real weight map, tap by tap."""

import json
import sys
import types
from dataclasses import replace

import mlx.core as mx
import numpy as np
import onnx
import pytest
import wakeword_release as made
from torch import nn

from pytorch_to_mlx import cli
from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.wakeword.card import CARD
from pytorch_to_mlx.models.wakeword.config import Config, Keyword
from pytorch_to_mlx.models.wakeword.model import Model
from pytorch_to_mlx.models.wakeword.pipeline import Stream, as_pcm
from pytorch_to_mlx.models.wakeword.reference import Reference, speech
from pytorch_to_mlx.models.wakeword.train import train
from pytorch_to_mlx.models.wakeword.weights import WEIGHTS, open_release
from pytorch_to_mlx.validate.run import run
from pytorch_to_mlx.weights import apply, invert


def tiny_inputs(config, batch=1):
    samples = mx.random.normal((1, 3 * 1280), key=mx.random.key(0)) * 1000
    return {"samples": mx.repeat(samples, batch, axis=0)}


def with_keywords(folder, keywords):
    """The chain of a folder, listening for these keywords alone."""
    pipeline = load(folder)
    pipeline.select(keywords)
    return pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def pipeline(folder):
    return load(folder)


def test_every_kind_of_classifier_is_told(folder):
    with open_release(folder) as checkpoint:
        keywords = {k.name: k for k in Config.from_dict(checkpoint.config).keywords}
        applied = apply(WEIGHTS, checkpoint, family="wakeword").weights
        back = invert(WEIGHTS, applied)
        assert all(np.array_equal(np.array(back[n]), np.array(checkpoint[n])) for n in back if "bias_" not in n)
    assert keywords["plain"] == Keyword("plain", "dnn", 5, (32, 32), labels=("plain",))
    assert keywords["normed"] == Keyword("normed", "dnn", 16, (32, 32), True, ("normed",))
    assert keywords["checked"] == Keyword("checked", "dnn", 16, (32, 32), True, ("checked",), (32,))
    assert keywords["several"] == Keyword("several", "dnn", 30, (32,), labels=("", "one", "two"))
    assert keywords["trained"] == Keyword("trained", "dnn", 16, (24, 24, 24), True, ("trained",))
    assert keywords["recurrent"] == Keyword("recurrent", "rnn", 16, (64, 64), labels=("recurrent",))


def test_frame_by_frame_as_the_package(folder):
    """openwakeword's own buffering and onnxruntime, with PyTorch's float64 as the arbiter."""
    report = run(Reference.open(folder), CARD.taps, family="wakeword", source="release")
    report.check()
    scores = [tap for case in report.cases for tap in case.taps if tap.name == "scores"]
    assert all(tap.shape[1] == 7 for tap in scores)


def test_pieces_of_any_length_are_the_whole(pipeline):
    pcm = speech(5)
    whole = Stream(pipeline.model).feed(pcm)
    assert whole.shape == (62, 7) and whole[5:].std() > 0 and not whole[:5].any()
    stream, at, parts = Stream(pipeline.model), 0, []
    for size in np.random.default_rng(0).integers(1, 6000, 100):
        parts.append(stream.feed(pcm[at : at + size].astype(np.float32) / 32768))
        at += size
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert stream.n_frames == 62


def test_state_does_not_grow(pipeline):
    stream = Stream(pipeline.model)
    sizes = []
    for _ in range(3):
        stream.feed(speech(10))
        sizes.append([np.array(a).shape for a in (stream._state.samples, *stream._state.rows, stream._state.features)])
    assert sizes[0] == sizes[1] == sizes[2]


def test_converted_folder_scores_the_same(folder, pipeline, tmp_path):
    path = convert(folder, tmp_path / "mlx")
    config = json.loads((path / "config.json").read_text())
    assert config["model_type"] == "wakeword" and len(config["keywords"]) == 6
    ours, again = pipeline.detect(speech(3)), load(path).detect(speech(3))
    np.testing.assert_array_equal(ours.scores, again.scores)
    half = load(convert(folder, tmp_path / "half", dtype="float16")).detect(speech(3))
    assert np.abs(half.scores - ours.scores).mean() < 0.01


def test_one_classifier_of_a_folder(folder):
    with open_release(folder / "trained.onnx") as checkpoint:
        assert [k["name"] for k in checkpoint.config["keywords"]] == ["trained"]


def test_keywords_are_chosen_by_name_and_by_file(folder, pipeline, tmp_path):
    extra = made.classifier(tmp_path / "mine.onnx", made.Several(made.randomised(made.Dnn(classes=3))), output="w")
    chosen = with_keywords(folder, ["recurrent", str(extra)])
    assert chosen.labels == ["recurrent", "mine-1", "mine-2"]
    pcm = speech(3)
    column = pipeline.labels.index("recurrent")
    np.testing.assert_allclose(
        Stream(chosen.model).feed(pcm)[:, 0], Stream(pipeline.model).feed(pcm)[:, column], atol=1e-6
    )
    for bad in (["nothing"], ["recurrent", "recurrent"], [str(extra), str(extra)]):
        with pytest.raises(UsageError):
            with_keywords(folder, bad)


def test_short_silent_and_broken_audio(pipeline, tmp_path):
    for length in (0, 1, 100, 1279, 1281):
        found = pipeline.detect(np.zeros(length, np.float32))
        assert np.isfinite(found.scores).all() and found.duration_s == length / 16000
    assert Stream(pipeline.model).feed(np.zeros(0, np.float32)).shape == (0, 7)
    with pytest.raises(FormatError, match="finite"):
        pipeline.detect(np.array([0.0, np.nan], np.float32))
    with pytest.raises(FormatError, match="shape"):
        pipeline.detect(np.zeros((2, 100), np.float32))
    with pytest.raises(FormatError, match="16-bit"):
        as_pcm(np.zeros(10, np.int64))
    (tmp_path / "no.wav").write_bytes(b"RIFF")
    with pytest.raises(FormatError):
        pipeline.detect(tmp_path / "no.wav")


def layers(middle: nn.Module, *last: nn.Module, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16 * made.WIDTH, 8, bias=bias), middle, nn.Linear(8, 1), *last)


@pytest.mark.parametrize(
    ("module", "frames", "says"),
    [
        (layers(nn.Tanh(), nn.Sigmoid()), 16, "Tanh"),
        (layers(nn.ReLU()), 16, "its nodes are"),
        (made.Rnn(bidirectional=False), 16, "LSTM Squeeze"),
        (made.sequential(50, [8]), 50, "num_frames"),
        (layers(nn.ReLU(), nn.Sigmoid(), bias=False), 16, "known"),
    ],
    ids=["tanh", "no sigmoid", "one direction", "too many frames", "no bias"],
)
def test_other_graphs_are_refused(folder, tmp_path, module, frames, says):
    file = made.classifier(tmp_path / "other.onnx", module, frames)
    with pytest.raises(FormatError, match=says) as caught:
        with_keywords(folder, [str(file)])
    assert "other.onnx" in str(caught.value)


def test_other_widths_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(made, "WIDTH", 2 * made.WIDTH)
    file = made.classifier(tmp_path / "wide.onnx", made.sequential(16, [8]))
    with pytest.raises(FormatError, match=r"its input is \[1, 16, 64\]"):
        with_keywords(folder, [str(file)])


def test_epsilon_and_factors_are_checked(folder, tmp_path):
    file = made.classifier(tmp_path / "norm.onnx", made.randomised(made.Dnn()), opset=17)
    model = onnx.load(file)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 1e-3
    onnx.save(model, file)
    with pytest.raises(FormatError, match="epsilon"):
        with_keywords(folder, [str(file)])


@pytest.mark.parametrize("fault", ["no mel", "mel", "embedding", "cut", "name", "not onnx"])
def test_broken_releases(folder, tmp_path, fault):
    for file in folder.glob("*.onnx"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if fault == "no mel":
        (tmp_path / "melspectrogram.onnx").unlink()
    elif fault == "mel":
        made.mel(tmp_path / "melspectrogram.onnx", lowest=1e-5)
    elif fault == "embedding":
        made.embedding(tmp_path / "embedding_model.onnx", slope=0.1)
    elif fault == "cut":
        file = tmp_path / "trained.onnx"
        file.write_bytes(file.read_bytes()[:-500])
    elif fault == "name":
        (tmp_path / "trained.onnx").rename(tmp_path / "1 word.onnx")
    else:
        (tmp_path / "trained.onnx").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(FormatError):
        load(tmp_path)


def test_config_is_checked():
    good = Config.tiny()
    for keyword in (
        {"name": "1x"},
        {"name": "x", "num_frames": 43},
        {"name": "x", "hidden_sizes": []},
        {"name": "x", "kind": "cnn"},
        {"name": "plain"},
        {"name": "y", "labels": ["one"]},
    ):
        with pytest.raises(FormatError):
            Config.from_dict({"keywords": [*({"name": k.name, "labels": k.labels} for k in good.keywords), keyword]})
    with pytest.raises(ValueError):
        replace(good, channels=(1, 2))


def command(*arguments):
    return cli.main(["wakeword", *map(str, arguments)])


def test_detect_command(folder, tmp_path, capsys, monkeypatch):
    audio = wav.write(tmp_path / "speech.wav", speech(3) / 32768, 16_000)
    plot = tmp_path / "scores.png"
    assert command("detect", audio, "--model", folder, "--json", "--plot", plot, "--threshold", 0.1) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert set(found["scores"]) == {"plain", "normed", "checked", "one", "two", "trained", "recurrent"}
    assert len(found["scores"]["one"]) == len(found["times_s"]) and found["duration_s"] == 3.0
    assert plot.read_bytes().startswith(b"\x89PNG")
    raw = types.SimpleNamespace(buffer=open(tmp_path / "raw", "w+b"))
    raw.buffer.write(speech(3).tobytes())
    raw.buffer.seek(0)
    monkeypatch.setattr(sys, "stdin", raw)
    assert command("detect", "--raw", "--model", folder, "--keyword", "normed", "--threshold", 0.01) == 0
    raw.buffer.close()
    assert "normed" in capsys.readouterr().out
    assert command("detect", "--model", folder) == command("detect", audio, "--raw", "--model", folder) == 2
    assert command("detect", audio, "--model", folder, "--plot", tmp_path / "x.unknown") == 2
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert command("detect", "--microphone", "--model", folder) == 6
    assert "pytorch-to-mlx[listen]" in capsys.readouterr().err


def test_keywords_command(folder, capsys):
    assert command("keywords", "--model", folder, "--json") == 0
    rows = {row["keyword"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["several"]["hears"] == ["one", "two"] and rows["checked"]["kind"] == "dnn with verifier"


@pytest.fixture(scope="module")
def released():
    return load("packaged:openwakeword")


def test_released_models_hear_hey_jarvis(released):
    from pytorch_to_mlx.models.wakeword.reference import DATA

    found = released.detect(DATA / "hey_jarvis.flac")
    assert [d.label for d in found.detections] == ["hey_jarvis"]
    highest = found.highest()
    assert highest.pop("hey_jarvis") > 0.9 and max(highest.values()) < 0.1


def test_released_models_are_those_of_onnxruntime():
    from pytorch_to_mlx.checkpoint import packaged

    report = run(Reference.open(packaged.find("openwakeword")), CARD.taps, family="wakeword", source="released")
    report.check()


def test_tiny_has_every_part():
    assert {k.kind for k in Config.tiny().keywords} == {"dnn", "rnn"} and Model(Config.tiny())


def sweep(random, *, rising):
    """Half a second of a tone that rises (the word) or does not, at 16 kHz."""
    time = np.arange(9600) / 16_000
    pitch = random.uniform(300, 500) + (3000 * time if rising else random.uniform(-500, 3000) * (time > 2))
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / 16_000) * np.hanning(len(time)) ** 0.25
    return np.pad(0.3 * tone, 800).astype(np.float32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for kind in ("word", "rest"):
        (folder / kind).mkdir()
    for number in range(10):
        wav.write(folder / "word" / f"{number}.wav", sweep(random, rising=True), 16_000)
    for number in range(2):
        steady = [sweep(random, rising=False) for _ in range(30)]
        wav.write(folder / "rest" / f"{number}.flac", np.concatenate(steady), 16_000)
    return folder


def trained(folder, clips, output, **options):
    return train(folder, clips / "word", clips / "rest", output, name="sweep", steps=200, variants=4, **options)


def test_training_learns_and_is_seeded(folder, clips, tmp_path):
    first = trained(folder, clips, tmp_path / "a.safetensors")
    assert first.recall == 1.0 and first.false_accepts <= 1 and first.clips == 8 and first.held_out_clips == 2
    again = trained(folder, clips, tmp_path / "b.safetensors")
    other = trained(folder, clips, tmp_path / "c.safetensors", seed=1)
    assert first.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()
    assert first.path.stat().st_size < 200_000 and sorted(p.name[0] for p in tmp_path.iterdir()) == ["a", "b", "c"]
    pipeline = with_keywords(folder, [str(first.path)])
    assert pipeline.labels == ["sweep"]
    random = np.random.default_rng(9)
    highest = {
        rising: np.mean([pipeline.detect(sweep(random, rising=rising)).highest()["sweep"] for _ in range(4)])
        for rising in (True, False)
    }
    assert highest[True] > 0.8 and highest[False] < 0.3


def test_training_faults(folder, clips, tmp_path, capsys):
    output = tmp_path / "new.safetensors"
    arguments = ("train", "--model", folder, "--negative", clips / "rest", "--output", output)
    few = tmp_path / "few"
    few.mkdir()
    wav.write(few / "one.wav", sweep(np.random.default_rng(0), rising=True), 16_000)
    assert command(*arguments, "--positive", few, "--name", "x") == 2
    assert "too few" in capsys.readouterr().err
    wav.write(few / "two.wav", np.zeros(16_000), 16_000)
    assert command(*arguments, "--positive", few, "--name", "x") == 4
    assert "silent" in capsys.readouterr().err and not output.exists()
    assert command(*arguments, "--positive", tmp_path / "none", "--name", "x") == 2
    assert command(*arguments, "--positive", few, "--name", "1 x") == 2
    output.write_bytes(b"mine")
    assert command(*arguments, "--positive", few, "--name", "x") == 2 and output.read_bytes() == b"mine"
    with pytest.raises(FormatError, match="does not describe"):
        mx.save_safetensors(str(output), {"a": mx.zeros(3)})
        with_keywords(folder, [str(output)])
    mx.save_safetensors(str(output), {"a": mx.zeros(3)}, {"wakeword": '{"name": "x"}'})
    with pytest.raises(FormatError, match="missing"):
        with_keywords(folder, [str(output)])
    mx.save_safetensors(str(output), {"a": mx.zeros(3)}, {"wakeword": '{"name": "x", "num_frames": 1e9}'})
    with pytest.raises(FormatError, match="num_frames"):
        with_keywords(folder, [str(output)])


@pytest.mark.full
@pytest.mark.parametrize("voice", ["af_heart", "am_michael"])
def test_kokoro_says_hey_jarvis(released, voice):
    from pytorch_to_mlx.audio.resample import resample
    from pytorch_to_mlx.model_source import load as load_kokoro
    from pytorch_to_mlx.tasks import Speech

    said = Speech.concatenate(load_kokoro("packaged:kokoro-82m-int8").generate("Hey Jarvis!", voice=voice))
    highest = released.detect(resample(said.audio, said.sample_rate, 16_000)).highest()
    assert highest.pop("hey_jarvis") > 0.9 and max(highest.values()) < 0.1
