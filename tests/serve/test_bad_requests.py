"""What is wrong with a request is said with a 4xx and the error object; no request reads a file or reaches a model."""

import io
import json
import socket

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")

from serve.serving import Policy, served, until

SPEECH, TRANSCRIBE, TRANSLATE = "/v1/audio/speech", "/v1/audio/transcriptions", "/translate"
GOOD = {"model": "voice", "input": "a", "voice": "af_bella"}
PATHS = [
    "/etc/passwd", "../voices/af_bella.safetensors", "file:///etc/passwd", "https://example.org/a.pt", "org/name",
    "packaged:kokoro-82m-int8", "~/x.bin", "C:\\x.bin", "af_bella.pt", "voices/af_bella", "af_bella:1+/etc/passwd:1",
    "af_bella,../x.npy", "./af_bella", "", " ", "." * 300, "\u202eaf_bella",
]  # fmt: skip


def sound(seconds=1.0, rate=16_000, format="WAV", subtype="PCM_16", channels=1):
    file = io.BytesIO()
    soundfile.write(file, np.zeros((int(seconds * rate), channels)), rate, subtype, None, format)
    return file.getvalue()


def refused(answer, *statuses):
    assert answer.status_code in (statuses or (400,)), answer.text
    error = answer.json()["error"]
    assert error if isinstance(error, str) else error["message"] and error["type"] == "invalid_request_error"
    for secret in ("/work", "/home", "Traceback", 'File "'):
        assert secret not in answer.text
    return error


@pytest.fixture(autouse=True)
def no_work(server):
    """No model is called by a request that is refused."""
    before = len(server.voice.calls), len(server.ear.calls)
    yield
    assert (len(server.voice.calls), len(server.ear.calls)) == before


@pytest.mark.parametrize("value", PATHS)
@pytest.mark.parametrize("field", ["model", "voice"])
def test_paths_are_no_models_and_no_voices(server, field, value):
    error = refused(server.client.post(SPEECH, json={**GOOD, field: value}))
    assert error["param"] == field


@pytest.mark.parametrize("value", PATHS)
def test_paths_are_no_models_that_listen(server, value):
    refused(server.client.post(TRANSCRIBE, data={"model": value}, files={"file": sound()}))
    refused(server.client.post(TRANSLATE, json={"q": "a", "source": "en", "target": value or "x"}))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"voice": {"id": "/etc/passwd"}}, "voice"),
        ({"voice": {"id": 3}}, "voice"),
        ({"voice": ["af_bella"]}, "voice"),
        ({"voice": None}, "voice"),
        ({"voice": "af_bella(0.5)+bm_two"}, "voice"),
        ({"voice": "af_bella:x"}, "voice"),
        ({"voice": "af_bella:-1"}, "voice"),
        ({"voice": "+".join(["af_bella"] * 11)}, "voice"),
        ({"voice": "a" * 1001}, "voice"),
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"model": "ear"}, "model"),
        ({"model": "whisper-1"}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": " \n\t"}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["a"]}, "input"),
        ({"input": "a" * 2001}, "input"),
        ({"input": "a\0b"}, "input"),
        ({"speed": 0}, "speed"),
        ({"speed": 0.2}, "speed"),
        ({"speed": 4.1}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"speed": True}, "speed"),
        ({"speed": []}, "speed"),
        ({"speed": {}}, "speed"),
        ({"speed": "nan"}, "speed"),
        ({"speed": "inf"}, "speed"),
        ({"speed": 1e300}, "speed"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**40}, "seed"),
        ({"volume_multiplier": -1}, "volume_multiplier"),
        ({"response_format": "aac"}, "response_format"),
        ({"response_format": "exe"}, "response_format"),
        ({"response_format": "MP3"}, "response_format"),
        ({"response_format": 3}, "response_format"),
        ({"stream_format": "ndjson"}, "stream_format"),
        ({"stream": "perhaps"}, "stream"),
        ({"stream": 7}, "stream"),
        ({"lang_code": 3}, "lang_code"),
        ({"lang_code": "a" * 41}, "lang_code"),
        ({"ref_audio": "/etc/passwd"}, "ref_audio"),
        ({"ref_text": "what is said in it"}, "ref_text"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_fields_of_speech(server, changes, param):
    assert refused(server.client.post(SPEECH, json={**GOOD, **changes}))["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[]", b"null", b"3", b'"a"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{'model': 1}", b'{"a": NaN}',
        b'{"model": "voice", "model": "voice"}', b'{"input": "\\ud800"}', b'{"a": ' + b"[" * 50 + b"]" * 50 + b"}",
        b'{"a": ' + b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", b'{"a": "' + b"a" * 100_000, b"\0" * 1000,
        b'{"a": 1e999}', b'{"a": "\x01"}', b"{} {}", b'{"\\u0000": 1}',
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_bodies_that_are_not_json(server, body):
    refused(server.client.post(SPEECH, content=body, headers={"content-type": "application/json"}))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_speech_takes_json_alone(server, kind):
    """Among them what a page of another origin may send without asking."""
    refused(server.client.post(SPEECH, content=json.dumps(GOOD), headers={"content-type": kind}), 415)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "voice"}, "model"),
        ({}, "model"),
        ({"model": ["ear", "ear"]}, "model"),
        ({"response_format": "docx"}, "response_format"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"temperature": "1.5"}, "temperature"),
        ({"temperature": "-0.1"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"stream": "maybe"}, "stream"),
        ({"language": "a" * 50}, "language"),
        ({"prompt": "a" * 10_001}, "prompt"),
        ({"response_format": "verbose_json", "timestamp_granularities[]": "year"}, "timestamp_granularities"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"response_format": "verbose_json", "timestamp_granularities": ["word", "x"]}, "timestamp_granularities"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_fields_of_transcription(server, fields, param):
    data = {**({"model": "ear"} if fields else {}), **fields}
    assert refused(server.client.post(TRANSCRIBE, data=data, files={"file": sound()}))["param"] == param


LYING_WAV = sound(0.1)[:40] + (10**9).to_bytes(4, "little") + sound(0.1)[44:]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b"\0" * 5000, b"RIFF", b"RIFF" + b"\xff" * 100, sound()[:1000], LYING_WAV, b"<html>", sound(61),
        b"#EXTM3U\n/etc/passwd\n", b"ffmpeg concat\nfile /etc/passwd", b"ID3" + b"\xff" * 400,
        sound(0), sound(0.1, rate=1),
        sound(0.1, channels=40), b"\x89PNG\r\n\x1a\n" * 9, sound(0.2, format="OGG", subtype="VORBIS")[:200],
        sound(100, 8000, "FLAC"), sound(120, 8000, "OGG", "VORBIS"),
    ],
    ids=lambda data: f"{data[:8]!r}-{len(data)}",
)  # fmt: skip
def test_files_that_are_not_sound(server, data):
    """Cut, lying, empty and too long ones: 61 s are too long here, however small the file."""
    error = refused(server.client.post(TRANSCRIBE, data={"model": "ear"}, files={"file": data}), 400, 415)
    assert error["param"] == "file"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=a", b"no boundary"),
        ("multipart/form-data; boundary=a", b"--a\r\n\r\nx\r\n--a--"),
        ("multipart/form-data; boundary=a", b'--a\r\nContent-Disposition: form-data; name="model"\r\n\r\near'),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--\r\n"),
        ("multipart/form-data; boundary=a; charset=undefined", b"--a--\r\n"),
        ("multipart/form-data; boundary=a; charset=hex", b"--a--\r\n"),
        ("multipart/form-data; boundary=" + "a" * 5000, b"--a--\r\n"),
        ("application/x-www-form-urlencoded", b"model=ear&file=/etc/passwd"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % i for i in range(100))),
        ("application/x-www-form-urlencoded", b"a" * 200 + b"=1"),
        ("application/json", b'{"model": "ear", "file": "/etc/passwd"}'),
        ("text/plain", b"model=ear"),
    ],
    ids=lambda value: str(value[:40]),
)
def test_forms_that_are_none(server, kind, body):
    refused(server.client.post(TRANSCRIBE, content=body, headers={"content-type": kind}), 400, 415)


def test_forms_with_too_much(server):
    one = sound()
    refused(server.client.post(TRANSCRIBE, data={"model": "ear"}, files=[("file", one), ("file", one)]))
    refused(server.client.post(TRANSCRIBE, data={f"f{i}": "1" for i in range(50)}, files={"file": one}))
    refused(server.client.post(TRANSCRIBE, data={"model": "ear", "prompt": "a" * (2 << 20)}, files={"file": one}))
    refused(server.client.post(TRANSCRIBE, data={"model": "ear"}, files={"file": b"a" * 3_100_000}), 413)
    refused(server.client.post(SPEECH, json={**GOOD, "input": "a" * (1 << 20)}), 413)


def test_a_body_that_says_it_is_small(server):
    """It is counted while it is read; a length that is not a number, or two of them, ends at once."""

    def much():
        for _ in range(100):
            yield b" " * 20_000

    refused(server.client.post(SPEECH, content=much(), headers={"content-type": "application/json"}), 413)
    compressed = {"content-type": "application/json", "content-encoding": "gzip"}
    refused(server.client.post(SPEECH, content=b"x", headers=compressed), 415)


@pytest.mark.parametrize(
    "changes",
    [
        {"q": None}, {"source": None}, {"target": None}, {"q": ""}, {"q": []}, {"q": [3]}, {"q": {}}, {"q": ["a", ""]},
        {"q": "a" * 2001}, {"q": ["a" * 1500, "b" * 1500]}, {"source": "auto"}, {"source": "xx"}, {"source": 3},
        {"target": "xx"}, {"target": []}, {"format": "html"}, {"alternatives": 99}, {"alternatives": "x"},
    ],
    ids=lambda changes: str(changes)[:40],
)  # fmt: skip
def test_translations_have_libretranslates_errors(server, changes):
    body = {"q": "a", "source": "en", "target": "pt", **changes}
    assert isinstance(refused(server.client.post(TRANSLATE, json=body)), str)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/v1", 404), ("GET", "/docs", 404), ("GET", "/openapi.json", 404),
        ("GET", "/%00", 404),
        ("GET", "/../../etc/passwd", 404), ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404), ("GET", "//health", 404),
        ("GET", "/health%2f", 404), ("POST", "/v1/audio/speech/", 404), ("GET", "/v1/models/none", 404),
        ("GET", SPEECH, 405),
        ("PUT", SPEECH, 405), ("OPTIONS", SPEECH, 405), ("DELETE", "/v1/models/voice", 405),
        ("POST", "/v1/models", 405),
        ("PATCH", "/translate", 405), ("TRACE", "/health", 405), ("GET", "/v1/audio/voices?model=x", 400),
        ("GET", "/v1/audio/voices?model=/etc/passwd", 400),
    ],
)  # fmt: skip
def test_paths_and_methods(server, method, path, status):
    answer = server.client.request(method, path, follow_redirects=False)
    assert answer.status_code == status and answer.json()["error"] and "root:" not in answer.text, answer.text


HOSTS = {
    "127.0.0.1": 200, "localhost": 200, "LOCALHOST:8000": 200, "127.0.0.1:1": 200, "[::1]": 200, "[::1]:80": 200,
    "127.0.0.1.evil.com": 403, "localhost.evil.com": 403, "evil.com": 403, "127.0.0.2": 403, "0.0.0.0": 403, "": 403,
    "127.0.0.1:80@evil.com": 403, "evil.com:127.0.0.1": 403, "[::1].evil.com": 403, "[::2]": 403, "localhost:": 403,
    "localhost:x": 403, "local host": 403, "127.1": 403, "2130706433": 403, "::1": 403, "[::1": 403, "[::1]80": 403,
}  # fmt: skip


@pytest.mark.parametrize(("host", "status"), HOSTS.items())
def test_whole_names_of_the_host(server, host, status):
    answer = server.client.get("/health", headers={"host": host})
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["type"] == "invalid_request_error"


HEAD = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\n"


def raw(server, data: bytes) -> bytes:
    with socket.create_connection(server.url.removeprefix("http://").split(":"), timeout=5) as connection:
        connection.sendall(data)
        answer = b""
        while more := connection.recv(65536):
            answer += more
            if b"\r\n\r\n" in answer and b"}" in answer:
                break
        return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET /health HTTP/1.0\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ],
    ids=lambda data: repr(data[:40]),
)  # fmt: skip
def test_requests_that_are_not_http(server, data):
    assert raw(server, data).split(b" ")[1].startswith(b"4")
    assert server.client.get("/health").status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.com", "null", "http://127.0.0.1", "http://localhost:1", "x"])
def test_pages_of_other_origins(server, origin):
    answer = server.client.post(SPEECH, json=GOOD, headers={"origin": origin})
    refused(answer, 403)
    assert "access-control-allow-origin" not in answer.headers
    read = server.client.get("/v1/models", headers={"origin": origin})
    assert "access-control-allow-origin" not in read.headers


def test_a_body_that_does_not_come(monkeypatch):
    from pytorch_to_mlx.serve import guard

    monkeypatch.setattr(guard, "BODY_S", 0.2)
    with served() as server:
        head = HEAD + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        answer = raw(server, head)
        assert answer.startswith(b"HTTP/1.1 408") and b'"error"' in answer
        until(lambda: server.client.get("/health").status_code == 200)


def test_keys_origins_and_lists():
    policy = Policy(
        hosts=frozenset({"127.0.0.1"}), origins=frozenset({"https://app.example"}), keys=("one", "two"),
        lists_are_public=True,
    )  # fmt: skip
    with served(policy=policy) as server:
        client = server.client
        for header in (None, "Bearer", "Bearer on", "Bearer one two", "Basic one", "one", "Bearer ONE"):
            answer = client.get("/metrics", headers={} if header is None else {"authorization": header})
            assert answer.status_code == 401 and answer.json()["error"]["type"] == "authentication_error", header
        for key in ("one", "two"):
            assert client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 200
        for path in ("/health", "/ready", "/v1/models", "/v1/audio/voices", "/v1/audio/models", "/languages"):
            assert client.get(path).status_code == 200, path
        body = {"q": "a", "source": "en", "target": "pt"}
        assert client.post(TRANSLATE, json=body).status_code == 401
        assert client.post(TRANSLATE, json={**body, "api_key": "one"}).json() == {"translatedText": "A"}
        assert client.post(SPEECH, json=GOOD).status_code == 401
        page = {"origin": "https://app.example"}
        preflight = client.options(SPEECH, headers={**page, "access-control-request-method": "POST"})
        assert preflight.status_code == 204 and "authorization" in preflight.headers["access-control-allow-headers"]
        answer = client.post(SPEECH, json=GOOD, headers={**page, "authorization": "Bearer one"})
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://app.example"
        assert client.post(SPEECH, json=GOOD, headers={"origin": "https://app.example.evil"}).status_code == 403
        assert client.options(SPEECH, headers={"origin": "https://evil.com"}).status_code == 403
