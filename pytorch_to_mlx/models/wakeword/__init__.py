"""openWakeWord: wake words."""

from .card import CARD

__all__ = ["CARD"]
