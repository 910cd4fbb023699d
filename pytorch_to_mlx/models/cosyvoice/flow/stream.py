"""The flow over speech tokens that arrive in pieces."""

from collections.abc import Mapping

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from ....errors import UsageError
from ....generate.flow import EVALUATIONS, cosine_schedule, solve
from ....nn.stream import Stream
from .causal import CausalFlow, CausalFlowConfig, Condition
from .conditioning import check_solver, slice_noise, slice_prompt


class FlowStream:
    """Run the flow piece by piece; all mels joined are those of `Flow` with streaming=True.

    A chunk of tokens is computed once, as soon as it and the encoder's lookahead are there: every layer keeps what
    later chunks attend to, in each step of the solver. The chunks begin at the prompt, whose own are computed here;
    `copy` the stream to use them again. That memory grows by `bytes_per_frame` for each frame, the prompt's too: 1.1 MB
    with CosyVoice 2's sizes, 3.6 MB with CosyVoice 3's.

    Args:
        max_bytes: the most memory that the stream may take
        memory: what `arrays` gave for the same prompt, which then is not computed
    Raises: UsageError for a solver that cannot stream, and, here or in `feed` and `finish`, before max_bytes would be
    exceeded; ValueError for a memory of other shapes.
    """

    def __init__(
        self,
        flow: CausalFlow,
        prompt_tokens: mx.array,
        prompt_mel: mx.array,
        speaker: mx.array,
        *,
        noise: mx.array,
        steps: int = 10,
        solver: str = "euler",
        max_bytes: int | None = None,
        memory: Mapping[str, mx.array] | None = None,
    ) -> None:
        check_solver(solver, steps)
        if solver not in EVALUATIONS:
            raise UsageError(f"the solver {solver} cannot stream", fix=f"use {' or '.join(EVALUATIONS)}")
        self._flow, self._solver, self._times = flow, solver, cosine_schedule(steps)
        self._prompt_mel, self._speaker, self._noise = prompt_mel, flow.project_speaker(speaker), noise
        self._encoder, self._steps = Stream(), [Stream() for _ in range(steps * EVALUATIONS[solver])]
        self._pending = prompt_tokens[:, :0]  # tokens that are not in the network yet
        self._n_tokens, self._n_frames = 0, 0  # of input and of output so far
        self._condition: Condition | None = None  # of the last piece
        self._bytes, self._max_bytes = bytes_per_frame(flow.config, len(self._steps)), max_bytes
        if memory is None:
            self.feed(prompt_tokens)
        else:
            self._restore(prompt_tokens, memory)

    def arrays(self) -> dict[str, mx.array]:
        """Return what the layers keep after the prompt, by name: see `memory`."""
        return {name: array for _, arrays in self._layers() for name, array in arrays if array.size}

    def _layers(self) -> list[tuple[Stream, list[tuple[str, mx.array]]]]:
        """Return each network's stream and its arrays by name, in the order of the layers."""
        streams = {"encoder": self._encoder, **{f"step {i}": stream for i, stream in enumerate(self._steps)}}
        return [
            (stream, [(f"{name}.{key}", array) for key, array in tree_flatten(stream.memory) if stream.memory])
            for name, stream in streams.items()
        ]  # type: ignore[misc]

    def _restore(self, prompt_tokens: mx.array, memory: Mapping[str, mx.array]) -> None:
        """Stand where the prompt's chunks end. One evaluation is written down, and not computed, for its shapes."""
        flow, config = self._flow, self._flow.config
        self._pending = flow.check_tokens(prompt_tokens)
        count = self._count_complete()
        expected: dict[str, mx.array] = {}
        if count:
            with self._encoder.piece(False) as stream:
                mu = flow.encode(self._take(count), stream, chunk=config.chunk_size)
            self._n_frames = mu.shape[1]
            condition = self._condition_of(mu, 0)
            with self._steps[0].piece(False) as stream:
                flow.velocity(slice_noise(self._noise, 0, self._n_frames), condition, self._times[0], stream)
            self._steps = [stream.copy() for _ in self._steps]
            expected = self.arrays()
        shapes, memory_shapes = ({n: (a.shape, a.dtype) for n, a in arrays.items()} for arrays in (expected, memory))
        if memory_shapes != shapes:
            names = shapes.keys() | memory_shapes.keys()
            wrong = sorted(name for name in names if shapes.get(name) != memory_shapes.get(name))
            raise ValueError(f"{wrong[0]} and {len(wrong) - 1} other arrays are not of this flow and this prompt")
        for stream, arrays in self._layers():
            own = [(name.partition(".")[2], memory.get(name, mx.zeros(a.shape, a.dtype))) for name, a in arrays]
            stream.memory[:] = tree_unflatten(own) if own else []

    def copy(self) -> "FlowStream":
        """Return a stream that goes on from here independently; the memory up to here is shared."""
        other = object.__new__(FlowStream)
        other.__dict__.update(self.__dict__)
        other._encoder, other._steps = self._encoder.copy(), [stream.copy() for stream in self._steps]
        return other

    def continue_from(self, tokens: mx.array, mel: mx.array) -> "FlowStream":
        """Return a copy whose prompt ends with these tokens and their mel.

        Shapes: tokens [1, L], mel [1, ratio · L, n_mels].
        """
        other = self.copy()
        other._prompt_mel = mx.concatenate([self._prompt_mel, mel], axis=1)
        other.feed(tokens)
        return other

    def feed(self, tokens: mx.array) -> mx.array:
        """Return the mel of the chunks that are now complete. Shapes: tokens [1, L] -> [1, T, n_mels], T >= 0."""
        self._pending = mx.concatenate([self._pending, self._flow.check_tokens(tokens)], axis=1)
        count = self._count_complete()
        return self._run(count, final=False) if count else self._no_mel()

    def finish(self, tokens: mx.array | None = None) -> mx.array:
        """Return the mel of all tokens that remain, these included. Shapes: tokens [1, L] -> [1, T, n_mels], T >= 0."""
        if tokens is not None:
            self._pending = mx.concatenate([self._pending, self._flow.check_tokens(tokens)], axis=1)
        n_pending = self._pending.shape[1]
        return self._run(n_pending, final=True) if self._n_tokens or n_pending else self._no_mel()

    def _no_mel(self) -> mx.array:
        return mx.zeros((1, 0, self._flow.config.n_mels))

    def _count_complete(self) -> int:
        """Return how many of the pending tokens complete chunks, the last one's lookahead included."""
        config = self._flow.config
        chunks = (self._n_tokens + self._pending.shape[1] - config.encoder.lookahead) // config.chunk_size
        return max(0, chunks * config.chunk_size + config.encoder.lookahead - self._n_tokens) if chunks > 0 else 0

    def _take(self, count: int) -> mx.array:
        """Return the next tokens, which are no longer pending."""
        ratio, total = self._flow.config.token_mel_ratio, self._n_tokens + count
        if self._max_bytes is not None and total * ratio * self._bytes > self._max_bytes:
            raise UsageError(
                f"{total} tokens in one stream need {total * ratio * self._bytes / 1e9:.1f} GB of memory",
                fix="split the text, use a shorter prompt, or do not stream",
            )
        tokens, self._pending = self._pending[:, :count], self._pending[:, count:]
        self._n_tokens = total
        return tokens

    def _run(self, count: int, final: bool) -> mx.array:
        flow, config, ratio = self._flow, self._flow.config, self._flow.config.token_mel_ratio
        tokens, start = self._take(count), self._n_frames
        with self._encoder.piece(final) as stream:
            mu = flow.encode(tokens, stream, offset=start // ratio, chunk=config.chunk_size)
        end = self._n_frames = start + mu.shape[1]
        condition = self._condition_of(mu, start)

        def velocity(x: mx.array, t: float, number: int) -> mx.array:
            with self._steps[number].piece(final) as stream:
                v = flow.velocity(x, condition, t, stream)
                mx.eval(v, stream.memory)
            return v

        x = solve(velocity, slice_noise(self._noise, start, end), self._times, self._solver)
        return x[:, max(0, self._prompt_mel.shape[1] - start) :]

    def _condition_of(self, mu: mx.array, start: int) -> Condition:
        """Return what the estimator is given for these frames, and keep it. Shapes: mu [1, T, n_mels]."""
        config = self._flow.config
        prompt, chunk = (
            slice_prompt(self._prompt_mel, start, start + mu.shape[1]),
            config.chunk_size * config.token_mel_ratio,
        )
        self._condition = self._flow.condition(
            mu, self._speaker, prompt, start=start, chunk=chunk, previous=self._condition
        )
        return self._condition


def bytes_per_frame(config: CausalFlowConfig, evaluations: int) -> int:
    """Return what a stream keeps of a frame: what every layer attends to, in both rows, in each evaluation."""
    return evaluations * 2 * config.estimator.values_per_frame * 4
