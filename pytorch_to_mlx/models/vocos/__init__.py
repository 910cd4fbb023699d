"""Vocos."""

from .card import CARD

__all__ = ["CARD"]
