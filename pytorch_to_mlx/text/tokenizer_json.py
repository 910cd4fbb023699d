"""Text ⇄ ids by a tokenizer.json, through the library tokenizers."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from ..errors import FormatError, MissingExtraError

MAX_BYTES = 128 << 20  # of the file; the largest published one has 35 MB


class Refusing(AbstractContextManager[None]):
    """Name the file in what the library raises: an Exception of no kind of its own, or a panic of Rust."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is Exception or (kind is not None and kind.__name__ == "PanicException"):
            raise FormatError(f"not a tokenizer.json: {str(error)[:100]!r}", where=self.where) from None


class TokenizerFile:
    """A tokenizer.json. data: its bytes. where: its name, for messages. extra: the extra that brings the library.

    Raises: FormatError for bytes that are no such file; MissingExtraError without the package tokenizers.
    """

    def __init__(self, data: bytes, *, where: str, extra: str) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("tokenizers", extra, needed_for="splitting text into pieces") from error
        if len(data) > MAX_BYTES:
            raise FormatError(f"{len(data)} bytes of a tokenizer, at most {MAX_BYTES} are read", where=where)
        try:
            content = data.decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError("not UTF-8", where=where) from None
        with Refusing(where):
            self._tokenizer: Any = Tokenizer.from_str(content)
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        added = self._tokenizer.get_added_tokens_decoder()
        unknown = getattr(self._tokenizer.model, "unk_token", None) or "<unk>"
        self._special = {n for n, token in added.items() if token.special and token.content != unknown}

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def id_of(self, token: str) -> int | None:
        """Return the id of a token, None if it has none."""
        return self._tokenizer.token_to_id(token)

    def tokens(self) -> dict[str, int]:
        """Return the id of every token, the special ones included."""
        return self._tokenizer.get_vocab(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without special tokens around them.

        Special tokens that stand in the text are its characters, or left out where the vocabulary cuts no smaller.
        """
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids if self._special.isdisjoint(ids) else [number for number in ids if number not in self._special]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)
