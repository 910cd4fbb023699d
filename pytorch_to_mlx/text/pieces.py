"""Text ⇄ pieces of a SentencePiece model, through the library of that name."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..errors import FormatError, MissingExtraError

MAX_BYTES = 64 << 20  # of a model; the largest published one has 15 MB


class Pieces:
    """A SentencePiece model (.spm, .model). data: the bytes of its file. where: its name, for messages.

    extra: the extra of this package that brings the library.
    Raises: FormatError for bytes that are no such model; MissingExtraError without the package sentencepiece.
    """

    def __init__(self, data: bytes, *, where: str, extra: str) -> None:
        try:
            import sentencepiece
        except ImportError as error:
            raise MissingExtraError("sentencepiece", extra, needed_for="splitting text into pieces") from error
        if len(data) > MAX_BYTES:
            raise FormatError(f"{len(data)} bytes of pieces, at most {MAX_BYTES} are read", where=where)
        self._model: Any = sentencepiece.SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(data)
        except (RuntimeError, TypeError, ValueError):
            raise FormatError("not a SentencePiece model, or a damaged one", where=where) from None

    def __len__(self) -> int:
        return self._model.vocab_size()

    @cached_property
    def ids(self) -> dict[str, int]:
        """Return the id of every piece."""
        return {piece: number for number, piece in enumerate(self.pieces)}

    @cached_property
    def pieces(self) -> list[str]:
        """Return every piece, by its id."""
        return [self._model.id_to_piece(number) for number in range(len(self))]

    @property
    def unknown(self) -> int:
        """Return the id that stands for characters the model does not know."""
        return self._model.unk_id()

    @property
    def end(self) -> int:
        """Return the id of `</s>`, -1 if there is none."""
        return self._model.eos_id()

    def split(self, text: str) -> list[str]:
        """Return the pieces of a text; what looks like a special token is plain text."""
        return self._model.encode(text, out_type=str)

    def encode(self, text: str) -> list[int]:
        """Return the ids of the pieces of a text; what looks like a special token is plain text."""
        return self._model.encode(text, out_type=int)

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text of pieces."""
        return self._model.decode_pieces(list(pieces))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, each below the number of pieces."""
        return self._model.decode_ids(list(ids))
