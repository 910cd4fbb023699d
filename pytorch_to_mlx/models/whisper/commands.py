"""What Whisper adds to the command line: `transcribe`."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import MachineError, UsageError
from .card import CARD

if TYPE_CHECKING:
    import numpy as np

    from .stream import StreamUpdate

_STREAM_OPTIONS = {"task", "language", "beam_size", "initial_prompt", "condition_on_previous_text", "vad_filter"}


@dataclass(frozen=True)
class StreamStep:
    """What `transcribe --stream` prints after one step."""

    update: "StreamUpdate"

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
        update = self.update
        if not update.committed:
            return ()
        return (f"[{update.committed[0].start_s:8.2f} s, after {update.latency_s:.1f} s]{update.text}",)


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
) -> Any:
    """Transcribe speech, or translate it into English.

    With --output-dir every recording gets files of its name there, and the folder is made; without it the text is
    printed, each recording's when it is done. With --stream the audio is transcribed as it arrives, and words are
    printed as soon as two hypotheses agree on them; --json then gives a line for each step.

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

    Example: pytorch-to-mlx whisper transcribe speech.wav --word-timestamps --output-format srt --output-dir out
    """
    arguments = locals()  # the first line: the parameters are the only names yet
    from ...checkpoint import locate
    from ...progress import note, track
    from ...text.subtitles import PLAIN, Layout, render, to_dict
    from .pipeline import OPTIONS, check_options, load, stream_options
    from .recordings import EXTENSIONS, Transcripts, check_destinations, check_inputs
    from .tokenizer import require_tiktoken

    if stream:
        options = {name: arguments[name] for name in _STREAM_OPTIONS}
        stream_options(step_s=step, **{name: value for name, value in options.items() if name != "vad_filter"})
        check_inputs([name for name in audio or [] if not raw])
        return _stream(model, _blocks(audio or [], raw, sample_rate, microphone, device, step), step_s=step, **options)
    if raw or microphone or not audio:
        raise UsageError("give audio files", fix="--raw and --microphone need --stream")
    layout = Layout(max_line_width, max_line_count, max_words_per_line, highlight_words)
    if layout != PLAIN and not word_timestamps:
        raise UsageError("subtitle layout needs word timestamps", fix="add --word-timestamps")
    options = {name: arguments[name] for name in OPTIONS & arguments.keys()}
    check_options(**options)
    require_tiktoken()
    check_inputs(audio)
    extensions = EXTENSIONS if output_format == "all" else (output_format,)
    files = {} if output_dir is None else check_destinations(audio, output_dir, extensions, force=force)
    pipeline = load(locate(model, (CARD,)).path)

    def transcribe_one(name: str) -> tuple[dict[str, Any], list[str]]:
        transcription = pipeline.segments(sys.stdin.buffer.read() if name == "-" else name, **options)
        note(f"{name}: {transcription.duration_s:.1f} s of audio in {transcription.language}")
        transcript = transcription.finish()
        entry: dict[str, Any] = {"audio": name, **to_dict(transcript)}
        rendered = dict(render(transcript, output_format, layout))
        if not files:
            return entry, [content.rstrip("\n") for content in rendered.values()]
        for path in files[name]:
            try:
                path.write_text(rendered[path.suffix[1:]], encoding="utf-8")
            except OSError as error:
                raise MachineError(f"cannot be written: {error.strerror}", where=path) from None
        entry["files"] = [str(path) for path in files[name]]
        return entry, entry["files"]

    names = track(audio, "transcribing", len(audio))
    headings = len(audio) > 1 and output_dir is None
    return Transcripts(names, transcribe_one, n_recordings=len(audio), headings=headings)


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


def _stream(model: str | None, blocks: "Iterator[np.ndarray]", **options: Any) -> Iterator[StreamStep]:
    """Yield each step of a stream, and at its end report the latencies."""
    from statistics import median

    from ...checkpoint import locate
    from ...progress import note
    from .pipeline import load

    pipeline = load(locate(model, (CARD,)).path)
    note("listening")
    latencies = []
    for update in pipeline.listen(blocks, **options):
        if update.latency_s is not None:
            latencies.append(update.latency_s)
        yield StreamStep(update)
    if latencies:
        middle, longest = median(latencies), max(latencies)
        note(f"{len(latencies)} commits, {middle:.1f} s after their first word (median), {longest:.1f} s at most")
