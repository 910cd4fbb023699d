"""Lowerings: functions of an ATen op's arguments that return MLX expressions, in one table."""

from .op_table import Lowering, find, lower, lowers, refuse, table

__all__ = ["Lowering", "find", "lower", "lowers", "refuse", "table"]
