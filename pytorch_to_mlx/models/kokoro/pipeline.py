"""Text in, speech out: phonemes, pieces that fit the model, audio piece by piece."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter

import mlx.core as mx
import numpy as np

from ...cancel import check_cancelled
from ...checkpoint import locate
from ...checkpoint.files import require_memory
from ...errors import FormatError, UsageError
from ...forks import require_own_threads
from ...tasks import Speech, Word, check_seed, check_speed
from ...text.phonemes import language, phonemize
from ...text.split import Token, join, split_tokens, tokens_of
from ...weights import load_model
from .config import SAMPLE_RATE, Config
from .model import Model, Prosody
from .streaming import decode_in_windows
from .timestamps import word_times
from .voices import LENGTHS, Voice, Voices
from .weights import WEIGHTS, open_release

DEFAULT_VOICE = "af_heart"
STREAM_PHONEMES = 200  # most in a piece of a stream: the prosody of a longer one would delay its first sound
_BYTES_PER_SAMPLE = 2500  # peak memory of decoding: 2,300 measured on 54 s of speech


def load(
    path: Path, *, dequantize: bool | None = None, voices: str | Path | None = None, voice: str | None = None
) -> "KokoroPipeline":
    """Load a converted folder or the release's files; no convert step is needed.

    voices: more voices, as for add_voices. voice: the voice to speak with, read before the weights, which take seconds.
    Raises: UsageError for an unknown voice or source of voices, FormatError for files of another model.
    """
    available = Voices.beside(path if path.is_dir() else path.parent)
    if voices is not None:
        available.add(locate(voices).path)
    if voice is not None:
        available(voice)
    model, _ = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )
    return KokoroPipeline(model, available)


class KokoroPipeline:
    """A loaded Kokoro: `for piece in pipeline.generate("Hello, world!"): play(piece.audio)`."""

    sample_rate = SAMPLE_RATE

    def __init__(self, model: Model, voices: Voices) -> None:
        self.model = model
        self.voices = voices
        self.vocab = model.config.vocab
        self.max_phonemes = min(LENGTHS, model.config.max_phonemes)

    def add_voices(self, source: str | Path) -> None:
        """Add voices: a folder of them, an .npz, one voice file, or `packaged:kokoro-voices` (all 54, by npm).

        Raises: what `checkpoint.locate` raises, UsageError for a source without voices.
        """
        self.voices.add(locate(source).path)

    def voice_languages(self) -> dict[str, str]:
        """Return the names of the voices in alphabetical order, each with its language, "" where it is not known."""
        return {voice.name: voice.language for voice in self.voices.described()}

    def generate(
        self,
        text: str | None = None,
        *,
        phonemes: str | None = None,
        voice: str | None = None,
        speed: float = 1.0,
        lang_code: str | None = None,
        seed: int = 0,
        stream: bool = False,
        text_frontend: bool = True,
    ) -> Iterator[Speech]:
        """Yield speech piece by piece; `Speech.concatenate` joins them. The same seed gives the same bytes.

        Args:
            phonemes: what to say in Kokoro's own symbols, instead of text
            voice: a name or a blend, see `Voices`; by default af_heart
            lang_code: the language of the text; by default the voice's
            stream: shorter pieces, sooner, at a small cost in sound: see streaming.py
            text_frontend: say amounts, dates and the like in words, as text/english does; without it, as KPipeline does
        Raises: UsageError for contradictory or unknown arguments, FormatError for text that cannot be spoken,
        MachineError for a piece that does not fit the memory.
        """
        require_own_threads()
        voice = voice or DEFAULT_VOICE
        lang_code = lang_code or Voice.of(voice).lang_code
        pieces = self.pieces(
            text, phonemes=phonemes, lang_code=lang_code or "a", stream=stream, text_frontend=text_frontend
        )
        return self.speak(pieces, voice=voice, speed=speed, seed=seed, stream=stream)

    def phonemize(self, text: str, *, lang_code: str | None = None) -> Iterator[str]:
        """Yield the phonemes of a text, in pieces that fit the model; `generate` takes them. Raises: as `pieces`."""
        return (join(piece) for piece in self.pieces(text, lang_code=lang_code or "a"))

    def pieces(
        self,
        text: str | None = None,
        *,
        phonemes: str | None = None,
        lang_code: str = "a",
        stream: bool = False,
        text_frontend: bool = True,
    ) -> Iterator[list[Token]]:
        """Yield the words of a text with their phonemes, in pieces that fit the model; `speak` makes the speech.

        The text of a token is what is written, as -$5; without `text_frontend` it is KPipeline's.

        Raises: UsageError unless there is either text or phonemes, and for unknown phonemes or an unknown language.
        """
        if (text is None) == (phonemes is None):
            raise UsageError("give either text or phonemes")
        code = language(lang_code).code
        if text is not None:
            utterances = phonemize(text, code, normalized=text_frontend)
        else:
            utterances = iter([self._tokens(phonemes or "")])
        limit = min(self.max_phonemes, STREAM_PHONEMES) if stream else self.max_phonemes
        return (piece for tokens in utterances for piece in split_tokens(tokens, limit))

    def speak(
        self,
        pieces: Iterable[list[Token]],
        *,
        voice: str = DEFAULT_VOICE,
        speed: float = 1.0,
        seed: int = 0,
        stream: bool = False,
    ) -> Iterator[Speech]:
        """Yield the speech of each piece that `pieces` yields; the options are those of `generate`.

        Raises: UsageError for a speed or seed out of range and for an unknown voice, FormatError for a voice of another
        model, and what `generate` raises.
        """
        require_own_threads()
        check_speed(speed)
        check_seed(seed)
        rows = self.voices(voice)
        width = 2 * self.model.config.style_dim
        if rows.shape[1] != width:
            raise FormatError(f"the voice '{voice}' has {rows.shape[1]} numbers per row, this model takes {width}")
        return self._speak(iter(pieces), rows, speed, mx.random.key(seed), stream)

    def _tokens(self, phonemes: str) -> list[Token]:
        """Return phonemes as tokens, if all are in the vocabulary."""
        unknown = sorted({c for c in phonemes if c not in self.vocab and not c.isspace()})
        if unknown:
            symbols = "".join(sorted(c for c in self.vocab if not c.isspace()))
            raise UsageError(f"not phonemes of this model: {' '.join(unknown)}", fix=f"it has {symbols}")
        if not phonemes.strip():
            raise UsageError("there are no phonemes to speak")
        return tokens_of(phonemes)

    def _speak(
        self, pieces: Iterator[list[Token]], rows: np.ndarray, speed: float, key: mx.array, stream: bool
    ) -> Iterator[Speech]:
        """Yield the speech of each piece, window by window. Shapes: rows [510, 2 · style_dim] of the voice."""
        start_s = 0.0
        start = perf_counter()
        for tokens in pieces:
            check_cancelled()
            phonemes = join(tokens)
            ids = [self.vocab[c] for c in phonemes if c in self.vocab]
            if not ids:
                continue
            # The reference counts every phoneme here, in the vocabulary or not.
            style = mx.array(rows[len(phonemes) - 1 : len(phonemes)])
            prosody = self.model.prosody([0, *ids, 0], style, speed)
            n_left = prosody.text_features.shape[1] * self.model.config.samples_per_frame
            require_memory(n_left * _BYTES_PER_SAMPLE, where="speech")
            key, noise_key = mx.random.split(key)
            words = [
                Word(word.text, word.start_s + start_s, word.end_s + start_s)
                for word in word_times(tokens, np.array(prosody.durations).tolist(), self.vocab)
                if word.text
            ]
            text = "".join(token.text + " " * token.space for token in tokens).strip()
            for audio in self._decode(prosody, style, self.model.draw_noise(prosody, noise_key), stream):
                n_left -= len(audio)
                end_s = start_s + len(audio) / self.sample_rate
                own_words = tuple(word for word in words if not n_left or word.start_s < end_s)
                words = words[len(own_words) :]
                processing_s = perf_counter() - start
                yield Speech(audio, self.sample_rate, text, phonemes, own_words, start_s, processing_s).checked()
                text = phonemes = ""  # they belong to the first window of a piece
                start_s = end_s
                start = perf_counter()
        if not start_s:
            raise FormatError("nothing in this text can be spoken", fix="check the language, or give --phonemes")

    def _decode(self, prosody: Prosody, style: mx.array, noise: mx.array, stream: bool) -> Iterator[np.ndarray]:
        """Yield the audio of a piece: in windows, or whole. Shapes: -> float32 [L] each."""
        if stream:
            windows = decode_in_windows(self.model, prosody, style, noise)
        else:
            windows = iter([self.model.decode(prosody, style, self.model.excite(prosody, noise))])
        for window in windows:
            yield np.array(window.astype(mx.float32))
