"""A plain typed Python function becomes a command: its signature the options, its docstring the help."""

import inspect
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from .options import OPTIONS, Option

SECTION = re.compile(r"^\s*(Examples?|Args|Raises|Returns|Shapes|Source):\s*(.*)$")


def add(app: typer.Typer, name: str, function: Callable[..., Any]) -> None:
    """Register `function` under `name`. Its result is printed; `--json` prints it as JSON."""
    description, sections = read_docstring(function)
    help_of = dict(re.findall(r"(\w+): (.+)", "\n".join(sections.get("Args", []))))
    hints = typing.get_type_hints(function)
    original = inspect.signature(function)
    parameters = [
        _parameter(p, hints.get(p.name, str), help_of.get(p.name), name) for p in original.parameters.values()
    ]
    as_json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
    debug = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters.append(inspect.Parameter("as_json_", kind, default=False, annotation=as_json))
    parameters.append(inspect.Parameter("debug_", kind, default=False, annotation=debug))

    def run(as_json_: bool, debug_: bool, **values: Any) -> None:
        from ..progress import listening
        from .output import Progress, show

        args = [values.pop(p.name) for p in original.parameters.values() if p.kind is p.POSITIONAL_ONLY]
        with listening(Progress()):
            result = function(*args, **values)
            show(result, as_json=as_json_)
        if hasattr(result, "check"):
            result.check()

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  Typer reads it
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    examples = sections.get("Example", []) + sections.get("Examples", [])
    epilog = "\n\n".join(["Example:", *(escape(line) for line in examples)]) if examples else None
    app.command(name, help=escape(description), epilog=epilog, no_args_is_help=False)(run)


def read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, list[str]]]:
    """The description, and the lines of each section (`Example:`, `Args:`, …)."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    text: list[str] = []
    sections: dict[str, list[str]] = {}
    current: list[str] = text
    for line in lines:
        found = SECTION.match(line)
        if found:
            current = sections.setdefault(found[1], [])
            line = found[2]
        if current is text or line.strip():
            current.append(line.strip() if current is not text else line)
    return "\n".join(text).strip(), sections


def _parameter(parameter: inspect.Parameter, hint: Any, help_text: str | None, verb: str) -> inspect.Parameter:
    """The same parameter, with the annotation that Typer wants."""
    name = parameter.name
    option = OPTIONS.get(name, Option(""))
    hint = _simple(hint)
    if option.argument or parameter.kind is parameter.POSITIONAL_ONLY:
        spec = typer.Argument(help=escape(help_text or option.help), show_default=False)
    else:
        dashed = name.replace("_", "-")
        spellings = [f"--{dashed}/--no-{dashed}" if hint is bool and parameter.default is True else f"--{dashed}"]
        if name == "mlx_path" and verb == "convert":
            spellings.append("--output")
        spec = typer.Option(*spellings, *option.short, help=escape(help_text or option.help))
    default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, spec])


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
