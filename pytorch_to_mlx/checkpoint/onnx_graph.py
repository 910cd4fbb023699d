"""The graph of an ONNX file: nodes, initializers and who consumes what, read without onnx or onnxruntime."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from .base import STORAGE, check_shape, itemsize
from .files import SourceFile, quote, relative_inside
from .protobuf import Span, Wire

MAX_NODES = 300_000
MAX_DEPTH = 16
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    16: "bfloat16",
}
# The typed field that may hold the values when raw_data does not, by stored dtype.
_TYPED = {"float32": "float_data", "complex64": "float_data", "float64": "double_data", "int64": "int64_data"}
_TYPED |= {"uint32": "uint64_data", "uint64": "uint64_data"}

_MODEL = {1: ("ir_version", "int"), 7: ("graph", "span"), 8: ("opsets", "spans"), 25: ("functions", "spans")}
_GRAPH = {1: ("nodes", "spans"), 5: ("initializers", "spans"), 11: ("inputs", "spans"), 15: ("sparse", "spans")}
_VALUE = {1: ("name", "text"), 2: ("type", "span")}
_SHAPE = ({1: ("tensor", "span")}, {2: ("shape", "span")}, {1: ("dims", "spans")})  # each inside the one before
_DIM = {1: ("value", "int")}
_NODE = {1: ("inputs", "texts"), 2: ("outputs", "texts"), 3: ("name", "text"), 4: ("op", "text")}
_NODE |= {5: ("attributes", "spans"), 7: ("domain", "text")}
_ATTRIBUTE = {
    1: ("name", "text"),
    2: ("f", "float"),
    3: ("i", "int"),
    4: ("s", "span"),
    5: ("t", "span"),
    6: ("g", "span"),
}
_ATTRIBUTE |= {11: ("graphs", "spans")}
_TENSOR = {1: ("dims", "ints"), 2: ("data_type", "int"), 3: ("segment", "span"), 4: ("float_data", "spans")}
_TENSOR |= {5: ("int32_data", "spans"), 7: ("int64_data", "spans"), 8: ("name", "text"), 9: ("raw_data", "span")}
_TENSOR |= {
    10: ("double_data", "spans"),
    11: ("uint64_data", "spans"),
    13: ("external", "spans"),
    14: ("location", "int"),
}
_PAIR = {1: ("key", "text"), 2: ("value", "text")}


@dataclass(frozen=True)
class Initializer:
    """A tensor of the graph and where its bytes are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Span
    typed: str = ""  # "" = raw bytes; otherwise the field with one number per element
    file: SourceFile | None = None  # the external file, if there is one


@dataclass
class Node:
    op: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]

    def input(self, index: int) -> str:
        """The key of an input, "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def output(self) -> str:
        return self.outputs[0] if self.outputs else ""

    @property
    def where(self) -> str:
        return f"node {quote(self.name)} ({quote(self.op)[1:-1]})"


@dataclass
class Graph:
    """All nodes of a model, those of nested graphs included; values have unique keys (mostly their own names)."""

    path: Path
    wire: Wire
    nodes: list[Node] = field(default_factory=list)
    initializers: dict[str, Initializer] = field(default_factory=dict)
    producers: dict[str, Node] = field(default_factory=dict)
    consumers: dict[str, list[tuple[Node, int]]] = field(default_factory=dict)
    files: dict[str, SourceFile] = field(default_factory=dict)
    inputs: dict[str, list[int | None]] = field(default_factory=dict)  # of the outermost graph; None: any size
    copies: dict[str, int] = field(default_factory=dict)

    def array(self, key: str) -> np.ndarray:
        """An initializer's values as numpy keeps them (bfloat16 as uint16). Shapes: -> its own shape."""
        tensor = self.initializers[key]
        numpy_dtype = STORAGE[tensor.dtype]
        if not tensor.typed:
            data = (tensor.file or self.wire.file).read_array(tensor.data[0], tensor.data[1] - tensor.data[0])
            return data.view(numpy_dtype).reshape(tensor.shape)
        values = self.wire.ints(tensor.data)
        if len(values) != math.prod(tensor.shape):
            raise self.error(f"initializer {quote(key)} has {len(values)} values for shape {list(tensor.shape)}")
        wide = np.array([value & (2**64 - 1) for value in values], np.uint64)
        # float16, bfloat16 and bool travel as the numbers of their bits.
        bits = np.dtype(f"<u{np.dtype(numpy_dtype).itemsize}")
        return wide.astype(bits).view(numpy_dtype).reshape(tensor.shape)

    def error(self, what: str, *, fix: str | None = None) -> FormatError:
        return FormatError(what, where=self.path, fix=fix)

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def read_graph(file: SourceFile) -> Graph:
    """Read the graph of an open ONNX file.

    Raises: FormatError for malformed protobuf, unknown tensor types, sizes that do not fit, external data outside the
    file's own folder, and graphs nested more than MAX_DEPTH deep.
    """
    graph = Graph(file.path, Wire(file))
    model = graph.wire.message((0, file.size), _MODEL)
    if model["ir_version"] is None or model["graph"] is None or not model["opsets"]:
        raise graph.error("this is no ONNX model (it has no version, operator set or graph)")
    try:
        _read_scope(graph, model["graph"], [], 0)
    except FormatError:
        graph.close()
        raise
    for node in graph.nodes:
        for index, key in enumerate(node.inputs):
            graph.consumers.setdefault(key, []).append((node, index))
    return graph


def _read_scope(graph: Graph, span: Span, outer: list[dict[str, str]], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise graph.error(f"graphs are nested more than {MAX_DEPTH} levels deep")
    wire = graph.wire
    fields = wire.message(span, _GRAPH)
    if fields["sparse"]:
        raise graph.error("sparse initializers are not supported")
    names: dict[str, str] = {}
    scopes = [*outer, names]
    for part in fields["initializers"]:
        tensor = _tensor(graph, part)
        if tensor.name in names or not tensor.name:
            raise graph.error(f"the initializer {quote(tensor.name)} occurs twice or has no name")
        key = _define(graph, names, tensor.name)
        graph.initializers[key] = tensor
    for part in fields["inputs"]:
        value = wire.message(part, _VALUE)
        name = value["name"]
        if name and name not in names:
            key = _define(graph, names, name)
            if not outer:
                graph.inputs[key] = _shape(wire, value["type"])
    nodes = [wire.message(part, _NODE) for part in fields["nodes"]]
    for node in nodes:
        for name in node["outputs"]:
            if name in names:
                raise graph.error(f"the value {quote(name)} is made twice")
            if name:
                _define(graph, names, name)
    for node in nodes:
        _read_node(graph, node, scopes, depth)


def _shape(wire: Wire, span: Span | None) -> list[int | None]:
    """The dimensions of a tensor's type; none where it says nothing."""
    dims: list[Span] = []
    for spec in _SHAPE:
        if span is None:
            return []
        fields = wire.message(span, spec)
        span, dims = fields.get("tensor") or fields.get("shape"), fields.get("dims", dims)
    return [wire.message(dim, _DIM)["value"] for dim in dims]


def _define(graph: Graph, names: dict[str, str], name: str) -> str:
    key = name
    while key in graph.consumers:  # the same name in another nested graph
        graph.copies[name] = graph.copies.get(name, 1) + 1
        key = f"{name}'{graph.copies[name]}"
    names[name] = key
    graph.consumers[key] = []
    return key


def _read_node(graph: Graph, fields: dict[str, Any], scopes: list[dict[str, str]], depth: int) -> None:
    def resolve(name: str) -> str:
        return next((scope[name] for scope in reversed(scopes) if name in scope), name)

    attributes: dict[str, Any] = {}
    op = fields["op"] or ""
    inputs, outputs = ([resolve(name) for name in fields[side]] for side in ("inputs", "outputs"))
    name = fields["name"] or f"{op}_{len(graph.nodes)}"
    node = Node(op, fields["domain"] or "", name, inputs, outputs, attributes)
    graph.nodes.append(node)
    if len(graph.nodes) > MAX_NODES:
        raise graph.error(f"more than {MAX_NODES} nodes")
    graph.producers.update(dict.fromkeys(outputs, node))
    for part in fields["attributes"]:
        attribute = graph.wire.message(part, _ATTRIBUTE)
        if attribute["t"] is not None and op == "Constant" and outputs:
            graph.initializers[outputs[0]] = _tensor(graph, attribute["t"], name=outputs[0])
        for nested in [attribute["g"], *attribute["graphs"]]:
            if nested is not None:
                _read_scope(graph, nested, scopes, depth + 1)
        if attribute["s"] is not None and attribute["name"] == "direction":
            attributes[attribute["name"]] = graph.wire.text(attribute["s"])
        elif attribute["i"] is not None:
            attributes[attribute["name"]] = attribute["i"]
        elif attribute["f"] is not None:
            attributes[attribute["name"]] = attribute["f"]


def _tensor(graph: Graph, span: Span, *, name: str | None = None) -> Initializer:
    fields = graph.wire.message(span, _TENSOR)
    name = str(name or fields["name"] or "")
    dtype = DTYPES.get(fields["data_type"] or 0)
    if fields["data_type"] == 8:  # strings: kept as a constant nobody reads
        return Initializer(name, "uint8", (0,), (0, 0))
    if dtype is None or fields["segment"] is not None:
        raise graph.error(
            f"initializer {quote(name)} has the tensor type {fields['data_type']}, which MLX does not have"
        )
    shape = check_shape(fields["dims"], name=name, where=graph.path)
    needed = math.prod(shape) * itemsize(dtype)
    kind = _TYPED.get(dtype, "int32_data")
    typed: list[Span] = fields[kind]
    if fields["location"]:
        return _external(graph, fields, name, dtype, shape, needed)
    if fields["external"]:
        raise graph.error(f"initializer {quote(name)} has external data, yet is not marked so")
    if fields["raw_data"] is not None and not typed:
        data, kind = fields["raw_data"], ""
    elif len(typed) == 1 and fields["raw_data"] is None:
        data = typed[0]
        kind = "" if kind in ("float_data", "double_data") else kind
    elif fields["raw_data"] is None and not typed and needed == 0:
        data, kind = (0, 0), ""
    else:
        raise graph.error(f"initializer {quote(name)} has no values, or has them twice")
    length = data[1] - data[0]
    if (length != needed) if not kind else (length < math.prod(shape)):
        raise graph.error(
            f"initializer {quote(name)}: shape {list(shape)} of {dtype} needs {needed} bytes, found {length}"
        )
    return Initializer(name, dtype, shape, data, kind)


def _external(graph: Graph, fields: dict, name: str, dtype: str, shape: tuple[int, ...], needed: int) -> Initializer:
    pairs = [graph.wire.message(part, _PAIR) for part in fields["external"]]
    values = {pair["key"]: pair["value"] for pair in pairs}
    unknown = set(values) - {"location", "offset", "length", "checksum"}
    if unknown or len(values) != len(pairs) or fields["raw_data"] is not None or fields["location"] != 1:
        raise graph.error(
            f"initializer {quote(name)}: unknown or repeated external data keys {sorted(map(str, unknown))}"
        )
    for key in ("offset", "length"):
        if not re.fullmatch(r"[0-9]{1,18}", values.get(key) or "0"):
            raise graph.error(f"initializer {quote(name)}: external {key} is {quote(values[key])}")
    offset, length = int(values.get("offset") or 0), int(values.get("length") or needed)
    location = values.get("location")
    where = f"{graph.path}: initializer {quote(name)}"
    path = relative_inside(graph.path.parent, location, where=where)
    file = graph.files.get(str(path))
    if file is None:
        file = graph.files[str(path)] = SourceFile(path)
        if file.links > 1:
            raise FormatError(f"names {quote(location)}, which is a hard link", where=where, fix="copy the file")
    if length != needed or offset + length > file.size:
        raise FormatError(f"needs {needed} bytes, {length} at {offset} of {file.size} are given", where=where)
    return Initializer(name, dtype, shape, (offset, offset + length), "", file)
