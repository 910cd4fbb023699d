"""How much converts: torch's own op samples, Hugging Face, timm, other packages, public repositories; all counted.

Of Hugging Face and timm the suites take a development half; see `development_half.py`.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from .in_the_wild import wild_page
from .report import page
from .results import SUITES, Coverage, read

__all__ = ["Coverage", "measure", "page", "read", "wild_page"]


def measure(
    suites: Sequence[str] | None = None,
    output: Path | None = None,
    *,
    only: Sequence[str] = (),
    failed: bool = False,
    processes: int = 1,
) -> Coverage:
    """Measure the cases that the folder `output` does not hold yet, and add their results to it.

    Without `output` every case is measured and nothing is written. only: names of cases, which are measured again if
    `output` holds them. failed: measure again what does not pass. processes: cases at a time.
    Raises: UsageError for an unknown suite or case, for `failed` without `output`, and for an `output` that is a file.
    """
    from .run import run

    if output is None and failed:
        raise UsageError("only the results of an earlier run say which cases failed", fix="give their folder: --output")
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is not a folder", fix="--output takes the folder of the results")
    with tempfile.TemporaryDirectory() as scratch:
        results = output or Path(scratch)
        return run(suites or SUITES, results=results, only=only, failed=failed, processes=processes)
