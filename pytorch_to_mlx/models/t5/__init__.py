"""T5, mT5, FLAN-T5, ByT5 and MADLAD-400."""

from .card import CARD

__all__ = ["CARD"]
