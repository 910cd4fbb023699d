"""Live transcription by the official client, and WebSockets that do wrong."""

import base64
import json
import socket

import numpy as np
import pytest

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")
pytest.importorskip("openai", reason="it comes with the extra 'test'")
pytest.importorskip("websockets", reason="it comes with the extra 'serve'")

import openai
import soundfile
from serve.serving import Ear, Policy, Voice, served
from serve.test_wyoming_wrong import Activity
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.serve.live import Incoming
from pytorch_to_mlx.serve.realtime import session as sessions
from pytorch_to_mlx.tasks import Word

RATE = 24_000
# openai 3.57 calls websockets in the way that its version 17 is going to drop
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
KIND = "conversation.item.input_audio_transcription"


class LiveEar(Ear):
    """Hears one word for each whole second of audio, and the last at the end."""

    def stream(self, **options):
        self.calls.append(options)
        if options["language"] == "xx":
            raise UsageError("unknown language 'xx'", where="/home/me")
        return LiveStream()


class Update:
    def __init__(self, words):
        self.committed = words
        self.text = "".join(word.text for word in words)


class LiveStream:
    def __init__(self):
        self.n_samples = self.n_words = 0

    def feed(self, samples):
        self.n_samples += len(samples)
        return [self._until(self.n_samples // 16_000)]

    def finish(self):
        return self._until(-(-self.n_samples // 16_000))

    def _until(self, n):
        words = tuple(Word(f" w{i}", i, i + 1) for i in range(self.n_words, n))
        self.n_words = n
        return Update(words)


@pytest.fixture(scope="module")
def server():
    with served({"voice": Voice(), "ear": LiveEar(), "other": LiveEar(), "activity": Activity()}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    url = server.url.replace("http", "ws") + "/v1"
    with openai.OpenAI(base_url=f"{server.url}/v1", websocket_base_url=url, api_key="none") as client:
        yield client


def sound(seconds, loud=(), rate=RATE):
    """Return base64 of 16-bit samples; loud: stretches in seconds."""
    samples = np.zeros(round(seconds * rate))
    for start, end in loud:
        samples[round(start * rate) : round(end * rate)] = 0.6
    return base64.b64encode((samples * 32767).astype("<i2").tobytes()).decode()


def until(connection, *types):
    """Return the events up to the first of one of the types."""
    events = []
    while not events or events[-1].type not in types:
        events.append(connection.recv())
        assert events[-1].event_id
    return events


def set_audio(connection, **audio):
    connection.session.update(session={"type": "transcription", "audio": {"input": audio}})
    return until(connection, "session.updated", "error")[-1]


def test_audio_that_the_client_commits(client, server):
    """Words come before the end; an item is as long as what was appended for it."""
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        [created] = until(connection, "session.created")
        assert created.session.type == "transcription" and created.session.audio.input.turn_detection.threshold == 0.5
        updated = set_audio(
            connection,
            transcription={"model": "gpt-realtime-whisper", "language": "fr", "prompt": "Ça va"},
            turn_detection=None,
        )
        assert updated.session.audio.input.turn_detection is None
        assert updated.session.audio.input.transcription.language == "fr"
        for _ in range(25):
            connection.input_audio_buffer.append(audio=sound(0.1))
        deltas = until(connection, f"{KIND}.delta")
        while deltas[-1].delta != " w1" and deltas[-1].delta != "w0 w1":  # audio that waits is heard at once
            deltas += until(connection, f"{KIND}.delta")
        connection.input_audio_buffer.commit()
        events = deltas + until(connection, f"{KIND}.completed")
        assert [e.type for e in events if e.type != f"{KIND}.delta"] == [
            "input_audio_buffer.committed", "conversation.item.created", f"{KIND}.completed",
        ]  # fmt: skip
        assert "".join(e.delta for e in events if e.type == f"{KIND}.delta") == events[-1].transcript == "w0 w1 w2"
        assert events[-1].usage.seconds == pytest.approx(2.5, abs=0.01)
        identities = {e.item.id if e.type.endswith("created") else e.item_id for e in events}
        assert len(identities) == 1
        connection.input_audio_buffer.append(audio=sound(1.0))
        connection.input_audio_buffer.commit()
        again = until(connection, f"{KIND}.completed")
        [committed] = [e for e in again if e.type == "input_audio_buffer.committed"]
        assert {committed.previous_item_id} == identities and again[-1].transcript == "w0"
    assert server.ear.calls[-1] == {"language": "fr", "initial_prompt": "Ça va"}


def test_speech_that_the_server_finds(client):
    with client.realtime.connect(model="ear") as connection:
        set_audio(connection, turn_detection={"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 200})
        for start in range(0, 8, 2):  # speech from 1.5 to 3.5 s and from 6 to 7 s
            loud = [
                (max(0, a - start), min(2, b - start)) for a, b in ((1.5, 3.5), (6, 7)) if a < start + 2 and b > start
            ]
            connection.input_audio_buffer.append(audio=sound(2.0, loud))
        first, second = until(connection, f"{KIND}.completed"), until(connection, f"{KIND}.completed")
    for events, start_ms, end_ms in ((first, 1500, 3500), (second, 6000, 7000)):
        kinds = [event.type for event in events if not event.type.endswith(".delta")]
        assert kinds == [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
            "conversation.item.created", f"{KIND}.completed",
        ]  # fmt: skip
        [started] = [e for e in events if e.type.endswith("started")]
        [stopped] = [e for e in events if e.type.endswith("stopped")]
        assert (started.audio_start_ms, stopped.audio_end_ms) == pytest.approx((start_ms, end_ms), abs=15)
        assert started.item_id == stopped.item_id == events[-1].item_id
        assert events[-1].usage.seconds == pytest.approx((end_ms - start_ms) / 1000, abs=0.03)


def test_what_is_cleared_is_not_heard(client):
    with client.realtime.connect(model="other") as connection:
        set_audio(connection, turn_detection=None)
        connection.input_audio_buffer.append(audio=sound(0.5))
        connection.input_audio_buffer.clear()
        until(connection, "input_audio_buffer.cleared")
        connection.input_audio_buffer.commit()
        [error] = until(connection, "error")
        assert error.error.code == "input_audio_buffer_commit_empty"


def test_a_transcription_that_fails_leaves_the_session(client):
    with client.realtime.connect(model="ear") as connection:
        set_audio(connection, turn_detection=None, transcription={"model": "ear", "language": "xx"})
        connection.input_audio_buffer.append(audio=sound(0.5))
        error = until(connection, "error")[-1].error
        assert error.message == "unknown language 'xx'"
        set_audio(connection, transcription={"model": "ear"})
        connection.input_audio_buffer.commit()
        until(connection, f"{KIND}.completed", f"{KIND}.failed")


@pytest.mark.parametrize(
    ("session", "message"),
    [
        ({"type": "realtime"}, "sessions of the type 'transcription'"),
        ([], "'session' must be an object"),
        ({"audio": 1}, "must be an object"),
        ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "'type' must be one of"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}, "audio/pcm has 24000 Hz"),
        ({"audio": {"input": {"transcription": {"model": "/etc/passwd"}}}}, "there is no model '/etc/passwd'"),
        ({"audio": {"input": {"transcription": {"language": 1}}}}, "'language' must be a text"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}, "'server_vad' or null"),
        ({"audio": {"input": {"turn_detection": {"threshold": 2}}}}, "'threshold' must be a number"),
        ({"audio": {"input": {"turn_detection": {"silence_duration_ms": -1}}}}, "'silence_duration_ms'"),
    ],
    ids=range(10),
)
def test_wrong_settings_are_told_and_change_nothing(server, session, message):
    with connect(f"{server.url.replace('http', 'ws')}/v1/realtime") as websocket:
        created = json.loads(websocket.recv())
        websocket.send(json.dumps({"type": "session.update", "event_id": "mine", "session": session}))
        error = json.loads(websocket.recv())["error"]
        assert message in error["message"] and error["event_id"] == "mine" and error["type"] == "invalid_request_error"
        websocket.send(json.dumps({"type": "session.update", "session": {"type": "transcription"}}))
        assert json.loads(websocket.recv())["session"] == created["session"]


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "{", "null", "x" * 1000, '{"type": 1}', '{"type": "response.create"}', b"\x00\x01", "[" * 3000,
     '{"type": "input_audio_buffer.append", "audio": "*"}',
     '{"type": "input_audio_buffer.append", "audio": 7}', '{"type": "x", "event_id": "\\ud800"}'],
    ids=range(12),
)  # fmt: skip
def test_other_frames_are_told_and_the_session_goes_on(server, frame):
    with connect(f"{server.url.replace('http', 'ws')}/v1/realtime?model=whisper-1") as websocket:
        websocket.recv()
        websocket.send(frame)
        assert json.loads(websocket.recv())["error"]["type"] == "invalid_request_error"
        websocket.send('{"type": "input_audio_buffer.clear"}')
        assert json.loads(websocket.recv())["type"] == "input_audio_buffer.cleared"


def test_too_much(server, monkeypatch):
    """A frame that is too large, and audio that piles up, end the session with the code that says so."""
    url = f"{server.url.replace('http', 'ws')}/v1/realtime"
    for frame in ("x" * (1 << 20) + "x", json.dumps({"type": "input_audio_buffer.append", "audio": sound(3)})):
        monkeypatch.setattr(sessions, "MAX_BEHIND_BYTES", 100_000)
        with connect(url) as websocket:
            websocket.send(frame)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    websocket.recv(timeout=10)
            assert closed.value.rcvd and closed.value.rcvd.code == 1009
    with connect(f"{url}?model=/etc/passwd") as websocket:
        assert "there is no model '/etc/passwd'" in json.loads(websocket.recv())["error"]["message"]
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=10)


def test_who_may_open_a_session():
    policy = Policy(hosts=frozenset({"127.0.0.1"}), keys=["right"], origins=frozenset({"https://good.example"}))
    with served({"ear": LiveEar()}, policy=policy) as server:
        url = f"{server.url.replace('http', 'ws')}/v1/realtime"

        def status(**options):
            try:
                with connect(url, **options) as websocket:
                    return json.loads(websocket.recv())["type"], websocket.subprotocol
            except InvalidStatus as refused:
                assert "error" in json.loads(refused.response.body)
                return refused.response.status_code

        key = {"Authorization": "Bearer right"}
        protocols = ["realtime", "openai-insecure-api-key.right"]
        assert status() == 401 and status(additional_headers={"Authorization": "Bearer wrong"}) == 401
        assert status(additional_headers=key) == ("session.created", None)
        assert status(subprotocols=protocols) == ("session.created", "realtime")
        assert status(subprotocols=["realtime", "openai-insecure-api-key.wrong"]) == 401
        assert status(additional_headers=key, origin="https://evil.example") == 403
        assert status(additional_headers=key, origin="https://good.example") == ("session.created", None)
        assert status(additional_headers=key, origin=server.url) == ("session.created", None)
        address = server.url.removeprefix("http://").split(":")
        url = "ws://evil.example/v1/realtime"
        assert status(additional_headers=key, sock=socket_to(address)) == 403


def socket_to(address):
    return socket.create_connection((address[0], int(address[1])), timeout=20)


@pytest.mark.parametrize(("encoding", "subtype"), [("pcmu", "ULAW"), ("pcma", "ALAW"), ("pcm", "PCM_16")])
def test_encodings(encoding, subtype):
    """In pieces of any length, against samples that were not encoded."""
    import io

    samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, subtype, "LITTLE", "RAW")
    incoming, data = Incoming(8000, encoding=encoding), file.getvalue()
    parts = [incoming.feed(data[i : i + 37]) for i in range(0, len(data), 37)] + [incoming.feed(b"", is_last=True)]
    decoded = np.concatenate(parts)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(decoded) == 16_000 and np.abs(decoded - expected)[500:-500].max() < 0.02
