"""The official client of OpenAI against the server: every format, events, retries, what it makes of errors."""

import io
import json

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")
pytest.importorskip("openai", reason="it comes with the extra 'test'")

import openai
from serve.serving import RATE, served, until

from pytorch_to_mlx.audio import wav


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def recording(seconds=3.0, rate=16_000, format="WAV", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(
        file, 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate)), rate, subtype, None, format
    )
    return file.getvalue()


def with_length(flac):
    """A FLAC file that was streamed does not tell its length, without which libsndfile does not read it."""
    assert flac[21] & 15 == 0 and flac[22:26] == bytes(4)
    return flac[:22] + (3 * RATE // 10).to_bytes(4, "big") + flac[26:]


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "opus", "pcm"])
def test_speech_in_every_format(client, format):
    """What comes is decoded by libsndfile, and is as long and as loud as what was made."""
    answer = client.audio.speech.create(model="voice", voice="af_bella", input="one two three", response_format=format)
    data = answer.read()
    if format == "pcm":
        samples, rate = np.frombuffer(data, "<i2") / 32768, RATE
    else:
        samples, rate = wav.read(with_length(data) if format == "flac" else data)
    assert rate == RATE and np.abs(samples).max() == pytest.approx(0.5, abs=0.05)
    assert len(samples) == pytest.approx(0.3 * RATE, abs=4 * 1152 if format in ("mp3", "opus") else 0)
    assert "chunked" in answer.response.headers["transfer-encoding"]


def test_the_default_is_mp3(client):
    answer = client.audio.speech.create(model="tts-1", voice="alloy", input="one")
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert soundfile.info(io.BytesIO(answer.read())).format == "MP3"


def test_a_stream_is_the_same_file(client, server):
    options = {
        "model": "voice",
        "voice": {"id": "bm_two"},
        "input": "a b c d e f",
        "response_format": "wav",
        "speed": 1.5,
    }
    with client.audio.speech.with_streaming_response.create(**options) as answer:
        streamed = b"".join(answer.iter_bytes())
    assert streamed == client.audio.speech.create(**options).read()
    samples, _ = wav.read(streamed)  # whose length of all ones is read as a stream's
    assert len(samples) == 0.6 * RATE
    call = server.voice.calls[-1]
    assert call == {"text": "a b c d e f", "voice": "bm_two", "speed": 1.5, "lang_code": None, "stream": True}


def test_events_hold_the_file(client):
    options = {"model": "voice", "voice": "alloy", "input": "a b c", "response_format": "pcm"}
    with client.audio.speech.with_streaming_response.create(**options, stream_format="sse") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    import base64

    assert [e["type"] for e in events] == ["speech.audio.delta"] * 3 + ["speech.audio.done"]
    assert b"".join(base64.b64decode(e["audio"]) for e in events[:-1]) == client.audio.speech.create(**options).read()
    assert events[-1]["usage"] == {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_transcription(client, format):
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(format, "PCM_16")
    file = recording(3.0, 24_000, format, subtype)
    answer = client.audio.transcriptions.create(model="whisper-1", file=("../../etc/passwd", file))
    assert answer.text.startswith("w0 w1 w2") and answer.usage.type == "duration"


def test_options_of_a_transcription_arrive(client, server):
    client.audio.transcriptions.create(
        model="ear", file=recording(), language="fr", prompt="Ça va", temperature=0.4, response_format="text"
    )
    assert server.ear.calls[-1] == {
        "task": "transcribe", "language": "fr", "initial_prompt": "Ça va", "temperature": 0.4, "word_timestamps": False,
    }  # fmt: skip
    with pytest.warns(DeprecationWarning):
        client.audio.translations.create(model="ear", file=recording())
    assert server.ear.calls[-1]["task"] == "translate" and server.ear.calls[-1]["temperature"] is None


def test_text_and_subtitles(client):
    formats = {
        format: client.audio.transcriptions.create(model="ear", file=recording(2), response_format=format)
        for format in ("text", "srt", "vtt")
    }
    assert formats["text"] == "w0 w1\n"
    assert formats["srt"] == "1\n00:00:00,000 --> 00:00:01,000\nw0\n\n2\n00:00:01,000 --> 00:00:02,000\nw1\n\n"
    assert formats["vtt"].startswith("WEBVTT\n\n00:00.000 --> 00:01.000\nw0\n")


@pytest.mark.parametrize(
    ("granularities", "has_words", "has_segments"),
    [(None, False, True), (["segment"], False, True), (["word"], True, False), (["word", "segment"], True, True)],
)
def test_verbose(client, granularities, has_words, has_segments):
    more = {} if granularities is None else {"timestamp_granularities": granularities}
    answer = client.audio.transcriptions.create(model="ear", file=recording(), response_format="verbose_json", **more)
    assert (answer.text, answer.language, float(answer.duration)) == ("w0 w1 w2", "french", 3.0)
    assert bool(answer.words) == has_words and bool(answer.segments) == has_segments
    if has_words:
        assert (answer.words[1].word, answer.words[1].start, answer.words[1].end) == ("w1", 1.0, 1.5)
    if has_segments:
        part = answer.segments[2]
        assert (part.id, part.start, part.end, part.text, part.tokens) == (2, 2.0, 3.0, " w2", [52])
        assert (part.avg_logprob, part.no_speech_prob, part.compression_ratio) == (-0.25, 0.01, 1.25)


def test_events_of_a_transcription(client):
    events = list(client.audio.transcriptions.create(model="ear", file=recording(), stream=True))
    assert [e.type for e in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert "".join(e.delta for e in events[:-1]) == events[-1].text == "w0 w1 w2"


def test_lists(client):
    names = [model.id for model in client.models.list()]
    assert names == ["voice", "ear", "en-pt", "nllb"] and client.models.retrieve("voice").id == "voice"
    with pytest.raises(openai.NotFoundError, match="no model 'org/other'"):
        client.models.retrieve("org/other")


def test_errors_are_the_clients_own(client):
    with pytest.raises(openai.BadRequestError) as wrong:
        client.audio.speech.create(model="voice", voice="/etc/passwd", input="a")
    assert wrong.value.body == {
        "message": "there is no voice '/etc/passwd'; /v1/audio/voices lists them", "type": "invalid_request_error",
        "param": "voice", "code": "voice_not_found",
    }  # fmt: skip
    with pytest.raises(openai.BadRequestError, match="this text is refused") as wrong:
        client.audio.speech.create(model="voice", voice="alloy", input="(((")
    assert "/home" not in str(wrong.value) and "--this" not in str(wrong.value)


def test_a_bug_is_not_tried_again(server, caplog):
    """Nothing of it is told to the client."""
    before = len(server.voice.calls)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as wrong:
            client.audio.speech.create(model="voice", voice="alloy", input="bug")
    assert len(server.voice.calls) == before + 1 and "secret" not in str(wrong.value)
    until(lambda: "secret of the server" in caplog.text)


def test_a_bug_on_the_way_breaks_the_answer(server, client):
    """Sound that is cut must not look whole; in events it is an error of its own."""
    with pytest.raises(openai.APIConnectionError):
        client.audio.speech.create(model="voice", voice="alloy", input="a b bug", response_format="wav").read()
    answer = client.audio.speech.create(model="voice", voice="alloy", input="a bug", stream_format="sse").read()
    assert b'"error": {"message": "this is a bug of the server' in answer and b"done" not in answer


def test_a_full_queue_is_tried_again_until_there_is_room():
    with served(n_waiting_max=1) as server:
        voice = server.voice
        body = {"model": "voice", "voice": "alloy", "input": "slow", "response_format": "pcm"}
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=20) as client:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(6) as pool:
                results = [pool.submit(client.audio.speech.create, **body)]
                until(lambda: server.worker.running is not None)
                results += [pool.submit(client.audio.speech.create, **body) for _ in range(5)]
                until(lambda: len(server.worker.waiting) == 1)
                with pytest.raises(openai.InternalServerError, match="waiting already") as full:
                    client.audio.speech.create(**body)
                assert 1 <= int(full.value.response.headers["retry-after"]) <= 30
                patient = pool.submit(client.with_options(max_retries=4).audio.speech.create, **body)
                voice.go.set()
                outcomes = [result.exception() for result in results]
                assert len(patient.result().read()) == RATE // 10 * 2
        assert all(e is None or isinstance(e, openai.InternalServerError) for e in outcomes)
        assert outcomes.count(None) >= 2
