"""Text or speech tokens to audio: the four networks in turn, whole or as a stream."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from time import perf_counter

import mlx.core as mx
import numpy as np

from ...backend import memory
from ...errors import UsageError
from ...generate.sample import Sampler
from ...tasks import Speech
from .flow.stream import FlowStream
from .lm.decode_stream import decode_stream
from .lm.decode_text import decode_text
from .model import Model
from .options import Options
from .original.streaming import OriginalStreams
from .speakers import Speaker
from .streaming import Clock, stream_audio, stream_mels_in_windows
from .text.normalize import iter_pieces
from .text.tokenizer import TextTokenizer
from .versions import COSYVOICE2
from .vocoder.config import Noise
from .vocoder.stream import HiftStream
from .vocoder.stretch import stretch

Text = str | Iterable[str]

# Tokens that the flow takes at once. Its cost grows with the square of them, and so does what a stream keeps.
WINDOW_TOKENS = 30 * COSYVOICE2.token_rate  # in voice conversion, and in a stream of text
STREAM_WINDOW_TOKENS = 10 * COSYVOICE2.token_rate  # in streamed voice conversion
VOCODER_FRAMES = 500  # 10 s that the vocoder takes at once, about 1 GB; windows cost 1.15 times the time


class Synthesizer:
    """Speak with the voice of a speaker. `clock` holds the times of the last request."""

    def __init__(self, model: Model, tokenizer: TextTokenizer, flow_noise: mx.array) -> None:
        self.model, self.tokenizer, self.flow_noise = model, tokenizer, flow_noise
        self.sample_rate = model.config.sample_rate
        self.clock = Clock()
        self._original_streams = OriginalStreams(model)

    def speak(
        self,
        text: Text,
        speaker: Speaker,
        options: Options,
        clock: Clock,
        *,
        prompt_text: tuple[int, ...] = (),
        prompt_speech: tuple[int, ...] = (),
    ) -> Iterator[Speech]:
        """Yield the speech of a text, which the language model continues from the prompt's text and speech.

        An iterable of strings is text that is still being written.
        Raises: UsageError, before the first piece is asked for, if there is nothing to speak.
        """
        sampler = self._sampler(options)
        pieces: Iterator[Text] = iter([text])
        if isinstance(text, str):
            if not text.strip():
                raise UsageError("there is no text to speak")
            texts = iter_pieces(text, lambda piece: len(self.tokenizer.encode(piece)), normalized=options.text_frontend)
            with clock.part("text"):
                first = next(texts, None)
            if first is None:
                raise UsageError("nothing in this text can be spoken")
            pieces = chain([first], texts)
        return self._speak_pieces(pieces, speaker, options, clock, sampler, prompt_text, prompt_speech)

    def convert(self, tokens: list[int], speaker: Speaker, options: Options, clock: Clock) -> Iterator[Speech]:
        """Yield the speech of speech tokens: the flow takes windows of them, the vocoder all without a seam."""
        self.clock = clock
        vocoder = HiftStream(self.model.hift, self.model.hift.noise(options.seed))
        audios = stream_audio(self._mels(tokens, speaker, options, clock), vocoder, clock)
        start, start_s = perf_counter(), 0.0
        for audio in audios if options.stream else [np.concatenate(list(audios))]:
            speech = Speech(audio, self.sample_rate, start_s=start_s, processing_s=perf_counter() - start)
            yield speech.checked()
            start_s, start = start_s + speech.duration_s, perf_counter()

    def prefix(self, speaker: Speaker, options: Options, clock: Clock) -> FlowStream:
        """Return the flow after the speaker's prompt, to be copied for each piece of text."""
        with clock.part("flow_prompt"):
            return FlowStream(
                self.model.flow,
                speaker.tokens(),
                speaker.mel,
                speaker.embedding,
                noise=self.flow_noise,
                steps=options.steps,
                solver=options.solver,
                max_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            )

    def _sampler(self, options: Options) -> Sampler:
        config = self.model.config.lm
        values = {name: getattr(options, name) for name in ("top_k", "top_p", "win_size", "tau_r")}
        values = {name: getattr(config, name) if value is None else value for name, value in values.items()}
        return Sampler(temperature=options.temperature, **values)

    def _speak_pieces(
        self,
        pieces: Iterable[Text],
        speaker: Speaker,
        options: Options,
        clock: Clock,
        sampler: Sampler,
        prompt_text: tuple[int, ...],
        prompt_speech: tuple[int, ...],
    ) -> Iterator[Speech]:
        self.clock = clock
        prefix: FlowStream | None = None
        start_s = 0.0
        for number, piece in enumerate(pieces):
            tokens = self._speech_tokens(piece, number, options, sampler, prompt_text, prompt_speech)
            noise = self.model.hift.noise(options.seed + number)
            if options.stream and options.as_original:
                audios = self._stream_as_original(tokens, speaker, options, noise, clock)
            elif options.stream:
                prefix = prefix or self.prefix(speaker, options, clock)
                n_prompt = len(speaker.speech_tokens)
                mels = stream_mels_in_windows(self.model, tokens, prefix, n_prompt, clock, WINDOW_TOKENS)
                audios = stream_audio(mels, HiftStream(self.model.hift, noise), clock)
            else:
                audios = self._speak_whole(tokens, speaker, options, noise, clock)
            text = piece if isinstance(piece, str) else ""
            start = perf_counter()
            for audio in audios:
                speech = Speech(audio, self.sample_rate, text, start_s=start_s, processing_s=perf_counter() - start)
                yield speech.checked()
                start_s, text, start = start_s + speech.duration_s, "", perf_counter()
            memory.release_cached_memory()  # pieces differ in length

    def _speech_tokens(
        self,
        piece: Text,
        number: int,
        options: Options,
        sampler: Sampler,
        prompt_text: tuple[int, ...],
        prompt_speech: tuple[int, ...],
    ) -> Iterator[int]:
        uniform = np.random.default_rng([options.seed, number]).random
        decoding = {
            "prompt_text": prompt_text,
            "prompt_speech": prompt_speech,
            "sampler": sampler,
            "uniform": uniform,
            "max_ratio": options.max_ratio,
            "as_original": options.as_original,
        }
        if isinstance(piece, str):
            return decode_text(self.model.lm, self.tokenizer.encode(piece), min_ratio=options.min_ratio, **decoding)
        text_tokens = (token for part in piece for token in self.tokenizer.encode(part))
        return decode_stream(self.model.lm, text_tokens, **decoding)

    def _speak_whole(
        self, tokens: Iterator[int], speaker: Speaker, options: Options, noise: Noise, clock: Clock
    ) -> Iterator[np.ndarray]:
        """Yield the audio of all tokens at once, or nothing if there is none. Shapes: -> [L]."""
        speech_tokens = list(clock.time_tokens(tokens))
        if not speech_tokens:
            return
        with clock.part("flow"):
            mel = self._mel(speech_tokens, speaker, options)
        with clock.part("vocoder"):
            audio = self._vocode(stretch(mel, options.speed), noise)
        clock.mark_audio()
        yield audio

    def _mel(self, tokens: list[int], speaker: Speaker, options: Options) -> mx.array:
        """Shapes: L tokens -> [1, 2 L, n_mels]."""
        mel = self.model.flow(
            mx.array([tokens], dtype=mx.int32),
            speaker.tokens(),
            speaker.mel,
            speaker.embedding,
            noise=self.flow_noise,
            steps=options.steps,
            solver=options.solver,
        )
        mx.eval(mel)
        return mel

    def _vocode(self, mel: mx.array, noise: Noise) -> np.ndarray:
        """Shapes: mel [1, T, n_mels] -> [T · samples_per_frame]."""
        hift, n_frames = self.model.hift, mel.shape[1]
        if n_frames <= VOCODER_FRAMES:
            return np.array(hift(mel, noise(0, n_frames * hift.config.samples_per_frame))[0])
        vocoder, starts = HiftStream(hift, noise), range(0, n_frames, VOCODER_FRAMES)
        parts = [np.array(vocoder.feed(mel[:, start : start + VOCODER_FRAMES])[0]) for start in starts]
        return np.concatenate([*parts, np.array(vocoder.finish()[0])])

    def _stream_as_original(
        self, tokens: Iterator[int], speaker: Speaker, options: Options, noise: Noise, clock: Clock
    ) -> Iterator[np.ndarray]:
        streams = self._original_streams
        mels = streams.mels(tokens, speaker, clock, noise=self.flow_noise, steps=options.steps, solver=options.solver)
        return streams.audio(mels, noise, clock)

    def _mels(self, tokens: list[int], speaker: Speaker, options: Options, clock: Clock) -> Iterator[mx.array]:
        """Yield the mel of a recording's tokens, window by window. Shapes: -> [1, T, n_mels]."""
        if options.stream:
            prefix, n_prompt = self.prefix(speaker, options, clock), len(speaker.speech_tokens)
            yield from stream_mels_in_windows(self.model, iter(tokens), prefix, n_prompt, clock, STREAM_WINDOW_TOKENS)
            return
        for start in range(0, len(tokens), WINDOW_TOKENS):
            memory.release_cached_memory()
            with clock.part("flow"):
                mel = self._mel(tokens[start : start + WINDOW_TOKENS], speaker, options)
            yield stretch(mel, options.speed)
