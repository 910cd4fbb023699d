"""CosyVoice 2 as a whole: a tiny release through conversion, validation, loading and the modes of the pipeline."""

import json
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.cosyvoice import release

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.cosyvoice import synthesis
from pytorch_to_mlx.models.cosyvoice.card import CARD
from pytorch_to_mlx.models.cosyvoice.options import Options
from pytorch_to_mlx.models.cosyvoice.original.cases import recording
from pytorch_to_mlx.models.cosyvoice.pipeline import open_speakers
from pytorch_to_mlx.models.cosyvoice.reference import Reference
from pytorch_to_mlx.models.cosyvoice.speakers import Speakers, speaker_from_recording
from pytorch_to_mlx.models.cosyvoice.streaming import (
    OVERLAP,
    Clock,
    count_first_tokens,
    stream_audio,
    stream_mels,
    stream_mels_in_windows,
)
from pytorch_to_mlx.models.cosyvoice.text.tokenizer import END_OF_PROMPT
from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE2
from pytorch_to_mlx.models.cosyvoice.vocoder.stream import HiftStream
from pytorch_to_mlx.models.cosyvoice.vocoder.stretch import stretch
from pytorch_to_mlx.tasks import Speech
from pytorch_to_mlx.validate.run import run

NO_BATCH = "speech is made for one voice and one text at a time: lengths differ from text to text"
TEXT = "one of the two and that."
RATE = 24000
VOICE = recording(2.0, 0, RATE)


def tiny_inputs(config, batch=1):
    rng = np.random.default_rng(0)
    speech = rng.integers(0, config.lm.speech_token_size, 12).tolist()
    n_frames = config.flow.frames(12)
    frames, samples = 50 + n_frames, n_frames * config.hift.samples_per_frame

    def normal(*shape):
        return mx.array(rng.standard_normal(shape).astype(np.float32))

    return {
        "text": [1, 2, 3],
        "speech": speech,
        "fbank": normal(1, 98, 80),
        "log_mel": normal(1, 100, 128),
        "prompt_mel": normal(1, 50, config.mel.n_mels),
        "flow_noise": normal(1, frames, config.mel.n_mels),
        "source_noise": normal(1, samples, config.hift.nb_harmonics + 1),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return release.write_release(tmp_path_factory.mktemp("release"), release.TINY)


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


def test_a_release_is_recognised_and_needs_no_conversion(folder, pipeline):
    ours, theirs = (joined(p.inference_zero_shot(TEXT, "that was", VOICE)) for p in (pipeline, load(folder)))
    assert np.array_equal(ours, theirs)


def test_validation_passes(folder):
    reference = Reference.open(folder)
    report = run(reference, CARD.taps, family="cosyvoice2", source="tiny")
    report.check()
    missing = {tap.name for tap in CARD.taps} - {tap.name for case in report.cases for tap in case.taps}
    assert missing == {"drawn_tokens"}, "the installed package draws otherwise: see cosyvoice/test_lm.py"


def test_validation_sees_one_wrong_weight(folder):
    reference = Reference.open(folder)
    layer = reference.model.flow.estimator.mid[0].layers[0].down_proj
    layer.weight = layer.weight * 1.01
    name = next(case.name for case in reference.cases() if case.inputs["kind"] == "audio")
    report = run(reference, CARD.taps, family="cosyvoice2", source="tiny", cases=[name])
    bad = [tap.name for case in report.cases for tap in case.taps if not tap.passed]
    assert bad[0] == "step 1" and "encoder" not in bad
    with pytest.raises(CheckError):
        report.check()


@pytest.mark.parametrize("bits", [8, 4])
def test_the_language_model_is_quantized_and_nothing_else(folder, tmp_path, bits):
    path = convert(folder, tmp_path / "mlx", quantize=True, q_bits=bits, q_group_size=32, dtype="float16")
    about = json.loads((path / "conversion.json").read_text())
    assert about["quantization"]["layers"] and all(name.startswith("lm.") for name in about["quantization"]["layers"])
    for dequantize in (None, True, False):
        said = joined(load(path, dequantize=dequantize).inference_sft("all that.", "random:1", max_ratio=4.0))
        assert len(said) and said.std() > 0


@pytest.mark.parametrize(
    "speak",
    [
        lambda p, **o: p.inference_sft(TEXT, "random:7", **o),
        lambda p, **o: p.inference_sft(TEXT, "none", **o),
        lambda p, **o: p.inference_zero_shot(TEXT, "that was", VOICE, **o),
        lambda p, **o: p.inference_cross_lingual(TEXT, VOICE, **o),
        lambda p, **o: p.inference_cross_lingual(TEXT, np.ones(192, np.float32), **o),
        lambda p, **o: p.inference_instruct2(TEXT, "one by one", VOICE, **o),
    ],
    ids=["sft, random", "sft, nobody", "zero-shot", "cross-lingual", "an embedding", "instruct"],
)
def test_every_mode_speaks_and_streams(pipeline, speak):
    short = {"min_ratio": 6.0, "max_ratio": 6.0}  # speech tokens for a word
    whole = joined(speak(pipeline, seed=3, **short))
    assert len(whole) % 960 == 0, "two frames of 480 samples a token"
    pieces = list(speak(pipeline, seed=3, stream=True, **short))
    stream = joined(pieces)
    assert len(stream) == len(whole) and len(pieces) > 2
    starts = np.cumsum([0] + [len(piece.audio) for piece in pieces]) / RATE
    assert [piece.start_s for piece in pieces] == pytest.approx(starts[:-1])
    again = [piece.audio for piece in speak(pipeline, seed=3, stream=True, **short)]
    assert all(np.array_equal(a, b.audio) for a, b in zip(again, pieces, strict=True)), "request 1 streams as request 0"
    other = joined(speak(pipeline, seed=4, **short))
    assert not np.array_equal(other[: len(whole)], whole[: len(other)])


@pytest.mark.parametrize(
    ("generate", "original"),
    [
        (lambda p, o: p.generate(TEXT, voice=VOICE, ref_text="that was", **o),
         lambda p, o: p.inference_zero_shot(TEXT, "that was", VOICE, **o)),
        (lambda p, o: p.generate(TEXT, voice=VOICE, **o), lambda p, o: p.inference_cross_lingual(TEXT, VOICE, **o)),
        (lambda p, o: p.generate(TEXT, voice=VOICE, instruct="one by one", **o),
         lambda p, o: p.inference_instruct2(TEXT, "one by one", VOICE, **o)),
        (lambda p, o: p.generate(TEXT, voice="random:7", **o), lambda p, o: p.inference_sft(TEXT, "random:7", **o)),
        (lambda p, o: p.generate(TEXT, voice="none", **o), lambda p, o: p.inference_sft(TEXT, "none", **o)),
        (lambda p, o: p.generate(TEXT, voice=np.ones(192, np.float32), **o),
         lambda p, o: p.inference_cross_lingual(TEXT, np.ones(192, np.float32), **o)),
    ],
    ids=["transcribed recording", "recording", "instruction", "random", "none", "embedding"],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_generate_is_the_original_s_mode(pipeline, generate, original, stream):
    options = {"seed": 3, "stream": stream, "steps": 1, "max_ratio": 4.0}
    assert np.array_equal(joined(generate(pipeline, options)), joined(original(pipeline, options)))


def test_generate_with_files_and_saved_speakers(folder, tmp_path, monkeypatch):
    pipeline, options = load(folder), {"steps": 1, "max_ratio": 4.0}
    path = tmp_path / "me.wav"
    wav.write(path, VOICE, RATE)
    zero_shot = joined(pipeline.inference_zero_shot(TEXT, "that was", str(path), **options))
    for recorded in (path, str(path), path.read_bytes()):
        assert np.array_equal(
            joined(pipeline.generate(TEXT, voice=recorded, ref_text="that was", **options)), zero_shot
        )
    pipeline.add_zero_shot_spk("that was", str(path), "me")
    for voice in ("me", None, pipeline.speaker("me")):
        assert np.array_equal(joined(pipeline.generate(TEXT, voice=voice, **options)), zero_shot)
    pipeline.add_zero_shot_spk("", str(path), "silent")
    cross_lingual = joined(pipeline.inference_cross_lingual(TEXT, str(path), **options))
    assert np.array_equal(joined(pipeline.generate(TEXT, voice="silent", **options)), cross_lingual)
    monkeypatch.chdir(tmp_path)
    path.rename("random:1")
    chosen = joined(pipeline.generate(TEXT, voice="random:1", **options))
    assert np.array_equal(chosen, joined(pipeline.inference_sft(TEXT, "random:1", **options))), "not the file"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "no voice is given; give a recording, a saved speaker (a, b), 'random', 'random:SEED' or 'none'"),
        ({"voice": "c"}, "there is no speaker and no recording 'c'; give a recording, a saved speaker (a, b)"),
        ({"voice": "a", "ref_text": "that was"}, "ref_text is what a recording says; 'a' is a speaker's name"),
        ({"voice": VOICE, "ref_text": "that", "instruct": "one"}, "give ref_text or instruct, not both"),
        ({"voice": VOICE, "instruct": " "}, "the instruction is empty"),
        ({"voice": VOICE, "speed": 5.0}, "speed must be between 0.25 and 4.0, not 5.0"),
    ],
)
def test_generate_refuses_wrong_use_at_once(folder, wrong, message):
    pipeline = load(folder)
    for name in "ab":
        pipeline.speakers.add(name, pipeline.speaker("random"))
    with pytest.raises(UsageError) as raised:
        pipeline.generate(TEXT, **wrong)
    assert message in str(raised.value)


def test_generate_without_saved_speakers(pipeline):
    with pytest.raises(UsageError, match="no voice is given; give a recording, 'random', 'random:SEED' or 'none'"):
        pipeline.generate(TEXT)


@pytest.mark.parametrize("seconds", [0.4, 1.9])
def test_stream_is_the_whole_with_the_mask_of_a_stream(pipeline, seconds):
    """The mel's last digits differ, of which the source makes another phase: the audio is compared on the same mel."""
    model, clock = pipeline.model, Clock()
    speaker = speaker_from_recording(model, recording(seconds, 5, RATE))
    tokens, length = said_tokens(pipeline, TEXT), len(speaker.speech_tokens)
    given = mx.array([tokens]), speaker.tokens(), speaker.mel, speaker.embedding
    whole = model.flow(*given, noise=pipeline.synthesizer.flow_noise, streaming=True, steps=2)
    options = Options(stream=True, steps=2)
    mels = list(stream_mels(model, iter(tokens), pipeline.synthesizer.prefix(speaker, options, clock), length, clock))
    assert mels[0].shape[1] == 2 * count_first_tokens(model, length) and len(mels) > 3
    mel = mx.concatenate(mels, axis=1)
    np.testing.assert_allclose(np.array(mel), np.array(whole), atol=1e-5)
    pieces = list(stream_audio(iter(mels), HiftStream(model.hift, model.hift.noise(0)), clock))
    audio = np.array(model.hift(mel, model.hift.noise(0)(0, 960 * len(tokens)))[0])
    np.testing.assert_allclose(np.concatenate(pieces), audio, atol=1e-5)
    spoken = pipeline.inference_cross_lingual(TEXT, speaker, stream=True, steps=2, text_frontend=False)
    assert np.array_equal(joined(spoken), np.concatenate(pieces))
    assert clock.first.keys() == {"flow_prompt", "language_model", "flow", "vocoder"}


def test_windows_go_on_from_the_last_seconds(pipeline):
    """Each is what the flow makes of its tokens after a prompt that ends with the last of those before."""
    model, size = pipeline.model, 3 * OVERLAP
    speaker = speaker_from_recording(model, recording(1.9, 5, RATE))
    tokens = np.random.default_rng(0).integers(0, model.config.flow.vocab_size, 2 * size + 10).tolist()
    prefix = pipeline.synthesizer.prefix(speaker, Options(stream=True, steps=2), Clock())
    streamed = stream_mels_in_windows(model, iter(tokens), prefix, len(speaker.speech_tokens), Clock(), size)
    mel = np.array(mx.concatenate(list(streamed), axis=1))
    assert mel.shape[1] == 2 * len(tokens)
    prompt, prompt_mel = list(speaker.speech_tokens), np.array(speaker.mel)
    for start in range(0, len(tokens), size):
        before = slice(max(0, start - OVERLAP), start)
        whole = model.flow(
            mx.array([tokens[start : start + size]]),
            mx.array([prompt + tokens[before]]),
            mx.array(np.concatenate([prompt_mel, mel[:, 2 * before.start : 2 * start]], axis=1)),
            speaker.embedding,
            noise=pipeline.synthesizer.flow_noise,
            streaming=True,
            steps=2,
        )
        np.testing.assert_allclose(mel[:, 2 * start : 2 * (start + size)], np.array(whole), atol=1e-5)


def test_a_stream_of_text_has_no_end(pipeline, monkeypatch):
    """It is longer than the noise, and its memory is that of a window."""
    monkeypatch.setattr(synthesis, "TEXT_WINDOW_TOKENS", 100)
    synthesizer = pipeline.synthesizer
    monkeypatch.setattr(synthesizer, "flow_noise", synthesizer.flow_noise[:, : 2 * 250])
    words = (
        word + " "
        for _ in range(4)
        for word in "one of the two and that all were what they had not but for you".split()
    )
    speech = pipeline.inference_cross_lingual(words, VOICE, stream=True, steps=1, win_size=0)
    assert len(joined(speech)) > 300 * 960


def test_long_pieces_go_through_the_vocoder_in_windows(pipeline, monkeypatch):
    whole = joined(pipeline.inference_sft(TEXT, "random", steps=1))
    monkeypatch.setattr(synthesis, "VOCODER_FRAMES", 60)
    windows = joined(pipeline.inference_sft(TEXT, "random", steps=1))
    assert len(whole) > 60 * 480
    np.testing.assert_allclose(windows, whole, atol=1e-5)


def test_the_original_s_streams(pipeline):
    """With its faults on demand: the pieces of the second request are longer."""
    counts = []
    for _ in range(2):
        speech = pipeline.inference_cross_lingual(TEXT, VOICE, stream=True, as_original=True, steps=1, min_ratio=20.0)
        pieces = list(speech)
        assert len(joined(pieces)) % 960 == 0
        counts.append(len(pieces[0].audio))
    assert counts[0] < counts[1]


def said_tokens(pipeline, text):
    from pytorch_to_mlx.models.cosyvoice.lm.decode_text import decode_text

    ids = pipeline.tokenizer.encode(text)
    return list(decode_text(pipeline.model.lm, ids, uniform=np.random.default_rng([0, 0]).random))


def test_text_that_is_still_being_written_is_heard(pipeline):
    read = []

    def words():
        for word in "one of the two and that all were what they had not but for you".split():
            read.append(word)
            yield word + " "

    speech = pipeline.inference_zero_shot(words(), "that was", VOICE, stream=True)
    first = next(speech)
    assert len(first.audio) and len(read) < 15
    assert len(joined([first, *speech])) % 960 == 0 and len(read) == 15


def test_voice_conversion(pipeline):
    source = recording(3.0, 1, RATE)
    whole = joined(pipeline.inference_vc(source, VOICE))
    assert len(whole) == 3 * RATE
    assert len(list(pipeline.inference_vc(source, VOICE))) == 1
    assert len(joined(pipeline.inference_vc(source, VOICE, stream=True))) == 3 * RATE
    assert len(joined(pipeline.inference_vc(source, VOICE, speed=2.0))) == pytest.approx(1.5 * RATE, abs=480)


def test_recordings_over_30_s_are_converted(pipeline):
    source = recording(62.0, 1, RATE)
    pieces = list(pipeline.inference_vc(source, VOICE, stream=True, steps=1))
    assert len(joined(pieces)) == len(joined(pipeline.inference_vc(source, VOICE, steps=1))) == 62 * RATE


@pytest.mark.parametrize("solver", ["euler", "midpoint", "rk45"])
def test_solvers(pipeline, solver):
    audio = joined(pipeline.inference_sft("all that.", "random", solver=solver, steps=4, max_ratio=3.0))
    assert audio.std() > 0


@pytest.mark.parametrize("speed", [0.5, 0.77, 1.0, 2.0])
def test_speed_is_torch_s_interpolation(speed):
    mel = np.random.default_rng(0).standard_normal((1, 41, 80)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(mel).double().transpose(1, 2), size=int(41 / speed), mode="linear"
    ).transpose(1, 2)
    np.testing.assert_allclose(np.array(stretch(mx.array(mel), speed)), theirs.numpy(), atol=3e-6)


def test_speed_changes_the_length(pipeline):
    normal, fast = (joined(pipeline.inference_sft(TEXT, "none", speed=speed)) for speed in (1.0, 2.0))
    assert len(fast) == pytest.approx(len(normal) / 2, abs=960)


def test_speakers_are_saved_and_found_again(folder, tmp_path):
    path = convert(folder, tmp_path / "mlx")
    pipeline = load(path)
    assert pipeline.list_available_spks() == []
    assert pipeline.add_zero_shot_spk("that was", VOICE, "me") and pipeline.list_available_spks() == ["me"]
    fresh = joined(pipeline.inference_zero_shot(TEXT, "that was", VOICE))
    pipeline.save_spkinfo()
    again = load(path)
    assert again.list_available_spks() == ["me"]
    assert np.array_equal(joined(again.inference_zero_shot(TEXT, zero_shot_spk_id="me")), fresh)
    saved = open_speakers(path, COSYVOICE2)
    assert saved.about("me") == {"recording_s": 2.0, "transcript": True}
    saved.remove("me")
    saved.save()
    assert load(path).list_available_spks() == [] and not list((path / "speakers").iterdir())
    with pytest.raises(UsageError, match="no speaker 'me'"):
        load(path).inference_sft(TEXT, "me")


def test_an_instruction_is_followed_by_a_saved_speaker_too(pipeline, monkeypatch):
    """The original takes the saved transcript for the instruction, and speaks it."""
    told = []
    monkeypatch.setattr(pipeline.synthesizer, "speak", lambda *args, **given: told.append(given) or iter(()))
    speaker = replace(pipeline.speaker("random"), prompt_text=(1, 2, 3), speech_tokens=(4, 5))
    for instruction in ("one by one", "one by one" + END_OF_PROMPT):
        list(pipeline.inference_instruct2(TEXT, instruction, speaker))
    ids = pipeline.tokenizer.encode("one by one" + END_OF_PROMPT)
    assert ids[-1] == pipeline.tokenizer.special[END_OF_PROMPT]
    assert told == [{"prompt_text": tuple(ids)}] * 2


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"speed": 0.0}, "speed must be between 0.25 and 4.0, not 0"),
        ({"speed": float("nan")}, "speed must be between 0.25 and 4.0, not nan"),
        ({"speed": 2.0, "stream": True}, "a stream has the speed 1"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"seed": 2**70}, "seed must be between"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"solver": "heun"}, "unknown solver 'heun'"),
        ({"temperature": -1.0}, "temperature must be between 0 and 100, not -1"),
        ({"top_k": 0}, "top_k must be between 1 and .*, not 0"),
        ({"max_ratio": 1.0}, "0 <= min_ratio <= max_ratio <= 1000 does not hold for 2 and 1"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(pipeline, wrong, what):
    with pytest.raises(UsageError, match=what):
        pipeline.inference_sft(TEXT, "random", **wrong)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda p: p.inference_sft("  ", "random"), "no text"),
        (lambda p: p.inference_sft(TEXT, "random:x"), "not a random speaker"),
        (lambda p: p.inference_sft(TEXT, "nobody else"), "no speaker 'nobody else'"),
        (lambda p: p.inference_zero_shot(TEXT, "that was"), "recording of the voice"),
        (lambda p: p.inference_cross_lingual(TEXT, VOICE, "random"), "either a recording"),
        (lambda p: p.inference_instruct2(TEXT, " ", VOICE), "instruction is empty"),
        (lambda p: p.inference_cross_lingual(TEXT, recording(31.0, 0, RATE)), "is 31.0 s long"),
        (lambda p: p.inference_cross_lingual(TEXT, recording(0.1, 0, RATE)), "is 0.1 s long"),
        (lambda p: p.inference_cross_lingual(TEXT, np.ones(191, np.float32)), "192 finite numbers"),
        (lambda p: p.add_zero_shot_spk("a", VOICE, "../me"), "cannot be a speaker's name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_use_is_refused_before_anything_is_spoken(pipeline, call, what):
    with pytest.raises(UsageError, match=what):
        call(pipeline)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("embedding", mx.zeros((1, 7))),
        ("embedding", mx.full((1, 192), float("nan"))),
        ("mel", mx.zeros((1, 4, 3))),
        ("speech_tokens", mx.array([6561])),
        ("prompt_text", mx.array([-1])),
        ("other", mx.zeros(1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_malformed_speakers_are_refused(converted, tmp_path, pipeline, name, array):
    mx.save_safetensors(str(tmp_path / "bad.safetensors"), {"embedding": mx.zeros((1, 192)), name: array})
    with pytest.raises(FormatError, match="not a speaker of this model"):
        Speakers(pipeline.model.config, tmp_path)["bad"]


def test_a_damaged_model_is_said(folder):
    broken = load(folder)
    broken.model.hift.conv_pre.weight = broken.model.hift.conv_pre.weight * float("nan")
    with pytest.raises(CheckError, match="not finite"):
        list(broken.inference_sft("all that.", "random"))
