"""What one model folder declares about itself. Data only: reading a card imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Literal

Tolerance = Literal["exact", "float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Tap:
    """A named intermediate value that `validate` compares, with its tolerance.

    `exact` is for ids, codes and durations. `max_abs` and `min_snr_db` replace the row of the tolerance table
    for this tap; `measure` "rms" compares root mean squares instead of largest values. `why` is then required.
    """

    name: str
    tolerance: Tolerance = "float32"
    max_abs: float | None = None
    min_snr_db: float | None = None
    measure: Literal["max", "rms"] = "max"
    why: str = ""

    def __post_init__(self) -> None:
        if (self.max_abs is not None or self.min_snr_db is not None or self.measure != "max") and not self.why:
            raise ValueError(f"tap {self.name!r} loosens its tolerance without a reason")


@dataclass(frozen=True)
class Published:
    """A published checkpoint: hub id, licence, and the name in `checkpoint.packaged` if a package carries it.

    names: short names that `--model` takes. nbytes: of the weights, rounded.
    """

    hub_id: str
    licence: str
    revision: str = "main"
    packaged: str | None = None
    note: str = ""
    names: tuple[str, ...] = ()
    nbytes: float | None = None


@dataclass(frozen=True)
class ModelCard:
    """The declaration of one architecture family.

    name: CLI family and folder name (with `-` for `_`). task: 'text-to-speech', 'speech-to-text', …
    fingerprint: tensor names that every checkpoint of this family holds, as patterns of `weights.rules`
    (`{}` a layer number, `*` one name part); any one tuple that matches whole recognises the family.
    model_types: `model_type` values of config.json that mean this family.
    reference: what runs the original, for `benchmark --against`.
    verbs: task verbs as {"synthesize": "commands:synthesize"}, functions of this folder.
    files: what to download of a repository on the hub, as patterns (see checkpoint/names.py); of a tuple of patterns
    the first that matches. marker: a file by which a repository is known to be of this family.
    """

    name: str
    task: str
    summary: str
    checkpoints: tuple[Published, ...]
    fingerprint: tuple[tuple[str, ...], ...]
    taps: tuple[Tap, ...]
    model_types: tuple[str, ...] = ()
    verbs: dict[str, str] = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    extra: str | None = None
    files: tuple[str | tuple[str, ...], ...] = ()
    marker: str | None = None
    reference: Literal["torch", "onnxruntime"] = "torch"

    @property
    def default(self) -> Published:
        """The checkpoint that every verb takes when none is named."""
        return self.checkpoints[0]
