"""T5, FLAN, mT5, ByT5 and MADLAD-400: parity with transformers, golden searches, heads, tokenizers and tags."""

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
from pytorch_to_mlx.models.t5.card import CARD
from pytorch_to_mlx.models.t5.config import Config
from pytorch_to_mlx.models.t5.model import Model
from pytorch_to_mlx.models.t5.pipeline import load
from pytorch_to_mlx.models.t5.tokenizer import Tokenizer
from pytorch_to_mlx.models.t5.weights import WEIGHTS, open_release
from pytorch_to_mlx.nn.relative import distance_buckets
from pytorch_to_mlx.weights import load_model

torch.set_num_threads(1)
TINY = ("t5_v10", "t5_v11_gated")


def tiny_inputs(config, batch=1):
    """A source and a target of random ids."""
    source = mx.random.randint(2, config.vocab_size, (1, 7), key=mx.random.key(0))
    target = mx.random.randint(2, config.vocab_size, (1, 5), key=mx.random.key(1))
    rows = mx.zeros(batch, mx.int32)
    return {"source": source[rows], "target": target[rows]}


def load_weights(folder) -> Model:
    model, _ = load_model(
        folder, lambda config: Model(Config.from_dict(config)), sizes=Config.from_dict, weight_map=WEIGHTS,
        open_release=open_release,
    )  # fmt: skip
    return model


def save(folder, model, *, raw_tie=None, form="safetensors", names=None):
    """Save a model of transformers. raw_tie: `tie_word_embeddings` as files from before transformers 5 have it.

    names: of tensors to rename.
    """
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    if raw_tie is not None:
        config["tie_word_embeddings"] = raw_tie
        config.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps(config))
    if form == "bin" or names:
        (folder / "model.safetensors").unlink()
        state = {(names or {}).get(name, name): value.clone() for name, value in model.state_dict().items()}
        torch.save({name: value for name, value in state.items() if name}, folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("name", TINY)
def test_logits_are_transformers(tmp_path, name, form):
    """Tied, scaled and relu; own head, unscaled and gated. Three layers up, two down; padded and unpadded rows."""
    data = golden(f"tiny_{name}")
    model = load_weights(save(tmp_path, reference(name), raw_tie=name == "t5_v10", form=form))
    assert (model.config.scale_decoder_outputs, model.config.own_head) == (name == "t5_v10", name != "t5_v10")
    ids, mask = mx.array(data["input_ids"]), mx.array(data["attention_mask"], mx.bool_)[:, None, None, :]
    logits = model(ids, mx.array(data["decoder_input_ids"]), mask)
    assert_close(logits, np.array(data["logits"], np.float32).reshape(data["logits_shape"]))
    encoded = np.array(model.encoder(model.shared(ids), mask)[..., :4])
    expected = np.array(data["encoder_first"], np.float32).reshape(data["encoder_first_shape"])
    n_tokens = data["encoder_row1_is_masked_after"]
    assert_close(encoded[0], expected[0])
    assert_close(encoded[1, :n_tokens], expected[1, :n_tokens])


@pytest.mark.parametrize("name", TINY)
def test_golden_searches(tmp_path, name):
    """The 22 searches of transformers, in one batch, with the cache.

    Transformers takes the padding of a batch for n-grams of the source; ours are not padded, so one case is left out.
    """
    data, model = golden(f"tiny_{name}"), load_weights(save(tmp_path, reference(name), raw_tie=name == "t5_v10"))
    sources = [row[: sum(mask)] for row, mask in zip(data["input_ids"], data["attention_mask"], strict=True)]
    for label, case in data["cases"].items():
        options = golden_options(case, data["config"])
        padded = data["input_ids"] if label == "beam5_encnorepeat" else sources
        steps = DecoderSteps(model, sources, padding=0)
        results = generate(steps, padded, options, prompts=[[0], [0]], most=64)
        assert_equals_golden(results, case, data["config"], options)


@pytest.mark.parametrize("name", TINY)
def test_steps_are_the_whole(tmp_path, name):
    data, model = golden(f"tiny_{name}"), load_weights(save(tmp_path, reference(name)))
    ids, target = mx.array(data["input_ids"][:1]), mx.array(data["decoder_input_ids"][:1])
    state, parts = model.encode(ids), []
    for part in (target[:, :1], target[:, 1:3], target[:, 3:]):
        hidden, state = model.decode(part, state)
        parts.append(model.logits(hidden))
    assert_close(mx.concatenate(parts, axis=1), model(ids, target))


def test_buckets_are_transformers():
    """Distances of -300 to 300, four settings, both kinds."""
    data = golden("t5_buckets")
    distances = np.arange(data["relative_position"][0], data["relative_position"][1] + 1)
    for name, expected in data["buckets"].items():
        kind, n_buckets, most = name.split("_")
        ours = distance_buckets(distances, int(n_buckets), int(most), bidirectional=kind == "bi")
        assert ours.tolist() == expected, name


def tiny_torch(class_name="T5", **changes):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{class_name}Config")(
        **{
            "vocab_size": 48, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2,
            "decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu", **changes,
        }
    )  # fmt: skip
    return getattr(transformers, f"{class_name}ForConditionalGeneration")(config).eval()


@pytest.mark.parametrize("activation", ["relu", "gated-gelu", "gated-silu", "gated-relu", "gelu"])
def test_activations(tmp_path, activation):
    theirs = tiny_torch(feed_forward_proj=activation)
    ours = load_weights(save(tmp_path, theirs))
    ids = [[5, 9, 12, 1]]
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor(ids), decoder_input_ids=torch.tensor([[0, 7]])).logits
    assert_close(ours(mx.array(ids), mx.array([[0, 7]])), expected)


def test_mt5_is_never_scaled(tmp_path):
    theirs = tiny_torch("MT5")
    ours = load_weights(save(tmp_path, theirs))
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor([[5, 1]]), decoder_input_ids=torch.tensor([[0, 7]])).logits
    assert not ours.config.scale_decoder_outputs
    assert_close(ours(mx.array([[5, 1]]), mx.array([[0, 7]])), expected)


def test_an_own_head_of_a_scaled_model(tmp_path):
    """Files that say they are tied and hold another head: transformers takes the head and scales."""
    from transformers import T5ForConditionalGeneration

    model = tiny_torch()
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    folder = save(tmp_path, model, raw_tie=True, form="bin")
    theirs, ours = T5ForConditionalGeneration.from_pretrained(folder).eval(), load_weights(folder)
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor([[5, 1]]), decoder_input_ids=torch.tensor([[0, 7]])).logits
    assert ours.config.scale_decoder_outputs and ours.config.own_head
    assert_close(ours(mx.array([[5, 1]]), mx.array([[0, 7]])), expected)


@pytest.mark.parametrize("kept", ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"])
def test_the_table_under_any_of_its_names(tmp_path, kept):
    """MADLAD's files hold decoder.embed_tokens.weight only."""
    model, tables = tiny_torch(), ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    names = {name: "" for name in tables if name != kept}
    ours = load_weights(save(tmp_path, model, raw_tie=True, names=names))
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([[5, 1]]), decoder_input_ids=torch.tensor([[0, 7]])).logits
    assert_close(ours(mx.array([[5, 1]]), mx.array([[0, 7]])), expected)


def test_float16_is_refused_and_8_bits_hold_no_float16(tmp_path):
    import pytorch_to_mlx

    folder = save(tmp_path / "t5", tiny_torch(d_model=64, d_kv=32, d_ff=64))
    with pytest.raises(UsageError, match="madlad is not stored in float16: T5's activations overflow"):
        pytorch_to_mlx.convert(folder, tmp_path / "half", dtype="float16")
    converted = pytorch_to_mlx.convert(folder, tmp_path / "mlx", quantize=True, q_group_size=32)
    weights = mx.load(str(converted / "model.safetensors"))
    assert {array.dtype for array in weights.values()} == {mx.float32, mx.uint32}


def test_umt5_is_refused():
    with pytest.raises(FormatError, match="UMT5, which has a table of positions in every layer, is not ported"):
        Config.from_dict({"model_type": "umt5"})


# --- tokenizers


SENTENCES = [
    f"the {a} and the {b} are in {c}" for a in ("cat", "dog") for b in ("house", "garden", "bird") for c in "xyz"
]
TAGS = ("<2fr>", "<2de>", "<2zh_Hant>")


def pieces() -> bytes:
    """A SentencePiece model as MADLAD has it: unknown 0, start 1, end 2, and the tags as symbols of their own."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="it comes with the extra 'madlad'")
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=buffer, vocab_size=44, minloglevel=2, hard_vocab_limit=False,
        user_defined_symbols=list(TAGS),
    )  # fmt: skip
    return buffer.getvalue()


@pytest.fixture(params=["spiece.model", "tokenizer.json"])
def madlad(request, tmp_path):
    return save_madlad(tmp_path / "madlad", request.param)


def save_madlad(path, file):
    """A tiny model whose vocabulary has three tags, with either file."""
    torch.manual_seed(0)
    model = tiny_torch(eos_token_id=2, pad_token_id=1)
    folder = save(path, model, raw_tie=False)
    if file == "spiece.model":
        (folder / "spiece.model").write_bytes(pieces())
        return folder
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    words = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((tag, 0.0) for tag in TAGS)]
    words += [
        (f"\u2581{word}", -float(n)) for n, word in enumerate("the cat dog bird house garden and are in".split(), 2)
    ]
    words += [(c, -12.0) for c in "abcdeghinorstu\u2581"]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_tags_are_looked_up(madlad):
    pipeline = load(madlad)
    tokenizer = pipeline.tokenizer
    assert pipeline.languages == ("de", "fr", "zh_Hant")
    ids = tokenizer.encode("the cat", "fr")
    assert tokenizer.tags["fr"] in ids[:2] and ids[-1] == 2 and ids.count(2) == 1
    assert tokenizer.decode(ids[ids.index(tokenizer.tags["fr"]) + 1 :]).strip() == "the cat"
    assert [tokenizer.code(text) for text in ("fr", "<2fr>", "French", "german", "zh-hant")] == [
        "fr",
        "fr",
        "fr",
        "de",
        "zh_Hant",
    ]
    for text in ("fi", "frensh", ""):
        with pytest.raises(UsageError, match=f"unknown target language '{text}'"):
            tokenizer.code(text)
    typed = tokenizer.encode("the </s> cat <2de> <s>", "fr")
    assert typed.count(2) == 1 and typed.count(1) == 0 and tokenizer.tags["de"] not in typed


def test_translate(madlad):
    pipeline = load(madlad)
    both = pipeline.translate(["the cat", "the dog"], tgt="fr", max_tokens=5)
    assert [t.tgt for t in both] == ["fr", "fr"] and both[0].text == pipeline.translate(
        "the cat", tgt="fr", max_tokens=5
    ).text
    assert pipeline.translate("the cat", tgt="fr", max_tokens=5) != pipeline.translate(
        "the cat", tgt="de", max_tokens=5
    )
    with pytest.raises(UsageError, match="translates into 3 languages"):
        pipeline.translate("the cat")
    with pytest.raises(UsageError, match="leave out src"):
        pipeline.translate("the cat", src="en", tgt="fr")


def test_translations_are_transformers_generate(madlad):
    """Beams of the ids that the tokenizer gives, with the generation settings of the files."""
    from transformers import T5ForConditionalGeneration

    pipeline, theirs = load(madlad), T5ForConditionalGeneration.from_pretrained(madlad)
    for text in ("the cat and the dog", "the bird"):
        ids = pipeline.tokenizer.encode(text, "de")
        [sentence] = pipeline.translate(text, tgt="de", beam_size=3, max_tokens=9).sentences
        best = sentence.candidates[0]
        expected = theirs.generate(torch.tensor([ids]), num_beams=3, max_new_tokens=9)[0].tolist()[1:]
        assert [*best.tokens, *[2] * best.is_complete] == expected[: len(best.tokens) + best.is_complete]


def test_bytes():
    """ByT5: a token for each byte, three ids before them. The ids are transformers'."""
    from transformers import ByT5Tokenizer

    config = Config(384, 16, 8, 24, 2, 2)
    ours, theirs = Tokenizer({}, config, where="byt5"), ByT5Tokenizer()
    for text in ("Hello, wörld 漢", ""):
        assert ours.encode(text) == theirs(text).input_ids
        assert ours.decode(theirs(text).input_ids) == theirs.decode(theirs(text).input_ids, skip_special_tokens=True)
    assert ours.tags == {} and ours.encode("x", prefix="do: ") == ours.encode("do: x")


def test_models_without_tags_are_told_in_words(tmp_path):
    folder = save(tmp_path, tiny_torch(vocab_size=384))
    pipeline = load(folder)
    assert pipeline.languages == ()
    result = pipeline.translate("Hi", prefix="translate English to German: ", max_tokens=3)
    assert result.sentences[0].n_source == len("translate English to German: Hi") + 1
    with pytest.raises(UsageError, match="has no tags for languages"):
        pipeline.translate("Hi", tgt="de")


def test_files_that_are_missing_or_too_large(tmp_path, madlad):
    for name in ("spiece.model", "tokenizer.json"):
        (madlad / name).unlink(missing_ok=True)
    with pytest.raises(FormatError, match=r"tokenizer\.json or spiece\.model is missing"):
        load(madlad)
    with pytest.raises(FormatError, match="the vocabulary has ids to"):
        Tokenizer({"spiece.model": pieces()}, Config(20, 16, 8, 24, 2, 2), where="t5")


def test_convert_and_validate_beside_transformers(madlad, tmp_path):
    import pytorch_to_mlx
    from pytorch_to_mlx.models.t5.reference import Reference

    folder = pytorch_to_mlx.convert(madlad, tmp_path / "mlx")
    options = {"tgt": "fr", "max_tokens": 6}
    assert pytorch_to_mlx.load(folder).translate("the cat", **options) == load(madlad).translate("the cat", **options)
    reference = Reference.open(madlad, folder)
    case = reference.cases()[0]
    assert_taps(CARD.taps, reference.mlx(case), reference.torch(case), reference.torch(case, "float64"))
