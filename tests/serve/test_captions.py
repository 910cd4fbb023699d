"""Kokoro-FastAPI's routes: words with their times beside the sound, phonemes, and speech of phonemes."""

import base64
import io
import json

import pytest

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")

import soundfile
from serve.serving import RATE, Ear, served
from serve.test_bad_requests import PATHS, refused

from pytorch_to_mlx.audio import wav

CAPTIONED = "/dev/captioned_speech"
WORDS = [
    {"word": word, "start_time": number / 10, "end_time": (number + 1) / 10}
    for number, word in enumerate(["one", "two", "three"])
]


def flat(captions):
    return [word for caption in captions for word in caption["timestamps"]]


@pytest.mark.parametrize("format", ["pcm", "wav", "mp3", "opus", "flac"])
def test_captions(server, format):
    """In lines or as one object, the words are the same, and so is the sound as without them."""
    body = {"input": "one two three", "response_format": format}
    answer = server.client.post(CAPTIONED, json=body)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    whole = server.client.post(CAPTIONED, json={**body, "stream": False}).json()
    plain = server.client.post("/v1/audio/speech", json={**body, "model": "voice", "voice": "alloy"})
    assert flat(lines) == whole["timestamps"] == WORDS
    assert {line["audio_format"] for line in [*lines, whole]} == {plain.headers["content-type"]}
    assert len(lines) > 1 or format in ("mp3", "opus", "flac")
    sound = b"".join(base64.b64decode(line["audio"]) for line in lines)
    if format != "opus":  # whose streams have a number of their own
        assert sound == base64.b64decode(whole["audio"]) == plain.content
    assert len(sound) == len(plain.content)


def test_without_times_and_with_defaults(server):
    whole = server.client.post(CAPTIONED, json={"input": "one", "stream": False, "return_timestamps": False}).json()
    assert whole["timestamps"] is None and whole["audio_format"] == "audio/mpeg"
    assert soundfile.info(io.BytesIO(base64.b64decode(whole["audio"]))).format == "MP3"
    assert server.voice.calls[-1]["voice"] is None
    server.client.post(CAPTIONED, json={"input": "one", "voice": "af_bella(1)+bm_two(1)"})
    assert server.voice.calls[-1]["voice"] == "af_bella:1+bm_two:1"


def test_phonemes_there_and_back(server):
    answer = server.client.post("/dev/phonemize", json={"text": "one two", "language": "a"}).json()
    assert answer == {"phonemes": "ONE TWO", "tokens": []}
    spoken = server.client.post("/dev/generate_from_phonemes", json={"phonemes": answer["phonemes"], "voice": "bm_two"})
    samples, rate = wav.read(spoken.content)
    assert (len(samples), rate, spoken.headers["content-type"]) == (0.2 * RATE, RATE, "audio/wav")
    assert server.voice.calls[-1]["text"] == "one two" and server.voice.calls[-1]["voice"] == "bm_two"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CAPTIONED, {}, "input"),
        (CAPTIONED, {"input": " "}, "input"),
        (CAPTIONED, {"input": "a", "response_format": "aac"}, "response_format"),
        (CAPTIONED, {"input": "a", "ref_audio": "/etc/passwd"}, "ref_audio"),
        (CAPTIONED, {"input": "a", "return_timestamps": "x"}, "return_timestamps"),
        ("/dev/phonemize", {}, "text"),
        ("/dev/phonemize", {"text": "  "}, "text"),
        ("/dev/phonemize", {"text": "a", "language": "xx"}, None),
        ("/dev/phonemize", {"text": "a", "model": "/etc/passwd"}, "model"),
        ("/dev/generate_from_phonemes", {"phonemes": "a"}, "voice"),
        ("/dev/generate_from_phonemes", {"voice": "alloy"}, "phonemes"),
        *[("/dev/generate_from_phonemes", {"phonemes": "a", "voice": path}, "voice") for path in PATHS],
    ],
)
def test_wrong_requests(server, path, body, param):
    assert refused(server.client.post(path, json=body))["param"] == param


def test_a_server_that_does_not_speak():
    with served({"ear": Ear()}) as server:
        assert "there is no model" in refused(server.client.post("/dev/phonemize", json={"text": "a"}))["message"]
