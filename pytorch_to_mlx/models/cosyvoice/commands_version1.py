"""The verbs of `pytorch-to-mlx cosyvoice`: those of version 2 with another model."""

from .card import CARD1
from .commands import convert_voice_as, of_version, speakers_as, synthesize_as

synthesize, convert_voice, speakers = (
    of_version(CARD1, verb) for verb in (synthesize_as, convert_voice_as, speakers_as)
)
