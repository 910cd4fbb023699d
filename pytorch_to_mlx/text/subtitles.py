"""Write a transcript as text, subtitles, a table, or JSON."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from ..errors import UsageError
from ..tasks import Segment, Transcript, Word

PAUSE_S = 3.0  # where cues may span segments, a longer time between the starts of two words begins a new cue


@dataclass(frozen=True)
class Layout:
    """How subtitles are broken into cues and lines, by the times of the words.

    max_line_width: characters. max_line_count: lines of a cue; with a width, cues span segments and break at pauses.
    max_words_per_line: words of a cue. highlight_words: a cue for every word, underlined in its line.
    Raises: UsageError for a number below 1.
    Source: the options and results of openai-whisper 20250625, whisper/utils.py `SubtitlesWriter`.
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    highlight_words: bool = False

    def __post_init__(self) -> None:
        for name in ("max_line_width", "max_line_count", "max_words_per_line"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")


PLAIN = Layout()


def timestamp(seconds: float, *, comma: bool, hours: bool) -> str:
    """Return a time as 01:02:03.400, with a comma for SRT; without `hours`, one under an hour as 02:03.400."""
    total_s, milliseconds = divmod(round(max(seconds, 0.0) * 1000), 1000)
    total_minutes, second = divmod(total_s, 60)
    hour, minute = divmod(total_minutes, 60)
    prefix = f"{hour:02d}:" if hours or hour else ""
    return f"{prefix}{minute:02d}:{second:02d}{',' if comma else '.'}{milliseconds:03d}"


def to_txt(transcript: Transcript, layout: Layout = PLAIN) -> str:
    """Return the text, a line for each segment."""
    return "".join(f"{segment.text.strip()}\n" for segment in transcript.segments)


def to_vtt(transcript: Transcript, layout: Layout = PLAIN) -> str:
    """Return WebVTT. Source: W3C, WebVTT: The Web Video Text Tracks Format."""
    return "WEBVTT\n\n" + "".join(
        f"{timestamp(start, comma=False, hours=False)} --> {timestamp(end, comma=False, hours=False)}\n{text}\n\n"
        for start, end, text in cues(transcript, layout)
    )


def to_srt(transcript: Transcript, layout: Layout = PLAIN) -> str:
    """Return SubRip (SRT): numbered cues, with commas in the times."""
    return "".join(
        f"{number}\n{timestamp(start, comma=True, hours=True)} --> {timestamp(end, comma=True, hours=True)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(cues(transcript, layout), 1)
    )


def to_tsv(transcript: Transcript, layout: Layout = PLAIN) -> str:
    """Return start and end in milliseconds, and the text, separated by tabs."""
    rows = (
        f"{round(1000 * s.start_s)}\t{round(1000 * s.end_s)}\t{s.text.strip()}".replace("\n", " ")
        for s in transcript.segments
    )
    return "start\tend\ttext\n" + "".join(f"{row}\n" for row in rows)


def to_dict(transcript: Transcript) -> dict:
    """Return the keys of openai-whisper's result: text, segments (with words), language."""
    segments = []
    for number, segment in enumerate(transcript.segments):
        entry = {"id": number, "start": segment.start_s, "end": segment.end_s}
        entry |= {key: value for key, value in asdict(segment).items() if key not in ("start_s", "end_s", "words")}
        if segment.words:
            entry["words"] = [
                {"word": w.text, "start": w.start_s, "end": w.end_s, "probability": w.probability}
                for w in segment.words
            ]
        segments.append(entry)
    return {"text": transcript.text, "segments": segments, "language": transcript.language}


def to_json(transcript: Transcript, layout: Layout = PLAIN) -> str:
    """Return `to_dict` as one line of JSON."""
    return json.dumps(to_dict(transcript), ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Transcript, Layout], str]] = {
    "txt": to_txt,
    "vtt": to_vtt,
    "srt": to_srt,
    "tsv": to_tsv,
    "json": to_json,
}


def render(transcript: Transcript, formats: str, layout: Layout = PLAIN) -> Iterator[tuple[str, str]]:
    """Yield (extension, content) of one format, or of each if it is "all". Raises: UsageError for an unknown format."""
    if formats != "all" and formats not in FORMATS:
        raise UsageError(f"unknown output format '{formats}'", fix=f"use {', '.join(FORMATS)} or all")
    for name in FORMATS if formats == "all" else (formats,):
        yield name, FORMATS[name](transcript, layout)


def of_speech(segments: Sequence[Segment], words: Sequence[Word]) -> Transcript:
    """Return the subtitles of synthesized speech: a segment for each sentence whose words have times, else as it is.

    segments: the text as it was spoken, piece by piece. words: of all pieces; they lack the marks between them.
    """
    text = " ".join(segment.text for segment in segments)
    starts, position = [0], len(words[0].text) if words else 0  # a word's part of the text ends where the next begins
    for word in words[1:]:
        starts.append(text.find(word.text, position))
        position = starts[-1] + len(word.text)
    if not words or -1 in starts:  # a word that was read otherwise than it is written
        return Transcript(text, "", tuple(segments))
    sentences: list[list[Word]] = [[]]
    for word, start, end in zip(words, starts, [*starts[1:], len(text)], strict=True):
        sentences[-1].append(replace(word, text=text[start:end]))
        if re.search(r"[.!?…][\"'”’)\]]*\s*$", text[start:end]):
            sentences.append([])
    return Transcript(text, "", tuple(_sentence(part) for part in sentences if part))


def _sentence(words: list[Word]) -> Segment:
    return Segment("".join(word.text for word in words), words[0].start_s, words[-1].end_s, words=tuple(words))


def cues(transcript: Transcript, layout: Layout = PLAIN) -> Iterator[tuple[float, float, str]]:
    """Yield (start, end, text) of each cue: one for each segment, or as `layout` says where the words have times."""
    if not any(segment.words for segment in transcript.segments):
        for segment in transcript.segments:
            yield segment.start_s, segment.end_s, _escape(segment.text.strip())
        return
    for lines in _break_into_cues(transcript, layout):
        if layout.highlight_words:
            yield from _highlight_words(lines)
        else:
            yield lines[0][0].start_s, lines[-1][-1].end_s, _text(lines)


def _break_into_cues(transcript: Transcript, layout: Layout) -> Iterator[list[list[Word]]]:
    """Yield the words of each cue, line by line."""
    may_span_segments = layout.max_line_count is not None and layout.max_line_width is not None
    lines: list[list[Word]] = []
    width, previous_start_s = 0, None
    for segment in transcript.segments:
        whole_text = (Word(segment.text, segment.start_s, segment.end_s),) if segment.text.strip() else ()
        for number, word in enumerate(segment.words or whole_text):
            starts = number % layout.max_words_per_line == 0 if layout.max_words_per_line else number == 0
            gap_s = 0.0 if previous_start_s is None else word.start_s - previous_start_s
            after_pause = may_span_segments and gap_s > PAUSE_S
            fits = layout.max_line_width is None or width + len(word.text) <= layout.max_line_width
            starts_cue = starts and not may_span_segments
            if lines and fits and not after_pause and not starts_cue:
                lines[-1].append(word)
                width += len(word.text)
            else:
                is_full = layout.max_line_count is not None and (after_pause or len(lines) >= layout.max_line_count)
                if lines and (starts_cue or is_full):
                    yield lines
                    lines = []
                lines.append([word])
                width = len(word.text.strip())
            previous_start_s = word.start_s
    if lines:
        yield lines


def _highlight_words(lines: list[list[Word]]) -> Iterator[tuple[float, float, str]]:
    """Yield a cue for each word, underlined, and one without underline for each pause between words."""
    previous_end_s = lines[0][0].start_s
    for word in (word for line in lines for word in line):
        if word.start_s != previous_end_s:
            yield previous_end_s, word.start_s, _text(lines)
        yield word.start_s, word.end_s, _text(lines, word)
        previous_end_s = word.end_s


def _text(lines: list[list[Word]], highlight: Word | None = None) -> str:
    return "\n".join(
        "".join(_underline(word.text) if word is highlight else _escape(word.text) for word in line).strip()
        for line in lines
    )


def _underline(text: str) -> str:
    space = text[: len(text) - len(text.lstrip())]
    return f"{space}<u>{_escape(text.lstrip())}</u>"


def _escape(text: str) -> str:
    return text.replace("-->", "->")  # in a cue's text, --> would read as times
