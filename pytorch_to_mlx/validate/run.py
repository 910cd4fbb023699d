"""Run both sides of a family's reference on its cases and compare them tap by tap."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .. import codegen
from ..card import Tap
from ..checkpoint.json_file import read_config
from ..contract import Reference
from ..errors import FormatError, MissingExtraError, UsageError
from ..forks import require_own_threads
from ..model_source import ModelSource, find_model
from ..progress import note
from ..version import versions
from ..weights.folder import check_files
from .compare import TapResult, compare
from .report import CaseResult, Report


def validate(
    source: str | Path | None,
    module: Any = None,
    example_inputs: Any = (),
    *,
    family: str | None = None,
    mlx_path: str | Path | None = None,
    cases: Sequence[str] | None = None,
    methods: Mapping[str, Any] | None = None,
    extend: Sequence[str | Path] | None = None,
    trust_folder: bool = False,
) -> Any:
    """Compare our model with the PyTorch original on the same weights and the same inputs.

    source: checkpoint of the original (file, folder, hub id, `packaged:NAME`); None is the default of `family`.
    mlx_path: a converted folder to validate instead of converting `source` in memory. cases: names of the cases to
    run; all by default.
    A folder of generated source, as `source` or as `mlx_path` with the original as `source`, is compared with the
    PyTorch module that it was converted from. module: that original, a torch module with example_inputs or methods, or
    text: a factory, which is run. What the folder names is never run, and its model.py only if it is what the original
    gives now, or with `trust_folder`. extend: Python files to run first, which register ops and modules.

    Raises: MissingExtraError where torch is not installed; UsageError for the name of a case that does not exist, and
    for a generated folder without its original.
    """
    require_own_threads()
    if mlx_path is not None and codegen.is_generated(mlx_path):
        source, module = mlx_path, source if module is None else module
    if source is not None and codegen.is_generated(source):
        return codegen.validate(
            source, module, example_inputs, methods=methods, extend=extend, trust_folder=trust_folder
        )
    if module is not None or extend or trust_folder:
        raise UsageError("this is not a folder of generated source, so it has no original to give", where=str(source))
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "validate", needed_for="comparing with PyTorch")
    model = find_model(source, family=family)
    reference = open_reference(model, None if mlx_path is None else Path(mlx_path))
    ours = mlx_path if mlx_path is not None else model.path if model.converted else None
    if ours is not None and "quantization" in read_config(ours):
        note(f"warning: {ours} is quantized, and differs from PyTorch by that: expect failures below")
    report = run(
        reference, model.family.card.taps, family=model.family.name, source=str(source or model.name), cases=cases
    )
    for path in (model.path if model.converted else None, mlx_path):
        if path is not None and report.passed:  # else the report says more: where the difference begins
            check_files(path, weights_only=True)
    return report


def open_reference(model: ModelSource, mlx_path: Path | None) -> Reference:
    """Open the family's reference on `model`, both sides built."""
    note(f"opening {model.name} in PyTorch and in MLX")
    return model.family.reference().open(model.path, mlx_path)


def run(
    reference: Reference,
    taps: Sequence[Tap],
    *,
    family: str,
    source: str,
    cases: Sequence[str] | None = None,
) -> Report:
    """Run the cases of an open reference. Every tap of the card must be reached by at least one of them.

    A reference with `not_compared()` names the taps that the installed original cannot give, and why.

    Raises: UsageError for the name of a case that does not exist; FormatError where the two sides record other taps
    than the card declares.
    """
    cases_by_name = {case.name: case for case in reference.cases()}
    if unknown := [name for name in cases or () if name not in cases_by_name]:
        raise UsageError(f"no case is called '{unknown[0]}'", fix=f"cases: {', '.join(cases_by_name)}")
    not_compared = reference.not_compared()
    for tap, why in not_compared.items():
        note(f"{tap}: not compared, {why}")
    results = []
    for number, name in enumerate(names := list(cases or cases_by_name), 1):
        note(f"case {number} of {len(names)}: {name}")
        case = cases_by_name[name]
        torch32 = reference.torch(case, "float32")
        torch64 = reference.torch(case, "float64")
        results.append(CaseResult(name, compare_taps(taps, reference.mlx(case), torch32, torch64)))
    reached = {tap.name for result in results for tap in result.taps} | not_compared.keys()
    unreached = [tap.name for tap in taps if tap.name not in reached] if not cases else []
    problems = [f"no case reaches the tap '{name}'" for name in unreached]
    return Report(family, source, tuple(results), tuple(problems), versions(), reference.weights_from)


def compare_taps(
    taps: Sequence[Tap],
    ours: dict[str, np.ndarray],
    torch32: dict[str, np.ndarray],
    torch64: dict[str, np.ndarray] | None = None,
) -> tuple[TapResult, ...]:
    """Compare all taps that one case reaches, in the card's order.

    Raises: FormatError where the two sides record different taps, or taps that the card does not declare.
    """
    declared = {tap.name: tap for tap in taps}
    if ours.keys() != torch32.keys():
        only = sorted(ours.keys() ^ torch32.keys())
        raise FormatError(f"the two sides record different taps: {', '.join(only)} on one side only")
    if undeclared := sorted(ours.keys() - declared.keys()):
        raise FormatError(f"taps that the card does not declare: {', '.join(undeclared)}")
    arbiters = torch64 or {}
    return tuple(
        compare(tap, ours[name], torch32[name], arbiters.get(name)) for name, tap in declared.items() if name in ours
    )
