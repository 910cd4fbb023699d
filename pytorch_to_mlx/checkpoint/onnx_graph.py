"""Read the graph of an ONNX file (nodes, initializers, who consumes what) without onnx or onnxruntime."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from .base import STORAGE, check_shape, itemsize
from .budget import Budget
from .files import SourceFile, quote, relative_inside
from .protobuf import Span, Wire

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
# The typed field that may hold the values where raw_data does not, by dtype; for all others it is int32_data.
_TYPED = {"float32": "float_data", "complex64": "float_data", "float64": "double_data", "int64": "int64_data"}
_TYPED |= {"uint32": "uint64_data", "uint64": "uint64_data"}

# The fields of each message, as `Wire.message` takes them. Source: onnx/onnx.proto.
_MODEL = {1: ("ir_version", "int"), 7: ("graph", "span"), 8: ("opsets", "spans"), 25: ("functions", "spans")}
_GRAPH = {1: ("nodes", "spans"), 5: ("initializers", "spans"), 11: ("inputs", "spans"), 15: ("sparse", "spans")}
_VALUE = {1: ("name", "text"), 2: ("type", "span")}
_SHAPE = ({1: ("tensor", "span")}, {2: ("shape", "span")}, {1: ("dims", "spans")})  # each within the one before it
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
_INTS = {8: ("ints", "ints")}  # of an attribute; only those of a few names are short
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
    """A tensor of the graph, and where its bytes are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Span
    typed: str = ""  # the field that holds one varint per element; "" for raw bytes
    file: SourceFile | None = None  # the external file that holds the bytes; None for the ONNX file itself


@dataclass
class Node:
    """One operator with the keys of its inputs and outputs; of the attributes, numbers, `direction` and `strides`."""

    op: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]

    def input(self, index: int) -> str:
        """Return the key of an input, "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def output(self) -> str:
        """Return the key of the first output, "" if there is none."""
        return self.outputs[0] if self.outputs else ""

    @property
    def where(self) -> str:
        """Return the node's name and operator, for messages."""
        return f"node {quote(self.name)} ({quote(self.op)[1:-1]})"


@dataclass
class Graph:
    """All nodes of a model, those of nested graphs included.

    A value's key is its name, with a number where a nested graph uses the name again. files: the external ones, by
    path. inputs: the shapes of the outermost graph's inputs, with None for a dimension of any size.
    """

    path: Path
    wire: Wire
    nodes: list[Node] = field(default_factory=list)
    initializers: dict[str, Initializer] = field(default_factory=dict)
    producers: dict[str, Node] = field(default_factory=dict)
    consumers: dict[str, list[tuple[Node, int]]] = field(default_factory=dict)
    files: dict[str, SourceFile] = field(default_factory=dict)
    inputs: dict[str, list[int | None]] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)

    def array(self, key: str) -> np.ndarray:
        """Return an initializer's values, bfloat16 as uint16 because numpy does not have it.

        Shapes: -> its own shape
        Raises: FormatError if a typed field does not hold one number per element.
        """
        tensor = self.initializers[key]
        numpy_dtype = STORAGE[tensor.dtype]
        if not tensor.typed:
            data = (tensor.file or self.wire.file).read_array(tensor.data[0], tensor.data[1] - tensor.data[0])
            return data.view(numpy_dtype).reshape(tensor.shape)
        values = self.wire.ints(tensor.data, most=math.prod(tensor.shape))
        if len(values) != math.prod(tensor.shape):
            raise self.error(f"initializer {quote(key)} has {len(values)} values for shape {list(tensor.shape)}")
        # Of float16, bfloat16 and bool the field holds the bits, as numbers.
        unsigned = np.dtype(f"<u{np.dtype(numpy_dtype).itemsize}")
        return values.astype(unsigned).view(numpy_dtype).reshape(tensor.shape)

    def error(self, what: str, *, fix: str | None = None) -> FormatError:
        """Return the error that names this file."""
        return FormatError(what, where=self.path, fix=fix)

    def close(self) -> None:
        """Close the external files."""
        for file in self.files.values():
            file.close()


def read_graph(file: SourceFile, budget: Budget) -> Graph:
    """Read the graph of an open ONNX file.

    Raises: FormatError for malformed protobuf, unknown tensor types, sizes that do not fit, external data outside the
    file's own folder, and graphs nested more than MAX_DEPTH deep.
    """
    graph = Graph(file.path, Wire(file, budget))
    model = graph.wire.message((0, file.size), _MODEL)
    if model["ir_version"] is None or model["graph"] is None or not model["opsets"]:
        raise graph.error("not an ONNX model (it has no version, operator set or graph)")
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
    """Read one graph into `graph`; `outer` are the names (and their keys) of the graphs around it."""
    if depth > MAX_DEPTH:
        raise graph.error(f"graphs are nested more than {MAX_DEPTH} levels deep")
    wire = graph.wire
    fields = wire.message(span, _GRAPH)
    if fields["sparse"]:
        raise graph.error("sparse initializers are not supported")
    names: dict[str, str] = {}
    scopes = [*outer, names]
    for part in fields["initializers"]:
        tensor = _read_tensor(graph, part)
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
                graph.inputs[key] = _read_shape(wire, value["type"])
    nodes = [wire.message(part, _NODE) for part in fields["nodes"]]
    for node in nodes:
        for name in node["outputs"]:
            if name in names:
                raise graph.error(f"the value {quote(name)} has two producers")
            if name:
                _define(graph, names, name)
    for node in nodes:
        _read_node(graph, node, scopes, depth)


def _read_shape(wire: Wire, span: Span | None) -> list[int | None]:
    """Return the dimensions of a tensor's type; [] where it has none."""
    dims: list[Span] = []
    for spec in _SHAPE:
        if span is None:
            return []
        fields = wire.message(span, spec)
        span, dims = fields.get("tensor") or fields.get("shape"), fields.get("dims", dims)
    return [wire.message(dim, _DIM)["value"] for dim in dims]


def _define(graph: Graph, names: dict[str, str], name: str) -> str:
    """Give a value of this scope its key."""
    key = name
    while key in graph.consumers:  # the same name in another nested graph
        graph.copies[name] = graph.copies.get(name, 1) + 1
        key = f"{name}'{graph.copies[name]}"
    names[name] = key
    graph.consumers[key] = []
    return key


def _read_node(graph: Graph, fields: dict[str, Any], scopes: list[dict[str, str]], depth: int) -> None:
    """Add a node, its constant and its nested graphs."""

    def resolve(name: str) -> str:
        return next((scope[name] for scope in reversed(scopes) if name in scope), name)

    attributes: dict[str, Any] = {}
    op = fields["op"] or ""
    inputs, outputs = ([resolve(name) for name in fields[side]] for side in ("inputs", "outputs"))
    name = fields["name"] or f"{op}_{len(graph.nodes)}"
    node = Node(op, fields["domain"] or "", name, inputs, outputs, attributes)
    graph.nodes.append(node)
    graph.producers.update(dict.fromkeys(outputs, node))
    for part in fields["attributes"]:
        attribute = graph.wire.message(part, _ATTRIBUTE)
        if attribute["t"] is not None and op == "Constant" and outputs:
            graph.initializers[outputs[0]] = _read_tensor(graph, attribute["t"], name=outputs[0])
        for nested in [attribute["g"], *attribute["graphs"]]:
            if nested is not None:
                _read_scope(graph, nested, scopes, depth + 1)
        if attribute["s"] is not None and attribute["name"] == "direction":
            attributes[attribute["name"]] = graph.wire.text(attribute["s"])
        elif attribute["name"] == "strides":
            attributes["strides"] = tuple(graph.wire.message(part, _INTS)["ints"])
        elif attribute["i"] is not None:
            attributes[attribute["name"]] = attribute["i"]
        elif attribute["f"] is not None:
            attributes[attribute["name"]] = attribute["f"]


def _read_tensor(graph: Graph, span: Span, *, name: str | None = None) -> Initializer:
    """Return a tensor whose bytes are where it says, and as many as its shape needs."""
    fields = graph.wire.message(span, _TENSOR)
    name = str(name or fields["name"] or "")
    dtype = DTYPES.get(fields["data_type"] or 0)
    if fields["data_type"] == 8:  # strings: a constant that is never read
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
        return _read_external(graph, fields, name, dtype, shape, needed)
    if fields["external"]:
        raise graph.error(f"initializer {quote(name)} has external data but is not marked as external")
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


def _read_external(
    graph: Graph, fields: dict, name: str, dtype: str, shape: tuple[int, ...], needed: int
) -> Initializer:
    """Return a tensor in a file beside the ONNX file; the file stays open in `graph.files`."""
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
        raise FormatError(f"needs {needed} bytes, but has {length} at {offset} of a file of {file.size}", where=where)
    return Initializer(name, dtype, shape, (offset, offset + length), "", file)
