"""One entry per ATen overload family: each is a function of the node's arguments that returns MLX expressions."""

from .op_table import Lowering, find, lower, lowers, refuse, table

__all__ = ["Lowering", "find", "lower", "lowers", "refuse", "table"]
