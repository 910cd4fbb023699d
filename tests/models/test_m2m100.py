"""NLLB-200 and M2M100: parity with transformers, golden searches, the three layouts of tokenizers, languages."""

import io
import json

import mlx.core as mx
import numpy as np
import pytest
import torch
from generate.test_search import assert_equals_golden, golden_options
from golden.text_weights import golden, reference
from parity import assert_close, assert_taps

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.generate.search import generate
from pytorch_to_mlx.generate.steps import DecoderSteps
from pytorch_to_mlx.models.m2m100.card import CARD
from pytorch_to_mlx.models.m2m100.config import Config
from pytorch_to_mlx.models.m2m100.languages import M2M100, NLLB, find_code
from pytorch_to_mlx.models.m2m100.model import Model
from pytorch_to_mlx.models.m2m100.pipeline import load
from pytorch_to_mlx.models.m2m100.weights import WEIGHTS, open_release
from pytorch_to_mlx.nn.positions import sinusoids, vaswani_sinusoids
from pytorch_to_mlx.weights import load_model

torch.set_num_threads(1)


def tiny_inputs(config, batch=1):
    """A source and a target of random ids."""
    source = mx.random.randint(4, config.vocab_size, (1, 7), key=mx.random.key(0))
    target = mx.random.randint(4, config.vocab_size, (1, 5), key=mx.random.key(1))
    rows = mx.zeros(batch, mx.int32)
    return {"source": source[rows], "target": target[rows]}


@pytest.fixture(params=["safetensors", "bin"])
def tiny(request, tmp_path):
    """(golden values, our model) from today's files, and from those that hold every tied table."""
    model = reference("m2m100")
    model.save_pretrained(tmp_path)
    if request.param == "bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    ours, _ = load_model(
        tmp_path, lambda config: Model(Config.from_dict(config)), sizes=Config.from_dict, weight_map=WEIGHTS,
        open_release=open_release,
    )  # fmt: skip
    return golden("tiny_m2m100"), ours


def test_logits_are_transformers(tiny):
    """Padded and unpadded rows together: padding moves no position."""
    data, model = tiny
    ids, mask = mx.array(data["input_ids"]), mx.array(data["attention_mask"], mx.bool_)[:, None, None, :]
    logits = model(ids, mx.array(data["decoder_input_ids"]), mask)
    assert_close(logits, np.array(data["logits"], np.float32).reshape(data["logits_shape"]))
    encoded = np.array(model.encoder(model.embed(ids), mask)[..., :4])
    expected = np.array(data["encoder_first"], np.float32).reshape(data["encoder_first_shape"])
    n_tokens = data["encoder_row1_is_masked_after"]
    assert_close(encoded[0], expected[0])
    assert_close(encoded[1, :n_tokens], expected[1, :n_tokens])


def test_golden_searches(tiny):
    """The 22 searches of transformers, in one batch, with the cache; and the steps are the whole."""
    data, model = tiny
    sources = [row[: sum(mask)] for row, mask in zip(data["input_ids"], data["attention_mask"], strict=True)]
    for case in data["cases"].values():
        options = golden_options(case, data["config"])
        steps = DecoderSteps(model, sources, padding=1)
        assert_equals_golden(
            generate(steps, sources, options, prompts=[[2], [2]], most=64), case, data["config"], options
        )
    ids, target = mx.array(data["input_ids"][:1]), mx.array(data["decoder_input_ids"][:1])
    state, parts = model.encode(ids), []
    for part in (target[:, :1], target[:, 1:3], target[:, 3:]):
        hidden, state = model.decode(part, state)
        parts.append(model.logits(hidden))
    assert_close(mx.concatenate(parts, axis=1), model(ids, target))


@pytest.mark.parametrize("width", [16, 512, 1024])
def test_tables_of_positions(width):
    """Of transformers' M2M100 (whose row 1 it zeroes), of its Marian, and of Marian itself."""
    table = golden("sinusoids")["tables"][str(width)]
    rows, columns = np.array(table["rows"]), table["cols"]
    ours = np.array(sinusoids(70, width))[rows][:, columns]
    theirs = np.array(table["m2m100_table_rows"], np.float32).reshape(ours.shape)
    assert_close(ours[rows != 1], theirs[rows != 1])
    assert_close(ours, np.array(table["marian_original"], np.float32).reshape(ours.shape))
    vaswani = np.array(vaswani_sinusoids(70, width))[rows][:, columns]
    assert_close(vaswani, np.array(table["marian_hf"], np.float32).reshape(ours.shape))


@pytest.mark.parametrize("config", [{"model_type": "nllb-moe"}, {"model_type": "m2m_100", "num_experts": 128}])
def test_the_mixture_of_experts_is_refused(config):
    with pytest.raises(FormatError, match="NLLB-MoE, the mixture of experts, is not ported"):
        Config.from_dict(config)


# --- languages


def test_languages_are_transformers():
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100_CODES
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB_CODES

    assert [language.code for language in NLLB] == NLLB_CODES and len(NLLB) == 202
    assert list(M2M100) == M2M100_CODES["m2m100"]
    assert all(language.name and language.script for language in NLLB)


CODES = tuple(language.code for language in NLLB)


@pytest.mark.parametrize(
    ("text", "code"), [("fra_Latn", "fra_Latn"), ("FRA-latn", "fra_Latn"), ("french", "fra_Latn"), ("deu", "deu_Latn")]
)
def test_codes_and_names(text, code):
    assert find_code(text, CODES, "target") == code


@pytest.mark.parametrize(
    ("text", "known", "word"),
    [
        ("fra_Lat", CODES, "unknown target language 'fra_Lat'; did you mean fra_Latn"),
        ("frensh", CODES, "did you mean fra_Latn"),
        ("fr", CODES, "unknown target language 'fr'"),
        ("ace", CODES, "has 2 scripts; use one of ace_Arab, ace_Latn"),
        ("fra_Latn", M2M100, "unknown target language"),
        ("", CODES, "unknown target language ''"),
    ],
)
def test_unknown_languages(text, known, word):
    with pytest.raises(UsageError, match=word):
        find_code(text, known, "target")


# --- tokenizers and whole folders, trained here


SENTENCES = [
    f"the {a} and the {b} are in {c}" for a in ("cat", "dog") for b in ("house", "garden", "bird") for c in "xyz"
]


def save(folder, vocab_size, **settings):
    """A tiny random model of transformers with generation settings as NLLB has them."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(0)
    model = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=vocab_size, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64,
        )
    )  # fmt: skip
    model.generation_config.update(max_length=20, **settings)
    model.save_pretrained(folder)
    return folder


def pieces() -> bytes:
    sentencepiece = pytest.importorskip("sentencepiece", reason="it comes with the extra 'nllb'")
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=buffer, vocab_size=40, model_type="bpe", minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    return buffer.getvalue()


@pytest.fixture
def nllb_json(tmp_path):
    return save_nllb(tmp_path / "nllb")


def save_nllb(path):
    """(folder, transformers' tokenizer) with a tokenizer.json: BPE, and the 202 languages after its pieces."""
    from tokenizers.implementations import SentencePieceBPETokenizer
    from transformers import NllbTokenizer

    trained = SentencePieceBPETokenizer()
    trained.train_from_iterator(SENTENCES, vocab_size=60, special_tokens=["<s>", "<pad>", "</s>", "<unk>"])
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    theirs = NllbTokenizer(vocab=model["vocab"], merges=merges, src_lang="eng_Latn", tgt_lang="fra_Latn")
    folder = save(path, len(theirs))
    theirs.save_pretrained(folder)
    return folder, theirs


def test_tokenizer_json(nllb_json):
    folder, theirs = nllb_json
    ours = load(folder).tokenizer
    assert ours.languages == CODES and ours.codes["eng_Latn"] == theirs.convert_tokens_to_ids("eng_Latn")
    for text in ("the cat", "", "two  spaces", "the bird and the house", "漢字"):
        ids = theirs(text).input_ids
        assert ours.encode(text, "eng_Latn") == ids
        assert ours.encode(text, "eng_Latn", is_legacy=True) == [*ids[1:], ids[0]]
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_typed_special_tokens_are_text(nllb_json):
    tokenizer = load(nllb_json[0]).tokenizer
    ids = tokenizer.encode("the </s> cat fra_Latn", "eng_Latn")
    assert ids.count(2) == 1 and tokenizer.codes["fra_Latn"] not in ids


def test_legacy_checkpoints_say_so(nllb_json):
    path = nllb_json[0] / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "legacy_behaviour": True}, indent=2))
    tokenizer = load(nllb_json[0]).tokenizer
    assert tokenizer.encode("the cat", "eng_Latn")[-2:] == [2, tokenizer.codes["eng_Latn"]]


def test_pieces_alone(tmp_path):
    """Ids are the pieces' and one; unknown, start and end are numbered as fairseq does; then the languages."""
    data = pieces()
    import sentencepiece

    library = sentencepiece.SentencePieceProcessor(model_proto=data)
    folder = save(tmp_path / "nllb", len(library) + 1 + 202 + 1)
    (folder / "sentencepiece.bpe.model").write_bytes(data)
    tokenizer = load(folder).tokenizer
    assert tokenizer.codes["ace_Arab"] == len(library) + 1 and tokenizer.codes["zul_Latn"] == len(library) + 202
    own = library.encode("the cat 漢")
    ids = tokenizer.encode("the cat 漢", "eng_Latn")
    assert ids[1:-1] == [3 if number == library.unk_id() else number + 1 for number in own] and ids[-1] == 2
    assert tokenizer.decode([2, tokenizer.codes["fra_Latn"], *tokenizer.encode("the cat", "eng_Latn")]) == "the cat"


def test_a_vocabulary_beside_the_pieces(tmp_path):
    """M2M100: the languages stand behind the vocabulary."""
    data = pieces()
    import sentencepiece
    from transformers import M2M100Tokenizer

    library = sentencepiece.SentencePieceProcessor(model_proto=data)
    words = [library.id_to_piece(n) for n in range(3, len(library))][::-1]
    vocab = {token: n for n, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    folder = save(tmp_path / "m2m", len(vocab) + 108)
    (folder / "sentencepiece.bpe.model").write_bytes(data)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    theirs = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), src_lang="en")
    ours = load(folder).tokenizer
    assert ours.languages == M2M100 and ours.codes["fr"] == theirs.get_lang_id("fr")
    for text in ("the cat", "", "the 漢 bird"):
        assert ours.encode(text, "en") == theirs(text).input_ids
        ids = theirs(text).input_ids
        assert ours.decode(ids) == theirs.decode(ids[1:], skip_special_tokens=True)


def test_files_that_are_missing_or_damaged(nllb_json):
    folder, _ = nllb_json
    content = (folder / "tokenizer.json").read_bytes()
    for damaged, word in ((b"{}", "not a tokenizer.json"), (b"\xff", "not UTF-8"), (content[:-20], "not a tokenizer")):
        (folder / "tokenizer.json").write_bytes(damaged)
        with pytest.raises(FormatError, match=word):
            load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FormatError, match=r"tokenizer\.json or sentencepiece\.bpe\.model is missing"):
        load(folder)


def test_translations_are_transformers_generate(nllb_json):
    """The target's code is forced; greedy and with beams, one by one there and in a batch here."""
    from transformers import M2M100ForConditionalGeneration

    folder, tokenizer = nllb_json
    pipeline, theirs = load(folder), M2M100ForConditionalGeneration.from_pretrained(folder)
    texts, code = ["the cat and the dog", "the bird", "garden"], tokenizer.convert_tokens_to_ids("deu_Latn")
    for beams in (1, 3):
        translated = pipeline.translate(texts, src="eng_Latn", tgt="German", beam_size=beams)
        for text, translation in zip(texts, translated, strict=True):
            expected = theirs.generate(
                torch.tensor([tokenizer(text).input_ids]), forced_bos_token_id=code, num_beams=beams
            )[0].tolist()
            best = translation.sentences[0].candidates[0]
            assert [2, *best.tokens, *[2] * best.is_complete] == expected[: len(best.tokens) + 1 + best.is_complete]
            assert (translation.src, translation.tgt, best.tokens[0]) == ("eng_Latn", "deu_Latn", code)
            assert "deu_Latn" not in translation.text


def test_languages_must_be_named(nllb_json):
    pipeline = load(nllb_json[0])
    for options in ({}, {"src": "eng_Latn"}, {"tgt": "fra_Latn"}):
        with pytest.raises(UsageError, match="needs the languages"):
            pipeline.translate("the cat", **options)
    with pytest.raises(UsageError, match="unknown source language 'english1'"):
        pipeline.translate("the cat", src="english1", tgt="fra_Latn")


def test_convert_and_validate_beside_transformers(nllb_json, tmp_path):
    import pytorch_to_mlx
    from pytorch_to_mlx.models.m2m100.reference import Reference

    folder = pytorch_to_mlx.convert(nllb_json[0], tmp_path / "mlx")
    assert {path.name for path in folder.iterdir()} >= {"tokenizer.json", "generation_config.json"}
    options = {"src": "eng_Latn", "tgt": "fra_Latn"}
    assert pytorch_to_mlx.load(folder).translate("the cat", **options) == load(nllb_json[0]).translate(
        "the cat", **options
    )
    reference = Reference.open(nllb_json[0], folder)
    case = reference.cases()[0]
    assert_taps(CARD.taps, reference.mlx(case), reference.torch(case), reference.torch(case, "float64"))
