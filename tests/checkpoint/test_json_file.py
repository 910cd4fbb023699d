"""Malformed JSON, with line and column in the message (faults 46 and 47)."""

import json

import pytest
from checkpoint.hostile import assert_refused

from pytorch_to_mlx.checkpoint import read_config, read_json
from pytorch_to_mlx.errors import FormatError

BAD_JSON = {
    "empty": (b"", "empty"),
    "spaces": (b" \n ", "empty"),
    "bom": (b"\xef\xbb\xbf{}", "line 1 column 1"),
    "utf16": ("{}".encode("utf-16"), "line 1 column 1"),
    "truncated": (b'{"a": 1,\n "b', "line 2 column"),
    "array": (b"[1]", "an object is expected"),
    "nested": (b'{"a":' + b"[" * 100_000, "line 1 column 105: nested more than 100"),
    "nested_objects": (b'{"a":' * 100_000, "nested more than 100"),
    "long_integer": (b'{"a":\n ' + b"9" * 5000 + b"}", "line 2 column 2: an integer of 5000 digits"),
    "long_float": (b'{"a": 1e999}', "line 1 column 7"),
    "comment": (b'{"a": 1} // x', "line 1 column"),
    "single_quotes": (b"{'a': 1}", "line 1 column 2"),
    "trailing_comma": (b'{"a": 1,}', "line 1 column"),
    "control": (b'{"a": "\n"}', "line 1 column"),
    "latin1": (b'{\n"a": "\xe9"}', "line 2 column 7: not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_malformed_config(tmp_path, case):
    """Fault 46."""
    data, word = BAD_JSON[case]
    path = tmp_path / "config.json"
    path.write_bytes(data)
    error = assert_refused(lambda: read_config(tmp_path), FormatError, path, word, limit_s=1.0)
    assert error.exit_code == 4


def test_missing_file_or_a_folder(tmp_path):
    """Fault 46."""
    assert_refused(lambda: read_config(tmp_path), FormatError, tmp_path / "config.json", "no such file")
    (tmp_path / "config.json").mkdir()
    assert_refused(lambda: read_json(tmp_path / "config.json"), FormatError, "a folder")


def test_well_formed_json_is_read(tmp_path):
    text = '{"a": [1, -2.5e3, true, null], "é\\u00e9": {"[": "]}\\"", "big": 18446744073709551615}}'
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert read_config(tmp_path) == json.loads(text)
    (tmp_path / "list.json").write_text("[1]")
    assert read_json(tmp_path / "list.json", expect=list) == [1]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"a": 1,\n "a": 2}', "line 2 column 2: the key 'a' occurs twice"),
        ('{"x": {"a": 1, "a": 1}}', "'a' occurs twice"),
        ('{"a": NaN}', "line 1 column 7: NaN"),
        ('{"a": [Infinity]}', "Infinity"),
        ('{"a": -Infinity}', "-Infinity"),
    ],
)
def test_duplicate_keys_and_nan(tmp_path, text, word):
    """Fault 47."""
    (tmp_path / "config.json").write_text(text)
    assert_refused(lambda: read_config(tmp_path), FormatError, tmp_path / "config.json", word)
