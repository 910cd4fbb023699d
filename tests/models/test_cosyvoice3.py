"""CosyVoice 3 as a whole: a tiny release through conversion, recognition, loading and the modes of the pipeline."""

import json
import os
import shutil

import mlx.core as mx
import numpy as np
import onnxruntime
import pytest
from models.cosyvoice import release, release_version3
from models.test_cosyvoice import NO_BATCH, TEXT, VOICE, joined, tiny_inputs

from pytorch_to_mlx.audio.mel import hifigan_log_mel
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.cosyvoice.card import CARD, CARD3
from pytorch_to_mlx.models.cosyvoice.commands_version3 import instructions
from pytorch_to_mlx.models.cosyvoice.original.cases import recording
from pytorch_to_mlx.models.cosyvoice.original.streaming import OriginalStreams
from pytorch_to_mlx.models.cosyvoice.pipeline import load as load_version
from pytorch_to_mlx.models.cosyvoice.release.files import open_release
from pytorch_to_mlx.models.cosyvoice.speakers import speaker_from_recording
from pytorch_to_mlx.models.cosyvoice.streaming import Clock
from pytorch_to_mlx.models.cosyvoice.text.tokenizer import END_OF_PROMPT, add_tags
from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE2, COSYVOICE3
from pytorch_to_mlx.models.cosyvoice.voice.s3_tokenizer import tokenizer_features
from pytorch_to_mlx.registry import recognise

__all__ = ["NO_BATCH", "tiny_inputs"]
SYSTEM = "You are a helpful assistant."
FAST = {"steps": 2, "max_ratio": 4.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return release_version3.write_release(tmp_path_factory.mktemp("release3"), release_version3.TINY)


@pytest.fixture(scope="module")
def pipeline(folder, tmp_path_factory):
    return load(convert(folder, tmp_path_factory.mktemp("converted3") / "mlx"))


@pytest.fixture
def spoken(pipeline, monkeypatch):
    """What the language model is asked for, each time."""
    requests = []
    real = pipeline.synthesizer._speech_tokens

    def record(piece, number, speaker, options, sampler, prompt, prefix):
        requests.append((piece, prompt.prompt_text, prompt.prompt_speech))
        return real(piece, number, speaker, options, sampler, prompt, prefix)

    monkeypatch.setattr(pipeline.synthesizer, "_speech_tokens", record)
    return requests


def test_a_release_is_recognised_and_needs_no_conversion(folder, pipeline):
    assert recognise(folder).card is CARD3
    ours, theirs = (joined(p.inference_zero_shot(TEXT, "that was", VOICE, **FAST)) for p in (pipeline, load(folder)))
    assert np.array_equal(ours, theirs)
    assert pipeline.model.config.mel.f_max is None, "half the sample rate"


def test_the_other_language_model(folder, tmp_path):
    """The release's second one is taken by its name."""
    with open_release(folder, COSYVOICE3) as first, open_release(folder / "llm.rl.pt", COSYVOICE3) as second:
        assert first.names() == second.names()
        one, other = (np.array(c["llm.llm_decoder.weight"]) for c in (first, second))
        assert np.array_equal(*(np.array(c["flow.input_embedding.weight"]) for c in (first, second)))
    assert np.abs(one - other).max() > 0.1
    converted = convert(folder / "llm.rl.pt", tmp_path / "mlx", family="cosyvoice3")
    assert np.array_equal(np.array(load(converted).model.lm.llm_decoder.weight), other)


def test_every_mode_speaks_and_streams(pipeline):
    for speak in (
        lambda **o: pipeline.inference_sft(TEXT, "random:7", **o),
        lambda **o: pipeline.inference_zero_shot(TEXT, "that was", VOICE, **o),
        lambda **o: pipeline.inference_cross_lingual(TEXT, VOICE, **o),
        lambda **o: pipeline.inference_instruct2(TEXT, "one by one", VOICE, **o),
    ):
        options = {"seed": 3, "steps": 2, "min_ratio": 6.0, "max_ratio": 6.0}
        whole, pieces = joined(speak(**options)), list(speak(stream=True, **options))
        assert len(whole) % 960 == 0 and len(joined(pieces)) == len(whole) and len(pieces) > 2
        again = [piece.audio for piece in speak(stream=True, **options)]
        assert all(np.array_equal(a, b.audio) for a, b in zip(again, pieces, strict=True)), "request 1 is as request 0"
        assert whole.std() > 0


def test_voice_conversion(pipeline):
    source = recording(1.6, 1, 24000)
    whole = joined(pipeline.inference_vc(source, VOICE, steps=2))
    assert len(whole) == len(joined(pipeline.inference_vc(source, VOICE, stream=True, steps=2))) == len(source)


def test_the_original_s_streams(pipeline):
    """With its faults on demand: the pieces of the second request are longer. The vocoder has no seams."""
    model, noise = pipeline.model, pipeline.synthesizer.flow_noise
    streams, speaker = OriginalStreams(model), speaker_from_recording(model, VOICE)
    tokens = np.random.default_rng(0).integers(0, 6561, 120).tolist()
    lengths = []
    for _ in range(2):
        mels = list(streams.mels(iter(tokens), speaker, Clock(), noise=noise, steps=1, solver="euler"))
        pieces = list(streams.audio(iter(mels), model.hift.noise(0), Clock()))
        mel = mx.concatenate([mel for mel, _ in mels], axis=1)
        whole = np.array(model.hift(mel, model.hift.noise(0)(0, 120 * 960))[0])
        np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=0, atol=1e-6)
        lengths.append([len(piece) for piece in pieces])
    assert lengths[0][0] < lengths[1][0]


@pytest.mark.parametrize("words", ["one of the two and that all were what they had not but for you", "all that"])
def test_text_that_is_still_being_written(pipeline, words):
    speech = pipeline.inference_zero_shot(
        (word + " " for word in words.split()), "that was", VOICE, stream=True, **FAST
    )
    assert len(joined(speech)) % 960 == 0


def test_the_system_prompt_stands_before_every_text(pipeline, spoken):
    encode = pipeline.tokenizer.encode
    system = tuple(encode(SYSTEM + END_OF_PROMPT))
    list(pipeline.inference_cross_lingual(TEXT, VOICE, **FAST))
    list(pipeline.inference_zero_shot(TEXT, "that was", VOICE, **FAST))
    list(pipeline.inference_zero_shot(TEXT, f"You are.{END_OF_PROMPT}that", VOICE, **FAST))
    list(pipeline.inference_instruct2(TEXT, "one by one", VOICE, **FAST))
    list(pipeline.inference_instruct2(TEXT, f"{SYSTEM} one by one{END_OF_PROMPT}", VOICE, **FAST))
    list(pipeline.inference_cross_lingual(f"{SYSTEM}{END_OF_PROMPT}{TEXT}", VOICE, **FAST))
    prompts = [prompt for _, prompt, _ in spoken]
    instruct = tuple(encode(f"{SYSTEM} one by one{END_OF_PROMPT}"))
    own = tuple(encode(f"You are.{END_OF_PROMPT}that"))
    assert prompts == [system, (*system, *encode("that was")), own, instruct, instruct, ()]


def test_a_speaker_is_saved_with_the_system_prompt(pipeline, spoken):
    pipeline.add_zero_shot_spk("that was", VOICE, "me")
    pipeline.add_zero_shot_spk("", VOICE, "silent")
    for voice in ("me", "silent"):
        list(pipeline.generate(TEXT, voice=voice, **FAST))
    system = tuple(pipeline.tokenizer.encode(SYSTEM + END_OF_PROMPT))
    assert [prompt for _, prompt, _ in spoken] == [(*system, *pipeline.tokenizer.encode("that was")), system]
    assert not pipeline.speaker("silent").prompt_text


def test_phonemes_are_single_tokens(pipeline):
    assert len(COSYVOICE3.tags) == 278
    published = add_tags({"<|im_end|>": 151_645}, COSYVOICE3.tags, 151_643)
    known = {"<|endofprompt|>": 151_646, "[laughter]": 151_651, "[mn]": 151_662, "<|endofsystem|>": 151_663,
             "[AA]": 151_664, "[ZH]": 151_747, "[a]": 151_748, "[ǜ]": 151_923}  # fmt: skip
    assert {tag: published[tag] for tag in known} == known
    assert len(pipeline.tokenizer.encode("[j][ǐ]")) == 2


def test_instructions():
    rows = instructions()
    assert len(rows) == 26 and rows[0] == {"instruction": "请用广东话表达。"}


def test_the_prompt_s_mel_has_no_upper_limit(pipeline):
    speaker = speaker_from_recording(pipeline.model, VOICE)
    whole = hifigan_log_mel(mx.array(VOICE), sample_rate=24000, n_fft=1920, hop_length=480, n_mels=80, f_max=None)
    np.testing.assert_allclose(np.array(speaker.mel[0]), np.array(whole[: speaker.mel.shape[1]]), atol=1e-5)


@pytest.mark.parametrize("seconds", [0.3, 2.0])
def test_speech_tokens_are_those_of_onnxruntime(folder, pipeline, seconds):
    audio = recording(seconds, 3)
    log_mel = tokenizer_features(audio)
    session = onnxruntime.InferenceSession(str(folder / "speech_tokenizer_v3.onnx"), providers=["CPUExecutionProvider"])
    feats = np.array(log_mel).swapaxes(1, 2)
    (expected,) = session.run(None, {"feats": feats, "feats_length": np.array([feats.shape[2]], np.int32)})
    got = np.array(pipeline.model.speech_tokenizer(log_mel))
    assert np.array_equal(got, expected.reshape(got.shape)) and len(np.unique(got)) > 1


@pytest.fixture(scope="module")
def version2(tmp_path_factory):
    return release.write_release(tmp_path_factory.mktemp("release2"), release.TINY)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("llm.pt", r"llm\.pt: this is the part of CosyVoice 2, not of CosyVoice 3; take all files"),
        ("flow.pt", r"flow\.pt: this is the part of CosyVoice 2, not of CosyVoice 3; take all files"),
        ("hift.pt", r"hift\.pt: this is the part of CosyVoice 2, not of CosyVoice 3; take all files"),
    ],
)
def test_a_part_of_version_2(folder, version2, tmp_path, part, message):
    mixed = shutil.copytree(folder, tmp_path / "mixed", copy_function=os.link)
    (mixed / part).unlink()
    os.link(version2 / part, mixed / part)
    with pytest.raises(FormatError, match=message):
        open_release(mixed, COSYVOICE3)


def test_the_speech_tokenizer_of_version_2(folder, version2, tmp_path):
    mixed = shutil.copytree(folder, tmp_path / "mixed", copy_function=os.link)
    (mixed / "speech_tokenizer_v3.onnx").unlink()
    os.link(version2 / "speech_tokenizer_v2.onnx", mixed / "speech_tokenizer_v3.onnx")
    with pytest.raises(FormatError, match="this is the part of CosyVoice 2, not of CosyVoice 3"):
        open_release(mixed, COSYVOICE3)


def test_a_folder_of_another_version(folder, version2, tmp_path):
    for path, version, own, other in ((folder, COSYVOICE2, 3, 2), (version2, COSYVOICE3, 2, 3)):
        what = f"a model of CosyVoice {own}, not of CosyVoice {other}; use the cosyvoice{own} commands"
        with pytest.raises(FormatError, match=what):
            load_version(path, version=version)
    converted = convert(version2, tmp_path / "mlx")
    with pytest.raises(FormatError, match="a model of CosyVoice 2, not of CosyVoice 3; use the cosyvoice2 commands"):
        load_version(converted, version=COSYVOICE3)
    assert recognise(version2).card is CARD and recognise(converted).card is CARD


def test_the_language_model_is_quantized_and_nothing_else(folder, tmp_path):
    path = convert(folder, tmp_path / "mlx", quantize=True, q_bits=4, q_group_size=32, dtype="float16")
    about = json.loads((path / "conversion.json").read_text())
    assert about["quantization"]["layers"] and all(name.startswith("lm.") for name in about["quantization"]["layers"])
    assert joined(load(path).inference_sft("all that.", "random:1", **FAST)).std() > 0
