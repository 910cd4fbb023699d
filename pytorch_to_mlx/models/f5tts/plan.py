"""What is said in one go, and in how many frames: the original's rules in bytes of UTF-8, and our own for short texts.

Source: f5-tts 1.1.22, infer/utils_infer.py `chunk_text`, `infer_process` and `infer_batch_process`.
"""

import re
from collections.abc import Sequence

from .config import HOP_LENGTH, SAMPLE_RATE

TOTAL_S = 22.0  # of recording and new speech together; the models were trained on up to 30
SHORT_BYTES, SHORT_SPEED = 10, 0.3  # the original speaks a text under 10 bytes at this speed, whatever the user asks
UNHURRIED_BYTES = 30
FIRST_SHARE = 4  # the first chunk of a stream has a quarter of the others' limit
_UNIT = re.compile(r".(?:[(（][a-zA-Zü]{1,6}[1-5][)）])?", re.DOTALL)  # a character, with the reading after it
_SENTENCE_ENDS = re.compile(r"(?<=[;:,.!?])\s+|(?<=[；：，。！？])")


def n_bytes(text: str) -> int:
    """Return the length of a text in bytes, by which durations are estimated."""
    return len(text.encode())


def finish_transcript(transcript: str) -> str:
    """Return what a recording says with a full stop and spaces at its end, as the original has it."""
    if not transcript.endswith((". ", "。")):
        transcript += " " if transcript.endswith(".") else ". "
    return transcript + " " * transcript[-1].isascii()


def chunk_limit(transcript: str, recording_s: float, speed: float, *, pause_s: float = 0.0) -> int:
    """Return the bytes of text that fit in TOTAL_S with the recording and the pause after it.

    transcript: from `finish_transcript`.
    """
    length = n_bytes(transcript) - transcript[-1].isascii()  # the original adds the last space later
    return int(length / recording_s * (TOTAL_S - recording_s - pause_s) * speed)


def chunk_text(text: str, limit: int) -> list[str]:
    """Cut a text after clauses into chunks of about `limit` bytes; a longer clause stays whole."""
    chunks: list[str] = []
    chunk = ""
    for clause in filter(None, _SENTENCE_ENDS.split(text)):
        if n_bytes(chunk) + n_bytes(clause) > limit and chunk:
            chunks.append(chunk.strip())
            chunk = ""
        chunk += clause + " " * clause[-1].isascii()
    return [*chunks, chunk.strip()] if chunk else chunks


def cut_long(chunk: str, limit: int) -> list[str]:
    """Cut a chunk of more than `limit` bytes after words, and where there are none, after characters."""
    if n_bytes(chunk) <= limit:
        return [chunk]
    parts = [""]
    for word in re.findall(r"\s*\S+", chunk):
        for unit in [word] if n_bytes(word) <= limit else _UNIT.findall(word):
            if parts[-1] and n_bytes(parts[-1]) + n_bytes(unit) > limit:
                parts.append("")
            parts[-1] += unit
    return [part.strip() for part in parts if part.strip()]


def chunks_of(text: str, limit: int, *, small_first: bool = False) -> list[str]:
    """Return the chunks of a text, none longer than `limit` bytes. small_first: the first one is short, for a stream.

    The chunks are those of `chunk_text` unless a clause is too long.
    """
    limit = max(1, limit)
    chunks = [part for chunk in chunk_text(text, limit) for part in cut_long(chunk, limit)]
    if not small_first or not chunks:
        return chunks
    share = max(1, limit // FIRST_SHARE)
    first, *others = [part for chunk in chunk_text(chunks[0], share) for part in cut_long(chunk, share)]
    rest = chunks[0][len(first) :].strip() if chunks[0].startswith(first) else " ".join(others)
    return [first, *([rest] if rest else []), *chunks[1:]]


def new_frames(text: str, transcript: str, n_frames: int, speed: float, *, as_original: bool = False) -> int:
    """Return how many frames a text takes if it is spoken as fast as the recording.

    A recording's share of pauses makes a short text too fast: the original speaks what is under 10 bytes at a speed of
    0.3. Here a text under 30 bytes gets half of what it lacks to 30 on top, so that a text of 10 bytes has a speed of
    0.5 and there is no jump; `speed` counts as well.

    n_frames: of the recording, without silence that was added to it. transcript: from `finish_transcript`.
    """
    length: float = n_bytes(text)
    if as_original:
        speed = SHORT_SPEED if length < SHORT_BYTES else speed
    else:
        length = max(length, (length + UNHURRIED_BYTES) / 2)
    return int(n_frames / n_bytes(transcript) * length / speed)


def fixed_frames(total_s: float, chunks: Sequence[str], n_frames: int, cross_fade_s: float) -> list[int]:
    """Return the frames of each chunk, recording included, so that recording and new speech last `total_s` in all.

    Several chunks share the time by their bytes, with what their cross-fades take from it.
    """
    if len(chunks) == 1:
        return [int(total_s * SAMPLE_RATE / HOP_LENGTH)]
    recording_s = n_frames * HOP_LENGTH / SAMPLE_RATE
    new_s = total_s - recording_s + cross_fade_s * (len(chunks) - 1)
    lengths = [n_bytes(chunk) for chunk in chunks]
    seconds = [recording_s + new_s * length / sum(lengths) for length in lengths]
    return [int(s * SAMPLE_RATE / HOP_LENGTH) for s in seconds]
