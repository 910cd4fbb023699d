"""Text or speech tokens to audio: the four networks in turn, whole or as a stream."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from time import perf_counter
from typing import Any

import mlx.core as mx
import numpy as np

from ...backend import memory
from ...errors import UsageError
from ...generate.sample import Sampler
from ...tasks import Speech
from .flow.stream import FlowStream
from .lm.decode_stream import decode_stream
from .lm.decode_text import decode_text
from .lm.decoder import shorten_silence
from .lm.prefix import Prefix
from .lm.qwen2 import Qwen2LM
from .model import Model
from .options import Options
from .original.streaming import OriginalStreams
from .prepared import FLOW, KIND, LM, SOLVER, STEPS, Prepared, arrays_digest, model_digest, prepared_arrays
from .speakers import Speaker
from .streaming import Clock, stream_audio, stream_mels_in_windows
from .text.normalize import iter_pieces
from .text.tokenizer import END_OF_PROMPT, TextTokenizer
from .text.whisper_tokenizer import WhisperTokenizer
from .versions import COSYVOICE2
from .vocoder.config import Noise
from .vocoder.stream import HiftStream
from .vocoder.stretch import stretch

Text = str | Iterable[str]

# Tokens that the flow takes at once. Its cost grows with the square of them, and so does what a stream keeps.
WINDOW_TOKENS = 30 * COSYVOICE2.token_rate  # in voice conversion
TEXT_WINDOW_TOKENS = 25 * COSYVOICE2.token_rate  # in a stream of text; version 2 keeps 2 GB after a prompt of 6 s
STREAM_WINDOW_TOKENS = 10 * COSYVOICE2.token_rate  # in streamed voice conversion
VOCODER_FRAMES = 500  # 10 s that the vocoder takes at once, about 1 GB; windows cost 1.15 times the time


@dataclass(frozen=True)
class Prompt:
    """What the language model is given before the text: the text and speech that it continues.

    hears_speaker: also the speaker's embedding, where the version's language model takes one.
    """

    prompt_text: tuple[int, ...] = ()
    prompt_speech: tuple[int, ...] = ()
    hears_speaker: bool = True


class Synthesizer:
    """Speak with the voice of a speaker. `clock` holds the times of the last request."""

    def __init__(self, model: Model, tokenizer: TextTokenizer | WhisperTokenizer, flow_noise: mx.array) -> None:
        self.model, self.tokenizer, self.flow_noise = model, tokenizer, flow_noise
        self.sample_rate = model.config.sample_rate
        self.clock = Clock()

    @cached_property
    def _original_streams(self) -> OriginalStreams:
        return OriginalStreams(self.model)

    def speak(self, text: Text, speaker: Speaker, options: Options, clock: Clock, **prompt: Any) -> Iterator[Speech]:
        """Yield the speech of a text, which the language model continues from the prompt: see `Prompt`.

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
        return self._speak_pieces(pieces, speaker, options, clock, sampler, Prompt(**prompt))

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
        """Return the flow after the speaker's prompt, to be copied for each piece of text.

        Raises: FormatError for a prepared speaker's file that is not this model's and this speaker's.
        """
        with clock.part("flow_prompt"):
            prepared = speaker.prepared if (options.steps, options.solver) == (STEPS, SOLVER) else None
            if prepared is None:
                return self._flow_stream(speaker, options.steps, options.solver)
            try:
                memory = prepared.part(FLOW, self._metadata(speaker))
                return self._flow_stream(speaker, STEPS, SOLVER, memory)
            except ValueError as error:
                raise prepared.error(error) from None

    def prepare(self, speaker: Speaker, prompt_text: Sequence[int]) -> Speaker:
        """Return the speaker with what versions 2 and 3 compute for its recording, which says `prompt_text`."""
        lm = self.model.lm
        if not isinstance(lm, Qwen2LM):
            return speaker
        flow, read = self._flow_stream(speaker, STEPS, SOLVER).arrays(), Prefix.read(lm, prompt_text).arrays()
        return replace(speaker, prepared=Prepared(prepared_arrays(flow, read), self._metadata(speaker)))

    def _flow_stream(
        self, speaker: Speaker, steps: int, solver: str, memory: dict[str, mx.array] | None = None
    ) -> FlowStream:
        return FlowStream(
            self.model.flow,
            speaker.tokens(),
            speaker.mel,
            speaker.embedding,
            noise=self.flow_noise,
            steps=steps,
            solver=solver,
            max_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            memory=memory,
        )

    def _metadata(self, speaker: Speaker) -> dict[str, str]:
        """Return what a prepared speaker's file is bound to."""
        return {"kind": KIND, "model": self._digest, "speaker": arrays_digest(speaker.arrays())}

    @cached_property
    def _digest(self) -> str:
        return model_digest(self.model)

    def _read_prompt(self, speaker: Speaker, text: tuple[int, ...], clock: Clock) -> Prefix | None:
        """Return what the language model has read when a text begins; None where that is nothing, or not separate."""
        lm, prepared = self.model.lm, speaker.prepared
        if not text or not isinstance(lm, Qwen2LM):
            return None
        with clock.part("language_model"):
            if prepared is None:
                return Prefix.read(lm, text)
            try:
                return Prefix.from_arrays(lm, prepared.part(LM, self._metadata(speaker)))
            except ValueError as error:
                raise prepared.error(error) from None

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
        prompt: Prompt,
    ) -> Iterator[Speech]:
        self.clock = clock
        shared: dict[str, FlowStream] = {}  # of all pieces
        start_s, prefix = 0.0, None
        for number, piece in enumerate(pieces):
            if isinstance(piece, str) and prefix is None:
                prefix = self._read_prompt(speaker, prompt.prompt_text, clock)
            tokens = self._speech_tokens(piece, number, speaker, options, sampler, prompt, prefix)
            seed = options.seed + number
            if options.stream:
                audios = self._stream(tokens, speaker, options, seed, clock, shared)
            else:
                audios = self._speak_whole(tokens, speaker, options, seed, clock)
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
        speaker: Speaker,
        options: Options,
        sampler: Sampler,
        prompt: Prompt,
        prefix: Prefix | None,
    ) -> Iterator[int]:
        uniform = np.random.default_rng([options.seed, number]).random
        decoding = {
            "prompt_text": prompt.prompt_text,
            "prompt_speech": prompt.prompt_speech,
            "sampler": sampler,
            "uniform": uniform,
            "max_ratio": options.max_ratio,
            "as_original": options.as_original,
        }
        lm = self.model.lm
        if isinstance(piece, str):
            voice = speaker.embedding if prompt.hears_speaker else None
            decoding |= {"min_ratio": options.min_ratio, "speaker": voice, "prefix": prefix}
            tokens = decode_text(lm, self.tokenizer.encode(piece), **decoding)
        else:
            assert isinstance(lm, Qwen2LM)
            n_system = self._count_system(prompt.prompt_text)
            decoding |= {"system": prompt.prompt_text[:n_system], "prompt_text": prompt.prompt_text[n_system:]}
            text_tokens = (token for part in piece for token in self.tokenizer.encode(part))
            tokens = decode_stream(lm, text_tokens, **decoding)
        silent = self.model.config.version.silent_tokens
        return shorten_silence(tokens, silent) if silent else tokens

    def _count_system(self, prompt_text: tuple[int, ...]) -> int:
        """Return how many tokens of a prompt are the system prompt, up to <|endofprompt|>."""
        if not self.model.config.version.system_prompt:
            return 0
        assert isinstance(self.tokenizer, TextTokenizer)
        end = self.tokenizer.special[END_OF_PROMPT]
        return prompt_text.index(end) + 1 if end in prompt_text else 0

    def _speak_whole(
        self, tokens: Iterator[int], speaker: Speaker, options: Options, seed: int, clock: Clock
    ) -> Iterator[np.ndarray]:
        """Yield the audio of all tokens at once, or nothing if there is none. Shapes: -> [L]."""
        speech_tokens = list(clock.time_tokens(tokens))
        if not speech_tokens:
            return
        with clock.part("flow"):
            mel = self._mel(speech_tokens, speaker, options, seed)
        with clock.part("vocoder"):
            audio = self._vocode(stretch(mel, options.speed), self.model.hift.noise(seed))
        clock.mark_audio()
        yield audio

    def _mel(self, tokens: list[int], speaker: Speaker, options: Options, seed: int) -> mx.array:
        """Shapes: L tokens -> [1, frames(L), n_mels]."""
        mel = self.model.flow(
            mx.array([tokens], dtype=mx.int32),
            speaker.tokens(),
            speaker.mel,
            speaker.embedding,
            noise=self._noise(speaker.mel.shape[1] + self.model.config.flow.frames(len(tokens)), seed),
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

    def _noise(self, n_frames: int, seed: int) -> mx.array:
        """Return what the flow starts so many frames from: always the same. Shapes: -> [1, >= n_frames, n_mels]."""
        return self.flow_noise

    def _stream(
        self,
        tokens: Iterator[int],
        speaker: Speaker,
        options: Options,
        seed: int,
        clock: Clock,
        shared: dict[str, FlowStream],
    ) -> Iterator[np.ndarray]:
        """Yield the audio of tokens as they come. shared: what all pieces of the text have. Shapes: -> [L]."""
        noise = self.model.hift.noise(seed)
        if options.as_original:
            streams, solver = self._original_streams, {"steps": options.steps, "solver": options.solver}
            return streams.audio(streams.mels(tokens, speaker, clock, noise=self.flow_noise, **solver), noise, clock)
        if not shared:
            shared["prefix"] = self.prefix(speaker, options, clock)
        n_prompt = len(speaker.speech_tokens)
        mels = stream_mels_in_windows(self.model, tokens, shared["prefix"], n_prompt, clock, TEXT_WINDOW_TOKENS)
        return stream_audio(mels, HiftStream(self.model.hift, noise), clock)

    def _mels(self, tokens: list[int], speaker: Speaker, options: Options, clock: Clock) -> Iterator[mx.array]:
        """Yield the mel of a recording's tokens, window by window. Shapes: -> [1, T, n_mels]."""
        if options.stream:
            prefix, n_prompt = self.prefix(speaker, options, clock), len(speaker.speech_tokens)
            yield from stream_mels_in_windows(self.model, iter(tokens), prefix, n_prompt, clock, STREAM_WINDOW_TOKENS)
            return
        for start in range(0, len(tokens), WINDOW_TOKENS):
            memory.release_cached_memory()
            with clock.part("flow"):
                mel = self._mel(tokens[start : start + WINDOW_TOKENS], speaker, options, options.seed + start)
            yield stretch(mel, options.speed)
