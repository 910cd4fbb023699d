"""Zip archives that two readers could see differently, bombs, and hostile names (faults 11 to 14 and 18)."""

import base64
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from checkpoint.hostile import FLOATS, assert_file_refused, dumps, good_zip, tensor_pickle, torch_zip

from pytorch_to_mlx.errors import FormatError


def patched(path: Path, old: bytes, new: bytes, *, which=slice(None)) -> Path:
    """Change bytes at chosen occurrences, the file's length kept."""
    assert len(old) == len(new)
    data = bytearray(path.read_bytes())
    places, at = [], data.find(old)
    while at >= 0:
        places.append(at)
        at = data.find(old, at + 1)
    assert places[which]
    for at in places[which]:
        data[at : at + len(new)] = new
    path.write_bytes(data)
    return path


def headers(path: Path, *, central: bool) -> list[int]:
    """Offsets of the local or central headers."""
    data, magic = path.read_bytes(), b"PK\x01\x02" if central else b"PK\x03\x04"
    return [at for at in range(len(data)) if data.startswith(magic, at)]


@pytest.mark.parametrize("flag", [0x1, 0x20, 0x40, 0x2000])
@pytest.mark.parametrize("central", [True, False], ids=["central", "local"])
def test_zip_flags(tmp_path, flag, central):
    """Fault 11."""
    path = good_zip(tmp_path / "x.pth")
    data = bytearray(path.read_bytes())
    at = headers(path, central=central)[0] + (8 if central else 6)
    data[at : at + 2] = struct.pack("<H", flag)
    path.write_bytes(data)
    assert_file_refused(path, FormatError, "data.pkl")


def test_wrong_crc(tmp_path):
    """Fault 11."""
    path = good_zip(tmp_path / "x.pth")
    patched(path, FLOATS, np.arange(4, 8, dtype=np.float32).tobytes())
    assert_file_refused(path, FormatError, "archive/data/0", "CRC")


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 2)], ids=["local", "central"])
def test_names_differ(tmp_path, which):
    """Fault 11."""
    path = patched(good_zip(tmp_path / "x.pth"), b"archive/data.pkl", b"archive/evil.pkl", which=which)
    assert_file_refused(path, FormatError, "headers disagree")


@pytest.mark.parametrize("field", [14, 18, 22], ids=["crc", "stored", "size"])
def test_sizes_differ(tmp_path, field):
    """Fault 11."""
    path = good_zip(tmp_path / "x.pth")
    data = bytearray(path.read_bytes())
    data[headers(path, central=False)[0] + field] ^= 1
    path.write_bytes(data)
    assert_file_refused(path, FormatError, "headers disagree")


def test_duplicate_members(tmp_path):
    """Fault 12."""
    path = good_zip(tmp_path / "x.pth")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", dumps({}))
    assert_file_refused(path, FormatError, "duplicate member 'archive/data.pkl'")
    path = torch_zip(tmp_path / "y.pth", tensor_pickle(), {"0": FLOATS}, extra={"Archive/DATA.pkl": b""})
    assert_file_refused(path, FormatError, "duplicate member")


@pytest.mark.parametrize("name", ["../x", "/abs", "C:\\x", "C:x", "a\\b", "a/../../b", "a\nb", "a\x1b[31m"])
def test_member_names(tmp_path, name):
    """Fault 13."""
    path = torch_zip(tmp_path / "x.pth", tensor_pickle(), {"0": FLOATS}, extra={name: b"x"})
    assert_file_refused(path, FormatError, "not a plain relative path")
    assert sorted(os.listdir(tmp_path)) == ["x.pth"]


def test_nul_in_a_member_name(tmp_path):
    """Fault 13."""
    path = torch_zip(tmp_path / "x.pth", tensor_pickle(), {"0": FLOATS}, extra={"archive/evil": b"x"})
    assert_file_refused(patched(path, b"archive/evil", b"archive/e\0il"), FormatError, "not a plain relative path")


def test_zip_bomb(tmp_path):
    """Fault 14."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(100 << 20))
    assert path.stat().st_size < 110_000
    assert_file_refused(path, FormatError, "zeros.npy", "expands from", limit_s=1.0)


def test_lying_sizes(tmp_path):
    """Fault 14."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(50_000, np.float32))
    data = bytearray(path.read_bytes())
    for at in [headers(path, central=True)[0] + 24, headers(path, central=False)[0] + 22]:
        data[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    assert_file_refused(path, FormatError, "'a': shape [50000] of float32 needs 200000 bytes, there are 872")


# A zip made by `zip -P secret x.zip a.npy` would need a tool; this is one, with the flag and the 12-byte header.
ENCRYPTED = base64.b64decode(
    "UEsDBAoACQAAAAAAIQAAAAAAEAAAAAQAAAAFAAAAYS5ucHkAAAAAAAAAAAAAAABub3BlUEsBAh4DCgAJAAAAAAAhAAAAAAAQAAAABAAAAAUAAAAAAAAA"
    "AAAAAKSBAAAAAGEubnB5UEsFBgAAAAABAAEAMwAAADMAAAAAAA=="
)


@pytest.mark.parametrize("suffix", [".npz", ".pth"])
def test_encrypted_zip(tmp_path, suffix):
    """Fault 18."""
    (tmp_path / f"x{suffix}").write_bytes(ENCRYPTED)
    assert_file_refused(tmp_path / f"x{suffix}", FormatError, "a.npy", "is encrypted")
