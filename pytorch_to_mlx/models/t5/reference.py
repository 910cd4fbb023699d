"""Compare with the original, transformers' T5 or mT5: into French where there are tags."""

from pathlib import Path
from typing import Any

from ...checkpoint import read_config
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
            folder = path if path.is_dir() else path.parent
            kind = read_config(folder).get("model_type")
            return Transformers(path, "MT5ForConditionalGeneration" if kind == "mt5" else "T5ForConditionalGeneration")
        except ModuleNotFoundError as error:
            raise MissingExtraError(str(error.name), "validate", needed_for="comparing with PyTorch") from None
