"""A release of openWakeWord in small: the ONNX files as its exporters write them, with seeded random weights."""

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pytorch_to_mlx.audio.mel import mel_filters
from pytorch_to_mlx.models.wakeword.config import Config
from pytorch_to_mlx.models.wakeword.model import POOLS

CHANNELS = Config.tiny().channels
WIDTH = CHANNELS[-1]


def save(path: Path, nodes, weights, inputs, outputs) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (inputs, outputs)]
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def mel(path: Path, *, lowest: float = 1e-10) -> Path:
    """melspectrogram.onnx: torchlibrosa's transform, as PyTorch 1.11 exported it."""
    window = np.zeros(512)
    window[56:456] = np.hanning(401)[:-1]
    angle = 2 * np.pi * np.outer(np.arange(257), np.arange(512)) / 512
    weights = {
        "0.stft.conv_real.weight": (window * np.cos(angle)).astype(np.float32)[:, None],
        "0.stft.conv_imag.weight": (-window * np.sin(angle)).astype(np.float32)[:, None],
        "1.melW": np.array(mel_filters(16000, 512, 32, f_min=60.0, f_max=3800.0)),
        "low": np.float32(lowest),
        "high": np.float32(np.inf),
    }
    scalars = {"two": 2.0, "twice": 2.0, "ten": 10.0, "log10": np.log(10.0), "zero": 0.0, "range": 80.0}
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.float32(value)))
        for name, value in scalars.items()
    ]
    nodes.append(helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array([1]))))
    nodes.append(helper.make_node("Unsqueeze", ["input", "one"], ["x"]))
    for part in ("real", "imag"):
        conv = {"dilations": [1], "group": 1, "kernel_shape": [512], "pads": [0, 0], "strides": [160]}
        nodes.append(helper.make_node("Conv", ["x", f"0.stft.conv_{part}.weight"], [f"{part}1"], **conv))
    for part in ("real", "imag"):
        nodes.append(helper.make_node("Unsqueeze", [f"{part}1", "one"], [f"{part}2"]))
        nodes.append(helper.make_node("Transpose", [f"{part}2"], [part], perm=[0, 1, 3, 2]))
    nodes += [
        helper.make_node("Pow", ["real", "two"], ["real squared"]),
        helper.make_node("Pow", ["imag", "twice"], ["imag squared"]),
        helper.make_node("Add", ["real squared", "imag squared"], ["power"]),
        helper.make_node("MatMul", ["power", "1.melW"], ["mel"]),
        helper.make_node("Clip", ["mel", "low", "high"], ["clipped"]),
        helper.make_node("Log", ["clipped"], ["log"]),
        helper.make_node("Mul", ["log", "ten"], ["times ten"]),
        helper.make_node("Div", ["times ten", "log10"], ["db"]),
        helper.make_node("Sub", ["db", "zero"], ["decibels"]),
        helper.make_node("ReduceMax", ["decibels"], ["top"], keepdims=0),
        helper.make_node("Sub", ["top", "range"], ["floor"]),
        helper.make_node("Cast", ["floor"], ["bottom"], to=1),
        helper.make_node("Clip", ["decibels", "bottom", "high"], ["output"]),
    ]
    return save(path, nodes, weights, ("input", ["batch", "samples"]), ("output", ["time", 1, "rows", 32]))


def embedding(path: Path, *, slope: float = 0.2) -> Path:
    """embedding_model.onnx, as tf2onnx wrote it."""
    random = np.random.default_rng(0)
    widths = [1, *[CHANNELS[0]] * 3, *(width for width in CHANNELS[1:] for _ in range(4)), WIDTH]
    weights = {"shape": np.array([-1, 1, 76, 32]), "last": np.array([-1, 1, 1, WIDTH])}
    weights["floor"] = np.full((1, 1, 1, 1), -0.4, np.float32)
    nodes = [helper.make_node("Reshape", ["input_1", "shape"], ["x0"], name="model/conv2d/Conv2D__6")]
    for number in range(20):
        layer = f"conv2d_{number}" if number else "conv2d"
        kernel = [3, 3] if number == 0 else [1, 3] if number % 2 and number < 19 else [3, 1]
        scale = 1 / np.sqrt(widths[number] * np.prod(kernel))
        kernels = random.normal(0, scale * 1.5, (widths[number + 1], widths[number], *kernel))
        weights[f"model/{layer}/w"] = kernels.astype(np.float32)
        inputs = [f"x{number}", f"model/{layer}/w"]
        if number < 19:
            weights[f"model/{layer}/b"] = random.normal(0, 0.1, widths[number + 1]).astype(np.float32)
            inputs.append(f"model/{layer}/b")
        options = {"strides": [1, 1], "kernel_shape": kernel, "pads": [0, kernel[1] // 2, 0, kernel[1] // 2]}
        nodes.append(helper.make_node("Conv", inputs, [f"c{number}"], f"model/{layer}/Conv2D", **options))
        if number < 19:
            following = f"p{number}" if number in POOLS else f"x{number + 1}"
            nodes.append(helper.make_node("LeakyRelu", [f"c{number}"], [f"l{number}"], alpha=slope))
            nodes.append(helper.make_node("Max", [f"l{number}", "floor"], [following]))
        if number in POOLS:
            size = list(POOLS[number])
            pool = helper.make_node("MaxPool", [f"p{number}"], [f"x{number + 1}"], strides=size, kernel_shape=size)
            nodes.append(pool)
    nodes.append(helper.make_node("Reshape", ["c19", "last"], ["conv2d_19"]))
    return save(path, nodes, weights, ("input_1", ["n", 76, 32, 1]), ("conv2d_19", ["n", 1, 1, WIDTH]))


def sequential(frames: int, hidden: list[int], classes: int = 1, *, norm: bool = False) -> nn.Sequential:
    """The classifiers of the released models."""
    layers: list[nn.Module] = [nn.Flatten()]
    sizes = [frames * WIDTH, *hidden]
    for into, out in pairwise(sizes):
        layers += [nn.Linear(into, out), *([nn.LayerNorm(out)] if norm else []), nn.ReLU()]
    return randomised(
        nn.Sequential(*layers, nn.Linear(sizes[-1], classes), nn.Sigmoid() if classes == 1 else nn.ReLU())
    )


def randomised(module: nn.Module) -> nn.Module:
    """No layer norm that does nothing, and so none that the exporter shares."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module.eval()


class Checked(nn.Module):
    """A model with a verifier, as hey_jarvis."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.verifier_model = sequential(16, [32, 32], norm=True), sequential(16, [32], norm=True)

    def scripted(self) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.script(self)

    def forward(self, x):
        p = self.model(x)
        if p >= 0.5:
            p = self.verifier_model(x)
        return p


class Several(nn.Module):
    """Several classes, as timer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return torch.softmax(self.model(x), dim=1)


class Block(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.fcn_layer, self.relu, self.layer_norm = nn.Linear(size, size), nn.ReLU(), nn.LayerNorm(size)

    def forward(self, x):
        return self.relu(self.layer_norm(self.fcn_layer(x)))


class Dnn(nn.Module):
    """model_type "dnn" of openwakeword/train.py."""

    def __init__(self, frames: int = 16, size: int = 24, blocks: int = 2, classes: int = 1) -> None:
        super().__init__()
        self.flatten, self.layer1, self.relu1 = nn.Flatten(), nn.Linear(frames * WIDTH, size), nn.ReLU()
        self.layernorm1, self.last_layer = nn.LayerNorm(size), nn.Linear(size, classes)
        self.blocks = nn.ModuleList(Block(size) for _ in range(blocks))
        self.last_act = nn.Sigmoid() if classes == 1 else nn.ReLU()

    def forward(self, x):
        x = self.relu1(self.layernorm1(self.layer1(self.flatten(x))))
        for block in self.blocks:
            x = block(x)
        return self.last_act(self.last_layer(x))


class Rnn(nn.Module):
    """model_type "rnn" of openwakeword/train.py."""

    def __init__(self, classes: int = 1, **options) -> None:
        super().__init__()
        options = {"num_layers": 2, "bidirectional": True, **options}
        self.layer1 = nn.LSTM(WIDTH, 64, batch_first=True, **options)
        self.layer2 = nn.Linear(128 if options["bidirectional"] else 64, classes)
        self.layer3 = nn.Sigmoid() if classes == 1 else nn.ReLU()

    def forward(self, x):
        return self.layer3(self.layer2(self.layer1(x)[0][:, -1]))


def classifier(path: Path, module: nn.Module, frames: int = 16, *, output: str = "score", opset: int = 13) -> Path:
    """Export one as openWakeWord's trainers do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that the trainers use, about itself
        example = torch.rand(1, frames, WIDTH)
        torch.onnx.export(module, (example,), path, dynamo=False, output_names=[output], opset_version=opset)
    return path


def release(folder: Path) -> Path:
    """All of it: the shared networks and a classifier of every kind."""
    torch.manual_seed(0)
    mel(folder / "melspectrogram.onnx")
    embedding(folder / "embedding_model.onnx")
    classifier(folder / "plain_v0.1.onnx", sequential(5, [32, 32]), 5)
    classifier(folder / "normed_v1.onnx", sequential(16, [32, 32], norm=True))
    classifier(folder / "checked_v0.1.onnx", Checked().scripted())
    classifier(folder / "several_v0.1.onnx", Several(sequential(30, [32], 3)), 30, output='{"1": "one", "2": "two"}')
    classifier(folder / "trained.onnx", randomised(Dnn()), opset=17)
    classifier(folder / "recurrent.onnx", randomised(Rnn()))
    return folder
