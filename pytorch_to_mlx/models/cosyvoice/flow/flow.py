"""Flow matching: speech tokens to a mel spectrogram, in the voice of a prompt. Du et al. 2024, "CosyVoice 2"."""

from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn

from ....config import number
from ....errors import UsageError
from ....generate.flow import EVALUATIONS, cosine_schedule, guide, solve
from ....nn.linear import linear
from ....nn.stream import Stream
from ....taps import tap
from .unet import Estimator, EstimatorConfig
from .upsample_encoder import Encoder, EncoderConfig, chunk_mask

SOLVERS = (*EVALUATIONS, "rk45")


@dataclass(frozen=True)
class FlowConfig:
    """The numbers are CosyVoice2's. chunk_size: tokens that see each other, and all before them, when streaming."""

    vocab_size: int = 6561
    speaker_dim: int = 192
    n_mels: int = 80
    token_mel_ratio: int = 2
    chunk_size: int = 25
    guidance_rate: float = number(0.7, low=0)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)

    @classmethod
    def tiny(cls) -> "FlowConfig":
        return cls(encoder=EncoderConfig.tiny(), estimator=EstimatorConfig.tiny())


class Flow(nn.Module):
    """The mel that follows the prompt's.

    Shapes: tokens [1, L], prompt_tokens [1, P] ints, prompt_mel [1, F, n_mels], speaker [1, speaker_dim],
    noise [1, >= ratio · (P + L), n_mels] -> [1, ratio · (P + L) - F, n_mels].
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.encoder.hidden_size)
        self.speaker_proj = nn.Linear(config.speaker_dim, config.n_mels)
        self.encoder = Encoder(config.encoder, config.token_mel_ratio)
        self.encoder_proj = nn.Linear(config.encoder.hidden_size, config.n_mels)
        self.estimator = Estimator(config.estimator, config.n_mels)

    def __call__(
        self,
        tokens: mx.array,
        prompt_tokens: mx.array,
        prompt_mel: mx.array,
        speaker: mx.array,
        *,
        noise: mx.array,
        steps: int = 10,
        streaming: bool = False,
        finalize: bool = True,
        solver: str = "euler",
    ) -> mx.array:
        """streaming: with the mask of a stream. finalize: False if the last tokens are there to be looked at only."""
        config = self.config
        all_tokens = self.checked(mx.concatenate([prompt_tokens, tokens], axis=1))
        chunk = config.chunk_size if streaming else None
        with Stream().piece(finalize) as stream:
            mu = self.encode(all_tokens, stream, chunk=chunk)
        length, frames = mu.shape[1], prompt_mel.shape[1]
        condition = self.condition(mu, self.speaker(speaker), prompt_at(prompt_mel, 0, length))
        mask = chunk_mask(0, length, chunk and chunk * config.token_mel_ratio)

        def velocity(x: mx.array, t: float, _: int) -> mx.array:
            return self.velocity(x, condition, t, Stream(), mask)

        check_solver(solver, steps)
        x = solve(velocity, noise_at(noise, 0, length), cosine_schedule(steps), solver)
        return tap("mel", x[:, frames:])

    def checked(self, tokens: mx.array) -> mx.array:
        """Raises: UsageError if an id is not in the vocabulary. Those under 0 become 0, as in the reference."""
        tokens = mx.maximum(tokens, 0)
        if tokens.size and int(mx.max(tokens)) >= self.config.vocab_size:
            raise UsageError(f"speech token {int(mx.max(tokens))} is not under {self.config.vocab_size}")
        return tokens

    def encode(self, tokens: mx.array, stream: Stream, *, done: int = 0, chunk: int | None = None) -> mx.array:
        """Shapes: tokens [1, L] -> [1, ratio · L, n_mels]."""
        x = self.encoder(self.embedding(tokens), stream, done=done, chunk=chunk)
        return tap("encoder", linear(self.encoder_proj, x))

    def speaker(self, embedding: mx.array) -> mx.array:
        """Shapes: [1, speaker_dim] -> [1, n_mels]."""
        norm = mx.sqrt(mx.sum(mx.square(embedding), axis=-1, keepdims=True))
        return linear(self.speaker_proj, embedding / mx.maximum(norm, 1e-12))

    def condition(self, mu: mx.array, speaker: mx.array, prompt: mx.array) -> mx.array:
        """What the estimator is told, and in the second row nothing, for guidance. Shapes: -> [2, T, 3 · n_mels]."""
        speaker = mx.broadcast_to(speaker[:, None], mu.shape)
        told = mx.concatenate([mu, speaker, prompt], axis=-1)
        return mx.concatenate([told, mx.zeros_like(told)])

    def velocity(self, x: mx.array, condition: mx.array, t: float, stream: Stream, mask: mx.array | None) -> mx.array:
        """Shapes: x [1, T, n_mels] -> [1, T, n_mels]."""
        both = self.estimator(mx.concatenate([x, x]), condition, t, stream, mask)
        return guide(both[:1], both[1:], self.config.guidance_rate)


class FlowStream:
    """The flow over tokens that arrive in pieces; all mels joined are those of `Flow` with streaming=True.

    A chunk of tokens is computed once, when it and the encoder's lookahead are there: every layer remembers what later
    chunks see of it, in each step of the solver. The chunks begin at the prompt, whose own are computed here; `copy`
    the stream to use them again. That memory grows by `bytes_per_frame`, 4.6 MB with CosyVoice2's sizes, for each
    frame, the prompt's too. Raises: UsageError before it would be more than `max_bytes`.
    """

    def __init__(
        self,
        flow: Flow,
        prompt_tokens: mx.array,
        prompt_mel: mx.array,
        speaker: mx.array,
        *,
        noise: mx.array,
        steps: int = 10,
        solver: str = "euler",
        max_bytes: int | None = None,
    ) -> None:
        check_solver(solver, steps)
        if solver not in EVALUATIONS:
            raise UsageError(f"the solver {solver} cannot stream", fix=f"use {' or '.join(EVALUATIONS)}")
        self._flow, self._solver, self._times = flow, solver, cosine_schedule(steps)
        self._prompt_mel, self._speaker, self._noise = prompt_mel, flow.speaker(speaker), noise
        self._encoder, self._steps = Stream(), [Stream() for _ in range(steps * EVALUATIONS[solver])]
        self._waiting, self._fed, self._frames = prompt_tokens[:, :0], 0, 0
        self._bytes, self._max_bytes = bytes_per_frame(flow.config, len(self._steps)), max_bytes
        self.feed(prompt_tokens)

    def copy(self) -> "FlowStream":
        """Both go on from here, independently. What is remembered until here is shared."""
        made = object.__new__(FlowStream)
        made.__dict__.update(self.__dict__)
        made._encoder, made._steps = self._encoder.copy(), [stream.copy() for stream in self._steps]
        return made

    def continued(self, tokens: mx.array, mel: mx.array) -> "FlowStream":
        """A copy for what follows these tokens, of which this mel was heard: they are a part of its prompt.

        Shapes: tokens [1, L], mel [1, ratio · L, n_mels].
        """
        made = self.copy()
        made._prompt_mel = mx.concatenate([self._prompt_mel, mel], axis=1)
        made.feed(tokens)
        return made

    def feed(self, tokens: mx.array) -> mx.array:
        """The mel of the chunks that are now complete. Shapes: tokens [1, L] -> [1, T, n_mels], T >= 0."""
        self._waiting = mx.concatenate([self._waiting, self._flow.checked(tokens)], axis=1)
        config = self._flow.config
        ahead = config.encoder.lookahead
        chunks = (self._fed + self._waiting.shape[1] - ahead) // config.chunk_size
        count = chunks * config.chunk_size + ahead - self._fed
        return self._run(count, final=False) if chunks > 0 and count > 0 else self._nothing()

    def finish(self, tokens: mx.array | None = None) -> mx.array:
        """The mel of these last tokens and all that are left. Shapes: tokens [1, L] -> [1, T, n_mels], T >= 0."""
        if tokens is not None:
            self._waiting = mx.concatenate([self._waiting, self._flow.checked(tokens)], axis=1)
        left = self._waiting.shape[1]
        return self._run(left, final=True) if self._fed or left else self._nothing()

    def _nothing(self) -> mx.array:
        return mx.zeros((1, 0, self._flow.config.n_mels))

    def _run(self, count: int, final: bool) -> mx.array:
        flow, config = self._flow, self._flow.config
        needed = (self._fed + count) * config.token_mel_ratio * self._bytes
        if self._max_bytes is not None and needed > self._max_bytes:
            raise UsageError(
                f"{self._fed + count} tokens in one stream need {needed / 1e9:.1f} GB of memory",
                fix="split the text, use a shorter prompt, or do not stream",
            )
        tokens, self._waiting = self._waiting[:, :count], self._waiting[:, count:]
        self._fed += count
        start, ratio = self._frames, config.token_mel_ratio
        with self._encoder.piece(final) as stream:
            mu = flow.encode(tokens, stream, done=start // ratio, chunk=config.chunk_size)
        end = self._frames = start + mu.shape[1]
        condition = flow.condition(mu, self._speaker, prompt_at(self._prompt_mel, start, end))
        mask = chunk_mask(start, end - start, config.chunk_size * ratio)

        def velocity(x: mx.array, t: float, number: int) -> mx.array:
            with self._steps[number].piece(final) as stream:
                v = flow.velocity(x, condition, t, stream, mask)
                mx.eval(v, stream.memory)
            return v

        x = solve(velocity, noise_at(self._noise, start, end), self._times, self._solver)
        return x[:, max(0, self._prompt_mel.shape[1] - start) :]


def bytes_per_frame(config: FlowConfig, evaluations: int) -> int:
    """What a stream remembers of a frame: keys and values of every layer, in both rows, in each evaluation."""
    sizes = config.estimator
    layers = (sizes.num_mid_blocks + 2) * sizes.num_transformer_layers
    return evaluations * layers * 2 * 2 * sizes.num_attention_heads * sizes.head_dim * 4


def prompt_at(prompt_mel: mx.array, start: int, end: int) -> mx.array:
    """Frames start … end of the prompt's mel, with zeros after its end. Shapes: -> [1, end - start, n_mels]."""
    part = prompt_mel[:, start:end]
    return mx.pad(part, [(0, 0), (0, end - start - part.shape[1]), (0, 0)])


def noise_at(noise: mx.array, start: int, end: int) -> mx.array:
    """Raises: UsageError if the noise ends before."""
    if end > noise.shape[1]:
        raise UsageError(
            f"{end} frames of mel are more than the {noise.shape[1]} that there is noise for",
            fix="split the text, or use a shorter prompt",
        )
    return noise[:, start:end]


def check_solver(solver: str, steps: int) -> None:
    """Raises: UsageError."""
    if solver not in SOLVERS:
        raise UsageError(f"unknown solver {solver!r}", fix=f"use {', '.join(SOLVERS)}")
    if steps < 1:
        raise UsageError(f"{steps} steps; there must be at least 1")
