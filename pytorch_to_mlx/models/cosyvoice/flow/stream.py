"""The flow over speech tokens that arrive in pieces."""

import mlx.core as mx

from ....errors import UsageError
from ....generate.flow import EVALUATIONS, cosine_schedule, solve
from ....nn.stream import Stream
from .conditioning import check_solver, noise_at, prompt_at
from .flow import Flow, FlowConfig
from .upsample_encoder import chunk_mask


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
