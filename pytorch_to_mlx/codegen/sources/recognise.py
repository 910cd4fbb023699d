"""Recognise text that names a PyTorch module. Importing this imports no torch."""

import re
from importlib import import_module
from importlib.util import find_spec

from ...errors import MissingExtraError

FACTORY = re.compile(r"(?P<place>[\w.]+|.+\.py):(?P<function>[A-Za-z_]\w*)")


def is_module_source(text: str) -> bool:
    """Tell whether a SOURCE names a Python factory (`package.module:function`, `file.py:function`) or a `.pt2` file."""
    return text.endswith(".pt2") or (FACTORY.fullmatch(text) is not None and not text.startswith("packaged:"))


def takes_architecture(name: str) -> bool:
    """Tell whether transformers has a model of this name, an entry of config.json's `architectures`.

    Raises: MissingExtraError where transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise MissingExtraError("transformers", "validate", needed_for=f"converting {name[:80]!r}")
    return isinstance(getattr(import_module("transformers"), name, None), type)
