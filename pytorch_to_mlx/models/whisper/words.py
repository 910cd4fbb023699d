"""Add word times to segments, and recognise hallucinated words.

Reference: openai-whisper 20250625, whisper/timing.py `add_word_timestamps` and whisper/transcribe.py.
"""

from collections.abc import Sequence
from dataclasses import replace

from ...tasks import Segment, Word
from .timing import APPEND, PREPEND, WordTime, merge_punctuation, shorten_at_sentence_ends, typical_duration

PUNCTUATION = PREPEND + APPEND


def add_words(
    segments: Sequence[Segment],
    word_times: Sequence[WordTime],
    *,
    eot: int,
    offset_s: float,
    last_speech_s: float,
    prepend: str = PREPEND,
    append: str = APPEND,
) -> list[Segment]:
    """Return the segments of one window with their words; where both agree, a segment takes the times of its words.

    word_times: the words of all segments in order, times from the start of the window, which begins at offset_s.
    last_speech_s: where speech ended before this window.
    """
    typical = typical_duration(word_times)
    longest = 2 * typical
    words = merge_punctuation(shorten_at_sentence_ends(word_times, longest), prepend, append)
    result, index = [], 0
    for segment in segments:
        n_tokens = sum(token < eot for token in segment.tokens)
        n_read, own_words = 0, []
        while index < len(words) and n_read < n_tokens:
            word = words[index]
            if word.word:
                start, end = round(offset_s + word.start, 2), round(offset_s + word.end, 2)
                own_words.append(Word(word.word, start, end, word.probability))
            n_read += len(word.tokens)
            index += 1
        if own_words:
            segment = _fit(segment, own_words, typical, longest, last_speech_s)
            last_speech_s = segment.end_s
        result.append(segment)
    return result


def _fit(segment: Segment, words: list[Word], typical: float, longest: float, last_speech_s: float) -> Segment:
    """Return a segment with its words, the first two shortened after a pause, and where it starts and ends."""
    first = words[0]
    too_long = first.end_s - first.start_s > longest
    pair_too_long = len(words) > 1 and words[1].end_s - first.start_s > 2 * longest
    if first.end_s - last_speech_s > 4 * typical and (too_long or pair_too_long):
        if len(words) > 1 and words[1].end_s - words[1].start_s > longest:
            boundary = max(words[1].end_s / 2, words[1].end_s - longest)
            first = replace(first, end_s=boundary)
            words[1] = replace(words[1], start_s=boundary)
        first = replace(first, start_s=max(0.0, first.end_s - longest))
    start = segment.start_s
    if segment.start_s < first.end_s and segment.start_s - 0.5 > first.start_s:
        first = replace(first, start_s=max(0.0, min(first.end_s - typical, segment.start_s)))
    else:
        start = first.start_s
    words[0] = first
    last, end = words[-1], segment.end_s
    if segment.end_s > last.start_s and segment.end_s + 0.5 < last.end_s:
        words[-1] = replace(last, end_s=max(last.start_s + typical, segment.end_s))
    else:
        end = last.end_s
    return replace(segment, start_s=start, end_s=end, words=tuple(words))


def word_anomaly(word: Word) -> float:
    """Return how anomalous a word is: improbable, shorter than 0.133 s, or longer than 2 s."""
    duration = word.end_s - word.start_s
    score = 1.0 if (word.probability or 0.0) < 0.15 else 0.0
    if duration < 0.133:
        score += (0.133 - duration) * 15
    return score + max(0.0, duration - 2.0)


def is_anomaly(segment: Segment | None) -> bool:
    """Return whether the first words of a segment look hallucinated."""
    if segment is None or not segment.words:
        return False
    words = [word for word in segment.words if word.text not in PUNCTUATION][:8]
    score = sum(word_anomaly(word) for word in words)
    return score >= 3 or score + 0.01 >= len(words)


def hallucinated_from(
    segments: Sequence[Segment],
    *,
    threshold_s: float,
    window_start_s: float,
    window_end_s: float,
    content_end_s: float,
    last_speech_s: float,
) -> int | None:
    """Return the index of the first anomalous segment between silences or other anomalies, None if there is none.

    content_end_s: where the sound of this window ends.
    """
    previous_end = last_speech_s
    for index, segment in enumerate(segments):
        if not segment.words:
            continue
        if is_anomaly(segment):
            following = next((s for s in segments[index + 1 :] if s.words), None)
            next_start = following.words[0].start_s if following else content_end_s
            silence_before = (
                segment.start_s - previous_end > threshold_s
                or segment.start_s < threshold_s
                or segment.start_s - window_start_s < 2.0
            )
            silence_after = (
                next_start - segment.end_s > threshold_s or is_anomaly(following) or window_end_s - segment.end_s < 2.0
            )
            if silence_before and silence_after:
                return index
        previous_end = segment.end_s
    return None
