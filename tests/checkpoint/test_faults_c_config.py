"""Faults C 46, 47, 55, 56: JSON, paths in it, shard indexes. The number in each test's name is the fault's."""

import json

import pytest
import torch
from checkpoint.hostile import refused
from safetensors.torch import save_file

from pytorch_to_mlx.checkpoint import locate, open_checkpoint, read_config, read_json
from pytorch_to_mlx.errors import FormatError, MachineError, UsageError

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
def test_fault_46_config_json(tmp_path, case):
    data, word = BAD_JSON[case]
    path = tmp_path / "config.json"
    path.write_bytes(data)
    error = refused(lambda: read_config(tmp_path), FormatError, path, word, limit_s=1.0)
    assert error.exit_code == 4


def test_fault_46_missing_or_a_folder(tmp_path):
    refused(lambda: read_config(tmp_path), FormatError, tmp_path / "config.json", "no such file")
    (tmp_path / "config.json").mkdir()
    refused(lambda: read_json(tmp_path / "config.json"), FormatError, "a folder")


def test_fault_46_what_is_well_formed_is_read(tmp_path):
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
def test_fault_47_duplicates_and_nan(tmp_path, text, word):
    (tmp_path / "config.json").write_text(text)
    refused(lambda: read_config(tmp_path), FormatError, tmp_path / "config.json", word)


@pytest.mark.parametrize(
    "source", ["https://x.invalid/model", "file:///etc/passwd", "a/b/c", "../../a/b", "~nobody/x/y", "a b/c"]
)
def test_fault_55_a_url_or_a_missing_path_is_never_fetched(source, monkeypatch):
    import socket

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("network"))
    error = refused(lambda: locate(source, offline=False).path, UsageError, source[:20], limit_s=1.0)
    assert error.exit_code == 2


@pytest.fixture
def sharded(tmp_path):
    """Two good shards, and a function that writes the index with changes."""
    tensors = {"a": torch.ones(4), "b": torch.ones(2), "c": torch.ones(2)}
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    save_file({"a": tensors["a"]}, tmp_path / first)
    save_file({"b": tensors["b"], "c": tensors["c"]}, tmp_path / second)

    def write(total: object = 32, **changes):
        weight_map = {"a": first, "b": second, "c": second, **changes}
        weight_map = {name: shard for name, shard in weight_map.items() if shard is not None}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        return tmp_path

    write.folder, write.first, write.second = tmp_path, first, second
    return write


def opened(folder):
    with open_checkpoint(folder) as ckpt:
        return {name: ckpt[name] for name in ckpt}


def test_fault_56_a_good_index_is_read(sharded):
    assert sorted(opened(sharded())) == ["a", "b", "c"]


def test_fault_56_missing_shard(sharded):
    (sharded.folder / sharded.second).unlink()
    error = refused(lambda: opened(sharded()), FormatError, "model.safetensors.index.json", "1 shards are missing")
    assert sharded.second in str(error)


def test_fault_56_extra_shard(sharded):
    save_file({"d": torch.ones(1)}, sharded.folder / "model-00003-of-00003.safetensors")
    error = refused(lambda: opened(sharded()), FormatError, "not in the index")
    assert "model-00003-of-00003.safetensors" in str(error)


def test_fault_56_key_in_two_shards(sharded):
    save_file({"a": torch.ones(4), "b": torch.ones(2)}, sharded.folder / sharded.first)
    refused(lambda: opened(sharded()), FormatError, "'b' is in", sharded.first, sharded.second)


def test_fault_56_key_not_in_its_shard(sharded):
    refused(lambda: opened(sharded(c=sharded.first)), FormatError, "'c'", "the index says")
    refused(lambda: opened(sharded(z=sharded.first)), FormatError, "'z' is not in", sharded.first)


def test_fault_56_stale_index(sharded):
    refused(lambda: opened(sharded(c=None)), FormatError, "'c' is in", "not in the index")


@pytest.mark.parametrize("total", [10**12, 33, -1, 1, "32", [32], True])
def test_fault_56_total_size(sharded, total):
    refused(lambda: opened(sharded(total=total)), FormatError, "total_size")


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": None}], ids=str)
def test_fault_56_no_weight_map(sharded, index):
    (sharded.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(lambda: opened(sharded.folder), FormatError, "no weight_map")


def test_fault_82_offline(tmp_path):
    """In a fresh process: a hub id without network answers at once; a local path imports no hub client."""
    import resource
    import subprocess
    import sys

    script = (
        "import sys\nfrom pytorch_to_mlx.checkpoint import locate\nfrom pytorch_to_mlx.errors import MachineError\n"
        f"assert str(locate({str(tmp_path)!r}).path) == {str(tmp_path)!r}\n"
        "assert 'huggingface_hub' not in sys.modules\n"
        "try:\n    locate('org/model-that-is-not-cached').path\n"
        "except MachineError as error:\n    print(error.exit_code, error)\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "PATH": "", "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 org/model-that-is-not-cached: is not in the hub's cache"), done.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 4.0  # of the processor, the process's own start included


def test_fault_82_no_network(monkeypatch, tmp_path):
    import socket

    def unreachable(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    error = refused(
        lambda: locate("org/model", offline=False).path, MachineError, "org/model", "cannot be reached", limit_s=2.0
    )
    assert error.exit_code == 6
