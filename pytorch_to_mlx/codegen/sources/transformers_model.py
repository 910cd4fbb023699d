"""A Hugging Face model with example inputs that are guessed from its config and tried until it runs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import torch
from torch import nn

from ...errors import FormatError, MissingExtraError
from ..capture.failures import first_lines
from .example_inputs import FAILURES, candidates, make_tensors, missing_input
from .module_source import ModuleSource

MAX_TRIES = 40
MAX_TRIES_S = 5  # of processor time, for one set of optional inputs
SIZES = ((2, 7, 64), (3, 11, 96))  # batch, length, image side


def open_transformers(text: str) -> ModuleSource:
    """Open a Hugging Face model, an id or a folder, with example inputs guessed from its config.

    Raises: FormatError if its class is not one of transformers; MissingExtraError where transformers is missing.
    """
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
        raise FormatError(f"the architecture {names[0]!r:.80} is not a model class of transformers", where=folder)
    with _without_progress_bars():
        module = kind.from_pretrained(folder, config=config).eval()
    try:
        with torch.no_grad():
            shapes = find_inputs(module, config, {}, "cpu")
    except FAILURES as error:
        raise FormatError(
            f"no example inputs were found on which {type(module).__name__} runs: {first_lines(error)}",
            where=folder,
            fix="give a factory that returns (module, example inputs): file.py:function",
        ) from error
    return ModuleSource(module, (), dict(make_tensors(shapes, config, 0)), text)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for a load of a second."""
    from transformers.utils import logging

    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def find_inputs(model: nn.Module, config: Any, first: Mapping[str, tuple], device: str) -> dict[str, tuple]:
    """Return the first set of inputs on which the model runs: name -> (kind, shape).

    first: inputs to try before the guesses. An optional input that an error asks for is added, and all is tried again.
    Raises: the first error of the last round, if no set of inputs fits.
    """
    also: list[str] = []
    while True:
        first_error: BaseException | None = None
        missing: str | None = None
        deadline = time.process_time() + MAX_TRIES_S
        tries = chain([first] if first else [], candidates(model, config, *SIZES[0], also))
        for shapes in islice(tries, MAX_TRIES):
            if time.process_time() >= deadline:
                break
            try:
                model(**prepare_inputs(model, shapes, config, 0, device))
            except FAILURES as error:
                first_error = first_error or error
                missing = missing or missing_input(error, model, shapes)
                continue
            return dict(shapes)
        if missing is None:
            raise first_error or ValueError("no example inputs can be guessed for forward")
        also.append(missing)


def prepare_inputs(
    model: nn.Module, shapes: Mapping[str, tuple], config: Any, seed: int, device: str = "cpu"
) -> dict[str, Any]:
    """Make inputs of the chosen shapes, and what transformers computes from image grids before an export."""
    inputs: dict[str, Any] = make_tensors(shapes, config, seed, device)
    if device == "meta":
        inputs.pop("attention_mask", None)  # models read its values, and meta tensors have none
    elif "grid_thw" in inputs:
        from transformers.exporters.utils import precompute_export_inputs

        precompute_export_inputs(model, inputs)
    return {name: value for name, value in inputs.items() if value is not None}
