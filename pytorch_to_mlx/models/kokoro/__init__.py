"""Kokoro-82M: text to speech."""

from .card import CARD

__all__ = ["CARD"]
