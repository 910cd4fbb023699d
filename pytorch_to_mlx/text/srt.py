"""Read subtitles (SRT) so that their texts can be replaced and all else stays as it is."""

import re
from dataclasses import dataclass

from ..errors import FormatError

_TIMES = re.compile(r"\d{1,3}:\d{2}:\d{2}[,.]\d{1,3}\s*-->\s*\d{1,3}:\d{2}:\d{2}[,.]\d{1,3}.*")


@dataclass(frozen=True)
class Cue:
    """One subtitle: its number and times, its lines, and the blank lines after it."""

    head: str
    lines: tuple[str, ...]
    end: str

    def text(self) -> str:
        """Return the lines as one text: a sentence goes over the line breaks."""
        return " ".join(line.strip() for line in self.lines)

    def filled(self, text: str) -> str:
        """Return the cue with another text, broken into as many lines of about one length."""
        return self.head + "\n".join(balanced(text, len(self.lines))) + self.end


def read_srt(text: str, *, where: str) -> list[Cue]:
    """Return the cues of an SRT file with line breaks as "\\n". Raises: FormatError for a block without times."""
    pieces = re.split(r"((?:\n[ \t]*)+\n|\n?\Z)", text)
    cues = []
    for block, end in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        if not block.strip():
            if block or end:
                cues.append(Cue(block, (), end))
            continue
        lines = block.split("\n")
        place = next((i for i, line in enumerate(lines[:3]) if _TIMES.fullmatch(line.strip("\ufeff \t"))), None)
        if place is None:
            raise FormatError(f"a subtitle without times: {lines[0][:60]!r}", where=where)
        body = tuple(lines[place + 1 :])
        head = "\n".join(lines[: place + 1]) + ("\n" if body else "")
        cues.append(Cue(head, body, end))
    return cues


def balanced(text: str, n_lines: int) -> list[str]:
    """Break a text into at most n_lines lines between words, so that the longest is as short as it goes."""
    words = text.split(" ")
    if n_lines <= 1 or len(words) == 1:
        return [text]
    low, high = max(map(len, words)), len(text)
    while low < high:
        width = (low + high) // 2
        if len(_wrapped(words, width)) <= n_lines:
            high = width
        else:
            low = width + 1
    return _wrapped(words, low)


def _wrapped(words: list[str], width: int) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines
