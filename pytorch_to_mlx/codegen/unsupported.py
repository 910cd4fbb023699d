"""The error of a lowering: an op, or an argument of it, that has no MLX form here."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FormatError

if TYPE_CHECKING:
    from .graph import Node


class Unsupported(FormatError):
    """An op or an argument that is not implemented; nothing is approximated in silence."""

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        self.fix = fix
        super().__init__(what, where=where, fix=fix)

    def at(self, node: "Node") -> "Unsupported":
        """The same error with the op's module and line in the user's source."""
        if self.where:
            return self
        place = " ".join(part for part in (node.where, f"(in module {node.module})" if node.module else "") if part)
        return Unsupported(self.what, where=place or node.name, fix=self.fix)
