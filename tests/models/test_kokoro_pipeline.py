"""The pipeline: pieces, words, seeds, streaming, sources, faults; on a tiny random model, some on the real weights."""

import json
import math
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from pytorch_to_mlx import checkpoint
from pytorch_to_mlx.audio.wav import read
from pytorch_to_mlx.checkpoint import Located
from pytorch_to_mlx.errors import CheckError, FormatError, MachineError, PortError, UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.kokoro import commands, pipeline, streaming
from pytorch_to_mlx.models.kokoro.config import Config
from pytorch_to_mlx.models.kokoro.model import Model
from pytorch_to_mlx.models.kokoro.pipeline import KokoroPipeline
from pytorch_to_mlx.models.kokoro.voices import RELEASED, Voices
from pytorch_to_mlx.models.kokoro.weights import PUBLISHED_CONFIG, WEIGHTS
from pytorch_to_mlx.tasks import Speech
from pytorch_to_mlx.text.phonemes import phonemize
from pytorch_to_mlx.text.split import join
from pytorch_to_mlx.weights import invert, write_folder

TEXT = "Hello, world! This is PyTorch to MLX."
LONG = "The keeper walked along the shore every evening; he watched the waves, and waited. " * 5
SENTENCE = (
    "The old lighthouse keeper walked slowly along the rocky shore every evening, watching the waves and waiting "
    "for the ships."
)
REAL_CONFIG = json.loads(PUBLISHED_CONFIG.read_text())


def tiny_config(positions=64):
    config = Config.tiny()
    plbert = replace(config.plbert, max_position_embeddings=positions)
    return replace(config, plbert=plbert, n_token=REAL_CONFIG["n_token"], vocab=REAL_CONFIG["vocab"])


def tiny_pipeline(folder, positions=64):
    mx.random.seed(0)
    config = tiny_config(positions)
    model = Model(config)
    mx.eval(model.parameters())
    for i, name in enumerate(["af_one", "bm_two", "jf_three"]):
        rows = np.random.default_rng(i).standard_normal((510, 1, 2 * config.style_dim)).astype(np.float32)
        (folder / f"{name}.bin").write_bytes((0.3 * rows).tobytes())
    return KokoroPipeline(model, Voices(folder))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("voices"))


@pytest.fixture(scope="module")
def tiny_510(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("voices"), positions=512)


def whole(pipe, *args, **options):
    return Speech.concatenate(pipe.generate(*args, **{"voice": "af_one", **options}))


def test_a_sentence(tiny):
    speech = whole(tiny, TEXT)
    assert speech.text == TEXT
    assert speech.phonemes == "həlˈO, wˈɜɹld! ðˌɪs ɪz pˈI tˈɔɹʧ tʊ ˌɛmˌɛlˈɛks."
    assert speech.audio.dtype == np.float32 and speech.audio.ndim == 1 and np.isfinite(speech.audio).all()
    assert speech.sample_rate == 24_000 and speech.processing_s > 0 and speech.real_time_factor > 0
    assert [word.text for word in speech.words] == ["Hello", "world", "This", "is", "PyTorch", "to", "MLX"]
    assert all(0 <= a.start_s < a.end_s <= b.start_s for a, b in pairwise(speech.words))
    assert speech.words[-1].end_s <= speech.duration_s * 10  # the tiny model's frames are shorter than 1/40 s


def test_the_same_seed_gives_the_same_bytes(tiny):
    for options in ({}, {"stream": True}):
        first, again, other = (whole(tiny, LONG, seed=seed, **options).audio for seed in (7, 7, 8))
        assert first.tobytes() == again.tobytes() != other.tobytes()
        assert len(first) == len(other)


def test_pieces_do_not_share_their_noise(tiny):
    pieces = [piece.audio for piece in tiny.generate("hello hello.\nhello hello.", voice="af_one")]
    assert len(pieces) == 2 and len(pieces[0]) == len(pieces[1])
    assert not np.array_equal(*pieces)


def test_phonemes_are_the_text(tiny):
    speech = whole(tiny, TEXT)
    direct = whole(tiny, phonemes=speech.phonemes)
    assert direct.audio.tobytes() == speech.audio.tobytes()
    assert direct.words == () and direct.text == ""


def test_long_text_is_cut_and_nothing_is_lost(tiny):
    pieces = list(tiny.generate(LONG, voice="af_one"))
    assert len(pieces) > 5 and all(len(piece.phonemes) <= 62 for piece in pieces)
    (tokens,) = phonemize(LONG, "a")
    assert "".join(p.phonemes for p in pieces).replace(" ", "") == join(tokens).replace(" ", "")
    assert " ".join(p.text for p in pieces) == LONG.strip()
    starts = np.cumsum([0, *(p.duration_s for p in pieces)])
    np.testing.assert_allclose([p.start_s for p in pieces], starts[:-1])
    words = [word for piece in pieces for word in piece.words]
    assert [w.text for w in words] == LONG.replace(";", "").replace(",", "").replace(".", "").split()
    for piece in pieces:
        assert all(word.start_s >= piece.start_s for word in piece.words)


def test_generation_is_lazy(tiny, monkeypatch):
    calls = []
    monkeypatch.setattr(Model, "prosody", lambda self, *args, real=Model.prosody: calls.append(0) or real(self, *args))
    pieces = tiny.generate(LONG, voice="af_one")
    assert not calls
    next(pieces)
    assert len(calls) == 1


@pytest.mark.parametrize("phonemes", ["a", "həlˈO", "həlˈO wˈɜɹld"])
def test_the_voices_row_is_the_references(tiny, monkeypatch, phonemes):
    """KPipeline.infer: pack[len(ps) - 1]."""
    seen = []
    prosody = Model.prosody
    monkeypatch.setattr(Model, "prosody", lambda self, ids, s, v: seen.append((ids, s, v)) or prosody(self, ids, s, v))
    whole(tiny, phonemes=phonemes, speed=1.5)
    ((ids, style, speed),) = seen
    assert ids == [0, *(REAL_CONFIG["vocab"][c] for c in phonemes), 0] and speed == 1.5
    np.testing.assert_array_equal(np.array(style)[0], tiny.voices("af_one")[len(phonemes) - 1])


def test_the_language_is_the_voices_or_the_one_asked_for(tiny):
    assert whole(tiny, "water", voice="bm_two").phonemes == "wˈɔːtə"
    assert whole(tiny, "water", voice="bm_two", lang_code="en-us").phonemes == "wˈɔTəɹ"
    speech = whole(tiny, "こんにちは。", voice="jf_three")
    assert speech.phonemes == "koɲɲiʨiβa." and speech.text == "こんにちは。" and speech.words == ()


def test_stream_is_earlier_and_says_the_same(tiny, monkeypatch):
    monkeypatch.setattr(streaming, "FIRST", 60)
    at_once, streamed = (list(tiny.generate(TEXT, voice="af_one", stream=stream)) for stream in (False, True))
    assert len(streamed) > len(at_once)
    assert len(streamed[0].audio) == 60 * tiny.model.config.istftnet.samples_per_pitch
    joined, expected = Speech.concatenate(streamed), Speech.concatenate(at_once)
    assert joined.text == expected.text and joined.phonemes == expected.phonemes and joined.words == expected.words
    assert len(joined.audio) == len(expected.audio)
    np.testing.assert_allclose([p.start_s for p in streamed[1:]], np.cumsum([p.duration_s for p in streamed])[:-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either"),
        ({"text": "a", "phonemes": "a"}, "either"),
        ({"text": ""}, "no text"),
        ({"phonemes": "  "}, "no phonemes"),
        ({"phonemes": "a❓b"}, "❓"),
        ({"text": "a", "speed": 0}, "between 0.25 and 4"),
        ({"text": "a", "speed": -1}, "speed"),
        ({"text": "a", "speed": 1000}, "speed"),
        ({"text": "a", "speed": math.nan}, "speed"),
        ({"text": "a", "speed": math.inf}, "speed"),
        ({"text": "a", "seed": -1}, "seed"),
        ({"text": "a", "seed": 2**70}, "seed"),
        ({"text": "a", "voice": "af_oen"}, "did you mean af_one"),
        ({"text": "a", "voice": "af_one:0.5+nobody:0.5"}, "nobody"),
        ({"text": "a", "lang_code": "xx"}, "languages: a"),
    ],
)
def test_wrong_use(tiny, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        list(tiny.generate(**{"voice": "af_one", **options}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["\u200b", "\u0301\u0301", "\u2060\ufeff", "[]", "...", "😀🎉", "日本語", "مرحبا"])
def test_nothing_to_speak(tiny, text):
    with pytest.raises(FormatError, match="nothing in this text"):
        list(tiny.generate(text, voice="af_one"))


@pytest.mark.parametrize(
    "text", ["😀🎉", "日本語", "مرحبا", "<|endoftext|></s>", "a" * 3000, "1" * 400, "?!" * 500, "a\0b"]
)
def test_strange_text_is_finite_audio(tiny, text):
    pieces = tiny.generate(text, voice="af_one", text_frontend=False)
    for _, piece in zip(range(3), pieces, strict=False):
        assert len(piece.audio) and np.isfinite(piece.audio).all()


def test_a_voice_of_another_model(tiny, tmp_path):
    np.zeros((510, 1, 34), np.float32).tofile(tmp_path / "other.bin")
    with pytest.raises(FormatError, match="34 numbers"):
        tiny.generate("a", voice=str(tmp_path / "other.bin"))


def test_damaged_weights_are_not_played(tmp_path):
    pipe = tiny_pipeline(tmp_path)
    pipe.model.decoder.generator.conv_post.bias = pipe.model.decoder.generator.conv_post.bias * math.nan
    with pytest.raises(CheckError, match="not finite"):
        list(pipe.generate("a", voice="af_one"))


def test_speech_that_does_not_fit_memory_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(pipeline, "_BYTES_PER_SAMPLE", 2**50)
    with pytest.raises(MachineError, match="memory"):
        list(tiny.generate("a", voice="af_one"))


def check_lengths(pipe, lengths, speeds=(1.0,)):
    cycle = "həlˈO wˈɜɹld, ðɪs ɪz ɐ tˈɛst. "
    for length in lengths:
        phonemes = (cycle * 20)[:length].strip().ljust(length, "a")
        for speed in speeds:
            (piece,) = pipe.generate(phonemes=phonemes, voice=pipe.voices.names()[0], speed=speed)
            samples = pipe.model.config.samples_per_frame
            assert len(piece.phonemes) == length and len(piece.audio) % samples == 0
            assert len(piece.audio) >= (length + 2) * samples and np.isfinite(piece.audio).all()


def test_lengths(tiny_510):
    check_lengths(tiny_510, [1, 2, 3, 4, 5, 31, 100, 257], speeds=(0.5, 2.0))
    check_lengths(tiny_510, [509, 510])


@pytest.mark.full
def test_every_length(tiny_510):
    check_lengths(tiny_510, range(1, 511))


# Where the weights come from


def release_folder(folder, model):
    """The files of the release: kokoro-v1_0.pth with DataParallel's names, config.json, voices/*.pt."""
    import torch

    folder.mkdir()
    nested: dict[str, dict[str, torch.Tensor]] = {}
    for name, array in invert(WEIGHTS, dict(tree_flatten(model.parameters()))).items():
        part, rest = name.split(".", 1)
        nested.setdefault(part, {})[f"module.{rest}"] = torch.from_numpy(np.array(array))
    torch.save(nested, folder / "kokoro-v1_0.pth")
    config = asdict(model.config)
    del config["decoder_dim"], config["decoder_residual_dim"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "voices").mkdir()
    torch.save(torch.from_numpy(rows(model)), folder / "voices" / "af_one.pt")
    return folder


def rows(model):
    return (0.3 * np.random.default_rng(0).standard_normal((510, 1, 2 * model.config.style_dim))).astype(np.float32)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    """A tiny model whose decoder has the widths that the release's config.json implies."""
    mx.random.seed(0)
    wide = replace(tiny_config(), decoder_dim=1024, decoder_residual_dim=64)
    model = Model(wide)
    mx.eval(model.parameters())
    return release_folder(tmp_path_factory.mktemp("release") / "kokoro", model), model


def test_load_the_release_and_a_converted_folder(standard, tmp_path):
    folder, model = standard
    original = load(folder)
    assert original.voices.names() == ["af_one"]
    expected = KokoroPipeline(model, Voices(folder / "voices"))
    speech = whole(original, TEXT)
    np.testing.assert_allclose(
        speech.audio, whole(expected, TEXT).audio, rtol=0, atol=1e-5 * np.abs(speech.audio).max()
    )

    from pytorch_to_mlx.convert import convert

    converted = load(convert(folder, tmp_path / "mlx"))
    assert converted.voices.names() == ["af_one"]
    assert whole(converted, TEXT).audio.tobytes() == speech.audio.tobytes()


def test_more_voices_than_the_models_own(standard, tmp_path):
    folder, model = standard
    rows(model).tofile(tmp_path / "bm_more.bin")
    pipeline = load(folder)
    pipeline.add_voices(tmp_path)
    assert pipeline.voices.names() == ["af_one", "bm_more"]


@pytest.mark.parametrize("source", ["./nowhere", "packaged:nothing", "a\0b", ""])
def test_sources_that_are_not_there(source):
    with pytest.raises(PortError) as caught:
        load(source)
    assert caught.value.exit_code in (2, 6) and "\n" not in str(caught.value)


def test_a_config_that_contradicts_the_weights(tmp_path, tiny):
    weights = dict(tree_flatten(tiny.model.parameters()))
    config = {**asdict(tiny.model.config), "model_type": "kokoro", "n_token": 177}
    folder = write_folder(tmp_path / "mlx", config=config, weights=weights)
    with pytest.raises(FormatError):
        load(folder)


# The verbs


@pytest.fixture
def speaking(monkeypatch, tiny):
    monkeypatch.setattr(pipeline, "load", lambda path, **options: tiny)
    monkeypatch.setattr(checkpoint, "locate", lambda source, *_, **options: Located(Path(source), str(source)))


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_synthesize_writes(speaking, tmp_path, format):
    path = tmp_path / f"a.{format}"
    report = commands.synthesize(text=TEXT, voice="af_one", output=path, word_timestamps=True, model="x")
    audio, rate = read(path)
    assert rate == report.sample_rate == 24_000
    assert 0 <= len(audio) - round(report.duration_s * rate) < 5000
    assert report.path == path and report.voice == "af_one" and report.model == "x"
    assert report.real_time_factor > 0 and report.first_audio_ms > 0 and report.load_s >= 0
    assert report.phonemes.startswith("həlˈO") and report.words[0].text == "Hello"
    assert list(report.to_dict()) == [
        "path", "duration_s", "real_time_factor", "first_audio_ms", "load_s", "model", "voice", "sample_rate",
        "phonemes", "words",
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_synthesize_writes_subtitles_and_phonemes_beside(speaking, tmp_path):
    subtitles, phonemes = tmp_path / "a.vtt", tmp_path / "a.phonemes"
    commands.synthesize(
        "Hello. Yes.", voice="af_one", output=tmp_path / "a.wav", model="x", subtitles=subtitles, phonemes_out=phonemes
    )
    lines = subtitles.read_text().splitlines()
    assert lines[0] == "WEBVTT" and lines[3::3] == ["Hello.", "Yes."] and all(" --> " in line for line in lines[2::3])
    assert phonemes.read_text(encoding="utf-8") == "həlˈO. jˈɛs.\n"


def test_synthesize_writes_the_same_bytes_again(speaking, tmp_path):
    contents = []
    for _ in range(2):
        commands.synthesize(text=TEXT, voice="af_one", output=tmp_path / "a.wav", seed=3, model="x")
        contents.append((tmp_path / "a.wav").read_bytes())
    assert contents[0] == contents[1]


def test_synthesize_reads_files_and_stdin(speaking, tmp_path, monkeypatch):
    import io

    (tmp_path / "a.txt").write_text("\ufeffhello", encoding="utf-8")
    reports = [commands.synthesize(text_file=tmp_path / "a.txt", voice="af_one", output=tmp_path / "a.wav", model="x")]
    for options in ({"text": "-"}, {"text_file": "-"}):
        monkeypatch.setattr("sys.stdin", io.StringIO("hello"))
        reports.append(commands.synthesize(**options, voice="af_one", output=tmp_path / "a.wav", model="x"))
    assert {report.phonemes for report in reports} == {"həlˈO"}


def test_synthesize_plays(speaking, tmp_path, monkeypatch):
    from contextlib import contextmanager

    played = []

    @contextmanager
    def player(rate):
        assert rate == 24_000
        yield played.append

    monkeypatch.setattr("pytorch_to_mlx.audio.playback.player", player)
    monkeypatch.chdir(tmp_path)
    report = commands.synthesize(text=LONG, voice="af_one", play=True, stream=True, model="x")
    assert len(played) > 3 and sum(map(len, played)) == round(report.duration_s * 24_000)
    assert report.path is None and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, UsageError),
        ({"text": "a", "phonemes": "a"}, UsageError),
        ({"text": "a", "output": "a.m4a"}, UsageError),
        ({"text": "a", "output": "nowhere/a.wav"}, UsageError),
        ({"text": "a", "output": "a.wav", "format": "aiff"}, UsageError),
        ({"text_file": "none.txt"}, UsageError),
        ({"text_file": "latin.txt"}, FormatError),
        ({"text": "\ud800"}, FormatError),
        ({"text": " "}, UsageError),
        ({"phonemes": "a", "word_timestamps": True}, UsageError),
        ({"text": "hola", "lang_code": "es", "word_timestamps": True}, UsageError),
    ],
)
def test_synthesize_leaves_nothing_after_an_error(speaking, tmp_path, monkeypatch, options, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(error) as caught:
        commands.synthesize(**{"voice": "af_one", "model": "x", **options})
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["latin.txt"]


def test_voices_are_listed(standard):
    assert len(commands.voices()) == 54
    british = commands.voices(lang_code="en-gb")
    assert {voice.gender for voice in british} == {"female", "male"} and len(british) == 8
    assert [voice.name for voice in commands.voices(model=str(standard[0]))] == ["af_one"]


# The real weights


@pytest.fixture(scope="module")
def real():
    return load("packaged:kokoro-82m-int8")


def log_mel_distance(a, b):
    """Decibels between two log-mel spectrograms of 80 bands."""

    def log_mel(audio):
        size = 1024
        frames = np.stack([audio[i : i + size] for i in range(0, len(audio) - size, 256)]) * np.hanning(size)
        edges = np.linspace(0, 2595 * np.log10(1 + 12_000 / 700), 82)
        bins = (size + 1) * 700 * (10 ** (edges / 2595) - 1) / 24_000
        at = np.arange(size // 2 + 1)
        bands = [np.interp(at, bins[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(80)]
        return 20 * np.log10(np.maximum(np.abs(np.fft.rfft(frames)) @ np.array(bands).T, 1e-4))

    return np.sqrt(np.mean((log_mel(a) - log_mel(b)) ** 2, axis=1)).mean()


def test_real_speech(real):
    speech = Speech.concatenate(real.generate(TEXT))
    assert 3 < speech.duration_s < 4.5
    assert 0.1 < np.abs(speech.audio).max() < 1
    hello = speech.words[0]
    word = speech.audio[int(hello.start_s * 24_000) : int(hello.end_s * 24_000)]
    silence = speech.audio[: int(0.15 * 24_000)]
    assert np.square(word).mean() > 100 * np.square(silence).mean()
    assert speech.words[-1].end_s < speech.duration_s


def test_real_stream_is_close_to_the_whole(real):
    expected = Speech.concatenate(real.generate(SENTENCE)).audio
    pieces = list(real.generate(SENTENCE, stream=True))
    streamed = Speech.concatenate(pieces).audio
    assert len(pieces) == 2 and pieces[0].duration_s == 1.75
    assert len(streamed) == len(expected)
    snr = 10 * np.log10(np.square(expected).sum() / np.square(expected - streamed).sum())
    assert snr > 9 and log_mel_distance(expected, streamed) < 2


@pytest.mark.parametrize("options", [{"voice": "am_michael"}, {"voice": "af_heart:0.6+am_michael:0.4"}, {"speed": 2.0}])
def test_real_options(real, options):
    speech = Speech.concatenate(real.generate(phonemes="həlˈO!", **options))
    assert 0.05 < np.abs(speech.audio).max() < 1


@pytest.mark.full
@pytest.mark.parametrize("speed", [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])
def test_real_lengths_and_speeds(real, speed):
    check_lengths(real, [*range(1, 12), 50, 101, 255, 510], speeds=(speed,))


@pytest.mark.full
@pytest.mark.parametrize("voice", RELEASED)
def test_every_real_voice(real, voice):
    more = load("packaged:kokoro-82m-int8")
    more.add_voices("packaged:kokoro-voices")
    assert set(RELEASED) <= set(more.voices.names())
    speech = Speech.concatenate(
        KokoroPipeline(real.model, more.voices).generate(phonemes="həlˈO, wˈɜɹld!", voice=voice)
    )
    assert np.isfinite(speech.audio).all() and 0.03 < np.abs(speech.audio).max() < 1.5
