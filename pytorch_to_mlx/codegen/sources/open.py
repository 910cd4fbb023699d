"""Open a module from text: a Python factory, an exported program or a Hugging Face model."""

from pathlib import Path

from .exported_program import open_program
from .module_source import ModuleSource, call_factory
from .recognise import FACTORY
from .transformers_model import open_transformers


def open_module(text: str) -> ModuleSource:
    """Open a SOURCE: `package.module:function`, `file.py:function`, `file.pt2`, a Hugging Face id or folder.

    A factory is the user's own Python code, and it is run.

    Raises: UsageError for a factory or file that cannot be opened; UnsafeError for a program whose loading would run
    code; FormatError for a malformed one.
    """
    if text.endswith(".pt2"):
        return open_program(Path(text))
    if match := FACTORY.fullmatch(text):
        return call_factory(text, match["place"], match["function"])
    return open_transformers(text)
