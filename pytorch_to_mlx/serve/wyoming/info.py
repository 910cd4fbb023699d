"""What a server offers, as Wyoming's `info`: Home Assistant asks for nothing that is not in it."""

from typing import Any

from ...errors import UsageError
from ...text.phonemes import language
from ...version import __version__
from ..models import KEYWORDS, SPEECH, TRANSCRIPTION, Catalogue

PROGRAM = "pytorch-to-mlx"


def describe(catalogue: Catalogue) -> dict[str, Any]:
    """Return the data of the event: for each service one program, with the voices, models or words of all models."""
    voices = [
        _artifact(voice, f"{voice} ({named})" if named else voice, languages=[tag] if (tag := voice_tag(named)) else [])
        for model in catalogue.of_task(SPEECH)
        for voice, named in model.voices.items()
    ]
    models = [
        _artifact(model.name, model.name, languages=list(model.languages)) for model in catalogue.of_task(TRANSCRIPTION)
    ]
    words = [
        _artifact(label, model.name, languages=[], phrase=label.replace("_", " "))
        for model in catalogue.of_task(KEYWORDS)
        for label in model.labels
    ]
    speech = _artifact(PROGRAM, "text to speech", voices=_unique(voices), supports_synthesize_streaming=True)
    hearing = _artifact(PROGRAM, "speech to text", models=models, supports_transcript_streaming=True)
    waking = _artifact(PROGRAM, "wake words", models=_unique(words))
    return {
        "tts": [speech] if voices else [],
        "asr": [hearing] if models else [],
        "wake": [waking] if words else [],
        **{name: [] for name in ("handle", "intent", "mic", "snd")},
    }


def voice_tag(name: str) -> str:
    """Return the tag of a language by its English name as Home Assistant writes it, en-US; "" for none."""
    try:
        tag, _, region = language(name).tag.partition("-")
    except UsageError:
        return ""
    return f"{tag}-{region.upper()}" if region else tag


def _artifact(name: str, description: str, **more: Any) -> dict[str, Any]:
    attribution = {"name": PROGRAM, "url": ""}
    about = {"attribution": attribution, "installed": True, "description": description, "version": __version__}
    return {"name": name, **about, **more}


def _unique(artifacts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out a name that comes again: requests mean the first model that has it."""
    first: dict[str, dict[str, Any]] = {}
    for artifact in artifacts:
        first.setdefault(artifact["name"], artifact)
    return list(first.values())
