"""What PyTorch raises while a module is captured, run or compared, in the words of the user's code."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from ...errors import FormatError
from .value_questions import Question
from .watch import unchanged

# What torch.export, or a module that runs, raises.
EXPORT_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    TorchDynamoException,
)
PACKAGE = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class Failure:
    """One attempt to export a module: how, what torch raised, and what the code asked of a tensor, if that was it."""

    how: str
    error: BaseException
    question: Question | None = None


def explain(module: nn.Module, args: tuple, kwargs: Mapping[str, Any], failures: Sequence[Failure]) -> FormatError:
    """Return the error of a module that cannot be exported in any way, with the user's line and what helps."""
    name, first = type(module).__name__, failures[0]
    if (error := _own_error(module, args, kwargs)) is not None:
        return FormatError(
            f"{name} does not run on its example inputs: {first_lines(error)}",
            where=user_line(error),
            fix="give example inputs on which it runs in PyTorch",
        )
    what, where, fix = first_lines(first.error), user_line(first.error), "convert its parts one by one"
    if question := first.question:
        what, where, fix = f"{question.problem}, `{question.text}`", question.where, question.fix
    others = [f"{failure.how}: {first_lines(failure.error)}" for failure in failures[1:]]
    return FormatError(
        f"torch.export cannot capture {name}: {what}",
        where=where,
        fix=fix,
        details=[] if question else [text for text in others if not text.endswith(first_lines(first.error))],
    )


def _own_error(module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> BaseException | None:
    """Return what the module itself raises on its example inputs, if it does."""
    if any(tensor.device.type == "meta" for tensor in module.parameters()):
        return None
    try:
        with torch.no_grad(), unchanged(module):
            module(*copy.deepcopy(args), **copy.deepcopy(dict(kwargs)))
    except EXPORT_FAILURES as error:
        return error
    return None


def first_lines(error: BaseException) -> str:
    """Return the class of an error and the start of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300]}"


def user_line(error: BaseException) -> str | None:
    """Return "file:line" of the innermost traceback entry outside torch and this package."""
    line = None
    for file, number in _places(error):
        if "/torch/" not in file and not file.startswith(PACKAGE) and not file.startswith("<"):
            line = f"{file}:{number}"
    return line


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    trace = error.__traceback__
    while trace:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


@contextmanager
def torch_failures(name: str) -> Iterator[None]:
    """Turn what PyTorch or the user's code raises inside into a FormatError; errors of this package stay."""
    try:
        yield
    except FormatError:
        raise
    except EXPORT_FAILURES as error:
        files = [file for file, _ in _places(error)]
        if not any(part in files[-1] for part in ("/torch/", "/transformers/")) and user_line(error) is None:
            raise
        if files[-1].startswith(PACKAGE) or "/mlx/" in files[-1]:
            raise
        raise FormatError(
            f"{name} cannot be converted: PyTorch raises {first_lines(error)}",
            where=user_line(error),
            fix="convert its parts one by one",
        ) from error
