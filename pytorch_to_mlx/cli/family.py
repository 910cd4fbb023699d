"""The verbs that every family has: the general ones with the family settled and what does not apply left out."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import general


@dataclass(frozen=True)
class FamilyVerb:
    """A general verb as a family has it.

    parameter: of the general verb, which takes the family's name. without: parameters that a family does not have.
    description: of `--help`, with FAMILY for the family's name; the help of parameters comes from the general verb.
    """

    general: Callable[..., Any]
    description: str
    parameter: str = "family"
    without: tuple[str, ...] = ()

    def bind(self, family: str) -> Callable[..., Any]:
        """Return the function of one family."""
        hidden = {self.parameter, *self.without}
        signature = inspect.signature(self.general)

        @functools.wraps(self.general)
        def bound(*args: Any, **values: Any) -> Any:
            call = bound.__signature__.bind(*args, **values)  # type: ignore[attr-defined]
            arguments = {self.parameter: family, **call.arguments}
            names = [name for name, p in signature.parameters.items() if p.kind is p.POSITIONAL_ONLY]
            positional = [arguments.pop(name) for name in names]
            return self.general(*positional, **arguments)

        parameters = [p for name, p in signature.parameters.items() if name not in hidden]
        bound.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        bound.__doc__ = self.description.replace("FAMILY", family)
        return bound


VERBS = {
    "list": FamilyVerb(
        general.list_,
        """List the published checkpoints of FAMILY.

        Example: pytorch-to-mlx FAMILY list
        """,
    ),
    "inspect": FamilyVerb(
        general.analyze,
        """Tell what a FAMILY checkpoint holds and what would not convert, and why.

        Example: pytorch-to-mlx FAMILY inspect ./checkpoint
        """,
        without=("extend", "html"),
    ),
    "convert": FamilyVerb(
        general.convert,
        """Convert a FAMILY checkpoint into a folder of MLX weights.

        By default installed weights, else the first checkpoint that `list` shows.

        Example: pytorch-to-mlx FAMILY convert --hf-path ./checkpoint --mlx-path FAMILY-mlx
        """,
        without=("source", "extend", "noise"),
    ),
    "validate": FamilyVerb(
        general.validate,
        """Prove FAMILY: run PyTorch and MLX on the same weights and input and compare them tap by tap.

        A tap that diverges ends with exit code 5. With --mlx-path the converted folder is validated.

        With --q-bits PyTorch is not run: the model quantized to so many bits is measured beside itself in full
        precision, by greedy tokens, next-token distributions and chrF of the texts. For models that write tokens.

        Args:
            q_bits: measure what quantization to so many bits changes (may be given several times)
            plot: also draw the error of every tap into this file (.svg, .png, .pdf)

        Example: pytorch-to-mlx FAMILY validate --hf-path ./checkpoint
        """,
        without=("source", "original", "extend", "trust_folder"),
    ),
    "benchmark": FamilyVerb(
        general.benchmark,
        """Measure FAMILY: wall and CPU time, real-time factor, first audio, load time, peak memory.

        With --against both sides run in one process, interleaved, and the ratio is shown;
        onnxruntime is for wake words.

        Args:
            output: write the result as JSON

        Example: pytorch-to-mlx FAMILY benchmark --against torch --output FAMILY.json
        """,
        parameter="what",
        without=("suite", "only", "failed", "processes"),
    ),
}
