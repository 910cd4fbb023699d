"""Wyoming's text to speech: a text as a whole, or as it arrives, spoken as soon as a sentence of it is whole."""

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np

from ...audio.pcm import whole_numbers
from ...text.sentences import split_sentences
from ...text.split import split_text
from ..context import Context
from ..fields import Fields
from ..models import SPEECH, Served, choose_voice
from ..refusals import Refusal
from ..speech import speech_job
from .events import Send
from .info import voice_tag

LONGEST = 1000  # characters that wait for the end of their sentence
CHUNK_S = 0.25  # of sound in an event


class Sentences:
    """Text that arrives in pieces, cut anywhere, and is taken as far as its sentences are whole."""

    def __init__(self, max_characters: int) -> None:
        self._n_left = max_characters
        self._rest = ""  # without the end of its last sentence
        self._whole: asyncio.Queue[str | None] = asyncio.Queue()

    def add(self, text: str) -> None:
        """Add a piece. Raises: Refusal for a text that is too long."""
        self._n_left -= len(text)
        if self._n_left < 0:
            raise Refusal(400, "the text is too long", "text")
        parts = split_sentences(self._rest + text)
        last = max((number for number, part in enumerate(parts) if part.is_sentence), default=0)
        self._put("".join(part.text for part in parts[:last]))
        *long, self._rest = split_text("".join(part.text for part in parts[last:]), LONGEST) or [""]
        self._put("".join(long))

    def add_whole(self, text: str) -> None:
        """Add the whole text. Raises: Refusal for one that cannot be spoken."""
        if not _has_word(text):
            raise Refusal(400, "there is nothing to speak in the text", "text")
        self._whole.put_nowait(text)
        self.end()

    def end(self) -> None:
        """End the text."""
        self._put(self._rest)
        self._whole.put_nowait(None)

    async def take(self) -> str | None:
        """Return the next sentences, None after the last."""
        return await self._whole.get()

    def _put(self, text: str) -> None:
        if _has_word(text):
            self._whole.put_nowait(text)


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)


async def speak(send: Send, context: Context, model: Served, voice: str | None, sentences: Sentences) -> None:
    """Send the sound of the sentences as one stream of audio, while more of them arrive."""
    form = {"rate": model.sample_rate, "width": 2, "channels": 1}
    await send("audio-start", timestamp=0, **form)
    n_samples = 0
    while (text := await sentences.take()) is not None:
        async with aclosing(context.worker.results(speech_job(model, text, voice=voice, stream=True))) as pieces:
            async for piece in pieces:
                for audio in _chunks(piece.audio, round(CHUNK_S * model.sample_rate)):
                    at_ms = round(1000 * n_samples / model.sample_rate)
                    payload = whole_numbers(audio, 16).astype("<i2").tobytes()
                    await send("audio-chunk", payload, timestamp=at_ms, **form)
                    n_samples += len(audio)
    await send("audio-stop", timestamp=round(1000 * n_samples / model.sample_rate))


def _chunks(audio: np.ndarray, size: int) -> list[np.ndarray]:
    """Shapes: audio [L] -> [size] each, the last shorter."""
    return [audio[start : start + size] for start in range(0, len(audio), size)]


def choose_speaker(context: Context, data: Any, selected: str) -> tuple[Served, str | None]:
    """Return the model and the voice, None for its default, that `voice` of an event means.

    selected: the model that the client chose before. Raises: Refusal for a voice that there is not.
    """
    models = context.catalogue.of_task(SPEECH)
    models.sort(key=lambda model: model.name != selected)
    if not models:
        raise Refusal(400, "there is no model here that speaks", code="model_not_found")
    fields = Fields(data if isinstance(data, dict) else {})
    name = fields.text("name", longest=1000, default="")
    tag = fields.text("language", longest=100, default="")
    if name:
        model = next((model for model in models if name in model.voices), models[0])
        return model, choose_voice(model, name)
    for model in models:
        for voice, language in model.voices.items():
            if tag and voice_tag(language).lower().startswith(tag.lower()):
                return model, voice
    if tag:
        raise Refusal(400, f"there is no voice of the language '{tag}'", "voice", "voice_not_found")
    return models[0], None
