"""The analysis of a module as one HTML page: no scripts, no other files, every text escaped."""

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis import ModuleAnalysis

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{text-align:left;padding:.25rem .6rem;"
    "border-bottom:1px solid #ddd;vertical-align:top}code{font-size:.92em}.no{color:#a40000}.yes{color:#22662a}"
)


def page(result: "ModuleAnalysis") -> str:
    """The page."""
    verdict = "would convert" if result.convertible else f"would not convert: {len(result.problems)} problems"
    mark = "yes" if result.convertible else "no"
    ops = ((use.op, use.count, use.module or "(root)", use.where, use.problem or "supported") for use in result.ops)
    modules = ((one["path"], one["class"], f"{one['parameters']:,}") for one in result.modules)
    memory = " · ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in result.memory.items())
    parts = [
        f"<h1>{escape(result.model)}</h1>",
        f"<p><code>{escape(result.source)}</code> · {result.parameters:,} parameters</p><p class={mark}>{verdict}</p>",
        _list("Problems", result.problems),
        f"<p>{escape(result.captured and f'captured with {result.captured}')} {escape(memory)}</p>",
        _list("Inputs", [f"{name}: {text}" for name, text in result.inputs.items()]),
        _list("Dynamic sizes", result.dynamic),
        _list("Spots that depend on data", result.data_dependent),
        _table("Ops", ("op", "count", "first in", "source line", ""), ops),
        _table("Modules", ("path", "class", "own parameters"), modules),
    ]
    head = f'<meta charset="utf-8"><title>{escape(result.model)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _list(title: str, items: list[str]) -> str:
    if not items:
        return ""
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f"<h2>{title}</h2><table><tr>{top}</tr>{body}</table>" if body else ""
