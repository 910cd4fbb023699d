"""Compare with the original, transformers' M2M100ForConditionalGeneration: English to French."""

from pathlib import Path
from typing import Any

from ...errors import MissingExtraError
from ..marian.reference import Original, Transformers
from ..marian.reference import Reference as Comparison
from .pipeline import load


class Reference(Comparison):
    """Both sides on the same weights, on the cases of the other translators."""

    @staticmethod
    def load_ours(path: Path) -> Any:
        return load(path)

    @staticmethod
    def load_original(path: Path) -> Original:
        try:
            return Transformers(path, "M2M100ForConditionalGeneration")
        except ModuleNotFoundError as error:
            raise MissingExtraError(str(error.name), "validate", needed_for="comparing with PyTorch") from None
