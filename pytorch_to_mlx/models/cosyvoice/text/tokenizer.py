"""Text to ids: Qwen2's byte-level BPE with CosyVoice's own merges, and its tags as single tokens."""

import re
from collections.abc import Mapping
from pathlib import Path

from ....checkpoint import read_json
from ....checkpoint.files import SourceFile, quote
from ....errors import FormatError, MissingExtraError, UsageError

# Qwen2's rule for what is merged together: words with the space before them, single digits, runs of signs.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END_OF_PROMPT = "<|endofprompt|>"
# The original adds these to Qwen2's special tokens, in this order.
TAGS = (
    END_OF_PROMPT, "[breath]", "<strong>", "</strong>", "[noise]", "[laughter]", "[cough]", "[clucking]", "[accent]",
    "[quick_breath]", "<laughter>", "</laughter>", "[hissing]", "[sigh]", "[vocalized-noise]", "[lipsmack]", "[mn]",
)  # fmt: skip
_FIX = "take CosyVoice-BlankEN/ from the original release"


class TextTokenizer:
    """`encode` gives the ids of the original's QwenTokenizer.

    Qwen2's own special tokens (<|endoftext|> and the like) typed in a text are text here, not control.
    """

    def __init__(self, vocab: Mapping[str, int], merges: list[tuple[str, str]], special: Mapping[str, int]) -> None:
        try:
            from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
        except ModuleNotFoundError as error:
            raise MissingExtraError("tokenizers", "cosyvoice", needed_for="turning text into ids") from error
        self._bpe = Tokenizer(models.BPE(vocab=dict(vocab), merges=merges))
        self._bpe.normalizer = normalizers.NFC()
        words = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
        self.special = with_tags(special, len(vocab))
        self.size = max(*vocab.values(), *self.special.values()) + 1
        self._tags = _one_of(TAGS)
        self._all = _one_of(self.special)

    @classmethod
    def open(cls, folder: Path) -> "TextTokenizer":
        """From vocab.json, merges.txt and tokenizer_config.json of a converted folder or of the original release.

        Raises: FormatError with the line, if they are malformed or contradict each other.
        """
        inside = folder / "CosyVoice-BlankEN"
        folder = folder if (folder / "vocab.json").exists() or not inside.is_dir() else inside
        vocab = _vocab(folder / "vocab.json")
        return cls(vocab, _merges(folder / "merges.txt", vocab), _special(folder / "tokenizer_config.json", vocab))

    def encode(self, text: str, *, all_special: bool = False) -> list[int]:
        """The ids of a text; its tags, such as [laughter], are one id each.

        all_special: Qwen2's special tokens count as well, as in the original.
        Raises: UsageError if the text is no text (half of a surrogate pair).
        """
        require_text(text)
        ids: list[int] = []
        for place, piece in enumerate((self._all if all_special else self._tags).split(text)):
            ids += [self.special[piece]] if place % 2 else self._bpe.encode(piece).ids
        return ids


def require_text(text: str) -> None:
    """Raises: UsageError if the text holds half of a surrogate pair, which has no bytes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the text holds {text[error.start]!r}, which is half of a character") from None


def with_tags(special: Mapping[str, int], vocab_size: int) -> dict[str, int]:
    """Qwen2's special tokens and the tags, which get the next free ids in their order."""
    ids = dict(special)
    free = max([vocab_size - 1, *ids.values()]) + 1
    for tag in TAGS:
        if tag not in ids:
            ids[tag] = free
            free += 1
    return ids


def _one_of(tokens) -> re.Pattern[str]:
    """Any of the tokens, the longest first, as a group so that `split` keeps them."""
    return re.compile("(" + "|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) + ")")


def _vocab(path: Path) -> dict[str, int]:
    vocab = read_json(path)
    numbers = [number for number in vocab.values() if type(number) is int]
    if not vocab or len(numbers) < len(vocab) or sorted(numbers) != list(range(len(vocab))):
        raise FormatError("the ids of the tokens are not 0, 1, 2 and so on, each once", where=path, fix=_FIX)
    return vocab


def _merges(path: Path, vocab: Mapping[str, int]) -> list[tuple[str, str]]:
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


def _special(path: Path, vocab: Mapping[str, int]) -> dict[str, int]:
    special = {}
    for number, entry in read_json(path).get("added_tokens_decoder", {}).items():
        content = entry.get("content") if isinstance(entry, dict) else None
        if not isinstance(content, str) or not content or not re.fullmatch(r"\d{1,9}", number) or content in special:
            raise FormatError(
                f"added_tokens_decoder has the entry {quote(number)}: {quote(entry)}", where=path, fix=_FIX
            )
        special[content] = int(number)
    taken = set(vocab.values()) & set(special.values()) or len(special) - len(set(special.values()))
    if taken or set(special) & vocab.keys():
        raise FormatError("a special token has the id or the name of another token", where=path, fix=_FIX)
    if not special:
        raise FormatError("added_tokens_decoder names no special token", where=path, fix=_FIX)
    return special
