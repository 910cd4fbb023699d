#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {
enum class Unary { exp, sin, cos, tanh, sigmoid, erf, gelu, gelu_tanh, silu, mish, elu, leaky_relu };
} // namespace ptm

// y[i] = function(x[i]); `parameter` is ELU's alpha or leaky ReLU's slope.
PTM_KERNEL(void, unary, Unary function, float parameter, Dtype dtype, const void* x, void* y, int64_t n)
