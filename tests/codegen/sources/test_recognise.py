"""Which text names a PyTorch module, and which a checkpoint."""

import pytest

from pytorch_to_mlx.codegen.sources.recognise import FACTORY, is_module_source, takes_architecture


@pytest.mark.parametrize("text", ["package.module:build", "folder/net.py:build", "C:/nets/net.py:build", "net.pt2"])
def test_factories_and_programs_are_module_sources(text):
    assert is_module_source(text)


@pytest.mark.parametrize(
    "text", ["openai/whisper-tiny", "packaged:silero", "model.safetensors", "net.py", "a:b:c", "a:1"]
)
def test_checkpoints_are_not_module_sources(text):
    assert not is_module_source(text)


def test_the_place_and_the_function_of_a_factory():
    match = FACTORY.fullmatch("folder/net.py:build")
    assert match is not None and match.groupdict() == {"place": "folder/net.py", "function": "build"}


def test_architectures_of_transformers():
    assert takes_architecture("BertModel")
    assert not takes_architecture("pipeline") and not takes_architecture("NoSuchModel")  # a function; nothing
