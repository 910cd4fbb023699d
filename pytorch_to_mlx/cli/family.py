"""The verbs that every family has. The first parameter is the family; the card settles it."""

from pathlib import Path
from typing import Any, Literal

from .. import registry


def list_(family: str, /) -> Any:
    """List the published checkpoints of FAMILY.

    Example: pytorch-to-mlx FAMILY list
    """
    return [
        {
            "checkpoint": p.hub_id,
            "licence": p.licence,
            "packaged": p.packaged and f"packaged:{p.packaged}",
            "note": p.note,
        }
        for p in registry.card(family).checkpoints
    ]


def inspect(family: str, /, source: str, *, revision: str | None = None) -> Any:
    """Tell what a FAMILY checkpoint holds and what would not convert, and why.

    Example: pytorch-to-mlx FAMILY inspect ./checkpoint
    """
    from ..analyze import analyze

    return analyze(source, family=family, revision=revision)


def convert(
    family: str,
    /,
    *,
    hf_path: str | None = None,
    mlx_path: Path = Path("mlx_model"),
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    quantize: bool = False,
    dequantize: bool = False,
    q_bits: int = 8,
    q_group_size: int = 64,
    revision: str | None = None,
    force: bool = False,
    allow_nonfinite: bool = False,
) -> Any:
    """Convert a FAMILY checkpoint into a folder of MLX weights.

    By default installed weights, else the first checkpoint that `list` shows.

    Example: pytorch-to-mlx FAMILY convert --hf-path ./checkpoint --mlx-path FAMILY-mlx
    """
    from ..convert import convert

    return convert(
        hf_path,
        mlx_path,
        family=family,
        dtype=dtype,
        quantize=quantize,
        dequantize=dequantize,
        q_bits=q_bits,
        q_group_size=q_group_size,
        revision=revision,
        force=force,
        allow_nonfinite=allow_nonfinite,
    )


def validate(
    family: str,
    /,
    *,
    hf_path: str | None = None,
    mlx_path: Path | None = None,
    cases: list[str] | None = None,
) -> Any:
    """Prove FAMILY: run PyTorch and MLX on the same weights and input and compare them tap by tap.

    A tap that diverges ends with exit code 5. With --mlx-path the converted folder is validated.

    Example: pytorch-to-mlx FAMILY validate --hf-path ./checkpoint
    """
    from ..validate import validate

    return validate(hf_path, family=family, mlx_path=mlx_path, cases=cases)


def benchmark(
    family: str,
    /,
    *,
    against: Literal["torch", "onnxruntime"] | None = None,
    hf_path: str | None = None,
    mlx_path: Path | None = None,
    workloads: list[str] | None = None,
    runs: int = 5,
    fresh: bool = True,
    profile: bool = False,
    output: Path | None = None,
) -> Any:
    """Measure FAMILY: wall and CPU time, real-time factor, first audio, load time, peak memory.

    With --against both sides run in one process, taking turns, and the ratio is shown; onnxruntime is for wake words.

    Args:
        output: write the result as JSON

    Example: pytorch-to-mlx FAMILY benchmark --against torch --output FAMILY.json
    """
    from ..bench import benchmark

    result = benchmark(
        hf_path,
        family=family,
        against=against,
        mlx_path=mlx_path,
        workloads=workloads,
        runs=runs,
        fresh=fresh,
        profile=profile,
    )
    return written(result, output)


def written(result: Any, output: Path | None) -> Any:
    """The result, also written to `output` if one is given."""
    if output is not None:
        from ..bench import write

        write(result, output)
    return result


VERBS = {"list": list_, "inspect": inspect, "convert": convert, "validate": validate, "benchmark": benchmark}
