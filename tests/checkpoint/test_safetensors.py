"""Malformed safetensors files (faults 27 to 40)."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from checkpoint.hostile import assert_file_refused, read_all
from safetensors import SafetensorError, safe_open

from pytorch_to_mlx.errors import FormatError

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def raw_header(tmp_path: Path, header: bytes, data: bytes = b"", *, length: int | None = None) -> Path:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def with_header(tmp_path: Path, header: dict | str, data: bytes = bytes(4)) -> Path:
    return raw_header(tmp_path, (header if isinstance(header, str) else json.dumps(header)).encode(), data)


def test_good_file_is_read(tmp_path):
    assert read_all(with_header(tmp_path, {"a": ONE}))["a"].tolist() == [0.0]


@pytest.mark.parametrize("length", [0, 1, 2**64 - 1, 2**63, 10**6, 99_999_999, 100_000_001])
def test_header_length(tmp_path, length):
    """Fault 27."""
    assert_file_refused(raw_header(tmp_path, b"{}", length=length), FormatError)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 8, struct.pack("<Q", 2)])
def test_too_short(tmp_path, data):
    """Fault 27."""
    (tmp_path / "x.safetensors").write_bytes(data)
    assert_file_refused(tmp_path / "x.safetensors", FormatError)


@pytest.mark.parametrize(
    "header",
    [
        b"{\xff}",
        b"{",
        b"{}x",
        b"[]",
        b"3",
        b'{"a":',
        b'{"a" 1}',
        b"{'a':1}",
        b"{\x00}",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
    ],
)
def test_header_is_not_a_json_object(tmp_path, header):
    """Fault 28."""
    assert_file_refused(raw_header(tmp_path, header), FormatError)


def test_nested_header(tmp_path):
    """Fault 28."""
    assert_file_refused(raw_header(tmp_path, b'{"a":' * 1_000_000), FormatError, "nested more than 3", limit_s=1.0)
    assert_file_refused(raw_header(tmp_path, b'{"a":' + b"[" * 5_000_000), FormatError, "nested", limit_s=1.0)
    assert_file_refused(raw_header(tmp_path, b'{"' + b'\\"' * 1_000_000), FormatError, limit_s=1.0)


def test_duplicate_keys(tmp_path):
    """Fault 29."""
    one = json.dumps(ONE)
    assert_file_refused(with_header(tmp_path, f'{{"a":{one},"a":{one}}}'), FormatError, "'a' occurs twice")
    assert_file_refused(with_header(tmp_path, f'{{"a":{one},"\\u0061":{one}}}'), FormatError, "'a' occurs twice")
    twice = '{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}'
    assert_file_refused(with_header(tmp_path, twice), FormatError, "'shape' occurs twice")


@pytest.mark.parametrize(
    ("fault", "shape", "end"),
    [
        (30, [-2, -2], 16),
        (30, [-1], 4),
        (31, [65536] * 4, 0),
        (31, [2**32, 2**32], 0),
        (31, [2**31 - 1] * 8, 0),
        (32, [2**32 + 1], 4),
        (32, [2**63], 0),
        (32, [2**31], 2**33),
        (32, [10**19], 0),
        (33, [2.5], 8),
        (33, [1.0], 4),
        (33, [True], 4),
        (33, ["1"], 4),
        (33, [None], 4),
        (33, "1", 4),
        (36, [1] * 100_000, 4),
        (36, [1] * 17, 4),
    ],
    ids=lambda value: str(value)[:30],
)
def test_dimensions(tmp_path, fault, shape, end):
    """Faults 30 to 33 and 36."""
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
    assert_file_refused(with_header(tmp_path, header, bytes(min(end, 64))), FormatError, "tensor 'a'")


@pytest.mark.parametrize(
    "offsets",
    [
        [2**64 - 4, 2**64],
        [-4, 0],
        [4, 0],
        [0, 2**64 + 4],
        [0, 4.0],
        [0, "4"],
        [0],
        [0, 4, 8],
        None,
        {"0": 4},
        [False, 4],
    ],
    ids=str,
)
def test_offsets_that_wrap(tmp_path, offsets):
    """Fault 34."""
    assert_file_refused(with_header(tmp_path, {"a": {**ONE, "data_offsets": offsets}}), FormatError, "tensor 'a'")


LAYOUTS = {
    "overlap": ([[0, 4], [0, 4]], 4, "overlaps"),
    "half_overlap": ([[0, 8], [4, 12]], 12, "overlaps"),
    "hole": ([[0, 4], [8, 12]], 12, "a hole of 4 bytes"),
    "hole_at_start": ([[4, 8]], 8, "a hole of 4 bytes"),
    "trailing": ([[0, 4]], 8, "4 bytes after the last tensor"),
    "polyglot": ([[0, 4]], 4096, "4092 bytes after"),
    "truncated": ([[0, 4]], 3, "cut off"),
    "empty_data": ([[0, 4]], 0, "cut off"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_data_must_be_tiled(tmp_path, layout):
    """Fault 35."""
    spans, size, word = LAYOUTS[layout]
    header = {
        f"t{index}": {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end]}
        for index, (begin, end) in enumerate(spans)
    }
    path = with_header(tmp_path, header, bytes(size))
    assert_file_refused(path, FormatError, word)
    with pytest.raises(SafetensorError), safe_open(path, "pt"):  # the reference implementation agrees
        pass


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": "F31"},
        {"dtype": "F8_E4M3"},
        {"dtype": "F4"},
        {"dtype": 3},
        {"dtype": None},
        {"dtype": ["F32"]},
        {"dtype": "f32"},
        {"extra": 1},
        {"shape": [2]},
    ],
    ids=str,
)
def test_wrong_fields(tmp_path, fields):
    """Fault 37."""
    assert_file_refused(with_header(tmp_path, {"a": {**ONE, **fields}}), FormatError, "tensor 'a'")


@pytest.mark.parametrize("missing", ["dtype", "shape", "data_offsets"])
def test_missing_field(tmp_path, missing):
    """Fault 37."""
    fields = {key: value for key, value in ONE.items() if key != missing}
    assert_file_refused(with_header(tmp_path, {"a": fields}), FormatError, "tensor 'a' must have exactly")


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a": None}, {"a": {}}, [], "x"], ids=str)
def test_metadata_must_be_strings(tmp_path, metadata):
    """Fault 37."""
    assert_file_refused(with_header(tmp_path, {"__metadata__": metadata, "a": ONE}), FormatError, "__metadata__")


@pytest.mark.parametrize("byte", [2, 7, 255])
def test_bool_bytes(tmp_path, byte):
    """Fault 38."""
    path = with_header(tmp_path, {"a": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, bytes([1, byte]))
    assert_file_refused(path, FormatError, "tensor 'a'", f"a bool byte holds {byte}")


@pytest.mark.parametrize("name", ["", "a\0b", "../../etc/x", "/etc/passwd", "a\nb", "é", "\U0001f600", "x" * 4096])
def test_names_are_data_never_paths(tmp_path, name):
    """Fault 39."""
    path = with_header(tmp_path, {name: ONE})
    assert read_all(path)[name].tolist() == [0.0]
    bad = with_header(tmp_path, {name: {**ONE, "shape": [2]}})
    assert_file_refused(bad, FormatError, "needs 8 bytes")  # and the message stays one short printable line
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("padding", range(1, 8))
def test_misaligned_data_is_exact(tmp_path, padding):
    """Fault 40."""
    values = np.random.randn(5).astype(np.float32)
    header = {"a": {"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}}
    path = raw_header(tmp_path, json.dumps(header).encode() + b" " * padding, values.tobytes())
    np.testing.assert_array_equal(np.array(read_all(path)["a"]), values)
