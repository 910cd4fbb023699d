"""SentencePiece models: tiny ones trained here, and damaged ones."""

import io
import random

import pytest

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.text.pieces import Pieces

sentencepiece = pytest.importorskip("sentencepiece", reason="it comes with the extra 'opus-mt'")
SENTENCES = [
    f"the {a} and the {b} are {a}{b} in {c}" for a in ("cat", "dog", "bird") for b in ("house", "garden") for c in "xyz"
]


@pytest.fixture(scope="module")
def model() -> bytes:
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=buffer, vocab_size=27, eos_id=0, unk_id=1, bos_id=-1, pad_id=-1,
        minloglevel=2,
    )  # fmt: skip
    return buffer.getvalue()


def test_pieces_are_the_librarys(model):
    pieces, library = (
        Pieces(model, where="x.spm", extra="opus-mt"),
        sentencepiece.SentencePieceProcessor(model_proto=model),
    )
    for text in ("the cat", "", "  two  spaces ", "漢字 ﬁ", "a\tb\nc"):
        assert pieces.split(text) == library.encode(text, out_type=str)
        assert pieces.encode(text) == library.encode(text)
        assert pieces.decode(pieces.encode(text)) == library.decode(library.encode(text))
    assert (len(pieces), pieces.end, pieces.unknown) == (27, 0, 1)
    assert pieces.ids[pieces.pieces[7]] == 7


def test_special_tokens_that_are_typed_are_text(model):
    pieces = Pieces(model, where="x.spm", extra="opus-mt")
    assert pieces.end not in pieces.encode("end </s> <unk>")


@pytest.mark.parametrize("data", [b"", b"{}", b"\n\x05ab", b"PK\x03\x04" + bytes(100)])
def test_other_files_are_refused(data):
    with pytest.raises(FormatError, match=r"x\.spm: not a SentencePiece model"):
        Pieces(data, where="x.spm", extra="opus-mt")


def test_damage_is_refused_or_defined(model):
    """200 mutations: an error of ours, or a model that splits text."""
    dice, refused = random.Random(0), 0
    for _ in range(200):
        data = bytearray(model)
        for _ in range(dice.choice([1, 2, 8])):
            at = dice.randrange(len(data))
            if dice.random() < 0.3:
                del data[at : at + dice.choice([1, 9, 100])]
            else:
                data[at : at + 1] = bytes([dice.randrange(256)])
        try:
            ids = Pieces(bytes(data), where="x.spm", extra="opus-mt").encode("the cat ﬁ ① 漢字")
            assert all(type(number) is int for number in ids)
        except FormatError:
            refused += 1
    assert 50 < refused < 200
