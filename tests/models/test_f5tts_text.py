"""F5-TTS's text: the vocabulary and ids, against the original by tests/golden/f5_front_end.py."""

import pytest

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.models.f5tts.vocab import Tokenizer, read_vocab


def test_an_entry_is_a_line_as_it_is():
    data = " \r\na\r\n\u200e\r\n \u2028x\nni2\n\n日".encode()
    assert read_vocab(data) == {" ": 0, "a": 1, "\u200e": 2, " \u2028x": 3, "ni2": 4, "": 5, "日": 6}


def test_of_equal_entries_the_later_one_counts():
    assert read_vocab(b" \na\nb\na\n") == {" ": 0, "a": 3, "b": 2}


@pytest.mark.parametrize(("data", "problem"), [(b"", "is empty"), (b" \n\xff\n", "not UTF-8")])
def test_other_bytes_are_refused(data, problem):
    with pytest.raises(FormatError, match=f"vocab.txt: .*{problem}"):
        read_vocab(data, "vocab.txt")


def test_what_has_no_entry_is_spoken_as_a_space():
    tokenizer = Tokenizer(read_vocab(b" \na\nb\n,\n"))
    assert tokenizer.encode("ab;c a") == [1, 2, 3, 0, 0, 1]
    assert tokenizer.unknown("ab;c a^c") == ["c", "^"]


def test_the_byte_tokenizer_takes_utf_8():
    tokenizer = Tokenizer(None)
    assert tokenizer.encode("aé你") == [97, 195, 169, 228, 189, 160]
    assert tokenizer.unknown("aé你") == []
