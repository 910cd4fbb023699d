// A few rows (a small batch, as in decoding) times a weight stored in 16, 8 or 4 bits: the weight is read once and widened
// to float32 in registers. For many rows ops/linear.cpp widens blocks of the weight with widen_rows and uses gemm.
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
// quantized weights `sums` are the sums of x by group, and for 4 bits x is in the order of even_then_odd.
PTM_KERNEL(void, small_batch_gemm, const float* x, const float* sums, const ptm::RowWeights& w, int64_t first,
           int64_t columns, float* y, int64_t y_stride, int64_t rows, int64_t depth, const float* bias)

// The sums of x by group. Returns false if a value is NaN or its size is 1e30 or more.
PTM_KERNEL(bool, group_sums, const float* x, int64_t groups, int64_t group, float* sums)

// Reorders each 32 of n values: those with an even index first, as the lower halves of the weights' bytes are.
PTM_KERNEL(void, even_then_odd, const float* x, int64_t n, float* out)

// out[j, k] = w[first + j, k], as float32.
PTM_KERNEL(void, widen_rows, const ptm::RowWeights& w, int64_t first, int64_t columns, int64_t depth, float* out)

// y = x, rounded to how y is stored.
PTM_KERNEL(void, narrow, Dtype dtype, const float* x, int64_t n, void* y)
