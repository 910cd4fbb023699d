"""The text of `model.py`: formatted, with copies of all that it uses, importing MLX and the standard library only."""

import ast
import importlib.util
import sys

import pytest

from pytorch_to_mlx.codegen.emit.module_text import formatted, helper_source, module_text
from pytorch_to_mlx.errors import UsageError


@pytest.fixture
def module(tmp_path):
    """Import Python source as a module of its own."""
    names = []

    def load(source):
        file = tmp_path / f"user_code_{len(names)}.py"
        file.write_text(source)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        loaded = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
        names.append(file.stem)
        spec.loader.exec_module(loaded)
        return loaded

    yield load
    for name in names:
        del sys.modules[name]


def test_source_is_formatted():
    assert formatted("x = { 'a':1 }\n\n\n\ny=2") == 'x = {"a": 1}\n\n\ny = 2\n'


def test_a_helper_brings_what_it_uses():
    text, imports = helper_source({"check_size"})
    assert text.startswith("def check_size(") and imports == set()


def test_a_class_brings_constants_functions_and_imports(module):
    source = """
import functools
import mlx.nn as nn
from math import pi

UNUSED = 1
TURN = 2 * pi


def _turns(x):
    return functools.reduce(max, x) * TURN


class Phase(nn.Module):
    def __call__(self, x):
        return _turns(x)
"""
    text, imports = helper_source(set(), [module(source).Phase])
    assert [part.splitlines()[0] for part in text.split("\n\n\n")] == [
        "TURN = 2 * pi",
        "def _turns(x):",
        "class Phase(nn.Module):",
    ]
    assert imports == {"import functools", "from math import pi"}


def test_functions_that_call_each_other_are_copied_once(module):
    source = "def a(x):\n    return b(x)\n\n\ndef b(x):\n    return a(x)\n\n\nclass C:\n    x = a\n"
    text, _ = helper_source(set(), [module(source).C])
    assert [text.count(f"def {name}(") for name in "ab"] == [1, 1]


def test_code_that_cannot_be_copied_is_refused(module):
    source = "import torch\n\n\nclass C:\n    def f(self):\n        return torch.ones(1)\n"
    with pytest.raises(UsageError, match=r"registered code uses 'import torch'.*use MLX and the standard library"):
        helper_source(set(), [module(source).C])

    class Local:
        pass

    with pytest.raises(UsageError, match="Local is not at the top level of a Python file"):
        helper_source(set(), [Local])


def test_a_module_imports_what_its_code_uses():
    classes = ast.parse("class Tiny(nn.Module):\n    def __call__(self, x):\n        return x * math.ceil(2.5)\n").body
    text = module_text(classes, set(), "Tiny.\n")
    assert text.startswith('"""Tiny."""\n')
    assert text.index("import json\nimport math\nfrom pathlib import Path") < text.index("import mlx.core as mx")
    assert 'def load(folder: str = ".") -> Tiny:' in text
    compile(text, "model.py", "exec")
