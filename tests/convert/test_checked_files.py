"""A bit that flips in a converted folder is found by the sha256 that the conversion wrote of each file."""

import hashlib
import json

import pytest
from command import run

from pytorch_to_mlx import load
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.weights.folder import check_files


@pytest.fixture
def folder(tmp_path, source):
    return convert(source, tmp_path / "out")


def test_the_report_has_the_sha256_of_every_other_file(folder):
    files = json.loads((folder / "conversion.json").read_text())["files"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors", "voices/list.txt"]
    for name, digest in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert check_files(folder) == 4


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9, 0.999])
def test_a_flipped_bit_is_found(folder, place):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)
    for look in (lambda: load(folder, verify=True), lambda: check_files(folder)):
        with pytest.raises(
            CheckError, match=r"1 file is not as the conversion wrote them(.|\n)*changed: model\.safetens"
        ):
            look()


def test_doctor_looks_at_a_folder(folder):
    assert run("doctor", str(folder)).returncode == 0
    (folder / "README.md").write_text("mine")
    assert run("doctor", str(folder)).returncode == 0
    (folder / "config.json").write_text("{}")
    (folder / "voices" / "list.txt").unlink()
    done = run("doctor", str(folder))
    assert (
        done.returncode == 5 and b"changed: config.json" in done.stderr and b"voices/list.txt: no such" in done.stderr
    )


def test_a_report_names_no_file_outside(folder):
    report = json.loads((folder / "conversion.json").read_text())
    (folder / "conversion.json").write_text(json.dumps(report | {"files": {"../src/net.pth": "0"}}))
    with pytest.raises(CheckError, match="outside its own folder"):
        check_files(folder)
    (folder / "conversion.json").write_text(json.dumps(report | {"files": []}))
    with pytest.raises(FormatError, match="not an object"):
        check_files(folder)


def test_what_no_conversion_wrote_cannot_be_verified(folder, source):
    (folder / "conversion.json").unlink()
    for path in (folder, source):
        with pytest.raises(UsageError, match="nothing says what its files were"):
            load(path, verify=True)
    assert run("doctor", str(folder)).returncode == 2
