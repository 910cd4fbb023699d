"""Folders of one version given to another's commands, and releases of parts of several: recognised and named."""

import dataclasses
import os
import shutil
from itertools import permutations

import mlx.core as mx
import pytest
from command import run
from models.cosyvoice import onnx_files_version1, release, release_version1, release_version3

from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError, UnsafeError
from pytorch_to_mlx.models.cosyvoice.config import CONFIGS
from pytorch_to_mlx.models.cosyvoice.pipeline import load, open_speakers
from pytorch_to_mlx.models.cosyvoice.release.files import open_release
from pytorch_to_mlx.models.cosyvoice.speakers import Speakers, random_speaker
from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE1, COSYVOICE2, COSYVOICE3

VERSIONS = (COSYVOICE1, COSYVOICE2, COSYVOICE3)
PAIRS = [pytest.param(*pair, id=" in ".join(v.model_type for v in pair[::-1])) for pair in permutations(VERSIONS, 2)]
EACH = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.model_type)
EVERY_PAIR = pytest.mark.parametrize(("version", "other"), PAIRS)


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """A tiny release of each version."""
    root = tmp_path_factory.mktemp("releases")
    release_version1.write_release(root / "cosyvoice", release_version1.config_of())
    release.write_release(root / "cosyvoice2", release.TINY)
    release_version3.write_release(root / "cosyvoice3", release_version3.TINY)
    return {version.model_type: root / version.model_type for version in VERSIONS}


@pytest.fixture(scope="module")
def converted(releases, tmp_path_factory):
    root = tmp_path_factory.mktemp("converted")
    return {name: convert(path, root / name) for name, path in releases.items()}


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy", copy_function=os.link)


def replace(path, source):
    path.unlink()
    shutil.copy(source, path)


@EVERY_PAIR
@pytest.mark.parametrize("part", ["llm", "flow", "hift", "speech_tokenizer"])
def test_a_part_of_another_version(releases, tmp_path, version, other, part):
    folder = copied(releases[version.model_type], tmp_path)
    replace(folder / version.parts[part], releases[other.model_type] / other.parts[part])
    with pytest.raises(FormatError, match=f"this is the part of {other.name}, not of {version.name}") as raised:
        open_release(folder, version)
    assert raised.value.where == str(folder / version.parts[part]) and version.hub_id in str(raised.value)


@EVERY_PAIR
def test_the_yaml_of_another_version(releases, tmp_path, version, other):
    folder = copied(releases[version.model_type], tmp_path)
    replace(folder / version.yaml, releases[other.model_type] / other.yaml)
    with pytest.raises(FormatError, match=rf"values are not those of {version.name}") as raised:
        open_release(folder, version)
    assert raised.value.where == str(folder / version.yaml)


@EVERY_PAIR
def test_the_folder_of_another_version(releases, converted, version, other):
    for folder in (releases[other.model_type], converted[other.model_type]):
        for opening in (load, open_speakers):
            with pytest.raises(FormatError, match=f"this is a model of {other.name}, not of {version.name}") as raised:
                opening(folder, version=version)
            assert f"use the {other.model_type} commands" in str(raised.value)


@EVERY_PAIR
def test_the_weights_of_another_version(converted, tmp_path, version, other):
    folder = copied(converted[version.model_type], tmp_path)
    replace(folder / "model.safetensors", converted[other.model_type] / "model.safetensors")
    with pytest.raises(FormatError, match=r"the weights do not fit the model: \d+ of \d+ differ"):
        load(folder, version=version)


@EVERY_PAIR
def test_a_saved_speaker_of_another_version(tmp_path, version, other):
    """Its recording is; the embedding alone comes from a network that is the same in all versions."""
    theirs = Speakers(CONFIGS[other.model_type].tiny(), tmp_path)
    bare = random_speaker(CONFIGS[other.model_type].tiny(), 0)
    theirs.add("bare", bare)
    theirs.add("me", dataclasses.replace(bare, mel=mx.zeros((1, 6, 80)), speech_tokens=(1, 2, 3)))
    theirs.save()
    ours = Speakers(CONFIGS[version.model_type].tiny(), tmp_path)
    with pytest.raises(FormatError, match=f"this is a speaker of {other.name}, not of {version.name}; add") as raised:
        ours["me"]
    assert raised.value.where == str(tmp_path / "me.safetensors") and theirs["me"].speech_tokens == (1, 2, 3)
    assert mx.array_equal(ours["bare"].embedding, bare.embedding)


@pytest.mark.parametrize("rate", [50, 25])
def test_a_tokenizer_of_another_rate(releases, tmp_path, rate):
    folder = tmp_path / "release"
    if rate == 50:
        copied(releases["cosyvoice"], tmp_path).rename(folder)
    else:
        release_version1.write_release(folder, release_version1.config_of(rate=25), speakers=False)
    (folder / "speech_tokenizer_v1.onnx").unlink()
    sizes = {"state": 64, "heads": 1, "layers": 2, "rate": 75 - rate}
    onnx_files_version1.speech_tokenizer(folder / "speech_tokenizer_v1.onnx", **sizes)
    message = f"speech_tokenizer gives {75 - rate} tokens a second, flow takes {rate}"
    with pytest.raises(FormatError, match=message):
        load(folder)
    with pytest.raises(FormatError, match=message):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@EACH
@pytest.mark.parametrize(
    "line",
    [
        "x: !apply:os.system [touch canary]",
        "x: !new:subprocess.Popen\n    args: [touch, canary]",
        "x: !name:os.system",
        "x: !module:os",
        "x: !!python/object/apply:os.system [touch canary]",
        "x: !!python/name:os.system",
        "x: !include:/etc/hostname",
    ],
)
def test_a_yaml_that_asks_to_run_something(releases, tmp_path, monkeypatch, version, line):
    folder = copied(releases[version.model_type], tmp_path)
    monkeypatch.chdir(folder)
    text = (folder / version.yaml).read_text(encoding="utf-8")
    (folder / version.yaml).unlink()
    (folder / version.yaml).write_text(f"{text}\n{line}\n", encoding="utf-8")
    with pytest.raises(UnsafeError, match=rf"{version.yaml}: .*; take the yaml of the original release"):
        load(folder)
    assert not (folder / "canary").exists()


@pytest.fixture
def fails(tmp_path):
    """A function that runs a command, which must end so, say so much in one line, and write nothing."""

    def fails(code, message, *arguments):
        done = run(*map(str, arguments), cwd=tmp_path)
        lines = [line for line in done.stderr.decode().splitlines() if "rror" in line]
        assert done.returncode == code and len(lines) == 1 and message in lines[0], done.stderr.decode()
        assert not done.stdout and not list(tmp_path.glob("out*")) and not list(tmp_path.glob(".*"))

    return fails


def test_commands_name_it(releases, converted, tmp_path, fails):
    """Each verb once, with another pair of versions each time."""
    model = "this is a model of CosyVoice {}, not of CosyVoice {}".format
    said = ["--text", "one.", "--speaker", "random", "--output", "out.wav"]
    fails(4, model(2, 1), "cosyvoice", "synthesize", "--model", converted["cosyvoice2"], *said)
    fails(4, model(1, 3), "cosyvoice3", "synthesize", "--model", releases["cosyvoice"], *said)
    fails(4, model(3, 1), "cosyvoice", "speakers", "--model", converted["cosyvoice3"])
    voice = tmp_path / "voice.wav"
    shutil.copy(release_version1.__file__, voice)  # the model is looked at first
    convert_voice = ["convert-voice", voice, "--speaker", "random", "--output", "out.wav"]
    fails(4, model(1, 2), "cosyvoice2", *convert_voice, "--model", converted["cosyvoice"])
    fails(
        4,
        "use the cosyvoice3 commands",
        "cosyvoice",
        "convert",
        "--hf-path",
        releases["cosyvoice3"],
        "--mlx-path",
        tmp_path / "out",
    )
    folder = copied(releases["cosyvoice"], tmp_path)
    replace(folder / "flow.pt", releases["cosyvoice2"] / "flow.pt")
    mixed = "flow.pt: this is the part of CosyVoice 2, not of CosyVoice 1"
    fails(4, mixed, "convert", "--hf-path", folder, "--mlx-path", tmp_path / "out")
    replace(folder / "cosyvoice.yaml", releases["cosyvoice"] / "cosyvoice.yaml")
    with (folder / "cosyvoice.yaml").open("a") as file:
        file.write("x: !apply:os.system [touch out]\n")
    fails(3, "os.system", "cosyvoice", "convert", "--hf-path", folder, "--mlx-path", tmp_path / "out")
