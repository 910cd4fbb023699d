"""CosyVoice's two ONNX files with random weights, under the node and initializer names of the released ones.

The nodes carry the module paths; initializers that PyTorch's exporter changed or renamed are anonymous
("onnx::MatMul_2228"), the others keep their parameter's name. Both graphs run in onnxruntime.
"""

import math
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Collects nodes and initializers; every method that adds a node gives the name of its output."""

    def __init__(self, seed: int, first: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.names: set[str] = set()
        self.numbers = count(first)

    def node(self, op: str, path: str, *inputs: str, **attributes: Any) -> str:
        """A node called path/op, or path/op_1 and so on where that is taken."""
        name = next(n for n in (f"{path}/{op}{f'_{i}' if i else ''}" for i in count()) if n not in self.names)
        self.names.add(name)
        self.nodes.append(helper.make_node(op, list(inputs), [f"{name}_output_0"], name, **attributes))
        return f"{name}_output_0"

    def initializer(self, name: str, values: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def constant(self, path: str, values: Any, dtype: type = np.float32) -> str:
        value = numpy_helper.from_array(np.asarray(values, dtype))
        return self.node("Constant", path, value=value)

    def anonymous(self, op: str, values: np.ndarray, number: int | None = None) -> str:
        return self.initializer(f"onnx::{op}_{next(self.numbers) if number is None else number}", values)

    def random(self, *shape: int, gain: float = 1.0) -> np.ndarray:
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 1
        return (self.rng.standard_normal(shape, dtype=np.float32) * (gain / math.sqrt(fan_in))).astype(np.float32)

    def around(self, value: float, size: int) -> np.ndarray:
        return (value + 0.1 * self.rng.standard_normal(size, dtype=np.float32)).astype(np.float32)

    def conv(self, path: str, x: str, shape: tuple[int, ...], own: str = "", bias: bool = True, **attributes) -> str:
        """A convolution; its parameters keep their names under `own`, or are anonymous as after folding a norm."""
        gain = math.sqrt(2)
        if own:
            inputs = [self.initializer(f"{own}.weight", self.random(*shape, gain=gain))]
            inputs += [self.initializer(f"{own}.bias", self.around(0, shape[0]))] if bias else []
        else:
            inputs = [self.anonymous("Conv", self.random(*shape, gain=gain))]
            inputs += [self.anonymous("Conv", self.around(0, shape[0]))]
        return self.node("Conv", path, x, *inputs, **attributes)

    def batch_norm(self, path: str, x: str, size: int) -> str:
        own = path.strip("/").replace("/", ".")
        values = {"weight": self.around(1, size), "bias": self.around(0, size)}
        values |= {"running_mean": self.around(0, size), "running_var": np.abs(self.around(1, size))}
        inputs = [self.initializer(f"{own}.{name}", array) for name, array in values.items()]
        return self.node("BatchNormalization", path, x, *inputs, epsilon=1e-5)

    def model(self, inputs: list, outputs: list, opset: int) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "main_graph", inputs, outputs, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def campplus(path: Path, *, channels: int, growth: int, layers: tuple[int, int, int], seed: int = 3) -> None:
    """CAM++: 80 mel bins, a first layer and bottlenecks of 4 x growth channels, 192 numbers."""
    g = Graph(seed, first=6000)
    x = g.node("Transpose", "", "input", perm=[0, 2, 1])
    x = g.node("Unsqueeze", "/head", x, axes=[1])

    def conv2d(at: str, x: str, inputs: int, kernel: int, stride: int) -> str:
        pad = kernel // 2
        shape = (channels, inputs, kernel, kernel)
        return g.conv(at, x, shape, kernel_shape=[kernel] * 2, pads=[pad] * 4, strides=[stride, 1])

    x = g.node("Relu", "/head", conv2d("/head/conv1", x, 1, 3, 1))
    for stage in (1, 2):
        for i, stride in enumerate((2, 1)):
            at = f"/head/layer{stage}/layer{stage}.{i}"
            y = g.node("Relu", at, conv2d(f"{at}/conv1", x, channels, 3, stride))
            y = conv2d(f"{at}/conv2", y, channels, 3, 1)
            skip = conv2d(f"{at}/shortcut/shortcut.0", x, channels, 1, stride) if stride == 2 else x
            x = g.node("Relu", at, g.node("Add", at, y, skip))
    x = g.node("Relu", "/head", conv2d("/head/conv2", x, channels, 3, 2))
    x = g.node("Reshape", "/head", x, g.constant("/head", [0, channels * 10, -1], np.int64))
    width = narrow = 4 * growth
    x = g.conv("/xvector/tdnn/linear", x, (width, channels * 10, 5), kernel_shape=[5], pads=[2, 2], strides=[2])
    x = g.node("Relu", "/xvector/tdnn/nonlinear/relu", x)
    for block, (number, dilation) in enumerate(zip(layers, (1, 2, 2), strict=True), 1):
        for layer in range(1, number + 1):
            at = f"/xvector/block{block}/tdnnd{layer}"
            y = g.node("Relu", f"{at}/nonlinear1/relu", g.batch_norm(f"{at}/nonlinear1/batchnorm", x, width))
            y = g.conv(f"{at}/linear1", y, (narrow, width, 1), kernel_shape=[1])
            y = context_mask(g, f"{at}/cam_layer", g.node("Relu", f"{at}/nonlinear2/relu", y), narrow, growth, dilation)
            x = g.node("Concat", f"/xvector/block{block}", x, y, axis=1)
            width += growth
        at = f"/xvector/transit{block}"
        x = g.node("Relu", f"{at}/nonlinear/relu", g.batch_norm(f"{at}/nonlinear/batchnorm", x, width))
        own = f"xvector.transit{block}.linear" if block < 3 else ""  # the third has the norm after it in it
        x = g.conv(f"{at}/linear", x, (width // 2, width, 1), own=own, bias=False, kernel_shape=[1])
        width //= 2
    x = g.node("Relu", "/xvector/out_nonlinear/relu", x)
    x = g.node("Unsqueeze", "/xvector/dense", pooled(g, x), axes=[2])
    x = g.conv("/xvector/dense/linear", x, (192, 2 * width, 1), own="xvector.dense.linear", bias=False)
    x = g.node("Squeeze", "/xvector/dense", x, axes=[2])
    own = "xvector.dense.nonlinear.batchnorm"
    last = [g.anonymous("BatchNormalization", np.full(192, value, np.float32)) for value in (1, 0)]
    last += [g.initializer(f"{own}.running_mean", g.around(0, 192))]
    last += [g.initializer(f"{own}.running_var", np.abs(g.around(1, 192)))]
    x = g.node("BatchNormalization", "/" + own.replace(".", "/"), x, *last, epsilon=1e-5)
    x = g.node("Identity", "", x)
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["B", "T", 80])]
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["B", 192])]
    onnx.save(g.model(inputs, outputs, 11), path)


def context_mask(g: Graph, at: str, x: str, narrow: int, growth: int, dilation: int) -> str:
    own = at.strip("/").replace("/", ".")
    options = {"kernel_shape": [3], "dilations": [dilation], "pads": [dilation] * 2}
    y = g.conv(f"{at}/linear_local", x, (growth, narrow, 3), own=f"{own}.linear_local", bias=False, **options)
    mean = g.node("ReduceMean", at, x, axes=[2], keepdims=1)
    segments = g.node("AveragePool", at, x, kernel_shape=[100], strides=[100], ceil_mode=1)
    segments = g.node("Unsqueeze", at, segments, axes=[3])
    segments = g.node("Tile", at, segments, g.constant(at, [1, 1, 1, 100], np.int64))
    segments = g.node("Reshape", at, segments, g.constant(at, [0, 0, -1], np.int64))
    length = g.node("Gather", at, g.node("Shape", at, x), g.constant(at, [2], np.int64), axis=0)
    start, axis = g.constant(at, [0], np.int64), g.constant(at, [2], np.int64)
    context = g.node("Add", at, mean, g.node("Slice", at, segments, start, length, axis))
    context = g.conv(f"{at}/linear1", context, (narrow // 2, narrow, 1), own=f"{own}.linear1", kernel_shape=[1])
    context = g.node("Relu", f"{at}/relu", context)
    gate = g.conv(f"{at}/linear2", context, (growth, narrow // 2, 1), own=f"{own}.linear2", kernel_shape=[1])
    return g.node("Mul", at, y, g.node("Sigmoid", f"{at}/sigmoid", gate))


def pooled(g: Graph, x: str) -> str:
    """Mean and unbiased deviation over time."""
    at = "/xvector/stats"
    mean = g.node("ReduceMean", at, x, axes=[2], keepdims=1)
    away = g.node("Sub", at, x, mean)
    total = g.node("ReduceSum", at, g.node("Mul", at, away, away), axes=[2], keepdims=0)
    length = g.node("Gather", at, g.node("Shape", at, x), g.constant(at, 2, np.int64), axis=0)
    less = g.node("Sub", at, g.node("Cast", at, length, to=TensorProto.FLOAT), g.constant(at, 1.0))
    deviation = g.node("Sqrt", at, g.node("Div", at, total, less))
    return g.node("Concat", at, g.node("Squeeze", at, mean, axes=[2]), deviation, axis=1)


def speech_tokenizer(
    path: Path, *, state: int, heads: int, layers: int, decomposed: bool = False, seed: int = 4
) -> None:
    """Versions 2 and 3: 128 mel bins at 100 frames a second to 25 of 6561 tokens a second.

    decomposed: as in version 3, layer norms are written out in simple operators, and biases are nodes.
    """
    g = Graph(seed)

    def linear(at: str, x: str, outputs: int, inputs: int, number: int, bias: int | None, gain: float = 1.0) -> str:
        weight = g.anonymous("MatMul", g.random(outputs, inputs, gain=gain).T, number)
        y = g.node("MatMul", at, x, weight)
        if bias is None:
            return y
        values = g.around(0, outputs)
        if decomposed:
            return g.node("Add", at, y, g.constant(f"{at}/bias", values))
        return g.node("Add", at, g.anonymous("Add", values, bias), y)

    def gelu(at: str, x: str) -> str:
        y = g.node("Erf", at, g.node("Div", at, x, g.constant(at, math.sqrt(2))))
        y = g.node("Mul", at, x, g.node("Add", at, y, g.constant(at, 1.0)))
        return g.node("Mul", at, y, g.constant(at, 0.5))

    def conv(at: str, x: str, inputs: int, number: int) -> str:
        gain = 3.0 if inputs == 128 else 1.4
        weight = g.anonymous("Conv", g.random(state, inputs, 3, gain=gain), number)
        bias = g.anonymous("Conv", g.around(0, state), number + 1)
        return gelu("", g.node("Conv", at, x, weight, bias, kernel_shape=[3], pads=[1, 1], strides=[2]))

    def norm(at: str, x: str, number: int, epsilon: float) -> str:
        if decomposed:
            away = g.node("Sub", at, x, g.node("ReduceMean", at, x, axes=[-1]))
            square = g.node("ReduceMean", at, g.node("Pow", at, away, g.constant(at, 2.0)), axes=[-1])
            deviation = g.node("Sqrt", at, g.node("Add", at, square, g.constant(at, epsilon)))
            y = g.node("Mul", at, g.node("Div", at, away, deviation), g.anonymous("Mul", g.around(1, state), number))
            return g.node("Add", at, y, g.anonymous("Add", g.around(0, state), number + 1))
        weight = g.anonymous("LayerNormalization", g.around(1, state), number)
        bias = g.anonymous("LayerNormalization", g.around(0, state), number + 1)
        return g.node("LayerNormalization", at, x, weight, bias, axis=-1, epsilon=epsilon)

    x = conv("/conv2", conv("/conv1", "feats", 128, 2216), state, 2218)
    x = g.node("Transpose", "", x, perm=[0, 2, 1])
    cos, sin = rotary_tables(g, x)
    for i in range(layers):
        first, block = 2224 + 52 * i, f"/blocks.{i}"
        y = norm(f"{block}/attn_ln", x, first, 1e-5 if decomposed else 1e-6)
        q = linear(f"{block}/attn/query", y, state, state, first + 4, first + 3)
        k = linear(f"{block}/attn/key", y, state, state, first + 6, None)
        v = linear(f"{block}/attn/value", y, state, state, first + 9, first + 8)
        y = attention(g, f"{block}/attn", q, k, v, heads, cos, sin)
        y = linear(f"{block}/attn/out", y, state, state, first + 43, first + 42)
        x = g.node("Add", block, x, g.node("Add", f"{block}/attn", y, memory(g, f"{block}/attn", v, state)))
        y = norm(f"{block}/mlp_ln", x, first + 44, 1e-5)
        y = gelu(f"{block}/mlp/mlp.1", linear(f"{block}/mlp/mlp.0", y, 4 * state, state, first + 48, first + 47))
        x = g.node("Add", block, x, linear(f"{block}/mlp/mlp.2", y, state, 4 * state, first + 51, first + 50))
    at = "/quantizer/project_in"
    y = g.node("MatMul", at, x, g.anonymous("MatMul", g.random(8, state, gain=0.4).T, 2536))
    y = g.node("Add", at, y, g.initializer("quantizer.project_in.bias", g.around(0, 8)))
    y = g.node("Mul", "/quantizer", g.node("Tanh", "/quantizer", y), g.constant("/quantizer", 0.9990000128746033))
    y = g.node("Add", "/quantizer", g.node("Round", "/quantizer", y), g.constant("/quantizer", 1.0))
    y = g.node("Mul", "/quantizer", y, g.constant("/quantizer", 3.0 ** np.arange(8)))
    y = g.node("ReduceSum", "/quantizer", y, g.constant("/quantizer", [2], np.int64), keepdims=0)
    y = g.node("Cast", "/quantizer", y, to=TensorProto.INT32)
    inputs = [helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "T"])]
    inputs += [helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1])]
    onnx.save(g.model(inputs, [helper.make_tensor_value_info(y, TensorProto.INT32, [1, "L"])], 17), path)


def rotary_tables(g: Graph, x: str) -> tuple[str, str]:
    """Cosines and sines of the positions of x. Shapes: each [1, T, 1, 64]."""
    angles = np.outer(np.arange(2048, dtype=np.float32), 1 / 10000 ** (np.arange(0, 64, 2, dtype=np.float32) / 64))
    tables = []
    length = g.node("Gather", "", g.node("Shape", "", x), g.constant("", [1], np.int64), axis=0)
    for function in (np.cos, np.sin):
        table = g.constant("", np.concatenate([function(angles)] * 2, axis=1)[None, :, None])
        tables.append(g.node("Slice", "", table, g.constant("", [0], np.int64), length, g.constant("", [1], np.int64)))
    return tables[0], tables[1]


def attention(g: Graph, at: str, q: str, k: str, v: str, heads: int, cos: str, sin: str) -> str:
    split = g.constant(at, [0, 0, heads, 64], np.int64)
    q, k, v = (g.node("Reshape", at, y, split) for y in (q, k, v))
    turned = []
    for y in (q, k):
        half = [g.constant(at, [n], np.int64) for n in (0, 32, 64)]
        axis = g.constant(at, [3], np.int64)
        left, right = (g.node("Slice", at, y, half[i], half[i + 1], axis) for i in (0, 1))
        rotated = g.node("Concat", at, g.node("Neg", at, right), left, axis=3)
        y = g.node("Add", at, g.node("Mul", at, y, cos), g.node("Mul", at, rotated, sin))
        turned.append(g.node("Mul", at, y, g.constant(at, 64**-0.25)))
    q, k = (g.node("Transpose", at, y, perm=perm) for y, perm in zip(turned, ([0, 2, 1, 3], [0, 2, 3, 1]), strict=True))
    v = g.node("Transpose", at, v, perm=[0, 2, 1, 3])
    y = g.node("MatMul", at, g.node("Softmax", at, g.node("MatMul", at, q, k), axis=-1), v)
    y = g.node("Transpose", at, y, perm=[0, 2, 1, 3])
    return g.node("Reshape", at, y, g.constant(at, [0, 0, heads * 64], np.int64))


def memory(g: Graph, at: str, v: str, state: int) -> str:
    """The FSMN: a convolution over time in each channel, and its input."""
    weight = g.initializer(f"{at.strip('/').replace('/', '.')}.fsmn_block.weight", g.random(state, 1, 31))
    y = g.node("Transpose", at, v, perm=[0, 2, 1])
    y = g.node("Conv", f"{at}/fsmn_block", y, weight, group=state, kernel_shape=[31], pads=[15, 15])
    return g.node("Add", at, g.node("Transpose", at, y, perm=[0, 2, 1]), v)
