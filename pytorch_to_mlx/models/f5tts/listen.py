"""What a recording says: heard by Whisper, or a transcript cut to what is left of its recording."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ...audio.resample import resample
from ...audio.silence import Pcm
from ...checkpoint import locate
from ...errors import UsageError
from ...progress import note
from ...tasks import Word
from ...text.edits import prefix_distances
from ..whisper.card import CARD as WHISPER_CARD
from ..whisper.pipeline import WhisperPipeline
from ..whisper.pipeline import load as load_whisper

LISTENING_RATE = 16000
MIN_END_MS = 100  # a word that ends nearer to the place where a recording was cut is taken for cut itself
_FULL_STOPS = ".!?…。！？"
Listener = Callable[[Pcm], list[Word]]


def whisper_listener(model: str | None = None) -> Listener:
    """Return a function that hears the words of a recording with their times; its first call loads Whisper.

    model: as `locate` takes it; by default the installed Whisper, else base from the hub.
    """

    @cache
    def load() -> WhisperPipeline:
        located = locate(model, (WHISPER_CARD,))
        note(f"listening to what is said: {located.name}")
        return load_whisper(located.path)

    def listen(pcm: Pcm) -> list[Word]:
        audio = resample(pcm.to_float(), pcm.rate, LISTENING_RATE)
        transcript = load().transcribe(audio, word_timestamps=True)
        return [word for segment in transcript.segments for word in segment.words]

    return listen


def join_words(words: Sequence[Word]) -> str:
    """Return words as a text. Raises: UsageError if there are none."""
    text = "".join(word.text for word in words).strip()
    if not text:
        raise UsageError("no words were heard in the recording", fix="give --ref-text, or another recording")
    return text


def end_at_a_word(pcm: Pcm, words: Sequence[Word]) -> tuple[Pcm, list[Word]]:
    """Return a recording that was cut anywhere, cut after its last whole word, and its words until there.

    A recording of one word stays as it is.
    """
    whole, end_ms = list(words), pcm.ms
    while len(whole) > 1 and 1000 * whole[-1].end_s > end_ms - MIN_END_MS:
        last = whole.pop()
        end_s = (whole[-1].end_s + max(last.start_s, whole[-1].end_s)) / 2
        pcm = pcm.cut(0, round(1000 * end_s))
    return pcm, whole


def cut_transcript(transcript: str, heard: str) -> str:
    """Return the beginning of a transcript that says what was heard: it is the nearest by edit distance of letters.

    Raises: UsageError if the two have next to nothing in common.
    """
    letters = [(i, character) for i, character in enumerate(transcript.casefold()) if character.isalnum()]
    spoken = "".join(character for character in heard.casefold() if character.isalnum())
    if not letters or not spoken:
        return transcript
    distances = prefix_distances(spoken, "".join(character for _, character in letters))
    n_letters = int(np.argmin(distances))
    if 2 * distances[n_letters] > len(spoken) or not n_letters:
        raise UsageError(
            "the transcript does not say what the recording says", fix=f"it sounds like: {heard.strip()[:200]}"
        )
    return transcript[: _word_end(transcript, letters[n_letters - 1][0] + 1)].strip()


def _word_end(text: str, end: int) -> int:
    """Return where the word ends that text[:end] cuts, with a full stop after it, or where it begins if most of it is
    beyond. A character of Chinese is a word."""
    start = end
    while start and text[start - 1].isascii() and text[start - 1].isalnum():
        start -= 1
    after = end
    while after < len(text) and text[after].isascii() and text[after].isalnum():
        after += 1
    if after > end and 2 * (end - start) < after - start:
        return start
    while after < len(text) and text[after] in _FULL_STOPS:
        after += 1
    return after
