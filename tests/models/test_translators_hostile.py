"""Translators and what they should not be given: damaged files, odd texts, wrong languages. One error, or a result."""

import io
import json
import random
import struct
import time

import numpy as np
import pytest
from checkpoint.test_marian import model as marian_bin
from checkpoint.test_marian import tensor
from models.test_m2m100 import save_nllb
from models.test_marian import ARCHITECTURE, KINDS, SENTENCES, own_arrays, save_multilingual
from models.test_t5 import save_madlad

from pytorch_to_mlx.checkpoint.shortlist import MAGIC
from pytorch_to_mlx.cli import main
from pytorch_to_mlx.errors import FormatError, PortError, UsageError
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.progress import listening

N_VOCAB = 40


def save_student(folder, form="bin"):
    """A model of Marian's own with a recurrent decoder, a shortlist and the pieces of its vocabulary."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="it comes with the extra 'opus-mt'")
    folder.mkdir()
    arrays = own_arrays(ARCHITECTURE | KINDS["ssru"], N_VOCAB)
    if form == "bin":
        (folder / "model.bin").write_bytes(marian_bin(*(tensor(name, array) for name, array in arrays.items())))
    else:
        np.savez(folder / "model.npz", **arrays)
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=buffer, vocab_size=30, minloglevel=2, hard_vocab_limit=False,
        eos_id=0, unk_id=1, bos_id=-1,
    )  # fmt: skip
    (folder / "vocab.spm").write_bytes(buffer.getvalue())
    offsets, ids = np.arange(0, 2 * N_VOCAB + 2, 2, dtype="<u8"), np.arange(2 * N_VOCAB, dtype="<u4") % N_VOCAB
    head = struct.pack("<6Q", MAGIC, 0, 8, 8, len(offsets), len(ids))
    (folder / "lex.bin").write_bytes(head + offsets.tobytes() + ids.tobytes())
    return folder


OPTIONS = {
    "opus": {"tgt": "fra"},
    "student": {},
    "nllb": {"src": "eng_Latn", "tgt": "fra_Latn"},
    "madlad": {"tgt": "fr"},
}
SAVE = {
    "opus": save_multilingual,
    "student": save_student,
    "student npz": lambda path: save_student(path, "npz"),
    "nllb": lambda path: save_nllb(path)[0],
    "madlad": lambda path: save_madlad(path, "spiece.model"),
    "madlad json": lambda path: save_madlad(path, "tokenizer.json"),
}
FILES = [
    ("opus", "source.spm"), ("opus", "vocab.json"), ("opus", "config.json"), ("student", "model.bin"),
    ("student npz", "model.npz"), ("student", "vocab.spm"), ("student", "lex.bin"), ("nllb", "tokenizer.json"),
    ("nllb", "generation_config.json"), ("madlad", "spiece.model"), ("madlad json", "tokenizer.json"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each of SAVE by name, made when it is asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = SAVE[name](tmp_path_factory.mktemp("translators") / name.replace(" ", "_"))
        return made[name]

    return folder


def options_of(name):
    return OPTIONS[name.split()[0]]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, some cut out, some put in, or the end missing."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place, kind = rng.randrange(len(damaged)), rng.randrange(6)
        if kind < 3:
            damaged[place] = rng.choice((0, 255, rng.randrange(256), damaged[place] ^ 1 << rng.randrange(8)))
        elif kind == 3:
            del damaged[place : place + rng.choice((1, 4, 100))]
        elif kind == 4:
            damaged[place:place] = rng.choice((b"-", b"9", b"\0" * 8, bytes(damaged[place : place + 50])))
        else:
            del damaged[place:]
        if not damaged:
            break
    return bytes(damaged)


@pytest.mark.parametrize("n", [20, pytest.param(200, marks=pytest.mark.full)])
@pytest.mark.parametrize(("name", "file"), FILES)
def test_damaged_files(folders, name, file, n):
    """Each is refused in one error, or gives a text; some of both occur, so that both are tried."""
    path = folders(name) / file
    good, rng = path.read_bytes(), random.Random(n)
    n_refused = 0
    try:
        for number in range(n):
            path.write_bytes(mutated(good, rng))
            try:
                options = {**options_of(name), **({"shortlist": True} if file == "lex.bin" else {})}
                result = load(folders(name)).translate("the cat", max_tokens=2, **options)
                assert isinstance(result.text, str)
            except PortError as error:
                assert error.exit_code in (2, 3, 4, 5) and str(error), number
                n_refused += 1
    finally:
        path.write_bytes(good)
    assert n_refused >= n // 10, n_refused


TEXTS = {
    "nothing": "",
    "spaces": " \t\n ",
    "control": "the\x00 cat\x01\x02\x7f\x1b[31m and \x85 the\u2028dog\ufeff",
    "mixed": "the cat 漢字 кот العربية עברית हिन्दी ไทย 한국어 ﬁ ① 𝔘𝔫 e\u0301\u0302\u0303",
    "emoji": "the 👩‍👩‍👧‍👦 cat 🇵🇹 and \U000e0001",
    "surrogate": "the \ud800 cat \udfff",
    "special": "the </s> <s> <pad> <unk> <mask> cat <extra_id_0> ▁▁ the",
    "codes": "the >>fra<< cat >>xx<< and <2xx> <2de> eng_Latn __en__ fra_Latn dog",
    "bidirectional": "\u202ethe cat\u202c \u2066and\u2069 the dog",
    "private": "the \ue000\uf8ff cat \uffff\U0010ffff",
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["opus", "student", "nllb", "madlad", "madlad json"])
def test_odd_texts(folders, name, text):
    """A result whose sources, joined, are the text; the encoder reads one end token, and no other special one."""
    pipeline, text = load(folders(name)), TEXTS[text]
    result = pipeline.translate(text, max_tokens=3, **options_of(name))
    read = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert result.source == read == "".join(sentence.source for sentence in result.sentences)
    json.dumps(result.to_dict(), ensure_ascii=False).encode("utf-8")
    config, engine = pipeline.model.config, pipeline.example_engine()
    ids = engine.encode(read)
    assert ids.count(config.eos_token_id) == 1 and config.pad_token_id not in ids
    assert 0 <= min(ids) and max(ids) < config.vocab_size


@pytest.mark.parametrize("name", ["opus", "student", "nllb", "madlad"])
@pytest.mark.parametrize(
    "text", ["a" * 100_000, "the " + "cat" * 33_000 + " dog", "a" + "." * 100_000 + "b", "x" * 99_999 + "!"],
    ids=["one", "amid", "marks", "cry"],
)  # fmt: skip
def test_100_000_characters_without_a_break(folders, name, text):
    """What is too long for a word stays as it is, with a warning; nothing is lost, and it takes no minutes."""
    pipeline, notes = load(folders(name)), []

    class Listener:
        on_terminal = False
        note = staticmethod(notes.append)

    started = time.process_time()
    with listening(Listener()):
        result = pipeline.translate(text, max_tokens=2, **options_of(name))
    assert time.process_time() - started < 5
    assert "".join(sentence.source for sentence in result.sentences) == text
    long = max(text.split(), key=len)
    assert long in result.text and any("not translated" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("opus", {"tgt": "fr"}, "unknown target language 'fr'"),
        ("opus", {"tgt": 5}, "a language is named by a text"),
        ("opus", {"tgt": "fra", "src": "eng"}, "one source language"),
        ("nllb", {"src": "Latn_eng", "tgt": "fra_Latn"}, "unknown source language 'Latn_eng'"),
        ("nllb", {"src": "eng_Latn", "tgt": "French (France)"}, "unknown target language"),
        ("nllb", {"src": "eng_Latn", "tgt": 256057}, "a language is named by a text"),
        ("nllb", {"src": "fr", "tgt": "en"}, "unknown source language 'fr'"),
        ("madlad", {"tgt": "fra_Latn"}, "unknown target language 'fra_Latn'"),
        ("madlad", {"tgt": ["fr"]}, "a language is named by a text"),
        ("madlad", {"src": "fr", "tgt": "en"}, "leave out src"),
        ("nllb", {"src": "eng_Latn", "tgt": "fra_Latn", "forced_bos_token_id": 10**9}, "beyond the vocabulary"),
        ("nllb", {"src": "eng_Latn", "tgt": "fra_Latn", "suppress_tokens": [-1]}, "beyond the vocabulary"),
        ("madlad", {"tgt": "fr", "bad_words_ids": [[3, 999_999]]}, "beyond the vocabulary"),
        ("madlad", {"tgt": "fr", "num_beams": "four"}, "num_beams is 'four'"),
        ("madlad", {"tgt": "fr", "bad_words_ids": 5}, "bad_words_ids is 5"),
        ("madlad", {"tgt": "fr", "temperature": float("nan")}, "temperature is nan"),
        ("madlad", {"tgt": "fr", "beam_size": 2.5}, "beam_size is 2.5"),
    ],
)
def test_wrong_options(folders, name, options, word):
    with pytest.raises(UsageError, match=word):
        load(folders(name)).translate("the cat", **options)


def test_ids_beyond_the_vocabulary(folders):
    """A vocabulary that is larger than the model would read other memory: it is refused when the files are opened."""
    folder = folders("nllb")
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    word = next(iter(set(content["model"]["vocab"]) - {"<s>", "<pad>", "</s>", "<unk>"}))
    content["model"]["vocab"][word] = 4_000_000
    good = (folder / "tokenizer.json").read_bytes()
    try:
        (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(FormatError, match="the vocabulary has ids to 4000000"):
            load(folder)
    finally:
        (folder / "tokenizer.json").write_bytes(good)


def test_nothing_half_written(folders, tmp_path, capsys):
    """A converted folder that was damaged: one line, and neither the output nor a part of it."""
    import pytorch_to_mlx

    folder = pytorch_to_mlx.convert(folders("opus"), tmp_path / "mlx")
    (folder / "source.spm").write_bytes(b"broken")
    (tmp_path / "in.txt").write_text("the cat\n")
    files = ["--file", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.txt")]
    assert main(["opus-mt", "translate", "--model", str(folder), "--tgt", "fra", *files]) == 4
    assert "not a SentencePiece model" in capsys.readouterr().err.strip().splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "mlx"]
