"""A transcript as it is printed while it is made: segments and words, with their times."""

from collections.abc import Iterable, Iterator

from ...tasks import Segment, Word
from ...text.subtitles import timestamp


def segment_lines(segment: Segment, *, timed: bool, words: bool) -> Iterator[str]:
    """Yield a segment as it is printed, with its times if `timed`, and a line for each of its words if `words`."""
    text = segment.text.strip()
    yield f"{_times(segment)} {text}" if timed else text
    if words:
        yield from word_lines(segment.words)


def word_lines(words: Iterable[Word]) -> Iterator[str]:
    """Yield a line for each word: its times and its text."""
    yield from (f"  {_times(word)} {word.text.strip()}" for word in words)


def _times(stretch: Segment | Word) -> str:
    start, end = (timestamp(time, comma=False, hours=False) for time in (stretch.start_s, stretch.end_s))
    return f"[{start} --> {end}]"
