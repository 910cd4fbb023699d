"""Text ⇄ ids: SentencePiece, then the vocabulary of the model, which is another one in transformers' checkpoints."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from ...checkpoint.json_file import parse_json
from ...checkpoint.marian_vocab import check_vocab
from ...errors import FormatError, UsageError
from ...text.pieces import Pieces
from .config import Config
from .files import SOURCE, TARGET, TARGET_VOCAB, VOCAB

EXTRA = "opus-mt"
UNKNOWN, END, PAD = "<unk>", "</s>", "<pad>"
_CODE = re.compile(r">>([\w.-]{1,40})<<")
_TYPED = re.compile(r"^\s*>>([\w.-]{1,40})<<\s*")


class Tokenizer:
    """The pieces and vocabularies of source and target. files: as `files.extra_files` names them.

    Special strings that are typed in a text (</s>, >>fra<<) are plain text.
    Raises: FormatError where files are missing, damaged or do not fit the model; MissingExtraError without the package
    sentencepiece.
    """

    def __init__(self, files: Mapping[str, bytes], config: Config, *, where: str) -> None:
        if SOURCE not in files:
            raise FormatError("source.spm, the pieces of the source's text, is missing", where=where)
        self.eos = config.eos_token_id
        self.source = Pieces(files[SOURCE], where=f"{where}/{SOURCE}", extra=EXTRA)
        self.target = self.source
        if TARGET in files:
            self.target = Pieces(files[TARGET], where=f"{where}/{TARGET}", extra=EXTRA)
        self.vocab, self.target_vocab = (self._vocab(files, name, where) for name in (VOCAB, TARGET_VOCAB))
        self._check(config, where)

    def _vocab(self, files: Mapping[str, bytes], name: str, where: str) -> dict[str, int] | None:
        if name not in files:
            return None
        vocab = parse_json(files[name], where=f"{where}/{name}")
        check_vocab(vocab, Path(where) / name)
        return vocab

    def _check(self, config: Config, where: str) -> None:
        """Refuse vocabularies of other sizes than the model's, and other end tokens."""
        n_source = len(self.source if self.vocab is None else self.vocab)
        n_target = len(self.target if self.vocab is None else self.target_vocab or self.vocab)
        for side, n_tokens, size in (
            ("source", n_source, config.vocab_size),
            ("target", n_target, config.target_vocab_size),
        ):
            if n_tokens > size:
                raise FormatError(f"the {side} vocabulary has {n_tokens} tokens, the model {size}", where=where)
        end = self.source.end if self.vocab is None else self.vocab.get(END)
        if end != self.eos:
            raise FormatError(f"the vocabulary ends a sentence with {end}, the model with {self.eos}", where=where)
        if self.vocab is not None and UNKNOWN not in self.vocab:
            raise FormatError(f"the vocabulary has no {UNKNOWN}", where=where)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the target languages, of a model that has several."""
        matches = map(_CODE.fullmatch, self.source.pieces if self.vocab is None else self.vocab)
        return tuple(sorted(match[1] for match in matches if match))

    def target_code(self, text: str, tgt: str | None) -> tuple[str, str]:
        """Return the target language of a text, and the text without the >>code<< before it that may name it.

        Raises: UsageError for an unknown code, and where a model of several languages is told none.
        """
        if not self.languages:
            return "", text
        typed = _TYPED.match(text)
        code = tgt or (typed[1] if typed else None)
        if code is None:
            raise UsageError(
                f"this model translates into {len(self.languages)} languages",
                fix=f"name one with tgt: {', '.join(self.languages[:40])}",
            )
        if code not in self.languages:
            near = get_close_matches(code, self.languages, n=3)
            hint = f"did you mean {', '.join(near)}? " if near else ""
            raise UsageError(f"unknown target language '{code}'", fix=f"{hint}known: {', '.join(self.languages[:40])}")
        return code, text[typed.end() :] if typed else text

    @property
    def unknown(self) -> int:
        """Return the id that stands for characters the vocabulary does not have."""
        return self.source.unknown if self.vocab is None else self.vocab[UNKNOWN]

    def encode(self, text: str, code: str = "") -> list[int]:
        """Return the ids of a sentence with the end token, and before them the target language of this code."""
        if self.vocab is None:
            prefix = [self.source.ids[f">>{code}<<"]] if code else []
            return [*prefix, *self.source.encode(text), self.eos]
        prefix = [self.vocab[f">>{code}<<"]] if code else []
        return [*prefix, *(self.vocab.get(piece, self.unknown) for piece in self.source.split(text)), self.eos]

    @cached_property
    def _tokens(self) -> dict[int, str]:
        """Return the piece of each id that the decoder may give, without the special ones."""
        vocab: Any = self.target_vocab or self.vocab
        return {number: piece for piece, number in vocab.items() if piece not in (UNKNOWN, END, PAD)}

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids.

        Source: transformers 5.23, models/marian/tokenization_marian.py: the source's pieces join the text of a shared
        vocabulary, and special tokens are left out.
        """
        if self.vocab is None:
            return self.target.decode([number for number in ids if 0 <= number < len(self.target)])
        pieces = [self._tokens[number] for number in ids if number in self._tokens]
        joined = (self.source if self.target_vocab is None else self.target).join(pieces)
        return joined.replace("\u2581", " ").strip()
