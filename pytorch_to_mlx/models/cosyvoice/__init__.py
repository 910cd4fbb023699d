"""CosyVoice: versions 1 (300M), 2 and 3 (0.5B)."""

from .card import CARD

__all__ = ["CARD"]
