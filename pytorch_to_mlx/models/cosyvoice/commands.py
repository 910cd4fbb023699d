"""The verbs of `pytorch-to-mlx cosyvoice2`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from ...errors import UsageError

Mode = Literal["sft", "zero-shot", "cross-lingual", "instruct"]


@dataclass(frozen=True)
class Spoken:
    """What was spoken. first_audio_ms: to the first samples, once the model is loaded; first_audio_parts: on what."""

    path: Path | None
    duration_s: float
    real_time_factor: float
    first_audio_ms: float
    load_s: float
    model: str
    mode: str
    sample_rate: int
    seconds: dict[str, float] = field(default_factory=dict)
    first_audio_parts: dict[str, float] = field(default_factory=dict)


def synthesize(
    *,
    text: str | None = None,
    text_file: Path | None = None,
    speaker: str | None = None,
    ref_audio: Path | None = None,
    ref_text: str | None = None,
    instruct: str | None = None,
    mode: Mode | None = None,
    speed: float = 1.0,
    output: Path | None = None,
    format: str | None = None,
    play: bool = False,
    stream: bool = False,
    text_frontend: bool = True,
    seed: int = 0,
    steps: int = 10,
    solver: str = "euler",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    model: str | None = None,
    revision: str | None = None,
) -> Spoken:
    """Speak a text in the voice of a recording or of a saved speaker: to a WAV, FLAC, OGG or MP3 file, to the speakers.

    With --ref-text the recording is gone on from (zero-shot), without it only its voice is taken (cross-lingual);
    --instruct says how to speak. --stream with text from stdin speaks each line as it comes.

    Args:
        text_file: file with the text (UTF-8), or - for stdin
        speaker: saved speaker (see `speakers`), or none, random, random:SEED
        mode: by default what the other options say
        text_frontend: write numbers in words and split long texts
        solver: euler, midpoint or rk45

    Example: pytorch-to-mlx cosyvoice2 synthesize --text "Hello." --ref-audio me.wav --ref-text "What I say in it."
    """
    from ...checkpoint import locate
    from ...text.read import read_text
    from .card import CARD
    from .pipeline import load

    if [text, text_file].count(None) != 1:
        raise UsageError("give one of --text and --text-file")
    chosen = mode or _mode(speaker, ref_audio, ref_text, instruct)
    _check(chosen, speaker, ref_audio, instruct)
    output, format = _destination(output, format, play)
    from_stdin = stream and "-" in (text, str(text_file))
    words: Any = _lines() if from_stdin else read_text(text, text_file)
    began = perf_counter()
    located = locate(model, (CARD,), revision=revision)
    pipeline = load(located.path)
    options = {
        "stream": stream,
        "speed": speed,
        "text_frontend": text_frontend,
        "seed": seed,
        "steps": steps,
        "solver": solver,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    loaded = perf_counter()
    if chosen == "sft":
        pieces = pipeline.inference_sft(words, str(speaker), **options)
    elif chosen == "zero-shot":
        pieces = pipeline.inference_zero_shot(words, ref_text or "", ref_audio, speaker or "", **options)
    elif chosen == "instruct":
        pieces = pipeline.inference_instruct2(words, str(instruct), ref_audio, speaker or "", **options)
    else:
        pieces = pipeline.inference_cross_lingual(words, ref_audio, speaker or "", **options)
    return _deliver(pipeline, pieces, output, format, play, located.name, chosen, began, loaded)


def convert_voice(
    audio: Path,
    /,
    *,
    speaker: str | None = None,
    ref_audio: Path | None = None,
    speed: float = 1.0,
    output: Path | None = None,
    format: str | None = None,
    play: bool = False,
    stream: bool = False,
    seed: int = 0,
    steps: int = 10,
    model: str | None = None,
    revision: str | None = None,
) -> Spoken:
    """Say what a recording of any length says in another voice.

    Args:
        speaker: saved speaker to sound like (see `speakers`), or none, random, random:SEED

    Example: pytorch-to-mlx cosyvoice2 convert-voice speech.wav --ref-audio voice.wav --output converted.wav
    """
    from ...checkpoint import locate
    from .card import CARD
    from .pipeline import load

    if (speaker is None) == (ref_audio is None):
        raise UsageError("give one of --ref-audio and --speaker")
    output, format = _destination(output, format, play)
    began = perf_counter()
    located = locate(model, (CARD,), revision=revision)
    pipeline = load(located.path)
    loaded = perf_counter()
    options = {"stream": stream, "speed": speed, "seed": seed, "steps": steps}
    pieces = pipeline.inference_vc(audio, ref_audio, speaker or "", **options)
    return _deliver(pipeline, pieces, output, format, play, located.name, "voice conversion", began, loaded)


def speakers(
    *,
    model: str,
    add: str | None = None,
    remove: str | None = None,
    ref_audio: Path | None = None,
    ref_text: str | None = None,
) -> list[dict[str, Any]]:
    """List the saved speakers of a converted folder; add one from a recording, or remove one.

    Args:
        model: converted folder
        add: name for the speaker of --ref-audio, who says --ref-text in it
        remove: name of the speaker to remove

    Example: pytorch-to-mlx cosyvoice2 speakers --model cosyvoice2-mlx --add me --ref-audio me.wav --ref-text "I am me."
    """
    from ...checkpoint import locate
    from .card import CARD
    from .pipeline import load, open_speakers

    if add is not None and remove is not None:
        raise UsageError("give one of --add and --remove")
    if (add is None) != (ref_audio is None) or (ref_text is not None and add is None):
        raise UsageError("a speaker is added with --add and --ref-audio, and --ref-text if it is to be gone on from")
    if add is not None:
        pipeline = load(locate(model, (CARD,)).path)
        pipeline.add_zero_shot_spk(ref_text or "", ref_audio, add)
        pipeline.save_spkinfo()
        saved = pipeline.speakers
    else:
        saved = open_speakers(locate(model, (CARD,)).path)
        if remove is not None:
            saved.remove(remove)
            saved.save()
    return [{"speaker": name, **saved.about(name)} for name in saved.names()]


def _mode(speaker: str | None, ref_audio: Path | None, ref_text: str | None, instruct: str | None) -> Mode:
    if instruct is not None:
        return "instruct"
    if ref_audio is not None:
        return "zero-shot" if ref_text else "cross-lingual"
    return "sft"


def _check(mode: Mode, speaker: str | None, ref_audio: Path | None, instruct: str | None) -> None:
    if (speaker is None) == (ref_audio is None):
        raise UsageError("give one of --ref-audio and --speaker", fix="--speaker random takes somebody's voice")
    if mode == "sft" and speaker is None:
        raise UsageError("the mode sft takes a --speaker")
    if (mode == "instruct") != (instruct is not None):
        raise UsageError("--instruct goes with the mode instruct")


def _destination(output: Path | None, format: str | None, play: bool) -> tuple[Path | None, str | None]:
    from ...audio.wav import format_of

    if output is None and not play:
        output = Path("speech.wav")
    return output, format if output is None else format_of(output, format)


def _lines() -> Iterator[str]:
    """The words on stdin, as they are written."""
    import sys

    if sys.stdin is None:
        raise UsageError("stdin is closed")
    yield from sys.stdin


def _deliver(
    pipeline: Any,
    pieces: Iterator[Any],
    output: Path | None,
    format: str | None,
    play: bool,
    source: str,
    mode: str,
    began: float,
    loaded: float,
) -> Spoken:
    """Write and play the pieces as they come."""
    from ...audio.deliver import delivery
    from ...errors import FormatError
    from ...progress import track

    samples, processing_s, first_at = 0, 0.0, 0.0
    with delivery(pipeline.sample_rate, output=output, format=format, play=play) as deliver:
        for piece in track(pieces, "speaking"):
            first_at = first_at or perf_counter()
            samples += len(piece.audio)
            processing_s += piece.processing_s
            deliver(piece.audio)
        if not samples:
            raise FormatError("the model said nothing", fix="try another --seed, or more text")
    return Spoken(
        path=output,
        duration_s=samples / pipeline.sample_rate,
        real_time_factor=processing_s * pipeline.sample_rate / samples,
        first_audio_ms=1000 * (first_at - loaded),
        load_s=loaded - began,
        model=source,
        mode=mode,
        sample_rate=pipeline.sample_rate,
        seconds={part: round(s, 3) for part, s in pipeline.clock.seconds.items()},
        first_audio_parts={part: round(s, 3) for part, s in pipeline.clock.first.items()},
    )
