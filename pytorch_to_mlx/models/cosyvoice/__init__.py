"""CosyVoice: version 2 (0.5B)."""

from .card import CARD

__all__ = ["CARD"]
