"""M2M100 and NLLB-200."""

from .card import CARD

__all__ = ["CARD"]
