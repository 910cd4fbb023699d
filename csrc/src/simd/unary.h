#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {
enum class Unary { exp, sin, cos, tanh, sigmoid, erf, gelu, gelu_tanh, silu, mish, elu, leaky_relu, relu, square };
} // namespace ptm

// y[i] = function(x[i]); `parameter` is ELU's alpha or leaky ReLU's slope.
PTM_KERNEL(void, unary, Unary function, float parameter, Dtype dtype, const void* x, void* y, int64_t n)

// y[i] = max(floor, y[i] > 0 ? y[i] : slope · y[i]), in place; NaN stays NaN.
PTM_KERNEL(void, leaky_relu_above, float slope, float floor, float* y, int64_t n)

// y[i] = scale · (x[0][i] + x[1][i] + …), for `count` arrays, 2 or 3.
PTM_KERNEL(void, add_up, const float* const* x, int64_t count, float scale, float* y, int64_t n)
