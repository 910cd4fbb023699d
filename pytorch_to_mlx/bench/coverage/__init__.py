"""How much converts: torch's own op samples, Hugging Face, timm and other packages, every case counted."""

from collections.abc import Sequence
from pathlib import Path

from .report import SUITES, Coverage, page, read


def measured(
    suites: Sequence[str] | None,
    results: Path,
    output: Path,
    *,
    only: Sequence[str] = (),
    failed: bool = False,
    processes: int = 1,
) -> Coverage:
    """Measure what `results` does not hold yet, or again what is named or not right; write the page of all results."""
    from .run import run

    run(suites or SUITES, results=results, only=only, failed=failed, processes=processes)
    coverage = read(results)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page(coverage), encoding="utf-8")
    return coverage
