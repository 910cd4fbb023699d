"""A Hugging Face model with inputs made up from its config."""

import time
from collections.abc import Mapping
from itertools import chain, islice, takewhile
from typing import Any

import torch
from torch import nn

from ...errors import FormatError, MissingExtraError
from .example_inputs import FAILURES, asked_for, candidates, realize
from .module_source import ModuleSource

MOST_TRIED = 40
LONGEST_TRIES_S = 5  # for inputs of one config
SIZES = ((2, 7, 64), (3, 11, 96))  # batch, length, image side


def open_transformers(text: str) -> ModuleSource:
    """A Hugging Face model with inputs made up from its config."""
    from ...checkpoint import locate

    folder = locate(text).path
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "validate", needed_for="opening a Hugging Face model") from error
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if hasattr(config, "use_cache"):
        config.use_cache = False
    names = config.architectures or []
    kind = getattr(transformers, names[0], transformers.AutoModel) if names else transformers.AutoModel
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel | transformers.AutoModel)):
        raise FormatError(f"the architecture {names[0]!r:.80} is no model of transformers", where=folder)
    module = kind.from_pretrained(folder, config=config).eval()
    with torch.no_grad():
        shapes = accepted(module, config, {}, "cpu")
    return ModuleSource(module, (), dict(realize(shapes, config, 0)), text)


def accepted(model: nn.Module, config: Any, first: Mapping[str, tuple], device: str) -> dict[str, tuple]:
    """The first set of inputs on which the model runs. An optional input that an error asks for is added."""
    also: list[str] = []
    while True:
        error: BaseException | None = None
        asked: str | None = None
        end = time.process_time() + LONGEST_TRIES_S
        tries = chain([first] if first else [], candidates(model, config, *SIZES[0], also))
        for shapes in takewhile(lambda _: time.process_time() < end, islice(tries, MOST_TRIED)):  # noqa: B023
            try:
                model(**prepared(model, shapes, config, 0, device))
            except FAILURES as one:
                error = error or one
                asked = asked or asked_for(one, model, shapes)
                continue
            return dict(shapes)
        if asked is None:
            raise error or ValueError("forward takes no input that is known here")
        also.append(asked)


def prepared(
    model: nn.Module, shapes: Mapping[str, tuple], config: Any, seed: int, device: str = "cpu"
) -> dict[str, Any]:
    """Inputs of the chosen shapes; what transformers itself computes from lists of image sizes before an export."""
    inputs: dict[str, Any] = realize(shapes, config, seed, device)
    if device == "meta":
        inputs.pop("attention_mask", None)  # its values are asked for
    elif "grid_thw" in inputs:
        from transformers.exporters.utils import precompute_export_inputs

        precompute_export_inputs(model, inputs)
    return {name: value for name, value in inputs.items() if value is not None}
