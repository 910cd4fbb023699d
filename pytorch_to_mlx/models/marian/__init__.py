"""Marian: OPUS-MT and the students of Bergamot."""

from .card import CARD

__all__ = ["CARD"]
