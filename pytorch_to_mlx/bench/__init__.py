"""Speed and memory, side by side with PyTorch in one run; one JSON schema for every result."""

from .family import benchmark
from .measurement import Measurement
from .result import Result, read, write

__all__ = ["Measurement", "Result", "benchmark", "read", "write"]
