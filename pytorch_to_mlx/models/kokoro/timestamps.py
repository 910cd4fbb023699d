"""When each word is spoken, from the durations that the model predicted for each phoneme."""

from collections.abc import Container, Sequence
from itertools import accumulate

from ...tasks import Word
from ...text.split import Token

FRAMES_PER_SECOND = 40  # a predicted duration counts frames of 600 samples at 24 kHz
_LEAD = 3  # frames of the start mark's silence that the reference counts as part of the first word
_MARKS = frozenset(' ;:,.!?—…"“”()')


def word_times(tokens: Sequence[Token], durations: Sequence[int], vocab: Container[str]) -> tuple[Word, ...]:
    """Return the words among `tokens` with their times from the start of the piece; neighbours share a space.

    Args:
        durations: frames of the start mark, of each phoneme in `vocab` (others are silent), and of the end mark
    Raises: ValueError if there are not as many durations as phonemes.
    Source: kokoro 0.9.4, KPipeline.join_timestamps. Where a token is silent or a phoneme unknown, that loses step with
    the durations, and this does not.
    """
    text = "".join(token.phonemes + " " * token.space for token in tokens)
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    has_duration = [first <= i < last and c in vocab for i, c in enumerate(text)]
    if sum(has_duration) != len(durations) - 2:
        raise ValueError(f"{len(durations)} durations for {sum(has_duration)} phonemes")
    of_phonemes = iter(durations[1:-1])
    frames = [next(of_phonemes) if counts else 0 for counts in has_duration]
    times = list(accumulate(frames, initial=max(0, durations[0] - _LEAD)))
    words: list[Word] = []
    start = 0
    for token in tokens:
        end = start + len(token.phonemes)
        before = frames[start - 1] if start and text[start - 1] == " " else 0
        after = frames[end] if token.space else 0
        if not _MARKS.issuperset(token.phonemes):
            half_frames = 2 * times[start] - before, 2 * times[end] + after
            words.append(Word(token.text, *(half / (2 * FRAMES_PER_SECOND) for half in half_frames)))
        start = end + token.space
    return tuple(words)
