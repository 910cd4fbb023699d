"""Text ⇄ ids of NLLB-200 and M2M100, in the three layouts of files that their checkpoints have.

tokenizer.json (NLLB since 2022), sentencepiece.bpe.model alone (NLLB: ids are the model's and one, then the languages),
and vocab.json beside it (M2M100: ids are the vocabulary's, then the languages `__en__`).
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ...checkpoint.json_file import parse_json
from ...errors import FormatError
from ...text.pieces import Pieces
from ...text.tokenizer_json import TokenizerFile
from .config import Config
from .languages import M2M100, NLLB, find_code

EXTRA = "nllb"
TOKENIZER, PIECES, VOCAB, SETTINGS = "tokenizer.json", "sentencepiece.bpe.model", "vocab.json", "tokenizer_config.json"
FILES = (TOKENIZER, PIECES, VOCAB, SETTINGS)
START, PAD, END, UNKNOWN = 0, 1, 2, 3  # as fairseq numbers them; SentencePiece has unknown 0, start 1, end 2
_OFFSET = 1  # of all other pieces
# The one setting that matters; the file as a whole holds numbers that no reader of strict JSON takes (1e30 in digits).
_LEGACY = re.compile(rb'"legacy_behaviour"\s*:\s*true')


class Tokenizer:
    """The vocabulary with its languages. files: by the names in FILES.

    is_legacy: the source's language stands behind the text, as before 2023, by the checkpoint's own settings.
    Raises: FormatError where files are missing, damaged or do not fit the model; MissingExtraError without a package.
    """

    def __init__(self, files: Mapping[str, bytes], config: Config, *, where: str) -> None:
        self.is_legacy = bool(_LEGACY.search(files.get(SETTINGS, b"")))
        self.eos, self.vocab_size = config.eos_token_id, config.vocab_size
        if TOKENIZER in files:
            self._text: Any = _FromJson(files, where)
        elif PIECES in files:
            self._text = (_FromVocab if VOCAB in files else _FromPieces)(files, where)
        else:
            raise FormatError(f"{TOKENIZER} or {PIECES} is missing", where=where, fix="put it beside the weights")
        codes = self._text.language_ids()
        if not codes:
            raise FormatError("the vocabulary has no language codes", where=where)
        largest = max(*codes.values(), self._text.largest())
        if largest >= config.vocab_size:
            raise FormatError(f"the vocabulary has ids to {largest}, the model {config.vocab_size} tokens", where=where)
        self.codes: dict[str, int] = codes

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the languages."""
        return tuple(self.codes)

    def code(self, text: str, what: str) -> str:
        """Return the code that a user means by `text`. what: "source" or "target". Raises: UsageError."""
        return find_code(text, self.languages, what)

    def encode(self, text: str, code: str, *, is_legacy: bool | None = None) -> list[int]:
        """Return the ids of a sentence in the language of this code, with the end token."""
        ids, language = self._text.encode(text), self.codes[code]
        if self.is_legacy if is_legacy is None else is_legacy:
            return [*ids, self.eos, language]
        return [language, *ids, self.eos]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids, without language codes and special tokens."""
        codes = set(self.codes.values())
        return self._text.decode([number for number in ids if number not in codes and 0 <= number < self.vocab_size])


class _FromJson:
    """A tokenizer.json; the languages are the tokens that are spelled like one."""

    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        self.file = TokenizerFile(files[TOKENIZER], where=f"{where}/{TOKENIZER}", extra=EXTRA)

    def language_ids(self) -> dict[str, int]:
        tokens = self.file.tokens()
        nllb = {language.code: tokens[language.code] for language in NLLB if language.code in tokens}
        return nllb or {code: tokens[f"__{code}__"] for code in M2M100 if f"__{code}__" in tokens}

    def largest(self) -> int:
        return max(self.file.tokens().values(), default=0)

    def encode(self, text: str) -> list[int]:
        return self.file.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.file.decode(ids)


class _FromPieces:
    """A SentencePiece model alone. Source: transformers 4.40, models/nllb/tokenization_nllb.py."""

    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        self.pieces = Pieces(files[PIECES], where=f"{where}/{PIECES}", extra=EXTRA)

    def language_ids(self) -> dict[str, int]:
        return {language.code: len(self.pieces) + _OFFSET + n for n, language in enumerate(NLLB)}

    def largest(self) -> int:
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        unknown = self.pieces.unknown
        return [UNKNOWN if number == unknown else number + _OFFSET for number in self.pieces.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        known = [number - _OFFSET for number in ids if UNKNOWN < number < len(self.pieces) + _OFFSET]
        return self.pieces.decode(known).strip()


class _FromVocab:
    """A SentencePiece model, and the ids of its pieces. Source: transformers 5.23, tokenization_m2m_100.py."""

    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        self.pieces = Pieces(files[PIECES], where=f"{where}/{PIECES}", extra=EXTRA)
        self.vocab: dict[str, Any] = parse_json(files[VOCAB], where=f"{where}/{VOCAB}")
        numbers = [number for number in self.vocab.values() if type(number) is int and number >= 0]
        if len(numbers) < len(self.vocab) or "<unk>" not in self.vocab:
            raise FormatError("not a vocabulary of tokens and their ids, with <unk>", where=f"{where}/{VOCAB}")
        self.tokens = {number: piece for piece, number in self.vocab.items()}

    def language_ids(self) -> dict[str, int]:
        return {code: len(self.vocab) + n for n, code in enumerate(M2M100)}

    def largest(self) -> int:
        return max(self.vocab.values())

    def encode(self, text: str) -> list[int]:
        unknown = self.vocab["<unk>"]
        return [self.vocab.get(piece, unknown) for piece in self.pieces.split(text)]

    def decode(self, ids: Sequence[int]) -> str:
        special = {"<s>", "<pad>", "</s>", "<unk>"}
        known = [self.tokens[number] for number in ids if number in self.tokens]
        return self.pieces.join([piece for piece in known if piece not in special]).strip()
