"""The result of an analysis of a module, and its HTML page: no scripts, no other files, every text escaped."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from ...errors import CheckError
from ...units import count_text, size_text

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{text-align:left;padding:.25rem .6rem;"
    "border-bottom:1px solid #ddd;vertical-align:top}code{font-size:.92em}.no{color:#a40000}.yes{color:#22662a}"
)


@dataclass
class OpUse:
    """One op of a module: how often it runs, where first, and why it is not supported, if so."""

    op: str
    count: int = 0
    where: str = ""
    module: str = ""
    problem: str = ""


@dataclass
class ModuleAnalysis:
    """The answer of `analyze` for a module. `convertible` is False where `problems` says why.

    modules: path, class and own parameters of every submodule. data_dependent: ops whose result's size depends on
    data. dynamic: input axes that stay dynamic. fixed: what sizes of inputs must be.
    memory: bytes of the weights and of the largest set of live values.
    replaced: paths for which a registered module stands.
    """

    source: str
    model: str
    convertible: bool = False
    captured: str = ""
    parameters: int = 0
    modules: list[dict[str, Any]] = field(default_factory=list)
    ops: list[OpUse] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    dynamic: list[str] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)
    data_dependent: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the module would convert, in words."""
        if self.convertible:
            return "would convert (not proved: convert compares it with PyTorch)"
        return f"would not convert: {count_text(len(self.problems), 'problem')}"

    def check(self) -> "ModuleAnalysis":
        """Return self. Raises: CheckError if it would not convert."""
        if not self.convertible:
            raise CheckError("would not convert", where=self.source, details=self.problems)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return a line for each op."""
        return [
            {
                "op": use.op.removeprefix("aten."),
                "count": use.count,
                "first in": use.module or "(root)",
                "supported": use.problem or "yes",
            }
            for use in self.ops
        ]

    def summary(self) -> str:
        """Return the sizes, the verdict and every problem, in a few lines."""
        lines = [
            f"{self.source}: {self.model}, {self.parameters:,} parameters in {count_text(len(self.modules), 'module')}"
        ]
        if self.captured:
            n_ops = sum(use.count for use in self.ops)
            lines += [
                f"captured with {self.captured}: {count_text(n_ops, 'op')} of {count_text(len(self.ops), 'kind')}",
                f"dynamic sizes: {', '.join(self.dynamic) or 'none'}",
                *(f"fixed size: {text}" for text in self.fixed),
                f"memory: {self._memory_text()}",
            ]
        lines += [f"replaced by a registered module: {path} ({name})" for path, name in self.replaced.items()]
        lines += [f"result size depends on data: {place}" for place in self.data_dependent]
        return "\n".join([*lines, self.verdict, *(f"  {problem}" for problem in self.problems)])

    def html(self) -> str:
        """Return one page with everything, without scripts or other files; places in source are relative paths."""
        ops = ((use.op, use.count, use.module or "(root)", use.where, use.problem or "yes") for use in self.ops)
        modules = ((one["path"], one["class"], f"{one['parameters']:,}") for one in self.modules)
        captured = f"Captured with {self.captured}; {self._memory_text()}" if self.captured else ""
        parts = [
            f"<h1>{escape(self.model)}</h1>",
            f"<p><code>{escape(self.source)}</code>, {self.parameters:,} parameters</p>",
            f"<p class={'yes' if self.convertible else 'no'}>{escape(self.verdict)}</p>",
            _list("Problems", self.problems),
            f"<p>{escape(captured)}</p>" if captured else "",
            _list("Inputs", [f"{name}: {text}" for name, text in self.inputs.items()]),
            _list("Dynamic sizes", self.dynamic),
            _list("Fixed sizes", self.fixed),
            _list("Replaced by a registered module", [f"{path}: {name}" for path, name in self.replaced.items()]),
            _list("Ops whose result size depends on data", self.data_dependent),
            _table("Ops", ("op", "count", "first in", "source line", "supported"), ops),
            _table("Modules", ("path", "class", "own parameters"), modules),
        ]
        head = f'<meta charset="utf-8"><title>{escape(self.model)}</title><style>{STYLE}</style>'
        body = re.sub(r"/[^\s<>]*/site-packages/", "", "".join(parts).replace(escape(f"{Path.cwd()}/"), ""))
        return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>\n"

    def _memory_text(self) -> str:
        return ", ".join(f"{name} {size_text(size)}" for name, size in self.memory.items())


def _list(title: str, items: list[str]) -> str:
    if not items:
        return ""
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f"<h2>{title}</h2><table><tr>{top}</tr>{body}</table>" if body else ""
