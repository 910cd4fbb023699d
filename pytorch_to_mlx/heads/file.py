"""A trained head as one .safetensors file: its weights, what it is, and how it was measured."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ..checkpoint import open_checkpoint
from ..checkpoint.json_file import parse_json
from ..config import check_repeats
from ..errors import CheckError, FormatError
from ..outputs import open_output
from ..weights import load_into
from .config import Config
from .model import Head

FORMAT = "pytorch-to-mlx head 1"


@dataclass(frozen=True)
class TrainedHead:
    """A head that was read from its file. report: name, data and figures, as they were written."""

    head: Head
    report: Mapping[str, Any]

    def check_trunk(self, digest: str, name: str, path: Path) -> None:
        """Raises: FormatError if the head was trained on another trunk than the one called `name`."""
        if digest != self.head.config.trunk:
            raise FormatError(
                f"this head was trained on another model than '{name}'",
                where=path,
                fix="give --model the one that it was trained on",
                details=[f"its trunk: {self.head.config.trunk}", f"this one: {digest}"],
            )


def save_head(path: Path, head: Head, report: Mapping[str, Any]) -> None:
    """Write the file whole or not at all, and read it back.

    Raises: MachineError if it cannot be written, CheckError if it does not read back.
    """
    weights: dict[str, Any] = dict(tree_flatten(head.parameters()))
    header = {
        "format": "mlx",
        "head_format": FORMAT,
        "config": json.dumps(head.config.to_dict(), ensure_ascii=False),
        "report": json.dumps(report, ensure_ascii=False),
    }
    with open_output(path, regular=True, ending=".safetensors") as output:
        mx.save_safetensors(output.file, {name: weights[name] for name in sorted(weights)}, header)
        output.file.flush()
        assert output.temporary is not None  # it is a regular file
        again = load_head(output.temporary)
        weights_read: dict[str, Any] = dict(tree_flatten(again.head.parameters()))
        if again.head.config != head.config or not all(
            mx.array_equal(weights[name], weights_read[name]) for name in weights
        ):
            raise CheckError("does not read back as it was written", where=path)


def load_head(path: Path) -> TrainedHead:
    """Read a head. Raises: FormatError for what is not a head, or is damaged."""
    with open_checkpoint(path) as checkpoint:
        if checkpoint.extra.get("head_format") != FORMAT:
            raise FormatError(
                "not a trained head", where=path, fix="make one: pytorch-to-mlx whisper train-head --help"
            )
        config = Config.from_dict(parse_json(checkpoint.extra.get("config", "").encode(), where=path), str(path))
        report = parse_json(checkpoint.extra.get("report", "").encode(), where=path)
        weights = {name: checkpoint[name] for name in checkpoint}
    check_repeats(config, len(weights), where=path)
    return TrainedHead(load_into(Head(config), weights, where=path), report)
