"""A server in this process, on a port of its own, with models that are quick and do what a test tells them."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace

import httpx
import numpy as np
import uvicorn

from pytorch_to_mlx.cancel import check_cancelled
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.serve.app import build
from pytorch_to_mlx.serve.context import Context, Limits
from pytorch_to_mlx.serve.guard import Policy
from pytorch_to_mlx.serve.models import Catalogue, describe
from pytorch_to_mlx.serve.realtime.route import UVICORN_OPTIONS
from pytorch_to_mlx.serve.worker import Worker
from pytorch_to_mlx.tasks import Candidate, Segment, Speech, TranslatedSentence, Translation, Word

RATE = 24_000


class Voice:
    """Says every word as 0.1 s of sound; "slow" takes until the event `go`, or until it is cancelled."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls: list[dict] = []
        self.words: list[str] = []
        self.threads: set[str] = set()
        self.n_closed = 0

    def voice_languages(self):
        return {"af_alloy": "American English", "af_bella": "American English", "bm_two": "British English"}

    def phonemize(self, text, /, *, lang_code=None):
        if lang_code == "xx":
            raise UsageError("unknown language 'xx'")
        yield from text.upper().split()

    def generate(
        self, text=None, *, phonemes=None, voice=None, speed=1.0, lang_code=None, seed=0, stream=False
    ) -> Iterator[Speech]:
        text = text or phonemes.lower()
        self.calls.append({"text": text, "voice": voice, "speed": speed, "lang_code": lang_code, "stream": stream})
        if "(((" in text:
            raise UsageError("this text is refused", where="/home/me/model", fix="leave out --this")
        return self._pieces(text.split())

    def _pieces(self, words):
        try:
            for number, word in enumerate(words):
                self.threads.add(threading.current_thread().name)
                if word == "bug":
                    raise KeyError("secret of the server")
                if word == "unspeakable":
                    raise FormatError("nothing in this text can be spoken")
                while word == "slow" and not self.go.is_set():
                    check_cancelled()
                    time.sleep(0.005)
                self.words.append(word)
                tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 10) / RATE)
                times = (Word(word, number / 10, (number + 1) / 10),)
                yield Speech(tone.astype(np.float32), RATE, word, words=times, start_s=number / 10)
        finally:
            self.n_closed += 1


class Ear:
    """Hears one word a second."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def transcribe(self, audio, /, **options):
        raise NotImplementedError("the server takes segments")

    @property
    def languages(self):
        return ("en", "fr")

    def stream(self, **options):
        raise NotImplementedError("no test asks for it")

    def segments(self, audio, /, **options):
        self.calls.append(options)
        if options.get("language") == "xx":
            raise UsageError("unknown language 'xx'")
        n = max(1, round(len(audio) / 16_000))
        words = lambda i: (Word(f" w{i}", i, i + 0.5, 0.9),) if options.get("word_timestamps") else ()  # noqa: E731
        parts = [Segment(f" w{i}", float(i), i + 1.0, (50 + i,), words(i), -0.25, 0.01, 0.0, 1.25) for i in range(n)]
        known = {"language": "fr", "language_name": "french", "duration_s": len(audio) / 16_000}
        return _Segments(parts, known)


class _Segments:
    def __init__(self, parts, known) -> None:
        self.parts = parts
        self.__dict__.update(known)

    def __iter__(self):
        yield from self.parts


class Tongue:
    """Translates a text into itself in capitals; of one pair."""

    languages = ()
    names_source = False

    def translate(self, text, /, *, n_best=1, **options):
        assert not options
        candidates = tuple(Candidate(text.upper() + "!" * rank, -rank, -rank) for rank in range(n_best))
        return Translation(candidates[0].text, text, sentences=(TranslatedSentence(text, candidates),))


class Polyglot(Tongue):
    languages = ("eng_Latn", "fra_Latn")
    names_source = True

    def translate(self, text, /, *, src, tgt, n_best=1):
        return Translation(f"{src}>{tgt}: {text}", text)


@contextmanager
def running(app, worker):
    """Serve an application in a thread; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(
        app,
        port=port,
        http="h11",
        **(UVICORN_OPTIONS if find_spec("websockets") else {"ws": "none"}),
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def served(models=None, *, policy=None, limits=None, has_wyoming=False, **options):
    """Yield a server: its url, its worker, the models, and an HTTP client; and the port of Wyoming."""
    models = {"voice": Voice(), "ear": Ear(), "en-pt": Tongue(), "nllb": Polyglot()} if models is None else models
    worker = Worker({name: lambda model=model: model for name, model in models.items()}, **options)
    catalogue = Catalogue(worker.load_all(describe))
    policy = policy or Policy(hosts=frozenset({"127.0.0.1", "localhost", "[::1]"}), max_upload=3_000_000)
    wyoming = socket.create_server(("127.0.0.1", 0)) if has_wyoming else None
    limits = limits or Limits(max_characters=2000, max_audio_s=60)
    context = Context(catalogue, worker, limits, policy, wyoming)
    port = wyoming.getsockname()[1] if wyoming else None
    with running(build(context), worker) as url, httpx.Client(base_url=url, timeout=20) as client:
        named = {name.replace("-", "_"): model for name, model in models.items()}
        yield SimpleNamespace(url=url, worker=worker, client=client, wyoming=port, **named)


def until(condition, seconds=5.0):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.005)
