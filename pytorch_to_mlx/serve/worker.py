"""One thread owns MLX: it loads, runs and frees the models. Jobs take turns in it, one piece each.

The event loop does the bookkeeping and gives the thread one call at a time. MLX's streams belong to a thread, so no
other touches a model, and only text, numbers, bytes and NumPy arrays come out.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from ..backend.memory import release_cached_memory
from ..cancel import Cancelled, cancellable, check_cancelled
from .refusals import overloaded

T = TypeVar("T")
TURNS = 4  # jobs that take turns
LONG_S = 10.0  # of work; one turn is kept free of jobs that are longer
MAX_OPEN = 16  # jobs that were begun, those that wait for a slow reader included
AHEAD = 4  # pieces that a job may be ahead of its reader
QUEUE_S = 60.0  # the longest wait for the first turn
STALL_S = 120.0  # the longest wait for a reader
CACHE_BYTES = 256 << 20  # what MLX may keep of freed memory; by default it keeps all, and each new length adds to it
END = object()
_log = logging.getLogger(__name__)


class Job:
    """Work on one model. start: called in the thread with the pipeline, gives the pieces. work_s: of the thread.

    is_brief: it is one of many in a row, after which the memory that MLX holds on to is left to the next.
    """

    def __init__(
        self, model: str, start: Callable[[Any], Iterator[Any]], *, estimate_s: float, is_brief: bool = False
    ) -> None:
        self.model, self.start, self.estimate_s, self.is_brief = model, start, estimate_s, is_brief
        self.is_cancelled = False
        self.credits = AHEAD
        self.work_s = 0.0
        self.pieces: Iterator[Any] | None = None
        self.results: asyncio.Queue[Any] = asyncio.Queue()
        self.timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def is_long(self) -> bool:
        return self.estimate_s > LONG_S


class Worker:
    """The thread, the jobs that take turns in it, and the queue before it.

    loaders: for each model what loads it. n_waiting_max: jobs in the queue, more are refused. timeout_s: the longest
    time from a job's arrival to its end. keep_loaded_s: how long a model stays in memory unused; None is for ever.
    """

    def __init__(
        self,
        loaders: Mapping[str, Callable[[], Any]],
        *,
        n_waiting_max: int = 16,
        timeout_s: float = 1800.0,
        keep_loaded_s: float | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self.loaders, self.n_waiting_max, self.timeout_s = loaders, n_waiting_max, timeout_s
        self.keep_loaded_s = keep_loaded_s
        self.waiting: deque[Job] = deque()
        self.open: deque[Job] = deque()
        self.running: Job | None = None
        self.work_s = 0.0
        self.is_draining = self._is_closed = False
        self._pace = 1.0  # seconds of work over what was estimated
        self._last_used: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._pipelines: dict[str, Any] = {}  # the thread's
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mlx")
        self._thread.submit(_limit_memory, memory_bytes).result()

    def load_all(self, describe: Callable[[str, Any], T]) -> list[T]:
        """Load every model, and return what `describe`, called in the thread, says of each name and pipeline.

        Raises: what the loaders and `describe` raise.
        """
        return [self._thread.submit(lambda n=n: describe(n, self._pipeline(n))).result() for n in self.loaders]

    async def results(self, job: Job) -> AsyncGenerator[Any, None]:
        """Yield the pieces of a job; closing the iterator cancels it.

        Raises: Refusal where there is no room, and what the job raises.
        """
        self._submit(job)
        try:
            while (result := await job.results.get()) is not END:
                if isinstance(result, BaseException):
                    raise result
                yield result
                job.credits += 1
                self._stop_timer(job, "stall")
                self._wake.set()
        finally:
            self._cancel(job)

    async def run(self) -> None:
        """Give the jobs their turns until this is cancelled."""
        while True:
            self._admit()
            job = next((job for job in self.open if job.credits or job.is_cancelled), None)
            if job is None:
                await self._rest()
                continue
            self.open.remove(job)
            self.running = job
            turn = asyncio.wrap_future(self._thread.submit(self._advance, job))
            await asyncio.wait([turn])
            self.running = None
            self._take_result(job, turn)

    def close(self) -> None:
        """Cancel what is left, free the models in their thread, and end it; a second call does nothing."""
        if self._is_closed:
            return
        self.is_draining = self._is_closed = True
        for job in [*self.waiting, *self.open, *([self.running] if self.running else [])]:
            self._cancel(job)
        self._thread.submit(self._free_all)
        self._thread.shutdown()

    @property
    def has_room(self) -> bool:
        """Return whether a job would be taken now."""
        return len(self.waiting) < self.n_waiting_max

    def free(self, items: list[Any]) -> None:
        """Empty a list of what only the thread may free."""
        if not self._is_closed:
            self._thread.submit(items.clear)

    def retry_after_s(self) -> float:
        """Return an estimate of the work that is waiting."""
        jobs = [*self.waiting, *self.open, *([self.running] if self.running else [])]
        return self._pace * sum(job.estimate_s for job in jobs)

    # In the event loop.

    def _submit(self, job: Job) -> None:
        if self.is_draining:
            raise overloaded("the server is stopping", 5)
        if not self.has_room:
            raise overloaded(f"{len(self.waiting)} requests are waiting already", self.retry_after_s())
        self.waiting.append(job)
        self._start_timer(job, "queue", QUEUE_S, "the request waited too long for its turn")
        self._start_timer(job, "whole", self.timeout_s, "the request took too long")
        self._wake.set()

    def _admit(self) -> None:
        """Begin jobs that wait, the oldest first, as far as there are turns."""
        for job in [*self.waiting]:
            runnable = [other for other in self.open if other.credits]
            if len(runnable) >= TURNS or len(self.open) >= MAX_OPEN:
                return
            if job.is_long and sum(other.is_long for other in runnable) >= TURNS - 1:
                continue
            self.waiting.remove(job)
            self._stop_timer(job, "queue")
            self.open.append(job)

    def _take_result(self, job: Job, turn: "asyncio.Future[Any]") -> None:
        """Hand the outcome of a turn to the reader; the job goes to the end of the row, or is over."""
        problem = turn.exception()
        self._last_used[job.model] = monotonic()
        if problem is None and (piece := turn.result()) is not END:
            job.results.put_nowait(piece)
            job.credits -= 1
            self.open.append(job)
            if not job.credits:
                self._start_timer(job, "stall", STALL_S, "the client reads too slowly")
            return
        for name in [*job.timers]:
            self._stop_timer(job, name)
        self.work_s += job.work_s
        if problem is None and job.estimate_s:
            self._pace += 0.2 * (min(10.0, job.work_s / job.estimate_s) - self._pace)
        job.results.put_nowait(END if problem is None else problem)

    def _cancel(self, job: Job) -> None:
        """Let a job end at its next evaluation; one that waits is forgotten."""
        job.is_cancelled = True
        if job in self.waiting:
            self.waiting.remove(job)
            for name in [*job.timers]:
                self._stop_timer(job, name)
        self._wake.set()

    def _start_timer(self, job: Job, name: str, after_s: float, message: str) -> None:
        job.timers[name] = asyncio.get_running_loop().call_later(after_s, self._fail, job, message)

    def _stop_timer(self, job: Job, name: str) -> None:
        if timer := job.timers.pop(name, None):
            timer.cancel()

    def _fail(self, job: Job, message: str) -> None:
        job.results.put_nowait(overloaded(message, self.retry_after_s()))
        self._cancel(job)

    async def _rest(self) -> None:
        """Wait for something to do; models that nobody used for long are unloaded meanwhile."""
        self._wake.clear()
        wait_s = None
        if self.keep_loaded_s is not None and not self.open and self._last_used:
            oldest = min(self._last_used, key=self._last_used.__getitem__)
            wait_s = self._last_used[oldest] + self.keep_loaded_s - monotonic()
            if wait_s <= 0:
                del self._last_used[oldest]
                _log.info("unloading", extra={"model": oldest})
                await asyncio.wrap_future(self._thread.submit(self._free, oldest))
                return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):  # wait_for of Python 3.11 may swallow that the task is cancelled
                await self._wake.wait()

    # In the thread.

    def _pipeline(self, name: str) -> Any:
        if name not in self._pipelines:
            self._pipelines[name] = self.loaders[name]()
        return self._pipelines[name]

    def _advance(self, job: Job) -> Any:
        """Return the next piece of a job, or END; a job that is over is freed."""
        started, piece, is_stopped = monotonic(), END, False
        try:
            with cancellable(lambda: job.is_cancelled):
                check_cancelled()
                if job.pieces is None:
                    job.pieces = job.start(self._pipeline(job.model))
                piece = next(job.pieces, END)
        except Cancelled:
            is_stopped = True
        finally:
            job.work_s += monotonic() - started
            if piece is END:
                job.pieces = None  # closed and freed here, in the thread of its arrays
                if not job.is_brief:
                    release_cached_memory()
        if is_stopped:
            raise Cancelled  # not the one above, whose frames hold arrays
        return piece

    def _free(self, name: str) -> None:
        self._pipelines.pop(name, None)
        release_cached_memory()

    def _free_all(self) -> None:
        import mlx.core as mx

        self._pipelines.clear()
        release_cached_memory()
        mx.synchronize()
        mx.clear_streams()


def _limit_memory(memory_bytes: int | None) -> None:
    import mlx.core as mx

    mx.set_cache_limit(CACHE_BYTES)
    if memory_bytes is not None:
        mx.set_memory_limit(memory_bytes)
