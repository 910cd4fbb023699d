"""F5-TTS and E2-TTS."""

from .card import CARD

__all__ = ["CARD"]
