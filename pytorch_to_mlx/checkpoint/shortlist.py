"""Read Marian's binary shortlist (lex.*.bin): which words of the target may translate each word of the source."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FormatError

MAGIC = 0xF11A48D5013417F5
_HEADER = 48  # six numbers of 8 bytes
_MULTIPLE = 8  # of the words that `words` gives, which Marian's products want


@dataclass(frozen=True)
class Shortlist:
    """The words of every source id, and the `first` most frequent words, which are always allowed.

    offsets: where the words of each source id begin in `ids`, and at the end where the last ones end.
    """

    first: int
    offsets: np.ndarray
    ids: np.ndarray

    def words(self, source: Sequence[int], vocab_size: int) -> np.ndarray:
        """Return the ids that a translation of `source` may hold, sorted; their number is a multiple of 8.

        Shapes: -> [n] int64. Source: marian-dev 1.12, src/data/shortlist.h `BinaryShortlistGenerator::generate`.
        """
        allowed = np.zeros(vocab_size, bool)
        allowed[: self.first] = True
        for word in set(source):
            if 0 <= word < len(self.offsets) - 1:
                allowed[self.ids[self.offsets[word] : self.offsets[word + 1]]] = True
        n_more = -int(allowed.sum()) % _MULTIPLE
        allowed[self.first + np.flatnonzero(~allowed[self.first :])[:n_more]] = True
        return np.flatnonzero(allowed)


def parse_shortlist(data: bytes, vocab_size: int, *, where: str | Path) -> Shortlist:
    """Read a binary shortlist for a target vocabulary of this size.

    Raises: FormatError for another format, lists that do not fit the file, and ids beyond the vocabulary.
    Source: marian-dev 1.12, src/data/shortlist.cpp `BinaryShortlistGenerator::load`; the checksum is not compared.
    """
    head = np.frombuffer(data, "<u8", 6) if len(data) >= _HEADER else np.zeros(6, np.uint64)
    magic, _, first, _, n_offsets, n_ids = (int(number) for number in head)
    if magic != MAGIC:
        raise FormatError("not a binary shortlist of Marian", where=where)
    if len(data) != _HEADER + 8 * n_offsets + 4 * n_ids or n_offsets < 2 or first > vocab_size:
        what = f"a shortlist of {n_offsets - 1} words and {n_ids} entries does not fit its file"
        raise FormatError(what, where=where)
    offsets = np.frombuffer(data, "<u8", n_offsets, _HEADER)
    ids = np.frombuffer(data, "<u4", n_ids, _HEADER + 8 * n_offsets)
    if offsets[0] != 0 or int(offsets[-1]) != n_ids or (offsets[1:] < offsets[:-1]).any():
        raise FormatError("the lists of the shortlist overlap or leave gaps", where=where)
    if n_ids and int(ids.max()) >= vocab_size:
        raise FormatError(f"the shortlist names word {ids.max()}, the model has {vocab_size}", where=where)
    return Shortlist(first, offsets.astype(np.int64), ids.astype(np.int64))
