"""What a family's folder offers: `family.py` declares it as one `Family`, whose types pyright checks.

The types of the rooms above are parameters here: `Family[WeightMap, Checkpoint]` is what the registry gives.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np

from .card import ModelCard
from .config import unknown_keys
from .tasks import Pipeline

RulesT = TypeVar("RulesT")
ReleaseT = TypeVar("ReleaseT", covariant=True)
Side = Literal["ours", "torch"]


class Sizes(Protocol):
    """The sizes of a model: a frozen dataclass."""

    @classmethod
    def from_dict(cls, data: dict[str, Any], /) -> Any:
        """Read config.json. Raises FormatError that lists every problem."""
        ...

    @classmethod
    def tiny(cls) -> Any:
        """Return sizes of a few thousand parameters that have every part of the real model, for tests."""
        ...


class LoadPipeline(Protocol):
    """`pipeline.load`: a local checkpoint or converted folder becomes a pipeline, ready to run."""

    def __call__(self, path: Path, *, dequantize: bool | None = None) -> Pipeline:
        """Load from `path`. dequantize: unpack quantized layers; by default where this machine runs them faster so."""
        ...


class OpenRelease(Protocol[ReleaseT]):
    """Open a checkpoint as the original publishes it, with the sizes as its `config`."""

    def __call__(self, path: Path, /) -> ReleaseT:
        """Raise FormatError for what is not a release of this family."""
        ...


def _never(path: Path) -> bool:
    return False


def _nothing(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _no_parts() -> Mapping[str, Callable[[], Any]]:
    return {}


def _every_layer(path: str, layer: Any) -> bool:
    return True


@dataclass(frozen=True)
class Family(Generic[RulesT, ReleaseT]):
    """One family: what `convert`, `validate`, `benchmark` and `load` need of its folder.

    config: the class of its sizes. ignored, expected: keys of config.json that are read by nothing on purpose, and
    keys whose one value the port was made for. model: builds the module from the sizes. weights: its weight map.
    open_release: opens a checkpoint of the original. is_release: whether a folder looks like a release of several
    files, complete or not. extra_files: what a converted folder holds beside the weights, by relative path: bytes,
    or arrays for a .safetensors. refused_dtypes: in which the model cannot be stored, and why. quantizes: whether a
    layer may be quantized. recipes: mixtures of bits by name; of a module and a group size each gives what says to how
    many bits a layer goes. rounds_activations: whether its layers can round what they read (`convert --q-activations`).
    reference: imports the PyTorch original.
    variants: models of the same tensors by name, each with the sizes that tell it apart, for `convert --variant`.
    token_model: what `validate --q-bits` asks of a pipeline that writes tokens; None where it writes none.
    reference_parts: imports the parts of the original whose generated source `benchmark coverage --suite runtime` times
    beside ours, by name: each builds (module, args, kwargs, a call of ours on the same inputs).
    """

    card: ModelCard
    config: type[Sizes]
    model: Callable[[Any], Any]
    weights: RulesT
    open_release: OpenRelease[ReleaseT]
    load: LoadPipeline
    reference: "Callable[[], type[Reference]]"
    ignored: Collection[str] = ()
    expected: Collection[str] = ()
    is_release: Callable[[Path], bool] = _never
    extra_files: Callable[[Path, dict[str, Any]], Mapping[str, Any]] = _nothing
    refused_dtypes: Mapping[str, str] = field(default_factory=dict)
    quantizes: Callable[[str, Any], bool] = _every_layer
    recipes: Mapping[str, Callable[[Any, int], Callable[[str, Any], Any]]] = field(default_factory=dict)
    rounds_activations: bool = False
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    token_model: "Callable[[Any], TokenModel] | None" = None
    reference_parts: Callable[[], Mapping[str, Callable[[], Any]]] = _no_parts

    @property
    def name(self) -> str:
        return self.card.name

    def unread_keys(self, config: Mapping[str, Any]) -> list[str]:
        """Return the keys of config.json that are neither read nor ignored or expected on purpose."""
        return unknown_keys(self.config, config, ignored=self.ignored, expected=self.expected)


class TokenModel(Protocol):
    """What `validate --q-bits` asks of a model that writes tokens: once in full precision and once quantized."""

    def sources(self, n: int, lines: Sequence[str] = ()) -> list[Any]:
        """Return what to run on: made of a user's lines, or n of its own."""
        ...

    def generate(self, sources: Sequence[Any], /) -> list[tuple[int, ...]]:
        """Return the tokens of greedy search for each source."""
        ...

    def logits(self, sources: Sequence[Any], tokens: Sequence[Sequence[int]], /) -> Iterator[np.ndarray]:
        """Yield the logits before each token, step by step, after the tokens before it.

        Shapes: -> [sources, V]; rows of sequences that have ended are ignored.
        """
        ...

    def text(self, tokens: Sequence[int], /) -> str:
        """Return the text of tokens."""
        ...


@dataclass(frozen=True)
class Case:
    """One named input for both sides. Random numbers are part of it, so that both see the same."""

    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """The same work on both sides, for `benchmark --against torch`.

    A callable that returns an iterator is consumed; its first item is the first audio.
    torch: None for what the original does not do. audio_s: seconds of audio that one call makes or hears, for the
    real-time factor. first_parts: seconds by part until the first audio, in the last call of ours. warmups: calls
    before those that count; 0 for a call of minutes, in which a cold start does not show.
    """

    ours: Callable[[], Any]
    torch: Callable[[], Any] | None
    audio_s: float | None = None
    first_parts: Callable[[], Mapping[str, float]] | None = None
    warmups: int = 1


class Reference(Protocol):
    """Both sides of a family on the same weights: models/NAME/reference.py has a class that inherits this one.

    The original reads its own files wherever it can. Weights that took the way through ours say nothing about how we
    read them.
    """

    weights_from: str = ""
    """Where the original's weights come from, in words, for the report."""

    threads: ClassVar[int | None] = None
    """Threads of a reference that is not PyTorch."""

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        """Build the PyTorch original and our model on the same weights."""
        ...

    @classmethod
    def alone(cls, side: Side, source_path: Path, mlx_path: Path | None = None) -> Callable[[], Any]:
        """Build one side only and return its largest workload; `benchmark` takes load time and memory from it."""
        ...

    def cases(self) -> list[Case]:
        """Return the inputs to compare on; together they reach every tap of the card."""
        ...

    def torch(self, case: Case, dtype: str = "float32") -> dict[str, np.ndarray]:
        """Return tap name -> value of the PyTorch original in `dtype`, "float32" or "float64"."""
        ...

    def mlx(self, case: Case) -> dict[str, np.ndarray]:
        """Return tap name -> value of our model: the same names, the same shapes."""
        ...

    def workloads(self) -> dict[str, Workload]:
        """Return what `benchmark --against torch` measures, by name."""
        ...

    def not_compared(self) -> dict[str, str]:
        """Return the taps that the installed original cannot give, each with the reason."""
        return {}
