"""Results on disk: written whole, read back, compared, and other JSON refused."""

import pytest

from pytorch_to_mlx.bench import Measurement, Result, read, write
from pytorch_to_mlx.bench.machine import machine
from pytorch_to_mlx.bench.result import compare
from pytorch_to_mlx.errors import FormatError


def result(**values):
    rows = (Measurement("short", "wall", "s", 1.0, 2.0), Measurement("fresh", "peak memory", "bytes", 1e9))
    return Result(
        **{"what": "toy", "weights": "none", "command": "x", "measurements": rows, "runs": 3} | {"threads": {}} | values
    )


def test_result_survives_the_file(tmp_path):
    path = tmp_path / "sub" / "toy.json"
    write(result(), path)
    assert read(path) == result(date=read(path).date, machine=read(path).machine)
    assert [m.ratio for m in read(path).measurements] == [2.0, None]
    assert {"processor", "cores", "memory_bytes", "system"} <= machine().keys()
    assert [p.name for p in path.parent.iterdir()] == ["toy.json"]


def test_two_results_side_by_side(tmp_path):
    write(result(), tmp_path / "a.json")
    write(result(measurements=(Measurement("short", "wall", "s", 4.0),)), tmp_path / "b.json")
    (row,) = compare(tmp_path / "a.json", tmp_path / "b.json")
    assert row["ratio"] == 4.0 and row["new"] == "1 s" and row["old"] == "4 s"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measurements": 3}'])
def test_other_json_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(FormatError, match="not a benchmark result"):
        read(path)


def test_another_schema_is_refused(tmp_path):
    write(result(schema=2), tmp_path / "new.json")
    with pytest.raises(FormatError, match="schema 2; this version reads schema 1"):
        read(tmp_path / "new.json")


def test_results_with_nothing_in_common_are_refused(tmp_path):
    write(result(), tmp_path / "a.json")
    write(result(measurements=(Measurement("long", "wall", "s", 4.0),)), tmp_path / "b.json")
    with pytest.raises(FormatError, match="nothing was measured in both"):
        compare(tmp_path / "a.json", tmp_path / "b.json")


def test_rows_and_summary_are_in_units():
    wall, memory = result(profile={"short: ours by op": {"linear": 0.3, "tanh": 0.7, "exp": 0.001}}).rows()
    assert (wall["ours"], wall["torch"], wall["ratio"]) == ("1 s", "2 s", "2.00 x")
    assert (memory["ours"], memory["torch"], memory["ratio"]) == ("1 GB", "", "")
    summary = result(reference="onnxruntime", profile={"short": {"linear": 0.25, "tanh": 0.75, "exp": 0.001}}).summary()
    assert "medians of 3 runs; ratio = onnxruntime / ours" in summary
    assert summary.endswith("short: linear 25% (0.250 s), tanh 75% (0.750 s)")
