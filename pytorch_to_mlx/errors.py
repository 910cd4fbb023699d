"""The errors that a user can meet. Each builds its own message and carries its exit code."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

MAX_DETAILS = 10
PYTHON_LIMITS = dict.fromkeys(["kokoro", "kokoro-ja", "kokoro-zh"], "3.11 or 3.12")
"""Extras that cannot be installed in every Python: misaki 0.9.4 is not for 3.13."""


class PortError(Exception):
    """A problem that is not our bug: what is wrong, where, and what to do about it.

    The message is one line, `where: what; fix`, followed by one indented line per detail (at most MAX_DETAILS).
    Details are for errors that list all problems at once, such as tensors that match no rule.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str | Path | None = None, fix: str | None = None, details: Iterable[str] = ()
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        self.details: Sequence[str] = tuple(details)
        super().__init__(str(self))

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        line = " ".join(f"{line}; {self.fix}".split() if self.fix else line.split())
        shown = [f"  {detail}" for detail in self.details[:MAX_DETAILS]]
        if len(self.details) > MAX_DETAILS:
            shown.append(f"  … and {len(self.details) - MAX_DETAILS} more")
        return "\n".join([line, *shown])


class UsageError(PortError):
    """Wrong use: an unknown option value, a missing argument, a destination that exists."""

    exit_code = 2


class UnsafeError(PortError):
    """Refused as unsafe: the input asks for code to be run or for a file outside its folder."""

    exit_code = 3


class FormatError(PortError):
    """Malformed or unsupported input."""

    exit_code = 4


class CheckError(PortError):
    """A check failed: validation differs, a written file does not read back, a value overflowed."""

    exit_code = 5


class MachineError(PortError):
    """The environment: disk, permission, memory, a missing extra, no network."""

    exit_code = 6


class MissingExtraError(MachineError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, *, needed_for: str) -> None:
        limit = PYTHON_LIMITS.get(extra)
        new = f"make an environment with Python {limit}, and there " if limit and sys.version_info >= (3, 13) else ""
        super().__init__(
            f"{needed_for} needs the package '{package}'", fix=f"{new}run: pip install 'pytorch-to-mlx[{extra}]'"
        )
