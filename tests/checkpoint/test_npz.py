"""Malformed .npy and .npz files (faults 19 and 41 to 43)."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from checkpoint.hostile import Call, assert_file_refused

from pytorch_to_mlx.errors import FormatError, UnsafeError


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_object_arrays(tmp_path, canary, suffix):
    """Fault 19."""
    array = np.array([Call(os.system, f"touch {canary}")], dtype=object)
    path = tmp_path / f"x{suffix}"
    np.save(path, array, allow_pickle=True) if suffix == ".npy" else np.savez(path, x=array)
    assert_file_refused(path, UnsafeError, "object array", "nothing was run")


def npy(tmp_path: Path, header: str, data: bytes = b"", *, version: int = 1, length: int | None = None) -> Path:
    path = tmp_path / "x.npy"
    size = struct.pack("<H" if version == 1 else "<I", len(header) if length is None else length)
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + data)
    return path


def test_npy_header_of_4_gb(tmp_path):
    """Fault 41."""
    assert_file_refused(npy(tmp_path, "", version=2, length=2**32 - 1), FormatError, limit_s=0.5)


HEADER = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    "shape",
    [
        "(2147483647, 2147483647)",
        "(4294967297,)",
        "(-1,)",
        "(65536, 65536, 65536, 65536)",
        "(1, 1.5)",
        f"({'1,' * 50})",
    ],
)
def test_npy_shapes(tmp_path, shape):
    """Fault 42."""
    assert_file_refused(npy(tmp_path, HEADER % ("<f4", shape), bytes(16)), FormatError, limit_s=0.5)


@pytest.mark.parametrize("descr", ["<f3", "|V2", "<U4", "|S3", "<M8", "<f16", ">c8", "<f4' + evil() + '"])
def test_npy_dtypes(tmp_path, descr):
    """Fault 42."""
    assert_file_refused(npy(tmp_path, HEADER % (descr, "(1,)"), bytes(4)), FormatError)
    assert_file_refused(npy(tmp_path, HEADER % ("|O", "(1,)"), bytes(8)), UnsafeError, "object array")


@pytest.mark.parametrize(
    "header", ["", "[]", "__import__('os')", "(" * 9000, "{'descr': [('a', '<f4')], 'shape': (1,)}"]
)
def test_npy_headers(tmp_path, header):
    """Fault 42."""
    assert_file_refused(npy(tmp_path, header, bytes(4)), FormatError)


def test_npz_members(tmp_path):
    """Fault 43."""

    member = npy(tmp_path, HEADER % ("<f4", "(2147483647, 2147483647)")).read_bytes()
    for name in ("a.npy", "../../a.npy", "a.txt"):
        path = tmp_path / "x.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, member)
        assert_file_refused(path, FormatError, "'a'" if name == "a.npy" else Path(name).name)
