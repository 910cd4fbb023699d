"""How to speak: the options that every voice of a text shares."""

from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...tasks import check_seed, check_speed
from ...text.aloud import Language, guess_language, read_aloud
from .schedule import EVALUATIONS, times

MAX_DURATION_S = 600.0
LANGUAGES: tuple[Language, ...] = ("en", "zh", "none")
EXTRAS = {"en": "f5-tts", "zh": "f5-tts-zh", "none": "f5-tts"}


@dataclass(frozen=True)
class Options:
    """How to speak.

    Args:
        speed: times as fast as the recording
        steps, cfg, sway, solver: of the sampler, see `Model.sample_batch`
        duration: seconds of new speech; by default as fast as the recording is
        fix_duration: seconds of the recording and new speech together, as the original counts
        cross_fade: seconds in which one chunk fades into the next
        lang_code: en, zh or none: whose numbers and signs are read; by default the text tells
        raw_text: leave numbers and signs as they are written
        stream: a short first chunk, so that there is sound sooner
        as_original: without what is mended: durations of short texts, chunks that are too long, numbers
    Raises: UsageError for a value out of range.
    """

    speed: float = 1.0
    seed: int = 0
    steps: int = 32
    cfg: float = 2.0
    sway: float | None = -1.0
    solver: str = "euler"
    duration: float | None = None
    fix_duration: float | None = None
    cross_fade: float = 0.15
    lang_code: str | None = None
    raw_text: bool = False
    stream: bool = False
    as_original: bool = False

    def __post_init__(self) -> None:
        check_speed(self.speed)
        check_seed(self.seed, bits=32)
        times(self.steps, self.sway)
        if not 0 <= self.cfg <= 100:
            raise UsageError(f"cfg must be between 0 and 100, not {self.cfg}")
        if self.solver not in EVALUATIONS:
            raise UsageError(f"no solver is called {self.solver!r:.40}", fix=f"solvers: {', '.join(EVALUATIONS)}")
        if self.duration is not None and self.fix_duration is not None:
            raise UsageError("give one of duration and fix_duration", fix="fix_duration counts the recording too")
        for name in ("duration", "fix_duration"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= MAX_DURATION_S:
                raise UsageError(f"{name} must be over 0 and at most {MAX_DURATION_S:g} s, not {value:g}")
        if not 0 <= self.cross_fade <= 10:
            raise UsageError(f"cross_fade must be between 0 and 10 s, not {self.cross_fade:g}")
        if self.lang_code is not None and self.lang_code not in LANGUAGES:
            raise UsageError(f"numbers are not read in '{self.lang_code}'", fix=f"use {', '.join(LANGUAGES)}")

    def aloud(self, text: str) -> str:
        """Return a text with numbers and signs in words, unless it is to stay as it is."""
        if self.raw_text or self.as_original:
            return text
        language: Language = self.lang_code or guess_language(text)  # type: ignore[assignment]  it was checked
        return read_aloud(text, language, extra=EXTRAS[language])

    @property
    def sampling(self) -> dict[str, Any]:
        """The options of `Model.sample`."""
        return {"steps": self.steps, "guidance": self.cfg, "sway": self.sway, "method": self.solver}
