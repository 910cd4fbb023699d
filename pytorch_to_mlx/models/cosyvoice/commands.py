"""The verbs of `pytorch-to-mlx cosyvoice2`, and how other versions have the same; FAMILY is the version's name."""

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from ...audio.speak import Synthesis, deliver, destination
from ...card import ModelCard
from ...errors import UsageError
from .card import CARD
from .versions import VERSIONS

if TYPE_CHECKING:
    from .pipeline import CosyVoicePipeline

Mode = Literal["sft", "zero-shot", "cross-lingual", "instruct"]


def of_version(card: ModelCard, verb: Callable[..., Any]) -> Callable[..., Any]:
    """Return a verb below as one version has it: with its default model, and its name in the help."""
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def run(*arguments: Any, **options: Any) -> Any:
        return verb(card, *arguments, **options)

    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    run.__doc__ = (verb.__doc__ or "").replace("FAMILY", card.name)
    return run


def synthesize_as(
    card: ModelCard,
    what: str | None = None,
    /,
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
) -> Synthesis:
    """Speak a text in the voice of a recording or of a saved speaker: to a WAV, FLAC, OGG or MP3 file, to the speakers.

    With --ref-text the recording is continued (zero-shot), without it only its voice is taken (cross-lingual);
    --instruct says how to speak. --stream with text from stdin speaks each line as it comes.

    Args:
        what: the text, or - for stdin
        text_file: file with the text (UTF-8), or - for stdin
        speaker: saved speaker (see `speakers`), or none, random, random:SEED
        mode: by default the one that the other options imply
        text_frontend: write numbers in words and split long texts
        solver: euler, midpoint or rk45

    Example: pytorch-to-mlx FAMILY synthesize --text "Hello." --ref-audio me.wav --ref-text "What I say in it."
    """
    from ...checkpoint import locate
    from ...text.read import choose_text, read_text
    from .pipeline import load

    text = choose_text(what, text, text_file)
    if [text, text_file].count(None) != 1:
        raise UsageError("give a text or --text-file")
    mode = mode or _mode(speaker, ref_audio, ref_text, instruct)
    _check(mode, speaker, ref_audio, instruct)
    output, format = destination(output, format, play)
    from_stdin = stream and "-" in (text, str(text_file))
    content: Any = _lines() if from_stdin else read_text(text, text_file)
    start = perf_counter()
    located = locate(model, (card,), revision=revision)
    pipeline = load(located.path, version=VERSIONS[card.name])
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
    if mode == "sft":
        pieces = pipeline.inference_sft(content, str(speaker), **options)
    elif mode == "zero-shot":
        pieces = pipeline.inference_zero_shot(content, ref_text or "", ref_audio, speaker or "", **options)
    elif mode == "instruct":
        pieces = pipeline.inference_instruct2(content, str(instruct), ref_audio, speaker or "", **options)
    else:
        pieces = pipeline.inference_cross_lingual(content, ref_audio, speaker or "", **options)
    totals = deliver(pieces, pipeline.sample_rate, output=output, format=format, play=play)
    return Synthesis.of(
        totals, start=start, loaded=loaded, path=output, model=located.name, mode=mode, **_times(pipeline)
    )


def convert_voice_as(
    card: ModelCard,
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
) -> Synthesis:
    """Say what a recording of any length says in another voice.

    Args:
        speaker: saved speaker to sound like (see `speakers`), or none, random, random:SEED

    Example: pytorch-to-mlx FAMILY convert-voice speech.wav --ref-audio voice.wav --output converted.wav
    """
    from ...checkpoint import locate
    from .pipeline import load

    if (speaker is None) == (ref_audio is None):
        raise UsageError("give one of --ref-audio and --speaker")
    output, format = destination(output, format, play)
    start = perf_counter()
    located = locate(model, (card,), revision=revision)
    pipeline = load(located.path, version=VERSIONS[card.name])
    loaded = perf_counter()
    options = {"stream": stream, "speed": speed, "seed": seed, "steps": steps}
    pieces = pipeline.inference_vc(audio, ref_audio, speaker or "", **options)
    totals = deliver(pieces, pipeline.sample_rate, output=output, format=format, play=play)
    return Synthesis.of(
        totals, start=start, loaded=loaded, path=output, model=located.name, mode="voice conversion", **_times(pipeline)
    )


def speakers_as(
    card: ModelCard,
    /,
    *,
    model: str,
    add: str | None = None,
    remove: str | None = None,
    ref_audio: Path | None = None,
    ref_text: str | None = None,
    prepare: bool = False,
) -> list[dict[str, Any]]:
    """List the saved speakers of a converted folder; add one from a recording, or remove one.

    Args:
        model: converted folder
        add: name for the speaker of --ref-audio, who says --ref-text in it
        remove: name of the speaker to remove
        prepare: also keep what the model computes of the recording alone, so that streams begin sooner; it takes 60 MB
            of disk with version 2, 180 MB with version 3, for each second of the recording, and nothing with version 1

    Example: pytorch-to-mlx FAMILY speakers --model FAMILY-mlx --add me --ref-audio me.wav --ref-text "I am me."
    """
    from ...checkpoint import locate
    from .pipeline import load, open_speakers

    if add is not None and remove is not None:
        raise UsageError("give one of --add and --remove")
    if (add is None) != (ref_audio is None) or (ref_text is not None and add is None):
        raise UsageError(
            "a speaker is added with --add and --ref-audio, and --ref-text if the recording is to be continued"
        )
    if add is not None:
        pipeline = load(locate(model, (card,)).path, version=VERSIONS[card.name])
        pipeline.add_zero_shot_spk(ref_text or "", ref_audio, add, prepare=prepare)
        pipeline.save_spkinfo()
        saved = pipeline.speakers
    else:
        saved = open_speakers(locate(model, (card,)).path, VERSIONS[card.name])
        if remove is not None:
            saved.remove(remove)
            saved.save()
    return [{"speaker": name, **saved.about(name)} for name in saved.names()]


synthesize, convert_voice, speakers = (
    of_version(CARD, verb) for verb in (synthesize_as, convert_voice_as, speakers_as)
)


def _mode(speaker: str | None, ref_audio: Path | None, ref_text: str | None, instruct: str | None) -> Mode:
    if instruct is not None:
        return "instruct"
    if ref_audio is not None:
        return "zero-shot" if ref_text else "cross-lingual"
    return "sft"


def _check(mode: Mode, speaker: str | None, ref_audio: Path | None, instruct: str | None) -> None:
    if (speaker is None) == (ref_audio is None):
        raise UsageError(
            "give one of --ref-audio and --speaker", fix="--speaker random draws a random speaker embedding"
        )
    if mode == "sft" and speaker is None:
        raise UsageError("the mode sft takes a --speaker")
    if (mode == "instruct") != (instruct is not None):
        raise UsageError("--instruct goes with the mode instruct")


def _lines() -> Iterator[str]:
    """Yield the lines of stdin as they are written."""
    import sys

    if sys.stdin is None:
        raise UsageError("stdin is closed")
    yield from sys.stdin


def _times(pipeline: "CosyVoicePipeline") -> dict[str, dict[str, float]]:
    """Return the seconds that each part of the model took, in all and until the first audio."""
    clock = pipeline.clock
    return {
        "seconds": {part: round(s, 3) for part, s in clock.seconds.items()},
        "first_audio_parts": {part: round(s, 3) for part, s in clock.first.items()},
    }
