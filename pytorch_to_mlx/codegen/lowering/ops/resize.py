"""Interpolation and sampling of images."""

from ...graph import Meta, Unsupported
from ..recorder import fn
from .op_table import lowers


def _size(x, output_size, scale_factors, result: Meta, count: int):
    """Return the output size, and the scale that torch uses for positions (None: the ratio of the sizes)."""
    if output_size is not None:
        return list(output_size), None
    if any(not isinstance(s, int) for s in result.shape[-count:]):
        return [fn.scaled_size(x.shape[i - count], s) for i, s in enumerate(scale_factors)], list(scale_factors)
    return list(result.shape[-count:]), list(scale_factors)


def _scales(*scales):
    return None if any(s is None for s in scales) else list(scales)


def _nearest(count: int, exact: bool):
    name = f"upsample_nearest{count}d" if not exact else f"_upsample_nearest_exact{count}d"

    def sized(x, output_size, scales=None, scales_d=None, scales_h=None, scales_w=None):
        factors = {1: (scales,), 2: (scales_h, scales_w), 3: (scales_d, scales_h, scales_w)}[count]
        return fn.resize_nearest(x, list(output_size), _scales(*factors), exact)

    def scaled(x, output_size, scale_factors, result: Meta):
        return fn.resize_nearest(x, *_size(x, output_size, scale_factors, result, count), exact)

    sized.__module__ = scaled.__module__ = __name__
    lowers(f"{name}.default")(sized)
    lowers(f"{name}.vec")(scaled)


for _count in (1, 2, 3):
    _nearest(_count, False)
    _nearest(_count, True)


def _smooth(name: str, kind: str, count: int, antialias: bool = False):
    def sized(x, output_size, align_corners, scales=None, scales_d=None, scales_h=None, scales_w=None):
        factors = {1: (scales,), 2: (scales_h, scales_w), 3: (scales_d, scales_h, scales_w)}[count]
        return fn.resize_smooth(x, list(output_size), _scales(*factors), kind, align_corners, antialias)

    def scaled(x, output_size, align_corners, scale_factors, result: Meta):
        size, scales = _size(x, output_size, scale_factors, result, count)
        return fn.resize_smooth(x, size, scales, kind, align_corners, antialias)

    sized.__module__ = scaled.__module__ = __name__
    lowers(f"{name}.default")(sized)
    lowers(f"{name}.vec")(scaled)


_smooth("upsample_linear1d", "linear", 1)
_smooth("upsample_bilinear2d", "linear", 2)
_smooth("upsample_trilinear3d", "linear", 3)
_smooth("upsample_bicubic2d", "cubic", 2)
_smooth("_upsample_bilinear2d_aa", "linear", 2, True)
_smooth("_upsample_bicubic2d_aa", "cubic", 2, True)

KINDS = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


@lowers("pytorch_to_mlx.resize.default")
def resize(x, output_size, scales, mode, align_corners, antialias):
    if mode in KINDS:
        return fn.resize_smooth(x, list(output_size), list(scales), KINDS[mode], align_corners, antialias)
    return fn.resize_nearest(x, list(output_size), list(scales), mode == "nearest-exact")


MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


@lowers("grid_sampler.default", "grid_sampler_2d.default", "grid_sampler_3d.default")
def grid_sampler(x, grid, interpolation_mode, padding_mode, align_corners):
    mode = MODES[interpolation_mode]
    if mode == "bicubic" and x.ndim != 4:
        raise Unsupported("grid_sampler: bicubic in three dimensions")
    return fn.grid_sample(x, grid, mode, PADDINGS[padding_mode], align_corners)


@lowers("affine_grid_generator.default")
def affine_grid(theta, size, align_corners):
    return fn.affine_grid(theta, list(size), align_corners)
