#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {

// What is added to a block of scores [rows, cols], or which of them count (True attends). data is null for no mask.
struct ScoreMask {
  const void* data;
  bool boolean;
  int64_t row_stride, col_stride; // in elements
};

// A block of scores that become weights, and the sums over all blocks so far: top, sum [rows], out [rows, size].
struct SoftmaxStep {
  float* scores;
  int64_t ld, rows, cols;
  ScoreMask mask;
  int64_t limit, limit_step; // row r attends to the first limit + r limit_step columns at most
  float *top, *sum, *out;
  int64_t out_ld, size;
};

} // namespace ptm

// to[i * ld + j] = scale from[i * row_stride + j * col_stride].
PTM_KERNEL(void, to_single, Dtype dtype, const void* from, int64_t row_stride, int64_t col_stride, int64_t rows, int64_t cols,
           float scale, float* to, int64_t ld)

// scores = exp(scores + mask - top), with top, sum and out brought to the new top. Source: Dao et al. 2022, algorithm 1.
PTM_KERNEL(void, softmax_step, const SoftmaxStep& step)

// to[i * ld + j] = from[i * from_ld + j] / sum[i].
PTM_KERNEL(void, divide_rows, Dtype dtype, const float* from, int64_t from_ld, const float* sum, void* to, int64_t ld,
           int64_t rows, int64_t cols)

// scores[r, s] = q[r] · k[s] for a few rows; k's columns are dense.
PTM_KERNEL(void, few_scores, Dtype dtype, const float* q, int64_t rows, const void* k, int64_t k_stride, int64_t keys,
           int64_t size, float* scores, int64_t ld)

// out[r] += Σ_s scores[r, s] v[s] for a few rows; v's columns are dense.
PTM_KERNEL(void, few_values, Dtype dtype, const float* scores, int64_t ld, int64_t rows, const void* v, int64_t v_stride,
           int64_t keys, int64_t size, float* out, int64_t out_ld)
