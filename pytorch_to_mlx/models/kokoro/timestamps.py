"""When each word is spoken, from the durations that the model predicted for each phoneme."""

from collections.abc import Container, Sequence
from itertools import accumulate

from ...tasks import Word
from ...text.split import Token

FRAMES_PER_SECOND = 40  # a predicted duration counts frames of 600 samples at 24 kHz
_LEAD = 3  # frames of the start symbol's silence that the reference takes to belong to the first word
_MARKS = frozenset(' ;:,.!?—…"“”()')


def word_times(tokens: Sequence[Token], durations: Sequence[int], vocab: Container[str]) -> tuple[Word, ...]:
    """The words among `tokens` with their times from the start of the piece; a space is shared by its neighbours.

    Args:
        durations: frames of the start symbol, of each phoneme in `vocab` (the others are not spoken), and of the end
    Source: kokoro 0.9.4, KPipeline.join_timestamps; where a token is silent or a phoneme unknown, that loses step with
    the durations, and this does not.
    """
    text = "".join(token.phonemes + " " * token.space for token in tokens)
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    spoken = [first <= i < last and c in vocab for i, c in enumerate(text)]
    if sum(spoken) != len(durations) - 2:
        raise ValueError(f"{len(durations)} durations for {sum(spoken)} phonemes")
    left = iter(durations[1:-1])
    frames = [next(left) if heard else 0 for heard in spoken]
    starts = list(accumulate(frames, initial=max(0, durations[0] - _LEAD)))
    words: list[Word] = []
    at = 0
    for token in tokens:
        end = at + len(token.phonemes)
        before = frames[at - 1] if at and text[at - 1] == " " else 0
        after = frames[end] if token.space else 0
        if not _MARKS.issuperset(token.phonemes):
            half_frames = 2 * starts[at] - before, 2 * starts[end] + after
            words.append(Word(token.text, *(half / (2 * FRAMES_PER_SECOND) for half in half_frames)))
        at = end + token.space
    return tuple(words)
