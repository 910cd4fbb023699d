"""Write one module call as the draft of a method: its own ops and the calls of its children, in order."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..capture.guards import CHECK, Guard
from ..capture.input_sizes import size_names
from ..graph import Node, Sym, Unsupported
from ..lowering.sizes import size_tree
from .call_tree import Call
from .draft import Draft
from .layers import Layer
from .long_sizes import name_long_sizes
from .scope import Scope
from .size_reads import read_sizes
from .source_names import SourceNames
from .write_call import write_call
from .write_op import write_op


def write_method(
    call: Call,
    layers: Mapping[str, Layer],
    drafts: Mapping[Call, Draft],
    names: SourceNames,
    size_hints: Mapping[Any, int],
    guards: Sequence[Guard] = (),
    numbers: Sequence[Sym] = (),
) -> Draft:
    """Return the draft of one call.

    drafts: the methods of the calls inside, which are written before. guards: conditions on sizes to check first.
    numbers: the sizes that the model returns.
    Raises: Unsupported, with the op's place in the user's source, for what has no MLX form.
    """
    scope = Scope(call, layers, names, size_hints)
    scope.add_parameters()
    for item in call.items:
        try:
            if isinstance(item, Call):
                write_call(scope, item, drafts)
            else:
                write_op(scope, item)
        except Unsupported as error:
            node = item if isinstance(item, Node) else next(iter(item.nodes()))
            raise error.at(node) from error
    draft = scope.draft
    draft.results = [scope.tree(node) for node in call.outputs]
    draft.number_results = [size_tree(number.expr) for number in numbers]
    if guards:
        sizes = size_names(call.inputs)
        arguments = {node.name: name for node, name in zip(call.inputs, draft.args, strict=True)}
        draft.statements[:0] = [guard.statement(sizes, arguments) for guard in guards]
        draft.helpers.add(CHECK)
    steps = name_long_sizes(draft, scope.sizes_defined)
    read_sizes(draft, scope.sizes_defined | steps)
    return draft
