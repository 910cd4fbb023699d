"""What Whisper adds to the command line: `transcribe`."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import UsageError
from ...tasks import Transcript
from .card import CARD

if TYPE_CHECKING:
    import numpy as np

    from .stream import StreamUpdate

_STREAM_OPTIONS = {
    "task", "language", "beam_size", "patience", "length_penalty", "initial_prompt", "condition_on_previous_text",
    "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "suppress_tokens", "vad_filter",
}  # fmt: skip
_STREAM_ONLY = {"step", "raw", "sample_rate", "microphone", "device"}
_BOTH = {"audio", "model", "stream", "word_timestamps", "verbose"} | _STREAM_OPTIONS


@dataclass(frozen=True)
class StreamStep:
    """What `transcribe --stream` prints after one step. words: also a line for each word."""

    update: "StreamUpdate"
    words: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the words and the times, for JSON."""
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
        """Return one line: start, latency and the committed words; none where nothing was committed."""
        from .lines import word_lines

        update = self.update
        if not update.committed:
            return ()
        line = f"[{update.committed[0].start_s:8.2f} s, after {update.latency_s:.1f} s]{update.text}"
        return (line, *word_lines(update.committed if self.words else ()))


def transcribe(
    audio: list[str] | None = None,
    *,
    model: str | None = None,
    output_dir: Path | None = None,
    force: bool = False,
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
    verbose: bool = False,
) -> Any:
    """Transcribe speech, or translate it into English.

    With --output-dir every recording gets files of its name there, and the folder is made; without it the text is
    printed. On a terminal the segments are shown with their times as they are ready. With --stream the audio is
    transcribed as it arrives, and words are printed as soon as two hypotheses agree on them; --json then gives a line
    for each step.

    Args:
        audio: audio files, or - for stdin
        force: replace transcripts that are in the output folder already
        temperature: tried in this order until the text is plausible; by default 0, 0.2, 0.4, 0.6, 0.8, 1.0
        best_of: samples to choose from at temperatures over 0
        patience: beam search ends after this many times beam_size results
        length_penalty: 0 to 1; by default the score is the mean log probability of a token
        carry_initial_prompt: prompt every window with the initial prompt, not only the first
        hotwords: words to expect; they are part of the prompt of every window
        condition_on_previous_text: prompt each window with the text before it
        prepend_punctuations: marks that belong to the word after them
        append_punctuations: marks that belong to the word before them
        max_line_width: characters in a line of a subtitle, with --word-timestamps
        max_line_count: lines in a subtitle; with --max-line-width, subtitles break where the text does
        max_words_per_line: words in a subtitle, with --word-timestamps
        highlight_words: underline each word of a subtitle while it is spoken, with --word-timestamps
        clip_timestamps: start, end, start, end … in seconds of the parts to transcribe
        compression_ratio_threshold: text that compresses better is too repetitive
        logprob_threshold: text with a lower mean log probability is rejected
        no_speech_threshold: windows with a higher probability of no speech are skipped, unless the text is probable
        hallucination_silence_threshold: seconds of silence around text that is left out if it looks hallucinated
        suppress_tokens: token ids that are never sampled; -1 stands for symbols that are not spoken
        batch_size: decode this many windows of speech at once; over 1, windows are not prompted with earlier text
        stream: print words as soon as they are final; for one file, for stdin (-) or for the microphone
        step: with --stream, seconds of new audio before the model runs again
        raw: with --stream, stdin is raw audio without end: 16-bit little-endian, one channel
        sample_rate: of raw audio, in Hz
        microphone: with --stream, listen to the microphone until interrupted
        device: which microphone, by number or name
        verbose: show the segments with their times in a pipe too

    Example: pytorch-to-mlx whisper transcribe speech.wav --word-timestamps --output-format srt --output-dir out
    """
    arguments = locals()  # the first line: the parameters are the only names yet
    from ...audio.recordings import Lines, Recordings, check_destinations, check_inputs, read_input
    from ...checkpoint import locate
    from ...outputs import write_output
    from ...progress import is_watched, measure, note
    from ...text.subtitles import FORMATS, PLAIN, Layout, render, to_dict
    from .lines import segment_lines
    from .pipeline import OPTIONS, check_options, load, stream_options
    from .tokenizer import require_tiktoken

    _check_mode(arguments)
    if stream:
        options = {name: arguments[name] for name in _STREAM_OPTIONS}
        stream_options(step_s=step, **{name: value for name, value in options.items() if name != "vad_filter"})
        check_inputs([name for name in audio or [] if not raw])
        blocks = _blocks(audio or [], raw, sample_rate, microphone, device, step)
        return _stream(model, blocks, words=word_timestamps, step_s=step, **options)
    if not audio:
        raise UsageError("give audio files")
    layout = Layout(max_line_width, max_line_count, max_words_per_line, highlight_words)
    if layout != PLAIN and not word_timestamps:
        raise UsageError("subtitle layout needs word timestamps", fix="add --word-timestamps")
    options = {name: arguments[name] for name in OPTIONS & arguments.keys()}
    check_options(**options)
    require_tiktoken()
    check_inputs(audio)
    extensions = tuple(FORMATS) if output_format == "all" else (output_format,)
    files = {} if output_dir is None else check_destinations(audio, output_dir, extensions, force=force)
    pipeline = load(locate(model, (CARD,)).path)

    def transcribe_one(name: str, printed: bool) -> Lines:
        text_at_once = printed and not files and output_format == "txt"
        timed = verbose or (is_watched() and (not text_at_once or sys.stdout.isatty()))
        transcription = pipeline.segments(read_input(name), **options)
        note(f"{name}: {transcription.duration_s:.1f} s of audio in {transcription.language}")
        if len(audio) > 1 and not files:
            yield f"==> {name} <=="
        segments = []
        with measure(f"transcribing {name}", transcription.duration_s) as transcription.when_moved:
            for segment in transcription:
                segments.append(segment)
                lines = segment_lines(segment, timed=timed, words=word_timestamps)
                if text_at_once:
                    yield from lines
                elif timed:
                    note("\n".join(lines))
        transcript = Transcript("".join(segment.text for segment in segments), transcription.language, tuple(segments))
        entry: dict[str, Any] = {"audio": name, **to_dict(transcript)}
        if not printed and not files:
            return entry
        rendered = dict(render(transcript, output_format, layout))
        for path in files.get(name, ()):
            write_output(path, rendered[path.suffix[1:]])
            entry.setdefault("files", []).append(str(path))
        yield from entry.get("files", () if text_at_once else [content.rstrip("\n") for content in rendered.values()])
        return entry

    return Recordings(audio, transcribe_one)


def _check_mode(arguments: dict[str, Any]) -> None:
    """Refuse what does not apply to a stream, or to a recording, by the name of its option."""
    parameters = signature(transcribe).parameters
    chosen = [name for name, value in arguments.items() if value not in (parameters[name].default, [])]
    if arguments["stream"] and (others := [name for name in chosen if name not in _BOTH | _STREAM_ONLY]):
        raise UsageError(f"--stream does not take {_option(others[0])}", fix="leave out one of them")
    if not arguments["stream"] and (others := [name for name in chosen if name in _STREAM_ONLY]):
        raise UsageError(f"{_option(others[0])} needs --stream", fix="add it, or give audio files alone")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _blocks(
    audio: list[str], raw: bool, sample_rate: int, microphone: bool, device: str | None, step: float
) -> "Iterator[np.ndarray]":
    """Return the one input of a stream in blocks of samples at 16 kHz."""
    from ...audio import live

    kind = live.input_kind(audio, raw=raw, microphone=microphone)
    if kind is None or len(audio) > 1:
        raise UsageError("--stream takes exactly one input", fix="give one file, or -, or --raw, or --microphone")
    if kind == "microphone":
        blocks = live.from_microphone(16_000, device=live.parse_device(device))
        return live.until_interrupted(live.prefetch(blocks))
    if kind == "raw" or audio == ["-"]:
        return live.prefetch(live.from_stdin(16_000, raw_rate=sample_rate))
    return live.from_file(audio[0], 16_000, block_s=step)


def _stream(model: str | None, blocks: "Iterator[np.ndarray]", *, words: bool, **options: Any) -> Iterator[StreamStep]:
    """Yield each step of a stream, and at its end report the latencies."""
    from statistics import median

    from ...checkpoint import locate
    from ...progress import note
    from ...units import count_text
    from .pipeline import load

    pipeline = load(locate(model, (CARD,)).path)
    note("listening")
    latencies = []
    for update in pipeline.listen(blocks, **options):
        if update.latency_s is not None:
            latencies.append(update.latency_s)
        yield StreamStep(update, words)
    if latencies:
        commits = count_text(len(latencies), "commit")
        note(f"{commits}, {median(latencies):.1f} s after their first word (median), {max(latencies):.1f} s at most")
