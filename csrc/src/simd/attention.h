#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

namespace ptm {

// A mask for a block of scores [rows, cols]: numbers to add, or booleans (True attends). data is null for no mask.
struct ScoreMask {
  const void* data;
  bool boolean;
  int64_t row_stride, col_stride; // in elements
};

// A block of scores, which become weights, and over all blocks so far the greatest score, the sum of weights and the sum of
// weighted values of each row: top, sum [rows], out [rows, size].
struct SoftmaxStep {
  float* scores;
  int64_t ld, rows, cols;
  ScoreMask mask;
  int64_t limit, limit_step; // row r attends to at most the first limit + r · limit_step columns
  float *top, *sum, *out;
  int64_t out_ld, size;
};

} // namespace ptm

// to[i * ld + j] = scale * from[i * row_stride + j * col_stride], as float32.
PTM_KERNEL(void, copy_as_float32, Dtype dtype, const void* from, int64_t row_stride, int64_t col_stride, int64_t rows, int64_t cols,
           float scale, float* to, int64_t ld)

// scores = exp(scores + mask - top), with top, sum and out rescaled to the new top. Source: Dao et al. 2022, algorithm 1.
PTM_KERNEL(void, softmax_step, const SoftmaxStep& step)

// to[i * ld + j] = from[i * from_ld + j] / sum[i].
PTM_KERNEL(void, divide_rows, Dtype dtype, const float* from, int64_t from_ld, const float* sum, void* to, int64_t ld,
           int64_t rows, int64_t cols)

// scores[r, s] = q[r] · k[s] for a few rows; k's columns are next to each other in memory.
PTM_KERNEL(void, few_scores, Dtype dtype, const float* q, int64_t rows, const void* k, int64_t k_stride, int64_t keys,
           int64_t size, float* scores, int64_t ld)

// out[r] += Σ_s scores[r, s] v[s] for a few rows; v's columns are next to each other in memory.
PTM_KERNEL(void, few_values, Dtype dtype, const float* scores, int64_t ld, int64_t rows, const void* v, int64_t v_stride,
           int64_t keys, int64_t size, float* out, int64_t out_ld)

// One query of each head over keys and values [time, row, 2, heads, size]: at time s it reads row rows[s], or the last row if
// there is no such one. mask: to add to the scores, [heads, keys], or nullptr. scores: space for `keys` floats.
PTM_KERNEL(void, attend_by_rows, const float* q, const float* keys_values, int64_t all_rows, const int32_t* rows, int64_t keys,
           int64_t heads, int64_t size, float scale, const float* mask, float* scores, float* out)
