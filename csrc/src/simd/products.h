// Few rows times a weight that is stored small: the weight is read once and widened in registers.
#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {

// Weights [columns, depth], a row for each output. With bits = 8 or 4, rows hold q with w = scale · q + bias by group.
struct RowWeights {
  Dtype dtype; // of the weights, or of scales and biases
  const void* data;
  int64_t row_bytes;
  int bits = 0; // 0: not quantized
  const void *scales = nullptr, *biases = nullptr; // [columns, depth / group]
  int64_t group = 0;
};

} // namespace ptm

// y[i, j] = bias[j] + Σ_k x[i, k] · w[j, k] for j in [first, first + columns); bias and y begin at column `first`. For
// quantized weights `sums` are the sums of x by group, and for 4 bits each 32 values of x are sorted, the even ones first.
PTM_KERNEL(void, row_products, const float* x, const float* sums, const ptm::RowWeights& w, int64_t first,
           int64_t columns, float* y, int64_t y_stride, int64_t rows, int64_t depth, const float* bias)

// The sums of x by group. False where a value is a NaN or no smaller than 1e30.
PTM_KERNEL(bool, group_sums, const float* x, int64_t groups, int64_t group, float* sums)

// Each 32 of n values sorted, the even ones first.
PTM_KERNEL(void, even_odd, const float* x, int64_t n, float* out)

// out[j, k] = w[first + j, k], as float32.
PTM_KERNEL(void, widen_rows, const ptm::RowWeights& w, int64_t first, int64_t columns, int64_t depth, float* out)

// y = x, rounded to how y is stored.
PTM_KERNEL(void, narrow, Dtype dtype, const float* x, int64_t n, void* y)
