"""Malformed ONNX graphs, and external data that leaves the folder (faults 20 to 22)."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from checkpoint.hostile import FLOATS, assert_file_refused, assert_refused, read_all
from onnx import TensorProto, helper, numpy_helper

from pytorch_to_mlx.errors import FormatError


def onnx_with(tmp_path, *initializers, nodes=()) -> Path:
    path = tmp_path / "x.onnx"
    path.write_bytes(
        helper.make_model(helper.make_graph(list(nodes), "g", [], [], list(initializers))).SerializeToString()
    )
    return path


def external(location="w.data", **keys) -> TensorProto:
    tensor = TensorProto(name="a.w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **keys}.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize(
    "location", ["../../etc/passwd", "a/../../b", "/etc/passwd", "C:\\x", "", "..\\x", "a\0b", None]
)
def test_external_data_outside_the_folder(tmp_path, location):
    """Fault 20."""
    assert_file_refused(onnx_with(tmp_path, external(location)), FormatError, "a.w")


@pytest.mark.parametrize("link", ["file", "parent", "hard"])
def test_external_data_through_links(tmp_path, link):
    """Fault 20."""
    inside, outside = tmp_path / "model", tmp_path / "secret"
    inside.mkdir()
    outside.mkdir()
    (outside / "w.data").write_bytes(FLOATS)
    location = "w.data"
    if link == "file":
        (inside / "w.data").symlink_to(outside / "w.data")
    elif link == "hard":
        os.link(outside / "w.data", inside / "w.data")
    else:
        (inside / "sub").symlink_to(outside)
        location = "sub/w.data"
    assert_file_refused(onnx_with(inside, external(location)), FormatError, "a.w", "link")


def test_external_data_in_the_hub_cache_is_read(tmp_path):
    """Fault 20: the hub's cache links snapshots/REVISION/file -> ../../blobs/HASH; a link out of it is refused."""
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "123").write_bytes(FLOATS)
    (snapshot / "w.data").symlink_to("../../blobs/123")
    path = onnx_with(snapshot, external())
    assert read_all(path)["a.w"].tolist() == [0, 1, 2, 3]
    (snapshot / "w.data").unlink()
    (tmp_path / "secret").write_bytes(FLOATS)
    (snapshot / "w.data").symlink_to("../../../secret")
    assert_file_refused(path, FormatError, "symbolic link")


@pytest.mark.parametrize(
    "keys",
    [
        dict(offset=-1),
        dict(offset="1e3"),
        dict(offset=" 4"),
        dict(length="x"),
        dict(length=-16),
        dict(offset=8),
        dict(offset=10**18),
        dict(length=12),
        dict(length=17),
        dict(__class__="x"),
        dict(location2="x"),
        dict(offset="٣"),
    ],
    ids=str,
)
def test_external_data_keys(tmp_path, keys):
    """Fault 21."""
    (tmp_path / "w.data").write_bytes(FLOATS)
    assert_file_refused(onnx_with(tmp_path, external(**keys)), FormatError, "a.w")


def test_repeated_key_and_both_kinds_of_data(tmp_path):
    """Fault 21."""
    (tmp_path / "w.data").write_bytes(FLOATS)
    twice = external()
    twice.external_data.add(key="location", value="w.data")
    assert_file_refused(onnx_with(tmp_path, twice), FormatError, "a.w", "repeated")
    both = external()
    both.raw_data = FLOATS
    assert_file_refused(onnx_with(tmp_path, both), FormatError, "a.w")
    missing = external("absent.data")
    assert_refused(lambda: read_all(onnx_with(tmp_path, missing)), FormatError, "absent.data", "no such file")


def test_truncated_protobuf(tmp_path):
    """Fault 22."""
    path = onnx_with(tmp_path, numpy_helper.from_array(np.ones(100, np.float32), "a.w"))
    data = path.read_bytes()
    for length in (1, 2, 5, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert_file_refused(path, FormatError)


def test_deeply_nested_graphs(tmp_path):
    """Fault 22: 10^5 nested graphs, written by hand: GraphProto.node.attribute.g, again and again."""

    def wrap(field: int, body: bytes) -> bytes:
        length, out = len(body), bytearray([field << 3 | 2])
        while length > 0x7F:
            out.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes(out) + bytes([length]) + body

    graph = b""
    for _ in range(300):
        graph = wrap(1, wrap(5, wrap(6, graph)) + wrap(4, b"If"))
    path = tmp_path / "x.onnx"
    path.write_bytes(b"\x08\x08" + wrap(7, graph) + wrap(8, b"\x10\x11"))
    assert_file_refused(path, FormatError, "nested more than 16")
    path.write_bytes(b"\x08\x08" + b"\x3a\x80\x80\x80\x04" * 100_000)
    assert_file_refused(path, FormatError)


def test_quantized_weights_in_an_unknown_operator(tmp_path):
    """Fault 22."""
    node = helper.make_node("MatMulNBits", ["x", "q"], ["y"], name="/fc/MatMulNBits", domain="com.microsoft")
    path = onnx_with(tmp_path, numpy_helper.from_array(np.ones((4, 4), np.uint8), "q"), nodes=[node])
    assert_file_refused(path, FormatError, "MatMulNBits", "/fc/MatMulNBits")
    node = helper.make_node("MatMulInteger", ["x", "q"], ["y"], name="/fc/MatMul_quant")
    path = onnx_with(tmp_path, numpy_helper.from_array(np.ones((4, 4), np.int8), "q"), nodes=[node])
    assert_file_refused(path, FormatError, "/fc/MatMul_quant", "scale")


def test_malformed_initializers(tmp_path):
    """Fault 22."""
    float8 = TensorProto(name="a.w", data_type=17, dims=[4], raw_data=b"0000")
    assert_file_refused(onnx_with(tmp_path, float8), FormatError, "a.w", "type 17")
    short = TensorProto(name="a.w", data_type=1, dims=[4], raw_data=b"0000")
    assert_file_refused(onnx_with(tmp_path, short), FormatError, "a.w", "needs 16 bytes, found 4")
    huge = TensorProto(name="a.w", data_type=1, dims=[2**31, 2**31], raw_data=b"")
    assert_file_refused(onnx_with(tmp_path, huge), FormatError, "a.w")
    negative = TensorProto(name="a.w", data_type=1, dims=[-1], raw_data=b"")
    assert_file_refused(onnx_with(tmp_path, negative), FormatError, "a.w", "-1")
    few = TensorProto(name="a.w", data_type=7, dims=[4], int64_data=[300, 300])
    assert_file_refused(onnx_with(tmp_path, few), FormatError, "a.w", "2 values")
    one = numpy_helper.from_array(np.ones(1, np.float32), "a.w")
    assert_file_refused(onnx_with(tmp_path, one, one), FormatError, "a.w", "twice")


def test_graph_over_2_gb(tmp_path):
    """Fault 22."""
    path = onnx_with(tmp_path)
    os.truncate(path, 2**31 + 1)  # sparse: takes no room on the disk
    assert_file_refused(path, FormatError, "at most 2 GB", limit_s=1.0)


def test_not_a_model(tmp_path):
    """Fault 22."""
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08")
    assert_file_refused(tmp_path / "x.onnx", FormatError, "not an ONNX model")
    sparse = onnx.SparseTensorProto(dims=[4])
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
    (tmp_path / "y.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert_file_refused(tmp_path / "y.onnx", FormatError, "sparse")
