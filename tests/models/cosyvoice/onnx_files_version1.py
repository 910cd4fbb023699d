"""Write version 1's speech tokenizer as the released ONNX file has it: 50 or 25 of 4096 tokens a second."""

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from .onnx_files import Graph

FRAMES = 1500  # that there are positions for


def speech_tokenizer(path: Path, *, state: int, heads: int, layers: int, rate: int = 50, seed: int = 5) -> None:
    """At 50 Hz the convolutions and positions are anonymous or plainly named; at 25 Hz they stand under `encoders.`."""
    g = Graph(seed)
    own = "encoders." if rate == 25 else ""

    def vector(name: str, values: np.ndarray) -> str:
        return g.initializer(own + name, values) if own else g.anonymous("Add", values)

    def linear(at: str, x: str, outputs: int, inputs: int, bias: bool = True) -> str:
        y = g.node("MatMul", at, x, g.anonymous("MatMul", g.random(outputs, inputs).T))
        name = at.strip("/").replace("/", ".").replace("mlp.mlp", "mlp")
        return g.node("Add", at, vector(f"{name}.bias", g.around(0, outputs)), y) if bias else y

    def gelu(at: str, x: str) -> str:
        y = g.node("Erf", at, g.node("Div", at, x, g.constant(at, math.sqrt(2))))
        y = g.node("Mul", at, x, g.node("Add", at, y, g.constant(at, 1.0)))
        return g.node("Mul", at, y, g.constant(at, 0.5))

    def conv(number: int, x: str, inputs: int, stride: int) -> str:
        weight, bias = g.random(state, inputs, 3, gain=3.0 if inputs == 128 else 1.4), g.around(0, state)
        parts = {"weight": weight, "bias": bias}
        keys = [
            g.initializer(f"encoders.conv{number}.{name}", array) if own else g.anonymous("Conv", array)
            for name, array in parts.items()
        ]
        at = f"/conv{number}"
        return gelu("", g.node("Conv", at, x, *keys, kernel_shape=[3], pads=[1, 1], strides=[stride]))

    def norm(at: str, x: str) -> str:
        """As it was exported before there was an operator for it."""
        away = g.node("Sub", at, x, g.node("ReduceMean", at, x, axes=[-1]))
        square = g.node("ReduceMean", at, g.node("Pow", at, away, g.constant(at, 2.0)), axes=[-1])
        root = g.node("Sqrt", at, g.node("Add", at, square, g.constant(at, 1e-5)))
        name = at.strip("/").replace("/", ".")
        y = g.node("Mul", at, g.node("Div", at, away, root), vector(f"{name}.weight", g.around(1, state)))
        return g.node("Add", at, y, vector(f"{name}.bias", g.around(0, state)))

    def attention(at: str, y: str) -> str:
        split = g.constant(at, [0, 0, heads, state // heads], np.int64)
        perms = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        sides = []
        for name, perm in zip(("query", "key", "value"), perms, strict=True):
            x = g.node("Reshape", at, linear(f"{at}/{name}", y, state, state, name != "key"), split)
            sides.append(g.node("Transpose", at, x, perm=perm))
        q, k = (g.node("Mul", at, x, g.constant(at, (state // heads) ** -0.25)) for x in sides[:2])
        y = g.node("MatMul", at, g.node("Softmax", at, g.node("MatMul", at, q, k), axis=-1), sides[2])
        y = g.node(
            "Reshape", at, g.node("Transpose", at, y, perm=[0, 2, 1, 3]), g.constant(at, [0, 0, state], np.int64)
        )
        return linear(f"{at}/out", y, state, state)

    x = conv(2, conv(1, "feats", 128, 50 // rate), state, 2)
    x = g.node("Transpose", "", x, perm=[0, 2, 1])
    positions = g.initializer("encoders.positional_embedding", sinusoids(FRAMES, state))
    length = g.node("Gather", "", g.node("Shape", "", x), g.constant("", [1], np.int64), axis=0)
    start, axis = g.constant("", [0], np.int64), g.constant("", [0], np.int64)
    x = g.node("Add", "", x, g.node("Slice", "", positions, start, length, axis))
    for i in range(layers):
        block = f"/blocks.{i}"
        x = g.node("Add", block, x, attention(f"{block}/attn", norm(f"{block}/attn_ln", x)))
        y = gelu(f"{block}/mlp/mlp.1", linear(f"{block}/mlp/mlp.0", norm(f"{block}/mlp_ln", x), 4 * state, state))
        x = g.node("Add", block, x, linear(f"{block}/mlp/mlp.2", y, state, 4 * state))
    at = "/quantizer/rq/model/layers.0/_codebook"
    size = g.node("ReduceL2", "/quantizer", x, axes=[-1], keepdims=1)
    x = g.node("Div", "/quantizer", x, g.node("Clip", "/quantizer", size, g.constant("/quantizer", 1e-12)))
    codes = g.random(4096, state)
    codes = g.anonymous("MatMul", (codes / np.linalg.norm(codes, axis=1, keepdims=True)).T)
    square = g.node("Pow", at, x, g.constant(at, 2.0))
    near = g.node("MatMul", at, g.node("Mul", at, x, g.constant(at, 2.0)), codes)
    y = g.node("Sub", at, g.node("ReduceSum", at, square, g.constant(at, [-1], np.int64), keepdims=1), near)
    square = g.node("Pow", at, codes, g.constant(at, 2.0))
    y = g.node("Add", at, y, g.node("ReduceSum", at, square, g.constant(at, [0], np.int64), keepdims=1))
    y = g.node("ArgMax", at, g.node("Neg", at, y), axis=-1, keepdims=0)
    y = g.node("Cast", at, y, to=TensorProto.INT32)
    inputs = [helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "T"])]
    inputs += [helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1])]
    onnx.save(g.model(inputs, [helper.make_tensor_value_info(y, TensorProto.INT32, [1, "L"])], 16), path)


def sinusoids(length: int, channels: int) -> np.ndarray:
    """Sines in the first half of the channels, cosines in the second. Shapes: -> [length, channels]."""
    inverse = np.exp(-math.log(10000) / (channels // 2 - 1) * np.arange(channels // 2))
    phase = np.arange(length)[:, None] * inverse
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)
