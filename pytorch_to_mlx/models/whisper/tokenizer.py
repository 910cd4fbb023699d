"""Whisper's vocabularies: GPT-2's for English models, one of its own for multilingual ones; special tokens after both.

Reference: openai-whisper 20250625, whisper/tokenizer.py.
"""

import base64
import re
import string
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from importlib import resources
from typing import Any

from ...errors import FormatError, MissingExtraError, UsageError
from .languages import ALIASES, LANGUAGES

PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
WITHOUT_SPACES = {"zh", "ja", "th", "lo", "my", "yue"}
TIMESTAMPS = 1501  # 0.00 s to 30.00 s in steps of 0.02 s
REPLACEMENT = "�"


def require_tiktoken() -> Any:
    """Import and return tiktoken. Raises: MissingExtraError without it."""
    try:
        import tiktoken
    except ImportError as error:
        raise MissingExtraError("tiktoken", "whisper", needed_for="Whisper's tokenizer") from error
    return tiktoken


@cache
def _encoding(name: str, num_languages: int) -> Any:
    """Build the tiktoken encoding of a vocabulary. Raises: MissingExtraError without the package tiktoken."""
    tiktoken = require_tiktoken()
    lines = resources.files(__package__ or __name__).joinpath("assets", f"{name}.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in list(LANGUAGES)[:num_languages]),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{step * 0.02:.2f}|>" for step in range(TIMESTAMPS)),
    ]
    ids = {token: len(ranks) + number for number, token in enumerate(special)}
    return tiktoken.Encoding(name, pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=ids)


def language_code(language: str) -> str:
    """Return the code of a language: 'en' for 'en', 'English' or the tag 'en-US'.

    Raises: UsageError for an unknown one, naming the nearest.
    """
    name = language.strip().lower()
    tag = re.fullmatch(r"([a-z]{2,3})([-_][a-z0-9]{2,8})+", name)  # BCP 47: the language comes first
    for spelling in (name, tag[1] if tag else name):
        code = ALIASES.get(spelling, spelling)
        if code in LANGUAGES:
            return code
    near = get_close_matches(name, ALIASES, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UsageError(f"unknown language '{language}'", fix=f"{hint}known: {', '.join(LANGUAGES)}")


@dataclass(frozen=True)
class Tokenizer:
    """Text ⇄ ids of one vocabulary. num_languages: 99, or 100 from large-v3 on."""

    multilingual: bool
    num_languages: int = 99

    @classmethod
    def for_vocab(cls, n_vocab: int) -> "Tokenizer":
        """Return the tokenizer of a checkpoint by its vocabulary size: 51,864 English, 51,865 or 51,866 multilingual.

        Raises: FormatError for any other size.
        """
        if n_vocab not in (51864, 51865, 51866):
            raise FormatError(f"n_vocab is {n_vocab}, Whisper's vocabularies have 51864, 51865 or 51866 tokens")
        multilingual = n_vocab > 51864
        return cls(multilingual, n_vocab - 51765 - int(multilingual))

    @cached_property
    def encoding(self) -> Any:
        """Return the tiktoken encoding."""
        return _encoding("multilingual" if self.multilingual else "gpt2", self.num_languages)

    def special(self, name: str) -> int:
        """Return the id of `<|name|>`."""
        return self.encoding.encode_single_token(f"<|{name}|>")

    @cached_property
    def eot(self) -> int:
        """Return the id that marks the end of a text."""
        return self.special("endoftext")

    @cached_property
    def sot(self) -> int:
        """Return the id that marks the start of a transcript."""
        return self.special("startoftranscript")

    @cached_property
    def sot_prev(self) -> int:
        """Return the id that marks the start of a prompt."""
        return self.special("startofprev")

    @cached_property
    def no_speech(self) -> int:
        """Return the id that marks a window without speech."""
        return self.special("nospeech")

    @cached_property
    def no_timestamps(self) -> int:
        """Return the id that marks a text without timestamps."""
        return self.special("notimestamps")

    @cached_property
    def timestamp_begin(self) -> int:
        """Return the id of the first timestamp, 0.00 s; the later ones follow it."""
        return self.special("0.00")

    @cached_property
    def languages(self) -> dict[str, int]:
        """Return the id of each language's token by its code."""
        return {code: self.sot + 1 + n for n, code in enumerate(list(LANGUAGES)[: self.num_languages])}

    def sot_sequence(self, language: str | None, task: str) -> tuple[int, ...]:
        """Return the tokens that start a transcript. English-only models have neither language nor task."""
        if not self.multilingual:
            return (self.sot,)
        return (self.sot, self.languages[language or "en"], self.special(task))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, in which special tokens are plain text."""
        return self.encoding.encode(text, disallowed_special=())

    def decode(self, ids: list[int] | tuple[int, ...]) -> str:
        """Return the text of ids without the timestamps."""
        return self.encoding.decode([i for i in ids if i < self.timestamp_begin])

    def decode_with_timestamps(self, ids: list[int] | tuple[int, ...]) -> str:
        """Return the text of ids, timestamps as `<|0.00|>`."""
        return self.encoding.decode(list(ids))

    @cached_property
    def non_speech(self) -> tuple[int, ...]:
        """Return the ids of symbols that are not spoken, such as brackets around speaker tags and musical notes.

        Source: `non_speech_tokens` of the reference.
        """
        symbols = [*'"#()*+/:;<=>@[\\]^_`{|}~「」『』']
        symbols += "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪".split()
        notes = set("♩♪♫♬♭♮♯")
        non_speech = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in [*symbols, *notes]:
            for ids in (self.encode(symbol), self.encode(" " + symbol)):
                if len(ids) == 1 or symbol in notes:
                    non_speech.add(ids[0])
        return tuple(sorted(non_speech))

    def split_words(self, ids: list[int], language: str | None) -> tuple[list[str], list[list[int]]]:
        """Return the words and the ids of each; languages without spaces are split at every complete character."""
        pieces = self._split_characters(ids)
        if language in WITHOUT_SPACES:
            return [text for text, _ in pieces], [tokens for _, tokens in pieces]
        words: list[str] = []
        groups: list[list[int]] = []
        for text, tokens in pieces:
            starts_word = tokens[0] >= self.eot or text.startswith(" ") or text.strip() in string.punctuation
            if starts_word or not words:
                words.append(text)
                groups.append(list(tokens))
            else:
                words[-1] += text
                groups[-1].extend(tokens)
        return words, groups

    def _split_characters(self, ids: list[int]) -> list[tuple[str, list[int]]]:
        """Cut wherever the ids so far decode to complete characters; return each piece of text with its ids."""
        whole = self.decode_with_timestamps(ids)
        pieces, current, offset = [], [], 0
        for token in ids:
            current.append(token)
            text = self.decode_with_timestamps(current)
            cut = text.find(REPLACEMENT)
            if cut < 0 or whole[offset + cut] == REPLACEMENT:
                pieces.append((text, current))
                offset += len(text)
                current = []
        return pieces
