"""Silero VAD: voice activity detection."""

from .card import CARD

__all__ = ["CARD"]
