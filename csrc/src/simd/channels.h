#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {
enum class Then { nothing, leaky_relu, snake };
} // namespace ptm

// Over x [rows, size], features last, one statistic for each channel: instance and group norm, AdaIN.

// Of each channel over these rows: a number near its mean, its mean less that, and the sum of squared distances from the mean.
PTM_KERNEL(void, channel_moments, Dtype dtype, const void* x, int64_t rows, int64_t size, float* shift, float* mean, float* square)

// The means and squared distances of channels [begin, end) from those of `chunks` pieces of chunk_rows rows, each three
// rows of [size] as channel_moments makes them. Source: Chan et al. 1979, eq. 2.1.
PTM_KERNEL(void, channel_join, const float* moments, int64_t chunks, int64_t rows, int64_t chunk_rows, int64_t size, int64_t begin,
           int64_t end, double* mean, double* square)

// y = then((x - mean) factor + shift), each [size]. `alpha` [size] is snake's; `slope` is leaky ReLU's.
PTM_KERNEL(void, channel_apply, Dtype dtype, const void* x, const float* mean, const float* factor, const float* shift, Then then,
           float slope, const float* alpha, void* y, int64_t rows, int64_t size)
