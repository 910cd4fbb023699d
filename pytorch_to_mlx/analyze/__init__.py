"""Say what would convert and what would not, and why, without converting."""

from .checkpoint import Analysis, analyze

__all__ = ["Analysis", "analyze"]
