"""Modules of public repositories, as a user brings them: their code is fetched at one commit and is not changed.

The cases are in the files `wild_*.py` beside this one. A factory returns the module and its cases: the first to
convert on, the others to compare on, every size that the original takes among them. The checkout is on `sys.path`.
"""

import contextlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...checkpoint.packaged import cache_folder
from ...codegen.capture.arguments import named_arguments
from ...codegen.capture.methods import FORWARD, method_as_forward
from ...codegen.capture.patches import quiet
from ...codegen.convert_module import convert_module, load_generated
from ...codegen.paths import safe_name
from ...codegen.proof.compare import summary
from ...codegen.proof.outputs import check_outputs
from ...codegen.reports.conversion import Conversion
from ...codegen.sources.example_inputs import FAILURES
from ...codegen.sources.module_source import ModuleSource
from .cost import first_difference
from .modules import Case, line_of, not_built, randomize, shapes_text
from .runtime import milliseconds

GITHUB = "https://github.com"
FOLDER = "PYTORCH_TO_MLX_WILD"
"""The environment's name of the folder of checkouts."""
Factory = Callable[[Path], tuple[nn.Module, Sequence[Case]]]


@dataclass(frozen=True)
class Repository:
    """A module of a public repository.

    Attributes:
        weights: "random" ones are varied where they are constant; of others it says where they come from.
        needs: what its code imports beside torch, as `pip install` takes it.
        path: folders of the checkout that go on `sys.path`.
        method: the method to convert.
        noise: as in `convert_module`.
    """

    name: str
    commit: str
    kind: str
    factory: Factory
    weights: str = "random"
    needs: Sequence[str] = ()
    path: Sequence[str] = (".",)
    method: str = FORWARD
    noise: str | None = None

    @property
    def folder(self) -> Path:
        """Where its checkout is, or will be."""
        parent = os.environ.get(FOLDER)
        return Path(parent or cache_folder() / "wild") / f"{self.name.replace('/', '+')}@{self.commit[:9]}"


@dataclass
class WildResult:
    """How a repository's module fared. sizes: the comparisons, the first of them the size that it was converted on.

    fixed: what the source says of sizes that it does not take, each with `original`: whether PyTorch takes others.
    not_varied: axes that only had one length. milliseconds: of a call at the largest size, by side.
    """

    name: str
    repository_commit: str
    kind: str
    weights: str
    needs: list[str]
    use: str
    code: str
    built: bool = False
    converted: bool = False
    matched: bool = False
    dynamic: bool = False
    reason: str = ""
    parameters: int = 0
    lines: int = 0
    sizes: list[dict[str, Any]] = field(default_factory=list)
    fixed: list[dict[str, str]] = field(default_factory=list)
    not_varied: list[str] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    convert_cpu_s: float = 0.0
    milliseconds: dict[str, float] = field(default_factory=dict)
    threads: int = 0
    timed_at: str = ""

    @property
    def ok(self) -> bool:
        """Return whether the source is right at every size that the original takes."""
        return self.converted and self.matched and self.dynamic and not self.reason

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a line of JSON on disk has it."""
        return vars(self) | {"ok": self.ok}


REPOSITORIES: dict[str, Repository] = {}


def repository(name: str, *, commit: str, kind: str, **options: Any) -> Callable[[Factory], Factory]:
    """Register a factory for a repository. options: further attributes of `Repository`."""

    def register(function: Factory) -> Factory:
        REPOSITORIES[name] = Repository(name, commit, kind, function, **options)
        return function

    return register


def repositories() -> dict[str, Repository]:
    """Return all of them, by name."""
    for file in sorted(Path(__file__).parent.glob("wild_*.py")):
        import_module(f"{__package__}.{file.stem}")
    return REPOSITORIES


def measure_repository(name: str) -> WildResult:
    """Convert a repository's module as a user does, and compare it at every size. Nothing that fails is raised."""
    one = repositories()[name]
    result = WildResult(name, one.commit, one.kind, one.weights, list(one.needs), *source_text(one))
    torch.manual_seed(0)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            folder = checkout(one)
            sys.path[:0] = [str(folder / part) for part in one.path]
            module, cases = one.factory(folder)
            module.eval()
            if one.weights == "random":
                randomize(module)
        except (*FAILURES, ImportError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None)
            result.reason = not_built(error) + (f": {detail.strip().splitlines()[-1]}" if detail else "")
            return result
        result.built = True
        result.parameters = sum(p.numel() for p in module.parameters())
        try:
            _measure(result, one, module, cases)
        except FAILURES as error:
            result.reason = f"{type(error).__name__}: {line_of(error)}"
    return result


def source_text(one: Repository) -> tuple[str, str]:
    """Return what a user does, in a sentence, and the lines of the factory that do it."""
    lines = inspect.getsource(one.factory).splitlines()
    first = 1 + next(place for place, line in enumerate(lines) if '"""' in line)
    return (inspect.getdoc(one.factory) or "").splitlines()[0], inspect.cleandoc("\n".join(lines[first:]))


def checkout(one: Repository) -> Path:
    """Return the folder of a repository's files at its commit; they are fetched from GitHub if they are not there.

    Raises: CalledProcessError where git cannot fetch them.
    """
    if one.folder.is_dir():
        return one.folder
    one.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=one.folder.parent) as scratch:
        fetch = ("fetch", "--quiet", "--depth=1", f"{GITHUB}/{one.name}", one.commit)
        for words in (("init", "--quiet"), fetch, ("checkout", "--quiet", "FETCH_HEAD")):
            subprocess.run(["git", *words], cwd=scratch, capture_output=True, text=True, check=True)
        shutil.copytree(scratch, one.folder)
    return one.folder


def _measure(result: WildResult, one: Repository, module: nn.Module, cases: Sequence[Case]) -> None:
    args, kwargs = cases[0]
    if one.method == FORWARD:
        source = ModuleSource(module, args, dict(kwargs))
    else:
        source = ModuleSource(module, methods={one.method: (args, dict(kwargs))})
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        conversion = convert_module(source, Path(folder) / "mlx", noise=one.noise)
        model = load_generated(Path(folder) / "mlx")
    result.convert_cpu_s = time.process_time() - start
    result.converted, result.lines = True, conversion.source_lines
    result.reason = first_difference(conversion)
    result.noise = conversion.noise
    with method_as_forward(module, one.method):
        _compare(result, one, model, module, cases, conversion)
        call = getattr(model, "__call__" if one.method == FORWARD else safe_name(one.method))
        if all(size["ok"] for size in result.sizes):
            largest = max(cases, key=_n_values)
            result.timed_at = shapes_text(largest)
            result.milliseconds = milliseconds(module, call, *largest)
            result.threads = torch.get_num_threads()


def _compare(
    result: WildResult, one: Repository, model: Any, module: nn.Module, cases: Sequence[Case], conversion: Conversion
) -> None:
    """Compare at all sizes, and say of every size that is fixed whether the original takes others."""
    method = "__call__" if one.method == FORWARD else safe_name(one.method)
    draws = [int(name.removeprefix("noise_")) - 1 for name in conversion.noise]
    for args, kwargs in cases:
        try:
            verdict = summary(check_outputs(model, module, args, kwargs, method, noise=draws if one.noise else None))
        except FAILURES as error:
            verdict = {"ok": False, "why": f"{type(error).__name__}: {line_of(error)}"}
        verdict["ok"] &= not verdict.get("random") and not verdict.get("zero")
        result.sizes.append({"shapes": shapes_text((args, kwargs)), **verdict})
    wrong = next((one for one in result.sizes if not one["ok"]), None)
    if wrong is not None:
        result.reason = result.reason or f"{wrong['shapes']}: {wrong['why'] or 'zero or random'}"
    result.matched = result.sizes[0]["ok"]
    named = [dict(_named_tensors(module, case)) for case in cases]
    result.fixed = [{"text": text, "original": _original(module, cases[0], text)} for text in conversion.fixed]
    taken = next((one["text"] for one in result.fixed if one["original"] == OTHERS), None)
    if taken is not None:
        result.reason = result.reason or f"{taken}, and the original takes others"
    for name, lengths in conversion.varied.items():
        tensor, _, axis = name.rstrip("]").partition("[")
        tried = [case[tensor].shape[int(axis)] for case in named if tensor in case]
        if len({*lengths, *tried}) == 1:
            result.not_varied.append(name)
    result.dynamic = all(one["ok"] for one in result.sizes) and not result.not_varied
    if result.not_varied:
        result.reason = result.reason or f"not tried at another length: {', '.join(result.not_varied)}"


NO_OTHER, OTHERS, NOT_TRIED = "takes no other", "takes others", "not tried"


def _original(module: nn.Module, case: Case, text: str) -> str:
    """Return whether the original runs with one or twice as many on an axis that the source takes one length of."""
    match = re.fullmatch(r"axis (\d+) of (\w+) is (\d+) only", text)
    tensor = match and dict(_named_tensors(module, case)).get(match[2])
    if not match or tensor is None:
        return NOT_TRIED
    axis, size = int(match[1]), int(match[3])
    for longer in (size + 1, 2 * size):
        other = tensor.index_select(axis, torch.arange(longer) % size)
        args = tuple(other if value is tensor else value for value in case[0])
        kwargs = {key: other if value is tensor else value for key, value in case[1].items()}
        with contextlib.suppress(*FAILURES), torch.no_grad():
            module(*args, **kwargs)
            return OTHERS
    return NO_OTHER


def _named_tensors(module: nn.Module, case: Case) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a case that are arguments themselves, with the names of these."""
    for name, value in named_arguments(module.forward, *case):
        if isinstance(value, torch.Tensor):
            yield name, value


def _n_values(case: Case) -> int:
    args, kwargs = case
    values: list[Any] = [*args, *(kwargs.values() if isinstance(kwargs, Mapping) else ())]
    return sum(value.numel() for value in values if isinstance(value, torch.Tensor))
