"""Audio that arrives while it is heard: samples of any encoding, what waits of them, and what a model keeps of them."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeVar

import numpy as np

from ..audio.pcm import MAX_RATE, MIN_RATE
from .refusals import Refusal
from .worker import Job, Worker

T = TypeVar("T")
SAMPLE_RATE = 16_000  # of what the models that listen take
MAX_CHANNELS = 8
MAX_BEHIND_S = 60.0  # that a model may be behind what arrives
ROOM_S = 0.1  # between two looks whether the queue has room
_SUBTYPES = {"pcm": ("PCM_16", 2), "pcmu": ("ULAW", 1), "pcma": ("ALAW", 1)}  # libsndfile's names, bytes of a sample


class Incoming:
    """Samples of one encoding, in pieces of any length, turned into those that models take.

    encoding: pcm (16 bits, little-endian), pcmu or pcma (G.711). Raises: Refusal for a rate or channels out of range.
    """

    def __init__(self, rate: int, channels: int = 1, encoding: str = "pcm") -> None:
        if not MIN_RATE <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
            raise Refusal(400, f"{MIN_RATE} to {MAX_RATE} Hz and 1 to {MAX_CHANNELS} channels are taken")
        import soxr

        self._rate, self._channels = rate, channels
        self._subtype, width = _SUBTYPES[encoding]
        self._frame_bytes = width * channels
        self._partial = b""  # of a frame
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def feed(self, data: bytes, *, is_last: bool = False) -> np.ndarray:
        """Return the samples that more bytes make ready. Shapes: -> float32 [L] at SAMPLE_RATE."""
        data = self._partial + data
        end = len(data) // self._frame_bytes * self._frame_bytes
        self._partial = data[end:]
        samples = self._decode(data[:end])
        return self._resampler.resample_chunk(samples, last=is_last) if self._resampler else samples

    def _decode(self, data: bytes) -> np.ndarray:
        """Shapes: -> float32 [L]."""
        import io

        import soundfile

        if not data:
            return np.zeros(0, np.float32)
        samples, _ = soundfile.read(
            io.BytesIO(data), dtype="float32", always_2d=True, format="RAW", subtype=self._subtype, endian="LITTLE",
            samplerate=self._rate, channels=self._channels,
        )  # fmt: skip
        return np.ascontiguousarray(samples.mean(axis=1))


class Blocks:
    """Audio that has arrived and waits to be used. start_ms: of the first, by the clock of who sent it."""

    def __init__(self) -> None:
        self.start_ms = 0.0
        self._waiting: list[np.ndarray] = []
        self._is_ended = False
        self._changed = asyncio.Event()

    def put(self, samples: np.ndarray) -> None:
        """Add audio. Shapes: samples float32 [L]. Raises: Refusal if too much waits already."""
        if sum(map(len, self._waiting)) > MAX_BEHIND_S * SAMPLE_RATE:
            raise Refusal(503, "audio arrives faster than it can be heard")
        if len(samples):
            self._waiting.append(samples)
            self._changed.set()

    def end(self) -> None:
        """End the audio."""
        self._is_ended = True
        self._changed.set()

    async def take(self) -> np.ndarray | None:
        """Return all audio that waits, as soon as there is some; None after the end. Shapes: -> float32 [L]."""
        while not self._waiting:
            if self._is_ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        samples = np.concatenate(self._waiting)
        self._waiting.clear()
        return samples


class Live:
    """What a model keeps from piece to piece of an input, as `open` makes it: only the worker's thread touches it.

    is_brief: as that of a Job.
    """

    def __init__(self, worker: Worker, model: str, open: Callable[[Any], Any], *, is_brief: bool = True) -> None:
        self._worker, self._model, self._open, self._is_brief = worker, model, open, is_brief
        self._states: list[Any] = []  # none or one

    async def use(self, function: Callable[[Any], T], *, estimate_s: float = 0.0) -> T:
        """Return what a function of the state gives, called in the thread; where the queue is full it waits.

        Raises: Refusal when the server stops, and what `open` and the function raise.
        """
        worker = self._worker

        def start(pipeline: Any) -> Any:
            if not self._states:
                self._states.append(self._open(pipeline))
            yield function(self._states[0])

        while not worker.has_room and not worker.is_draining:
            await asyncio.sleep(ROOM_S)
        job = Job(self._model, start, estimate_s=estimate_s, is_brief=self._is_brief)
        async with aclosing(worker.results(job)) as pieces:
            [result] = [piece async for piece in pieces]
        return result

    def close(self) -> None:
        """Let the thread free the state."""
        self._worker.free(self._states)
