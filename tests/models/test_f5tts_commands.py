"""`f5-tts synthesize` and `edit` from files to files, with tiny networks."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import soundfile
from mlx.utils import tree_flatten
from models.f5tts_fakes import TRANSCRIPT, noise

from pytorch_to_mlx.cli import main
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.f5tts.commands import edit, synthesize
from pytorch_to_mlx.models.f5tts.config import Config
from pytorch_to_mlx.models.f5tts.model import Model
from pytorch_to_mlx.models.vocos.config import Config as VocosConfig
from pytorch_to_mlx.models.vocos.model import Model as Vocos

TEXT = "The first sentence of it is here. Here is the second one, which goes on. And a third. " * 3
VOCAB = [" ", *map(chr, range(33, 127))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A converted folder with a tiny model and its vocoder, and a recording beside it."""
    place = tmp_path_factory.mktemp("f5")
    config = replace(Config.tiny(), vocab_size=len(VOCAB))
    mx.random.seed(0)
    for name, model, sizes, kind in (
        ("model", Model(config), config, "f5-tts"),
        ("model/vocos", Vocos(VocosConfig.tiny()), VocosConfig.tiny(), "vocos"),
    ):
        (place / name).mkdir()
        weights = dict(tree_flatten(model.parameters()))
        mx.save_safetensors(str(place / name / "model.safetensors"), weights, {"format": "mlx"})
        (place / name / "config.json").write_text(json.dumps({"model_type": kind, **asdict(sizes)}))
    (place / "model" / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    soundfile.write(place / "me.wav", noise(4.0), 24000)
    soundfile.write(place / "other.wav", noise(3.0, 16000, seed=1), 16000)
    return place


@pytest.fixture
def options(folder, tmp_path):
    return {"model": str(folder / "model"), "steps": 2, "output": tmp_path / "speech.wav"}


def read(path: Path) -> np.ndarray:
    return soundfile.read(path)[0]


def test_a_text_is_spoken_into_a_file(folder, options):
    report = synthesize("Hello, world!", ref_audio=str(folder / "me.wav"), ref_text=TRANSCRIPT, **options)
    audio = read(options["output"])
    assert report.duration_s == len(audio) / 24000 > 0.5
    assert (report.model, report.voice) == ("model", str(folder / "me.wav"))
    assert audio.any()


def test_the_same_seed_gives_the_same_bytes(folder, options):
    files = []
    for seed in (1, 1, 2):
        synthesize(TEXT, ref_audio=str(folder / "me.wav"), ref_text=TRANSCRIPT, seed=seed, **options)
        files.append(options["output"].read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_stream_is_as_long_and_its_chunks_are_others(folder, options):
    voice = {"ref_audio": str(folder / "me.wav"), "ref_text": TRANSCRIPT}
    whole = synthesize(TEXT, **voice, **options)
    streamed = synthesize(TEXT, stream=True, **voice, **options)
    assert streamed.first_audio_ms < whole.first_audio_ms
    assert streamed.duration_s == pytest.approx(whole.duration_s, rel=0.1)


def test_a_toml_file_gives_voices_text_and_settings(folder, options, tmp_path):
    (tmp_path / "story.txt").write_text("Hello from me. [other] And hello from the other. [nobody] Bye.")
    (tmp_path / "story.toml").write_text(
        f"""
        ref_audio = "{folder / "me.wav"}"
        ref_text = "{TRANSCRIPT}"
        gen_file = "story.txt"
        nfe_step = 1
        seed = 3
        [voices.other]
        ref_audio = "{folder / "other.wav"}"
        ref_text = "Another voice says this."
        speed = 2
        [voices.unused]
        ref_audio = "missing.wav"
        """
    )
    del options["steps"]
    report = synthesize(config=tmp_path / "story.toml", **options)
    assert report.voice == "other, unused, main"
    with pytest.raises(UsageError, match="no such file"):
        synthesize("Hello [unused] there.", config=tmp_path / "story.toml", **options)


def test_pauses_are_shortened(folder, options):
    voice = {"ref_audio": str(folder / "me.wav"), "ref_text": TRANSCRIPT}
    whole = synthesize("Hello, world!", **voice, **options)
    shorter = synthesize("Hello, world!", remove_silence=True, **voice, **options)
    assert shorter.duration_s <= whole.duration_s


def test_an_edit_is_written(folder, options):
    report = edit(folder / "me.wav", text="All that is said.", span=["1.0-2.0:1.5"], **options)
    edited = read(options["output"])
    assert report.duration_s == len(edited) / 24000 == pytest.approx(4.5, abs=0.01)
    recording = read(folder / "me.wav")
    assert np.abs(edited[:20000] - recording[:20000]).max() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "no voice is given"),
        ({"ref_audio": "missing.wav"}, "no such file"),
        ({"ref_audio": "me.wav", "steps": 0}, "0 steps"),
        ({"ref_audio": "me.wav", "text_file": Path("text.txt")}, "give a text or --text-file"),
        ({"ref_audio": "me.wav", "stream": True, "remove_silence": True}, "leave out --stream"),
        ({"ref_audio": "me.wav", "fix_duration": 1.0}, "the recording alone has"),
        ({"ref_audio": "me.wav", "speed": 9.0}, "speed must be between"),
        ({"ref_audio": "me.wav", "target_rms": 0.0}, "target_rms"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(folder, options, arguments, problem, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=problem) as caught:
        synthesize("Hello.", **{"ref_text": TRANSCRIPT, **options, **arguments})
    assert "\n" not in str(caught.value) and not options["output"].exists()


def test_other_files_are_refused(folder, options):
    with pytest.raises(FormatError, match="not audio"):
        synthesize("Hello.", ref_audio=str(folder / "model" / "vocab.txt"), ref_text=TRANSCRIPT, **options)
    with pytest.raises(UsageError, match="is not a span"):
        edit(folder / "me.wav", text="Hello.", span=["here"], **options)


# Of each recording: sample rate, channels, samples, options, the exit code, and what is said on stderr.
RECORDINGS = {
    "silence": (24000, 1, np.zeros(72000), {}, 2, "is silent"),
    "a tenth of a second": (24000, 1, noise(0.1), {}, 2, "0.1 s of sound are too little"),
    "NaN": (24000, 1, np.full(72000, np.nan), {}, 4, "the audio contains NaN"),
    "no text": (24000, 1, noise(3.0), {"--text": " "}, 2, "no text"),
    "five minutes": (24000, 1, noise(300.0), {"--steps": "1", "--as-original": None}, 0, ""),
    "8 kHz": (8000, 1, noise(3.0, 8000), {}, 0, ""),
    "stereo": (44100, 2, noise(3.0, 44100), {}, 0, ""),
    "another text": (
        24000,
        1,
        noise(3.0),
        {"--ref-text": "More than is said. " * 20},
        0,
        "is it what the recording says",
    ),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_bad_recording_gives_one_line_or_speech(name, folder, tmp_path, capsys):
    rate, channels, samples, options, code, message = RECORDINGS[name]
    audio = np.repeat(samples[:, None], channels, axis=1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", audio, rate, subtype="FLOAT" if name == "NaN" else "PCM_16")
    output = tmp_path / "speech.wav"
    files = {"--ref-audio": str(tmp_path / "a.wav"), "--model": str(folder / "model"), "--output": str(output)}
    given = {"--text": "Hello.", "--ref-text": TRANSCRIPT, "--steps": "1", **options, **files}
    words = [word for pair in given.items() for word in pair if word is not None]
    assert main(["f5-tts", "synthesize", *words]) == code
    err = capsys.readouterr().err
    assert message in err
    if code:
        assert err.splitlines()[-1].startswith("error: ") and not output.exists()
    else:
        assert 0.1 < len(read(output)) / 24000 < 30 and read(output).any()
