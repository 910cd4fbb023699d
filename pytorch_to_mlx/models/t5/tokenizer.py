"""Text ⇄ ids of T5 and its kin: by tokenizer.json, by a SentencePiece model, or for ByT5 by the bytes."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from ...errors import FormatError, UsageError
from ...text.pieces import Pieces
from ...text.tokenizer_json import TokenizerFile
from .config import Config
from .languages import NAMES

EXTRA = "madlad"
TOKENIZER, PIECES, SETTINGS = "tokenizer.json", "spiece.model", "tokenizer_config.json"
FILES = (TOKENIZER, PIECES, SETTINGS)
_TAG = re.compile(r"<2([A-Za-z_]{2,20})>")
_BYTES = re.compile(rb'"tokenizer_class"\s*:\s*"ByT5Tokenizer"')
BYTE_OFFSET = 3  # of ByT5: 0 is padding, 1 the end, 2 unknown


class Tokenizer:
    """The vocabulary, and the tags of target languages where it has some. files: by the names in FILES.

    Raises: FormatError where files are missing, damaged or do not fit the model; MissingExtraError without a package.
    """

    def __init__(self, files: Mapping[str, bytes], config: Config, *, where: str) -> None:
        self.eos, self.vocab_size = config.eos_token_id, config.vocab_size
        if TOKENIZER in files:
            self._text: Any = _FromJson(files, where)
        elif PIECES in files:
            self._text = _FromPieces(files, where)
        elif _BYTES.search(files.get(SETTINGS, b"")) or config.vocab_size == 384:
            self._text = _Bytes()
        else:
            raise FormatError(f"{TOKENIZER} or {PIECES} is missing", where=where, fix="put it beside the weights")
        largest = max(self._text.tokens().values(), default=0)
        if largest >= config.vocab_size:
            raise FormatError(f"the vocabulary has ids to {largest}, the model {config.vocab_size} tokens", where=where)

    @cached_property
    def unknown(self) -> int | None:
        """Return the id that stands for characters the vocabulary does not have; None for bytes."""
        return None if isinstance(self._text, _Bytes) else self._text.tokens().get("<unk>")

    @cached_property
    def tags(self) -> dict[str, int]:
        """Return the id of the tag of each target language; none for models that are told in words what to do."""
        matches = ((_TAG.fullmatch(token), number) for token, number in self._text.tokens().items())
        return dict(sorted((match[1], number) for match, number in matches if match))

    def code(self, text: str) -> str:
        """Return the code that a user means: a code, or the English name of a language.

        Raises: UsageError for one that the vocabulary does not have, naming the nearest.
        """
        spelled = text.strip().removeprefix("<2").removesuffix(">")
        if spelled in self.tags:
            return spelled
        folded = {code.lower().replace("_", "-"): code for code in self.tags}
        folded |= {NAMES[code].lower(): code for code in self.tags if code in NAMES}
        key = spelled.lower().replace("_", "-")
        if key in folded:
            return folded[key]
        near = dict.fromkeys(folded[word] for word in get_close_matches(key, folded, n=3))
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise UsageError(f"unknown target language '{text}'", fix=f"{hint}`languages` lists all {len(self.tags)}")

    def encode(self, text: str, code: str = "", prefix: str = "") -> list[int]:
        """Return the ids of a sentence with the end token. code: its target language. prefix: words before it.

        Tags that stand in the text are left out: only the one before it names a language.
        """
        if not code:
            return [*self._text.encode(prefix + text), self.eos]
        tag, tags = self.tags[code], set(self.tags.values())
        ids = self._text.encode(f"<2{code}> {prefix}{text}")
        if tag in ids[:2]:  # as the tokenizer cuts it, which may put the mark of a word before the tag
            n_tag = ids.index(tag) + 1
            return [*ids[:n_tag], *(number for number in ids[n_tag:] if number not in tags), self.eos]
        return [tag, *(number for number in self._text.encode(prefix + text) if number not in tags), self.eos]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids, without special tokens."""
        return self._text.decode([number for number in ids if 0 <= number < self.vocab_size and number != self.eos])


class _FromJson:
    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        self.file = TokenizerFile(files[TOKENIZER], where=f"{where}/{TOKENIZER}", extra=EXTRA)

    def tokens(self) -> dict[str, int]:
        return self.file.tokens()

    def encode(self, text: str) -> list[int]:
        return self.file.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.file.decode(ids)


class _FromPieces:
    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        self.pieces = Pieces(files[PIECES], where=f"{where}/{PIECES}", extra=EXTRA)

    def tokens(self) -> dict[str, int]:
        return self.pieces.ids

    def encode(self, text: str) -> list[int]:
        return self.pieces.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.pieces.decode([number for number in ids if number < len(self.pieces)])


class _Bytes:
    """A token for each byte. Source: Xue et al. 2022, "ByT5", section 3.1; transformers' ByT5Tokenizer."""

    def tokens(self) -> dict[str, int]:
        """Return the largest id alone: the bytes have no names."""
        return {"": 255 + BYTE_OFFSET}

    def encode(self, text: str) -> list[int]:
        return [byte + BYTE_OFFSET for byte in text.encode("utf-8")]

    def decode(self, ids: Sequence[int]) -> str:
        data = bytes(number - BYTE_OFFSET for number in ids if BYTE_OFFSET <= number < 256 + BYTE_OFFSET)
        return data.decode("utf-8", errors="ignore")
