"""Turn a checkpoint's tensors into our weights and back: weight maps, strict loading, quantization, folders."""

from .apply import Applied, Report, apply, dead_rules, invert, make_plan
from .folder import is_converted, read_folder, write_folder
from .layouts import (
    CHANNELS,
    CONCAT,
    CONV1D,
    CONV2D,
    CONV_TRANSPOSE1D,
    CONV_TRANSPOSE1D_DEPTHWISE,
    CONV_TRANSPOSE2D,
    LINEAR_T,
    LSTM_BIAS,
    POINTWISE,
    WEIGHT_NORM,
    Fold,
    Layout,
    concat,
    conv_transpose1d,
    permute,
    rotary_halves,
)
from .load import load_into, load_model
from .place import check_destination, new_folder
from .quantize import dequantize, quantize, rebuild
from .rules import Pattern, Rule, WeightMap, drop, either, fold, rename, split, tie, weight_norm

__all__ = [
    "CHANNELS", "CONCAT", "CONV1D", "CONV2D", "CONV_TRANSPOSE1D", "CONV_TRANSPOSE1D_DEPTHWISE", "CONV_TRANSPOSE2D",
    "LINEAR_T", "LSTM_BIAS", "POINTWISE", "WEIGHT_NORM",
    "Applied", "Fold", "Layout", "Pattern", "Report", "Rule", "WeightMap",
    "apply", "check_destination", "concat", "conv_transpose1d",
    "dead_rules", "dequantize", "drop", "either", "fold", "invert", "is_converted", "load_into",
    "load_model", "make_plan", "new_folder", "permute", "quantize", "read_folder", "rebuild", "rename", "rotary_halves",
    "split", "tie",
    "weight_norm", "write_folder",
]  # fmt: skip
