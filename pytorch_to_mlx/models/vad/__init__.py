"""Silero VAD."""

from .card import CARD

__all__ = ["CARD"]
