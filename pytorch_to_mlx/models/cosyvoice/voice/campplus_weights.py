"""The story of every tensor of campplus.onnx, under the names that `checkpoint.onnx` gives them."""

from ....weights import CONV1D, CONV2D, POINTWISE, Rule, drop, rename

_LAYER = ("xvector.block{}.tdnnd{}", "block{}.tdnnd{}")
_NORM = ("weight", "bias", "running_mean", "running_var")


def _both(source: str, target: str, *layouts) -> tuple[Rule, ...]:
    return tuple(rename(f"{source}.{name}", f"{target}.{name}", *layouts) for name in ("weight", "bias"))


def _norm(source: str, target: str) -> tuple[Rule, ...]:
    return tuple(rename(f"{source}.batchnorm.{name}", f"{target}.{name}") for name in _NORM)


CAMPPLUS: tuple[Rule, ...] = (
    *_both("head.conv{}", "head.conv{}", CONV2D),
    *_both("head.layer{}.{}.conv{}", "head.layer{}.{}.conv{}", CONV2D),
    *(
        rename(f"head.layer{{}}.{{}}.shortcut.0.{name}", f"head.layer{{}}.{{}}.shortcut.{name}", CONV2D)
        for name in ("weight", "bias")
    ),
    *_both("xvector.tdnn.linear", "tdnn", CONV1D),
    *_norm(f"{_LAYER[0]}.nonlinear1", f"{_LAYER[1]}.norm"),
    *_both(f"{_LAYER[0]}.linear1", f"{_LAYER[1]}.linear", POINTWISE),
    rename(f"{_LAYER[0]}.cam_layer.linear_local.weight", f"{_LAYER[1]}.local.weight", CONV1D),
    *_both(f"{_LAYER[0]}.cam_layer.linear1", f"{_LAYER[1]}.gate1", POINTWISE),
    *_both(f"{_LAYER[0]}.cam_layer.linear2", f"{_LAYER[1]}.gate2", POINTWISE),
    *_norm("xvector.transit{}.nonlinear", "block{}.norm"),
    *_both("xvector.transit{}.linear", "block{}.transit", POINTWISE),
    rename("xvector.dense.linear.weight", "dense.weight", POINTWISE),
    rename("xvector.dense.nonlinear.batchnorm.running_mean", "running_mean"),
    rename("xvector.dense.nonlinear.batchnorm.running_var", "running_var"),
    drop("xvector.dense.nonlinear.batchnorm.weight", why="the last norm has no scale", equals=1, optional=True),
    drop("xvector.dense.nonlinear.batchnorm.bias", why="the last norm has no shift", equals=0, optional=True),
)
