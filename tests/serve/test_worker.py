"""The worker: one thread, turns, slow readers, clients that leave, deadlines, unloading, the end."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")

import httpx
from serve.serving import served, until

from pytorch_to_mlx.cancel import Cancelled, check_cancelled
from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.serve import worker as worker_module
from pytorch_to_mlx.serve.refusals import Refusal
from pytorch_to_mlx.serve.worker import AHEAD, TURNS, Job, Worker

SPEECH = "/v1/audio/speech"


class Model:
    """Notes which job got which turn, in which thread."""

    def __init__(self):
        self.turns: list[str] = []
        self.threads: set[int] = set()
        self.n_closed = 0

    def count(self, name, n_pieces):
        try:
            for number in range(n_pieces):
                self.turns.append(name)
                self.threads.add(threading.get_ident())
                yield number
        finally:
            self.threads.add(threading.get_ident())
            self.n_closed += 1


def job(name, n_pieces=3, estimate_s=1.0, model="m"):
    return Job(model, lambda pipeline: pipeline.count(name, n_pieces), estimate_s=estimate_s)


def with_worker(play, model=None, **options):
    """Run `play(worker)` beside a worker of one model, and return what it returns."""
    model = model or Model()
    worker = Worker({"m": lambda: model}, **options)

    async def run():
        task = asyncio.create_task(worker.run())
        try:
            return await asyncio.wait_for(play(worker), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    try:
        return asyncio.run(run())
    finally:
        worker.close()


async def collect(worker, job):
    return [piece async for piece in worker.results(job)]


def test_jobs_take_turns_in_one_thread():
    model = Model()

    async def play(worker):
        return await asyncio.gather(*(collect(worker, job(name)) for name in "abc"))

    assert with_worker(play, model) == [[0, 1, 2]] * 3
    assert "".join(model.turns) == "abcabcabc" and model.n_closed == 3
    assert len(model.threads) == 1 and threading.get_ident() not in model.threads


def test_only_some_jobs_take_turns_and_the_rest_waits():
    model = Model()

    async def play(worker):
        names = "abcdefg"
        await asyncio.gather(*(collect(worker, job(name, 2)) for name in names))

    with_worker(play, model)
    assert "".join(model.turns[:TURNS]) == "abcd" and sorted(model.turns) == sorted("abcdefg" * 2)


def test_long_jobs_leave_a_turn_to_short_ones():
    model = Model()

    async def play(worker):
        long = [asyncio.create_task(collect(worker, job(name, 50, estimate_s=100.0))) for name in "ABCDE"]
        await asyncio.sleep(0)
        await collect(worker, job("s", 2))
        turns = "".join(model.turns)
        await asyncio.gather(*long)
        return turns

    turns = with_worker(play, model)
    assert turns.count("s") == 2 and turns.count("D") == turns.count("E") == 0 < turns.count("A") < 50


def test_a_slow_reader_stalls_only_itself():
    model = Model()

    async def play(worker):
        slow = worker.results(job("s", 100))
        async with aclosing(slow):
            assert await anext(slow) == 0
            assert await collect(worker, job("f", 20)) == list(range(20))
            n_ahead = model.turns.count("s")
            rest = [piece async for piece in slow]
        return n_ahead, rest

    n_ahead, rest = with_worker(play, model)
    assert n_ahead <= AHEAD + 1 and rest == list(range(1, 100))


def test_many_slow_readers_leave_turns_to_others():
    async def play(worker):
        readers = [worker.results(job("s", 100)) for _ in range(2 * TURNS)]
        for reader in readers:
            await anext(reader)
        await collect(worker, job("f"))
        for reader in readers:
            await reader.aclose()
        await asyncio.sleep(0.05)
        return len(worker.open), len(worker.waiting)

    assert with_worker(play) == (0, 0)


def test_a_reader_that_stops_is_given_up(monkeypatch):
    monkeypatch.setattr(worker_module, "STALL_S", 0.05)

    async def play(worker):
        slow = worker.results(job("s", 100))
        await anext(slow)
        await asyncio.sleep(0.2)
        with pytest.raises(Refusal, match="reads too slowly"):
            async for _ in slow:
                pass
        return len(worker.open)

    assert with_worker(play) == 0


def test_a_full_queue_refuses_with_a_time():
    async def play(worker):
        jobs = [asyncio.create_task(collect(worker, job(name, 3, estimate_s=3.0))) for name in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="2 requests are waiting") as full:
            await collect(worker, job("c"))
        await asyncio.gather(*jobs)
        return full.value

    refusal = with_worker(play, n_waiting_max=2)
    assert refusal.status == 503 and refusal.all_headers() == {"x-should-retry": "true", "retry-after": "6"}


def test_a_job_that_is_cancelled_stops_at_its_next_look():
    looks = []

    class Slow(Model):
        def count(self, name, n_pieces):
            yield 0
            while True:
                looks.append(1)
                check_cancelled()
                threading.Event().wait(0.002)

    async def play(worker):
        async with aclosing(worker.results(job("s"))) as results:
            await anext(results)
            while not looks:
                await asyncio.sleep(0.002)
        n_looks = len(looks)
        await asyncio.sleep(0.1)
        return len(looks) - n_looks, worker.running, len(worker.open)

    more, running, n_open = with_worker(play, Slow())
    assert more <= 3 and running is None and n_open == 0


def test_a_job_that_waits_is_forgotten_when_its_client_leaves():
    model = Model()

    async def play(worker):
        waiting = asyncio.create_task(collect(worker, job("w")))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.02)
        return len(worker.waiting), len(worker.open)

    assert with_worker(play, model) == (0, 0) and "w" not in "".join(model.turns[1:])


@pytest.mark.parametrize(("limit", "message"), [("queue", "waited too long"), ("whole", "took too long")])
def test_deadlines(monkeypatch, limit, message):
    monkeypatch.setattr(worker_module, "QUEUE_S", 0.05 if limit == "queue" else 60)

    class Slow(Model):
        def count(self, name, n_pieces):
            while name == "s":
                check_cancelled()
                threading.Event().wait(0.005)
            yield 0

    async def play(worker):
        slow = [asyncio.create_task(collect(worker, job("s"))) for _ in range(TURNS + 1)]
        outcomes = await asyncio.gather(slow[-1], return_exceptions=True)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return outcomes[0]

    outcome = with_worker(play, Slow(), timeout_s=0.05 if limit == "whole" else 60)
    assert isinstance(outcome, Refusal) and message in outcome.message and outcome.status == 503


def test_what_goes_wrong_reaches_the_reader_and_nobody_else():
    class Bad(Model):
        def count(self, name, n_pieces):
            if name == "never":
                raise UsageError("no such thing")
            yield from super().count(name, 1)
            if name == "later":
                raise KeyError("bug")

    async def play(worker):
        never, later, good = await asyncio.gather(
            *(collect(worker, job(name)) for name in ("never", "later", "good")), return_exceptions=True
        )
        return type(never), type(later), good

    assert with_worker(play, Bad()) == (UsageError, KeyError, [0])


def test_models_that_nobody_uses_are_unloaded():
    loads = []

    def load():
        loads.append(threading.get_ident())
        return Model()

    async def play(worker):
        await collect(worker, job("a"))
        assert len(worker._pipelines) == 1
        while worker._pipelines:
            await asyncio.sleep(0.01)
        await collect(worker, job("c"))

    worker = Worker({"m": load}, keep_loaded_s=0.1)

    async def run():
        task = asyncio.create_task(worker.run())
        await asyncio.wait_for(play(worker), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    worker.close()
    assert len(loads) == 2 and len(set(loads)) == 1


def test_the_end_cancels_what_runs_and_nothing_looks_whole():
    class Slow(Model):
        def count(self, name, n_pieces):
            yield 0
            while True:
                check_cancelled()
                threading.Event().wait(0.002)

    async def play(worker):
        task = asyncio.create_task(collect(worker, job("s")))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(worker.close))
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        await closing
        with pytest.raises(Refusal, match="stopping"):
            await collect(worker, job("t"))
        return type(outcome)

    assert with_worker(play, Slow()) is Cancelled


def test_clients_that_leave_free_the_model():
    """While the answer is being sent, before it begins, and in the queue."""
    with served() as server:
        voice, body = server.voice, {"model": "voice", "voice": "alloy", "response_format": "pcm"}
        with server.client.stream("POST", SPEECH, json={**body, "input": "a slow"}) as answer:
            next(answer.iter_raw())
        until(lambda: voice.n_closed == 1 and not server.worker.open and server.worker.running is None)
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                server.client.post(SPEECH, json={**body, "input": "slow"}, timeout=0.2)
        until(lambda: not server.worker.open and not server.worker.waiting and server.worker.running is None)
        assert server.client.post(SPEECH, json={**body, "input": "b"}).status_code == 200
        assert voice.threads == {"mlx_0"}
        metrics = server.client.get("/metrics").text
        assert 'requests_total{path="/v1/audio/speech",status="499"} 3.0' in metrics and "jobs_open 0.0" in metrics


def test_many_clients_at_once_that_leave_or_stay():
    with served(n_waiting_max=40) as server:
        server.voice.go.set()

        def ask(number):
            body = {"model": "voice", "voice": "alloy", "response_format": "pcm", "input": "a b c d e f g h i j"}
            with server.client.stream("POST", SPEECH, json=body) as answer:
                if number % 3 == 0:
                    next(answer.iter_raw())
                    return "left"
                return answer.status_code, len(b"".join(answer.iter_raw()))

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(ask, range(48)))
        assert outcomes.count("left") == 16 and outcomes.count((200, 48_000)) == 32
        until(lambda: not server.worker.open and not server.worker.waiting and server.worker.running is None)
        assert server.voice.n_closed == 48
