"""Wyoming by its package's own client: all four services as Home Assistant uses them, and clients that do wrong."""

import asyncio

import numpy as np
import pytest

pytest.importorskip("starlette", reason="it comes with the extra 'serve'")
pytest.importorskip("wyoming", reason="it comes with the extra 'test'")

from serve.serving import RATE, Ear, Voice, served
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeVoice
from wyoming.wake import Detect, Detection, NotDetected

from pytorch_to_mlx.serve.wyoming.speaking import Sentences
from pytorch_to_mlx.tasks import Detection as Heard


class Spotter:
    """Hears "loud" in a block that is loud, and "two" with it."""

    @property
    def labels(self):
        return ["loud", "two_words"]

    def listen(self, blocks, /, **rules):
        raise NotImplementedError("the server takes streams")

    def stream(self, **rules):
        assert rules == {"refractory_s": 2.0}
        return SpotterStream()


class SpotterStream:
    def __init__(self):
        self.n_samples, self.has_heard = 0, False

    def feed(self, samples):
        loud = np.flatnonzero(np.abs(samples) > 0.4)
        times = [(self.n_samples + int(loud[0])) / 16_000] if len(loud) and not self.has_heard else []
        self.has_heard |= len(loud) > 0
        self.n_samples += len(samples)
        return [Heard(label, time, 0.9) for time in times for label in Spotter().labels]


@pytest.fixture(scope="module")
def server():
    with served({"voice": Voice(), "ear": Ear(), "spotter": Spotter()}, has_wyoming=True) as server:
        yield server


def talk(server, *events, until=("transcript-stop", "audio-stop", "error", "not-detected", "pong", "info")):
    """Send events on one connection; return what comes until one that ends an answer, or the connection ends."""

    async def exchange():
        async with AsyncTcpClient("127.0.0.1", server.wyoming, read_timeout=20) as client:
            for event in events:
                await client.write_event(event.event())
            answers = []
            while (answer := await client.read_event()) is not None:
                answers.append(answer)
                if answer.type in until:
                    break
            return answers

    return asyncio.run(exchange())


def recording(seconds=3.0, *, rate=16_000, channels=1, loud_at_s=None, start_ms=0):
    """Return a recording as Home Assistant sends it, in chunks of 1,024 samples."""
    samples = 0.01 * np.random.default_rng(0).standard_normal((int(seconds * rate), channels))
    if loud_at_s is not None:
        samples[int(loud_at_s * rate) :] = 0.5
    data = (samples * 32767).astype("<i2").tobytes()
    size = 1024 * 2 * channels
    chunks = [
        AudioChunk(rate, 2, channels, data[at : at + size], timestamp=start_ms + at * 1000 // (2 * channels * rate))
        for at in range(0, len(data), size)
    ]
    return [AudioStart(rate, 2, channels), *chunks, AudioStop()]


def sound_of(answers):
    return np.frombuffer(b"".join(AudioChunk.from_event(a).audio for a in answers if a.type == "audio-chunk"), "<i2")


def test_info_has_every_voice_word_and_language(server):
    info = Info.from_event(talk(server, Describe())[0])
    [tts], [asr], [wake] = info.tts, info.asr, info.wake
    assert {voice.name: voice.languages for voice in tts.voices} == {
        "af_alloy": ["en-US"], "af_bella": ["en-US"], "bm_two": ["en-GB"],
    }  # fmt: skip
    assert tts.supports_synthesize_streaming and asr.supports_transcript_streaming and tts.installed
    assert [(model.name, model.languages) for model in asr.models] == [("ear", ["en", "fr"])]
    assert [(model.name, model.phrase) for model in wake.models] == [("loud", "loud"), ("two_words", "two words")]
    assert Pong.from_event(talk(server, Ping("hello"))[0]).text == "hello"


@pytest.mark.parametrize(
    ("voice", "name"),
    [
        (None, None),
        (SynthesizeVoice("bm_two"), "bm_two"),
        (SynthesizeVoice(language="en-GB"), "bm_two"),
        (SynthesizeVoice(language="en"), "af_alloy"),
        (SynthesizeVoice("af_bella(2)+bm_two(1)"), "af_bella:2+bm_two:1"),
    ],
)
def test_a_text_is_spoken(server, voice, name):
    answers = talk(server, Synthesize("one two three", voice))
    assert [a.type for a in answers] == ["audio-start", *["audio-chunk"] * 3, "audio-stop"]
    assert AudioStart.from_event(answers[0]).rate == RATE and answers[2].data["timestamp"] == 100
    samples = sound_of(answers)
    assert len(samples) == 0.3 * RATE and abs(samples).max() == pytest.approx(0.5 * 32768, abs=2)
    assert server.voice.calls[-1]["voice"] == name and server.voice.calls[-1]["text"] == "one two three"


def test_a_text_that_arrives_is_spoken_sentence_by_sentence(server):
    """The pieces are cut within words; the whole text, which comes too, is not spoken again."""
    n_before = len(server.voice.calls)
    pieces = ["Hel", "lo the", "re. How a", "re you, Dr", ". Who? 4", "2. ", "…"]
    events = [SynthesizeStart(SynthesizeVoice("bm_two")), *map(SynthesizeChunk, pieces), Synthesize("".join(pieces))]
    answers = talk(server, *events, SynthesizeStop(), until=("synthesize-stopped", "error"))
    assert [a.type for a in answers if a.type != "audio-chunk"] == ["audio-start", "audio-stop", "synthesize-stopped"]
    texts = [call["text"] for call in server.voice.calls[n_before:]]
    assert texts == ["Hello there. ", "How are you, Dr. Who? 42. …"]
    assert len(sound_of(answers)) == 9 * RATE // 10


def test_sound_comes_before_the_text_has_ended(server):
    async def exchange():
        async with AsyncTcpClient("127.0.0.1", server.wyoming, read_timeout=20) as client:
            for event in (SynthesizeStart(), SynthesizeChunk("First. Then")):
                await client.write_event(event.event())
            first = [await client.read_event() for _ in range(2)]
            await client.write_event(SynthesizeStop().event())
            rest = [await client.read_event() for _ in range(3)]
            return [[event.type for event in events if event] for events in (first, rest)]

    assert asyncio.run(exchange()) == [
        ["audio-start", "audio-chunk"],
        ["audio-chunk", "audio-stop", "synthesize-stopped"],
    ]


def test_long_text_without_an_end_is_bounded():
    async def run():
        sentences = Sentences(1_000_000)
        for _ in range(3000):
            sentences.add("word " * 3)
        sentences.end()
        texts = []
        while (text := await sentences.take()) is not None:
            texts.append(text)
        return texts

    texts = asyncio.run(run())
    assert "".join(texts) == "word " * 9000 and max(map(len, texts)) <= 1000


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2), (8_000, 1)])
def test_a_recording_is_transcribed(server, rate, channels):
    request = Transcribe(language="fr-CA", transcript_names=["Ça"], transcript_terms=["va"])
    answers = talk(server, request, *recording(rate=rate, channels=channels))
    kinds = ["transcript-start", *["transcript-chunk"] * 3, "transcript", "transcript-stop"]
    assert [a.type for a in answers] == kinds
    transcript = Transcript.from_event(answers[-2])
    assert transcript.text == "".join(TranscriptChunk.from_event(a).text for a in answers[1:4]).strip() == "w0 w1 w2"
    assert transcript.language == "fr"
    assert server.ear.calls[-1] == {"language": "fr", "initial_prompt": "Ça, va"}


def test_no_audio_has_an_empty_transcript(server):
    n_calls = len(server.ear.calls)
    for events in ([AudioStop()], [AudioStart(16_000, 2, 1), AudioStop()], [Transcribe(), AudioStop()]):
        answers = talk(server, *events)
        assert Transcript.from_event(answers[-2]).text == "" and len(server.ear.calls) == n_calls


def test_words_that_wake(server):
    audio = recording(2.0, loud_at_s=1.0, start_ms=5000)
    answers = talk(server, Detect(["loud"]), *audio[:-1], until=("detection",))
    detection = Detection.from_event(answers[-1])
    assert [a.type for a in answers] == ["detection"] and detection.name == "loud"
    assert detection.timestamp == pytest.approx(6000, abs=2)
    both = talk(server, Detect(), *audio, Synthesize("a"))  # which waits for what is before it
    assert [a.data.get("name") for a in both[:3]] == ["loud", "two_words", None]
    silence = talk(server, Detect(), *recording(1.0))
    assert [NotDetected.is_type(a.type) for a in silence] == [True]


def test_one_connection_is_used_again(server):
    answers = talk(
        server, Synthesize("a"), Synthesize("b c"), Transcribe(), *recording(1.0), until=("transcript-stop",)
    )
    kinds = [a.type for a in answers if not a.type.startswith("transcript-")]
    assert kinds == [
        "audio-start",
        "audio-chunk",
        "audio-stop",
        "audio-start",
        *["audio-chunk"] * 2,
        "audio-stop",
        "transcript",
    ]
