"""Speed and memory, side by side with PyTorch in one run; one JSON schema for every result."""

from .family import benchmark
from .result import Measurement, Result, read, write

__all__ = ["Measurement", "Result", "benchmark", "read", "write"]
