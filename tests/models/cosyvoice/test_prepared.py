"""Saved speakers of versions 2 and 3 that keep what the networks compute of their recording alone."""

import shutil

import mlx.core as mx
import numpy as np
import pytest
from models.cosyvoice import release, release_version3

from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.cosyvoice.config import Config, Config1, Config3
from pytorch_to_mlx.models.cosyvoice.flow.causal import CausalFlow
from pytorch_to_mlx.models.cosyvoice.model import Model
from pytorch_to_mlx.models.cosyvoice.original.cases import recording
from pytorch_to_mlx.models.cosyvoice.original.workloads import Work
from pytorch_to_mlx.models.cosyvoice.overlap import OverlapSynthesizer
from pytorch_to_mlx.models.cosyvoice.prepared import FOLDER, model_digest
from pytorch_to_mlx.models.cosyvoice.speakers import random_speaker
from pytorch_to_mlx.models.cosyvoice.text.whisper_tokenizer import WhisperTokenizer
from pytorch_to_mlx.tasks import Speech

TEXT, SAID = "one of the two and that.", "that was"
FAST = {"min_ratio": 6.0, "max_ratio": 6.0}
RATE = 24000
VOICE = recording(2.3, 0, RATE)
RELEASES = {"version 2": release, "version 3": release_version3}


@pytest.fixture(scope="module", params=RELEASES)
def converted(request, tmp_path_factory):
    module = RELEASES[request.param]
    folder = tmp_path_factory.mktemp(request.param.replace(" ", ""))
    path = convert(module.write_release(folder / "release", module.TINY), folder / "mlx")
    pipeline = load(path)
    pipeline.add_zero_shot_spk(SAID, VOICE, "me", prepare=True)
    pipeline.add_zero_shot_spk(SAID, VOICE, "plain")
    pipeline.add_zero_shot_spk("", VOICE, "silent", prepare=True)
    pipeline.save_spkinfo()
    return path


def audio(pieces):
    return Speech.concatenate(pieces).audio


MODES = {
    "zero-shot": lambda p, voice, **o: p.inference_zero_shot(TEXT, "", None, voice, **o),
    "cross-lingual": lambda p, voice, **o: p.inference_cross_lingual(TEXT, None, voice, **o),
    "instruct": lambda p, voice, **o: p.inference_instruct2(TEXT, "one by one", None, voice, **o),
    "voice conversion": lambda p, voice, **o: p.inference_vc(VOICE[: 2 * RATE], None, voice, stream=o["stream"]),
    "text in pieces": lambda p, voice, **o: p.inference_zero_shot(
        iter([TEXT] * 3), "", None, voice, stream=o["stream"], max_ratio=4.0
    ),
}


@pytest.mark.parametrize(
    ("mode", "stream"),
    [*((mode, True) for mode in MODES), *((mode, False) for mode in ("zero-shot", "cross-lingual", "instruct"))],
)
def test_speech_is_the_same(converted, mode, stream):
    pipeline = load(converted)
    plain, prepared = (audio(MODES[mode](pipeline, name, stream=stream, **FAST)) for name in ("plain", "me"))
    np.testing.assert_array_equal(prepared, plain)


def test_the_prompt_is_not_computed_again(converted, monkeypatch):
    """No step of the solver is taken before the first new tokens, and the language model reads the text alone."""
    pipeline, evaluations = load(converted), []
    velocity = CausalFlow.velocity

    def count(self, x, *args):
        evaluations.append(x.shape[1])
        return velocity(self, x, *args)

    monkeypatch.setattr(CausalFlow, "velocity", count)
    first = {}
    for name in ("plain", "me"):
        evaluations.clear()
        next(MODES["zero-shot"](pipeline, name, stream=True, **FAST))
        first[name] = list(evaluations)
    shapes_only = 1
    assert len(first["plain"]) == 20 and len(first["me"]) == 10 + shapes_only
    assert first["plain"][10:] == first["me"][shapes_only:]
    speaker = pipeline.speaker("me")
    memory = speaker.prepared.part("flow.", pipeline.synthesizer._metadata(speaker))
    louder = {name: array * 1.5 for name, array in memory.items()}
    flow = pipeline.synthesizer._flow_stream
    streams = [flow(speaker, 10, "euler", arrays) for arrays in (memory, louder)]
    mels = [np.array(s.feed(mx.zeros((1, 30), mx.int32))) for s in streams]
    assert mels[0].shape == mels[1].shape and np.abs(mels[0] - mels[1]).max() > 1e-2, "it is used"


@pytest.mark.parametrize("options", [{"steps": 3}, {"solver": "midpoint", "steps": 2}])
def test_other_solvers_compute_their_own(converted, options):
    pipeline = load(converted)
    plain, prepared = (
        audio(MODES["zero-shot"](pipeline, name, stream=True, **FAST, **options)) for name in ("plain", "me")
    )
    np.testing.assert_array_equal(prepared, plain)


def test_without_a_transcript(converted):
    pipeline = load(converted)
    plain, prepared = (
        audio(MODES["cross-lingual"](pipeline, name, stream=True, **FAST)) for name in ("plain", "silent")
    )
    np.testing.assert_array_equal(prepared, plain)


def test_a_recording_of_less_than_a_chunk(converted):
    pipeline = load(converted)
    for name, prepare in (("short", True), ("short plain", False)):
        pipeline.add_zero_shot_spk(SAID, VOICE[: RATE // 2], name, prepare=prepare)
    plain, prepared = (
        audio(MODES["zero-shot"](pipeline, name, stream=True, **FAST)) for name in ("short plain", "short")
    )
    np.testing.assert_array_equal(prepared, plain)


def test_speakers_are_replaced_copied_and_removed_with_it(converted, tmp_path):
    path = shutil.copytree(converted, tmp_path / "copy")
    pipeline = load(path)
    files = path / "speakers" / FOLDER
    assert sorted(file.name for file in files.iterdir()) == ["me.safetensors", "silent.safetensors"]
    about = pipeline.speakers.about
    assert about("me")["prepared_mb"] == round((files / "me.safetensors").stat().st_size / 1e6, 1) > 0
    assert "prepared_mb" not in about("plain") and pipeline.list_available_spks() == ["me", "plain", "silent"]
    pipeline.speakers.add("twin", pipeline.speaker("me"))
    pipeline.add_zero_shot_spk(SAID, VOICE, "me")
    pipeline.speakers.remove("silent")
    pipeline.save_spkinfo()
    assert [file.name for file in files.iterdir()] == ["twin.safetensors"]
    again = load(path)
    twin, me = (audio(MODES["zero-shot"](again, name, stream=True, **FAST)) for name in ("twin", "me"))
    np.testing.assert_array_equal(twin, me)


def spoiled(path, change):
    """The folder with the prepared file of `me` changed: (arrays, metadata) -> the same."""
    file = path / "speakers" / FOLDER / "me.safetensors"
    arrays, metadata = mx.load(str(file), return_metadata=True)
    arrays, metadata = change(arrays, metadata)
    mx.save_safetensors(str(file), arrays, metadata)
    return load(path)


def without(name):
    return lambda arrays, metadata: ({k: a for k, a in arrays.items() if k != name}, metadata)


def replaced(name, make):
    return lambda arrays, metadata: ({**arrays, name: make(arrays[name])}, metadata)


STEP = "flow.step 3.0"  # the first layer's
WRONG = {
    "kind": (lambda a, m: (a, {**m, "kind": "x"}), "it is something else"),
    "model": (lambda a, m: (a, {**m, "model": "x"}), "it was prepared with another model"),
    "speaker": (lambda a, m: (a, {**m, "speaker": "x"}), "it was prepared for another recording"),
    "no metadata": (lambda a, m: (a, {}), "it is something else"),
    "nothing": (lambda a, m: ({"x": mx.zeros(1)}, m), "arrays? are not of this flow and this prompt|text is not a row"),
    "a layer less": (without(STEP), "step 3.0 and 0 other arrays are not of this flow and this prompt"),
    "another shape": (replaced(STEP, lambda a: a[:, :1]), "step 3.0 and 0 other arrays are not of this flow"),
    "another dtype": (replaced(STEP, lambda a: a.astype(mx.float16)), "step 3.0 and 0 other arrays are not of this"),
    "text": (replaced("lm.text", lambda a: a + 10**6), "text holds something other than ids from 0 to"),
    "less text": (replaced("lm.text", lambda a: a[:-1]), r"0.k is .*float32 \[1, "),
    "other keys": (replaced("lm.0.k", lambda a: a.astype(mx.bfloat16)), "0.k is .*bfloat16"),
    "a layer less of the language model": (without("lm.1.v"), "other layers"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_this_speaker_s_is_refused(converted, tmp_path, name):
    change, message = WRONG[name]
    pipeline = spoiled(shutil.copytree(converted, tmp_path / "copy"), change)
    with pytest.raises(FormatError, match=f"not what this model prepares for this speaker: {message}"):
        list(MODES["zero-shot"](pipeline, "me", stream=True, **FAST))


def test_models_that_begin_alike_are_told_apart(converted):
    model = load(converted).model
    before = model_digest(model)
    weight = model.flow.speaker_proj.weight
    half = weight.shape[0] // 2
    model.flow.speaker_proj.weight = mx.concatenate([weight[:half], 1.5 * weight[half:]])
    assert model_digest(model) != before


def test_another_model_and_another_recording(converted, tmp_path):
    """Found out without a change to the file: a weight differs, or the speaker's file."""
    path = shutil.copytree(converted, tmp_path / "copy")
    pipeline = load(path)
    pipeline.model.flow.speaker_proj.weight = pipeline.model.flow.speaker_proj.weight * 1.001
    with pytest.raises(FormatError, match="prepared with another model"):
        list(MODES["zero-shot"](pipeline, "me", stream=True, **FAST))
    shutil.copyfile(path / "speakers" / "silent.safetensors", path / "speakers" / "me.safetensors")
    with pytest.raises(FormatError, match="prepared for another recording"):
        list(MODES["cross-lingual"](load(path), "me", stream=True, **FAST))


def test_a_file_that_is_cut_off(converted, tmp_path):
    path = shutil.copytree(converted, tmp_path / "copy")
    file = path / "speakers" / FOLDER / "me.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(FormatError):
        list(MODES["zero-shot"](load(path), "me", stream=True, **FAST))


def test_version_1_has_nothing_to_prepare():
    """Its language model hears the prompt's text together with the new one, and its flow sees all of a window."""
    config = Config1.tiny()
    speaker = random_speaker(config, 0)
    assert OverlapSynthesizer(Model(config), WhisperTokenizer(config.lm.vocab_size)).prepare(speaker, [1]) is speaker


@pytest.mark.parametrize("config", [Config.tiny(), Config3.tiny()], ids=RELEASES)
def test_what_benchmark_measures(config):
    """The same speech, with and without a saved speaker; the flow's prompt takes no step of the solver."""
    work = Work(config)
    ours = work.ours(Model(config))
    plain, first = np.concatenate(list(ours["stream"]())), dict(work.clock.first)
    for _ in range(2):  # the first one writes the file
        saved = np.concatenate(list(ours["stream of a saved speaker"]()))
        np.testing.assert_allclose(saved, plain, atol=1e-6)
    assert work.clock.first.keys() == first.keys() == {"flow_prompt", "language_model", "flow", "vocoder"}
