"""docs/ says what the code says, and the commands in the hand-written files exist."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from pytorch_to_mlx import registry
from pytorch_to_mlx.cli import app, general, verbs

ROOT = Path(__file__).parent.parent
PROSE = ["README.md", "ADDING_A_MODEL.md"]


def test_docs_are_current():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, text in generate.render().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"docs/{name} is old: run `make docs`"


def commands(name: str) -> list[str]:
    """The command lines of a file's sh blocks, without their comments."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    return [line for line in lines if line.startswith("pytorch-to-mlx ")]


def test_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    """On the packaged weights: the hub is not asked in tests."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("hexgrad/Kokoro-82M", "packaged:kokoro-82m-int8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "True None"


@pytest.mark.parametrize("name", PROSE)
def test_commands_exist_with_their_options(name):
    for line in commands(name):
        _, *words = shlex.split(line, comments=True)
        known = {name: verbs.read(name, function) for name, function in general.VERBS.items()}
        if words[0] not in known:
            known = {n: verbs.read(n, f) for n, f in app.family_verbs(registry.card(words.pop(0))).items()}
        verb = known[words[0]]
        spellings = {s for p in verb.parameters for both in p.spellings for s in both.split("/")} | {
            "--json",
            "--quiet",
            "--debug",
        }
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= spellings, f"{line}: {sorted(used - spellings)}"
        required = {p.spellings[0] for p in verb.parameters if p.required and p.spellings}
        assert required <= used, f"{line}: lacks {sorted(required - used)}"
