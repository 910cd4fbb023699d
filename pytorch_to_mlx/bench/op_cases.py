"""The cases of `benchmark ops`: every op of backend.ops at the shapes that the families use."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class OpCase:
    """One op at one shape. `ours` takes a module of ops and MLX arrays, `torch` takes torch and its tensors.

    to_torch: the same arrays in PyTorch's layout. flops and bytes: the least arithmetic and memory traffic of the op.
    """

    name: str
    arrays: Callable[[], Arrays]
    ours: Callable[..., Any]
    torch: Callable[..., Any]
    flops: float = 0
    bytes: float = 0
    to_torch: Callable[[Arrays], Arrays] = lambda arrays: arrays


def normal(*shapes: tuple[int, ...]) -> Callable[[], Arrays]:
    """Return a function that draws one float32 array of each shape from the standard normal distribution."""
    return lambda: [np.random.standard_normal(shape).astype(np.float32) for shape in shapes]


def positive(*shapes: tuple[int, ...]) -> Callable[[], Arrays]:
    """Return a function that draws one array of each shape: the first normal, the others above 0.3."""
    return lambda: [a if i == 0 else np.abs(a) + 0.3 for i, a in enumerate(normal(*shapes)())]


def channels_first(arrays: Arrays) -> Arrays:
    """Return the arrays in PyTorch's layout: [B, L, D] -> [B, D, L]; arrays of other ranks as they are."""
    return [a.swapaxes(1, 2) if a.ndim == 3 else a for a in arrays]


def _unary() -> list[OpCase]:
    """Return the elementwise functions, at the shape of Whisper's feed-forward."""
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
        OpCase(
            f"{name} 1500x2048",
            normal(shape),
            lambda o, x, name=name: getattr(o, name)(x),
            torch_function,
            bytes=8 * math.prod(shape),
        )
        for name, torch_function in functions.items()
    ]


def _last_axis() -> list[OpCase]:
    """Return what works row by row, over the last axis: softmax, norms and rotary positions."""
    cases = [
        OpCase(
            f"softmax {'x'.join(map(str, shape))}",
            normal(shape),
            lambda o, x: o.softmax(x),
            lambda t, x: x.softmax(-1),
            bytes=8 * math.prod(shape),
        )
        for shape in ((8, 500, 500), (8, 1500, 1500), (1, 51865))
    ]
    for L, D in ((1500, 512), (512, 896), (1, 896)):
        cases += [
            OpCase(
                f"layer_norm {L}x{D}",
                normal((L, D), (D,), (D,)),
                lambda o, x, w, b: o.layer_norm(x, w, b, 1e-5),
                lambda t, x, w, b: t.nn.functional.layer_norm(x, w.shape, w, b),
                bytes=8 * L * D,
            ),
            OpCase(
                f"rms_norm {L}x{D}",
                normal((L, D), (D,)),
                lambda o, x, w: o.rms_norm(x, w, 1e-5),
                lambda t, x, w: t.nn.functional.rms_norm(x, w.shape, w, 1e-5),
                bytes=8 * L * D,
            ),
        ]
    cases.append(
        OpCase(  # F5-TTS's AdaLN for 10 s
            "layer_norm by style 1000x1024",
            normal((1, 1000, 1024), (1, 1, 1024), (1, 1, 1024)),
            lambda o, x, w, b: o.layer_norm(x, w, b, 1e-6),
            lambda t, x, w, b: t.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6) * w + b,
            bytes=8 * 1000 * 1024,
        )
    )
    return cases + [
        OpCase(
            f"rotate {H} heads, {L}x{D}",
            normal((1, H, L, D), (L, D // 2), (L, D // 2)),
            lambda o, x, cos, sin: o.rotate(x, cos, sin),
            _rotate,
            bytes=8 * H * L * D + 4 * L * D,
        )
        for H, L, D in ((14, 1, 64), (14, 512, 64))
    ]


def _rotate(t, x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return t.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _channels() -> list[OpCase]:
    """Return what works channel by channel, over time, at the shapes of Kokoro's decoder for 4.65 s of audio and more.

    A norm over time reads x twice, the statistics first: hence 12 bytes for each number.
    """

    def instance(t, x, w, b):
        return t.nn.functional.instance_norm(x, None, None, w.flatten(), b.flatten())

    def snake(t, x, a):
        a = a[:, None]
        return x + (1 / a) * t.sin(a * x) ** 2

    cases = []
    for L, D in ((372, 512), (3720, 256), (22321, 128), (111601, 128)):
        x, style, alpha, size = (1, L, D), (1, 1, D), (D,), 12 * L * D
        cases += [
            OpCase(
                f"snake {L}x{D}", positive(x, alpha), lambda o, x, a: o.snake(x, a), snake, 0, 8 * L * D, channels_first
            ),
            OpCase(
                f"instance_norm {L}x{D}",
                normal(x, style, style),
                lambda o, x, w, b: o.instance_norm(x, 1e-5, w, b),
                instance,
                bytes=size,
                to_torch=channels_first,
            ),
            OpCase(
                f"instance_norm + snake {L}x{D}",
                positive(x, style, style, alpha),
                lambda o, x, w, b, a: o.instance_norm_snake(x, 1e-5, w, b, a),
                lambda t, x, w, b, a: snake(t, instance(t, x, w, b), a),
                bytes=size,
                to_torch=channels_first,
            ),
            OpCase(
                f"instance_norm + leaky_relu {L}x{D}",
                normal(x, style, style),
                lambda o, x, w, b: o.instance_norm_leaky_relu(x, 1e-5, w, b, 0.2),
                lambda t, x, w, b: t.nn.functional.leaky_relu(instance(t, x, w, b), 0.2),
                bytes=size,
                to_torch=channels_first,
            ),
        ]
    return [
        *cases,
        OpCase(
            "sum of three, by 1/3, 3720x256",
            normal(*[(1, 3720, 256)] * 3),
            lambda o, *x: o.add(*x, scale=1 / 3),
            lambda t, a, b, c: (a + b + c) / 3,
            bytes=16 * 3720 * 256,
        ),
        OpCase(
            "group_norm 1500x512, 8 groups",
            normal((1, 1500, 512), (512,), (512,)),
            lambda o, x, w, b: o.group_norm(x, 8, w, b, 1e-5),
            lambda t, x, w, b: t.nn.functional.group_norm(x, 8, w, b),
            bytes=12 * 1500 * 512,
            to_torch=channels_first,
        ),
    ]


def _attention() -> list[OpCase]:
    """Return attention of Whisper's encoder, decoder and cross attention, of Qwen2-0.5B and of Kokoro.

    The table is (H, heads of keys, L, S, D, causal).
    """
    cases = []
    for H, K, L, S, D, causal in (
        (8, 8, 1500, 1500, 64, False),
        (8, 8, 1, 1500, 64, False),
        (8, 8, 1, 200, 64, False),
        (14, 2, 512, 512, 64, True),
        (14, 2, 1, 1000, 64, False),
        (12, 12, 128, 128, 64, False),
    ):
        work = 4 * H * L * S * D / (2 if causal else 1)
        cases.append(
            OpCase(
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
    H, L, D = 8, 500, 64
    return [
        *cases,
        OpCase(
            f"attention {H} heads, {L}x{L}x{D}, additive mask",
            normal((1, H, L, D), (1, H, L, D), (1, H, L, D), (1, H, L, L)),
            lambda o, q, k, v, mask: o.attention(q, k, v, scale=0.125, mask=mask),
            lambda t, q, k, v, mask: t.nn.functional.scaled_dot_product_attention(q, k, v, mask, scale=0.125),
            flops=4 * H * L * L * D,
            bytes=4 * (4 * H * L * D + H * L * L),
        ),
    ]


def _convolutions() -> list[OpCase]:
    """Return convolutions and LSTMs: Kokoro's for 6.2 s of audio, Whisper's first two, HiFT's (CosyVoice) for 5 s.

    The table of conv1d is (L, D_in, D_out, K, stride, dilation), that of conv_transpose1d (L, D_in, D_out, K, stride).
    """
    cases = []
    for L, C, D, K, stride, dilation in (
        (29521, 128, 128, 11, 1, 1), (29521, 128, 128, 11, 1, 5), (29521, 128, 128, 3, 1, 3), (4920, 256, 256, 7, 1, 1),
        (246, 1024, 1024, 3, 1, 1), (29521, 22, 256, 12, 6, 1), (3000, 80, 512, 3, 1, 1), (3000, 512, 512, 3, 2, 1),
        (250, 80, 512, 7, 1, 1), (2000, 256, 256, 11, 1, 5), (10000, 128, 128, 7, 1, 3), (30000, 64, 64, 3, 1, 1),
        (30000, 64, 64, 11, 1, 5), (30000, 64, 18, 7, 1, 1),
    ):  # fmt: skip
        padding = dilation * (K - 1) // 2
        rows = (L + 2 * padding - dilation * (K - 1) - 1) // stride + 1
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        more = (f", stride {stride}" if stride > 1 else "") + (f", dilation {dilation}" if dilation > 1 else "")
        cases.append(
            OpCase(
                f"conv1d {L}x{C} to {D}, {K} wide{more}",
                normal((1, L, C), (D, K, C), (D,)),
                lambda o, x, w, b, options=options: o.conv1d(x, w, b, **options),
                lambda t, x, w, b, options=options: t.conv1d(x, w, b, **options),
                flops=2 * rows * C * D * K,
                bytes=4 * (L * C + rows * D + C * D * K),
                to_torch=channels_first,
            )
        )
    for L, C, D, K, stride in (
        (492, 512, 256, 20, 10), (4920, 256, 128, 12, 6), (250, 512, 256, 16, 8), (2000, 256, 128, 11, 5),
        (10000, 128, 64, 7, 3),
    ):  # fmt: skip
        padding = (K - stride) // 2
        cases.append(
            OpCase(
                f"conv_transpose1d {L}x{C} to {D}, {K} wide, stride {stride}",
                normal((1, L, C), (D, K, C), (D,)),
                lambda o, x, w, b, s=stride, p=padding: o.conv_transpose1d(x, w, b, stride=s, padding=p),
                lambda t, x, w, b, s=stride, p=padding: t.conv_transpose1d(x, w, b, stride=s, padding=p),
                flops=2 * L * C * D * K,
                bytes=4 * (L * C + L * stride * D + C * D * K),
                to_torch=lambda a: [a[0].swapaxes(1, 2), a[1].transpose(2, 0, 1), a[2]],
            )
        )
    return [
        *cases,
        OpCase(
            "conv1d 1500x512, depthwise, 31 wide",
            normal((1, 1500, 512), (512, 31, 1), (512,)),
            lambda o, x, w, b: o.conv1d(x, w, b, padding=15, groups=512),
            lambda t, x, w, b: t.conv1d(x, w, b, padding=15, groups=512),
            flops=2 * 1500 * 512 * 31,
            bytes=8 * 1500 * 512,
            to_torch=channels_first,
        ),
        OpCase(
            "conv2d 64x64x64 to 64, 3x3",
            normal((1, 64, 64, 64), (64, 3, 3, 64), (64,)),
            lambda o, x, w, b: o.conv2d(x, w, b, padding=1),
            lambda t, x, w, b: t.conv2d(x, w, b, padding=1),
            flops=2 * 64 * 64 * 64 * 64 * 9,
            bytes=8 * 64**3,
            to_torch=lambda a: [a[0].transpose(0, 3, 1, 2), a[1].transpose(0, 3, 1, 2), a[2]],
        ),
        OpCase(
            "lstm 105x512, both directions",
            normal((2, 1, 105, 1024), (2, 1024, 256)),
            lambda o, gates, w: o.lstm(gates, w),
            lambda t, x, *weights: t.lstm(x, (t.zeros(2, 1, 256),) * 2, weights, True, 1, 0.0, False, True, True)[0],
            flops=2 * 2 * 105 * 1024 * 257,
            bytes=4 * 2 * 1024 * 256,
            # PyTorch's LSTM computes the gates too: from one input feature, at next to no cost.
            to_torch=lambda a: [a[0][0, :, :, :1], *[p for w in a[1] for p in (w[:, :1], w, w[:, 0], w[:, 0])]],
        ),
        OpCase(  # silero VAD's, for one chunk of a stream
            "lstm 1x128, from a state",
            normal((1, 1, 1, 512), (1, 512, 128), (1, 1, 128), (1, 1, 128)),
            lambda o, *arrays: o.lstm_steps(*arrays),
            lambda t, x, h, c, *weights: t.lstm(x, (h, c), weights, True, 1, 0.0, False, False, True)[0],
            flops=2 * 512 * 128,
            bytes=4 * 512 * 128,
            to_torch=lambda a: [a[0][0, :, :, :1], a[2], a[3], a[1][0][:, :1], a[1][0], a[1][0][:, 0], a[1][0][:, 0]],
        ),
    ]


def _linear() -> list[OpCase]:
    """Return linear layers of Qwen2-0.5B for 1 to 64 rows, and one of Whisper's for 1500.

    Qwen2's are eight in a row, so that their weights are not in the cache, as in decoding.
    """
    shape, count = (4864, 896), 8

    def quantized(rows: int, bits: int) -> Callable[[], Arrays]:
        def arrays() -> Arrays:
            import mlx.core as mx

            layers = [mx.quantize(mx.array(w), bits=bits) for w in normal(*[shape] * count)()]
            return [*normal((rows, shape[1]))(), *(np.array(a) for layer in layers for a in layer)]

        return arrays

    def floats(arrays: Arrays) -> Arrays:
        return [arrays[0], *normal(*[shape] * count)()]

    def torch_linear(t, x, *weights):
        return [t.nn.functional.linear(x, w) for w in weights]

    cases = [
        OpCase(
            f"linear {rows}x896 by 4864x896, {count} layers",
            normal((rows, shape[1]), *[shape] * count),
            lambda o, x, *weights: [o.linear(x, w) for w in weights],
            torch_linear,
            flops=2 * rows * count * math.prod(shape),
            bytes=4 * count * math.prod(shape),
        )
        for rows in (1, 8, 64)
    ]
    cases.append(
        OpCase(
            f"linear 1x896 by 4864x896, {count} layers of float16",
            lambda: [a.astype(np.float16) for a in normal((1, shape[1]), *[shape] * count)()],
            lambda o, x, *weights: [o.linear(x, w) for w in weights],
            torch_linear,
            flops=2 * count * math.prod(shape),
            bytes=2 * count * math.prod(shape),
        )
    )
    for rows, bits in ((1, 8), (1, 4), (8, 8)):
        cases.append(
            OpCase(
                f"linear {rows}x896 by 4864x896, {count} layers of {bits} bits",
                quantized(rows, bits),
                lambda o, x, *a, bits=bits: [
                    o.quantized_matmul(x, *a[i : i + 3], bits=bits) for i in range(0, len(a), 3)
                ],
                torch_linear,
                flops=2 * rows * count * math.prod(shape),
                bytes=count * math.prod(shape) * (bits / 8 + 8 / 64),
                to_torch=floats,
            )
        )
    return [
        *cases,
        OpCase(
            "linear 1500x512 by 2048x512",
            normal((1500, 512), (2048, 512), (2048,)),
            lambda o, x, w, b: o.linear(x, w, b),
            lambda t, x, w, b: t.nn.functional.linear(x, w, b),
            flops=2 * 1500 * 512 * 2048,
            bytes=4 * (1500 * 512 + 2048 * 512 + 1500 * 2048),
        ),
    ]


OP_CASES = [*_unary(), *_last_axis(), *_channels(), *_attention(), *_convolutions(), *_linear()]
