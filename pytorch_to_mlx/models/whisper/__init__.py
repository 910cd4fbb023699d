"""Whisper: speech to text."""

from .card import CARD

__all__ = ["CARD"]
