"""The house rules that a program can check: who imports whom, folder shape, file sizes, banned words."""

import ast
import re
from graphlib import TopologicalSorter

import pytest

from docs.rooms import FILES, PACKAGE, WALKS, floors, imports, room

ROOT = PACKAGE.parent
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LEVELS = {
    **dict.fromkeys(["errors", "version", "tolerances", "taps", "progress", "cancel", "units", "card"], 0),
    "backend": 0.25,
    **dict.fromkeys(["config", "forks", "tasks", "outputs"], 0.5),
    "contract": 0.75,
    **dict.fromkeys(["checkpoint", "text"], 1),
    "audio": 1.25,
    "weights": 1.5,
    "nn": 2,
    **dict.fromkeys(["generate", "heads"], 3),
    "models": 4,
    **dict.fromkeys(["registry", "codegen"], 5),
    "model_source": 5.5,
    "convert": 5.75,
    **dict.fromkeys(["analyze", "validate", "doctor", "hosts"], 6),
    **dict.fromkeys(["bench", "serve"], 6.5),
    **dict.fromkeys(["cli", "__init__"], 7),
    "__main__": 8,
}
# The rooms of the generator. Which ops capture leaves whole, and how it writes sizes, it asks lowering.
CODEGEN_LEVELS = {
    **dict.fromkeys(["graph", "paths", "folder"], 0),
    "lowering": 1,
    **dict.fromkeys(["extensions", "capture"], 2),
    **dict.fromkeys(["sources", "emit"], 3),
    "proof": 4,
    "reports": 5,
    **dict.fromkeys(["analyze_module", "convert_module"], 6),
    "__init__": 7,
}
TORCH_ROOMS = (
    "models/*/reference*.py",
    "models/*/original",
    "codegen/sources",
    "codegen/capture",
    "codegen/proof",
    "codegen/analyze_module.py",
    "bench/torch_side.py",
    "bench/coverage",
)
MODEL_FILES = {"__init__.py", "card.py", "config.py", "family.py", "weights.py", "pipeline.py"}


def test_imports_go_down_only():
    wrong = []
    for path in FILES:
        here = room(path)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "pytorch_to_mlx" or len(parts) == 1:
                continue
            there = parts[1]
            if there == here or here == "__init__":
                continue
            if LEVELS[there] >= LEVELS[here]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_inside_codegen_imports_go_down_only():
    wrong = []
    for path in (p for p in FILES if room(p) == "codegen"):
        here = path.relative_to(PACKAGE).parts[1].removesuffix(".py")
        for name in imports(path):
            parts = name.split(".")
            there = parts[2] if parts[:2] == ["pytorch_to_mlx", "codegen"] else here
            if there != here and CODEGEN_LEVELS[there] >= CODEGEN_LEVELS[here]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_no_files_import_each_other():
    """Not even for a type, and not in a circle of more than two."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    imported = {
        module: {name if name in files else name.rpartition(".")[0] for name in imports(path)} & files.keys() - {module}
        for module, path in files.items()
    }
    TopologicalSorter(imported).prepare()  # raises CycleError, which names a circle


def test_no_model_imports_another():
    wrong = []
    for path in FILES:
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != "models" or len(parts) < 3:
            continue
        card = PACKAGE / "models" / parts[1] / "card.py"
        used = set(re.findall(r"uses=\(([^)]*)\)", card.read_text() if card.exists() else ""))
        for name in imports(path):
            other = name.split(".")
            if other[:2] == ["pytorch_to_mlx", "models"] and len(other) > 2 and other[2] != parts[1]:
                if not any(f'"{other[2]}"' in declared for declared in used):
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_torch_only_where_it_may_be():
    wrong = []
    for path in FILES:
        if any(path.is_relative_to(allowed) for part in TORCH_ROOMS for allowed in PACKAGE.glob(part)):
            continue
        wrong += [str(path.relative_to(ROOT)) for name in imports(path) if name.split(".")[0] == "torch"]
    assert not wrong, "\n".join(wrong)


def test_general_rooms_know_no_model():
    """convert, analyze, validate, bench and cli reach models through the registry."""
    wrong = []
    for path in FILES:
        if LEVELS[room(path)] >= 5 and room(path) != "registry":
            wrong += [f"{path}: {n}" for n in imports(path) if n.startswith("pytorch_to_mlx.models")]
    assert not wrong, "\n".join(wrong)


def test_the_page_shows_files_that_exist():
    assert all((PACKAGE / file).is_file() for steps in WALKS.values() for file, _ in steps)
    assert [name for floor in floors() for name in floor if name not in LEVELS] == []


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    limit = 200 if path.is_relative_to(PACKAGE / "nn") else 500
    assert lines <= limit, f"{lines} lines"


def test_model_folders_have_their_files():
    for folder in sorted(p.parent for p in (PACKAGE / "models").glob("*/card.py")):
        missing = MODEL_FILES - {p.name for p in folder.iterdir()}
        assert not missing, f"{folder.name} lacks {sorted(missing)}"
        assert (ROOT / "tests" / "models" / f"test_{folder.name}.py").exists(), f"no test for {folder.name}"


def test_banned_words():
    wrong = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT)
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught = getattr(node.type, "id", None)
                if node.type is None or caught in {"Exception", "BaseException"}:
                    wrong.append(f"{where}:{node.lineno} catches everything")
            if isinstance(node, ast.Call):
                function = node.func
                name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
                if name == "print" and room(path) != "cli":
                    wrong.append(f"{where}:{node.lineno} prints outside cli/")
                if name in {"eval", "exec"} and isinstance(function, ast.Name):
                    wrong.append(f"{where}:{node.lineno} runs text as code")
                for keyword in node.keywords:
                    value = getattr(keyword.value, "value", None)
                    if keyword.arg in {"strict", "weights_only"} and value is False and room(path) != "codegen":
                        wrong.append(f"{where}:{node.lineno} {keyword.arg}=False")
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "pickle" and node.attr in {"load", "loads", "Unpickler"}:
                    wrong.append(f"{where}:{node.lineno} unpickles")
        if re.search(r"\bTODO\b(?!\(#\d+\))", text):
            wrong.append(f"{where} has a TODO without an issue number")
    assert not wrong, "\n".join(wrong)
