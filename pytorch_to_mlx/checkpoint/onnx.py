"""Read ONNX parameters under the names and in the layouts of the exported torch modules; int8 and uint8 dequantized.

An initializer that kept its parameter name ("encoder.fc.bias") keeps it. One that the exporter renamed
("onnx::MatMul_6547") is named after the module path of the first node that consumes it: "/encoder/fc/MatMul" gives
"encoder.fc.weight". Linear weights come out as [out, in], recurrent ones as weight_ih_l0, weight_hh_l0, bias_ih_l0,
bias_hh_l0 (`_reverse`) with torch's gate order. Initializers that are not parameters (shape constants, folded
reciprocals, initial states) are in `constants`, under their own names. `extra` has each norm's epsilon, also of layer
norms that are written as single steps, and the stride of each convolution over time.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FormatError
from .base import Checkpoint, Entries, Entry, TensorInfo, to_mlx
from .budget import TENSOR, Budget
from .files import SourceFile, closing_on_error, not_a, quote, sniff
from .onnx_graph import Graph, Initializer, Node, read_graph

_OWN_NAME = re.compile(r"(?!onnx__)\w+(\.\w+)+")
_WEIGHT_BIAS = {1: "weight", 2: "bias"}
# Which inputs of an operator are parameters, and the names that torch gives them.
SLOTS: dict[str, dict[int, str]] = {
    **dict.fromkeys(["Conv", "FusedConv", "ConvTranspose", "Gemm"], _WEIGHT_BIAS),
    **dict.fromkeys(["LayerNormalization", "GroupNormalization", "InstanceNormalization"], _WEIGHT_BIAS),
    "BatchNormalization": {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"},
    "PRelu": {1: "weight"},
    "MatMulInteger": {1: "weight"},
    "ConvInteger": {1: "weight"},
    "MatMul": {0: "weight", 1: "weight"},
    "Gather": {0: "weight"},
    "Add": {0: "bias", 1: "bias"},
}
# The number of gates of the recurrent operators.
RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}
# ONNX keeps the gates as i o f c and z r h; torch as i f g(=c) o and r z n(=h).
_GATES = {4: [0, 2, 3, 1], 3: [1, 0, 2], 1: [0]}
_QUANTIZED = ("int8", "uint8")
_NONE = Initializer("", "", (), (0, 0))


@dataclass(frozen=True)
class Quantized:
    """How integers become float32: (q - zero_point) * scale, by initializers that lie along `axis`."""

    scale: str
    zero_point: str | None
    axis: int | None


def open_onnx(path: Path, budget: Budget) -> Checkpoint:
    """Open an ONNX file with all of its parameters.

    Raises: FormatError for malformed files, and for quantized or packed weights in an operator that is not understood.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        if sniff(file) != "data" or file.size > 2**31:
            raise not_a("an ONNX graph of at most 2 GB", file)
        graph = read_graph(file, budget)
        try:
            budget.spend(TENSOR * len(graph.initializers))
            reader = _Reader(graph)
            reader.collect()
        except FormatError:
            graph.close()
            raise
    constants = Entries(reader.constants)
    files = [file, *graph.files.values()]
    return Checkpoint(str(path), "onnx", reader.entries, extra=reader.extra, constants=constants, files=files)


class _Reader:
    """Sort a graph's initializers into parameters (`entries`) and `constants`.

    used: initializers that are taken. own_names: those that kept a parameter's name. n_layers: recurrent nodes so far,
    by module path.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.entries: dict[str, Entry] = {}
        self.constants: dict[str, Entry] = {}
        self.extra: dict[str, float] = {}
        self.used: set[str] = set()
        self.n_layers: dict[str, int] = {}
        self.own_names = {key for key in graph.initializers if _OWN_NAME.fullmatch(key.removesuffix("_quantized"))}

    def collect(self) -> None:
        """Go through the nodes, then through the initializers that no node has taken."""
        for node in self.graph.nodes:
            if node.op in RECURRENT:
                self.recurrent(node)
            if node.op.endswith("Normalization"):
                self.extra[f"{module_path(node.name)[0]}.epsilon"] = node.attributes.get("epsilon", 1e-5)
            if node.op == "Conv" and len(node.attributes.get("strides", ())) == 1:
                self.extra[f"{module_path(node.name)[0]}.stride"] = node.attributes["strides"][0]
            if node.op == "Div":
                self.decomposed_norm(node)
            for index, role in SLOTS.get(node.op, {}).items():
                if index < len(node.inputs):
                    self.parameter(node, index, role)
        for key, tensor in self.graph.initializers.items():
            if key in self.used:
                continue
            if key in self.own_names and tensor.dtype not in _QUANTIZED:
                self.add(key, tensor.dtype, tensor.shape, lambda key=key: self.graph.array(key))
            else:
                self.check_constant(key)
                info = TensorInfo.of(key, tensor.dtype, tensor.shape)
                self.constants[key] = Entry(
                    info, self.reader(info, tensor.dtype, lambda key=key: self.graph.array(key))
                )

    def check_constant(self, key: str) -> None:
        """Refuse weights in an operator that is not understood: they must not pass as constants."""
        tensor = self.graph.initializers[key]
        for node, _ in self.graph.consumers.get(key, [])[:1]:
            is_foreign = node.domain not in ("", "ai.onnx") and node.op not in RECURRENT and len(tensor.shape) > 1
            if is_foreign or (tensor.dtype in _QUANTIZED and len(tensor.shape) > 1):
                raise self.graph.error(
                    f"{node.where} of the operator set {quote(node.domain or 'ai.onnx')} holds the {tensor.dtype}"
                    f" weights {quote(key)} in a way that is not understood",
                    fix="export the model again in float32",
                )

    def add(
        self, name: str, dtype: str, shape: tuple[int, ...], values: Callable[[], np.ndarray], stored: str = ""
    ) -> None:
        """Add a parameter whose values `values` computes; `stored` is their dtype in the file, if it differs."""
        if name in self.entries:
            raise self.graph.error(f"two parameters would be named {quote(name)}")
        info = TensorInfo.of(name, dtype, shape, stored)
        self.entries[name] = Entry(info, self.reader(info, dtype, values))

    def reader(self, info: TensorInfo, dtype: str, values: Callable[[], np.ndarray]) -> Callable:
        where = self.graph.path
        return lambda: to_mlx(np.ascontiguousarray(values()), dtype, info.shape, name=info.name, where=where)

    # --- ordinary parameters -------------------------------------------------------------------------------

    def parameter(self, node: Node, index: int, role: str) -> None:
        """Add the parameter at one input of a node, if it is one."""
        key, quantized = self.initializer_behind(node, index)
        tensor = self.graph.initializers.get(key)
        if tensor is None or key in self.used:
            return
        if not quantized and key in self.own_names:
            return  # added under its own name, as it is stored
        if not quantized and (tensor.dtype in _QUANTIZED or not tensor.dtype.startswith(("float", "bfloat"))):
            return
        if node.op == "Gather" and len(tensor.shape) < 2:
            return
        if node.op == "Add":
            matmul = self.matmul_before(node, index)
            if matmul is None or len(tensor.shape) != 1:
                return
            node = matmul
        self.used.add(key)
        needs_transpose = self.is_transposed(node, index, key, tensor.shape)
        shape = tensor.shape[::-1] if needs_transpose else tensor.shape
        name = key.removesuffix("_quantized") if key in self.own_names else self.derived_name(node, role)

        def values() -> np.ndarray:
            array = self.dequantize(key, quantized) if quantized else self.graph.array(key)
            return array.T if needs_transpose else array

        if quantized:
            self.check_quantized(key, quantized, node)
        self.add(name, "float32" if quantized else tensor.dtype, shape, values, tensor.dtype)

    def decomposed_norm(self, node: Node) -> None:
        """Add what belongs to a layer norm as it was exported before opset 17, (x - mean) / sqrt(var + e) · w + b."""
        root = self.graph.producers.get(node.input(1))
        variance = self.graph.producers.get(root.input(0)) if root and root.op == "Sqrt" else None
        scale = self.only_consumer(node, "Mul")
        shift = self.only_consumer(scale, "Add") if scale else None
        if variance is None or scale is None or shift is None:
            return
        epsilon, *parameters = (self.float_initializer(part) for part in (variance, scale, shift))
        if not epsilon or math.prod(self.graph.initializers[epsilon].shape) != 1 or "" in parameters:
            return
        path = module_path(scale.name)[0]
        for key, role in zip(parameters, ("weight", "bias"), strict=True):
            tensor = self.graph.initializers[key]
            if key not in self.own_names and key not in self.used and len(tensor.shape) == 1:
                self.used.add(key)
                self.add(f"{path}.{role}", tensor.dtype, tensor.shape, lambda key=key: self.graph.array(key))
        self.extra[f"{path}.epsilon"] = float(self.graph.array(epsilon).reshape(()))

    def float_initializer(self, node: Node) -> str:
        """Return the key of the first input that is an initializer of floats, "" if there is none."""
        floats = (key for key in node.inputs if self.graph.initializers.get(key, _NONE).dtype.startswith("float"))
        return next(floats, "")

    def only_consumer(self, node: Node, op: str) -> Node | None:
        """Return the node that alone uses the output of another, if it is this operator."""
        consumers = self.graph.consumers.get(node.output(), [])
        return consumers[0][0] if len(consumers) == 1 and consumers[0][0].op == op else None

    def initializer_behind(self, node: Node, index: int) -> tuple[str, Quantized | None]:
        """Return the initializer behind an input, through Identity and DequantizeLinear, and its quantization."""
        key, quantized = node.inputs[index], None
        for _ in range(8):
            producer = self.graph.producers.get(key)
            if producer is None or key in self.graph.initializers:
                break
            if producer.op == "DequantizeLinear" and quantized is None:
                axis = producer.attributes.get("axis", 1)
                if producer.attributes.get("block_size") or type(axis) is not int:
                    raise self.graph.error(f"{producer.where}: blocked quantization is not supported")
                quantized = Quantized(producer.input(1), producer.input(2) or None, axis)
            elif producer.op != "Identity":
                break
            key = producer.input(0)
        tensor = self.graph.initializers.get(key)
        if tensor is None or tensor.dtype not in _QUANTIZED or quantized:
            return key, quantized if tensor is not None and tensor.dtype in (*_QUANTIZED, "int32") else None
        if node.op in ("MatMulInteger", "ConvInteger"):
            return key, Quantized(self.scale_after(node), node.input(3) or None, 0 if node.op == "ConvInteger" else -1)
        if node.op == "Gather":
            for after, place in self.graph.consumers.get(node.output(), []):
                if after.op == "DequantizeLinear" and place == 0:
                    return key, Quantized(after.input(1), after.input(2) or None, None)
        return key, None

    def scale_after(self, node: Node) -> str:
        """Return the scale of a node's weights, from output -> (Add) -> Cast -> Mul by (input scale * weight scale)."""
        key = node.output()
        for _ in range(4):
            consumers = self.graph.consumers.get(key, [])
            if len(consumers) != 1:
                break
            after, place = consumers[0]
            if after.op == "Mul" and len(after.inputs) == 2:
                factor = after.inputs[1 - place]
                product = self.graph.producers.get(factor)
                candidates = [factor, *(product.inputs if product and product.op == "Mul" else [])]
                scales = [candidate for candidate in candidates if candidate in self.graph.initializers]
                if len(scales) == 1:
                    return scales[0]
                break
            if after.op not in ("Add", "Cast"):
                break
            key = after.output()
        raise self.graph.error(f"{node.where}: the scale of its weights cannot be found")

    def check_quantized(self, key: str, quantized: Quantized, node: Node) -> None:
        """Refuse a scale or zero point that does not fit its weights; take both otherwise."""
        tensor = self.graph.initializers[key]
        for part in (quantized.scale, quantized.zero_point):
            if part is None:
                continue
            factors = self.graph.initializers.get(part)
            shapes: set[tuple[int, ...]] = {(), (1,)}
            if quantized.axis is not None and -len(tensor.shape) <= quantized.axis < len(tensor.shape):
                shapes.add((tensor.shape[quantized.axis],))
            if factors is None or factors.shape not in shapes:
                raise self.graph.error(
                    f"{node.where}: scale or zero point of {quote(key)} is missing or has another shape"
                )
            if factors.dtype != ("float32" if part == quantized.scale else tensor.dtype):
                raise self.graph.error(f"{node.where}: scale or zero point of {quote(key)} is {factors.dtype}")
            self.used.add(part)

    def dequantize(self, key: str, quantized: Quantized) -> np.ndarray:
        """Return the float32 values of a quantized initializer. Shapes: -> its own shape."""
        values = self.graph.array(key).astype(np.int32)

        def along(part: str) -> np.ndarray:
            array = self.graph.array(part).reshape(-1)
            if array.size == 1:
                return array.reshape(())
            shape = [1] * values.ndim
            shape[quantized.axis or 0] = array.size
            return array.reshape(shape)

        if quantized.zero_point is not None:
            values = values - along(quantized.zero_point).astype(np.int32)
        return values.astype(np.float32) * along(quantized.scale)

    def is_transposed(self, node: Node, index: int, key: str, shape: tuple[int, ...]) -> bool:
        """Return whether a Linear weight is stored as [in, out], where torch's is [out, in].

        A parameter under its own name is as torch has it, unless the quantizer transposed the weight of a Gemm.
        """
        if len(shape) != 2 or index != 1:
            return False
        if node.op == "MatMulInteger":
            return key not in self.own_names or node.name.rsplit("/", 1)[-1].startswith("Gemm")
        if key in self.own_names:
            return False
        return node.op == "MatMul" or (node.op == "Gemm" and not node.attributes.get("transB"))

    def matmul_before(self, node: Node, index: int) -> Node | None:
        """Return the MatMul whose output an Add adds the input at `index` to, if it has weights."""
        other = self.graph.producers.get(node.inputs[1 - index]) if len(node.inputs) == 2 else None
        if other and other.op == "MatMul" and other.input(1) in self.graph.initializers:
            return other
        return None

    def derived_name(self, node: Node, role: str) -> str:
        """Return a parameter's name: its node's module path and its role, with the node's name between if needed."""
        path, base = module_path(node.name)
        name = ".".join([path or base, role])
        is_taken = name in self.entries or name in self.own_names
        return ".".join(filter(None, [path, base, role])) if is_taken else name

    # --- recurrent layers ----------------------------------------------------------------------------------

    def recurrent(self, node: Node) -> None:
        """Add the weights and biases of a recurrent node, each direction by itself."""
        inputs = [node.input(index) for index in range(12)]
        if not any(key in self.graph.initializers for key in inputs[1:3]) or inputs[1] in self.used:
            return  # computed inside the graph, or another use of the same layer
        gates = RECURRENT[node.op]
        is_quantized = node.op == "DynamicQuantizeLSTM"
        path, base = module_path(node.name)
        prefix = path or base
        number = self.n_layers.get(prefix, 0)
        self.n_layers[prefix] = number + 1
        direction = node.attributes.get("direction", "forward")
        suffixes = {"forward": [""], "bidirectional": ["", "_reverse"], "reverse": ["_reverse"]}.get(direction)
        hidden = node.attributes.get("hidden_size")
        if suffixes is None or type(hidden) is not int or hidden < 1 or inputs[4] or (gates == 4 and inputs[7]):
            raise self.graph.error(f"{node.where}: sequence lengths, peepholes or an unknown direction")
        layer = _Recurrent(node, prefix, number, gates, hidden, suffixes)
        for part, role in enumerate(("weight_ih", "weight_hh")):
            quantized = Quantized(inputs[8 + 2 * part], inputs[9 + 2 * part] or None, None) if is_quantized else None
            self.recurrent_weight(layer, role, inputs[1 + part], quantized)
        if inputs[3]:
            self.recurrent_bias(layer, inputs[3])

    def recurrent_weight(self, layer: "_Recurrent", role: str, key: str, quantized: Quantized | None) -> None:
        tensor = self.graph.initializers.get(key)
        count, rows = len(layer.suffixes), layer.rows
        shape = tensor.shape if tensor else ()
        width = (shape[1] if quantized else shape[2]) if len(shape) == 3 else -1
        expected = (count, width, rows) if quantized else (count, rows, width)
        if tensor is None or shape != expected or (tensor.dtype in _QUANTIZED) != bool(quantized):
            raise self.graph.error(f"{layer.node.where}: {role} has shape {list(shape)}, {list(expected)} is expected")
        self.used.add(key)
        for part in (quantized.scale, quantized.zero_point) if quantized else ():
            factors = self.graph.initializers.get(part or "")
            if part is not None and (factors is None or factors.shape not in {(count,), (count, rows)}):
                raise self.graph.error(f"{layer.node.where}: the scale or zero point of {quote(key)} does not fit")
            self.used.add(part or "")

        def values(direction: int) -> np.ndarray:
            array = self.graph.array(key)[direction]
            if quantized:
                array = self.dequantize_recurrent(array, quantized, direction).T  # [4H, in]
            return layer.torch_order(array)

        dtype = "float32" if quantized else tensor.dtype
        for direction, name in enumerate(layer.names(role)):
            self.add(name, dtype, (rows, width), lambda direction=direction: values(direction), tensor.dtype)

    def dequantize_recurrent(self, array: np.ndarray, quantized: Quantized, direction: int) -> np.ndarray:
        """Return the float32 weights of one direction. Shapes: array [in, 4H] -> [in, 4H]."""
        values = array.astype(np.int32)
        if quantized.zero_point is not None:
            values = values - self.graph.array(quantized.zero_point)[direction].astype(np.int32)
        return values.astype(np.float32) * self.graph.array(quantized.scale)[direction]

    def recurrent_bias(self, layer: "_Recurrent", key: str) -> None:
        tensor = self.graph.initializers.get(key)
        rows = layer.rows
        if tensor is None or tensor.shape != (len(layer.suffixes), 2 * rows):
            raise self.graph.error(f"{layer.node.where}: the bias is missing or has another shape")
        self.used.add(key)

        def values(direction: int, half: int) -> np.ndarray:
            return layer.torch_order(self.graph.array(key)[direction].reshape(2, rows)[half])

        for half, role in enumerate(("bias_ih", "bias_hh")):
            for direction, name in enumerate(layer.names(role)):
                read = lambda direction=direction, half=half: values(direction, half)  # noqa: E731
                self.add(name, tensor.dtype, (rows,), read)


@dataclass(frozen=True)
class _Recurrent:
    """One recurrent node: its module path and layer number as torch counts them, and its sizes."""

    node: Node
    prefix: str
    layer: int
    gates: int
    hidden: int
    suffixes: list[str]

    @property
    def rows(self) -> int:
        """Return the rows of a weight: all gates one below the other."""
        return self.gates * self.hidden

    def names(self, role: str) -> list[str]:
        """Return torch's names of a weight or bias, one for each direction."""
        return [f"{self.prefix}.{role}_l{self.layer}{suffix}" for suffix in self.suffixes]

    def torch_order(self, array: np.ndarray) -> np.ndarray:
        """Return rows whose gates are in ONNX's order in torch's. Shapes: array [gates * H, …] -> the same."""
        parts = array.reshape(self.gates, self.hidden, *array.shape[1:])
        return parts[_GATES[self.gates]].reshape(array.shape)


def module_path(node_name: str) -> tuple[str, str]:
    """Split a node's name into dotted module path and last part: "/a/cnn.0/cnn.0.1/Conv" -> ("a.cnn.0.1", "Conv")."""
    parts = [part for part in node_name.split("/") if part]
    merged: list[str] = []
    for part in parts[:-1]:
        if merged and part.startswith(merged[-1] + "."):
            merged[-1] = part
        else:
            merged.append(part)
    return ".".join(merged), parts[-1] if parts else node_name
