"""Text to ids for version 1: Whisper's multilingual vocabulary, or that of the recipe with 25 tokens a second.

Reference: openai-whisper 20250625, whisper/tokenizer.py; cosyvoice/tokenizer/tokenizer.py@ace7c47.
"""

import base64
from functools import cache
from importlib import resources
from typing import Any

from ....errors import FormatError
from ...whisper.languages import LANGUAGES
from ...whisper.tokenizer import PATTERN, TIMESTAMPS, Tokenizer, require_tiktoken
from .tokenizer import require_text

WHISPER_SIZE = 51_866  # ids, and rows of the text embedding
OWN_SIZE = 60_515  # rows: for the tags of all of its languages
NUM_LANGUAGES = 100  # Whisper's, and those that the recipe's yaml names for both vocabularies
MORE_LANGUAGES = ("minnan", "wuyu", "dialect", "zh/en", "en/zh")  # of its own vocabulary
OWN_VOCABULARY = "multilingual_zh_ja_yue_char_del"  # Chinese, Japanese and Cantonese character by character


class WhisperTokenizer:
    """Give the ids of the original's tokenizer; tags such as <|zh|> and <|yue|> are one id each.

    Args:
        vocab_size: rows of the text embedding, which tell the two vocabularies apart
        num_languages: of the own vocabulary, how many languages have a tag. The ids of what follows them (events,
            moods, <|TTS/…|>) depend on it: the yaml decides, as in the original, although its 100 leave 5 rows unused
    Raises: FormatError for another size; MissingExtraError without the package tiktoken.
    """

    def __init__(self, vocab_size: int, num_languages: int = NUM_LANGUAGES) -> None:
        if vocab_size not in (WHISPER_SIZE, OWN_SIZE):
            raise FormatError(
                f"the text embedding has {vocab_size} rows; those of CosyVoice 1 have {WHISPER_SIZE} or {OWN_SIZE}"
            )
        is_whisper = vocab_size == WHISPER_SIZE
        self._encoding = Tokenizer(True, NUM_LANGUAGES).encoding if is_whisper else _own_encoding(num_languages)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text. Raises: UsageError if the text holds half of a surrogate pair."""
        require_text(text)
        return self._encoding.encode(text, allowed_special="all")


@cache
def _own_encoding(num_languages: int) -> Any:
    """Build the vocabulary of the recipe with 25 tokens a second."""
    lines = resources.files(__package__ or __name__).joinpath("assets", f"{OWN_VOCABULARY}.tiktoken").read_bytes()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines.splitlines())}
    events = "ASR AED SER Speech /Speech BGM /BGM Laughter /Laughter Applause /Applause".split()
    vocal = ["B", "O", "Q", "A", "CO", "CL", "H", *(f"SP{i:02d}" for i in range(1, 14))]
    names = [
        "endoftext",
        "startoftranscript",
        *[*LANGUAGES, *MORE_LANGUAGES][:num_languages],
        *events,
        *("HAPPY", "SAD", "ANGRY", "NEUTRAL"),
        *("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"),
        *(f"SPECIAL_TOKEN_{i}" for i in range(1, 31)),
        *(f"TTS/{name}" for name in vocal),
        *(f"{step * 0.02:.2f}" for step in range(TIMESTAMPS)),
    ]
    special = {f"<|{name}|>": len(ranks) + number for number, name in enumerate(names)}
    tiktoken = require_tiktoken()
    return tiktoken.Encoding(OWN_VOCABULARY, pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
