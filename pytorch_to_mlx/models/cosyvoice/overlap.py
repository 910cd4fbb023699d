"""Speak with version 1: its flow sees all of a window, so that a stream is made of windows that overlap."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np

from ...tasks import Speech
from .flow.regulated import OVERLAP, RegulatedFlow
from .flow.stream import FlowStream
from .model import Model
from .options import Options
from .original.vocoder_overlap import OverlapStream
from .speakers import Speaker
from .streaming import Clock, stream_audio
from .synthesis import Prompt, Synthesizer, Text
from .text.normalize import iter_pieces
from .text.whisper_tokenizer import WhisperTokenizer
from .vocoder.config import Noise
from .vocoder.hift import normal_noise
from .vocoder.stream import HiftStream

HOP_S = 2  # seconds of speech from one window to the next
ORIGINAL_SHARED_FRAMES = (
    34  # those that two windows share with 50 tokens a second; the original takes them with 25, too
)
ORIGINAL_VOCODER_FRAMES = 20  # that its vocoder computes again
NOISE_FRAMES = 100  # drawn together


class OverlapSynthesizer(Synthesizer):
    """Speak with the voice of a speaker. `clock` holds the times of the last request."""

    def __init__(self, model: Model, tokenizer: WhisperTokenizer) -> None:
        super().__init__(model, tokenizer, mx.zeros((1, 0, model.config.mel.n_mels)))

    def speak(self, text: Text, speaker: Speaker, options: Options, clock: Clock, **prompt: Any) -> Iterator[Speech]:
        """Yield the speech of a text; each string of an iterable is spoken by itself. Raises: see `Synthesizer`."""
        if isinstance(text, str):
            return super().speak(text, speaker, options, clock, **prompt)

        def count(piece: str) -> int:
            return len(self.tokenizer.encode(piece))

        pieces = (piece for part in text for piece in iter_pieces(part, count, normalized=options.text_frontend))
        return self._speak_pieces(pieces, speaker, options, clock, self._sampler(options), Prompt(**prompt))

    def _noise(self, n_frames: int, seed: int) -> mx.array:
        return self._frame_noise(seed)(0, n_frames)

    def _frame_noise(self, seed: int) -> Noise:
        """Return the noise of each frame, apart from the vocoder's."""
        return normal_noise(seed + 2**33, NOISE_FRAMES, self.model.config.mel.n_mels)

    def _stream(
        self,
        tokens: Iterator[int],
        speaker: Speaker,
        options: Options,
        seed: int,
        clock: Clock,
        shared: dict[str, FlowStream],
    ) -> Iterator[np.ndarray]:
        hift = self.model.hift
        mels = self._windows(tokens, speaker, options, seed, clock)
        if options.as_original:
            return _overlap_audio(mels, OverlapStream(hift, hift.noise(seed), ORIGINAL_VOCODER_FRAMES), clock)
        return stream_audio((mel for mel, _ in mels), HiftStream(hift, hift.noise(seed)), clock)

    def _windows(
        self, tokens: Iterator[int], speaker: Speaker, options: Options, seed: int, clock: Clock
    ) -> Iterator[tuple[mx.array, bool]]:
        windows = FlowWindows(self.model.flow, speaker, self._frame_noise(seed), options)
        return windows.mels(tokens, clock)

    def _mels(self, tokens: list[int], speaker: Speaker, options: Options, clock: Clock) -> Iterator[mx.array]:
        if not options.stream:
            yield from super()._mels(tokens, speaker, options, clock)
            return
        for mel, _ in self._windows(iter(tokens), speaker, options, options.seed, clock):
            yield mel


class FlowWindows:
    """Run the flow over windows of tokens; two neighbours share OVERLAP tokens, whose mel is cross-faded.

    In what they share, the later window starts from the noise and the coarse mel of the earlier one, as does the
    prompt's part of every window. The original's fade is louder by 8 % in the middle (of a logarithm); here the two
    sides add up to 1, but for `options.as_original`.
    Source: CosyVoiceModel.tts and token2wav, ConditionalCFM.forward of FunAudioLLM/CosyVoice@ace7c47.
    """

    def __init__(self, flow: RegulatedFlow, speaker: Speaker, noise: Noise, options: Options) -> None:
        self._flow, self._speaker, self._noise, self._options = flow, speaker, noise, options
        self._n_prompt = speaker.mel.shape[1]
        self._n_shared = flow.config.frames(OVERLAP)
        n_kept = ORIGINAL_SHARED_FRAMES if options.as_original else self._n_shared
        self._n_kept = n_kept  # frames that keep noise and coarse mel
        rise, fall = np.split(np.hamming(2 * self._n_shared), 2)
        total = 1 if options.as_original else rise + fall
        self._rise, self._fall = (mx.array((half / total).astype(np.float32))[:, None] for half in (rise, fall))
        self._start = 0  # frames before the next window
        self._kept: tuple[mx.array, mx.array] | None = None  # noise and coarse mel
        self._tail: mx.array | None = None  # mel of what the last window shares with the next

    def mels(self, tokens: Iterator[int], clock: Clock) -> Iterator[tuple[mx.array, bool]]:
        """Yield each window's mel, and whether it is the last. Shapes: -> [1, T, n_mels]."""
        hop = HOP_S * self._flow.config.token_rate
        pending: list[int] = []
        for token in clock.time_tokens(tokens):
            pending.append(token)
            if len(pending) == hop + OVERLAP:
                with clock.part("flow"):
                    mel = self._run(pending)
                    self._tail = mel[:, -self._n_shared :]
                    mel = mel[:, : -self._n_shared]
                    mx.eval(mel, self._tail, self._kept)
                pending = pending[hop:]
                self._start += mel.shape[1]
                yield mel, False
        if pending:
            with clock.part("flow"):
                mel = self._run(pending)
                mx.eval(mel)
            yield mel, True

    def _run(self, tokens: list[int]) -> mx.array:
        """Shapes: L tokens -> [1, frames(L), n_mels]."""
        n_prompt, speaker = self._n_prompt, self._speaker
        mu = self._flow.encode(mx.array([tokens], dtype=mx.int32), speaker.tokens(), n_prompt)
        end = n_prompt + self._start + mu.shape[1] - n_prompt
        parts = [self._noise(0, n_prompt)] if n_prompt else []
        z = mx.concatenate([*parts, self._noise(n_prompt + self._start, end)], axis=1)
        if self._kept is not None:
            z, mu = (
                mx.concatenate([old, new[:, old.shape[1] :]], axis=1)
                for old, new in zip(self._kept, (z, mu), strict=True)
            )
        self._kept = tuple(mx.concatenate([x[:, :n_prompt], x[:, -self._n_kept :]], axis=1) for x in (z, mu))  # type: ignore[assignment]
        options = {"steps": self._options.steps, "solver": self._options.solver}
        mel = self._flow.solve(mu, speaker.mel, speaker.embedding, noise=z, **options)
        if self._tail is None:
            return mel
        faded = mel[:, : self._n_shared] * self._rise + self._tail * self._fall
        return mx.concatenate([faded, mel[:, self._n_shared :]], axis=1)


def _overlap_audio(mels: Iterator[tuple[mx.array, bool]], vocoder: OverlapStream, clock: Clock) -> Iterator[np.ndarray]:
    for mel, last in mels:
        with clock.part("vocoder"):
            audio = np.array(vocoder.feed(mel, last)[0])
        clock.mark_audio()
        yield audio
