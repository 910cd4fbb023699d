"""The heads that can be trained: what each answers, what it reads of the trunk, and how it is measured."""

from dataclasses import dataclass

from ..errors import UsageError
from .config import Kind, Unit


@dataclass(frozen=True)
class Question:
    """What a head is to answer. name: also of its labels in a manifest's `labels` and `spans`."""

    name: str
    kind: Kind
    unit: Unit = ""


@dataclass(frozen=True)
class HeadCard:
    """The definition of a head, before any data has been seen.

    depths: the layers that it reads, as shares of the trunk's depth; 0 is the convolutions, 1 the last layer.
    metric: what decides when training stops.
    """

    name: str
    summary: str
    questions: tuple[Question, ...]
    depths: tuple[float, ...]
    metric: str
    hidden_size: int = 256
    num_blocks: int = 2

    def layers(self, depth: int) -> tuple[int, ...]:
        """Return the layers of a trunk of `depth` layers that the head reads."""
        return tuple(sorted({round(share * depth) for share in self.depths}))


_TEXT = Question("text", "ctc", "character")
_DRAFT = Question("draft", "ctc", "piece")
_PHONEMES = Question("phonemes", "ctc", "phoneme")
_PITCH = Question("pitch", "pitch")
_SINGING = Question("singing", "frames")
_LANGUAGE = Question("language", "clip")
_SOUNDS = Question("sounds", "clip")
_EMOTION = Question("emotion", "clip")
_MIDDLE = (1 / 3, 2 / 3)
_UPPER = (1 / 3, 1 / 2, 5 / 6)

HEADS = {
    card.name: card
    for card in (
        HeadCard("ctc", "the text in letters, without case and punctuation", (_TEXT,), (1.0,), "CER"),
        HeadCard("drafts", "the text as Whisper writes it, in word pieces", (_DRAFT,), (1.0,), "CER"),
        HeadCard("phonemes", "the phonemes (IPA)", (_PHONEMES,), (1.0,), "PER"),
        HeadCard("pitch", "F0 in Hz, and voicing", (_PITCH,), (0.0,), "RPA within 50 cents", 192),
        HeadCard("singing", "singing or speech, by frame", (_SINGING,), _MIDDLE, "macro-F1", 128, 1),
        HeadCard("language", "the language of a clip", (_LANGUAGE,), _MIDDLE, "macro-F1", 64, 0),
        HeadCard("sounds", "speech, laughter, music, …", (_SOUNDS,), _MIDDLE, "macro-F1", 64, 0),
        HeadCard("emotion", "an emotion, as a corpus names it", (_EMOTION,), _UPPER, "macro-F1", 64, 0),
        HeadCard(
            "multi",
            "everything that the data has labels for",
            (_TEXT, _PHONEMES, _PITCH, _SINGING, _LANGUAGE, _SOUNDS, _EMOTION),
            (0.0, *_MIDDLE, 1.0),
            "mean of all",
        ),
    )
}  # fmt: skip


def head_card(name: str) -> HeadCard:
    """Return the card of a head. Raises: UsageError that lists the heads."""
    if name not in HEADS:
        raise UsageError(f"no head is called '{name}'", fix=f"heads: {', '.join(HEADS)}")
    return HEADS[name]
