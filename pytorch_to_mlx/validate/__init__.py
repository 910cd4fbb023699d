"""Parity with PyTorch: the same input through both, compared tap by tap."""

from ..contract import Case, Reference, Workload
from .compare import TapResult, compare
from .quantized import QuantizationReport, measure_quantization
from .report import CaseResult, Report
from .run import validate

__all__ = [
    "Case",
    "CaseResult",
    "QuantizationReport",
    "Reference",
    "Report",
    "TapResult",
    "Workload",
    "compare",
    "measure_quantization",
    "validate",
]
