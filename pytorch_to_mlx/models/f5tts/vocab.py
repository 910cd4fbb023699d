"""vocab.txt, and a text as the numbers of its entries."""

from collections.abc import Mapping
from pathlib import Path

from ...errors import FormatError
from ...text.pinyin import pinyin_tokens

UNKNOWN = 0  # the id of what has no entry; it is the space's too


def read_vocab(data: bytes, where: str | Path | None = None) -> dict[str, int]:
    """Return the ids of a vocab.txt: an entry's is the number of its line, counted from 0.

    Entries may be white space or have no width, so nothing is stripped. Of two equal entries the later one counts.
    Raises: FormatError for bytes that are not UTF-8 and for an empty file.
    Source: f5-tts 1.1.22, model/utils.py `get_tokenizer`, which loses the last character of a file that does not end
    with a line break.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("the vocabulary is not UTF-8 text", where=where) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise FormatError("the vocabulary is empty", where=where)
    return {entry: i for i, entry in enumerate(lines)}


class Tokenizer:
    """Text to ids. vocab: of vocab.txt; None is the byte tokenizer, whose ids are those of UTF-8."""

    def __init__(self, vocab: Mapping[str, int] | None) -> None:
        self.vocab = vocab

    def encode(self, text: str, *, forced: bool = True) -> list[int]:
        """Return the ids of a text; what has no entry becomes UNKNOWN. forced: see `pinyin_tokens`."""
        if self.vocab is None:
            return list(text.encode())
        return [self.vocab.get(token, UNKNOWN) for token in pinyin_tokens(text, forced=forced)]

    def unknown(self, text: str, *, forced: bool = True) -> list[str]:
        """Return the tokens of a text that have no entry, each once: the model reads them as spaces."""
        if self.vocab is None:
            return []
        tokens = dict.fromkeys(pinyin_tokens(text, forced=forced))
        return [token for token in tokens if token not in self.vocab and not token.isspace()]
