"""The verbs of `pytorch-to-mlx f5-tts` beyond those of every family: `synthesize` and `edit`."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...audio.speak import Synthesis, deliver, destination
from ...errors import UsageError
from ...progress import measure, note

if TYPE_CHECKING:
    from .options import Options
    from .pipeline import F5Pipeline, Part
    from .script import VoicesFile

_DEFAULTS = {"speed": 1.0, "seed": 0, "steps": 32, "cfg": 2.0, "sway": -1.0, "cross_fade": 0.15, "target_rms": 0.1}


def synthesize(
    what: str | None = None,
    /,
    *,
    text: str | None = None,
    text_file: Path | None = None,
    ref_audio: str | None = None,
    ref_text: str | None = None,
    config: Path | None = None,
    speed: float | None = None,
    duration: float | None = None,
    fix_duration: float | None = None,
    steps: int | None = None,
    cfg: float | None = None,
    sway: float | None = None,
    solver: str = "euler",
    seed: int | None = None,
    cross_fade: float | None = None,
    target_rms: float | None = None,
    remove_silence: bool = False,
    lang_code: str | None = None,
    raw_text: bool = False,
    as_original: bool = False,
    output: Path | None = None,
    format: str | None = None,
    play: bool = False,
    stream: bool = False,
    model: str | None = None,
    vocoder: str | None = None,
    whisper: str | None = None,
    revision: str | None = None,
) -> Synthesis:
    """Speak a text in the voice of a recording: to a WAV, FLAC, OGG or MP3 file, to the speakers, or both.

    The recording is 3 to 12 s of one speaker; of a longer one the beginning is taken. Without --ref-text Whisper
    listens to it. --steps 7 costs a quarter of the 32 by default. The weights that the original's authors published may
    not be used commercially.

    Args:
        what: the text, or - for stdin
        text_file: file with the text (UTF-8), or - for stdin
        ref_audio: recording of the voice, or packaged:f5-example, packaged:f5-example-zh
        config: TOML file with several voices, as the original's: [name] in the text chooses one
        speed: times as fast as the recording, 1 by default
        steps: of the solver, 32 by default; 5, 6, 7, 10, 12 and 16 have times of their own
        cfg: strength of guidance, 2 by default; 0 halves the work
        seed: 0 by default; the same seed gives the same audio
        duration: seconds of new speech; by default as fast as the recording is
        fix_duration: seconds of recording and new speech together
        sway: -1 by default; below 0 more of the steps are near the noise, 0 leaves them evenly spaced
        solver: euler, or midpoint, which costs twice as much
        cross_fade: seconds in which a chunk of a long text fades into the next, 0.15 by default
        target_rms: loudness that a quieter recording gets before the model hears it, 0.1 by default
        remove_silence: shorten pauses of over a second to one
        lang_code: en, zh or none: whose numbers and signs are read; by default the text tells
        raw_text: leave numbers and signs as they are written
        as_original: the original's text, durations and cuts, with their faults
        vocoder: Vocos for 24 kHz; by default the one beside the model, else its own default
        whisper: the Whisper that listens to the recording

    Spellings:
        text: --gen-text
        text_file: --gen-file
        ref_audio: -r
        ref_text: -s
        config: -c
        steps: --nfe-step
        cfg: --cfg-strength
        sway: --sway-sampling-coef
        cross_fade: --cross-fade-duration
        output: --output-file -w
        model: --ckpt-file -p

    Examples:
        pytorch-to-mlx f5-tts synthesize "Hello, world!" --ref-audio packaged:f5-example --output hello.wav
        pytorch-to-mlx f5-tts synthesize "Hello." --ref-audio me.wav --ref-text "What I say in it." --steps 7
        pytorch-to-mlx f5-tts synthesize --config story.toml --output story.wav
    """
    from ...checkpoint import locate
    from ...text.read import choose_text, read_text
    from ...units import count_text
    from .card import CARDS
    from .options import Options
    from .pipeline import load
    from .schedule import passes
    from .script import MAIN, VoicesFile, read_voices

    file = VoicesFile({}) if config is None else read_voices(config)
    if file.unused:
        note(f"not used here: {', '.join(file.unused)}")
    chosen = choose_text(what, text, text_file, file.text, file.text_file)
    if chosen is None and text_file is None:
        chosen, text_file = file.text, file.text_file if file.text is None else None
    if [chosen, text_file].count(None) != 1:
        raise UsageError("give a text or --text-file")
    content = read_text(chosen, text_file) or ""
    by_option = {
        "speed": speed, "seed": seed, "steps": steps, "cfg": cfg, "sway": sway, "cross_fade": cross_fade,
        "fix_duration": fix_duration, "target_rms": target_rms,
    }  # fmt: skip
    settings: dict[str, Any] = {
        **_DEFAULTS,
        **file.settings,
        **{name: value for name, value in by_option.items() if value is not None},
    }
    remove_silence = settings.pop("remove_silence", False) or remove_silence
    target_rms = settings.pop("target_rms")
    if remove_silence and stream:
        raise UsageError("silence is removed from the whole speech", fix="leave out --stream or --remove-silence")
    settings |= {"duration": duration, "solver": solver, "lang_code": lang_code, "raw_text": raw_text}
    options = Options(stream=stream, as_original=as_original, **settings)
    voices = _voices(file, ref_audio, ref_text)
    output, format = destination(output, format, play)
    start = perf_counter()
    located = locate(model, CARDS, revision=revision)
    note(f"model: {located.name}")
    pipeline = load(located.path, vocoder=vocoder)
    loaded = perf_counter()
    parts = _parts(pipeline, content, voices, options, target_rms or 0.0, whisper)
    chunks = pipeline.chunks(parts, options)
    n_passes = passes(options.steps, options.cfg, options.solver)
    note(f"{count_text(len(chunks), 'chunk')} of text, {n_passes} passes of the model for each")
    n_pieces = 1 if remove_silence else len(chunks)
    with measure("speaking", sum(chunk.new_s for chunk in chunks)) as move_to:
        speech = pipeline.speak_chunks(chunks, options, move_to)
        if remove_silence:
            from .clip import without_long_pauses

            speech = iter([without_long_pauses(list(speech))])
        sinks: dict[str, Any] = {"output": output, "format": format, "play": play}
        totals = deliver(speech, pipeline.sample_rate, **sinks, n_pieces=n_pieces, shows_progress=False)
    voice = ", ".join(voices) if len(voices) > 1 else voices[MAIN][0]
    return Synthesis.of(totals, start=start, loaded=loaded, path=output, model=located.name, voice=voice)


def edit(
    audio: Path,
    /,
    *,
    text: str,
    span: Sequence[str],
    steps: int = 32,
    cfg: float = 2.0,
    sway: float = -1.0,
    solver: str = "euler",
    seed: int = 0,
    target_rms: float = 0.1,
    lang_code: str | None = None,
    raw_text: bool = False,
    as_original: bool = False,
    output: Path | None = None,
    format: str | None = None,
    play: bool = False,
    model: str | None = None,
    vocoder: str | None = None,
    revision: str | None = None,
) -> Synthesis:
    """Say stretches of a recording anew, in its own voice; the rest of the recording stays as it is.

    Args:
        audio: the recording, of at most 30 s
        text: all that is said in the edited recording
        span: START-END in seconds, or START-END:NEW for NEW seconds in their place (may be given several times)
        sway: below 0 more of the steps are near the noise; 0 leaves them evenly spaced
        solver: euler, or midpoint, which costs twice as much
        target_rms: loudness that a quieter recording gets before the model hears it
        lang_code: en, zh or none: whose numbers and signs are read; by default the text tells
        raw_text: leave numbers and signs as they are written
        as_original: send the whole recording through the vocoder, as the original does
        vocoder: Vocos for 24 kHz; by default the one beside the model, else its own default

    Spellings:
        steps: --nfe-step
        cfg: --cfg-strength
        sway: --sway-sampling-coef
        model: --ckpt-file -p

    Example: pytorch-to-mlx f5-tts edit nature.wav --text "Some call me optimist." --span 1.42-2.44:1.2
    """
    from ...checkpoint import locate
    from .card import CARDS
    from .edit import Span
    from .options import Options
    from .pipeline import load

    spans = [Span.parse(part) for part in span]
    settings: dict[str, Any] = {"steps": steps, "cfg": cfg, "sway": sway, "solver": solver, "seed": seed}
    settings |= {"lang_code": lang_code, "raw_text": raw_text, "as_original": as_original}
    Options(**settings)
    output, format = destination(output, format, play)
    start = perf_counter()
    located = locate(model, CARDS, revision=revision)
    pipeline = load(located.path, vocoder=vocoder)
    loaded = perf_counter()
    speech = pipeline.edit(audio, text, spans, target_rms=target_rms, **settings)
    totals = deliver([speech], pipeline.sample_rate, output=output, format=format, play=play, n_pieces=1)
    return Synthesis.of(totals, start=start, loaded=loaded, path=output, model=located.name)


def _voices(
    file: "VoicesFile", ref_audio: str | None, ref_text: str | None
) -> dict[str, tuple[str, str, float | None]]:
    """Return recording, transcript and speed of each voice. Raises: UsageError if there is no main one."""
    from .script import MAIN

    voices = {name: (speaker.ref_audio, speaker.ref_text, speaker.speed) for name, speaker in file.voices.items()}
    if ref_audio is not None:
        voices[MAIN] = (ref_audio, ref_text or "", None)
    elif ref_text is not None and MAIN in voices:
        voices[MAIN] = (voices[MAIN][0], ref_text, None)
    if MAIN not in voices:
        raise UsageError("no voice is given", fix="give --ref-audio with a recording, or packaged:f5-example")
    return voices


def _parts(
    pipeline: "F5Pipeline",
    text: str,
    voices: dict[str, tuple[str, str, float | None]],
    options: "Options",
    target_rms: float,
    whisper: str | None,
) -> "list[Part]":
    """Return the parts of a text with their voices; only those that speak are read."""
    from .listen import whisper_listener
    from .pipeline import Part
    from .script import split_by_voice

    pieces = split_by_voice(text, voices, as_original=options.as_original)
    if not pieces:
        raise UsageError("there is no text to speak")
    listener = whisper_listener(whisper)
    by_name = {
        name: pipeline.voice(voices[name][0], voices[name][1], options, target_rms=target_rms, whisper=listener)
        for name in dict.fromkeys(name for name, _ in pieces)
    }
    return [Part(piece, by_name[name], voices[name][2]) for name, piece in pieces]
