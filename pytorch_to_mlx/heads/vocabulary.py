"""Text as the labels of CTC: characters, pieces of words, or phonemes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from ..errors import FormatError

_WORD = re.compile(" ?[^ ]+| +")


def characters(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the characters of all texts, sorted."""
    return tuple(sorted(set("".join(texts))))


def phonemes(sequences: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the phonemes of all sequences, sorted."""
    return tuple(sorted({phoneme for sequence in sequences for phoneme in sequence}))


def pieces(texts: Iterable[str], size: int) -> tuple[str, ...]:
    """Return `size` pieces: all characters, and what is made by joining the most frequent neighbours inside words.

    A piece may begin with a space, and has none inside. Source: Sennrich et al. 2016, "Neural Machine Translation of
    Rare Words with Subword Units", algorithm 1; of equally frequent neighbours the first in order.
    Raises: FormatError if the texts have more characters than `size`.
    """
    words = Counter(word for text in texts for word in _WORD.findall(text))  # each with the space before it
    labels = list(characters(words))
    if len(labels) > size:
        raise FormatError(
            f"the texts have {len(labels)} characters, more than {size} pieces", fix="ask for more pieces"
        )
    split = {word: tuple(word) for word in words}
    while len(labels) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        pair = min(pairs, key=lambda pair: (-pairs[pair], pair))
        split = {word: _join(parts, pair) for word, parts in split.items()}
        labels.append("".join(pair))
    return tuple(dict.fromkeys(labels))


def _join(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


class Vocabulary:
    """The labels of a CTC output and their numbers; 0 is the blank, so the first label is 1."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._numbers = {label: number for number, label in enumerate(labels, 1)}
        self._by_start: dict[str, list[str]] = defaultdict(list)
        for label in sorted(labels, key=lambda label: (-len(label), label)):
            self._by_start[label[:1]].append(label)

    def encode(self, text: str) -> list[int]:
        """Return a text as the fewest labels, of equally few the longest first.

        Raises: FormatError naming the characters that no label has.
        """
        if unknown := sorted(set(text) - set("".join(self.labels))):
            raise FormatError(f"no label for {' '.join(map(repr, unknown[:10]))}")
        fewest: list[tuple[float, str]] = [(0, "")] * (len(text) + 1)  # of text[start:]: how many, and the first
        for start in range(len(text) - 1, -1, -1):
            fewest[start] = min(
                (
                    (1 + fewest[start + len(label)][0], label)
                    for label in self._by_start[text[start]]
                    if text.startswith(label, start)
                ),
                key=lambda choice: choice[0],
                default=(float("inf"), ""),
            )
        if fewest[0][0] == float("inf"):
            raise FormatError(f"no labels make up {text[:40]!r}")
        numbers, start = [], 0
        while start < len(text):
            label = fewest[start][1]
            numbers.append(self._numbers[label])
            start += len(label)
        return numbers

    def encode_items(self, items: Sequence[str]) -> list[int]:
        """Return phonemes as their numbers. Raises: FormatError naming those that are not labels."""
        if unknown := sorted(set(items) - self._numbers.keys()):
            raise FormatError(f"no label for {' '.join(map(repr, unknown[:10]))}")
        return [self._numbers[item] for item in items]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of labels."""
        return "".join(self.items(numbers))

    def items(self, numbers: Iterable[int]) -> list[str]:
        """Return the labels of their numbers."""
        return [self.labels[number - 1] for number in numbers]
