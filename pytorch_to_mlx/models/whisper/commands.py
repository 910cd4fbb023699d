"""Whisper's own verbs."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .card import CARD


@dataclass(frozen=True)
class Transcripts:
    """What `transcribe` returns: for people the text as asked for, for machines one entry for each recording."""

    entries: tuple[dict[str, Any], ...]
    printed: tuple[str, ...]

    def to_dict(self) -> list[dict[str, Any]]:
        return list(self.entries)

    def lines(self) -> tuple[str, ...]:
        return self.printed


@dataclass(frozen=True)
class Heard:
    """One step of a stream: the time, the wait and the committed words; for machines also what may follow."""

    update: Any

    def to_dict(self) -> dict[str, Any]:
        update = self.update
        words = [{"word": w.text, "start": w.start_s, "end": w.end_s} for w in update.committed]
        latency = None if update.latency_s is None else round(update.latency_s, 3)
        return {
            "committed": update.text,
            "tentative": update.tentative,
            "words": words,
            "position_s": round(update.position_s, 3),
            "processing_s": round(update.processing_s, 3),
            "latency_s": latency,
        }

    def lines(self) -> tuple[str, ...]:
        update = self.update
        if not update.committed:
            return ()
        return (f"[{update.committed[0].start_s:8.2f} s, after {update.latency_s:.1f} s]{update.text}",)


def transcribe(
    audio: list[str] | None = None,
    *,
    model: str | None = None,
    output_dir: Path | None = None,
    output_format: Literal["txt", "vtt", "srt", "tsv", "json", "all"] = "txt",
    task: Literal["transcribe", "translate"] = "transcribe",
    language: str | None = None,
    temperature: list[float] | None = None,
    beam_size: int | None = None,
    best_of: int | None = 5,
    patience: float | None = None,
    length_penalty: float | None = None,
    initial_prompt: str | None = None,
    carry_initial_prompt: bool = False,
    hotwords: str | None = None,
    condition_on_previous_text: bool = True,
    word_timestamps: bool = False,
    prepend_punctuations: str | None = None,
    append_punctuations: str | None = None,
    max_line_width: int | None = None,
    max_line_count: int | None = None,
    max_words_per_line: int | None = None,
    highlight_words: bool = False,
    clip_timestamps: list[float] | None = None,
    compression_ratio_threshold: float = 2.4,
    logprob_threshold: float = -1.0,
    no_speech_threshold: float = 0.6,
    hallucination_silence_threshold: float | None = None,
    suppress_tokens: list[int] | None = None,
    vad_filter: bool = False,
    batch_size: int = 1,
    stream: bool = False,
    step: float = 1.0,
    raw: bool = False,
    sample_rate: int = 16_000,
    microphone: bool = False,
    device: str | None = None,
    seed: int = 0,
) -> Any:
    """Transcribe speech, or translate it into English.

    With --output-dir every recording gets files of its name there; without it the text is printed. With --stream the
    audio is heard as it comes, and words are printed as soon as two hypotheses agree on them.

    Args:
        audio: audio files, or - for stdin
        temperature: tried in turn until the text is plausible; by default 0, 0.2, 0.4, 0.6, 0.8, 1.0
        best_of: samples to choose from at temperatures over 0
        patience: how long beam search goes on after its first result
        length_penalty: 0 to 1; by default the score is the mean log probability of a token
        carry_initial_prompt: give the initial prompt to the model with every window
        hotwords: words to expect, given to the model with every window
        condition_on_previous_text: give the text so far to the model
        prepend_punctuations: signs that belong to the word after them
        append_punctuations: signs that belong to the word before them
        max_line_width: characters in a line of a subtitle, with --word-timestamps
        max_line_count: lines in a subtitle; with --max-line-width, subtitles break where the text does
        max_words_per_line: words in a subtitle, with --word-timestamps
        highlight_words: underline every word of a subtitle in its time, with --word-timestamps
        clip_timestamps: start, end, start, end … in seconds of the parts to transcribe
        compression_ratio_threshold: text that compresses better is too repetitive
        logprob_threshold: text with a lower mean log probability is not believed
        no_speech_threshold: windows over it hold no speech, unless the text is believed
        hallucination_silence_threshold: seconds of silence around text that is left out if it looks made up
        suppress_tokens: token ids never to use; -1 stands for symbols that are not spoken
        batch_size: decode so many windows of speech at once; over 1, no text is carried from window to window
        stream: give words as soon as they are sure; for one file, for stdin (-) or for the microphone
        step: with --stream, seconds of new audio before the model runs again
        raw: with --stream, stdin is raw audio without end: 16-bit little-endian, one channel
        sample_rate: of raw audio, in Hz
        microphone: with --stream, listen to the microphone until interrupted
        device: which microphone, by number or name

    Example: pytorch-to-mlx whisper transcribe speech.wav --word-timestamps --output-format srt --output-dir out
    """
    from ...checkpoint import locate
    from ...errors import UsageError
    from ...progress import note, track
    from ...text.subtitles import PLAIN, Layout, render, to_dict
    from .pipeline import load

    if stream:
        options = {"task": task, "language": language, "beam_size": beam_size, "initial_prompt": initial_prompt}
        options |= {"condition_on_previous_text": condition_on_previous_text, "step_s": step, "vad_filter": vad_filter}
        return _streamed(model, _blocks(audio or [], raw, sample_rate, microphone, device, step), options)
    if raw or microphone or not audio:
        raise UsageError("give audio files", fix="--raw and --microphone need --stream")
    if output_dir is not None and not output_dir.is_dir():
        raise UsageError("is not a folder", where=output_dir, fix="make it first, or leave --output-dir out")
    layout = Layout(max_line_width, max_line_count, max_words_per_line, highlight_words)
    if layout != PLAIN and not word_timestamps:
        raise UsageError("subtitles are broken by the times of their words", fix="add --word-timestamps")
    pipeline = load(locate(model, (CARD,)).path)
    entries, printed = [], []
    for name in track(audio, "transcribing", len(audio)):
        running = pipeline.segments(
            sys.stdin.buffer.read() if name == "-" else name,
            task=task,
            language=language,
            temperature=tuple(temperature) if temperature else None,
            beam_size=beam_size,
            best_of=best_of,
            patience=patience,
            length_penalty=length_penalty,
            initial_prompt=initial_prompt,
            carry_initial_prompt=carry_initial_prompt,
            hotwords=hotwords,
            condition_on_previous_text=condition_on_previous_text,
            word_timestamps=word_timestamps,
            prepend_punctuations=prepend_punctuations,
            append_punctuations=append_punctuations,
            clip_timestamps=tuple(clip_timestamps) if clip_timestamps else None,
            compression_ratio_threshold=compression_ratio_threshold,
            logprob_threshold=logprob_threshold,
            no_speech_threshold=no_speech_threshold,
            hallucination_silence_threshold=hallucination_silence_threshold,
            suppress_tokens=tuple(suppress_tokens) if suppress_tokens else None,
            vad_filter=vad_filter,
            batch_size=batch_size,
            seed=seed,
        )
        note(f"{name}: {running.duration_s:.1f} s of audio in {running.language}")
        transcript = running.finish()
        entry: dict[str, Any] = {"audio": name, **to_dict(transcript)}
        if output_dir is not None:
            stem = "stdin" if name == "-" else Path(name).stem
            entry["files"] = []
            for extension, content in render(transcript, output_format, layout):
                (output_dir / f"{stem}.{extension}").write_text(content, encoding="utf-8")
                entry["files"].append(str(output_dir / f"{stem}.{extension}"))
            printed += entry["files"]
        else:
            printed += [content.rstrip("\n") for _, content in render(transcript, output_format, layout)]
        entries.append(entry)
    return Transcripts(tuple(entries), tuple(printed))


def _blocks(
    audio: list[str], raw: bool, sample_rate: int, microphone: bool, device: str | None, step: float
) -> Iterator[Any]:
    """The one source of a stream, in blocks of samples at 16 kHz."""
    from ...audio import live
    from ...errors import UsageError

    if (
        [bool(audio) and not raw, raw, microphone].count(True) != 1
        or len(audio) > 1
        or (raw and audio not in ([], ["-"]))
    ):
        raise UsageError("--stream hears one thing", fix="give one file, or -, or --raw, or --microphone")
    if microphone:
        return _until_interrupted(live.ahead(live.from_microphone(16_000, device=_device(device))))
    if raw or audio == ["-"]:
        return live.ahead(live.from_stdin(16_000, raw_rate=sample_rate))
    return live.from_file(audio[0], 16_000, block_s=step)


def _device(device: str | None) -> int | str | None:
    return int(device) if device is not None and device.isdigit() else device


def _until_interrupted(blocks: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from blocks
    except KeyboardInterrupt:
        return


def _streamed(model: str | None, blocks: Iterator[Any], options: dict[str, Any]) -> Iterator[Heard]:
    from statistics import median

    from ...checkpoint import locate
    from ...progress import note
    from .pipeline import load

    pipeline = load(locate(model, (CARD,)).path)
    note("listening")
    waits = []
    for update in pipeline.listen(blocks, **options):
        if update.latency_s is not None:
            waits.append(update.latency_s)
        yield Heard(update)
    if waits:
        note(f"{len(waits)} commits, {median(waits):.1f} s after their first word (median), {max(waits):.1f} s at most")
