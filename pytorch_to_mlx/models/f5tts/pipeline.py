"""Text and a recording of a voice in, speech in that voice out; or a recording in which stretches are said anew."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import mlx.core as mx
import numpy as np

from ...audio.cross_fade import CrossFade
from ...audio.load import Audio
from ...audio.mel import vocos_log_mel
from ...backend import memory
from ...checkpoint import locate
from ...errors import UsageError
from ...forks import require_own_threads
from ...progress import note
from ...tasks import Speech, check_speed
from ...text.characters import is_only_punctuation
from ...text.phonemes import check_text
from ...text.pinyin import without_readings
from ..vocos.card import CARD as VOCOS_CARD
from ..vocos.pipeline import load as load_vocoder
from .config import HOP_LENGTH, SAMPLE_RATE
from .edit import EditPlan, Span, blend, edited_recording
from .listen import Listener, whisper_listener
from .model import Model
from .options import Options
from .plan import chunk_limit, chunk_text, chunks_of, fixed_frames, new_frames
from .release import load_networks
from .vocab import Tokenizer, read_vocab
from .voice import TARGET_RMS, Voice, make_voice

LONGEST_S = 30.0  # of recording and new speech together in the models' training
MAX_NAMED = 20  # characters in a warning


class Vocoder(Protocol):
    """What makes audio of a mel. Shapes: mel [T, n_mels] -> float32 [(T - 1) * HOP_LENGTH]."""

    def vocode(self, mel: mx.array) -> np.ndarray: ...


@dataclass(frozen=True)
class Part:
    """A stretch of text for one voice. speed: of this voice, instead of the options'."""

    text: str
    voice: Voice
    speed: float | None = None


@dataclass(frozen=True)
class Chunk:
    """What is sampled at once: a text in a voice. frames: of the recording and the new speech together."""

    text: str
    voice: Voice
    frames: int
    is_last: bool  # of its part: the next chunk is not faded into

    @property
    def new_s(self) -> float:
        """Seconds of new speech."""
        return max(self.frames - self.voice.n_frames, 1) * HOP_LENGTH / SAMPLE_RATE


def load(path: Path, *, dequantize: bool | None = None, vocoder: str | None = None) -> "F5Pipeline":
    """Load a converted folder, or a checkpoint of the original; no convert step is needed.

    vocoder: a Vocos of mels at 24 kHz; by default the one in the folder, else what `locate` finds.
    """
    model, vocab = load_networks(path, dequantize)
    beside = path / "vocos"
    place = beside if vocoder is None and beside.is_dir() else locate(vocoder, (VOCOS_CARD,)).path
    tokenizer = Tokenizer(None if vocab is None else read_vocab(vocab, path))
    return F5Pipeline(model, load_vocoder(place), tokenizer)


class F5Pipeline:
    """F5-TTS ready to speak: `for piece in pipeline.generate("Hello.", voice="me.wav"): play(piece.audio)`."""

    sample_rate = SAMPLE_RATE

    def __init__(self, model: Model, vocoder: Vocoder, tokenizer: Tokenizer) -> None:
        self.model, self.vocoder, self.tokenizer = model, vocoder, tokenizer

    def generate(
        self,
        text: str,
        *,
        voice: Audio | Voice | None = None,
        ref_text: str | None = None,
        speed: float = 1.0,
        seed: int = 0,
        stream: bool = False,
        target_rms: float = TARGET_RMS,
        whisper: str | None = None,
        **options: Any,
    ) -> Iterator[Speech]:
        """Yield speech piece by piece; `Speech.concatenate` joins them. The same seed gives the same bytes.

        Args:
            voice: a recording: a file, 'packaged:f5-example', the bytes of a file, or samples at 24 kHz; or a Voice
            ref_text: what the recording says; by default Whisper listens
            target_rms: how loud the model hears the recording, if it is quieter
            whisper: the Whisper that listens, as `locate` takes it
            options: see `Options`
        Raises: UsageError for contradictory arguments, a value out of range or a recording that no voice can be taken
            from; FormatError for a file that is not audio.
        """
        choices = Options(speed=speed, seed=seed, stream=stream, **options)
        if voice is None:
            raise UsageError("no voice is given", fix="give a recording, or packaged:f5-example")
        if not isinstance(voice, Voice):
            voice = self.voice(voice, ref_text, choices, target_rms=target_rms, whisper=whisper)
        elif ref_text:
            raise UsageError("ref_text is what a recording says; a Voice has its own")
        return self.speak([Part(text, voice)], choices)

    def voice(
        self,
        audio: Audio,
        ref_text: str | None = None,
        options: Options | None = None,
        *,
        target_rms: float = TARGET_RMS,
        whisper: str | Listener | None = None,
    ) -> Voice:
        """Return the voice of a recording, to speak with more than once; the arguments are those of `generate`.

        whisper: also a listener from `whisper_listener`, so that several voices load Whisper once.
        """
        options = options or Options()
        _check_loudness(target_rms)
        return make_voice(
            audio,
            ref_text,
            whisper if callable(whisper) else whisper_listener(whisper),
            aloud=options.aloud,
            as_original=options.as_original,
            target_rms=target_rms,
        )

    def chunks(self, parts: Sequence[Part], options: Options) -> list[Chunk]:
        """Return what is sampled at once, in order. Raises: UsageError where there is nothing to speak."""
        if (options.duration or options.fix_duration) and len(parts) > 1 and not options.as_original:
            raise UsageError("a duration is for a text of one voice", fix="leave out the duration")
        lists = [self._chunks_of_part(part, options) for part in parts]
        chunks = list(chain.from_iterable(lists))
        if not chunks:
            raise UsageError("there is no text to speak, only punctuation", fix="give words")
        self._warn(chunks, options)
        return chunks

    def speak(self, parts: Sequence[Part], options: Options) -> Iterator[Speech]:
        """Yield the speech of parts of a text, each in its voice; nothing fades between two parts.

        Raises: what `chunks` raises, before the first piece is asked for.
        """
        require_own_threads()
        return self.speak_chunks(self.chunks(parts, options), options)

    def speak_chunks(
        self, chunks: Iterable[Chunk], options: Options, when_moved: Callable[[float], None] = lambda position_s: None
    ) -> Iterator[Speech]:
        """Yield the speech of each chunk; the noise of chunk i is that of the seed plus i.

        when_moved: is called while a chunk is made, with the seconds of new speech that are done.
        """
        require_own_threads()
        fade = CrossFade(int(options.cross_fade * SAMPLE_RATE))
        start_s, start, sampled_s = 0.0, perf_counter(), 0.0
        for i, chunk in enumerate(chunks):
            begin_s, length_s = sampled_s, chunk.new_s
            audio = self._sample(
                chunk,
                options,
                seed=(options.seed + i) % 2**32,
                when_moved=lambda share, begin_s=begin_s, length_s=length_s: when_moved(begin_s + share * length_s),
            )
            sampled_s += length_s
            audio = fade.feed(audio, is_last=chunk.is_last)
            text = without_readings(chunk.text)
            speech = Speech(audio, SAMPLE_RATE, text, start_s=start_s, processing_s=perf_counter() - start)
            yield speech.checked()
            start_s, start = start_s + speech.duration_s, perf_counter()
            memory.release_cached_memory()  # chunks differ in length

    def edit(
        self,
        audio: Audio,
        text: str,
        spans: Sequence[Span],
        *,
        target_rms: float = TARGET_RMS,
        seed: int = 0,
        **options: Any,
    ) -> Speech:
        """Return a recording in which stretches are said anew, so that all of it says `text`.

        What lies between the spans is the recording itself; with `as_original` it went through the vocoder too.

        Args:
            spans: start and end in seconds, and how long what is said instead is
        Raises: UsageError for spans that overlap or lie outside the recording, FormatError for what is not audio.
        """
        require_own_threads()
        choices = Options(seed=seed, **options)
        check_text(text)
        _check_loudness(target_rms)
        start = perf_counter()
        recording = edited_recording(audio, target_rms)
        mel = vocos_log_mel(recording.samples)
        plan = EditPlan.of(spans, mel.shape[0])
        ids = self.tokenizer.encode(choices.aloud(text), forced=not choices.as_original)
        cond, keep = plan.condition(mel)
        edited = self.model.sample(cond, ids, cond.shape[0], seed=seed, keep=keep, **choices.sampling)
        samples = self.vocoder.vocode(edited) * np.float32(recording.loudness)
        if not choices.as_original:
            samples = blend(plan, samples, recording.samples * np.float32(recording.loudness))
        return Speech(samples, SAMPLE_RATE, text, processing_s=perf_counter() - start).checked()

    def _chunks_of_part(self, part: Part, options: Options) -> list[Chunk]:
        check_text(part.text)
        voice, speed = part.voice, options.speed if part.speed is None else part.speed
        check_speed(speed)
        text = options.aloud(part.text)
        limit = chunk_limit(voice.transcript, voice.recording_s, speed, pause_s=voice.pause_s)
        if options.as_original:
            texts = chunk_text(text, limit)
        else:
            texts = [chunk for chunk in chunks_of(text, limit, small_first=options.stream) if _is_said(chunk)]
        if not texts:
            return []
        timed = texts if options.as_original else [without_readings(chunk) for chunk in texts]
        frames = self._fixed(timed, voice, options) or [
            voice.n_frames
            + new_frames(chunk, voice.transcript, voice.n_spoken_frames, speed, as_original=options.as_original)
            for chunk in timed
        ]
        last = len(texts) - 1
        return [Chunk(chunk, voice, n, i == last) for i, (chunk, n) in enumerate(zip(texts, frames, strict=True))]

    def _fixed(self, texts: Sequence[str], voice: Voice, options: Options) -> list[int] | None:
        """Return the frames of each chunk where the user says how long all are, else None.

        Raises: UsageError for a duration that leaves nothing for new speech.
        """
        recording_s = voice.n_frames * HOP_LENGTH / SAMPLE_RATE
        if options.duration is not None:
            total_s, missing = recording_s + options.duration, 1  # the first frame of each is the recording's
        elif options.fix_duration is not None:
            total_s, missing = options.fix_duration + voice.pause_s, 0
            if total_s <= recording_s and not options.as_original:
                raise UsageError(
                    f"fix_duration is {options.fix_duration:g} s, and the recording alone has "
                    f"{recording_s - voice.pause_s:.2f} s",
                    fix="it counts the recording and the new speech; --duration counts the new speech alone",
                )
        else:
            return None
        return [n + missing for n in fixed_frames(total_s, texts, voice.n_frames, options.cross_fade)]

    def _sample(self, chunk: Chunk, options: Options, **how: Any) -> np.ndarray:
        """Return the audio of a chunk, without the recording. Shapes: -> float32 [L]."""
        voice = chunk.voice
        mel = vocos_log_mel(voice.samples)
        ids = self.tokenizer.encode(voice.transcript + chunk.text, forced=not options.as_original)
        mel = self.model.sample(mel, ids, chunk.frames, **how, **options.sampling)
        return self.vocoder.vocode(mel[voice.n_frames :]) * np.float32(voice.loudness)

    def _warn(self, chunks: Sequence[Chunk], options: Options) -> None:
        """Say what the model cannot speak, and what is longer than it was trained on."""
        transcripts = {chunk.voice.transcript for chunk in chunks}
        texts = " ".join([*transcripts, *(chunk.text for chunk in chunks)])
        unknown = self.tokenizer.unknown(texts, forced=not options.as_original)
        if unknown:
            more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
            note(f"warning: not in the vocabulary, spoken as spaces: {' '.join(unknown[:MAX_NAMED])}{more}")
        longest_s = max(chunk.frames for chunk in chunks) * HOP_LENGTH / SAMPLE_RATE
        if longest_s > LONGEST_S:
            note(f"warning: {longest_s:.0f} s of recording and speech at once; the model knows {LONGEST_S:.0f} s")


def _check_loudness(target_rms: float) -> None:
    if not 0 < target_rms <= 1:
        raise UsageError(f"target_rms must be over 0 and at most 1, not {target_rms}")


def _is_said(text: str) -> bool:
    return not is_only_punctuation(text)
