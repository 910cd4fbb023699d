"""How a session transcribes: what a client sets by session.update, and how that is told."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..fields import Fields
from ..models import ACTIVITY, TRANSCRIPTION, Catalogue, Served
from ..refusals import Refusal

RATES = {"audio/pcm": 24_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}
MAX_MS = 10_000  # of padding and of silence


@dataclass(frozen=True)
class Turns:
    """When speech begins and ends an item: OpenAI's server_vad, by a model that finds voice activity."""

    model: str
    threshold: float = 0.5
    prefix_padding_ms: float = 300
    silence_duration_ms: float = 500

    @property
    def options(self) -> dict[str, float]:
        """Return the options of the model's stream."""
        return {
            "threshold": self.threshold,
            "speech_pad_ms": self.prefix_padding_ms,
            "min_silence_duration_ms": self.silence_duration_ms,
        }

    def describe(self) -> dict[str, Any]:
        """Return OpenAI's object."""
        numbers = {name: getattr(self, name) for name in ("threshold", "prefix_padding_ms", "silence_duration_ms")}
        return {"type": "server_vad", **numbers}


@dataclass(frozen=True)
class Settings:
    """The settings of one session. turns: None where the client commits the audio itself."""

    model: Served
    turns: Turns | None
    format: str = "audio/pcm"
    language: str | None = None
    prompt: str | None = None

    @classmethod
    def of(cls, catalogue: Catalogue, model: str | None) -> "Settings":
        """Return those of a new session; without a name its model is the first. Raises: Refusal."""
        models = catalogue.of_task(TRANSCRIPTION)
        if model is None and not models:
            raise Refusal(400, "there is no model here that transcribes", "model", "model_not_found")
        detectors = catalogue.of_task(ACTIVITY)
        turns = Turns(detectors[0].name) if detectors else None
        return cls(models[0] if model is None else catalogue.find(model, TRANSCRIPTION), turns)

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of the model's stream."""
        return {"language": self.language, "initial_prompt": self.prompt}

    def update(self, session: Any, catalogue: Catalogue) -> "Settings":
        """Return the settings with those that an update has. Raises: Refusal."""
        fields = _object(session, "session")
        kind = Fields(fields).text("type", longest=100, default="transcription")
        if kind != "transcription":
            raise Refusal(400, "sessions of the type 'transcription' are served", "session.type")
        sound = _object(_object(fields.get("audio"), "session.audio").get("input"), "session.audio.input")
        settings = self
        if "format" in sound:
            settings = replace(settings, format=_format(sound["format"]))
        if "transcription" in sound:
            settings = settings._transcription(_object(sound["transcription"], "transcription"), catalogue)
        if "turn_detection" in sound:
            settings = replace(settings, turns=_turns(sound["turn_detection"], catalogue))
        return settings

    def _transcription(self, data: Mapping[str, Any], catalogue: Catalogue) -> "Settings":
        fields = Fields(data)
        name = fields.text("model", longest=1000, default=self.model.name)
        return replace(
            self,
            model=catalogue.find(name, TRANSCRIPTION),
            language=fields.text("language", longest=40, default="").strip() or None,
            prompt=fields.text("prompt", longest=10_000, default="") or None,
        )

    def describe(self, identity: str) -> dict[str, Any]:
        """Return OpenAI's object of the session."""
        transcription = {"model": self.model.name, "language": self.language, "prompt": self.prompt}
        sound = {
            "format": {"type": self.format, **({"rate": RATES[self.format]} if self.format == "audio/pcm" else {})},
            "transcription": {name: value for name, value in transcription.items() if value is not None},
            "turn_detection": None if self.turns is None else self.turns.describe(),
            "noise_reduction": None,
        }
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": identity,
            "audio": {"input": sound},
        }


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(400, f"'{name}' must be an object", name)
    return value


def _format(value: Any) -> str:
    fields = Fields(_object(value, "format"))
    kind = fields.choice("type", tuple(RATES), "audio/pcm")
    if fields.number("rate", default=RATES[kind], low=0, high=1e6) != RATES[kind]:
        raise Refusal(400, f"{kind} has {RATES[kind]} Hz", "session.audio.input.format.rate")
    return kind


def _turns(value: Any, catalogue: Catalogue) -> Turns | None:
    if value is None:
        return None
    fields = Fields(_object(value, "turn_detection"))
    param = "session.audio.input.turn_detection"
    if fields.text("type", longest=100, default="server_vad") != "server_vad":
        raise Refusal(400, "turn_detection is 'server_vad' or null here", param)
    detectors = catalogue.of_task(ACTIVITY)
    if not detectors:
        raise Refusal(400, "there is no model here that finds voice activity: set turn_detection to null", param)
    return Turns(
        detectors[0].name,
        fields.number("threshold", default=0.5, low=0.01, high=0.99),
        fields.number("prefix_padding_ms", default=300, low=0, high=MAX_MS),
        fields.number("silence_duration_ms", default=500, low=0, high=MAX_MS),
    )
