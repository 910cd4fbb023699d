"""Whisper against openai-whisper and transformers: tiny twins through the real weight map, tap by tap."""

from dataclasses import asdict, replace

import mlx.core as mx
import numpy as np
import pytest
import torch
import whisper
from parity import assert_taps
from whisper.tokenizer import get_tokenizer

from pytorch_to_mlx.audio.load import load_audio
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.whisper import timing
from pytorch_to_mlx.models.whisper.alignment import HEADS, released_heads
from pytorch_to_mlx.models.whisper.card import CARD
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.decoding import DecodingOptions, compression_ratio, decode, detect_language
from pytorch_to_mlx.models.whisper.model import Model
from pytorch_to_mlx.models.whisper.pipeline import transcribe_options
from pytorch_to_mlx.models.whisper.reference import Reference, build_original, speech, to_float64
from pytorch_to_mlx.models.whisper.tokenizer import Tokenizer
from pytorch_to_mlx.models.whisper.weights import WEIGHTS, open_release
from pytorch_to_mlx.validate.compare import compare
from pytorch_to_mlx.weights import apply, invert, load_into

# openai-whisper's own: NumPy functions called on tensors, and a vocabulary file left open
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_wrap__"),
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*tiktoken:pytest.PytestUnraisableExceptionWarning"),
]
TINY = Config.tiny()


def tiny_inputs(config: Config, batch: int = 1):
    mx.random.seed(7)
    mel = mx.random.normal((1, 2 * config.n_audio_ctx, config.n_mels))
    tokens = mx.random.randint(0, config.n_vocab, (1, 6))
    return {"mel": mx.repeat(mel, batch, 0), "tokens": mx.repeat(tokens, batch, 0)}


@pytest.fixture(scope="module")
def twin():
    torch.manual_seed(0)
    sizes = asdict(TINY)
    heads = sizes.pop("alignment_heads")
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**sizes)).eval()
    mask = torch.zeros(TINY.n_text_layer, TINY.n_text_head, dtype=torch.bool)
    mask[tuple(zip(*heads, strict=True))] = True
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    with torch.no_grad():
        model.decoder.positional_embedding.normal_()
        for parameter in model.parameters():
            parameter.mul_(2)  # sharper distributions: the search has something to decide
    return model


@pytest.fixture(scope="module")
def openai_file(twin, tmp_path_factory):
    sizes = {key: value for key, value in asdict(TINY).items() if key != "alignment_heads"}
    path = tmp_path_factory.mktemp("whisper") / "twin.pt"
    torch.save({"dims": sizes, "model_state_dict": twin.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def ours(openai_file):
    with open_release(openai_file) as checkpoint:
        weights = apply(WEIGHTS, checkpoint, family="whisper").weights
        config = Config.from_dict(checkpoint.config)
    # the alignment heads of the twin, which no file of OpenAI's holds
    return load_into(Model(replace(config, alignment_heads=TINY.alignment_heads)), weights)


def test_openai_file_converts_and_comes_back(openai_file, twin):
    with open_release(openai_file) as checkpoint:
        back = invert(WEIGHTS, apply(WEIGHTS, checkpoint, family="whisper").weights)
    state = twin.state_dict()
    assert back.keys() == state.keys()
    assert all(np.array_equal(np.array(back[name]), value.numpy()) for name, value in state.items())


def test_encoder_and_logits_agree(ours, twin):
    inputs = tiny_inputs(TINY, batch=2)
    mel, tokens = (torch.from_numpy(np.array(inputs[name])) for name in ("mel", "tokens"))
    wide = to_float64(twin)
    for tap in CARD.taps:
        with torch.no_grad():
            if tap.name == "encoder":
                sides = [m.encoder(x.transpose(1, 2)).numpy() for m, x in ((twin, mel), (wide, mel.double()))]
                value = np.array(ours.encoder(inputs["mel"]))
            elif tap.name == "logits":
                sides = [m(x.transpose(1, 2), tokens).numpy() for m, x in ((twin, mel), (wide, mel.double()))]
                value = np.array(ours(**inputs))
            else:
                continue
        result = compare(tap, value, *sides)
        assert result.passed, result


def test_cache_gives_the_logits_of_the_whole(ours):
    inputs = tiny_inputs(TINY)
    whole = np.array(ours(**inputs))
    cache = ours.decoder.start(ours.encoder(inputs["mel"]))
    parts = []
    for start, end in ((0, 2), (2, 3), (3, 6)):
        logits, cache = ours.decoder(inputs["tokens"][:, start:end], cache)
        parts.append(np.array(logits))
    assert np.allclose(np.concatenate(parts, axis=1), whole, atol=1e-4)


def test_text_longer_than_the_model_is_refused(ours):
    with pytest.raises(UsageError, match="positions"):
        ours(mx.zeros((1, 2 * TINY.n_audio_ctx, 80)), mx.zeros((1, TINY.n_text_ctx + 1), dtype=mx.int32))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"without_timestamps": True},
        {"beam_size": 3},
        {"beam_size": 2, "patience": 2.0, "length_penalty": 0.5},
        {"task": "translate", "suppress_tokens": (), "suppress_blank": False},
        {"prompt": (500, 501, 502), "prefix": (1000,), "sample_len": 6},
        {"max_initial_timestamp": None, "suppress_tokens": (-1, 300)},
    ],
    ids=str,
)
def test_decoding_is_openai_s_token_for_token(ours, twin, options):
    mel = tiny_inputs(TINY)["mel"]
    audio = ours.encoder(mel)
    [result] = decode(ours, Tokenizer(True), audio, DecodingOptions(language="de", **options))
    theirs = dict(options)
    if "suppress_tokens" in theirs:
        theirs["suppress_tokens"] = list(theirs["suppress_tokens"])
    theirs = {k: list(v) if isinstance(v, tuple) else v for k, v in theirs.items()}
    encoded = torch.from_numpy(np.array(audio))[0]
    expected = whisper.decode(twin, encoded, whisper.DecodingOptions(language="de", fp16=False, **theirs))
    assert list(result.tokens) == expected.tokens
    assert result.avg_logprob == pytest.approx(expected.avg_logprob, abs=1e-4)
    assert result.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-6)
    assert result.text == expected.text and result.compression_ratio == expected.compression_ratio


def test_language_is_detected_as_openai_does(ours, twin):
    audio = ours.encoder(tiny_inputs(TINY)["mel"])
    _, expected = whisper.decoding.detect_language(twin, torch.from_numpy(np.array(audio)))
    found = detect_language(ours, Tokenizer(True), audio)
    assert list(found) == sorted(found, key=found.get, reverse=True)
    assert all(found[code] == pytest.approx(p, abs=1e-5) for code, p in expected[0].items())


def test_sampling_is_seeded(ours):
    audio = ours.encoder(tiny_inputs(TINY)["mel"])
    options = DecodingOptions(language="en", temperature=8.0, best_of=3)
    runs = [decode(ours, Tokenizer(True), audio, options, np.random.default_rng(s))[0].tokens for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_word_alignment_is_openai_s(ours, twin):
    from whisper.timing import find_alignment

    mel = tiny_inputs(TINY)["mel"]
    text = Tokenizer(True).encode(" Hello there, you two.")
    found = timing.align_words(ours, Tokenizer(True), ours.encoder(mel), text, 40, language="en")
    theirs = find_alignment(
        twin, get_tokenizer(True, language="en", task="transcribe"), text, torch.from_numpy(np.array(mel))[0].T, 40
    )
    assert [w.word for w in found] == [w.word for w in theirs]
    assert [(w.start, w.end) for w in found] == [(w.start, w.end) for w in theirs]
    assert [w.probability for w in found] == pytest.approx([w.probability for w in theirs], abs=1e-5)


def test_alignment_heads_of_every_release():
    for name, (layers, heads) in {"tiny": (4, 6), "base": (6, 8), "small": (12, 12), "medium": (24, 16)}.items():
        for suffix in ("", ".en"):
            found = released_heads(layers, heads, layers, suffix == "", 80)
            assert found == HEADS[name + suffix]
            assert all(layer < layers and head < heads for layer, head in found)
    assert released_heads(32, 20, 32, True, 80) == HEADS["large-v2"]
    assert released_heads(32, 20, 32, True, 80, "large-v1.pt") == HEADS["large-v1"]
    assert released_heads(32, 20, 32, True, 128) == HEADS["large-v3"]
    assert released_heads(4, 20, 32, True, 128) == HEADS["large-v3-turbo"]
    assert released_heads(5, 5, 5, True, 80) == ()


def test_hugging_face_layout(tmp_path):
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    sizes |= {"encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "d_model": 32, "vocab_size": 51866, "num_mel_bins": 128}
    theirs = WhisperForConditionalGeneration(
        WhisperConfig(**sizes, max_source_positions=20, max_target_positions=24, dropout=0.0)
    ).eval()
    theirs.generation_config.alignment_heads = [[1, 0], [1, 3]]
    theirs.save_pretrained(tmp_path)
    with open_release(tmp_path) as checkpoint:
        config = Config.from_dict(checkpoint.config)
        model = load_into(Model(config), apply(WEIGHTS, checkpoint, family="whisper").weights)
    assert config.alignment_heads == ((1, 0), (1, 3)) and config.n_mels == 128 and config.num_languages == 100
    inputs = tiny_inputs(config)
    with torch.no_grad():
        expected = theirs(
            input_features=torch.from_numpy(np.array(inputs["mel"])).transpose(1, 2),
            decoder_input_ids=torch.from_numpy(np.array(inputs["tokens"])).long(),
        ).logits.numpy()
    assert np.abs(np.array(model(**inputs)) - expected).max() < 1e-5 * np.abs(expected).max()


def test_folder_without_sinusoids_gets_them(ours, tmp_path):
    """The MLX community's folders leave the encoder's positions out."""
    from mlx.utils import tree_flatten

    from pytorch_to_mlx.weights import write_folder

    weights = dict(tree_flatten(ours.parameters()))
    del weights["encoder.positional_embedding"]
    write_folder(tmp_path / "mlx", config=TINY.to_dict(), weights=weights)
    with open_release(tmp_path / "mlx") as checkpoint:
        assert checkpoint["encoder.positional_embedding"].shape == (TINY.n_audio_ctx, TINY.n_audio_state)


@pytest.mark.parametrize(
    "wrong",
    [{"n_mels": 0}, {"n_text_head": 5}, {"n_vocab": 1e9}, {"n_audio_state": "32"}, {"alignment_heads": [[9, 0]]}],
    ids=str,
)
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(FormatError):
        Config.from_dict({**asdict(TINY), **wrong})


def test_other_activations_are_refused():
    with pytest.raises(FormatError, match="activation_function"):
        Config.from_dict({**asdict(TINY), "activation_function": "relu"})


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"beam_size": 0},
        {"beam_size": 2, "patience": 0.0, "best_of": 3},
        {"patience": 2.0},
        {"length_penalty": 2.0},
        {"task": "sing"},
        {"clip_timestamps": (3.0, 1.0)},
        {"hallucination_silence_threshold": 1.0},
        {"beams": 3},
        {"language": "xx"},
    ],
    ids=str,
)
def test_wrong_options_are_refused(options):
    with pytest.raises(UsageError):
        given = transcribe_options(**options)
        DecodingOptions(**{**given.decoding.__dict__, "temperature": given.temperature[0]})


@pytest.mark.parametrize("samples", [np.zeros((2, 100)), np.array([0.0, np.nan], np.float32)], ids=["2-D", "NaN"])
def test_wrong_samples_are_refused(samples):
    with pytest.raises(FormatError):
        load_audio(samples, 16000)


def test_compression_ratio_is_openai_s():
    for text in ("hello", "la " * 100, "日本語"):
        assert compression_ratio(text) == whisper.utils.compression_ratio(text)


@pytest.fixture(scope="module")
def tiny_en():
    """Real weights: Whisper tiny.en, float16, from CTranslate2's file; openai-whisper gets the same."""
    pipeline = load("packaged:whisper-tiny.en")
    return pipeline, build_original(pipeline.model)


@pytest.mark.parametrize("options", [{}, {"beam_size": 5}], ids=["greedy", "beam 5"])
def test_real_speech_word_for_word(tiny_en, options):
    pipeline, theirs = tiny_en
    samples = np.concatenate([speech(), np.zeros(8000, np.float32), speech()])
    given = {"word_timestamps": True, "temperature": 0.0, **options}
    found = pipeline.transcribe(samples, **given)
    expected = whisper.transcribe(theirs, samples, fp16=False, **given)
    assert "forward" in found.text and found.text == expected["text"]
    assert [list(s.tokens) for s in found.segments] == [s["tokens"] for s in expected["segments"]]
    words = [w for s in found.segments for w in s.words]
    expected_words = [w for s in expected["segments"] for w in s["words"]]
    assert [w.text for w in words] == [w["word"] for w in expected_words]
    for ours, theirs_ in zip(words, expected_words, strict=True):
        assert abs(ours.start_s - theirs_["start"]) <= 0.02 and abs(ours.end_s - theirs_["end"]) <= 0.02


def test_validate_meets_every_tap(tiny_en):
    reference = Reference(tiny_en[0].model, tiny_en[1])
    case = next(case for case in reference.cases() if case.name == "click")
    assert_taps(CARD.taps, reference.mlx(case), reference.torch(case), reference.torch(case, "float64"))
