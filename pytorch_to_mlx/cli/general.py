"""The verbs that stand beside the families. Each calls the Python function of the same name."""

import re
from pathlib import Path
from typing import Any, Literal


def list_() -> list[dict[str, Any]]:
    """List the model families with their task and checkpoints.

    Example: pytorch-to-mlx list
    """
    from .. import registry

    return [
        {
            "family": card.name,
            "task": card.task,
            "what": card.summary,
            "checkpoints": [f"packaged:{p.packaged}" if p.packaged else p.hub_id for p in card.checkpoints],
        }
        for card in registry.cards()
    ]


def doctor() -> Any:
    """Show the machine: device, MLX, the BLAS in use and its speed, threads, optional parts and how to add them.

    Example: pytorch-to-mlx doctor --json
    """
    from .. import backend

    return backend.describe()


def analyze(
    source: str,
    *,
    family: str | None = None,
    revision: str | None = None,
    extend: list[Path] | None = None,
    html: Path | None = None,
) -> Any:
    """Tell what a checkpoint or a PyTorch module holds, and what would not convert and why.

    A checkpoint: tensors, sizes, dtypes, its family. A module: its ops, source lines, dynamic sizes and memory;
    SOURCE is then a Python factory (`file.py:function` or `package.module:function`, your own code, which is run), a
    `.pt2` file, or a Hugging Face model that is no family here. Nothing is converted.

    Args:
        html: also write the analysis of a module as one page

    Example: pytorch-to-mlx analyze kokoro-v1_0.pth
    """
    from ..analyze import analyze
    from ..errors import UsageError

    result = analyze(source, family=family, revision=revision, extend=extend)
    if html is not None:
        if not hasattr(result, "html"):
            raise UsageError("--html is for PyTorch modules, and this is a checkpoint")
        html.write_text(result.html(), encoding="utf-8")
    return result


def convert(
    source: str | None = None,
    *,
    hf_path: str | None = None,
    mlx_path: Path = Path("mlx_model"),
    family: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    quantize: bool = False,
    dequantize: bool = False,
    q_bits: int = 8,
    q_group_size: int = 64,
    revision: str | None = None,
    force: bool = False,
    allow_nonfinite: bool = False,
    extend: list[Path] | None = None,
) -> Any:
    """Convert a PyTorch checkpoint into a folder of MLX weights, or a PyTorch module into MLX source.

    The folder appears whole or not at all. SOURCE and --hf-path mean the same. A module is a Python factory
    (`file.py:function` or `package.module:function`, your own code, which is run, and which returns the module with
    example inputs, or with a dict of them by method), a `.pt2` file, or a Hugging Face model that is no family here;
    if a submodule of the source differs from PyTorch, the exit code is 5.

    Example: pytorch-to-mlx convert hexgrad/Kokoro-82M --mlx-path kokoro-mlx
    """
    from ..errors import UsageError

    if (source is None) == (hf_path is None):
        raise UsageError("give the checkpoint once, as SOURCE or as --hf-path")
    from ..convert import convert

    return convert(
        source or hf_path or "",
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
        extend=extend,
    )


def validate(
    source: str, *, family: str | None = None, mlx_path: Path | None = None, cases: list[str] | None = None
) -> Any:
    """Prove a port: run PyTorch and MLX on the same weights and input and compare them tap by tap.

    A tap that diverges ends with exit code 5. With --mlx-path the converted folder is validated. A folder of
    generated source is compared submodule by submodule with the module it was made from; this runs both.

    Example: pytorch-to-mlx validate hexgrad/Kokoro-82M --mlx-path kokoro-mlx
    """
    from ..validate import validate

    return validate(source, family=family, mlx_path=mlx_path, cases=cases)


def benchmark(
    what: str,
    /,
    *,
    against: Literal["torch", "onnxruntime"] | None = None,
    hf_path: str | None = None,
    mlx_path: Path | None = None,
    workloads: list[str] | None = None,
    runs: int = 5,
    fresh: bool = True,
    profile: bool = False,
    suite: list[str] | None = None,
    only: list[str] | None = None,
    failed: bool = False,
    processes: int = 1,
    output: Path | None = None,
) -> Any:
    """Measure speed and memory of a family, of the single ops or of decoding text, beside PyTorch in one run.

    `coverage` measures what the converter of modules covers: the cases that the folder of `--output` does not hold yet,
    and adds their results to it; without `--output` it prints its table and writes nothing.

    Args:
        what: a family, `ops`, `decoding` (language models by mlx-lm), or `coverage`
        suite: of coverage: `ops`, `huggingface`, `timm`, `packages`, `cost` or `runtime`; all if not given
        only: of coverage: names of cases (NAME[,NAME]) to measure, again if they were measured before
        failed: of coverage: measure again every case that is not right
        processes: of coverage: cases at a time

    Example: pytorch-to-mlx benchmark ops --against torch
    """
    from . import family

    if what == "ops":
        from ..bench import ops

        if against == "onnxruntime":
            from ..errors import UsageError

            raise UsageError("ops are measured beside torch", fix="--against torch")
        return family.written(ops.run(against_torch=against == "torch"), output)
    if what == "decoding":
        from ..bench import decoding

        return family.written(decoding.run(against_torch=against == "torch"), output)
    if what == "coverage":
        from ..bench import coverage

        if workloads:
            from ..errors import UsageError

            raise UsageError("coverage has suites, not workloads", fix=f"--suite {workloads[0]}")
        return coverage.measure(
            suite,
            output,
            only=[name for one in only or () for name in re.split(r",(?=\S)", one)],
            failed=failed,
            processes=processes,
        )
    return family.benchmark(
        what,
        against=against,
        hf_path=hf_path,
        mlx_path=mlx_path,
        workloads=workloads,
        runs=runs,
        fresh=fresh,
        profile=profile,
        output=output,
    )


def compare(
    ours: str, reference: str, /, *, tolerance: Literal["exact", "float32", "float16", "bfloat16"] = "float32"
) -> Any:
    """Compare two audio files, two checkpoints tensor by tensor, or two benchmark results.

    Exit code 5 if they differ by more than the tolerance.

    Args:
        ours: audio, checkpoint or benchmark JSON
        reference: what to compare it with, of the same kind

    Example: pytorch-to-mlx compare ours.wav theirs.wav
    """
    if ours.endswith(".json") and reference.endswith(".json"):
        from ..bench.result import compare

        return compare(Path(ours), Path(reference))
    from ..validate.files import compare_files

    return compare_files(ours, reference, tolerance=tolerance)


VERBS = {
    "list": list_,
    "doctor": doctor,
    "analyze": analyze,
    "convert": convert,
    "validate": validate,
    "benchmark": benchmark,
    "compare": compare,
}
