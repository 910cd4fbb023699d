"""The source that a lowering writes."""

import ast

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.graph import Meta
from pytorch_to_mlx.codegen.lowering.ops import lower
from pytorch_to_mlx.codegen.lowering.recorder import Recorded, Recording, recording


@pytest.fixture
def write():
    """Return write(op, result, arrays by name, **other arguments) -> statements, and the value's expression last."""

    def source_of(op: str, result: Meta | None, arrays: dict[str, mx.array | Recorded], **arguments) -> str:
        values = {
            name: array if isinstance(array, Recorded) else Recorded(ast.Name(name), array, tuple(array.shape))
            for name, array in arrays.items()
        }
        record = Recording()
        with recording(record):
            value = lower(f"aten.{op}", values | arguments, result)
        lines = [*record.statements, ast.Expr(value.tree)]
        return "\n".join(ast.unparse(ast.fix_missing_locations(line)) for line in lines)

    return source_of
