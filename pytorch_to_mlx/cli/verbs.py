"""A plain typed Python function becomes a command: its signature the options, its docstring the help."""

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .options import OPTIONS, Option

OUTPUTS = ("output", "plot", "html")  # the options that name a file to write, which may be -, stdout
SECTION = re.compile(r"^\s*(Examples?|Args|Spellings|Raises|Returns|Shapes|Source):\s*(.*)$")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a verb as the command line spells it. `spellings` is empty for a positional argument."""

    name: str
    hint: Any
    default: Any
    spellings: tuple[str, ...]
    help: str

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Verb:
    """A function as a command: what `--help` says, and what docs/ says."""

    name: str
    description: str
    examples: tuple[str, ...]
    parameters: tuple[Parameter, ...]


def read(name: str, function: Callable[..., Any]) -> Verb:
    """Read signature and docstring: the first lines describe, `Example:` shows, `Args:` explains parameters.

    `Spellings:` has more spellings of this verb's options, those that an original's users know.
    """
    description, sections = _read_docstring(function)
    help_of, spellings_of = (
        dict(re.findall(r"(\w+): (.+)", "\n".join(sections.get(section, [])))) for section in ("Args", "Spellings")
    )
    hints = typing.get_type_hints(function)
    parameters = tuple(
        _parameter(p, _simple(hints.get(p.name, str)), help_of.get(p.name), name, spellings_of.get(p.name, "").split())
        for p in inspect.signature(function).parameters.values()
    )
    return Verb(name, description, tuple(sections.get("Example", []) + sections.get("Examples", [])), parameters)


def add(app: typer.Typer, name: str, function: Callable[..., Any]) -> None:
    """Register `function` under `name`. Its result is printed; `--json` prints it as JSON, `--quiet` nothing else."""
    verb = read(name, function)
    as_json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
    quiet = Annotated[bool, typer.Option("--quiet", help="print the result and errors only: no progress, no notes")]
    debug = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *(inspect.Parameter(p.name, kind, default=p.default, annotation=_annotation(p)) for p in verb.parameters),
        inspect.Parameter("as_json_", kind, default=False, annotation=as_json),
        inspect.Parameter("quiet_", kind, default=False, annotation=quiet),
        inspect.Parameter("debug_", kind, default=False, annotation=debug),
    ]

    def run(as_json_: bool, quiet_: bool, debug_: bool, **values: Any) -> None:
        from ..outputs import is_stdout
        from ..progress import listening
        from .output import show
        from .progress_bar import ProgressBar

        positional = inspect.signature(function).parameters.values()
        args = [values.pop(p.name) for p in positional if p.kind is p.POSITIONAL_ONLY]
        with listening(None if quiet_ else ProgressBar()), ExitStack() as stack:
            if any(is_stdout(values.get(name)) for name in OUTPUTS):  # then the result of the verb goes to stderr
                stack.enter_context(redirect_stdout(sys.stderr))
            result = function(*args, **values)
            show(result, as_json=as_json_)
        if hasattr(result, "check") and values.get("check", True):  # where a verb has an option --check, it decides
            result.check()

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  Typer reads it
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    app.command(name, help=verb.description, epilog=epilog(verb.examples))(run)


def epilog(examples: Sequence[str]) -> str | None:
    """The examples at the end of a help page, each on a line of its own."""
    return "\n\n".join(["Example:", *examples]) if examples else None


def _read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, list[str]]]:
    """The description, and the lines of each section (`Example:`, `Args:`, …)."""
    text: list[str] = []
    sections: dict[str, list[str]] = {}
    current = text
    for line in inspect.cleandoc(function.__doc__ or "").splitlines():
        found = SECTION.match(line)
        if found:
            current = sections.setdefault(found[1], [])
            line = found[2]
        if current is text:
            text.append(line)
        elif line.strip():
            current.append(line.strip())
    return "\n".join(text).strip(), sections


def _parameter(
    parameter: inspect.Parameter, hint: Any, help_text: str | None, verb: str, others: Sequence[str]
) -> Parameter:
    name = parameter.name
    option = OPTIONS.get(name, Option(""))
    spellings: tuple[str, ...] = ()
    if not option.argument and parameter.kind is not parameter.POSITIONAL_ONLY:
        dashed = name.replace("_", "-")
        first = f"--{dashed}/--no-{dashed}" if hint is bool and parameter.default is True else f"--{dashed}"
        same = ("--output",) if name == "mlx_path" and verb == "convert" else ()
        spellings = (first, *same, *option.short, *others)
    default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    return Parameter(name, hint, default, spellings, help_text or option.help)


def _annotation(parameter: Parameter) -> Any:
    """What Typer reads."""
    if parameter.spellings and (kind := _NUMBERS.get(parameter.hint)):
        several = {"parser": _numbers(kind), "callback": _joined, "metavar": f"<{kind.__name__},{kind.__name__},…>"}
        return Annotated[parameter.hint, typer.Option(*parameter.spellings, help=parameter.help, **several)]
    if parameter.spellings:
        return Annotated[parameter.hint, typer.Option(*parameter.spellings, help=parameter.help)]
    return Annotated[parameter.hint, typer.Argument(help=parameter.help, show_default=False)]


KINDS = {int: "whole numbers", float: "numbers"}
_NUMBERS = {list[int]: int, list[int] | None: int, list[float]: float, list[float] | None: float}


def _numbers(kind: type) -> Callable[[str], list[Any]]:
    """Numbers with commas between, as in `--temperature 0,0.2`; the option may also be given several times."""

    def parse(value: str) -> list[Any]:
        try:
            return [kind(part) for part in value.split(",")]
        except ValueError as error:
            raise typer.BadParameter(f"'{value}' is not {KINDS[kind]} with commas between") from error

    return parse


def _joined(values: list[list[Any]] | None) -> list[Any] | None:
    return [number for part in values for number in part] if values else values


def _simple(hint: Any) -> Any:
    """A type that Typer can read from the command line: unions lose all but one member, sequences become lists."""
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        some = [_simple(member) for member in members if member is not type(None)]
        chosen = str if str in some else some[0]
        return chosen | None if type(None) in members else chosen
    if origin is Literal or hint in (str, int, float, bool, Path):
        return hint
    if isinstance(origin, type) and issubclass(origin, typing.Iterable):  # type: ignore[arg-type]
        return list[_simple(members[0])]  # type: ignore[misc]
    return str
