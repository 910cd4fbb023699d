"""The state of a training run on disk: written whole or not at all, two are kept, and the newest whole one is read."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..checkpoint import open_checkpoint
from ..checkpoint.json_file import parse_json
from ..errors import FormatError, UsageError
from ..outputs import open_output
from ..progress import note

KEEP = 2
_NAME = re.compile(r"state-(\d{8})\.safetensors")


class SavedStates:
    """The states in one folder. settings: what a run must have in common with the state that it goes on from."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, json.loads(json.dumps(settings))

    def save(self, step: int, arrays: Mapping[str, mx.array], progress: Mapping[str, Any]) -> None:
        """Write the state after a step, then remove all but the last two. Raises: MachineError if the disk refuses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        header = {"format": "mlx", "settings": json.dumps(self.settings), "progress": json.dumps(progress)}
        with open_output(self.folder / f"state-{step:08d}.safetensors", regular=True) as output:
            mx.save_safetensors(output.file, {name: arrays[name] for name in sorted(arrays)}, header)
        for path in self._paths()[KEEP:]:
            path.unlink()

    def _paths(self) -> list[Path]:
        """Return the files, the newest first."""
        files = [path for path in self.folder.glob("state-*") if _NAME.fullmatch(path.name)]
        return sorted(files, reverse=True)

    def read(self) -> tuple[dict[str, mx.array], dict[str, Any]] | None:
        """Return the newest state and its progress, or None before the first. A damaged one is left out, with a note.

        Raises: UsageError if it is the state of other settings, which it names; FormatError if all are damaged.
        """
        problems: list[str] = []
        for path in self._paths():
            try:
                with open_checkpoint(path) as checkpoint:
                    settings = parse_json(checkpoint.extra.get("settings", "").encode(), where=path)
                    progress = parse_json(checkpoint.extra.get("progress", "").encode(), where=path)
                    arrays = {name: checkpoint[name] for name in checkpoint}
                    mx.eval(arrays)
            except FormatError as error:
                note(f"warning: {error}; the state before it is taken")
                problems.append(str(error))
                continue
            self._check(settings)
            return arrays, progress
        if problems:
            raise FormatError(
                "every state is damaged", where=self.folder, fix="remove the folder to start again", details=problems
            )
        return None

    def _check(self, theirs: Mapping[str, Any]) -> None:
        names = sorted(theirs.keys() | self.settings.keys())
        differing = [name for name in names if theirs.get(name) != self.settings.get(name)]
        if differing:
            raise UsageError(
                f"this training was begun with another {', '.join(differing)}",
                where=self.folder,
                fix="give the same options and data, or --force to start again",
                details=[
                    f"{n}: {str(theirs.get(n))[:80]} there, {str(self.settings.get(n))[:80]} here" for n in differing
                ],
            )

    def remove(self) -> None:
        """Remove the states, and the folder if nothing else is in it."""
        for path in self._paths():
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()
