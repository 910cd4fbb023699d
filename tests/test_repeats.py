"""A config that asks for more layers than its checkpoint can have is refused before anything is built.

The right value: every layer of a published model has a tensor of its own, and none has over a thousand layers.
"""

import dataclasses
import json
import time

import pytest
from mlx.utils import tree_flatten

from pytorch_to_mlx import load, registry
from pytorch_to_mlx.config import MAX_REPEATS, check_repeats, from_dict
from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.weights import write_folder

WORDS = ("layer", "block")


def fields(sizes, path=()):
    """The (path, value) of every field of a config, nested ones included."""
    for field in dataclasses.fields(sizes):
        value = getattr(sizes, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, (*path, field.name))
        else:
            yield (*path, field.name), value


def changed(data, path, value):
    """The same nested dict with one value changed."""
    first, *rest = path
    return data | {first: changed(data[first], rest, value) if rest else value}


def repeated():
    """(family, path, value): every number of layers of every family, and every list of sizes."""
    for name in registry.names():
        for path, value in fields(registry.family(name).config.tiny()):
            if type(value) is int and any(word in path[-1] for word in WORDS):
                yield name, path, 999
            if isinstance(value, tuple) and value and isinstance(value[0], tuple) and "head" not in path[-1]:
                yield name, path, ((1,) * 1000,) * len(value)


@pytest.mark.parametrize("family, path, value", list(repeated()), ids=lambda value: str(value)[:30])
def test_every_number_of_layers_is_compared_with_the_tensors(family, path, value, tmp_path):
    offered = registry.family(family)
    sizes = offered.config.tiny()
    weights = dict(tree_flatten(offered.model(sizes).parameters()))
    check_repeats(sizes, len(weights))
    config = {"model_type": offered.card.model_types[0], **json.loads(json.dumps(dataclasses.asdict(sizes)))}
    folder = write_folder(tmp_path / "x", config=changed(config, path, value), weights=weights)
    started = time.process_time()
    with pytest.raises(FormatError, match="layers, blocks and parts, the checkpoint has"):
        load(folder)
    assert time.process_time() - started < 3


@pytest.mark.parametrize("name", ["n_layer", "num_hidden_layers", "n_audio_head", "block_layers"])
def test_no_model_has_a_million_layers(name):
    sizes = dataclasses.make_dataclass("Sizes", [(name, int)])
    assert from_dict(sizes, {name: MAX_REPEATS}) == sizes(MAX_REPEATS)
    with pytest.raises(FormatError, match="above the maximum of 1000"):
        from_dict(sizes, {name: 1_000_000})


@pytest.mark.parametrize("heads", [5, True, 1.5, "ab", [1], [None], [[1, 2, 3]], [["a", "b"]], [[1.0, 2]], {"a": 1}])
def test_alignment_heads_are_pairs(heads):
    config = registry.family("whisper").config
    sizes = dataclasses.asdict(config.tiny())
    assert config.from_dict(sizes | {"alignment_heads": [[1, 0]]}).alignment_heads == ((1, 0),)
    assert config.from_dict(sizes | {"alignment_heads": None}).alignment_heads == ()
    with pytest.raises(FormatError, match=r"alignment_heads is .*, not a list of pairs"):
        config.from_dict(sizes | {"alignment_heads": heads})


@pytest.mark.parametrize("change", [{"n_audio_layer": 1_000_000}, {"n_text_layer": 1001}, {"n_audio_ctx": 1_000_000}])
def test_sizes_that_no_whisper_has(change):
    config = registry.family("whisper").config
    with pytest.raises(FormatError):
        config.from_dict(dataclasses.asdict(config.tiny()) | {"n_audio_state": 1000, "n_audio_head": 4} | change)
