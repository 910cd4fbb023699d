"""The rows of `benchmark ops`."""

import math
from collections.abc import Callable

import numpy as np

from .ops import Arrays, Row


def normal(*shapes: tuple[int, ...]) -> Callable[[], Arrays]:
    return lambda: [np.random.standard_normal(shape).astype(np.float32) for shape in shapes]


def positive(*shapes: tuple[int, ...]) -> Callable[[], Arrays]:
    """The first as they fall, the others above 0.3."""
    return lambda: [a if i == 0 else np.abs(a) + 0.3 for i, a in enumerate(normal(*shapes)())]


def channels_first(arrays: Arrays) -> Arrays:
    return [a.swapaxes(1, 2) if a.ndim == 3 else a for a in arrays]


def _unary() -> list[Row]:
    shape = (1500, 2048)
    functions = {
        "gelu": lambda t, x: t.nn.functional.gelu(x),
        "gelu_tanh": lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
        "silu": lambda t, x: t.nn.functional.silu(x),
        "mish": lambda t, x: t.nn.functional.mish(x),
        "elu": lambda t, x: t.nn.functional.elu(x),
        "leaky_relu": lambda t, x: t.nn.functional.leaky_relu(x),
        "exp": lambda t, x: t.exp(x),
        "sin": lambda t, x: t.sin(x),
        "cos": lambda t, x: t.cos(x),
        "tanh": lambda t, x: t.tanh(x),
        "sigmoid": lambda t, x: t.sigmoid(x),
        "erf": lambda t, x: t.erf(x),
    }
    return [
        Row(
            f"{name} 1500x2048",
            normal(shape),
            lambda o, x, name=name: getattr(o, name)(x),
            theirs,
            bytes=8 * math.prod(shape),
        )
        for name, theirs in functions.items()
    ]


def _rows() -> list[Row]:
    found = [
        Row(
            f"softmax {'x'.join(map(str, shape))}",
            normal(shape),
            lambda o, x: o.softmax(x),
            lambda t, x: x.softmax(-1),
            bytes=8 * math.prod(shape),
        )
        for shape in ((8, 500, 500), (8, 1500, 1500), (1, 51865))
    ]
    for L, D in ((1500, 512), (512, 896), (1, 896)):
        found += [
            Row(
                f"layer_norm {L}x{D}",
                normal((L, D), (D,), (D,)),
                lambda o, x, w, b: o.layer_norm(x, w, b, 1e-5),
                lambda t, x, w, b: t.nn.functional.layer_norm(x, w.shape, w, b),
                bytes=8 * L * D,
            ),
            Row(
                f"rms_norm {L}x{D}",
                normal((L, D), (D,)),
                lambda o, x, w: o.rms_norm(x, w, 1e-5),
                lambda t, x, w: t.nn.functional.rms_norm(x, w.shape, w, 1e-5),
                bytes=8 * L * D,
            ),
        ]
    return found


def _channels() -> list[Row]:
    """The shapes of Kokoro's decoder for 4.65 s of audio, and of a longer text. Statistics first: x is read twice."""

    def instance(t, x, w, b):
        return t.nn.functional.instance_norm(x, None, None, w.flatten(), b.flatten())

    def snake(t, x, a):
        a = a[:, None]
        return x + (1 / a) * t.sin(a * x) ** 2

    found = []
    for L, D in ((372, 512), (3720, 256), (22321, 128), (111601, 128)):
        x, style, alpha, size = (1, L, D), (1, 1, D), (D,), 12 * L * D
        found += [
            Row(
                f"snake {L}x{D}", positive(x, alpha), lambda o, x, a: o.snake(x, a), snake, 0, 8 * L * D, channels_first
            ),
            Row(
                f"instance_norm {L}x{D}",
                normal(x, style, style),
                lambda o, x, w, b: o.instance_norm(x, 1e-5, w, b),
                instance,
                bytes=size,
                to_torch=channels_first,
            ),
            Row(
                f"instance_norm + snake {L}x{D}",
                positive(x, style, style, alpha),
                lambda o, x, w, b, a: o.instance_norm_snake(x, 1e-5, w, b, a),
                lambda t, x, w, b, a: snake(t, instance(t, x, w, b), a),
                bytes=size,
                to_torch=channels_first,
            ),
            Row(
                f"instance_norm + leaky_relu {L}x{D}",
                normal(x, style, style),
                lambda o, x, w, b: o.instance_norm_leaky_relu(x, 1e-5, w, b, 0.2),
                lambda t, x, w, b: t.nn.functional.leaky_relu(instance(t, x, w, b), 0.2),
                bytes=size,
                to_torch=channels_first,
            ),
        ]
    return [
        *found,
        Row(
            "group_norm 1500x512, 8 groups",
            normal((1, 1500, 512), (512,), (512,)),
            lambda o, x, w, b: o.group_norm(x, 8, w, b, 1e-5),
            lambda t, x, w, b: t.nn.functional.group_norm(x, 8, w, b),
            bytes=12 * 1500 * 512,
            to_torch=channels_first,
        ),
    ]


def _attention() -> list[Row]:
    """B, H, Hkv, L, S, D: Whisper's encoder, decoder and cross attention; Qwen2-0.5B's; Kokoro's."""
    found = []
    for H, K, L, S, D, causal in (
        (8, 8, 1500, 1500, 64, False),
        (8, 8, 1, 1500, 64, False),
        (8, 8, 1, 200, 64, False),
        (14, 2, 512, 512, 64, True),
        (14, 2, 1, 1000, 64, False),
        (12, 12, 128, 128, 64, False),
    ):
        work = 4 * H * L * S * D / (2 if causal else 1)
        found.append(
            Row(
                f"attention {H} heads{f' ({K} of keys)' if K != H else ''}, {L}x{S}x{D}{', causal' if causal else ''}",
                normal((1, H, L, D), (1, K, S, D), (1, K, S, D)),
                lambda o, q, k, v, c=causal: o.attention(q, k, v, scale=0.125, mask="causal" if c else None),
                lambda t, q, k, v, c=causal: t.nn.functional.scaled_dot_product_attention(
                    q, k, v, is_causal=c, scale=0.125, enable_gqa=q.shape[1] != k.shape[1]
                ),
                flops=work,
                bytes=4 * (2 * H * L * D + 2 * K * S * D),
            )
        )
    return found


ROWS = [*_unary(), *_rows(), *_channels(), *_attention()]
