"""CosyVoice 1 as a whole: a tiny release through conversion, validation, loading and the modes of the pipeline."""

import json
import shutil
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from models.cosyvoice import onnx_files_version1, release, release_version1

from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError, UnsafeError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.cosyvoice.card import CARD1
from pytorch_to_mlx.models.cosyvoice.original.cases import recording
from pytorch_to_mlx.models.cosyvoice.reference_version1 import Reference1
from pytorch_to_mlx.tasks import Speech
from pytorch_to_mlx.validate.run import run

TEXT = "One of the two, and that is all."
RATE = 22050
VOICE = recording(1.0, 0, RATE)
SHORT = {"steps": 1, "min_ratio": 4.0, "max_ratio": 4.0}  # speech tokens for a word


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return release_version1.write_release(tmp_path_factory.mktemp("release"), release_version1.config_of())


@pytest.fixture(scope="module")
def converted(folder, tmp_path_factory):
    return convert(folder, tmp_path_factory.mktemp("converted") / "mlx")


@pytest.fixture(scope="module")
def pipeline(converted):
    return load(converted)


def joined(pieces) -> np.ndarray:
    speech = Speech.concatenate(pieces)
    assert np.isfinite(speech.audio).all() and np.abs(speech.audio).max() <= 1 and speech.sample_rate == RATE
    return speech.audio


def test_a_release_needs_no_conversion_and_has_its_speakers(folder, pipeline):
    for one in (pipeline, load(folder)):
        assert one.list_available_spks() == sorted(release_version1.SPEAKERS)
    ours, theirs = (joined(p.inference_sft(TEXT, "中文女", **SHORT)) for p in (pipeline, load(folder)))
    assert np.array_equal(ours, theirs)


def test_validation_passes(folder):
    report = run(Reference1.open(folder), CARD1.taps, family="cosyvoice", source="tiny")
    report.check()
    missing = {tap.name for tap in CARD1.taps} - {tap.name for case in report.cases for tap in case.taps}
    assert missing == {"drawn_tokens"}, "the installed package draws otherwise: see test_version1.py"


@pytest.mark.parametrize(
    "speak",
    [
        lambda p, **o: p.inference_sft(TEXT, "中文女", **o),
        lambda p, **o: p.inference_zero_shot(TEXT, "that was", VOICE, **o),
        lambda p, **o: p.inference_cross_lingual("<|en|>" + TEXT, VOICE, **o),
        lambda p, **o: p.inference_instruct(TEXT, "英文男", "Speak slowly.", **o),
        lambda p, **o: p.generate(TEXT, voice=np.ones(192, np.float32), instruct="Speak slowly.<|endofprompt|>", **o),
    ],
    ids=["sft", "zero-shot", "cross-lingual", "instruct", "an embedding instructed"],
)
def test_every_mode_speaks_and_streams(pipeline, speak):
    whole = joined(speak(pipeline, seed=3, **SHORT))
    assert len(whole) % 256 == 0 and whole.std() > 0
    assert np.array_equal(joined(speak(pipeline, seed=3, **SHORT)), whole), "request 1 is request 0"
    longer = SHORT | {"min_ratio": 30.0, "max_ratio": 30.0}
    pieces = list(speak(pipeline, seed=3, stream=True, **longer))
    assert len(pieces) > 2 and joined(pieces).std() > 0
    again = [piece.audio for piece in speak(pipeline, seed=3, stream=True, **longer)]
    assert all(np.array_equal(a, b.audio) for a, b in zip(again, pieces, strict=True))


def test_what_the_language_model_hears(pipeline, monkeypatch):
    """The speaker always but under an instruction, and the recording only where its words are known."""
    lm, heard = pipeline.model.lm, []
    embed = lm.embed_prompt

    def embed_prompt(text, speech, speaker=None):
        heard.append((len(speech), speaker is not None))
        return embed(text, speech, speaker)

    monkeypatch.setattr(lm, "embed_prompt", embed_prompt)
    for pieces in (
        pipeline.inference_zero_shot(TEXT, "that was", VOICE, **SHORT),
        pipeline.inference_cross_lingual(TEXT, VOICE, **SHORT),
        pipeline.inference_sft(TEXT, "中文女", **SHORT),
        pipeline.inference_instruct(TEXT, "中文女", "Slowly.", **SHORT),
    ):
        joined(pieces)
    assert heard == [(50, True), (0, True), (0, True), (0, False)]


@pytest.mark.parametrize("stream", [False, True])
def test_voice_conversion(pipeline, stream):
    source = recording(5.3, 1, RATE)
    pieces = list(pipeline.inference_vc(source, VOICE, stream=stream, steps=1))
    tokens = 265  # 50 a second
    frames = int(tokens / 50 * RATE / 256)
    assert len(pieces) > 1 if stream else len(pieces) == 1
    assert 0 <= frames - len(joined(pieces)) / 256 <= 2, "each window is rounded down to whole frames"


def test_the_original_s_faults_on_demand(pipeline):
    """Its fade and its vocoder's overlaps; and its prompt's mel, taken at 24 kHz."""
    options = SHORT | {"stream": True, "min_ratio": 30.0, "max_ratio": 30.0}
    ours, theirs = (
        joined(pipeline.inference_zero_shot(TEXT, "that was", VOICE, as_original=flag, **options))
        for flag in (False, True)
    )
    assert len(theirs) == len(ours) and not np.array_equal(ours, theirs)


def test_lines_are_spoken_one_by_one(pipeline):
    lines = list(pipeline.inference_sft(iter(["One.\n", "\n", "Two."]), "中文女", **SHORT))
    assert [piece.text for piece in lines] == ["One.", "Two."]
    assert np.array_equal(lines[0].audio, joined(pipeline.inference_sft("One.", "中文女", **SHORT)))


@pytest.mark.parametrize("stream", [False, True])
def test_memory_does_not_grow_with_the_text(pipeline, stream):
    """A longer text has the same peak in its second half as in its first, and leaves nothing behind."""
    text, options = (TEXT + " ") * 30, SHORT | {"stream": stream}
    joined(pipeline.inference_sft(TEXT, "中文女", **options))  # what is kept for ever
    before, peaks = mx.get_active_memory(), []
    for _ in pipeline.inference_sft(text, "中文女", **options):
        peaks.append(mx.get_peak_memory())
        mx.reset_peak_memory()
    assert len(peaks) >= 4 and max(peaks[len(peaks) // 2 :]) <= 1.02 * max(peaks[: len(peaks) // 2]), peaks
    assert mx.get_active_memory() == pytest.approx(before, abs=1 << 20)


def test_only_the_language_model_is_quantized(folder, tmp_path):
    path = convert(folder, tmp_path / "mlx", quantize=True, q_bits=8, q_group_size=32)
    about = json.loads((path / "conversion.json").read_text())
    assert about["quantization"]["layers"] and all(name.startswith("lm.") for name in about["quantization"]["layers"])
    assert joined(load(path).inference_sft(TEXT, "中文女", **SHORT)).std() > 0


def test_the_release_with_25_tokens_a_second(tmp_path):
    config = release_version1.config_of(rate=25)
    pipeline = load(release_version1.write_release(tmp_path / "25", config, speakers=False))
    assert pipeline.model.config == replace(config, campplus=pipeline.model.config.campplus)
    speech = joined(pipeline.inference_zero_shot(TEXT, "that was", VOICE, **SHORT))
    assert len(speech) / 256 == config.flow.frames(
        4 * len(pipeline.tokenizer.encode("One of the two, and that is all."))
    )


def test_the_yaml_says_how_many_languages_have_a_tag(tmp_path):
    """A recipe with all 105 languages of its own vocabulary, converted: other ids for what comes after them."""
    release_version1.write_release(tmp_path / "25", release_version1.config_of(rate=25), speakers=False)
    yaml = tmp_path / "25" / "cosyvoice.yaml"
    yaml.write_text(yaml.read_text().replace("num_languages: 100", "num_languages: 105"))
    pipeline = load(convert(tmp_path / "25", tmp_path / "mlx"))
    assert pipeline.model.config.lm.num_languages == 105
    assert pipeline.tokenizer.encode("<|zh|><|minnan|><|HAPPY|>") == [58839, 58938, 58954]


def copied(folder, path):
    return shutil.copytree(folder, path / "copy")


def test_wrong_and_mixed_parts_are_named(folder, tmp_path):
    mixed = copied(folder, tmp_path)
    onnx_files_version1.speech_tokenizer(mixed / "speech_tokenizer_v1.onnx", state=64, heads=1, layers=2, rate=25)
    with pytest.raises(FormatError, match="speech_tokenizer gives 25 tokens a second, flow takes 50"):
        load(mixed)
    shutil.copy(folder / "llm.pt", mixed / "flow.pt")
    with pytest.raises(FormatError, match="not the flow part"):
        load(mixed)
    (mixed / "hift.pt").unlink()
    with pytest.raises(FormatError, match="a file is missing from this release") as raised:
        load(mixed)
    assert "hift.pt" in str(raised.value)


def test_parts_of_another_version(folder, tmp_path):
    other = release.write_release(tmp_path / "2", release.TINY)
    mixed = copied(folder, tmp_path)
    for name in ("llm.pt", "flow.pt"):
        shutil.copy(other / name, mixed / name)
        with pytest.raises(FormatError, match="this is the part of CosyVoice 2, not of CosyVoice 1"):
            load(mixed)
        shutil.copy(folder / name, mixed / name)
    (mixed / "speech_tokenizer_v1.onnx").write_bytes((other / "speech_tokenizer_v2.onnx").read_bytes())
    with pytest.raises(FormatError, match="this is the part of CosyVoice 2, not of CosyVoice 1"):
        load(mixed)


@pytest.mark.parametrize(
    ("line", "other", "error", "message"),
    [
        ("sample_rate: 22050", "sample_rate: !apply:os.system [id]", UnsafeError, "os.system"),
        ("sample_rate: 22050", "sample_rate: 24000", FormatError, "sample_rate is .24000"),
        ("static_chunk_size: 1", "static_chunk_size: 25", FormatError, "static_chunk_size is .25"),
        (
            "num_languages: 100",
            "num_languages: 99",
            FormatError,
            "51866 rows for 100 languages, the text tokenizer has 99",
        ),
        ("num_blocks: 2", "num_blocks: 3", FormatError, "is missing"),
        ("MaskedDiffWithXvec", "CausalMaskedDiffWithXvec", FormatError, "this port was made for cosyvoice.flow"),
    ],
)
def test_a_yaml_that_is_not_this_model_s(folder, tmp_path, line, other, error, message):
    wrong = copied(folder, tmp_path)
    text = (wrong / "cosyvoice.yaml").read_text()
    assert line in text
    (wrong / "cosyvoice.yaml").write_text(text.replace(line, other))
    with pytest.raises(error, match=message):
        load(wrong)


def test_another_version_s_folder(converted, tmp_path):
    from pytorch_to_mlx.models.cosyvoice.pipeline import load as load_version
    from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE2

    with pytest.raises(FormatError, match="this is a model of CosyVoice 1, not of CosyVoice 2"):
        load_version(converted, version=COSYVOICE2)
