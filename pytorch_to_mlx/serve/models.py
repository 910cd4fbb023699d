"""The models that a server offers, named when it starts: a request chooses among them and can load nothing else."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..tasks import KeywordSpotter, Narrator, PhoneticNarrator, SpeechToText, Translator, VoiceActivityDetector
from .refusals import Refusal

SPEECH, TRANSCRIPTION, TRANSLATION = "text-to-speech", "speech-to-text", "translation"
KEYWORDS, ACTIVITY = "keyword-spotting", "voice-activity-detection"
ALIASES = {
    SPEECH: ("tts-1", "tts-1-hd", "gpt-4o-mini-tts"),
    TRANSCRIPTION: ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-realtime-whisper"),
}
"""OpenAI's names: programs send them without asking what there is. They mean the first model of their task."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PAIR = re.compile(r"([A-Za-z]{2,8})-([A-Za-z]{2,8})")


@dataclass(frozen=True)
class Served:
    """What the server knows of a model: text and numbers only. voices: name -> language.

    takes_phonemes: as well as text. languages: codes of those that a model transcribes. labels: of the words that a
    model listens for.
    sources, targets: language codes of a translator. names_source: whether it must be told the source.
    """

    name: str
    task: str
    sample_rate: int = 0
    voices: Mapping[str, str] = field(default_factory=dict)
    takes_phonemes: bool = False
    languages: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    names_source: bool = False
    is_one_pair: bool = False


def parse_models(arguments: Sequence[str]) -> dict[str, str]:
    """Return name -> source of arguments `NAME=SOURCE`; a source alone is also its own name, `packaged:` left out.

    Raises: UsageError for no model, a name twice, and a name that cannot stand in a request.
    """
    sources: dict[str, str] = {}
    for argument in arguments:
        name, equals, source = argument.partition("=")
        if not equals:
            name, source = argument.removeprefix("packaged:"), argument
        if not _NAME.fullmatch(name) or not source:
            raise UsageError(f"'{argument}' does not name a model", fix="write NAME=SOURCE, such as kokoro=kokoro-mlx")
        if name in sources:
            raise UsageError(f"two models are called '{name}'")
        sources[name] = source
    if not sources:
        raise UsageError("name at least one model", fix="--model kokoro=packaged:kokoro-82m-int8")
    return sources


def describe(name: str, pipeline: Any) -> Served:
    """Return what the server must know of a loaded model.

    Raises: UsageError for a model of a task that is not served, and a translator of one pair not named by its pair.
    """
    if isinstance(pipeline, Narrator):
        is_phonetic = isinstance(pipeline, PhoneticNarrator)
        return Served(name, SPEECH, pipeline.sample_rate, pipeline.voice_languages(), is_phonetic)
    if isinstance(pipeline, SpeechToText):
        return Served(name, TRANSCRIPTION, languages=pipeline.languages)
    if isinstance(pipeline, KeywordSpotter):
        return Served(name, KEYWORDS, labels=tuple(pipeline.labels))
    if isinstance(pipeline, VoiceActivityDetector):
        return Served(name, ACTIVITY)
    if not isinstance(pipeline, Translator):
        raise UsageError(f"models such as '{name}' are not served", fix="kokoro, whisper and the translators are")
    if pipeline.names_source:
        return Served(name, TRANSLATION, sources=pipeline.languages, targets=pipeline.languages, names_source=True)
    pair = _PAIR.fullmatch(name)
    if not pair:
        raise UsageError(f"'{name}' does not say which languages it translates", fix="name it so: en-pt=SOURCE")
    if pipeline.languages:
        return Served(name, TRANSLATION, sources=(pair[1].lower(),), targets=pipeline.languages)
    return Served(name, TRANSLATION, sources=(pair[1].lower(),), targets=(pair[2].lower(),), is_one_pair=True)


class Catalogue:
    """The models of a server, in the order in which they were named."""

    def __init__(self, models: Sequence[Served]) -> None:
        self.models = tuple(models)

    def of_task(self, task: str) -> list[Served]:
        """Return the models of a task."""
        return [model for model in self.models if model.task == task]

    def find(self, name: str, task: str) -> Served:
        """Return the model of a task that a request names. Raises: Refusal."""
        models = self.of_task(task)
        if name in ALIASES.get(task, ()) and models:
            return next((model for model in models if model.name == name), models[0])
        for model in models:
            if model.name == name:
                return model
        what = f"there is no model '{name[:100]}' for this; there are: {', '.join(m.name for m in models) or 'none'}"
        raise Refusal(400, what, "model", "model_not_found")

    def translator(self, source: str, target: str) -> Served:
        """Return the first model that translates from one language into another. Raises: Refusal."""
        models = self.of_task(TRANSLATION)
        for model in models:
            if source in model.sources and target in model.targets:
                return model
        if not any(source in model.sources for model in models):
            raise Refusal(400, f"{source[:40]} is not supported", "source")
        raise Refusal(400, f"{target[:40]} is not available as a target language from {source[:40]}", "target")


_SHARE = re.compile(r"(?P<name>[^():+,]+)(?:\((?P<bracket>[0-9.]{1,10})\)|:(?P<colon>[0-9.]{1,10}))?")


def choose_voice(model: Served, text: str) -> str | None:
    """Return the voice or blend to speak with, of voices of the model alone: what a request names is never a path.

    A blend is `a:0.6+b:0.4`, `a(2)+b(1)` or `a,b`. A name of OpenAI's is the voice that is called so here (alloy:
    af_alloy), else the model's default, None. Raises: Refusal for any other.
    """
    if text in model.voices:
        return text
    if text in OPENAI_VOICES:
        return next((voice for voice in model.voices if voice.endswith(f"_{text}")), None)
    parts = [part.strip() for part in text.replace(",", "+").split("+")]
    matches = [match for part in parts if (match := _SHARE.fullmatch(part)) and match["name"] in model.voices]
    shares = [match["bracket"] or match["colon"] for match in matches]
    if len(matches) < len(parts) or len(parts) > 10 or (any(shares) and not all(shares)):
        raise Refusal(400, f"there is no voice '{text[:100]}'; /v1/audio/voices lists them", "voice", "voice_not_found")
    pairs = zip(matches, shares, strict=True)
    return "+".join(f"{match['name']}:{share}" if share else match["name"] for match, share in pairs)


OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip
