"""Where a module comes from: a Python factory, an exported program, a Hugging Face model, or an object in hand."""

from pathlib import Path

from .exported_program import open_program
from .module_source import ModuleSource, call_factory
from .recognise import FACTORY
from .transformers_model import open_transformers


def open_module(text: str) -> ModuleSource:
    """Open a SOURCE: `package.module:function`, `file.py:function`, `file.pt2`, a Hugging Face id or folder.

    A factory is the user's own Python code, and it is run.
    """
    if text.endswith(".pt2"):
        return open_program(Path(text))
    if found := FACTORY.fullmatch(text):
        return call_factory(text, found["place"], found["function"])
    return open_transformers(text)
