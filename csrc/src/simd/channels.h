#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {
enum class Then { nothing, leaky_relu, snake };
} // namespace ptm

// Statistics of each channel over time, for instance norm, group norm and AdaIN: x is [rows, size], features last.

// Of each channel over these rows: `shift`, a number near its mean; `mean`, the mean minus shift; `square`, the sum of squared
// distances from the mean.
PTM_KERNEL(void, channel_moments, Dtype dtype, const void* x, int64_t rows, int64_t size, float* shift, float* mean, float* square)

// Joins the moments of `chunks` chunks of chunk_rows rows into the mean and the sum of squared distances of channels
// [begin, end). moments: three rows of [size] for each chunk, as channel_moments writes them. Source: Chan et al. 1979, eq. 2.1.
PTM_KERNEL(void, channel_join, const float* moments, int64_t chunks, int64_t rows, int64_t chunk_rows, int64_t size, int64_t begin,
           int64_t end, double* mean, double* square)

// y = then((x - mean) factor + shift); mean, factor and shift are [size]. alpha [size] is for snake, slope for leaky ReLU.
PTM_KERNEL(void, channel_apply, Dtype dtype, const void* x, const float* mean, const float* factor, const float* shift, Then then,
           float slope, const float* alpha, void* y, int64_t rows, int64_t size)
