"""A transcript as text, subtitles, a table, or JSON."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from ..errors import UsageError
from ..tasks import Segment, Transcript


def timestamp(seconds: float, *, comma: bool, hours: bool) -> str:
    """1:02:03.400, with a comma for SRT; without `hours`, a time under an hour has none."""
    total = round(max(seconds, 0.0) * 1000)
    whole, milliseconds = divmod(total, 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    prefix = f"{hour:02d}:" if hours or hour else ""
    return f"{prefix}{minute:02d}:{second:02d}{',' if comma else '.'}{milliseconds:03d}"


def to_txt(transcript: Transcript) -> str:
    return "".join(f"{segment.text.strip()}\n" for segment in transcript.segments)


def to_vtt(transcript: Transcript) -> str:
    """WebVTT. Source: W3C, WebVTT: The Web Video Text Tracks Format."""
    cues = [
        f"{timestamp(s.start_s, comma=False, hours=False)} --> {timestamp(s.end_s, comma=False, hours=False)}\n"
        f"{_cue(s)}\n\n"
        for s in transcript.segments
    ]
    return "WEBVTT\n\n" + "".join(cues)


def to_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, commas in the times."""
    return "".join(
        f"{number}\n"
        f"{timestamp(s.start_s, comma=True, hours=True)} --> {timestamp(s.end_s, comma=True, hours=True)}\n"
        f"{_cue(s)}\n\n"
        for number, s in enumerate(transcript.segments, 1)
    )


def to_tsv(transcript: Transcript) -> str:
    """Start and end in milliseconds, and the text, between tabs."""
    rows = (
        f"{round(1000 * s.start_s)}\t{round(1000 * s.end_s)}\t{s.text.strip()}".replace("\n", " ")
        for s in transcript.segments
    )
    return "start\tend\ttext\n" + "".join(f"{row}\n" for row in rows)


def to_dict(transcript: Transcript) -> dict:
    """The keys that users of openai-whisper know: text, segments (with words), language."""
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


def to_json(transcript: Transcript) -> str:
    return json.dumps(to_dict(transcript), ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": to_txt,
    "vtt": to_vtt,
    "srt": to_srt,
    "tsv": to_tsv,
    "json": to_json,
}


def render(transcript: Transcript, formats: str) -> Iterator[tuple[str, str]]:
    """(extension, content) of one format, or of "all". Raises UsageError for an unknown one."""
    if formats != "all" and formats not in FORMATS:
        raise UsageError(f"no output format is called '{formats}'", fix=f"use {', '.join(FORMATS)} or all")
    for name in FORMATS if formats == "all" else (formats,):
        yield name, FORMATS[name](transcript)


def _cue(segment: Segment) -> str:
    return segment.text.strip().replace("-->", "->")
