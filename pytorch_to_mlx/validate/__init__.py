"""Parity with PyTorch: the same input through both, compared tap by tap."""

from ..contract import Case, Reference, Workload
from .compare import TapResult, compare
from .report import CaseResult, Report
from .run import validate

__all__ = ["Case", "CaseResult", "Reference", "Report", "TapResult", "Workload", "compare", "validate"]
