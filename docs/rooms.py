"""The rooms of the package and who imports whom, read from the files: for docs/architecture.md and its test."""

import ast
from collections.abc import Iterator
from pathlib import Path

from pytorch_to_mlx.tasks import PROTOCOLS

PACKAGE = Path(__file__).parent.parent / "pytorch_to_mlx"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)

WALKS: dict[str, list[tuple[str, str]]] = {
    "A checkpoint becomes a converted folder": [
        ("cli/general.py", "`convert SOURCE`: options in, a call of the Python function of the same name"),
        ("model_source.py", "the name to files (`checkpoint/names.py`), a family (`registry.py`), an open checkpoint"),
        ("checkpoint/open.py", "one reader for each format; every byte is checked, nothing is run"),
        ("weights/apply.py", "every tensor through exactly one rule of the family's `weights.py`"),
        ("weights/folder.py", "config.json, weights and what the family adds: whole and read back, or not there"),
    ],
    "A torch module becomes MLX source": [
        ("codegen/sources/open.py", "what the user named (factory, a `.pt2` file, a Hugging Face model), and inputs"),
        ("codegen/capture/export.py", "torch.export, with the patches that keep sizes and layers recognisable"),
        ("codegen/lowering/interpret.py", "each ATen op to MLX by the one table (`lowering/ops/`); sizes stay sizes"),
        ("codegen/emit/generate.py", "classes, loops and names from the module tree: model.py, config.json, weights"),
        ("codegen/proof/submodules.py", "every submodule against PyTorch in float64, at other sizes too: report.md"),
    ],
    "A text becomes sound": [
        ("models/kokoro/commands.py", "`kokoro synthesize`: options in, one report out"),
        ("text/phonemes.py", "text to words (`text/english/`) and phonemes; `text/split.py`: pieces for the model"),
        ("models/kokoro/pipeline.py", "piece by piece: ids, the voice's style, `model.py`, a `Speech` for each"),
        ("models/kokoro/model.py", "durations, pitch, harmonic source, vocoder: blocks (`nn/`) and ops (`backend/`)"),
        ("audio/speak.py", "to a file, a player, or both, while the rest is being computed"),
    ],
}  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    """Yield every imported module or name of a file as an absolute dotted name, lazy imports included."""
    package = ["pytorch_to_mlx", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    """Return the room of a file: its first folder in the package, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows() -> dict[str, set[str]]:
    """Return for each room the rooms that it imports; the package's own face and its command are left out."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        names = (name.split(".") for name in imports(path))
        there = {parts[1] for parts in names if parts[0] == "pytorch_to_mlx" and len(parts) > 1}
        found.setdefault(room(path), set()).update(there - {room(path)})
    return {here: there & found.keys() for here, there in found.items() if not here.startswith("__")}


def floors() -> list[list[str]]:
    """Return the rooms, lowest first: each stands on the floor above the highest room that it imports."""
    below = arrows()
    height: dict[str, int] = {}
    while len(height) < len(below):
        ready = {here for here in below.keys() - height.keys() if below[here] <= height.keys()}
        if not ready:
            raise ValueError(f"rooms import each other: {', '.join(sorted(below.keys() - height.keys()))}")
        height |= {here: 1 + max((height[there] for there in below[here]), default=-1) for here in ready}
    return [sorted(here for here in height if height[here] == floor) for floor in range(max(height.values()) + 1)]


def purpose(name: str) -> str:
    """Return the first sentence of a room's docstring."""
    path = PACKAGE / name / "__init__.py" if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def contract() -> list[str]:
    """Return the lines of what a family declares and of what the pipelines of each task can do, from the source."""
    family = _class("contract.py", "Family")
    lines = [
        "## What a family offers\n",
        "`models/NAME/family.py` declares one `contract.Family`, which pyright checks:\n",
    ]
    lines += ["| field | type | |", "|---|---|---|"]
    for node in family.body:
        if isinstance(node, ast.AnnAssign):
            kind = ast.unparse(node.annotation).strip("'").replace("|", "\\|")
            lines.append(f"| `{ast.unparse(node.target)}` | `{kind}` | {'must' if node.value is None else 'may'} |")
    lines += [
        "",
        "`load` gives a pipeline with the method of its card's task (`tasks.py`):\n",
        "| task | method |",
        "|---|---|",
    ]
    for task, protocol in PROTOCOLS.items():
        methods = [node for node in _class("tasks.py", protocol.__name__).body if isinstance(node, ast.FunctionDef)]
        method = next(node for node in methods if not node.decorator_list)
        signature = f"{method.name}({ast.unparse(method.args).removeprefix('self, ')})".replace("|", "\\|")
        returns = (ast.unparse(method.returns) if method.returns else "None").replace("|", "\\|")
        lines.append(f"| {task} | `{signature}` → `{returns}` |")
    return [*lines, ""]


def _class(file: str, name: str) -> ast.ClassDef:
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def page() -> str:
    """Return docs/architecture.md."""
    parts = [
        "# Architecture\n",
        "A room is a folder or a file of `pytorch_to_mlx/`. It imports only rooms of the floors under its own: data\n"
        "flows one way, checkpoint → weights → model → pipeline → audio or text. The floors are computed from the\n"
        "imports; `tests/test_architecture.py` keeps them.\n",
        "```text",
    ]
    for number, names in reversed(list(enumerate(floors()))):
        parts.append(
            "\n".join(f"{number if name == names[0] else '':>2}  {name:<13} {purpose(name)}" for name in names)
        )
    parts += ["```\n"]
    for title, steps in WALKS.items():
        parts.append(f"## {title}\n")
        parts += [f"{n}. [`{file}`](../pytorch_to_mlx/{file}): {text}." for n, (file, text) in enumerate(steps, 1)]
        parts.append("")
    return "\n".join([*parts, *contract()])
