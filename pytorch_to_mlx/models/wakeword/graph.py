"""Recognise what an ONNX graph of openWakeWord computes. Any other graph is an error, never a guess.

Weights alone do not tell a ReLU from a tanh. So the nodes are walked from the input to the output, and the walk must be
one of those that openWakeWord's models have; it also tells which weight belongs to which layer, whatever its name.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...checkpoint.budget import Budget
from ...checkpoint.files import SourceFile, quote
from ...checkpoint.onnx_graph import Graph, Node, read_graph
from ...errors import FormatError
from .config import N_MELS, NAME, WINDOW, Keyword
from .model import FLOOR, LOWEST_POWER, POOLS, RANGE_DB, SLOPE, VERIFIED_FROM

MEL = "Unsqueeze Conv Unsqueeze Transpose Pow Add MatMul Clip Log Mul Div Sub ReduceMax Sub Cast Clip"
NORM = "LayerNormalization|ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"
DENSE = rf"Flatten( Gemm( {NORM.replace('|', '| ')})? Relu)+ Gemm (Sigmoid|Relu Softmax)"
RNN = "Transpose( LSTM Transpose Reshape)+ Transpose Gather Gemm (Sigmoid|Relu Softmax)"
CHECKED = " GreaterOrEqual Cast If"
# Nodes that may lie outside the walk: constants, and the shapes of an LSTM's initial state.
OUTSIDE = {"Constant", "Identity", "Shape", "Gather", "Unsqueeze", "Concat", "Expand"}
MAX_STEPS = 1000
Layers = dict[str, str]
"""Our name of a weight -> the name that the checkpoint gives it."""


class Walk:
    """The path of nodes from one consumer of the graph's input, each fed by the one before."""

    def __init__(self, graph: Graph, start: Node) -> None:
        self.graph = graph
        self.nodes = [start]
        while len(self.nodes) < MAX_STEPS:
            consumers = graph.consumers.get(self.nodes[-1].output(), [])
            following = next((node for node, _ in consumers if node.op != "Shape"), None)
            if following is None:
                break
            self.nodes.append(following)

    @property
    def ops(self) -> str:
        """Return the operators of the path with spaces between."""
        return " ".join(node.op for node in self.nodes)

    def of(self, op: str) -> list[Node]:
        """Return the nodes of one operator, in order."""
        return [node for node in self.nodes if node.op == op]


@contextmanager
def open_graph(path: Path) -> Iterator[Graph]:
    """Yield the graph of an ONNX file, readable inside the block. Raises: FormatError for a malformed file."""
    with SourceFile(path) as file:
        graph = read_graph(file, Budget(path))
        try:
            yield graph
        finally:
            graph.close()


def starts(graph: Graph) -> list[Node]:
    """Return the nodes that take the graph's one input. Raises: FormatError if there are none, or several inputs."""
    if len(graph.inputs) != 1:
        raise unknown(graph, f"it has {len(graph.inputs)} inputs")
    nodes = [node for node, _ in graph.consumers[next(iter(graph.inputs))] if node.op != "Shape"]
    if not nodes:
        raise unknown(graph, "nothing takes its input")
    return nodes


def unknown(graph: Graph, why: str) -> FormatError:
    """Return the error for a graph that is not one of openWakeWord's."""
    return graph.error(
        f"is not a known model of openWakeWord: {why}",
        fix="known are its mel spectrogram, its embedding model, and the dnn and rnn classifiers of its trainers",
    )


def constant(graph: Graph, node: Node) -> float | None:
    """Return the one number among a node's inputs, None if there is none or more than one."""
    keys = [key for key in node.inputs if key in graph.initializers and graph.initializers[key].shape in ((), (1,))]
    return float(graph.array(keys[0]).reshape(())) if len(keys) == 1 else None


def expect_constant(graph: Graph, node: Node, value: float) -> None:
    """Raises: FormatError unless the one number among a node's inputs is `value`."""
    number = constant(graph, node)
    if number is None or not np.isclose(number, value, rtol=1e-5):
        raise unknown(graph, f"{node.where} uses {number}, {value} is expected")


def expect_attribute(graph: Graph, node: Node, name: str, value: float, default: float) -> None:
    """Raises: FormatError unless an attribute of a node is `value`; `default`: its value where it is absent."""
    number = node.attributes.get(name, default)
    if not np.isclose(number, value, rtol=1e-5):
        raise unknown(graph, f"{node.where} has {name} {number}, {value} is expected")


def check_mel(graph: Graph) -> None:
    """Raises: FormatError unless the graph is openWakeWord's mel spectrogram."""
    walk = Walk(graph, starts(graph)[0])
    if walk.ops != MEL:
        raise unknown(graph, f"its nodes are {quote(walk.ops)}")
    clip, subtractions = walk.of("Clip")[0], walk.of("Sub")
    lowest = clip.inputs[1]
    if lowest not in graph.initializers or not np.isclose(graph.array(lowest), LOWEST_POWER):
        raise unknown(graph, f"{clip.where} does not clip at {LOWEST_POWER}")
    for node, value in (
        (walk.of("Pow")[0], 2.0),
        (walk.of("Mul")[0], 10.0),
        (walk.of("Div")[0], np.log(10.0)),
        (subtractions[0], 0.0),
        (subtractions[1], RANGE_DB),
    ):
        expect_constant(graph, node, value)


def check_embedding(graph: Graph) -> None:
    """Raises: FormatError unless the graph is the speech embedding over windows of 76 rows."""
    walk = Walk(graph, starts(graph)[0])
    block = "Conv LeakyRelu Max"
    blocks = [f"{block} MaxPool" if number in POOLS else block for number in range(19)]
    if walk.ops != " ".join(["Reshape", *blocks, "Conv", "Reshape"]):
        raise unknown(graph, f"its nodes are {quote(walk.ops)}")
    shape = walk.nodes[0].input(1)
    if shape not in graph.initializers or graph.array(shape).tolist() != [-1, 1, WINDOW, N_MELS]:
        raise unknown(graph, "its window has another size")
    for node in walk.of("LeakyRelu"):
        expect_attribute(graph, node, "alpha", SLOPE, 0.01)
    for node in walk.of("Max"):
        if not any(k in graph.initializers and np.allclose(graph.array(k), FLOOR) for k in node.inputs):
            raise unknown(graph, f"{node.where} does not clip at {FLOOR}")


def read_keyword(graph: Graph, name: str, feature_size: int) -> tuple[Keyword, Layers]:
    """Read a classifier and the names of its weights. feature_size: the width of the embeddings.

    Raises: FormatError unless the graph is one that openWakeWord's trainers export; ValueError for a keyword that
    `Keyword` refuses.
    """
    first, *more = (Walk(graph, start) for start in starts(graph))
    outside = [n for n in graph.nodes if n.op not in OUTSIDE and not any(n in walk.nodes for walk in (first, *more))]
    if outside:
        raise unknown(graph, f"{outside[0].where} is not on the path from the input to the output")
    last = first.nodes[-1].output()
    _, num_frames, width = [None] * 3 if len(shape := graph.inputs[first.nodes[0].input(0)]) != 3 else shape
    if num_frames is None or width != feature_size:
        raise unknown(graph, f"its input is {shape}, [1, frames, {feature_size}] is expected")
    if re.fullmatch(RNN, first.ops) and not more:
        return _recurrent(graph, first, name, last, num_frames)
    if not re.fullmatch(f"{DENSE}({CHECKED})?", first.ops):
        raise unknown(graph, f"its nodes are {quote(first.ops)}")
    sizes, layers = _dense(graph, first, "dense")
    verifier: tuple[int, ...] = ()
    if first.nodes[-1].op == "If":
        expect_constant(graph, first.of("GreaterOrEqual")[0], VERIFIED_FROM)
        if len(more) != 1 or not re.fullmatch(DENSE, more[0].ops) or not more[0].ops.endswith("Sigmoid"):
            raise unknown(graph, "its second network is not a verifier")
        (inputs, *verifier_sizes, _), its_layers = _dense(graph, more[0], "verifier")
        if inputs != sizes[0] or ("verifier.norm.0.weight" in its_layers) != ("dense.norm.0.weight" in layers):
            raise unknown(graph, "its two networks differ in kind")
        verifier, layers = tuple(verifier_sizes), layers | its_layers
    elif more:
        raise unknown(graph, "it holds two networks")
    inputs, *hidden, classes = sizes
    if inputs != num_frames * feature_size:
        raise unknown(graph, f"its first layer takes {inputs} numbers, its input holds {num_frames * feature_size}")
    normed = "dense.norm.0.weight" in layers
    labels = _labels(graph, name, last, classes)
    return Keyword(name, "dnn", num_frames, tuple(hidden), normed, labels, verifier), layers


def _dense(graph: Graph, walk: Walk, part: str) -> tuple[list[int], Layers]:
    """Return the sizes of the layers, input and output included, and the names of their weights."""
    layers: Layers = {}
    sizes: list[int] = []
    for number, node in enumerate(walk.of("Gemm")):
        out, into = _linear(graph, node, f"{part}.linear.{number}", layers)
        if sizes and sizes[-1] != into:
            raise unknown(graph, f"{node.where} takes {into} numbers, the layer before gives {sizes[-1]}")
        sizes += [out] if sizes else [into, out]
    norms = _norms(graph, walk)
    if norms and len(norms) != len(sizes) - 2:
        raise unknown(graph, "only some of its layers have a norm")
    for number, pair in enumerate(norms):
        for role, key in zip(("weight", "bias"), pair, strict=True):
            layers[f"{part}.norm.{number}.{role}"] = _parameter(graph, key)
    return sizes, layers


def _linear(graph: Graph, node: Node, ours: str, layers: Layers) -> tuple[int, int]:
    """Add the weights of a linear layer to `layers`; return its output and input size."""
    weight = _parameter(graph, node.input(1))
    if len(node.inputs) != 3 or not node.attributes.get("transB") or node.attributes.get("transA"):
        raise unknown(graph, f"{node.where} is not a linear layer with a bias")
    for factor in ("alpha", "beta"):
        expect_attribute(graph, node, factor, 1.0, 1.0)
    shape = graph.initializers[weight].shape
    if len(shape) != 2:
        raise unknown(graph, f"{quote(weight)} has shape {list(shape)}")
    layers[f"{ours}.weight"], layers[f"{ours}.bias"] = weight, _parameter(graph, node.input(2))
    return shape[0], shape[1]


def _norms(graph: Graph, walk: Walk) -> list[tuple[str, ...]]:
    """Return weight and bias of each layer norm, which is one node or written out in nine."""
    for node in walk.of("LayerNormalization"):
        expect_attribute(graph, node, "epsilon", 1e-5, 1e-5)
    norms: list[tuple[str, ...]] = [(node.input(1), node.input(2)) for node in walk.of("LayerNormalization")]
    for at, node in enumerate(walk.nodes):
        if node.op != "Sqrt":
            continue
        expect_constant(graph, walk.nodes[at - 3], 2.0)
        expect_constant(graph, walk.nodes[at - 1], 1e-5)
        mul, add = walk.nodes[at + 2 : at + 4]
        norms.append(tuple(next((k for k in n.inputs if not _is_computed(graph, k)), "") for n in (mul, add)))
    return norms


def _is_computed(graph: Graph, key: str) -> bool:
    """Return whether an input is the result of another node, and not a weight."""
    producer = graph.producers.get(key)
    return key not in graph.initializers and (producer is None or producer.op != "Identity")


def _parameter(graph: Graph, key: str) -> str:
    """Return the initializer that is the input `key`; exporters share equal ones through Identity nodes."""
    for _ in range(8):
        if key in graph.initializers:
            return key
        producer = graph.producers.get(key)
        if producer is None or producer.op != "Identity":
            break
        key = producer.input(0)
    raise unknown(graph, f"{quote(key)} is not a weight")


def _recurrent(graph: Graph, walk: Walk, name: str, last: str, num_frames: int) -> tuple[Keyword, Layers]:
    """Read a classifier of bidirectional LSTMs from a zero state, and a linear layer on the last frame."""
    layers: Layers = {}
    sizes = []
    for number, node in enumerate(walk.of("LSTM")):
        hidden = node.attributes.get("hidden_size")
        if node.attributes.get("direction") != "bidirectional" or type(hidden) is not int or not node.input(3):
            raise unknown(graph, f"{node.where} is not bidirectional, or has no bias")
        for key in node.inputs[5:7]:
            start = graph.producers.get(key)
            zeros = start.input(0) if start is not None and start.op == "Expand" else key
            if key and (zeros not in graph.initializers or np.any(graph.array(zeros))):
                raise unknown(graph, f"{node.where} does not start from zeros")
        sizes.append(hidden)
        theirs = ".".join(part for part in node.name.split("/")[:-1] if part)  # as checkpoint.onnx names it
        for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            for side in ("", "_reverse"):
                layers[f"lstm.{role}_l{number}{side}"] = f"{theirs}.{role}_l{number}{side}"
    gather = walk.of("Gather")[0]
    expect_constant(graph, gather, -1.0)
    expect_attribute(graph, gather, "axis", 1, 0)
    out: Layers = {}
    classes, width = _linear(graph, walk.of("Gemm")[0], "out", out)
    if width != 2 * sizes[-1]:
        raise unknown(graph, f"its last layer takes {width} numbers, the LSTM gives {2 * sizes[-1]}")
    labels = _labels(graph, name, last, classes)
    return Keyword(name, "rnn", num_frames, tuple(sizes), labels=labels), layers | out


def _labels(graph: Graph, name: str, output: str, classes: int) -> tuple[str, ...]:
    """Return the label of a keyword, or for several classes the names that the trainer wrote into the output's name."""
    if classes == 1:
        return (name,)
    labels = ["", *(f"{name}-{number}" for number in range(1, classes))]
    try:
        names = json.loads(output)
    except ValueError:
        names = {}
    for number, label in names.items() if isinstance(names, dict) else ():
        if not number.isdigit() or int(number) >= classes or not isinstance(label, str):
            raise unknown(graph, f"the names of its classes are {quote(output)}")
        labels[int(number)] = label
    return tuple(labels)


def keyword_name(path: Path) -> str:
    """Return the name of a classifier: its file's without the version. Raises: FormatError if that is not a name."""
    name = re.sub(r"_v\d+(\.\d+)*$", "", path.stem)
    if not NAME.fullmatch(name):
        raise FormatError(
            f"{quote(name)} cannot be the name of a keyword",
            where=path,
            fix="rename the file: letters, digits, _ and -",
        )
    return name
