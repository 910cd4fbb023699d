"""The real language models of packages beside transformers, which reads the same GGUF files itself."""

from importlib.util import find_spec

import pytest
from models.llama_files import unpatched  # noqa: F401

pytest.importorskip("mlx_lm", reason="the extra llama is not installed")

from pytorch_to_mlx.checkpoint import packaged
from pytorch_to_mlx.validate import validate

pytestmark = pytest.mark.full


@pytest.mark.parametrize("name", ["smollm2-135m-instruct-q4", "gemma-3-270m-q4"])
def test_real_weights_beside_transformers(name):
    """Logits of three texts within the tolerance table, and 64 greedy tokens after each equal."""
    if not packaged.is_installed(name):
        pytest.skip(f"the packages of {name} are not installed")
    report = validate(f"packaged:{name}", family="llama")
    assert report.passed, report
    assert len(report.cases) == 3
    if find_spec("gguf") and find_spec("accelerate"):
        assert "read by transformers and the package gguf" in report.weights_from
