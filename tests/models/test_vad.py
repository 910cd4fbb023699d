"""Silero VAD against the package silero-vad: taps, segments and streams, on real weights and real speech."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
from command import run
from parity import assert_taps
from silero_vad import VADIterator, get_speech_timestamps, load_silero_vad
from silero_vad.utils_vad import get_speech_timestamps_from_probs

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.audio.examples import DATA
from pytorch_to_mlx.audio.resample import resample
from pytorch_to_mlx.checkpoint import locate
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.vad.card import CARD
from pytorch_to_mlx.models.vad.config import Config
from pytorch_to_mlx.models.vad.pipeline import vad_options
from pytorch_to_mlx.models.vad.reference import Reference, minute, torch_segments
from pytorch_to_mlx.models.vad.segments import VADOptions, speech_segments
from pytorch_to_mlx.models.vad.weights import WEIGHTS, open_release
from pytorch_to_mlx.validate.run import run as run_validation
from pytorch_to_mlx.weights import dead_rules

LIBRIVOX = sorted((Path(__file__).parent.parent / "data" / "librivox").glob("*.flac"))


def tiny_inputs(config: Config, batch: int = 1):
    audio = mx.random.normal((1, 3 * 512), key=mx.random.key(3))
    return {"audio": mx.repeat(audio, batch, 0)}


@pytest.fixture(scope="module")
def reference():
    return Reference.open(locate("packaged:silero-vad").path)


@pytest.fixture(scope="module")
def pipeline():
    return load("packaged:silero-vad")


@pytest.mark.parametrize("case", ["speech 16000 Hz", "chirp 16000 Hz", "speech 8000 Hz", "chirp 8000 Hz"])
def test_both_networks_agree_tap_by_tap(reference, case):
    chosen = next(c for c in reference.cases() if c.name == case)
    sides = reference.mlx(chosen), reference.torch(chosen), reference.torch(chosen, "float64")
    assert_taps(CARD.taps, *sides)


@pytest.fixture(scope="module")
def package():
    """What a user of silero-vad has: load_silero_vad(), weights and all."""
    return load_silero_vad()


def recorded(path, condition):
    """A recording with silence around it, as it is or as worse microphones and lines leave it; and its rate."""
    samples = np.pad(wav.read(path)[0], (8000, 12000)).astype(np.float32)
    if condition == "noise":
        noise = np.random.default_rng(7).normal(size=len(samples))
        samples = samples + (0.3 * samples.std() * noise).astype(np.float32)
    elif condition == "quiet":
        samples = 0.03 * samples
    elif condition == "telephone":
        return resample(samples, 16000, 8000), 8000
    return samples, 16000


@pytest.mark.parametrize("condition", ["clean", "noise", "quiet", "telephone"])
@pytest.mark.parametrize("path", LIBRIVOX, ids=lambda path: path.stem)
def test_the_default_hears_what_the_package_hears(pipeline, package, path, condition):
    """The right values are load_silero_vad()'s own, with nothing of ours in it: by default and in the stream."""
    samples, rate = recorded(path, condition)
    chunk = rate * 32 // 1000
    speech = pipeline.detect(samples, sample_rate=rate)
    with torch.no_grad():
        expected = package.audio_forward(torch.from_numpy(samples), rate)[0].numpy()
    assert np.abs(speech.probabilities - expected).max() < 2e-5
    spans = get_speech_timestamps(torch.from_numpy(samples), package, sampling_rate=rate)
    assert [(round(s.start_s * rate), round(s.end_s * rate)) for s in speech.segments] == [
        (span["start"], span["end"]) for span in spans
    ]
    iterator, stream = VADIterator(package, sampling_rate=rate), pipeline.stream(sample_rate=rate)
    events, expected_events = [], []
    for start in range(0, len(samples) - chunk + 1, chunk):
        piece = samples[start : start + chunk]
        expected_events += list((iterator(torch.from_numpy(piece)) or {}).items())
        events += [(boundary.kind, round(boundary.time_s * rate)) for boundary in stream.feed(piece)]
    assert events == expected_events
    assert len(spans) >= 1


def test_whisper_listens_with_the_same_weights(package):
    """`vad_filter` and streams take the family's default."""
    from pytorch_to_mlx.models.whisper.pipeline import load_vad

    samples = wav.read(LIBRIVOX[0])[0].astype(np.float32)
    with torch.no_grad():
        expected = package.audio_forward(torch.from_numpy(samples), 16000)[0].numpy()
    assert np.abs(load_vad(None).probabilities(samples) - expected).max() < 2e-5


def test_validation_finds_other_weights_than_the_shipped(tmp_path):
    """The reference holds silero_vad.jit's weights: a source with others cannot agree with itself."""
    source = locate("packaged:silero-vad").path
    reference = Reference.open(source)
    assert "silero_vad.jit" in reference.weights_from
    bias = reference.pipeline.model.net16k.encoder[0].bias
    reference.pipeline.model.net16k.encoder[0].bias = bias + 0.05
    report = run_validation(reference, CARD.taps, family="vad", source="changed", cases=["speech 16000 Hz"])
    assert reference.weights_from in report.summary()
    with pytest.raises(CheckError, match="features"):
        report.check()


def test_the_safetensors_agree():
    """Their network is another; the reference reads that file by torch's names, not through our weight map."""
    reference = Reference.open(locate("packaged:silero-vad-16k").path)
    assert "silero_vad_16k.safetensors" in reference.weights_from
    chosen = reference.cases()[0]
    assert_taps(CARD.taps, reference.mlx(chosen), reference.torch(chosen), reference.torch(chosen, "float64"))


def test_every_rule_is_needed():
    names = []
    for source in ("packaged:silero-vad", "packaged:silero-vad-16k"):
        with open_release(locate(source).path) as checkpoint:
            names.append(checkpoint.names())
    assert not dead_rules(WEIGHTS, *names)


OPTIONS = [
    {},
    {"threshold": 0.7, "neg_threshold": 0.3},
    {"threshold": 0.1},
    {"min_speech_duration_ms": 0, "min_silence_duration_ms": 0, "speech_pad_ms": 0},
    {"max_speech_duration_s": 1.0},
    {"max_speech_duration_s": 0.5, "min_silence_at_max_speech": 40, "speech_pad_ms": 200},
    {"min_silence_duration_ms": 2000, "speech_pad_ms": 400},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("rate", [16000, 8000])
def test_segments_are_silero_s_for_any_track(options, rate):
    """Tracks that wander, so that every rule is met; the package's own function is the judge."""
    rng = np.random.default_rng(5)
    chunk = rate * 32 // 1000
    met = 0
    for _ in range(60):
        steps = rng.normal(size=rng.integers(0, 400)) * rng.choice([0.3, 1.0, 3.0])
        track = (1 / (1 + np.exp(-np.cumsum(steps - 0.02 * np.cumsum(steps) / 10)))).tolist()
        samples = max(0, len(track) * chunk - int(rng.integers(0, chunk)))
        expected = get_speech_timestamps_from_probs(track, rate, audio_length_samples=samples, **options)
        found = speech_segments(track, samples, rate, chunk, VADOptions(**options))
        assert found == [(span["start"], span["end"]) for span in expected]
        met += len(found)
    assert met > 60


@pytest.mark.parametrize("options", OPTIONS[:5], ids=str)
def test_segments_of_real_speech_are_the_package_s(reference, options):
    samples = minute(16000)[: 20 * 16000 + 77]
    expected = torch_segments(reference.original, samples, **options)
    found = reference.pipeline.detect(samples, **options).segments
    assert [(span.start_s, span.end_s) for span in found] == [(s["start"] / 16000, s["end"] / 16000) for s in expected]
    assert len(found) >= 4


def test_a_stream_says_what_the_package_s_iterator_says(reference):
    samples = minute(16000)[: 12 * 16000]
    iterator, expected = VADIterator(reference.original), []
    for start in range(0, len(samples), 512):
        found = iterator(torch.from_numpy(samples[start : start + 512]))
        expected += [(kind, position / 16000) for kind, position in (found or {}).items()]
    stream = reference.pipeline.stream()
    heard = [b for start in range(0, len(samples), 700) for b in stream.feed(samples[start : start + 700])]
    assert [(b.kind, b.time_s) for b in heard] == expected and len(expected) >= 4


@pytest.mark.parametrize("rate", [16000, 8000])
def test_a_stream_hears_what_the_whole_hears(reference, rate):
    samples = minute(rate)[: 6 * rate + 100]
    whole = reference.pipeline.probabilities(samples, sample_rate=rate)
    stream, heard = reference.pipeline.stream(sample_rate=rate), []
    for start in range(0, len(samples), rate * 32 // 1000):
        stream.feed(samples[start : start + rate * 32 // 1000])
        heard.append(stream.probability)
    stream.finish()
    heard[-1] = stream.probability
    assert np.allclose(heard, whole, atol=2e-6)


def test_a_stream_that_ends_in_speech_closes_it(pipeline):
    samples = minute(16000)[: 16000 + 8000]
    stream = pipeline.stream()
    heard = stream.feed(samples) + stream.finish()
    assert [b.kind for b in heard] == ["start", "end"] and heard[-1].time_s == len(samples) / 16000


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(1), np.zeros(16000), np.full(3000, 0.5), np.ones(511)], ids=len
)
def test_nothing_said_is_nothing_found(pipeline, samples):
    found = pipeline.detect(samples)
    assert found.segments == () and np.isfinite(found.probabilities).all()
    assert len(found.probabilities) == -(-len(samples) // 512)


def test_what_cannot_be_heard_is_refused(pipeline, tmp_path):
    with pytest.raises(FormatError, match="NaN"):
        pipeline.detect(np.array([0.0, np.nan]))
    with pytest.raises(UsageError, match="8000"):
        load("packaged:silero-vad-16k").detect(np.zeros(100), sample_rate=8000)
    with pytest.raises(FormatError, match="44100"):
        Config.from_dict({"sample_rates": [44100]})
    for wrong in ({"threshold": 1.5}, {"speech_pad_ms": -1}, {"max_speech_duration_s": 0.0}, {"loudness": 3}):
        with pytest.raises(UsageError):
            vad_options(**wrong)


def test_convert_and_detect_from_the_command_line(tmp_path):
    convert("packaged:silero-vad-onnx", tmp_path / "mlx")
    path = tmp_path / "padded.wav"
    wav.write(path, np.pad(wav.read(DATA / "goforward.flac")[0], 8000), 16000)
    done = run("vad", "detect", str(path), "--model", str(tmp_path / "mlx"), "--scores", "--json")
    assert done.returncode == 0, done.stderr.decode()
    [found] = json.loads(done.stdout)
    direct = load("packaged:silero-vad-onnx").detect(path)
    assert [s["start_s"] for s in found["segments"]] == [round(s.start_s, 3) for s in direct.segments]
    assert len(found["segments"]) >= 1 and len(found["probabilities"]) == len(direct.probabilities)
