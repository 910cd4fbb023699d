"""One method of the original as a tree of module calls, on its way into source."""

from dataclasses import dataclass, field

from ..capture.methods import Entry
from ..graph import Graph
from ..lowering.sizes import Hints
from .call_tree import Call
from .layers import Layer


@dataclass
class MethodCalls:
    """A method's graph, and its calls. user_layers: the submodules that the user registered MLX modules for."""

    entry: Entry
    hints: Hints
    graph: Graph
    root: Call
    user_layers: dict[str, Layer] = field(default_factory=dict)
