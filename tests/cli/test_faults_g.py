"""Faults G of use and environment: one line, the right exit code, nothing written."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import ROOT, run


def left(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


@pytest.fixture
def convert(tone, monkeypatch, capsys):
    """`convert ARGUMENTS` in a folder with a released checkpoint: (exit code, stderr, what is new in the folder)."""
    from pytorch_to_mlx.cli import main

    def call(*arguments: str) -> tuple[int, str, set[str]]:
        before = left(tone)
        monkeypatch.setattr(sys, "argv", ["pytorch-to-mlx", "convert", *arguments])
        code = main(["convert", *arguments])
        return code, capsys.readouterr().err, left(tone) - before

    return call


def errors(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tonenet"], 0),
        (["nowhere", "--mlx-path", "m"], 2),
        (["~nobody/tonenet", "--mlx-path", "m"], 2),
        (["tonenet", "--mlx-path", "tonenet"], 2),
        (["tonenet", "--mlx-path", "tonenet/inside"], 2),
        (["tonenet", "--mlx-path", "exists"], 2),
        (["tonenet", "--mlx-path", "a_file"], 2),
        (["tonenet", "--mlx-path", "a_file/m"], 2),
        (["tonenet", "--mlx-path", "a_file", "--force"], 2),
        (["tonenet", "--mlx-path", "m", "--quantize", "--dequantize"], 2),
        (["tonenet", "--mlx-path", "m", "--quantize", "--q-bits", "5000"], 2),
        (["tonenet", "--mlx-path", "m", "--quantize", "--q-group-size", "-1"], 2),
        (["tonenet", "--mlx-path", "m", "--family", "tune"], 2),
        (["x" * 5000, "--mlx-path", "m"], 2),
        (["tonenet", "--mlx-path", "x" * 5000], 2),
        (["a\0b", "--mlx-path", "m"], 2),
        (["tonenet/config.json", "--mlx-path", "m"], 4),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else str(value),
)
def test_convert(convert, tone, arguments, code):
    (tone / "exists").mkdir()
    (tone / "exists" / "precious").touch()
    (tone / "a_file").write_text("text")
    found, err, new = convert(*arguments)
    assert found == code, err
    if code:
        assert len(errors(err)) == 1 and new == set(), err
        assert (tone / "a_file").read_text() == "text" and left(tone / "exists") == {"precious"}
        assert left(tone / "tonenet") == {"pytorch_model.bin", "config.json"}
    else:
        assert new == {"mlx_model"} and not errors(err)


def test_force_replaces_a_converted_folder_only(convert, tone):
    assert convert("tonenet", "--output", "m")[0] == 0
    assert convert("tonenet", "--output", "m")[0] == 2
    assert convert("tonenet", "--output", "m", "--force", "-q", "--q-group-size", "32")[0] == 0


def test_path_that_is_not_utf8():
    done = run("analyze", os.fsdecode(b"/nowhere/\xff\xfe.pt"))
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"Traceback" not in done.stderr


@pytest.mark.parametrize("env", [{"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_no_network_is_said_at_once(tmp_path, env):
    start = time.monotonic()
    done = run("convert", "org/name", "--mlx-path", str(tmp_path / "m"), env={**env, "HF_HOME": str(tmp_path / "hf")})
    assert done.returncode == 6 and done.stderr.count(b"\n") == 1, done.stderr
    assert b"org/name" in done.stderr and not (tmp_path / "m").exists()
    assert time.monotonic() - start < 60  # of which 2 s are ours on an idle machine; trying again takes minutes


def test_missing_extra_names_the_pip_line(tmp_path):
    hide = "import sys; sys.modules['torch'] = None; from pytorch_to_mlx.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", hide, "validate", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=600)
    assert done.returncode == 6 and b"pip install 'pytorch-to-mlx[validate]'" in done.stderr
