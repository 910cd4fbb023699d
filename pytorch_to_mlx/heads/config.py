"""What a head is: its outputs, the layers that it reads, its sizes. Written into its file, checked when it is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..config import MAX_REPEATS, from_dict, number

Kind = Literal["ctc", "frames", "pitch", "clip"]
Unit = Literal["", "character", "piece", "phoneme"]
MAX_LABELS = MAX_REPEATS  # longer lists are not read back
PITCH_CLASSES = 270
PITCH_STEP_CENTS = 20.0
LOWEST_PITCH_HZ = 46.9


@dataclass(frozen=True)
class Output:
    """One question that a head answers.

    kind: "ctc", labels in order, without times; "frames", a class for each frame; "pitch", F0 and voicing for each
    frame; "clip", a class for all of it. unit: what CTC's labels are. labels: the classes; none for pitch.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    unit: Unit = ""

    def __post_init__(self) -> None:
        if (self.kind == "pitch") == bool(self.labels) or len(self.labels) > MAX_LABELS:
            raise ValueError(f"output {self.name!r} of kind {self.kind} has {len(self.labels)} labels")
        if (self.kind == "ctc") != bool(self.unit):
            raise ValueError(f"output {self.name!r} of kind {self.kind} has the unit {self.unit!r}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"output {self.name!r} has a label twice")

    @property
    def size(self) -> int:
        """Return how many numbers the network gives for it: a blank before CTC's labels, voicing after the pitches."""
        return PITCH_CLASSES + 1 if self.kind == "pitch" else len(self.labels) + (self.kind == "ctc")


@dataclass(frozen=True)
class Config:
    """Sizes of a head, and the trunk that it was trained on.

    trunk: the sha256 of the encoder's weights. layers: those of the trunk that are read; 0 is its convolutions.
    input_size: width of the trunk. num_blocks: convolutions over 5 frames, each 40 ms more context on both sides.
    """

    trunk: str
    input_size: int
    layers: tuple[int, ...] = number(low=0)
    hidden_size: int = 256
    num_blocks: int = number(2, low=0)
    outputs: tuple[Output, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 0:
            raise ValueError(f"layers {list(self.layers)} are not increasing numbers from 0")
        if not self.outputs or len({output.name for output in self.outputs}) != len(self.outputs):
            raise ValueError("a head needs outputs, each with a name of its own")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Config":
        """Read what `to_dict` wrote. Raises: FormatError that lists every problem."""
        return from_dict(cls, data, where=where)

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as JSON holds them."""
        return asdict(self)
