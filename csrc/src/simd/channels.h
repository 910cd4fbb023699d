#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {
enum class Then { nothing, leaky_relu, snake };
} // namespace ptm

// Over x [rows, size], features last, one statistic for each channel: instance and group norm, AdaIN.

// Of each channel over these rows: its first value, its mean less that, and the sum of squared distances from the mean.
PTM_KERNEL(void, channel_moments, Dtype dtype, const void* x, int64_t rows, int64_t size, float* first, float* mean, float* square)

// y = then((x - mean) factor + shift), each [size]. `alpha` [size] is snake's; `slope` is leaky ReLU's.
PTM_KERNEL(void, channel_apply, Dtype dtype, const void* x, const float* mean, const float* factor, const float* shift, Then then,
           float slope, const float* alpha, void* y, int64_t rows, int64_t size)
