"""Text to ids: Qwen2's byte-level BPE with CosyVoice's own merges, and its tags as single tokens."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ....checkpoint import read_json
from ....checkpoint.files import SourceFile, quote
from ....errors import FormatError, MissingExtraError, UsageError
from ..versions import COSYVOICE2, Version

# Qwen2's rule for what is merged together: words with the space before them, single digits, runs of signs.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END_OF_PROMPT = "<|endofprompt|>"
_FIX = "take CosyVoice-BlankEN/ from the original release"


class TextTokenizer:
    """Give the ids of the original's QwenTokenizer.

    Qwen2's own special tokens (<|endoftext|> and the like) typed in a text are read as text here, not as control.

    Args:
        special: Qwen2's special tokens with their ids
        tags: the version's, which get the next free ids in their order
    Raises: MissingExtraError without the package tokenizers.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        merges: list[tuple[str, str]],
        special: Mapping[str, int],
        tags: Sequence[str] = COSYVOICE2.tags,
    ) -> None:
        try:
            from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
        except ModuleNotFoundError as error:
            raise MissingExtraError("tokenizers", "cosyvoice", needed_for="turning text into ids") from error
        self._bpe = Tokenizer(models.BPE(vocab=dict(vocab), merges=merges))
        self._bpe.normalizer = normalizers.NFC()
        words = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
        self.special = add_tags(special, tags, len(vocab))
        self.size = max(*vocab.values(), *self.special.values()) + 1
        self._tags = _any_of(tags)
        self._all_special = _any_of(self.special)

    @classmethod
    def open(cls, folder: Path, version: Version = COSYVOICE2) -> "TextTokenizer":
        """Read the tokenizer's files in a converted folder or in the original release.

        Raises: FormatError with the line, if they are malformed or contradict each other.
        """
        vocab_name, merges_name, special_name = version.tokenizer_files
        qwen = folder / version.qwen_folder
        folder = folder if (folder / vocab_name).exists() or not qwen.is_dir() else qwen
        vocab = _read_vocab(folder / vocab_name)
        merges = _read_merges(folder / merges_name, vocab)
        return cls(vocab, merges, _read_special(folder / special_name, vocab), version.tags)

    def encode(self, text: str, *, all_special: bool = False) -> list[int]:
        """Return the ids of a text; its tags, such as [laughter], are one id each.

        all_special: Qwen2's special tokens are control as well, as in the original.
        Raises: UsageError if the text holds half of a surrogate pair.
        """
        require_text(text)
        ids: list[int] = []
        pieces = (self._all_special if all_special else self._tags).split(text)
        for number, piece in enumerate(pieces):  # text and special tokens alternate
            ids += [self.special[piece]] if number % 2 else self._bpe.encode(piece).ids
        return ids


def require_text(text: str) -> None:
    """Raises: UsageError if the text holds half of a surrogate pair, which has no bytes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the text holds {text[error.start]!r}, which is half of a character") from None


def add_tags(special: Mapping[str, int], tags: Iterable[str], vocab_size: int) -> dict[str, int]:
    """Return Qwen2's special tokens and the tags, which get the next free ids in their order."""
    ids = dict(special)
    next_id = max([vocab_size - 1, *ids.values()]) + 1
    for tag in tags:
        if tag not in ids:
            ids[tag] = next_id
            next_id += 1
    return ids


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """Match any of the tokens, the longest first, as a group so that `split` keeps them."""
    return re.compile("(" + "|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) + ")")


def _read_vocab(path: Path) -> dict[str, int]:
    vocab = read_json(path)
    ids = [value for value in vocab.values() if type(value) is int]
    if not vocab or len(ids) < len(vocab) or sorted(ids) != list(range(len(vocab))):
        raise FormatError("the ids of the tokens are not 0, 1, 2 and so on, each once", where=path, fix=_FIX)
    return vocab


def _read_merges(path: Path, vocab: Mapping[str, int]) -> list[tuple[str, str]]:
    with SourceFile(path) as file:
        data = file.read(0, file.size)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise FormatError("not UTF-8", where=path, fix=_FIX) from None
    merges = []
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise FormatError(f"line {number} is {quote(line)}, not two tokens", where=path, fix=_FIX)
        if not {left, right, left + right} <= vocab.keys():
            what = f"line {number} merges {quote(line)}, of which vocab.json lacks a token"
            raise FormatError(what, where=path, fix=_FIX)
        merges.append((left, right))
    return merges


def _read_special(path: Path, vocab: Mapping[str, int]) -> dict[str, int]:
    special = {}
    for number, entry in read_json(path).get("added_tokens_decoder", {}).items():
        content = entry.get("content") if isinstance(entry, dict) else None
        if not isinstance(content, str) or not content or not re.fullmatch(r"\d{1,9}", number) or content in special:
            what = f"added_tokens_decoder has the entry {quote(number)}: {quote(entry)}"
            raise FormatError(what, where=path, fix=_FIX)
        special[content] = int(number)
    ids = set(special.values())
    if len(ids) < len(special) or ids & set(vocab.values()) or set(special) & vocab.keys():
        raise FormatError("a special token has the id or the name of another token", where=path, fix=_FIX)
    if not special:
        raise FormatError("added_tokens_decoder names no special token", where=path, fix=_FIX)
    return special
