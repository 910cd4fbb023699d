"""The error of a lowering: an op, or an argument of it, that has no MLX form here."""

from pathlib import Path

from ..errors import FormatError


class Unsupported(FormatError):
    """An op or an argument that is not implemented; nothing is approximated in silence."""

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        self.fix = fix
        super().__init__(what, where=where, fix=fix)
