"""Wyoming with what is no Wyoming, with limits, with clients that leave or do not read; and its other models."""

import json
import socket
import time

import mlx.core as mx
import numpy as np
import pytest

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")
pytest.importorskip("wyoming", reason="it comes with the extra 'test'")

from serve.serving import Ear, Voice, served, until
from serve.test_wyoming import recording, talk
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk
from wyoming.info import Describe, SelectProgram
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeVoice
from wyoming.wake import Detect

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.models.vad.pipeline import Boundary
from pytorch_to_mlx.models.wakeword.config import Config as WakewordConfig
from pytorch_to_mlx.models.wakeword.model import Model as Wakeword
from pytorch_to_mlx.models.wakeword.pipeline import WakewordPipeline
from pytorch_to_mlx.serve.run import serve
from pytorch_to_mlx.serve.wyoming import connection
from pytorch_to_mlx.serve.wyoming import server as listener


class Activity:
    """Finds speech where it is loud."""

    def detect(self, audio, /, **options):
        raise NotImplementedError("the server takes streams")

    def stream(self, **options):
        return ActivityStream()


class ActivityStream:
    def __init__(self):
        self.n_samples, self.speaking = 0, False

    def feed(self, samples):
        boundaries = []
        for sample in np.abs(samples):
            if (sample > 0.4) != self.speaking:
                self.speaking = not self.speaking
                kind = "start" if self.speaking else "end"
                boundaries.append(Boundary(kind, self.n_samples / 16_000, 0.9))
            self.n_samples += 1
        return boundaries

    def finish(self):
        return [Boundary("end", self.n_samples / 16_000, 0.9)] if self.speaking else []


@pytest.fixture(scope="module")
def server():
    mx.random.seed(0)
    model = Wakeword(WakewordConfig.tiny())
    mx.eval(model.parameters())
    models = {"voice": Voice(), "ear": Ear(), "wake": WakewordPipeline(model), "activity": Activity()}
    with served(models, has_wyoming=True) as server:
        yield server


def raw(server, data):
    """Send bytes; return what comes until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", server.wyoming), timeout=20) as client:
        client.sendall(data)
        answer = b""
        try:
            while more := client.recv(1 << 16):
                answer += more
        except ConnectionResetError:
            pass  # it was closed with bytes unread
    return answer


def test_a_real_model_hears_as_without_a_server(server):
    audio = recording(6.0)
    stream = server.wake.stream(refractory_s=2.0)
    pcm = np.concatenate([np.frombuffer(e.audio, "<i2") for e in audio if isinstance(e, AudioChunk)])
    own = stream.feed(pcm.astype(np.float32) / 32768)
    assert own
    answers = talk(server, Detect(), *audio, Synthesize("a"))[:-3]  # which waits for what is before it
    assert sorted((a.data["name"], a.data["timestamp"]) for a in answers) == sorted(
        (d.label, round(1000 * d.time_s)) for d in own
    )


def test_where_someone_speaks(server):
    """Of several models that hear, the one that the client selects."""
    audio = recording(2.0, loud_at_s=0.5, start_ms=100)
    answers = talk(server, SelectProgram("activity"), *audio, Synthesize("a"))[:-3]
    assert [(a.type, a.data["timestamp"]) for a in answers] == [("voice-started", 600), ("voice-stopped", 2100)]


GOOD = b'{"type": "ping", "data": {"text": "x"}}\n'


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + GOOD,
        b"\n" + GOOD,
        b"[1]\n" + GOOD,
        b"null\n" + GOOD,
        b'{"type": 1}\n' + GOOD,
        b"{}\n" + GOOD,
        b'{"type": "' + b"x" * 101 + b'"}\n' + GOOD,
        b'{"type": "ping", "data": [1]}\n' + GOOD,
        b'{"type": "ping", "data": "x", "data_length": 2}\n{}' + GOOD,
        b'{"type": "ping", "data_length": -1}\n' + GOOD,
        b'{"type": "ping", "data_length": 1e3}\n' + GOOD,
        b'{"type": "ping", "data_length": true}\n' + GOOD,
        b'{"type": "ping", "data_length": "2"}\n{}' + GOOD,
        b'{"type": "ping", "data_length": 1048577}\n' + GOOD,
        b'{"type": "ping", "payload_length": 1048577}\n' + GOOD,
        b'{"type": "ping", "payload_length": 999999999999999999999}\n' + GOOD,
        b'{"type": "ping", "data_length": 3}\n{}x' + GOOD,
        b'{"type": "ping", "data_length": 2}\n[]' + GOOD,
        b'{"type": "ping", "data_length": 4}\n\xff\xff\xff\xff' + GOOD,
        b'{"type": "ping", "data": ' + b"[" * 3000 + b"]" * 3000 + b"}\n" + GOOD,
        b'{"type": "ping", "type": "pong"}\n' + GOOD,
        b"\x00" * 100 + b"\n" + GOOD,
        b"x" * 70_000 + b"\n" + GOOD,
    ],
    ids=range(23),
)
def test_other_bytes_end_the_connection(server, data):
    answer = raw(server, data)
    assert b"pong" not in answer
    if answer:  # it may be lost when a connection ends with bytes unread
        assert json.loads(answer.splitlines()[0])["type"] == "error"


@pytest.mark.parametrize("cut", [1, 30, 52, 70])
def test_a_connection_that_ends_within_an_event(server, cut):
    event = b'{"type": "ping", "data_length": 13, "payload_length": 9}\n{"text": "x"}123456789'
    with socket.create_connection(("127.0.0.1", server.wyoming), timeout=20) as client:
        client.sendall(event[:cut])
        client.shutdown(socket.SHUT_WR)
        assert b"the connection ends within an event" in client.recv(1 << 16)
    assert talk(server, Describe())[0].type == "info"


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([Synthesize("a", SynthesizeVoice("/etc/passwd"))], "there is no voice '/etc/passwd'"),
        ([Synthesize("a", SynthesizeVoice("af_alloy+../x"))], "there is no voice"),
        ([Synthesize("a", SynthesizeVoice(language="xx"))], "there is no voice of the language 'xx'"),
        ([Synthesize("")], "there is nothing to speak"),
        ([Synthesize("a" * 2001)], "has 2001 characters"),
        ([Synthesize("<speak>a</speak>", text_format="ssml")], "plain text is taken"),
        ([Synthesize("unspeakable")], "nothing in this text can be spoken"),
        ([SynthesizeStart(), *[SynthesizeChunk("a " * 300)] * 4], "the text is too long"),
        ([Transcribe("org/name"), *recording(0.1)], "there is no model 'org/name'"),
        ([Transcribe(language="xx"), *recording(0.1)], "unknown language 'xx'"),
        ([Detect(["/etc/passwd"]), *recording(0.1)], "there is no word '/etc/passwd' here"),
        ([AudioChunk(16_000, 4, 1, b"1234")], "samples of 16 bits"),
        ([AudioChunk(1, 2, 1, b"12")], "Hz and 1 to 8 channels"),
        ([AudioChunk(16_000, 2, 9, b"12")], "Hz and 1 to 8 channels"),
        ([AudioChunk(10**9, 2, 1, b"12")], "'rate' must be a number"),
        ([AudioChunk(16_000, 2, 1, b"12"), AudioChunk(8_000, 2, 1, b"12")], "changes its format"),
        ([Transcribe(), *recording(61)], "longer than 60 s"),
    ],
    ids=range(17),
)
def test_wrong_requests_are_told_and_end_the_connection(server, events, message):
    answers = talk(server, *events, until=("none",))
    assert answers[-1].type == "error" and message in answers[-1].data["text"]
    assert all(secret not in answers[-1].data["text"] for secret in ("/home", "Traceback"))


def test_a_bug_is_not_told(server, caplog):
    answers = talk(server, Synthesize("a bug"), until=("none",))
    assert [a.type for a in answers] == ["audio-start", "audio-chunk", "error"] and "secret" not in str(answers)
    assert "secret of the server" in caplog.text


def test_a_client_that_leaves_frees_the_model(server):
    n_closed = server.voice.n_closed
    server.voice.go.clear()
    with socket.create_connection(("127.0.0.1", server.wyoming), timeout=20) as client:
        client.sendall(b'{"type": "synthesize", "data": {"text": "a slow b"}}\n')
        until(lambda: server.worker.running is not None or server.worker.open)
    until(lambda: server.voice.n_closed == n_closed + 1)
    assert talk(server, Synthesize("a"))[-1].type == "audio-stop"


def test_a_client_that_does_not_read_is_left(server, monkeypatch):
    """It holds up nobody else meanwhile."""
    monkeypatch.setattr(connection, "SLOW_S", 0.5)
    n_closed = server.voice.n_closed
    with socket.create_connection(("127.0.0.1", server.wyoming), timeout=20) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        text = "a " * 900
        client.sendall(json.dumps({"type": "synthesize", "data": {"text": text}}).encode() + b"\n")
        assert talk(server, Synthesize("a"))[-1].type == "audio-stop"
        until(lambda: server.voice.n_closed >= n_closed + 2, 15)
        time.sleep(0.1)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(50):
                client.sendall(GOOD)
                time.sleep(0.05)


def test_a_client_that_says_nothing_is_left(server, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.2)
    assert raw(server, b'{"type": "pi') == b""


def test_too_many_clients(server, monkeypatch):
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 1)
    with socket.create_connection(("127.0.0.1", server.wyoming), timeout=20) as first:
        first.sendall(GOOD)
        assert b"pong" in first.recv(100)
        assert b"too many connections" in raw(server, b"")
        (answer,) = talk(server, Describe())  # which was never read
        assert answer.type == "error" and answer.data["code"] == "overloaded_error"
    until(lambda: talk(server, Describe())[0].type == "info")


def test_what_runs_may_end_when_the_server_stops():
    """And a connection without work ends at once."""
    voice = Voice()
    with served({"voice": voice}, has_wyoming=True) as server:
        idle = socket.create_connection(("127.0.0.1", server.wyoming), timeout=20)
        client = socket.create_connection(("127.0.0.1", server.wyoming), timeout=20)
        client.sendall(b'{"type": "synthesize", "data": {"text": "slow a"}}\n')
        until(lambda: server.worker.running is not None)
        import threading

        threading.Timer(0.5, voice.go.set).start()
    with client, idle:
        answer = b""
        while more := client.recv(1 << 16):
            answer += more
        assert b"audio-stop" in answer and idle.recv(10) == b""


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:10200", "not an address for Wyoming"),
        ("tcp://127.0.0.1", "not an address for Wyoming"),
        ("unix:///tmp/x", "not an address for Wyoming"),
        ("tcp://0.0.0.0:10200", "0.0.0.0 can be reached by others, and Wyoming has no key"),
        ("tcp://[::]:10200", ":: can be reached by others"),
        ("tcp://example.org:10200", "'example.org' is not an address"),
    ],
)
def test_addresses(address, message):
    with pytest.raises(UsageError, match=message):
        serve(["a=packaged:bergamot-en-pt"], port=0, wyoming=address)
    assert listener.parse_address("tcp://[::1]:10200") == ("::1", 10_200)
