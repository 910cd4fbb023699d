"""What Silero VAD adds to the command line: `detect`."""

from dataclasses import asdict
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .card import CARD

if TYPE_CHECKING:
    from ...audio.recordings import Lines
    from ...tasks import Span, VoiceActivity


def detect(
    audio: list[str],
    *,
    model: str | None = None,
    output_format: Literal["text", "srt", "tsv", "rttm", "json"] = "text",
    threshold: float = 0.5,
    neg_threshold: float | None = None,
    min_speech_duration_ms: float = 250,
    max_speech_duration_s: float | None = None,
    min_silence_duration_ms: float = 100,
    speech_pad_ms: float = 30,
    sample_rate: int | None = None,
    scores: bool = False,
    split: Path | None = None,
    force: bool = False,
) -> Any:
    """Find speech in recordings: one line for each stretch, its start and its end in seconds.

    Args:
        output_format: tsv has milliseconds, as that of `whisper transcribe`; json is a line for each recording
        threshold: probability from which a chunk of 32 ms is speech
        neg_threshold: probability under which speech ends; by default the threshold less 0.15
        min_speech_duration_ms: leave out shorter speech
        max_speech_duration_s: cut longer speech, at its longest pause if it has one
        min_silence_duration_ms: silence that ends speech
        speech_pad_ms: time to add on both sides of speech
        sample_rate: 16000 or 8000, where the model has both
        scores: with --json also the probability of every chunk
        split: folder for each stretch of speech as a file of its own, NAME-001.wav, at the recording's rate
        force: let --split replace files

    Example: pytorch-to-mlx vad detect speech.wav --json
    """
    from ...audio.recordings import Recordings, check_inputs, read_input
    from ...checkpoint import locate
    from ...progress import note
    from ...units import count_text
    from .pipeline import load

    check_inputs(audio)
    stems = {} if split is None else _stems(audio, split, force=force)
    pipeline = load(locate(model, (CARD,)).path)

    def detect_one(name: str, printed: bool) -> "Lines":
        recording = read_input(name)
        activity = pipeline.detect(
            recording,
            sample_rate=sample_rate,
            threshold=threshold,
            neg_threshold=neg_threshold,
            min_speech_duration_ms=min_speech_duration_ms,
            max_speech_duration_s=max_speech_duration_s,
            min_silence_duration_ms=min_silence_duration_ms,
            speech_pad_ms=speech_pad_ms,
        )
        speech_s = sum(span.end_s - span.start_s for span in activity.segments)
        stretches = count_text(len(activity.segments), "stretch", "stretches")
        note(f"{name}: {speech_s:.3f} of {activity.duration_s:.3f} s are speech, in {stretches}")
        entry = _entry(name, activity, scores=scores)
        if name in stems:
            entry["files"] = _split(recording, activity.segments, stems[name])
        if len(audio) > 1 and output_format not in ("rttm", "json"):  # these name the recording themselves
            yield f"==> {name} <=="
        yield from _lines(output_format, entry, activity.segments)
        return entry

    return Recordings(audio, detect_one)


def _stems(audio: list[str], folder: Path, *, force: bool) -> dict[str, Path]:
    """Return how the files of each recording begin. Raises: UsageError for files that are there, without `force`."""
    from ...audio.recordings import check_destinations
    from ...errors import UsageError

    destinations = check_destinations(audio, folder, ["wav"], force=True)
    stems = {name: path.with_suffix("") for name, [path] in destinations.items()}
    for stem in stems.values():
        for path in () if force else sorted(folder.glob(f"{escape(stem.name)}-[0-9][0-9][0-9]*.wav")):
            raise UsageError("exists already", where=path, fix="add --force to replace it")
    return stems


def _split(recording: str | bytes, spans: "tuple[Span, ...]", stem: Path) -> list[str]:
    """Write each stretch of a recording, all channels in one, as STEM-001.wav and on. Returns the files' names."""
    from ...audio import wav

    samples, rate = wav.read(recording)
    files = [stem.with_name(f"{stem.name}-{number:03d}.wav") for number in range(1, len(spans) + 1)]
    for file, span in zip(files, spans, strict=True):
        wav.write(file, samples[round(span.start_s * rate) : round(span.end_s * rate)], rate)
    return [str(file) for file in files]


def _entry(name: str, activity: "VoiceActivity", *, scores: bool) -> dict[str, Any]:
    """Return what --json gives of a recording."""
    entry: dict[str, Any] = {"audio": name, "duration_s": round(activity.duration_s, 3)}
    entry["segments"] = [{k: round(v, 3) for k, v in asdict(span).items()} for span in activity.segments]
    if scores:
        entry["probabilities"] = [round(p, 4) for p in activity.probabilities.tolist()]
    return entry


def _lines(output_format: str, entry: dict[str, Any], spans: "tuple[Span, ...]") -> "list[str]":
    """Return the lines of a recording's stretches. Source: NIST RT-09 evaluation plan, appendix A (RTTM)."""
    import json

    from ...text.subtitles import timestamp

    if output_format == "json":
        return [json.dumps(entry)]
    if output_format == "tsv":
        return ["start\tend", *(f"{round(1000 * span.start_s)}\t{round(1000 * span.end_s)}" for span in spans)]
    if output_format == "rttm":
        name = "_".join(Path(entry["audio"]).stem.split())
        speaker = "<NA> <NA> speech <NA> <NA>"
        return [f"SPEAKER {name} 1 {s.start_s:.3f} {s.end_s - s.start_s:.3f} {speaker}" for s in spans]
    if output_format == "srt":
        times = [[timestamp(time, comma=True, hours=True) for time in (s.start_s, s.end_s)] for s in spans]
        return [f"{number}\n{start} --> {end}\nspeech\n" for number, (start, end) in enumerate(times, 1)]
    return [f"{'start s':>10}{'end s':>11}", *(f"{span.start_s:10.3f}{span.end_s:11.3f}" for span in spans)]
