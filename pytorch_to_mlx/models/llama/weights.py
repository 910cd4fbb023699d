"""From a checkpoint to mlx-lm's names: its own renaming for Hugging Face's names, ours for GGUF.

The rules are the roots of mlx-lm's models; what a root holds is decided by the model, which is loaded strictly.
"""

from dataclasses import replace
from pathlib import Path

import mlx.core as mx

from ...checkpoint import Checkpoint, TensorInfo, open_checkpoint, read_json
from ...checkpoint.base import Entry
from ...errors import FormatError
from ...weights import WeightMap, rename
from ...weights.rules import either
from .config import Config
from .gguf import rename_gguf
from .model import sanitize

ROOTS = ("model", "lm_head", "transformer", "backbone", "language_model", "gpt_neox", "embed_out")
WEIGHTS = WeightMap(either(*(rename(f"{root}.**", f"{root}.**") for root in ROOTS)), file=__file__)
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def open_release(path: Path) -> Checkpoint:
    """Open a checkpoint of Hugging Face or a GGUF file under mlx-lm's names, with the sizes as its `config`.

    Of a single file the config is the config.json beside it.
    Raises: FormatError for what is not a language model that mlx-lm knows.
    """
    checkpoint = open_checkpoint(path)
    try:
        if checkpoint.kind == "gguf":
            rename_gguf(checkpoint)
        else:
            _rename(checkpoint, path)
    except FormatError:
        checkpoint.close()
        raise
    return checkpoint


def _rename(checkpoint: Checkpoint, path: Path) -> None:
    """Give the tensors mlx-lm's names, and say in the config whether the output layer is the embedding."""
    beside = path.with_name("config.json")
    if checkpoint.config is None and path.is_file() and beside.is_file():
        checkpoint.config = read_json(beside)
    if not checkpoint.config:
        raise FormatError("no config.json beside the weights", where=path, fix="put the files of the release together")
    config = Config.from_dict(checkpoint.config)
    arguments = {key: value for key, value in config.arguments.items() if key != "auto_map"}
    is_tied = arguments.get("tie_word_embeddings")
    if HEAD in checkpoint.entries and EMBEDDING in checkpoint.entries:
        # As transformers 5: an output layer of its own in the file stays one, whatever the config says.
        is_tied = bool(is_tied and mx.array_equal(checkpoint[HEAD], checkpoint[EMBEDDING]).item())
    elif EMBEDDING in checkpoint.entries:
        is_tied = True if is_tied is None else is_tied
    if is_tied is not None:
        arguments["tie_word_embeddings"] = is_tied
    if is_tied:
        checkpoint.entries.pop(HEAD, None)
    checkpoint.config = arguments
    _sanitize(checkpoint, Config.from_dict(arguments))


def _sanitize(checkpoint: Checkpoint, config: Config) -> None:
    """Let mlx-lm rename the tensors: on stand-ins that are never evaluated, so that only what it computes is read."""
    stored = checkpoint.entries
    stand_ins = {name: mx.zeros(entry.info.shape, getattr(mx, entry.info.dtype)) for name, entry in stored.items()}
    name_of = {id(array): name for name, array in stand_ins.items()}
    results = sanitize(config, stand_ins)
    computed: dict[str, mx.array] = {}

    def compute(name: str) -> mx.array:
        if not computed:
            computed.update(sanitize(config, {source: entry.read() for source, entry in stored.items()}))
        return computed[name]

    checkpoint.entries = {}
    for name, array in results.items():
        source = name_of.get(id(array))
        if source is None:
            info = TensorInfo.of(name, str(array.dtype).removeprefix("mlx.core."), array.shape)
            checkpoint.entries[name] = Entry(info, lambda name=name: compute(name))
        else:
            checkpoint.entries[name] = Entry(replace(stored[source].info, name=name), stored[source].read)
