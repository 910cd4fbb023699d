"""What reading one checkpoint may cost: one count for everything that a reader makes, checked as it goes.

A step is about a microsecond of this reader's time and a hundred bytes of memory. Whatever a small file repeats
without end (memo, references, nesting, empty tensors, names) runs into the same bound.
"""

from pathlib import Path

from ..errors import FormatError

STEPS = 4_000_000  # more than the 91,000 tensors in 163 shards take that the largest published checkpoint has
NAME_BYTES = 64  # of text that a reader makes, for one step
TENSOR = 10  # steps for one tensor: its header is checked, its name compared


class Budget:
    """The steps that are left for one checkpoint, all of its files together. where: its name in the error."""

    def __init__(self, where: str | Path, steps: int = STEPS) -> None:
        self.where, self.n_remaining = where, steps

    def spend(self, steps: int = 1) -> None:
        """Take steps. Raises: FormatError where more are asked for than are left."""
        self.n_remaining -= steps
        if self.n_remaining < 0:
            raise FormatError(
                "reading it would take far more time or memory than a checkpoint of any size needs",
                where=self.where,
                fix="the file is damaged or made to exhaust this machine; get it again from its author",
            )

    def name(self, text: str) -> str:
        """Take the steps for a text that was made, and return it."""
        self.spend(1 + len(text) // NAME_BYTES)
        return text
