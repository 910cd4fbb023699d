"""Language models of mlx-lm: LLaMA, Mistral, Qwen, Gemma and the others that it knows."""

from .card import CARD

__all__ = ["CARD"]
